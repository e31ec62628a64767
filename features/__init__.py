"""What is known about a customer at an instant: tables, warehouse, point-in-time features."""

from features.build import POPULATIONS, build, instant
from features.ingest import ingest_source, ingest_tables
from features.load import Arrival, LoadReport
from features.warehouse import Settings, Warehouse

__all__ = [
    "POPULATIONS",
    "Arrival",
    "LoadReport",
    "Settings",
    "Warehouse",
    "build",
    "ingest_source",
    "ingest_tables",
    "instant",
]
