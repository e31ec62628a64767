"""What a source hands to the warehouse."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

__all__ = ["QUARANTINE_SCHEMA", "Delivery"]

QUARANTINE_SCHEMA = pa.schema(
    [
        ("table_name", pa.string()),  # the canonical table the row was meant for
        ("origin", pa.string()),  # file (and sheet), row number
        ("reason", pa.string()),  # one sentence, the same for all rows of its kind
        ("raw", pa.string()),  # the row as it came, as JSON
    ]
)


@dataclass(frozen=True)
class Delivery:
    """Rows in canonical columns, not yet checked, and what the source itself put aside.

    Attributes
    ----------
    tables
        Canonical table name -> rows. Columns as in ``features.tables``; an extra column ``origin`` (text: file, sheet,
        row number) says where a row came from and travels into the quarantine.
    quarantined
        Rows that the source's own rules set aside, in ``QUARANTINE_SCHEMA``.
    rows_read
        Raw rows read, over all files and sheets.
    repeated
        Reason -> number of raw rows that repeat a row already read (overlapping exports): counted, not quarantined.
    """

    tables: Mapping[str, pa.Table]
    quarantined: pa.Table = field(default_factory=QUARANTINE_SCHEMA.empty_table)
    rows_read: int = 0
    repeated: Mapping[str, int] = field(default_factory=dict)
