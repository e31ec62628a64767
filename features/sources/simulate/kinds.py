"""Kinds of goods: what they cost, how long they last at home, and in which months they are bought."""

from dataclasses import dataclass

import numpy as np

__all__ = ["CATEGORIES", "CATEGORY", "CYCLE_DAYS", "EVERYDAY", "KINDS", "Kind"]


@dataclass(frozen=True)
class Kind:
    """A category_2 of goods.

    Attributes
    ----------
    price
        Median list price of a unit.
    cycle_days
        Days that a unit lasts; 0: no stock of it is kept.
    months
        Months in which it is bought, by local time; none: all the year round.
    """

    category: str
    name: str
    price: float
    cycle_days: float = 0.0
    months: tuple[int, ...] = ()
    by_weight: bool = False


KINDS = (  # three of each category sell all the year round
    Kind("skincare", "cleanser", 90.0, cycle_days=60.0),
    Kind("skincare", "serum", 170.0, cycle_days=75.0),
    Kind("skincare", "mask", 110.0, cycle_days=28.0),
    Kind("skincare", "sunscreen", 100.0, months=(5, 6, 7, 8)),
    Kind("make_up", "lips", 80.0),
    Kind("make_up", "eyes", 90.0),
    Kind("make_up", "face", 110.0),
    Kind("hair", "shampoo", 50.0, cycle_days=60.0),
    Kind("hair", "treatment", 70.0, cycle_days=90.0),
    Kind("hair", "styling", 60.0),
    Kind("fresh_food", "fruit", 25.0, by_weight=True),
    Kind("fresh_food", "vegetables", 15.0, by_weight=True),
    Kind("fresh_food", "fish", 45.0, by_weight=True),
    Kind("pantry", "tea", 45.0, cycle_days=60.0),
    Kind("pantry", "rice", 35.0, cycle_days=30.0),
    Kind("pantry", "snacks", 20.0),
    Kind("home", "bedding", 220.0),
    Kind("home", "lighting", 180.0),
    Kind("home", "storage", 120.0),
    Kind("kitchen", "pans", 180.0),
    Kind("kitchen", "knives", 130.0),
    Kind("kitchen", "tableware", 90.0),
    Kind("baby", "nappies", 100.0, cycle_days=21.0),
    Kind("baby", "milk", 150.0, cycle_days=24.0),
    Kind("baby", "clothes", 90.0),
)
EVERYDAY_PER_CATEGORY = 3
CATEGORIES = tuple(dict.fromkeys(kind.category for kind in KINDS))
CATEGORY = np.array([CATEGORIES.index(kind.category) for kind in KINDS])  # of each kind
CYCLE_DAYS = np.array([kind.cycle_days for kind in KINDS])
EVERYDAY = np.flatnonzero([not kind.months for kind in KINDS]).reshape(
    -1, EVERYDAY_PER_CATEGORY
)  # by category
