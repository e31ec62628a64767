"""Why: the offer's own sentence with the customer's numbers, or the words of what stopped every offer."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from serving.rules.parts import Offer, Policy
from serving.rules.plan import Plan
from serving.rules.words import LANGUAGES

__all__ = ["explained"]


def explained(policy: Policy, planned: Plan, table: pl.DataFrame) -> dict[str, list[list[str]]]:
    """Return, in each language, a list of sentences for each customer.

    Parameters
    ----------
    table
        What the plan computes, and ``pick``, ``held`` (numbers of offers) and ``send_after``.
    """
    codes = _note_codes(table)
    return {
        language: [
            [sentence, *said]
            for sentence, said in zip(sentences, _notes(policy, language, codes), strict=True)
        ]
        for language, sentences in _first_sentences(planned, table).items()
    }


def _first_sentences(planned: Plan, table: pl.DataFrame) -> dict[str, list[str]]:
    """Each group of customers is given its sentence apart: none is written for those who do not need it."""
    about = table.select(pl.coalesce("held", "pick").fill_null(-1)).to_series()
    found = {language: np.empty(table.height, dtype=object) for language in LANGUAGES}
    for number in about.unique().to_list():
        rows = (about == number).arg_true()
        said = _nothing(planned, table[rows]) if number < 0 else _reasons(planned.offers[number], table, rows)
        for language, sentences in zip(LANGUAGES, said, strict=True):
            found[language][rows.to_numpy()] = sentences
    return {language: sentences.tolist() for language, sentences in found.items()}


def _reasons(offer: Offer, table: pl.DataFrame, rows: pl.Series) -> Iterator[list[str]]:
    for sentence in offer.reason:
        # the first column is there for a sentence without numbers: one for each customer all the same
        shown = table.select(list({table.columns[0], *sentence.columns}))[rows]
        yield shown.with_columns(sentence.compiled.alias("?said"))["?said"].to_list()


def _nothing(planned: Plan, table: pl.DataFrame) -> Iterator[npt.NDArray[np.object_]]:
    numbers = table.with_columns(planned.stop_parts).select(planned.stop).to_series().to_numpy()
    for language in LANGUAGES:
        yield np.array([getattr(said, language) for said in planned.stop_words], dtype=object)[numbers]


def _note_codes(table: pl.DataFrame) -> list[int]:
    """Number of the notes in ``_notes``: 1 withheld, 2 waits for the end of the quiet hours, 3 both."""
    waits = pl.col("pick").is_not_null() & (pl.col("send_after") > pl.col("as_of")).fill_null(value=False)
    code = pl.col("held").is_not_null().cast(pl.Int8) + 2 * waits.cast(pl.Int8)
    return table.select(code).to_series().to_list()


def _notes(policy: Policy, language: str, codes: Iterable[int]) -> Iterator[tuple[str, ...]]:
    held, night = getattr(policy.holdout.words, language), getattr(policy.quiet_hours.words, language)
    notes = ((), (held,), (night,), (held, night))
    return (notes[code] for code in codes)
