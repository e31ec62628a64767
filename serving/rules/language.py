"""The language of conditions and values: SQL over a customer's columns, checked when it is loaded, compiled to Polars.

A name is a column, ``:name`` a parameter of the playbook. Numbers are float64 and ``/`` divides as reals, by zero to null.
Logic has three values as in SQL, and a condition that is null does not hold. ``LEAST`` and ``GREATEST`` pass over
nulls, ``ROUND`` takes halves away from zero. What is not in the table of nodes is refused: aggregates, window functions,
subqueries, the clock, whole-number division.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl
import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from features.errors import PlaybookError
from serving.rules.columns import Type
from serving.rules.nodes import NODES, Fault, Node, Typed

__all__ = ["MOST_CHARACTERS", "Expression", "Scope", "compile_expression", "suggestion"]

MOST_CHARACTERS = 2000

Place = Callable[[int], str]
"""Where an offset of the expression stands, in words for an error."""


@dataclass(frozen=True)
class Scope:
    """What an expression may name.

    Attributes
    ----------
    columns
        Column -> type.
    parameters
        Parameter -> value.
    """

    columns: Mapping[str, Type]
    parameters: Mapping[str, float | str | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Expression:
    """An expression, checked and compiled.

    Attributes
    ----------
    columns
        Columns it reads itself, in the order of their first mention.
    compiled
        Its Polars expression; a condition (type flag) may be null, which does not hold.
    """

    text: str
    type: Type
    columns: tuple[str, ...]
    compiled: pl.Expr = field(compare=False, repr=False)

    @property
    def holds(self) -> pl.Expr:
        """The condition, never null."""
        return self.compiled.fill_null(value=False)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the close names in words, for the end of an error."""
    close = difflib.get_close_matches(name, list(known), n=3)
    return f"; close: {', '.join(close)}" if close else ""


def _offset(position: int) -> str:
    return f"column {position + 1}"


def compile_expression(
    text: str, scope: Scope, wanted: Type | None = None, at: Place = _offset
) -> Expression:
    """Parse, check and compile an expression.

    Parameters
    ----------
    text
        SQL, at most 2,000 characters.
    scope
        Columns and parameters that it may name.
    wanted
        Type that it must have; any but null if not given.
    at
        Turns an offset into the place that an error names.

    Raises
    ------
    PlaybookError
        It cannot be parsed, uses what the language does not have, names what is not known, or mixes types.
    """
    if len(text) > MOST_CHARACTERS:
        raise PlaybookError(
            f"{at(0)}: {len(text)} characters, at most {MOST_CHARACTERS}: use derived columns"
        )
    try:
        tree = _parsed(text)
        typed = _Compiler(scope).visit(tree)
    except Fault as fault:
        raise PlaybookError(f"{at(_position(fault.node, text))}: {fault}") from None
    except ParseError as error:
        found = error.errors[0]
        raise PlaybookError(
            f"{at(_offset_of(text, found['line'], found['col']))}: {text!r} is no expression: {found['description']}"
        ) from None
    except (TokenError, RecursionError) as error:
        what = "too deeply nested" if isinstance(error, RecursionError) else "a quote that is not closed"
        raise PlaybookError(f"{at(0)}: {text[:60]!r} is no expression: {what}") from None
    if typed.type is Type.NULL or (wanted and typed.type is not wanted):
        raise PlaybookError(f"{at(0)}: {text!r} is {typed.type}, wanted {wanted or 'a value'}")
    columns = dict.fromkeys(column.name for column in tree.find_all(exp.Column, bfs=False))
    return Expression(text, typed.type, tuple(columns), typed.expr)


def _parsed(text: str) -> Node:
    statements = sqlglot.parse(text)
    if len(statements) != 1 or statements[0] is None:
        raise Fault(None, f"{text!r} is {'empty' if not any(statements) else 'more than one expression'}")
    return statements[0]


@dataclass(frozen=True)
class _Compiler:
    """Walks the tree: each node by its row of the table."""

    scope: Scope

    def visit(self, node: Node) -> Typed:
        if isinstance(node, exp.Column):
            return self._column(node)
        if isinstance(node, exp.Placeholder):
            return self._parameter(node)
        row = NODES.get(type(node))
        if row is None:
            raise Fault(node, f"{node.sql()} is not allowed: {_kind(node)} is no part of the language")
        extra = [name for name, value in node.args.items() if value and name not in row.arguments]
        if extra:
            raise Fault(
                node,
                f"{node.sql()} is not allowed: {_kind(node) if 'query' in extra else ', '.join(extra)} is no part of the language",
            )
        return row.make(node, self.visit)

    def _column(self, node: exp.Column) -> Typed:
        if node.table or node.name not in self.scope.columns:
            name = f"{node.table}.{node.name}" if node.table else node.name
            raise Fault(node, f"no column is called {name!r}{self._close(node.name)}")
        return Typed(pl.col(node.name), self.scope.columns[node.name])

    def _close(self, name: str) -> str:
        if name in self.scope.parameters:
            return f"; a parameter is written :{name}"
        return suggestion(name, self.scope.columns)

    def _parameter(self, node: exp.Placeholder) -> Typed:
        if node.name not in self.scope.parameters:
            close = suggestion(node.name, self.scope.parameters)
            raise Fault(node, f"no parameter is called :{node.name}{close}")
        value = self.scope.parameters[node.name]
        if isinstance(value, bool):
            return Typed(pl.lit(value), Type.FLAG)
        if isinstance(value, str):
            return Typed(pl.lit(value), Type.TEXT)
        return Typed(pl.lit(float(value)), Type.NUMBER)


_KINDS: tuple[tuple[type[exp.Expr], str], ...] = (
    (exp.Window, "a window function"),
    (exp.AggFunc, "an aggregate"),
    (exp.Query, "a query"),
    (exp.In, "a query"),
    (exp.Exists, "a query"),
    (exp.IntDiv, "whole-number division (write FLOOR(a / b))"),
    (exp.Cast, "a cast other than of a flag or number to DOUBLE"),
    (exp.CurrentDate, "the clock (use as_of)"),
    (exp.CurrentTimestamp, "the clock (use as_of)"),
    (exp.Func, "this function"),
)


def _kind(node: Node) -> str:
    if node.name.lower() == "now":
        return "the clock (use as_of)"
    return next((words for kind, words in _KINDS if isinstance(node, kind)), type(node).__name__.upper())


def _position(node: Node | None, text: str) -> int:
    """Offset of a node: its own, else that of the first of its parts that has one."""
    if node is None:
        return 0
    if isinstance(node, exp.Placeholder):
        return max(text.find(f":{node.name}"), 0)
    return min((part.meta["start"] for part in node.walk() if "start" in part.meta), default=0)


def _offset_of(text: str, line: int, column: int) -> int:
    lines = text.split("\n")
    return sum(len(before) + 1 for before in lines[: line - 1]) + max(column - 1, 0)
