"""Labels by hand, at the edges of the horizon and of what was known, and against a slow look at every order."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from tests.features.worlds import MICROSECOND, at, contact, event, line, link, tables_of, ticket, warehouse_of
from training.targets import CHURN_90D, labels

CUTOFF = "2024-03-01"
HORIZON_ENDS = "2024-05-30"  # 31 days of March, 30 of April, 29 of May
INSIDE = "2024-04-01"
KNOWN_BY = "2024-06-15"
LONG_AGO = line("ann", "2023-11-11", order_id="before")


def just_before(when):
    return at(when) - MICROSECOND


def just_after(when):
    return at(when) + MICROSECOND


def stamp(when):
    return None if when is None else pd.Timestamp(at(when)).tz_localize(None)


@dataclass(frozen=True)
class Case:
    """What happened besides an order long ago, and whether ``who`` counts as churned at the cutoff."""

    title: str
    rows: list
    churned: int
    known_by: str | None = None
    who: str = "ann"


HORIZON = [
    Case("no other order", [], 1),
    Case("an order at the cutoff is the future", [line("ann", CUTOFF)], 0),
    Case("an order a microsecond before the cutoff is the past", [line("ann", just_before(CUTOFF))], 1),
    Case("an order a microsecond after the cutoff", [line("ann", just_after(CUTOFF))], 0),
    Case("an order a microsecond before the horizon ends", [line("ann", just_before(HORIZON_ENDS))], 0),
    Case("an order as the horizon ends comes too late", [line("ann", HORIZON_ENDS)], 1),
    Case("an order a microsecond after the horizon", [line("ann", just_after(HORIZON_ENDS))], 1),
    Case("an order of somebody else", [line("bob", INSIDE)], 1),
    Case("an order of nobody", [line(None, INSIDE)], 1),
]
ORDERS = [
    Case(
        "an order that began before the cutoff and goes on after it is not a new one",
        [
            line("ann", just_before(CUTOFF), order_id="o", line_id="1"),
            line("ann", INSIDE, order_id="o", line_id="2"),
        ],
        1,
    ),
    Case(
        "an order that begins inside and goes on after the horizon",
        [
            line("ann", just_before(HORIZON_ENDS), order_id="o", line_id="1"),
            line("ann", just_after(HORIZON_ENDS), order_id="o", line_id="2"),
        ],
        0,
    ),
    Case("a return is no order", [line("ann", INSIDE, kind="return")], 1),
    Case(
        "a return before the cutoff does not begin the order it is filed under",
        [
            line("ann", "2024-02-01", order_id="o", line_id="1", kind="return"),
            line("ann", INSIDE, order_id="o", line_id="2"),
        ],
        0,
    ),
    Case(
        "one order number in two sources is two orders",
        [
            line("ann", "2024-02-01", order_id="o"),
            line("x", INSIDE, order_id="o", source="till"),
            link("x", "ann", source="till"),
        ],
        0,
    ),
    Case("an order of nothing but a gift", [line("ann", INSIDE, net=0)], 0),
    Case(
        "views, tickets and messages are no orders",
        [event("ann", INSIDE), ticket("ann", INSIDE), contact("ann", INSIDE)],
        1,
    ),
]
IDENTITY = [
    Case("linked as the cutoff comes", [line("bob", INSIDE), link("bob", "ann", known_at=at(CUTOFF))], 0),
    Case(
        "linked a microsecond later: not known at the cutoff",
        [line("bob", INSIDE), link("bob", "ann", known_at=just_after(CUTOFF))],
        1,
    ),
    Case(
        "a link that ended as the cutoff came",
        [line("bob", INSIDE), link("bob", "ann", superseded_at=at(CUTOFF))],
        1,
    ),
    Case(
        "a link that ended a microsecond later",
        [line("bob", INSIDE), link("bob", "ann", superseded_at=just_after(CUTOFF))],
        0,
    ),
    Case(
        "a link corrected after the cutoff still says what it said then",
        [line("bob", INSIDE), link("bob", "ann"), link("bob", "eve", known_at=at(INSIDE))],
        0,
    ),
    Case("the OneID need be nobody's own id", [line("ann", INSIDE), link("ann", "one")], 0, who="one"),
    Case("who is linked away orders for the other", [line("ann", INSIDE), link("ann", "one")], 1),
    Case("the same id in another source is somebody else", [line("ann", INSIDE, source="till")], 1),
    Case("who is named by its source", [line("ann", INSIDE, source="till")], 0, who="till:ann"),
]
LATE = line("ann", INSIDE, known_at=just_after(KNOWN_BY))
MOVED_BEFORE_CUTOFF = {"order_id": "o", "known_at": just_after(KNOWN_BY)}
KNOWLEDGE = [
    Case("known in time, at the last instant", [line("ann", INSIDE, known_at=at(KNOWN_BY))], 0, KNOWN_BY),
    Case("known a microsecond too late", [LATE], 1, KNOWN_BY),
    Case("known too late for then, but known today", [LATE], 0),
    Case("an order placed at the as-of", [line("ann", INSIDE)], 1, INSIDE),
    Case("an order placed a microsecond before the as-of", [line("ann", just_before(INSIDE))], 0, INSIDE),
    Case(
        "moved out of the horizon by a correction after the as-of: as it was known then",
        [line("ann", INSIDE, order_id="o"), line("ann", "2024-02-01", **MOVED_BEFORE_CUTOFF)],
        0,
        KNOWN_BY,
    ),
    Case(
        "moved out of the horizon by a correction after the as-of: as it is known today",
        [line("ann", INSIDE, order_id="o"), line("ann", "2024-02-01", **MOVED_BEFORE_CUTOFF)],
        1,
    ),
    Case(
        "moved out of the horizon by a correction known at the as-of",
        [line("ann", INSIDE, order_id="o"), line("ann", "2024-02-01", order_id="o", known_at=at(KNOWN_BY))],
        1,
        KNOWN_BY,
    ),
    Case(
        "given to somebody else by a correction after the as-of",
        [
            line("ann", INSIDE, order_id="o"),
            line("bob", INSIDE, order_id="o", known_at=just_after(KNOWN_BY)),
        ],
        0,
        KNOWN_BY,
    ),
    Case(
        "moved into the horizon by a correction after the as-of",
        [
            line("ann", "2024-02-01", order_id="o"),
            line("ann", INSIDE, order_id="o", known_at=just_after(KNOWN_BY)),
        ],
        1,
        KNOWN_BY,
    ),
]


@pytest.mark.parametrize("case", HORIZON + ORDERS + IDENTITY + KNOWLEDGE, ids=lambda case: case.title)
def test_by_hand(case, tmp_path):
    warehouse = warehouse_of(tmp_path / "w.duckdb", tables_of([LONG_AGO, *case.rows]))
    rows = pd.DataFrame({"customer_id": [case.who], "cutoff": [stamp(CUTOFF)]})
    assert labels(warehouse, rows, CHURN_90D, known_by=stamp(case.known_by)).tolist() == [case.churned]


def test_agrees_with_a_slow_look_at_every_order(tmp_path):
    """Orders at the edges of three horizons, plus and minus a microsecond, and in between."""
    rng = np.random.default_rng(3)
    cutoffs = [at("2024-03-01"), at("2024-03-29"), at("2024-05-30")]
    edges = [time for cutoff in cutoffs for time in (cutoff, cutoff + timedelta(days=90))]
    orders = []
    for customer in range(150):
        for edge in rng.choice(edges, rng.integers(0, 3), replace=False):
            away = rng.choice([-MICROSECOND, timedelta(0), MICROSECOND, timedelta(days=20)])
            orders.append((f"c{customer}", edge + away))
    warehouse = warehouse_of(
        tmp_path / "w.duckdb", tables_of([LONG_AGO, *(line(customer, when) for customer, when in orders)])
    )
    rows = [(f"c{customer}", cutoff) for cutoff in cutoffs for customer in range(150)]
    slow = [
        int(
            not any(
                customer == who and cutoff <= when < cutoff + timedelta(days=90) for customer, when in orders
            )
        )
        for who, cutoff in rows
    ]
    asked = pd.DataFrame(
        {"customer_id": [who for who, _ in rows], "cutoff": [stamp(cutoff) for _, cutoff in rows]}
    ).sample(frac=1, random_state=1)
    found = labels(warehouse, asked, CHURN_90D)
    assert 100 < sum(slow) < 400
    assert found.dtype == np.int8
    assert found.tolist() == [slow[row] for row in asked.index]


def test_nobody_asked_nobody_answered(tmp_path):
    warehouse = warehouse_of(tmp_path / "w.duckdb", tables_of([LONG_AGO]))
    nobody = pd.DataFrame(
        {"customer_id": pd.Series(dtype="str"), "cutoff": pd.Series(dtype="datetime64[us]")}
    )
    assert labels(warehouse, nobody, CHURN_90D).tolist() == []


def test_the_task_in_one_sentence():
    assert CHURN_90D.population == "active-365d"
    assert CHURN_90D.asks == "places no order in [cutoff, cutoff + 90 days)"
    assert datetime.fromisoformat(CUTOFF) + timedelta(days=CHURN_90D.horizon_days) == datetime.fromisoformat(
        HORIZON_ENDS
    )
