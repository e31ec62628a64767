"""The features of one customer, worked out the slow and obvious way: loops over rows, read straight off the definitions.

It shares no code with the engine. Rows are dictionaries of the canonical columns plus ``source``, ``known_at`` and
``superseded_at``; times are aware datetimes, amounts and quantities Decimals.

Where the definitions leave a choice, this is what they are taken to mean:

- An order belongs to (customer, source, order_id). Its channel, store and zone are those of its first line, by time
  and line_id; the zone is that of the customer the source itself names, so of two merged customers each keeps its own.
- A category or brand is its name, whatever the source; a product, store or session is (source, its id).
- The largest share of a category is null where no line in the window has a category, or where nothing was paid.
- Of two ratings given at one instant, that of the larger (source, ticket_id) is the last. A rating, an opening or a
  closing that is dated before what it belongs to stands at the same time as that.
- A row of ``customers`` without registration happened before everything.
- A delivery is at its order's time, and of no customer of whom no sale line of that order is known.
"""

from datetime import UTC, timedelta

from tests.features.oracle_goods import of_goods
from tests.features.oracle_orders import of_orders
from tests.features.oracle_traces import of_traces, rules_facts
from tests.features.oracle_world import OF_CUSTOMERS, World, one_id_of, past_of, usable

__all__ = ["World", "active_at", "base_season", "everybody", "facts_of", "features_of"]


def features_of(world, one_id, cutoff):
    """Return every feature of one customer at the cutoff but the base's seasons: name -> float, None where undefined."""
    past = past_of(world, one_id, cutoff)
    return {
        name: plain(value) for name, value in (of_orders(past) | of_goods(past) | of_traces(past)).items()
    }


def facts_of(world, one_id, cutoff):
    """Return every fact of one customer at the cutoff: name -> float or text, None where undefined."""
    return {name: plain(value) for name, value in rules_facts(past_of(world, one_id, cutoff)).items()}


def plain(value):
    return value if value is None or isinstance(value, str) else float(value)


def base_season(world, cutoff, days):
    """Return the whole base's sale lines in the days after this day a year ago, by those in the days before it.

    None where what is known does not reach so far back.
    """
    midnight = cutoff.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    year_ago, length = midnight - timedelta(days=365), timedelta(days=days)
    sold = [
        line["paid_at"]
        for line in world.tables.get("order_lines", [])
        if line["kind"] == "sale" and usable("order_lines", line, cutoff)
    ]
    after = sum(year_ago <= time < year_ago + length for time in sold)
    before = sum(year_ago - length <= time < year_ago for time in sold)
    reaches = bool(sold) and min(sold).date() <= (year_ago - length).date()
    return after / before if before and reaches else None


def everybody(world, cutoff):
    """Return the OneIDs with any usable row at the cutoff, sorted."""
    owners = {
        owner
        for table in OF_CUSTOMERS
        if table != "links"
        for owner, rows in world.of[table].items()
        if any(usable(table, row, cutoff) for row in rows)
    }
    return sorted({one_id_of(world, owner, cutoff) for owner in owners})


def active_at(world, cutoff):
    """Return the OneIDs with an order in [cutoff - 365 d, cutoff), sorted."""
    return [one_id for one_id in everybody(world, cutoff) if past_of(world, one_id, cutoff).orders_in(365)]
