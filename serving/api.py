"""Request and answer types. The types of facts are made from the canonical tables, so that there is one contract."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    create_model,
)

from features.incoming import microseconds
from features.tables import TABLES, ZONES, Column
from serving.store import Incoming

__all__ = [
    "AHEAD",
    "FACTS",
    "MOST_CUSTOMERS",
    "MOST_FACTS",
    "DecideRequest",
    "FactKind",
    "InlineCustomer",
    "Rejected",
    "Reported",
    "ScoreRequest",
    "read_facts",
]

AHEAD = timedelta(minutes=5)
"""How far a till's clock may run ahead of the server's."""

MOST_CUSTOMERS, MOST_FACTS = 1_000, 5_000
"""Of one request."""

_LARGEST_CONTEXT = 10_000
_STRICT = ConfigDict(extra="forbid", coerce_numbers_to_str=True)


def _written(value: object) -> object:
    if not isinstance(value, str) or value[4:5] != "-":  # "1700000000" is a number too
        raise ValueError("a time is text such as 2026-11-25T10:00:00+08:00")
    return value


def _finite(value: object) -> object:
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("is no finite number, nor text")
    return value


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("is no number")
    return value


def _plain(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,3})?", value, re.ASCII):
        raise ValueError("is no number")  # "1_000" and digits of other scripts would be read as well
    return _number(value)


def _small(value: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(value, allow_nan=False)) > _LARGEST_CONTEXT:
        raise ValueError(f"is longer than {_LARGEST_CONTEXT:,} characters as JSON")
    return value


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as problem:
        raise ValueError("lies outside the years 1 to 9999") from problem


def _rounded(digits: int) -> Callable[[Decimal], Decimal]:
    step = Decimal(1).scaleb(-digits)

    def round_(value: Decimal) -> Decimal:
        return value.quantize(step, ROUND_HALF_UP)  # as the warehouse rounds

    return round_


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError("is 0 when rounded")
    return value


def _zone(value: str) -> str:
    if value not in ZONES:
        raise ValueError("is no IANA time zone")
    return value


_LARGEST_WHOLE = 2**53
"""Beyond it a whole number is not exact everywhere that it passes through."""

_NO_NUL = r"^[^\x00]+$"
_ONE_LINE = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"
_Text = Annotated[
    str, StringConstraints(min_length=1, max_length=2_000, pattern=_NO_NUL), BeforeValidator(_finite)
]
_Id = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=_ONE_LINE), BeforeValidator(_finite)
]
_Source = Annotated[str, StringConstraints(min_length=1, max_length=50, pattern=r"^[A-Za-z0-9_.-]+$")]
_Time = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_to_utc)]

# canonical type -> pydantic's
_TYPES: Mapping[str, Any] = {
    "id": _Id,
    "text": _Text,
    "zone": Annotated[_Id, AfterValidator(_zone)],
    "time": _Time,
    "date": date,
    "amount": Annotated[Decimal, BeforeValidator(_plain)],
    "quantity": Annotated[Decimal, BeforeValidator(_plain)],
    "real": Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_number)],
    "integer": Annotated[int, Field(ge=-_LARGEST_WHOLE, le=_LARGEST_WHOLE), BeforeValidator(_number)],
    "flag": bool,
    "json": dict[str, Any],
}


# canonical type -> what is done with a value within its bounds
_AFTER: Mapping[str, tuple[Callable[[Decimal], Decimal], ...]] = {
    "amount": (_rounded(2),),
    "quantity": (_rounded(3), _positive),
}


def _field(column: Column) -> tuple[Any, Any]:
    kind = Literal[column.choices] if column.choices else _TYPES[column.type]
    bounds: Any = {"ge": column.minimum, "gt": column.above, "le": column.maximum}
    bounded = Field(**{name: bound for name, bound in bounds.items() if bound is not None})
    kind = Annotated[kind, bounded, *(AfterValidator(done) for done in _AFTER.get(column.type, ()))]
    return (kind, ...) if column.required else (kind | None, None)


def _model(name: str, columns: Sequence[Column], **more: Any) -> type[BaseModel]:
    fields: dict[str, Any] = {column.name: _field(column) for column in columns}
    fields |= {"source": (_Source, "main"), **more}
    made: type[BaseModel] = create_model(name, __config__=_STRICT, **fields)
    return made


def _order() -> type[BaseModel]:
    """An order is its lines' common columns and the lines."""
    own = (
        "line_id",
        "product_id",
        "quantity",
        "gross_amount",
        "discount_amount",
        "net_amount",
        "cost_amount",
    )
    columns = TABLES["order_lines"].columns
    fields: dict[str, Any] = {column.name: _field(column) for column in columns if column.name in own}
    line = create_model("OrderLine", __config__=_STRICT, **fields)
    common = [column for column in columns if column.name not in (*own, "kind", "currency")]
    return _model(
        "Order", common, kind=(Literal["sale", "return"], "sale"), currency=(_Id | None, None),
        lines=(Annotated[list[line], Field(min_length=1, max_length=1_000)], ...),  # type: ignore[valid-type]
    )  # fmt: skip


@dataclass(frozen=True)
class FactKind:
    """One kind of fact that may be reported.

    Attributes
    ----------
    name
        In the path and in the body: ``POST /v1/orders {"orders": [...]}``.
    time
        Column of the business time.
    key
        Columns that identify it within its source.
    """

    name: str
    table: str
    model: type[BaseModel]
    time: str
    key: tuple[str, ...]


def _kind(name: str, table: str, model: type[BaseModel], key: tuple[str, ...] | None = None) -> FactKind:
    time = TABLES[table].time
    return FactKind(name, table, model, str(time), key or TABLES[table].key)


FACTS: Mapping[str, FactKind] = {
    "orders": _kind("orders", "order_lines", _order(), ("order_id",)),
    **{
        name: _kind(name, name, _model(model, TABLES[name].columns))
        for name, model in (
            ("events", "Event"),
            ("tickets", "Ticket"),
            ("contacts", "Contact"),
            ("feedback", "Feedback"),
        )
    },
    # a refusal at the instant of a consent is a word of its own
    "consents": _kind(
        "consents",
        "consents",
        _model("Consent", TABLES["consents"].columns),
        (*TABLES["consents"].key, "status"),
    ),
}
"""Name in path and body -> kind of fact."""


class Rejected(BaseModel):
    """A fact that was not taken in: its place in the request, from 0, and why."""

    index: int
    detail: str


class Reported(BaseModel):
    """What became of reported facts."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]


class InlineCustomer(BaseModel):
    """A customer whose facts are given with the request and not kept."""

    model_config = _STRICT
    customer_id: _Id
    orders: list[Any] = []
    events: list[Any] = []
    tickets: list[Any] = []
    contacts: list[Any] = []
    consents: list[Any] = []
    feedback: list[Any] = []


class ScoreRequest(BaseModel):
    """Customers by id, or with their facts; one of the two."""

    model_config = _STRICT
    customer_ids: Annotated[list[_Id], Field(max_length=MOST_CUSTOMERS)] | None = None
    customers: Annotated[list[InlineCustomer], Field(max_length=MOST_CUSTOMERS)] | None = None


class DecideRequest(BaseModel):
    """One customer; ``channels`` are those that the caller can use now, all by default.

    ``placement`` and ``context`` are kept with the decision.
    """

    model_config = _STRICT
    customer_id: _Id
    placement: _Text | None = None
    channels: Annotated[list[_Id], Field(min_length=1, max_length=20)] | None = None
    context: Annotated[dict[str, Any], AfterValidator(_small)] = {}
    commit: bool = False


def read_facts(
    kind: FactKind, items: Sequence[Any], now: datetime, currency: str
) -> tuple[list[tuple[int, Incoming]], list[Rejected]]:
    """Hold each fact against its contract; a bad one does not spoil the others.

    Parameters
    ----------
    now
        The server's; a fact more than ``AHEAD`` after it is refused.

    Returns
    -------
    tuple
        Facts with their places in the request, and the rejected.
    """
    good, rejected = [], []
    for index, item in enumerate(items):
        try:
            content = kind.model.model_validate(item).model_dump(mode="json", exclude_none=True)
        except ValidationError as problem:
            rejected.append(Rejected(index=index, detail=_words(problem)))
            continue
        source = content.pop("source")
        wrong = _wrong(kind, content, now, currency)
        if wrong:
            rejected.append(Rejected(index=index, detail=wrong))
            continue
        good.append((index, _incoming(kind, source, content, now)))
    return good, rejected


def _incoming(kind: FactKind, source: str, content: dict[str, Any], now: datetime) -> Incoming:
    if (
        kind.table == "consents"
    ):  # nobody agrees before the word has come: else a later refusal would be overtaken
        content["at"] = min(content["at"], now.isoformat(), key=lambda text: microseconds(text) or 0)
    if "lines" in content:
        content["lines"].sort(key=lambda line: line["line_id"])  # the same order, however its lines stand
    at = microseconds(content[kind.time]) or 0
    parts = [str(at) if name == kind.time else content[name] for name in kind.key]
    return Incoming(kind.table, source, "|".join(parts), content.get("customer_id"), at, content)


def _wrong(kind: FactKind, content: dict[str, Any], now: datetime, currency: str) -> str | None:
    latest = microseconds((now + AHEAD).isoformat()) or 0
    for column in TABLES[kind.table].columns:
        if column.type == "time" and (microseconds(content.get(column.name)) or latest) > latest:
            return (
                f"{column.name} {content[column.name]} lies more than 5 minutes ahead of the server's {now.isoformat()}: "
                "facts are reported once they have happened"
            )
    if "lines" in content:
        if content["kind"] == "return" and content.get("original_order_id") in (None, content["order_id"]):
            return "a return has an order_id of its own, and names the sale that it brings back in original_order_id"
        content.setdefault("currency", currency)
        if content["currency"] != currency:
            return f"currency {content['currency']} is not the warehouse's {currency}"
        line_ids = [line["line_id"] for line in content["lines"]]
        if len(set(line_ids)) < len(line_ids):
            return "lines: a line_id is given twice"
    return None


def _words(problem: ValidationError) -> str:
    first, *others = problem.errors(include_url=False, include_context=False)
    where = ".".join(str(step) for step in first["loc"])
    given = json.dumps(first["input"], default=str, ensure_ascii=False)
    shown = f", got {given[:80]}" if first["type"] != "missing" else ""
    more = f" (and {len(others)} more)" if others else ""
    said = first["msg"].removeprefix("Value error, ")
    return f"{where or 'the fact'}: {said[0].lower()}{said[1:]}{shown}{more}"
