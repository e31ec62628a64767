"""Sentences in two languages, with the customer's numbers in them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Formatter

import polars as pl

from serving.rules.columns import Type
from serving.rules.document import Reader
from serving.rules.language import Scope, suggestion

__all__ = ["LANGUAGES", "Sentence", "Words", "read_sentences", "read_words"]

LANGUAGES = ("en", "zh")
_UNKNOWN = {"en": "unknown", "zh": "未知"}
_WHOLE = {"": lambda value: value, "percent": lambda value: value * 100}


@dataclass(frozen=True)
class Words:
    """A name or a fixed sentence, in English and Chinese."""

    en: str
    zh: str


@dataclass(frozen=True)
class Sentence:
    """A sentence with holes: ``{days}`` the whole number (or the text) of a column or a parameter, ``{x:percent}``.

    Attributes
    ----------
    columns
        Columns that it shows.
    """

    text: str
    columns: tuple[str, ...]
    compiled: pl.Expr


def read_words(fields: Mapping[str, Reader]) -> Words:
    """Read ``en`` and ``zh``."""
    return Words(*(fields[language].text() for language in LANGUAGES))


def read_sentences(reader: Reader, scope: Scope) -> tuple[Sentence, ...]:
    """Read a sentence in each language."""
    fields = reader.fields(" ".join(LANGUAGES))
    return tuple(_sentence(fields[language], language, scope) for language in LANGUAGES)


def _sentence(reader: Reader, language: str, scope: Scope) -> Sentence:
    text, parts, columns = reader.text(), [], []
    for literal, hole, form, conversion in _holes(reader, text):
        parts.append(pl.lit(literal))
        if hole is None:
            continue
        if conversion or form not in _WHOLE:
            raise reader.fail(
                f"{{{hole}}} has a form that is not known; known: {{name}} and {{name:percent}}"
            )
        parts.append(_hole(reader, hole, form or "", scope).fill_null(_UNKNOWN[language]))
        columns += [hole] if hole in scope.columns else []
    return Sentence(text, tuple(dict.fromkeys(columns)), pl.concat_str(parts))


def _holes(reader: Reader, text: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(Formatter().parse(text))
    except ValueError as error:
        raise reader.fail(f"{text!r}: {error}") from None


def _hole(reader: Reader, name: str, form: str, scope: Scope) -> pl.Expr:
    if name in scope.parameters:
        value = scope.parameters[name]
        return _number(pl.lit(float(value)), _WHOLE[form]) if not isinstance(value, str) else pl.lit(value)
    if name not in scope.columns:
        raise reader.fail(f"no column or parameter is called {name!r}{suggestion(name, scope.columns)}")
    type_ = scope.columns[name]
    if form and type_ is not Type.NUMBER:
        raise reader.fail(f"{{{name}:{form}}}: {name} is {type_}, no number")
    return _number(pl.col(name), _WHOLE[form]) if type_ is Type.NUMBER else pl.col(name).cast(pl.String)


def _number(value: pl.Expr, scaled: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
    whole = scaled(value).round(0, mode="half_away_from_zero")
    return whole.cast(pl.Int64, strict=False).cast(pl.String)
