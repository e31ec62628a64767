"""A made-up retailer whose truth is known, loaded once, and a churn model trained on it once."""

from datetime import date

import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from features.build import build
from features.ingest import ingest_tables
from features.sources.simulate import simulate, write
from features.warehouse import Warehouse
from training.churn import PARAMETERS, forward_predictions
from training.preparation import prepare
from training.registry import Registry
from training.workflow import train_and_register

END = date(2024, 7, 1)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Trees this small are grown ten times slower by threads that wait for a busy machine's second core."""
    with threadpool_limits(limits=1, user_api="openmp"):
        yield


@pytest.fixture(scope="session")
def end():
    """The first instant that the retailer's tables do not know."""
    return pd.Timestamp(END)


@pytest.fixture(scope="session")
def retailer():
    return simulate(1_500, 600, END, seed=7)


@pytest.fixture(scope="session")
def shop(retailer, tmp_path_factory):
    """The retailer's warehouse."""
    folder = tmp_path_factory.mktemp("shop")
    write(retailer, folder)
    warehouse = Warehouse(folder / "shop.duckdb")
    ingest_tables(warehouse, folder / "tables")
    return warehouse


@pytest.fixture(scope="session")
def prepared(shop, end):
    return prepare(shop, end)


@pytest.fixture(scope="session")
def forward(prepared):
    return forward_predictions(prepared, PARAMETERS)


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """The folder of a registry that no variable of the surroundings redirects."""
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="session")
def registry(store):
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)
        return Registry(store)


@pytest.fixture(scope="session")
def said():
    """What the training said that it was doing."""
    return []


@pytest.fixture(scope="session")
def trained(shop, end, registry, said, tmp_path_factory):
    """The first training on the retailer's warehouse."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)
        return train_and_register(
            shop, end, registry, pictures=tmp_path_factory.mktemp("pictures"), say=said.append
        )


@pytest.fixture(scope="session")
def models(trained):
    return trained.registered.models


@pytest.fixture(scope="session")
def model(models):
    """The churn model."""
    return models.churn


@pytest.fixture(scope="session")
def frame(shop, end):
    """Features of the population at the end."""
    return build(shop, [end])
