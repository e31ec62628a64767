"""The language: what it computes (an SQL database must agree), and what it refuses, with place and words."""

import math

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InputError, PlaybookError
from serving.rules.columns import Type
from serving.rules.language import MOST_CHARACTERS, Scope, compile_expression

COLUMNS = {"a": Type.NUMBER, "b": Type.NUMBER, "f": Type.FLAG, "g": Type.FLAG, "t": Type.TEXT, "u": Type.TEXT,
           "at": Type.TIME, "orders_all": Type.NUMBER}  # fmt: skip
SCOPE = Scope(COLUMNS, {"limit": 3, "word": "x", "yes": True})


def value_of(text, **row):
    given_ = {"a": None, "b": None, "f": None, "g": None, "t": None, "u": None} | row
    types = {
        "a": pl.Float64,
        "b": pl.Float64,
        "f": pl.Boolean,
        "g": pl.Boolean,
        "t": pl.String,
        "u": pl.String,
    }
    table = pl.DataFrame({name: pl.Series([given_[name]], dtype=types[name]) for name in types})
    return table.with_columns(compile_expression(text, SCOPE).compiled.alias("found"))["found"][0]


VALUES = [
    # three values of logic
    ("f AND g", {"f": False}, False),
    ("f AND g", {"f": True}, None),
    ("f OR g", {"f": True}, True),
    ("f OR g", {"f": False}, None),
    ("NOT f", {}, None),
    ("NOT f", {"f": True}, False),
    ("a > 1", {}, None),
    ("a > 1 OR a IS NULL", {}, True),
    ("a IN (1, 2)", {}, None),
    ("a NOT IN (1, 2)", {"a": 3.0}, True),
    ("a IN (1, b)", {"a": 3.0}, None),
    ("a BETWEEN 1 AND 2", {"a": 2.0}, True),
    ("a NOT BETWEEN 1 AND 2", {"a": 2.5}, True),
    ("f IS TRUE", {}, False),
    ("f IS FALSE", {}, False),
    ("f IS FALSE", {"f": False}, True),
    ("f IS NOT TRUE", {}, True),
    ("t <> 'x'", {}, None),
    ("t = u", {"t": "x", "u": "x"}, True),
    ("f = g", {"f": True, "g": False}, False),
    # division is real, by zero null
    ("7 / 2", {}, 3.5),
    ("a / b", {"a": 1.0, "b": 0.0}, None),
    ("a / b", {"a": 7.0, "b": 2.0}, 3.5),
    ("1 / 0 > 0", {}, None),
    ("FLOOR(a)", {"a": -0.5}, -1.0),
    ("ROUND(a)", {"a": 2.5}, 3.0),
    ("ROUND(a)", {"a": -2.5}, -3.0),
    ("ROUND(a, 2)", {"a": 8192.04 - 3192.04}, 5000.0),
    ("ABS(a - 5)", {"a": 2.0}, 3.0),
    ("-a", {"a": 2.0}, -2.0),
    ("CAST(f AS DOUBLE)", {"f": True}, 1.0),
    ("1 + 2 * 3", {}, 7.0),
    # nulls passed over, or taken over
    ("LEAST(a, b)", {"a": 2.0}, 2.0),
    ("GREATEST(a, b, 1)", {"a": 2.0, "b": 3.0}, 3.0),
    ("GREATEST(a, b)", {}, None),
    ("COALESCE(a, b, 4)", {"b": 3.0}, 3.0),
    ("COALESCE(t, 'none')", {}, "none"),
    ("CASE WHEN f THEN 1 WHEN a > 1 THEN 2 END", {"a": 2.0}, 2.0),
    ("CASE WHEN f THEN 1 END", {}, None),
    ("CASE WHEN f THEN NULL ELSE 'y' END", {"f": False}, "y"),
    # parameters
    ("a < :limit", {"a": 2.0}, True),
    ("t = :word AND :yes", {"t": "x"}, True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "row", "expected"), VALUES, ids=[f"{text} {row}" for text, row, _ in VALUES]
)
def test_values(text, row, expected):
    found = value_of(text, **row)
    assert found == expected
    assert type(found) is type(expected)


def test_a_null_condition_does_not_hold():
    table = pl.DataFrame({"a": [2.0, 1.0, None]})
    assert table.select(compile_expression("a > 1", SCOPE).holds)["a"].to_list() == [True, False, False]


def test_the_columns_are_those_of_the_text_each_once():
    assert compile_expression("b > a AND (f OR b < :limit)", SCOPE).columns == ("b", "a", "f")


REFUSED = [
    ("orders_al > 1", 1, "no column is called 'orders_al'; close: orders_all"),
    ("a > 1 AND order_all > 1", 11, "no column is called 'order_all'; close: orders_all"),
    ("x.a > 1", 1, "no column is called 'x.a'"),
    ("limit_ > 1 OR :limi > 1", 1, "no column is called 'limit_'"),
    ("a > :limi", 5, "no parameter is called :limi; close: limit"),
    ("a > word", 5, "no column is called 'word'; a parameter is written :word"),
    ("t > 1", 5, "t is text but 1 is number"),
    ("t = 1", 5, "t is text but 1 is number"),
    ("a IN (1, 'x')", 10, "a is number but 'x' is text"),
    ("t < 'x'", 1, "text has no order"),
    ("t BETWEEN 'a' AND 'b'", 1, "text has no order"),
    ("f > g", 1, "flag has no order"),
    ("at > '2020-01-01'", 6, "at is time but '2020-01-01' is text"),
    ("at + 1 > at", 1, "at is time, number is needed"),
    ("a AND f", 1, "a is number, flag is needed"),
    ("NOT a", 5, "a is number, flag is needed"),
    ("a = NULL", 1, "a comparison with NULL never holds: write IS NULL"),
    ("a IN (1, NULL)", 1, "a comparison with NULL never holds"),
    ("a + NULL", 1, "NULL needs IS NULL or a CASE"),
    ("NULL", 1, "'NULL' is null"),
    ("a IS 3", 1, "IS takes NULL, TRUE or FALSE"),
    ("a IN ()", 1, "IN takes a list"),
    ("CASE WHEN a THEN 1 END", 11, "a is number, flag is needed"),
    ("CASE WHEN f THEN 1 ELSE 'x' END", 25, "1 is number but 'x' is text"),
    ("CASE a WHEN 1 THEN 2 END", 6, "is not allowed"),
    ("COALESCE(a, 'x')", 13, "a is number but 'x' is text"),
    ("LEAST(t, 'x')", 1, "text has no order"),
    ("FLOOR(a, 2)", 7, "decimals is no part of the language"),
    ("ROUND(a, b)", 1, "the decimals are a whole number from 0 to 6"),
    ("ROUND(a, 7)", 1, "the decimals are a whole number from 0 to 6"),
    ("1e999", 1, "larger than any number"),
    ("SUM(a) > 1", 1, "an aggregate"),
    ("COUNT(*) > 1", 1, "an aggregate"),
    ("ROW_NUMBER() OVER () > 1", 1, "a window function"),
    ("SUM(a) OVER () > 1", 1, "a window function"),
    ("at < NOW()", 6, "the clock (use as_of)"),
    ("at < CURRENT_TIMESTAMP", 1, "the clock (use as_of)"),
    ("CURRENT_DATE", 1, "the clock (use as_of)"),
    ("a > (SELECT 1)", 13, "a query"),
    ("a IN (SELECT 1)", 1, "a query"),
    ("EXISTS(SELECT 1)", 15, "a query"),
    ("SELECT a", 8, "a query"),
    ("a DIV 2", 1, "whole-number division (write FLOOR(a / b))"),
    ("a // 2", 4, "is no expression"),
    ("a % 2", 1, "MOD is no part"),
    ("CAST(a / 2 AS INT)", 6, "may be cast to DOUBLE, nothing else"),
    ("CAST(t AS DOUBLE)", 6, "may be cast to DOUBLE, nothing else"),
    ("TRY_CAST(a AS DOUBLE)", 10, "is not allowed"),
    ("DATE '2020-01-01'", 6, "is not allowed"),
    ("t LIKE 'x%'", 1, "LIKE is no part"),
    ("t || 'x'", 1, "is not allowed"),
    ("RANDOM()", 1, "this function is no part"),
    ("anything(a)", 1, "this function is no part"),
    ("a BETWEEN SYMMETRIC 2 AND 1", 1, "symmetric is no part"),
    ("a IS DISTINCT FROM b", 1, "is not allowed"),
    ("*", 1, "is not allowed"),
    ("DROP TABLE x", 12, "is not allowed"),
    ("a > 1; b > 1", 1, "more than one expression"),
    ("", 1, "is empty"),
    ("a >", 3, "is no expression"),
    ("a > 1 b", 1, "ALIAS is no part"),
    ("t = 'x", 1, "a quote that is not closed"),
    ("(" * 1500, 1, "too deeply nested"),
    ("a" * (MOST_CHARACTERS + 1), 1, "at most 2000"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "column", "words"), REFUSED, ids=[text[:30] for text, _, _ in REFUSED])
def test_refused_with_place_and_words(text, column, words):
    with pytest.raises(PlaybookError) as error:
        compile_expression(text, SCOPE)
    assert str(error.value).startswith(f"column {column}: "), str(error.value)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert isinstance(error.value, InputError)


def test_the_wanted_type_is_asked_for():
    with pytest.raises(PlaybookError, match=r"'a' is number, wanted flag"):
        compile_expression("a", SCOPE, Type.FLAG)


# ------------------------------------------------------------------------------------------------- against DuckDB

NUMBERS = st.one_of(st.none(), st.sampled_from([-2.5, -1.0, 0.0, 0.5, 1.0, 2.0, 2.5, 3.0, 100.125]))
FLAGS = st.one_of(st.none(), st.booleans())
TEXTS = st.one_of(st.none(), st.sampled_from(["", "x", "y"]))
ROWS = st.fixed_dictionaries({"a": NUMBERS, "b": NUMBERS, "f": FLAGS, "g": FLAGS, "t": TEXTS, "u": TEXTS})
DUCK_TYPES = {"a": "DOUBLE", "b": "DOUBLE", "f": "BOOLEAN", "g": "BOOLEAN", "t": "VARCHAR", "u": "VARCHAR"}


def joined(template, *parts):
    return st.tuples(*parts).map(lambda found: template.format(*found))


def number_texts(inner, flags):
    pair = [joined(f"({{}} {operator} {{}})", inner, inner) for operator in ("+", "-", "*", "/")]
    one = [joined(f"{name}({{}})", inner) for name in ("FLOOR", "ABS", "ROUND", "-")]
    more = [joined(f"{name}({{}}, {{}})", inner, inner) for name in ("LEAST", "GREATEST", "COALESCE")]
    cases = (
        joined("CASE WHEN {} THEN {} ELSE {} END", flags, inner, inner),
        joined("CASE WHEN {} THEN {} END", flags, inner),
    )
    return st.one_of(*pair, *one, *more, *cases, joined("CAST({} AS DOUBLE)", flags))


LEAVES = st.sampled_from(["a", "b", "1e0", "2.5e0", "0e0"])
TEXT_LEAVES = st.sampled_from(["t", "u", "'x'", "COALESCE(t, u, 'y')"])
COMPARED = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
SIMPLE = st.one_of(
    st.sampled_from(["f", "g", "TRUE", "FALSE"]),
    joined("({} {} {})", LEAVES, COMPARED, LEAVES),
    joined("({} {} {})", TEXT_LEAVES, st.sampled_from(["=", "<>"]), TEXT_LEAVES),
    joined("({} IN ({}, {}))", LEAVES, LEAVES, LEAVES),
    joined("({} NOT IN ({}, 'y'))", TEXT_LEAVES, TEXT_LEAVES),
    joined("({} IS NULL)", LEAVES),
    joined("({} IS NOT NULL)", TEXT_LEAVES),
    joined("({} IS TRUE)", st.sampled_from(["f", "g"])),
)
NUMBER_TEXTS = st.recursive(LEAVES, lambda inner: number_texts(inner, SIMPLE), max_leaves=8)
FLAG_TEXTS = st.recursive(
    st.one_of(
        SIMPLE,
        joined("({} {} {})", NUMBER_TEXTS, COMPARED, NUMBER_TEXTS),
        joined("({} BETWEEN {} AND {})", NUMBER_TEXTS, LEAVES, NUMBER_TEXTS),
    ),
    lambda inner: st.one_of(
        joined("({} AND {})", inner, inner), joined("({} OR {})", inner, inner), joined("(NOT {})", inner)
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def database():
    with duckdb.connect() as connection:
        connection.execute("SET error_on_division_by_zero = false; SET ieee_floating_point_ops = false")
        yield connection


def in_database(database, text, row):
    columns = ", ".join(f"CAST(${name} AS {type_}) AS {name}" for name, type_ in DUCK_TYPES.items())
    return database.execute(f"SELECT {text} FROM (SELECT {columns})", row).fetchone()[0]


@given(text=st.one_of(NUMBER_TEXTS, FLAG_TEXTS), rows=st.lists(ROWS, min_size=1, max_size=4))
def test_the_database_agrees(database, text, rows):
    for row in rows:
        expected, found = in_database(database, text, row), value_of(text, **row)
        if isinstance(expected, float):
            assert found is not None
            assert math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12), (text, row)
        else:
            assert found == expected, (text, row)
