"""A store of each kind: SQLite in a file, PostgreSQL in a schema of its own."""

import os
import uuid
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from serving.store import Store

POSTGRES = "PATRON_TEST_POSTGRES"


@dataclass(frozen=True)
class Place:
    """Where a store is, and what kind of database holds it."""

    url: str
    kind: str


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    if request.param == "sqlite":
        yield Place(f"sqlite:///{tmp_path}/store.db", "sqlite")
        return
    given = os.environ.get(POSTGRES)
    if not given:
        pytest.skip(f"{POSTGRES} is not set: a PostgreSQL URL, postgresql+psycopg://user@host/database")
    schema = f"patron_{uuid.uuid4().hex}"
    engine = sa.create_engine(given, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    url = sa.make_url(given).update_query_dict({"options": f"-csearch_path={schema}"})
    yield Place(url.render_as_string(hide_password=False), "postgresql")
    with engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))


@pytest.fixture
def store(place):
    made = Store(place.url, create=True)
    yield made
    made.close()
