"""Rows and cutoffs in, feature columns out: NumPy and Arrow, no I/O; the one place where features are computed.

Training at many cutoffs, the weekly batch and one customer online go through ``compute`` and ``compute_one``, which differ
in how rows are told apart by customer, and in nothing else.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.arrow import Table
from features.blocks import Block, Part, blocks_of, encode, of_some, usable, usable_at
from features.cutoffs import Moment, microseconds
from features.derived import Streams
from features.errors import InputError
from features.loops import previous, run
from features.plan import Plan, Program, whole_catalogue
from features.raw import Raw
from features.streams import FOREVER, STREAMS, Rows
from features.windows import Bools, Ints, Stream

__all__ = ["Computed", "compute", "compute_blocks", "compute_one"]

T = TypeVar("T")

Floats = NDArray[np.float64]
Given = Mapping[str, Floats]

_BLOCK_ROWS = 150_000
"""Rows computed in one go: few enough for the processor's cache, and many enough for a call not to matter."""
_BLOCK_CELLS = 60_000
"""Likewise customers x cutoffs."""


@dataclass(frozen=True)
class Computed:
    """Features of all customers at all cutoffs.

    Attributes
    ----------
    customers
        OneIDs, length K, ascending.
    cutoffs
        Microseconds since 1970, length C, ascending.
    known
        K x C: has the customer any usable row before the cutoff.
    columns
        Feature name -> K x C, float64, NaN where undefined.
    texts
        Likewise the features that are words, None where undefined.
    """

    customers: pa.Array
    cutoffs: Ints
    known: Bools
    columns: Mapping[str, Floats]
    texts: Mapping[str, NDArray[np.object_]]


def compute(
    rows: Rows,
    cutoffs: Ints,
    plan: Plan,
    *,
    timezone: str = "UTC",
    given: Given | None = None,
    threads: int = 1,
    block_rows: int = _BLOCK_ROWS,
) -> Computed:
    """Compute features of every customer in the rows at every cutoff.

    Parameters
    ----------
    rows
        Streams as ``features.streams.read`` gives them, in any order.
    cutoffs
        Microseconds since 1970, UTC, ascending and distinct.
    timezone
        Where neither customer nor store has a zone; days with an order are counted in it.
    given
        Features of the cutoff alone that the rows do not tell (``features.context.BASE_SEASONS``), each of length C.
    threads
        How many blocks of customers are computed at a time.
    block_rows
        About how many rows a block has; no bit of the result depends on it.

    Notes
    -----
    A row is *regular* when every cutoff after it may use it. Customers with regular rows only, nearly all, go through
    all cutoffs in one pass. A customer with a row that came late, was corrected, or moved to another OneID between two
    cutoffs is computed again at each cutoff from the rows usable there: the same code, one cutoff at a time.
    """
    blocks = compute_blocks(
        rows, cutoffs, plan, _copied, timezone=timezone, given=given, threads=threads, block_rows=block_rows
    )
    customers = pa.concat_arrays([pa.array([], pa.string()), *(one.customers for one in blocks)])
    known = np.concatenate([np.zeros((0, len(cutoffs)), dtype=np.bool_), *(one.known for one in blocks)])
    columns, texts = (
        {name: np.concatenate([one[name] for one in found]) for name in (found[0] if found else ())}
        for found in ([one.columns for one in blocks], [one.texts for one in blocks])
    )
    return Computed(customers, cutoffs, known, columns, texts)


def _copied(one: Computed) -> Computed:
    columns = {name: values.copy() for name, values in one.columns.items()}
    return Computed(one.customers, one.cutoffs, one.known.copy(), columns, one.texts)


def compute_blocks(
    rows: Rows,
    cutoffs: Ints,
    plan: Plan,
    then: Callable[[Computed], T],
    *,
    timezone: str = "UTC",
    given: Given | None = None,
    threads: int = 1,
    block_rows: int = _BLOCK_ROWS,
) -> list[T]:
    """Compute block by block, so that what is not wanted of all customers need not be in memory at once.

    Parameters
    ----------
    then
        Makes of a block what is wanted of it. The block's arrays are overwritten by a later one.

    Returns
    -------
    list
        What ``then`` made, in the order of the customers. The other parameters are those of ``compute``.
    """
    customers, whole = encode(rows)
    most = max(1, _BLOCK_CELLS // len(cutoffs))
    room: SimpleQueue[Floats] = SimpleQueue()
    for _ in range(threads):
        room.put(np.empty(0))

    def work(block: Block) -> T:
        cells = len(plan.features) * len(cutoffs) * (block.end - block.begin)
        columns = room.get()
        if columns.size < cells:
            columns = np.empty(cells)
        try:
            return then(_computed(block, customers, cutoffs, plan, timezone, given or {}, columns[:cells]))
        finally:
            room.put(columns)

    blocks = blocks_of(whole, len(customers), block_rows, most)
    if threads == 1:
        return [work(block) for block in blocks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, blocks))


def _computed(
    block: Block, customers: pa.Array, cutoffs: Ints, plan: Plan, timezone: str, given: Given, room: Floats
) -> Computed:
    """Compute a block into the room given."""
    own = block.end - block.begin
    work = _Work(cutoffs, plan, timezone, given, own, room.reshape(len(plan.features), len(cutoffs), own))
    work.run(block.rows)
    columns = {
        one.name: work.out[row].T for row, one in zip(plan.rows, plan.wanted, strict=True) if not one.is_text
    }
    texts = {name: words.T for name, words in work.texts.items()}
    return Computed(customers[block.begin : block.end], cutoffs, work.known.T, columns, texts)


def compute_one(
    rows: Rows,
    cutoff: int | Moment,
    plan: Plan | None = None,
    *,
    timezone: str = "UTC",
    given: Given | None = None,
) -> dict[str, float | str | None]:
    """Compute the features of one customer, whose rows these all are, at one cutoff.

    The rows are what ``features.streams.read(connection, cutoffs, customer=one_id)`` gives, or
    ``features.packed.unpack`` of one packed history.

    Parameters
    ----------
    rows
        Stream -> Arrow table or record batch, all streams; times in microseconds since 1970, amounts in hundredths.
    cutoff
        Microseconds since 1970, UTC, or anything that ``features.instant`` reads.
    plan
        What to compute, as ``Plan.of(select(names))``; the whole catalogue by default.
    timezone, given
        As of ``compute``.

    Returns
    -------
    dict
        Feature name -> value, NaN (None of a word) where undefined.

    Raises
    ------
    InputError
        A stream is missing, or is no Arrow table; or the cutoff cannot be read.
    """
    wrong = [name for name in STREAMS if not isinstance(rows.get(name), pa.Table | pa.RecordBatch)]
    if wrong:
        raise InputError(
            f"rows lack {', '.join(wrong)} as Arrow tables: pass what features.streams.read(connection, cutoffs, "
            "customer=...) gives"
        )
    at = (
        microseconds(cutoff)
        if not isinstance(cutoff, int | np.integer)
        else np.array([cutoff], dtype=np.int64)
    )
    plan = plan or whole_catalogue()
    work = _Work(at, plan, timezone, given or {}, 1, np.empty((len(plan.features), 1, 1)))
    work.run(
        {name: Raw(name, Table(rows[name]), np.zeros(rows[name].num_rows, np.int64)) for name in STREAMS}
    )
    values = zip(plan.names, work.out[plan.rows, 0, 0].tolist(), strict=True)
    return dict(values) | {name: words[0, 0] for name, words in work.texts.items()}


class _Work:
    """Some customers' results: features x cutoffs x customers."""

    def __init__(
        self, cutoffs: Ints, plan: Plan, timezone: str, given: Given, customers: int, out: Floats
    ) -> None:
        self.cutoffs, self.plan, self.timezone, self.given, self.out = cutoffs, plan, timezone, given, out
        shape = len(cutoffs), customers
        self.known = np.empty(shape, dtype=np.bool_)
        self.texts = {name: np.full(shape, None, dtype=np.object_) for name in plan.texts}

    def run(self, rows: Part) -> None:
        """Compute everything from the customers' rows."""
        customers = self.known.shape[1]
        kept, irregular = usable(rows, customers, self.cutoffs)
        self._fill(Streams(kept, customers, self.timezone))
        late = np.flatnonzero(irregular)
        if len(late):
            self._again(kept, irregular, late)

    def _again(self, rows: Part, irregular: Bools, late: Ints) -> None:
        """Compute irregular customers again, one cutoff at a time."""
        number = np.cumsum(irregular) - 1
        theirs = {name: of_some(raw, irregular[raw.who], number) for name, raw in rows.items()}
        out = np.empty((len(self.plan.features), 1, len(late)))
        for index, cutoff in enumerate(self.cutoffs):
            here = {name: of_some(raw, usable_at(raw, int(cutoff))) for name, raw in theirs.items()}
            given = {name: values[index : index + 1] for name, values in self.given.items()}
            one = _Work(self.cutoffs[index : index + 1], self.plan, self.timezone, given, len(late), out)
            one._fill(Streams(here, len(late), self.timezone))
            self.out[:, index, late] = out[:, 0]
            self.known[index, late] = one.known[0]
            for name, words in self.texts.items():
                words[index, late] = one.texts[name][0]

    def _fill(self, streams: Streams) -> None:
        """Compute all features of the streams' customers."""
        out, cutoffs, plan = self.out, self.cutoffs, self.plan
        for program in plan.programs:
            _run(program, streams.make(program.stream), cutoffs, out[program.rows])
        seasons = {**(_seasons(cutoffs) if plan.of_cutoffs else {}), **self.given}
        for name, row in plan.of_cutoffs.items():
            out[row] = seasons[name][:, None] if name in seasons else np.nan
        for operation, rows, operands in plan.over:
            # as many at a time as stay in the processor's cache
            step = max(1, _BLOCK_CELLS // max(self.known.size, 1))
            for first in range(0, len(rows), step):
                part = slice(first, first + step)
                out[rows[part]] = _OVER[operation](*(out[one[part]] for one in operands))
        for name, words in self.texts.items():
            words[:] = _words(plan, name, streams, out)
        self.known[:] = _known(streams, cutoffs)
        streams.forget()


def _run(program: Program, stream: Stream, cutoffs: Ints, out: Floats) -> None:
    """Compute the features of one stream."""
    size, start = len(stream.time), stream.start
    masks = np.zeros((len(program.masks), size), dtype=np.bool_)
    for row, where in enumerate(program.masks):
        masks[row] = stream.mask(where)
    numbers = np.empty((len(program.numbers) + len(program.distinct), size), dtype=np.int64)
    for row, name in enumerate(program.numbers):
        numbers[row] = stream.number(name)
    for row, (name, where) in enumerate(program.distinct, len(program.numbers)):
        codes_ = stream.codes(name)[0]
        kept = masks[program.masks.index(where)] if where else _ALL
        numbers[row] = previous(codes_, kept, start, int(codes_.max(initial=-1)) + 1)
    words, sizes = (
        np.empty((len(program.words), size), dtype=np.int64),
        np.zeros(len(program.words), dtype=np.int64),
    )
    for row, name in enumerate(program.words):
        words[row] = stream.ranked(name)[0]
        sizes[row] = words[row].max(initial=-1) + 1
    run(
        program.steps,
        program.scales,
        start,
        stream.time,
        numbers,
        words,
        sizes,
        masks,
        cutoffs,
        program.windows,
        out,
    )


_ALL = np.zeros(0, dtype=np.bool_)
"""No filter."""


def _seasons(cutoffs: Ints) -> dict[str, Floats]:
    """Return the time of the year as a point on a circle."""
    cutoff = cutoffs.astype("datetime64[us]")
    year = cutoff.astype("datetime64[Y]")
    begin, end = year.astype("datetime64[us]"), (year + 1).astype("datetime64[us]")
    angle = 2.0 * np.pi * ((cutoff - begin) / (end - begin))
    return {"season_sin": np.sin(angle), "season_cos": np.cos(angle)}


def _divided(part: Floats, whole: Floats) -> Floats:
    """Return part / whole, null where the whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole != 0, np.true_divide(part, whole), np.nan)


# operations on other features; amounts have hundredths and counts none, so that 6000.10 less 1000.10 is 5000
_OVER: Mapping[str, Callable[..., Floats]] = {
    "ratio": _divided,
    "difference": lambda left, right: np.round(left - right, 2),
    "change": lambda window, twice: np.round(2.0 * window - twice, 2),
}


def _words(plan: Plan, name: str, streams: Streams, out: Floats) -> NDArray[np.object_]:
    """Return the words that a feature's codes stand for."""
    row, feature = next((row, one) for row, one in enumerate(plan.features) if one.name == name)
    measure, code = feature.measure, out[row]
    words = streams.make(measure.stream).ranked(measure.by or measure.of)[1]
    words = words if isinstance(words, tuple) else words.to_pylist()
    return np.array([*words, None], dtype=np.object_)[
        np.where(np.isnan(code), len(words), code).astype(np.int64)
    ]


def _known(streams: Streams, cutoffs: Ints) -> Bools:
    first = np.full(streams.customers, FOREVER)
    for name, raw in streams.rows.items():
        if name == "deliveries":  # its order's lines tell whose it is, and since when
            continue
        time = raw.ints("time")
        if name == "presence":  # no window looks at its time: it counts from when it is known
            time = np.maximum(time, raw.ints("usable_from") - 1)
        np.minimum.at(first, raw.who, time)
    return first < cutoffs[:, None]
