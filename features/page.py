"""The catalogue as a page for people: ``python -m features.page`` (``make catalogue``) writes ``features/CATALOGUE.md`` anew."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from features.catalogue import FACTS, FEATURES, GROUPS
from features.operations import OPERATIONS
from features.vocabulary import STREAMS, Feature, window_name

__all__ = ["PAGE", "page", "sentence", "window"]

PAGE = Path(__file__).with_name("CATALOGUE.md")

_WINDOWS = {"any": "days, or the whole history", "none": "the whole history", "days": "days"}
"""What an operation says of windows -> in words."""


def sentence(group: str) -> str:
    """Return what a group is about: the first line of its module, or of the facts'."""
    return (sys.modules[f"features.{group}"].__doc__ or "").partition("\n")[0]


def window(feature: Feature) -> str:
    """Return the window as in the feature's name; ``-`` for one that has none in its name."""
    return window_name(feature.window_days) if feature.measure.windows else "-"


def page() -> str:
    """Return the page: every group, the facts, the vocabulary; Markdown."""
    groups = (_group(group, [one for one in FEATURES if one.group == group]) for group in GROUPS)
    return "\n".join((_HEAD, *groups, _group("facts", FACTS), _VOCABULARY, _streams(), _operations()))


_HEAD = f"""# The catalogue

{len(FEATURES)} features in {len(GROUPS)} groups, in column order, and {len(FACTS)} facts, which rules may ask for and no model is trained on.
Written by `make catalogue`; do not edit. What is said here of one feature: `patron features describe NAME`.

Each is as of a cutoff: an event exactly at it is the future, a window of w days is [cutoff - w days, cutoff), and a field with a
later time of its own counts only if that time lies before the cutoff. `empty` is what is said of a customer about whom there
is nothing.
"""

_VOCABULARY = """## The vocabulary

A feature is a row of a group file, a `Measure` of `features/vocabulary.py`: a stream of rows, a filter, an operation, a window.
"""


def _group(group: str, features: Sequence[Feature]) -> str:
    headings = ("name", "unit", "type", "empty", "description")
    rows = ((f"`{one.name}`", one.measure.unit, one.type, one.empty, one.description) for one in features)
    return f"## {group}\n\n{sentence(group)}\n\n{_table(headings, rows)}"


def _streams() -> str:
    headings = ("stream", "a row is", "numbers", "flags", "words", "later times")
    rows = (
        (f"`{name}`", of.rows, *(_code(kind) for kind in (of.numbers, of.flags, of.words, of.times)))
        for name, of in STREAMS.items()
    )
    return f"### Streams and their columns\n\n{_table(headings, rows)}"


def _operations() -> str:
    headings = ("operation", "of", "by", "windows", "empty", "as in")
    examples = {one.measure.operation: (one.name,) for one in (*FEATURES, *FACTS)[::-1]}  # the first of each
    rows = (
        (f"`{name}`", of.of, of.by, _WINDOWS[of.windows], of.empty, _code(examples.get(name, ())))
        for name, of in OPERATIONS.items()
    )
    note = "`of` and `by` are the kinds of column that an operation looks at; `ratio`, `difference` and `change` look at other features."
    return f"### Operations\n\n{note}\n\n{_table(headings, rows)}"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (headings, ["---"] * len(headings), *rows)
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
