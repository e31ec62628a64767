"""All feature groups in column order, their names, units and digest."""

import difflib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict

from features import (
    browsing,
    campaigns,
    channels,
    facts,
    products,
    promotions,
    purchases,
    returns,
    rhythm,
    tickets,
)
from features.errors import InputError
from features.vocabulary import Feature

__all__ = ["FACTS", "FEATURES", "GROUPS", "digest", "names", "select", "with_operands"]

GROUPS = {
    "purchases": purchases.MEASURES,
    "rhythm": rhythm.MEASURES,
    "products": products.MEASURES,
    "promotions": promotions.MEASURES,
    "returns": returns.MEASURES,
    "channels": channels.MEASURES,
    "browsing": browsing.MEASURES,
    "campaigns": campaigns.MEASURES,
    "tickets": tickets.MEASURES,
}

FEATURES: tuple[Feature, ...] = tuple(
    feature
    for group, measures in GROUPS.items()
    for measure in measures
    for feature in measure.features(group)
)
"""Every feature, in column order."""


FACTS: tuple[Feature, ...] = tuple(fact for measure in facts.MEASURES for fact in measure.features("facts"))
"""What only rules look at; given where asked for by name."""

_BY_NAME = {feature.name: feature for feature in (*FEATURES, *FACTS)}


def select(wanted: Iterable[str]) -> tuple[Feature, ...]:
    """Return the features and facts of these names, in this order.

    Raises
    ------
    InputError
        A name that is not in the catalogue; close ones are suggested.
    """
    chosen = []
    for name in wanted:
        if name not in _BY_NAME:
            close = ", ".join(difflib.get_close_matches(name, _BY_NAME, n=3)) or "none is close"
            raise InputError(
                f"no feature is called {name!r} (close: {close}); the catalogue has {len(FEATURES)}"
            )
        chosen.append(_BY_NAME[name])
    return tuple(chosen)


def with_operands(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """Return the features and what their ratios divide, each once."""
    chosen: dict[str, Feature] = {}
    for feature in features:
        for needed in (*select(feature.operands), feature):
            chosen[needed.name] = needed
    return tuple(chosen.values())


def names() -> tuple[str, ...]:
    """Return the feature names in column order."""
    return tuple(feature.name for feature in FEATURES)


def digest(features: tuple[Feature, ...] = FEATURES) -> str:
    """Return a fingerprint of names, order and definitions: it changes when a column's meaning may have changed."""
    definitions = [
        {**asdict(feature.measure), "name": feature.name, "window": feature.window_days}
        for feature in features
    ]
    for definition in definitions:
        del definition["meaning"]  # wording is not meaning
    return hashlib.sha256(json.dumps(definitions, sort_keys=True).encode()).hexdigest()[:16]
