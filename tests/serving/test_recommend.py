"""``patron recommend``: the lists it writes, and a mistake of the user's."""

import re

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from features.errors import InputError, TooLittleHistory
from serving.cli.recommend import recommend
from training.products.predict import COLUMNS


@pytest.fixture(scope="module")
def command():
    app = typer.Typer()
    app.command()(recommend)
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])


def test_lists_for_everybody(command, shop, tmp_path):
    out = tmp_path / "lists.parquet"
    done = command(
        "--warehouse", shop.warehouse.path, "--as-of", shop.as_of.date(), "--out", out, "--most", 3
    )
    assert done.exit_code == 0, done.exception
    lists = pd.read_parquet(out)
    assert tuple(lists.columns) == COLUMNS
    assert lists["rank"].max() == 3
    customers = lists["customer_id"].nunique()
    assert customers > 1_000
    assert f"{customers:,} customers" in done.output
    assert f"{len(lists):,} products" in done.output
    assert re.search(r"forward_recall_at_10 0\.\d", done.output)


def test_too_early_a_date(command, shop, tmp_path):
    done = command(
        "--warehouse", shop.warehouse.path, "--as-of", "2020-01-01", "--out", tmp_path / "x.parquet"
    )
    assert isinstance(done.exception, TooLittleHistory)
    assert "choose a later --as-of" in str(done.exception)
    assert not (tmp_path / "x.parquet").exists()


def test_no_warehouse(command, tmp_path):
    done = command("--warehouse", tmp_path / "none", "--as-of", "2024-01-01", "--out", tmp_path / "x.parquet")
    assert isinstance(done.exception, InputError)
    assert "patron ingest" in str(done.exception)


def test_a_list_has_a_place(command, shop, tmp_path):
    done = command(
        "--warehouse", shop.warehouse.path, "--as-of", "2024-01-01", "--out", tmp_path / "x", "--most", 0
    )
    assert done.exit_code == 2
