"""Measures of a playbook's own, in the vocabulary of the features: computed by the same kernel, offline and online.

The vocabulary also holds what the catalogue alone needs. What would mean nothing in a playbook, or would depend on the
order of the rows, is refused here.
"""

from collections.abc import Iterator, Mapping

from features.errors import InputError
from features.operations import OPERATIONS
from features.streams import CHOICES
from features.vocabulary import STREAMS, Feature, Filter, Measure
from serving.rules.columns import TAKEN, column_type
from serving.rules.document import Reader
from serving.rules.naming import Names

__all__ = ["MOST_DAYS", "read_measures"]

MOST_DAYS = 3660
"""The longest window but for the whole history."""

_GROUP = "playbook"

# operation -> why a playbook may not use it
_NOT_HERE = {
    **dict.fromkeys(
        ("ratio", "difference", "change"),
        "looks at other features: write it under derived, as an expression of theirs",
    ),
    **dict.fromkeys(("season_sin", "season_cos", "given"), "tells of the day alone, nothing of the customer"),
}
_WHOLE_NUMBERS = ("count", "distinct", "periods", "followed", "open", "gaps", "longer_gaps")
_IDS: Mapping[str, tuple[str, ...]] = {
    "orders": ("store",),
    "lines": ("product",),
    "returns": ("order_id", "product"),
    "events": ("product", "session"),
}
# operations that take words one after the other: those of ids and free text stand in no order
_IN_ORDER = ("top_word", "last_word", "hhi", "entropy")
_UNORDERED: Mapping[str, tuple[str, ...]] = {**_IDS, "events": (*_IDS["events"], "channel")}


def read_measures(reader: Reader, names: Names) -> tuple[Feature, ...]:
    """Read ``name: {stream, operation, ...}``; each of its features is a column for what follows.

    Raises
    ------
    PlaybookError
        The vocabulary has no place for it, it is not for playbooks, or its name is taken; with file, line and column.
    """
    found: list[Feature] = []
    for name, value in reader.entries().items():
        features = tuple(_measure(value, name).features(_GROUP))
        for feature in features:
            if TAKEN & {name, feature.name}:
                raise value.fail(
                    f"{feature.name!r} would be mistaken for what is called so already: choose another name"
                )
            names.add_input(value, feature.name, column_type(feature))
        found += features
    return tuple(found)


def _measure(reader: Reader, name: str) -> Measure:
    fields = reader.fields("stream operation unit en", "of by where windows most over")
    if "over" in fields:
        raise fields["over"].fail(
            "a measure looks at rows: what looks at features is an expression, write it under derived"
        )
    measure = Measure(
        name,
        stream=fields["stream"].choice(tuple(STREAMS)),
        operation=fields["operation"].choice(tuple(OPERATIONS)),
        unit=fields["unit"].text(),
        meaning=fields["en"].text(),
        of=fields["of"].text() if "of" in fields else "",
        by=fields["by"].text() if "by" in fields else "",
        where=_where(fields["where"]) if "where" in fields else (),
        windows=_windows(fields["windows"]) if "windows" in fields else (),
        most=fields["most"].whole(1, 100) if "most" in fields else 1,
    )
    for key, message in _faults(measure):
        raise fields[key].fail(message)
    try:
        measure.require()
    except InputError as error:
        raise reader.fail(str(error)) from None
    _require_words(fields, measure)
    return measure


def _where(reader: Reader) -> Filter:
    return tuple(
        (column, tuple(word.text() for word in words.one_or_more()))
        for column, words in reader.entries().items()
    )


def _windows(reader: Reader) -> tuple[int | None, ...]:
    items = reader.one_or_more()
    return tuple(None if item.expression() == "all" else item.whole(1, MOST_DAYS) for item in items)


def _faults(one: Measure) -> Iterator[tuple[str, str]]:
    """Yield what the vocabulary allows and a playbook may not ask for: the key, and why."""
    if one.stream == "cutoffs":
        yield "stream", "cutoffs has no rows of a customer's"
    if why := _NOT_HERE.get(one.operation):
        yield "operation", f"{one.operation} {why}"
    operation = OPERATIONS[one.operation]
    if operation.stream not in ("", one.stream):
        yield "operation", f"{one.operation} is of {operation.stream} only, not of {one.stream}"
    if one.unit == "count" and one.operation not in _WHOLE_NUMBERS:
        yield "unit", f"a count is a whole number, {one.operation} gives none: name another unit"
    if one.most > 1 and one.operation != "top_share":
        yield "most", f"most is for top_share, {one.operation} has no use for it"
    step, least = operation.step_days, operation.least_days
    if any(days is not None and (days % step or days < least) for days in one.windows):
        yield "windows", f"{one.operation} goes by {step} days: windows are multiples of it, from {least} on"
    yield from _column_faults(one)


def _column_faults(one: Measure) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a column that the vocabulary has."""
    filtered = dict(one.where)
    for key, column in (("of", one.of), ("by", one.by), *(("where", column) for column in filtered)):
        if column == "day" and (key, one.operation) != ("of", "distinct"):
            yield key, "days are counted distinctly (operation distinct, of day), nothing else"
        if column == "repeat_day":
            yield key, "repeat_day tells apart days, not orders: count days (operation distinct, of day)"
        if column == "rating" and "rated_kind" not in filtered:
            yield key, "not every piece of feedback has a rating: choose by where: {rated_kind: ...}"
        if (one.stream, column) == ("tickets", "csat") and one.operation != "last_rated":
            yield key, "not every ticket has a rating, which comes later: look at the stream ratings"
        if key != "where" and one.operation in _IN_ORDER and column in _UNORDERED.get(one.stream, ()):
            yield (
                key,
                f"{column} has no order that {one.operation} could keep to: look at a kind, category or brand",
            )


def _require_words(fields: Mapping[str, Reader], one: Measure) -> None:
    """Refuse a word that no row can have: it would count nothing, and nobody would be told."""
    if not one.where:
        return
    for column, words in fields["where"].entries().items():
        choices = CHOICES.get("lines" if one.stream == "orders" else one.stream, {}).get(
            column.removeprefix("rated_")
        )
        for word in words.one_or_more():
            if choices:
                word.choice(choices)
            elif column in _IDS.get(one.stream, ()) and "|" not in word.text():
                raise word.fail(
                    f"{word.text()!r} is no id: write its source before it, as in main|{word.text()}"
                )
