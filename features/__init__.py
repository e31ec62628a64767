"""What is known about a customer at an instant: tables, warehouse, point-in-time features."""

from features.build import POPULATIONS, build, build_file
from features.catalogue import catalogue
from features.cutoffs import instant
from features.explain import Explanation, explain
from features.ingest import ingest_source, ingest_tables
from features.kernel import compute_one
from features.load import Arrival, LoadReport
from features.warehouse import Settings, Warehouse

__all__ = [
    "POPULATIONS",
    "Arrival",
    "Explanation",
    "LoadReport",
    "Settings",
    "Warehouse",
    "build",
    "build_file",
    "catalogue",
    "compute_one",
    "explain",
    "ingest_source",
    "ingest_tables",
    "instant",
]
