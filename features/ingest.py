"""Files -> warehouse: canonical Parquet as it is, any other export through its adapter."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.errors import InputError
from features.load import Arrival, LoadReport
from features.sources import SOURCES
from features.sources.delivery import Delivery
from features.tables import TABLES
from features.warehouse import Warehouse

__all__ = ["ingest_source", "ingest_tables", "read_tables"]


def ingest_tables(
    warehouse: Warehouse,
    folder: Path,
    *,
    received_at: datetime | None = None,
    currency: str | None = None,
    timezone: str | None = None,
) -> LoadReport:
    """Load canonical Parquet files, ``<table>.parquet``, from a folder.

    Parameters
    ----------
    received_at
        Replay the delivery as if it had arrived at this instant (naive UTC): rows without ``known_at`` were known
        then. Left out, the files are history, known when it happened; corrections are known from now on.

    Raises
    ------
    InputError
        No such folder, no canonical file in it, a file that is no Parquet, a missing column.
    """
    paths = _canonical_files(folder)
    tables = read_tables(folder)
    arrival = _arrival(paths, f"--tables {folder}", received_at)
    return warehouse.load(tables, arrival, currency=currency, timezone=timezone)


def ingest_source(
    warehouse: Warehouse,
    source: str,
    path: Path,
    *,
    received_at: datetime | None = None,
    currency: str | None = None,
    timezone: str | None = None,
) -> tuple[LoadReport, Delivery]:
    """Load an export through the adapter of its source; see ``features.sources.SOURCES``.

    Raises
    ------
    InputError
        Unknown source, or what its adapter refuses.
    """
    if source not in SOURCES:
        raise InputError(f"unknown source {source!r}: choose one of {', '.join(sorted(SOURCES))}")
    if not path.exists():
        raise InputError(f"{path} does not exist: --path names a file or a folder of an export of {source}")
    delivery = SOURCES[source](path)
    delivered = pc.unique(delivery.tables["order_lines"]["currency"]).to_pylist()
    if currency is not None and delivered and currency not in delivered:
        raise InputError(
            f"{source} delivers amounts in {', '.join(delivered)}, and --currency {currency} was asked for"
        )
    paths = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    arrival = _arrival(paths, f"--source {source} --path {path}", received_at)
    report = warehouse.load(
        delivery.tables, arrival, currency=currency, timezone=timezone, quarantined=delivery.quarantined
    )
    return report, delivery


def read_tables(folder: Path) -> dict[str, pa.Table]:
    """Read the canonical Parquet files of a folder."""
    return {path.stem: _read_parquet(path) for path in _canonical_files(folder)}


def _canonical_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(
            f"{folder} is no folder: --tables names a folder of canonical files such as order_lines.parquet"
        )
    found = sorted(folder.glob("*.parquet"))
    unknown = [path.name for path in found if path.stem not in TABLES]
    if unknown:
        raise InputError(
            f"{folder} holds {', '.join(unknown)}, no canonical table; these are: {', '.join(TABLES)}. "
            "Rename or remove the file."
        )
    if not found:
        held = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise InputError(
            f"{folder} holds no canonical Parquet file (it holds {held}): expected e.g. order_lines.parquet"
        )
    return found


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as problem:
        raise InputError(
            f"{path} is no readable Parquet file ({_first_line(problem)}): export it again"
        ) from problem


def _first_line(problem: BaseException) -> str:
    return str(problem).splitlines()[0].rstrip(".") if str(problem) else type(problem).__name__


def _arrival(paths: list[Path], label: str, received_at: datetime | None) -> Arrival:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    now = received_at or datetime.now(UTC).replace(tzinfo=None)
    return Arrival(label=label, digest=digest.hexdigest(), received_at=now, history=received_at is None)
