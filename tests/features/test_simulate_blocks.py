"""A retailer made block by block and written as it is made."""

from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features.errors import InputError
from features.sources.simulate import generate, simulate
from features.sources.simulate.blocks import CUSTOMERS_PER_BLOCK, generator
from features.tables import TABLES

END = date(2024, 7, 1)
FILES = [
    *(
        f"tables/{name}.parquet"
        for name in "consents contacts customers deliveries events exposures feedback order_lines products staff stock "
        "stores tickets".split()
    ),
    *(f"truth/{name}.parquet" for name in "categories customers needs offers".split()),
]


def test_block_by_block_gives_the_same_rows(tmp_path: Path):
    """A block and a bit; the first block does not know that another comes."""
    customers, told = CUSTOMERS_PER_BLOCK + 40, []
    rows = generate(tmp_path, customers, 20, END, 3, progress=lambda *done: told.append(done))
    retailer, alone = simulate(customers, 20, END, 3), simulate(CUSTOMERS_PER_BLOCK, 20, END, 3)
    assert told == [(CUSTOMERS_PER_BLOCK, customers), (customers, customers)]
    assert (
        sorted(rows)
        == sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
        == FILES
    )
    for name, table in retailer.tables.items():
        file = pq.read_table(tmp_path / "tables" / f"{name}.parquet")
        assert file.equals(table), name
        assert rows[f"tables/{name}.parquet"] == file.num_rows
        assert table.slice(0, alone.tables[name].num_rows).equals(alone.tables[name]), name
        assert table.group_by(list(TABLES[name].key)).aggregate([]).num_rows == table.num_rows, name
    assert pq.read_table(tmp_path / "truth" / "customers.parquet").equals(retailer.truth)
    assert pq.read_table(tmp_path / "truth" / "offers.parquet").equals(retailer.offers)
    assert pq.read_table(tmp_path / "truth" / "categories.parquet").equals(retailer.categories)


def test_each_block_has_random_numbers_of_its_own():
    drawn = {generator(seed, child).random() for seed in (3, 4) for child in range(20)}
    assert len(drawn) == 40


def test_generated_files_replace_those_that_stood_there_and_repeat_to_the_byte(tmp_path: Path):
    for folder, seed in (("one", 4), ("one", 5), ("two", 5)):
        generate(tmp_path / folder, 200, 100, END, seed)
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_no_unfinished_files_are_left_behind(tmp_path: Path):
    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, 30, 30, END, 1, progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="at least 1 customer and 1 day, got 0 and 10"):
        generate(tmp_path / "none", 0, 10, END, 1)
    assert not (tmp_path / "none").exists()
