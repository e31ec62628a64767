"""A customer's rows as one piece of bytes, for a store that hands them to the kernel again within microseconds.

A packed history is one Arrow record batch of one row: each stream is a list of its rows. The schema is not repeated in
each history; ``LAYOUT`` names it, and bytes of another layout are refused by whoever keeps them.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.streams import Rows

__all__ = ["LAYOUT", "SCHEMAS", "empty", "pack", "unpack"]

_TIMES = (("time", pa.int64()), ("usable_from", pa.int64()), ("usable_to", pa.int64()))


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([("entity", pa.string()), *_TIMES, *columns.items()])


_TEXT, _WHOLE, _CODE = pa.string(), pa.int64(), pa.int8()

SCHEMAS: dict[str, pa.Schema] = {
    "lines": _schema(
        order_id=_TEXT, line_id=_TEXT, kind=_CODE, product=_TEXT, category=_TEXT, brand=_TEXT, channel=_CODE, store=_TEXT,
        zone=_TEXT, coupon=_CODE, net=_WHOLE, gross=_WHOLE, discount=_WHOLE, quantity=_WHOLE,
    ),
    "events": _schema(
        kind=_CODE, product=_TEXT, category=_TEXT, channel=_TEXT, session=_TEXT, duration=_WHOLE, id=_TEXT
    ),
    "tickets": _schema(
        id=_TEXT, kind=_CODE, first_response_at=_WHOLE, closed_at=_WHOLE, rated_at=_WHOLE, csat=_WHOLE
    ),
    "contacts": _schema(
        channel=_CODE, purpose=_CODE, status=_CODE, opened_at=_WHOLE, clicked_at=_WHOLE, rejected_at=_WHOLE,
        unsubscribed_at=_WHOLE, id=_TEXT,
    ),
    "deliveries": _schema(id=_TEXT, order_id=_TEXT, delivered_at=_WHOLE, late_at=_WHOLE),
    "feedback": _schema(kind=_CODE, rating=_WHOLE, id=_TEXT),
    "presence": _schema(),
}  # fmt: skip
"""Stream name -> its columns, as ``features.streams.read`` gives them with ``named``; codes are places in ``CHOICES``."""

_BATCH = pa.schema([(name, pa.large_list(pa.struct(list(schema)[1:]))) for name, schema in SCHEMAS.items()])
LAYOUT = hashlib.sha256(str(_BATCH).encode()).hexdigest()[:12]
"""Fingerprint of the layout of packed bytes."""

_CODEC = pa.Codec("zstd", 1)
_SIZE_BYTES = 4


def pack(rows: Rows) -> Iterator[tuple[str, bytes]]:
    """Yield each OneID in the rows with its packed history, in the order of the OneIDs.

    Parameters
    ----------
    rows
        Named rows (see ``features.streams.read``).
    """
    tables = {name: _sorted(rows[name], schema) for name, schema in SCHEMAS.items()}
    entities = pc.unique(
        pa.concat_arrays([chunk for table in tables.values() for chunk in table["entity"].chunks])
    )
    entities = entities.take(pc.array_sort_indices(entities))
    batch = pa.RecordBatch.from_arrays([_lists(table, entities) for table in tables.values()], schema=_BATCH)
    for row, entity in enumerate(entities.to_pylist()):
        plain = batch.take([row]).serialize()  # a slice would carry all offsets of its empty lists
        yield entity, len(plain).to_bytes(_SIZE_BYTES, "little") + _CODEC.compress(plain).to_pybytes()


def unpack(histories: Sequence[tuple[str, bytes]]) -> dict[str, pa.RecordBatch]:
    """Return the rows of some customers, each given as OneID and packed history."""
    if not histories:
        return empty()
    batches = [_read(packed) for _, packed in histories]
    entities = pa.array([entity for entity, _ in histories], pa.string())
    rows = {}
    for number, (name, schema) in enumerate(SCHEMAS.items()):
        lists = [batch.column(number) for batch in batches]
        joined = lists[0] if len(lists) == 1 else pa.concat_arrays(lists)
        owner = entities.take(pc.list_parent_indices(joined))
        rows[name] = pa.RecordBatch.from_arrays([owner, *joined.flatten().flatten()], schema=schema)
    return rows


def empty() -> dict[str, pa.RecordBatch]:
    """Return streams without rows."""
    return {name: _none(schema) for name, schema in SCHEMAS.items()}


def _none(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


def _sorted(rows: pa.Table | pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    return table.select(schema.names).cast(schema).sort_by("entity").combine_chunks()


def _lists(table: pa.Table, entities: pa.Array) -> pa.LargeListArray:
    """Return the rows of each customer, none for one who has none; the table is sorted by customer."""
    place = pc.index_in(table["entity"], value_set=entities).combine_chunks().to_numpy(zero_copy_only=False)
    offsets = np.searchsorted(place, np.arange(len(entities) + 1))
    columns = [table[name].combine_chunks() for name in table.column_names[1:]]
    fields = list(table.schema)[1:]
    return pa.LargeListArray.from_arrays(
        pa.array(offsets, pa.int64()), pa.StructArray.from_arrays(columns, fields=fields)
    )


def _read(packed: bytes) -> pa.RecordBatch:
    size = int.from_bytes(packed[:_SIZE_BYTES], "little")
    return pa.ipc.read_record_batch(_CODEC.decompress(memoryview(packed)[_SIZE_BYTES:], size), _BATCH)
