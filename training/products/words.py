"""Why a product is offered: because of which other product, and in words."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.products.affinity import Matrix, values_at
from training.products.candidates import REASONS, Block, Candidates, Knowledge

__all__ = ["Because", "because", "leads_to", "sentences"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.object_]

_LEADS = {
    "resembles": ("resembles",),
    "complements": ("together", "after", "owners"),
    "upgrade": ("upgrade",),
}
"""Reason -> links by which another product leads to the one offered."""

_HOW = {
    "together": "often bought together with {name}, bought {days}",
    "after": "often bought after {name}, bought {days}",
    "owners": "bought by others who bought {name}, bought {days}",
    "upgrade": "a step up from {name}, bought {days}",
    "resembles": "like {name}, looked at lately",
    "itself": "looked at lately, not bought yet",
    "rebuy": "bought {times}, last {days}",
    "new_of_brand": "new from {brand}, a brand bought before",
    "new_in_category": "new in a category bought before",
    "same_brand": "from {brand}, a brand bought before",
    "popular": "popular now",
}
"""How an offer came about -> its sentence."""


@dataclass(frozen=True, eq=False)
class Because:
    """What led to each pair: ``how``, a key of the sentences, and the product, -1 where none did."""

    how: Words
    product: Ints


def leads_to(known: Knowledge) -> dict[str, Matrix]:
    """Turn the links of ``because`` round, once for all blocks: row i says what leads to product i."""
    return {link: known.links[link].T.tocsr() for links in _LEADS.values() for link in links}


def because(known: Knowledge, block: Block, pairs: Candidates, leads: Mapping[str, Matrix]) -> Because:
    """Find the product that a customer bought (or looked at) and that speaks most for each of these candidates.

    Parameters
    ----------
    leads
        As ``leads_to`` gives them.
    """
    how = np.array(REASONS, dtype=object)[pairs.reason]
    led_by = np.full(pairs.product.size, -1, dtype=np.int64)
    row = block.customers[pairs.customer]
    for reason, links in _LEADS.items():
        places = np.flatnonzero(how == reason)
        weights = (known.looked if reason == "resembles" else known.products.recent)[row[places]]
        strength, leading = np.zeros(places.size), np.full(places.size, -1, dtype=np.int64)
        for link in links:
            speaks = weights.multiply(leads[link][pairs.product[places]]).tocsr()
            top = np.asarray(speaks.max(axis=1).todense()).ravel() if places.size else strength
            stronger = top > strength
            how[places[stronger]] = link
            if stronger.any():
                leading[stronger] = np.asarray(speaks[stronger].argmax(axis=1)).ravel()
            strength = np.maximum(strength, top)
        led_by[places] = leading
    how[led_by == pairs.product] = "itself"
    of_brand = (
        values_at(
            known.brands.orders[block.customers], pairs.customer, known.history.goods.brand[pairs.product]
        )
        > 0
    )
    how[how == "new_variant"] = np.where(of_brand[how == "new_variant"], "new_of_brand", "new_in_category")
    return Because(how, led_by)


def sentences(known: Knowledge, block: Block, pairs: Candidates, found: Because) -> Words:
    """Say in words why each of these candidates is offered."""
    goods, row = known.history.goods, block.customers[pairs.customer]
    anchor = np.where(found.how == "rebuy", pairs.product, found.product)
    days = values_at(known.products.since[block.customers], pairs.customer, anchor) - 1.0
    times = values_at(known.products.orders[block.customers], pairs.customer, anchor)
    words = np.empty(row.size, dtype=object)
    brand = goods.brand[pairs.product]
    for place, how in enumerate(found.how):
        words[place] = _HOW[how].format(
            name=goods.name[anchor[place]],
            days=_ago(days[place]),
            times=_times(times[place]),
            brand=goods.brand_names[brand[place]] if brand[place] >= 0 else "",
        )
    return words


def _ago(days: float) -> str:
    whole = int(days)
    return "today" if whole < 1 else "yesterday" if whole == 1 else f"{whole} days ago"


def _times(count: float) -> str:
    named: Mapping[int, str] = {1: "once", 2: "twice"}
    return named.get(int(count), f"{int(count)} times")
