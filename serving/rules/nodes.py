"""The nodes of the language: for each the parts it may have, the types they must have, and its Polars expression."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import isfinite
from operator import add, and_, eq, ge, gt, le, lt, mul, ne, or_, sub
from typing import Any, TypeAlias

import polars as pl
from sqlglot import exp

from serving.rules.columns import Type

__all__ = ["NODES", "Fault", "Node", "Row", "Typed"]

Node: TypeAlias = exp.Expr
Visit: TypeAlias = "Callable[[Node], Typed]"


class Fault(Exception):
    """What is wrong with a node; language.py adds where it stands."""

    def __init__(self, node: Node | None, message: str) -> None:
        super().__init__(message)
        self.node = node


@dataclass(frozen=True)
class Typed:
    """A compiled part and its type."""

    expr: pl.Expr
    type: Type


@dataclass(frozen=True)
class Row:
    """How a node is compiled.

    Attributes
    ----------
    arguments
        The only parts of the node that may be filled.
    """

    arguments: tuple[str, ...]
    make: Callable[[Any, Visit], Typed]


_ORDERED = (Type.NUMBER, Type.TIME)
_DTYPES: dict[Type, Any] = {
    Type.NUMBER: pl.Float64, Type.TEXT: pl.String, Type.FLAG: pl.Boolean, Type.TIME: pl.Datetime("us"),
}  # fmt: skip


def _of(type_: Type, node: Node, visit: Visit) -> pl.Expr:
    found = visit(node)
    if found.type is not type_:
        hint = "; NULL needs IS NULL or a CASE" if found.type is Type.NULL else ""
        raise Fault(node, f"{node.sql()} is {found.type}, {type_} is needed here{hint}")
    return found.expr


def _alike(nodes: Sequence[Node], visit: Visit) -> tuple[list[pl.Expr], Type]:
    """Compile parts that must be of one type; NULL takes that of the others."""
    found = [visit(node) for node in nodes]
    first = next((number for number, part in enumerate(found) if part.type is not Type.NULL), 0)
    wanted = found[first].type
    for node, part in zip(nodes, found, strict=True):
        if part.type not in (wanted, Type.NULL):
            raise Fault(
                node, f"{nodes[first].sql()} is {wanted} but {node.sql()} is {part.type}: no mixing of types"
            )
    dtype = _DTYPES.get(wanted)
    return [
        part.expr.cast(dtype) if dtype and part.type is Type.NULL else part.expr for part in found
    ], wanted


def _logic(operator: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Row:
    def make(node: exp.Binary, visit: Visit) -> Typed:
        return Typed(operator(_of(Type.FLAG, node.left, visit), _of(Type.FLAG, node.right, visit)), Type.FLAG)

    return Row(("this", "expression"), make)


def _not(node: exp.Not, visit: Visit) -> Typed:
    return Typed(~_of(Type.FLAG, node.this, visit), Type.FLAG)


def _pair(nodes: Sequence[Node], visit: Visit) -> tuple[list[pl.Expr], Type]:
    for node in nodes:
        if isinstance(node, exp.Null):
            raise Fault(nodes[0], "a comparison with NULL never holds: write IS NULL or IS NOT NULL")
    return _alike(nodes, visit)


def _comparison(operator: Callable[[pl.Expr, pl.Expr], Any], *, ordered: bool) -> Row:
    def make(node: exp.Binary, visit: Visit) -> Typed:
        (left, right), type_ = _pair((node.left, node.right), visit)
        if ordered and type_ not in _ORDERED:
            raise Fault(node, f"{node.sql()}: {type_} has no order, use = or <>")
        return Typed(operator(left, right), Type.FLAG)

    return Row(("this", "expression"), make)


def _between(node: exp.Between, visit: Visit) -> Typed:
    (value, low, high), type_ = _pair((node.this, node.args["low"], node.args["high"]), visit)
    if type_ not in _ORDERED:
        raise Fault(node, f"{node.sql()}: {type_} has no order, use IN")
    return Typed((value >= low) & (value <= high), Type.FLAG)


def _in(node: exp.In, visit: Visit) -> Typed:
    if not node.expressions:
        raise Fault(node, f"{node.sql()} is not allowed: IN takes a list of values")
    (value, *choices), _ = _pair((node.this, *node.expressions), visit)
    return Typed(reduce(or_, [value == choice for choice in choices]), Type.FLAG)


def _is(node: exp.Is, visit: Visit) -> Typed:
    if isinstance(node.expression, exp.Null):
        return Typed(visit(node.this).expr.is_null(), Type.FLAG)
    if not isinstance(node.expression, exp.Boolean):
        raise Fault(node, f"{node.sql()} is not allowed: IS takes NULL, TRUE or FALSE")
    value = _of(Type.FLAG, node.this, visit)
    return Typed((value if node.expression.this else ~value).fill_null(value=False), Type.FLAG)


def _arithmetic(operator: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Row:
    def make(node: exp.Binary, visit: Visit) -> Typed:
        return Typed(
            operator(_of(Type.NUMBER, node.left, visit), _of(Type.NUMBER, node.right, visit)), Type.NUMBER
        )

    return Row(("this", "expression"), make)


def _divided(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    return pl.when(right != 0).then(left / right)


def _case(node: exp.Case, visit: Visit) -> Typed:
    arms: list[exp.If] = node.args["ifs"]
    conditions = [_of(Type.FLAG, arm.this, visit) for arm in arms]
    default = node.args.get("default") or exp.Null()
    (*values, result), type_ = _alike([*(arm.args["true"] for arm in arms), default], visit)
    for condition, value in reversed(list(zip(conditions, values, strict=True))):
        result = pl.when(condition).then(value).otherwise(result)
    return Typed(result, type_)


def _first(node: exp.Coalesce, visit: Visit) -> Typed:
    values, type_ = _alike((node.this, *node.expressions), visit)
    return Typed(pl.coalesce(values), type_)


def _extreme(horizontal: Callable[..., pl.Expr]) -> Row:
    def make(node: exp.Func, visit: Visit) -> Typed:
        values, type_ = _alike((node.this, *node.expressions), visit)
        if type_ not in _ORDERED:
            raise Fault(node, f"{node.sql()}: {type_} has no order")
        return Typed(horizontal(*values), type_)

    return Row(("this", "expressions", "ignore_nulls"), make)


def _number(apply: Callable[[pl.Expr], pl.Expr]) -> Row:
    def make(node: Node, visit: Visit) -> Typed:
        return Typed(apply(_of(Type.NUMBER, node.this, visit)), Type.NUMBER)

    return Row(("this",), make)


def _round(node: exp.Round, visit: Visit) -> Typed:
    decimals = node.args.get("decimals") or exp.Literal.number(0)
    if not (isinstance(decimals, exp.Literal) and decimals.name in tuple("0123456")):
        raise Fault(node, f"{node.sql()}: the decimals are a whole number from 0 to 6")
    value = _of(Type.NUMBER, node.this, visit)
    return Typed(value.round(int(decimals.name), mode="half_away_from_zero"), Type.NUMBER)


def _literal(node: exp.Literal, _: Visit) -> Typed:
    if node.is_string:
        return Typed(pl.lit(node.name), Type.TEXT)
    value = float(node.name)
    if not isfinite(value):
        raise Fault(node, f"{node.name} is larger than any number")
    return Typed(pl.lit(value), Type.NUMBER)


def _cast(node: exp.Cast, visit: Visit) -> Typed:
    found = visit(node.this)
    if found.type not in (Type.NUMBER, Type.FLAG) or not node.to.is_type(exp.DType.DOUBLE):
        raise Fault(
            node, f"{node.sql()} is not allowed: a flag or a number may be cast to DOUBLE, nothing else"
        )
    return Typed(found.expr.cast(pl.Float64), Type.NUMBER)


NODES: dict[type[Node], Row] = {
    exp.And: _logic(and_),
    exp.Or: _logic(or_),
    exp.Not: Row(("this",), _not),
    exp.Paren: Row(("this",), lambda node, visit: visit(node.this)),
    exp.EQ: _comparison(eq, ordered=False),
    exp.NEQ: _comparison(ne, ordered=False),
    exp.LT: _comparison(lt, ordered=True),
    exp.LTE: _comparison(le, ordered=True),
    exp.GT: _comparison(gt, ordered=True),
    exp.GTE: _comparison(ge, ordered=True),
    exp.Between: Row(("this", "low", "high"), _between),
    exp.In: Row(("this", "expressions"), _in),
    exp.Is: Row(("this", "expression"), _is),
    exp.Case: Row(("ifs", "default"), _case),
    exp.Coalesce: Row(("this", "expressions"), _first),
    exp.Least: _extreme(pl.min_horizontal),
    exp.Greatest: _extreme(pl.max_horizontal),
    exp.Add: _arithmetic(add),
    exp.Sub: _arithmetic(sub),
    exp.Mul: _arithmetic(mul),
    exp.Div: _arithmetic(_divided),
    exp.Neg: _number(lambda value: -value),
    exp.Floor: _number(pl.Expr.floor),
    exp.Abs: _number(pl.Expr.abs),
    exp.Round: Row(("this", "decimals"), _round),
    exp.Cast: Row(("this", "to"), _cast),
    exp.Literal: Row(("this", "is_string"), _literal),
    exp.Boolean: Row(("this",), lambda node, _: Typed(pl.lit(node.this), Type.FLAG)),
    exp.Null: Row((), lambda _node, _visit: Typed(pl.lit(None), Type.NULL)),
}
"""Node -> how it is compiled. The whitelist: whatever is not here is refused."""
