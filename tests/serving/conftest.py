"""A made-up retailer, taken from its tables to a model by the command; and the command itself, run in this process."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.sources.simulate import simulate, write
from features.warehouse import Warehouse
from serving.cli import main
from serving.live import Live
from serving.store import Store
from tests.serving.shops import fresh_store
from training.registry import Registered, Registry, model_name

CUSTOMERS, DAYS, SEED = 1500, 600, 7
AS_OF = "2026-09-07"


@dataclass(frozen=True)
class Done:
    """A command that has ended: exit status, and what it said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Shop:
    """A retailer's files, its warehouse, and the model trained as of ``as_of``; what the two commands said.

    A further warehouse in the same folder shares the registry, which takes seconds to make.
    """

    tables: Path
    warehouse: Warehouse
    as_of: pd.Timestamp
    registry: Registry
    registered: Registered
    ingested: Done
    trained: Done


@dataclass(frozen=True)
class Served:
    """The shop as published, and what answers from it. Tests that report facts take a store of their own."""

    store: Store
    live: Live


def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["patron", *map(str, arguments)])
        patch.setenv("COLUMNS", "200")  # room enough for a table's row on one line
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)  # runs and models stand beside the warehouse
        with pytest.raises(SystemExit) as end:
            main()
    return Done(end.value.code or 0, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def patron():
    """The command, as ``patron("score", "--as-of", ...)``."""
    return run


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    tables, path = folder / "retailer" / "tables", folder / "shop.duckdb"
    write(simulate(CUSTOMERS, DAYS, np.datetime64(AS_OF), SEED), tables.parent)
    ingested = run("ingest", "--tables", tables, "--warehouse", path)
    trained = run("train", "--warehouse", path, "--as-of", AS_OF)
    assert (ingested.code, trained.code) == (0, 0), ingested.err + trained.err
    warehouse, as_of = Warehouse(path), pd.Timestamp(AS_OF).as_unit("us")
    name = model_name(warehouse.settings().warehouse_id)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        registry = Registry(folder)
    return Shop(tables, warehouse, as_of, registry, registry.get(name, "champion", as_of), ingested, trained)


@pytest.fixture(scope="session")
def published(shop, tmp_path_factory):
    store, live = fresh_store(shop, tmp_path_factory.mktemp("published"))
    yield Served(store, live)
    store.close()
