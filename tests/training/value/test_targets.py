"""What a customer goes on to spend, by hand at the edges of the horizon and of what was known, and against a slow sum."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from tests.features.worlds import MICROSECOND, at, event, line, link, tables_of, warehouse_of
from training.targets import VALUE_90D, VALUE_365D, future_value

CUTOFF, INSIDE, ENDS = "2024-03-01", "2024-04-01", "2024-05-30"  # 90 days: 31 + 30 + 29
KNOWN_BY = "2024-06-15"


def around(when, microseconds):
    return at(when) + microseconds * MICROSECOND


def stamp(when):
    return None if when is None else pd.Timestamp(at(when)).tz_localize(None)


@dataclass(frozen=True)
class Case:
    """What happened, and the orders, spend and refunds that follow for ``who``."""

    title: str
    rows: list
    expected: tuple
    known_by: str | None = None
    who: str = "ann"


CASES = [
    Case("nothing", [], (0, 0, 0)),
    Case("at the cutoff is the future", [line("ann", CUTOFF, 5)], (1, 5, 0)),
    Case("a microsecond before the cutoff is the past", [line("ann", around(CUTOFF, -1), 5)], (0, 0, 0)),
    Case("a microsecond before the end", [line("ann", around(ENDS, -1), 5)], (1, 5, 0)),
    Case("at the end", [line("ann", ENDS, 5)], (0, 0, 0)),
    Case(
        "two orders of several lines",
        [
            line("ann", INSIDE, "1.10", order_id="o", line_id="1"),
            line("ann", INSIDE, "2.20", order_id="o", line_id="2"),
            line("ann", INSIDE, "4"),
        ],
        (2, 7.3, 0),
    ),
    Case(
        "an order that began before the cutoff brings nothing",
        [
            line("ann", around(CUTOFF, -1), 5, order_id="o", line_id="1"),
            line("ann", INSIDE, 7, order_id="o", line_id="2"),
        ],
        (0, 0, 0),
    ),
    Case(
        "an order that goes on after the end counts whole",
        [
            line("ann", around(ENDS, -1), 5, order_id="o", line_id="1"),
            line("ann", around(ENDS, 1), 7, order_id="o", line_id="2"),
        ],
        (1, 12, 0),
    ),
    Case(
        "goods bought before come back: below 0",
        [line("ann", "2024-02-01", 9), line("ann", INSIDE, 9, kind="return")],
        (0, 0, 9),
    ),
    Case("goods come back at the end", [line("ann", ENDS, 9, kind="return")], (0, 0, 0)),
    Case("goods come back at the cutoff", [line("ann", CUTOFF, 9, kind="return")], (0, 0, 9)),
    Case("of somebody else, of nobody", [line("bob", INSIDE), line(None, INSIDE)], (0, 0, 0)),
    Case("a view costs nothing", [event("ann", INSIDE)], (0, 0, 0)),
    Case(
        "two ids of one customer, linked as the cutoff comes",
        [line("ann", INSIDE, 5), line("bob", INSIDE, 7), link("bob", "ann", known_at=at(CUTOFF))],
        (2, 12, 0),
    ),
    Case(
        "linked a microsecond later",
        [line("ann", INSIDE, 5), line("bob", INSIDE, 7), link("bob", "ann", known_at=around(CUTOFF, 1))],
        (1, 5, 0),
    ),
    Case("named by its source", [line("ann", INSIDE, 5, source="till")], (1, 5, 0), who="till:ann"),
    Case("known in time", [line("ann", INSIDE, 5, known_at=at(KNOWN_BY))], (1, 5, 0), KNOWN_BY),
    Case("known too late", [line("ann", INSIDE, 5, known_at=around(KNOWN_BY, 1))], (0, 0, 0), KNOWN_BY),
    Case("known too late, but today", [line("ann", INSIDE, 5, known_at=around(KNOWN_BY, 1))], (1, 5, 0)),
    Case(
        "corrected later: as it was known then",
        [
            line("ann", INSIDE, 5, order_id="o"),
            line("ann", INSIDE, 8, order_id="o", known_at=around(KNOWN_BY, 1)),
        ],
        (1, 5, 0),
        KNOWN_BY,
    ),
    Case(
        "corrected later: as it is known today",
        [
            line("ann", INSIDE, 5, order_id="o"),
            line("ann", INSIDE, 8, order_id="o", known_at=around(KNOWN_BY, 1)),
        ],
        (1, 8, 0),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_by_hand(case, tmp_path):
    warehouse = warehouse_of(tmp_path / "w.duckdb", tables_of([line("eve", "2023-11-11"), *case.rows]))
    rows = pd.DataFrame({"customer_id": [case.who], "cutoff": [stamp(CUTOFF)]})
    found = future_value(warehouse, rows, 90, known_by=stamp(case.known_by))
    assert (found.orders[0], found.spend[0], found.refunds[0]) == pytest.approx(case.expected)
    assert found.net_spend[0] == pytest.approx(case.expected[1] - case.expected[2])


def test_agrees_with_a_slow_sum(tmp_path):
    rng = np.random.default_rng(3)
    cutoffs = [at("2024-03-01"), at("2024-03-29")]
    edges = [when for cutoff in cutoffs for when in (cutoff, cutoff + timedelta(days=30))]
    facts = []
    for customer in range(60):
        for edge in rng.choice(edges, rng.integers(0, 5)):
            away = rng.choice([-MICROSECOND, timedelta(0), MICROSECOND, timedelta(days=9)])
            facts.append(
                (f"c{customer}", edge + away, int(rng.integers(1, 9)), str(rng.choice(["sale", "return"])))
            )
    lines = [line(who, when, net, kind=kind) for who, when, net, kind in facts]
    warehouse = warehouse_of(tmp_path / "w.duckdb", tables_of([line("eve", "2023-11-11"), *lines]))
    rows = [(f"c{customer}", cutoff) for cutoff in cutoffs for customer in range(60)]
    asked = pd.DataFrame(
        {"customer_id": [who for who, _ in rows], "cutoff": [stamp(cutoff) for _, cutoff in rows]}
    )
    asked = asked.sample(frac=1, random_state=1)
    found = future_value(warehouse, asked, 30)

    def slow(kind, of):
        return [
            sum(of(net) for who, when, net, what in facts if who == rows[row][0] and what == kind
                and rows[row][1] <= when < rows[row][1] + timedelta(days=30))
            for row in asked.index
        ]  # fmt: skip

    assert found.orders.tolist() == slow("sale", lambda _: 1)
    assert found.spend.tolist() == slow("sale", float)
    assert found.refunds.tolist() == slow("return", float)
    assert found.orders.sum() > 20


def test_the_tasks_in_one_sentence():
    for task, days in ((VALUE_90D, 90), (VALUE_365D, 365)):
        assert (task.horizon_days, task.population) == (days, "active-365d")
        assert task.asks == f"spend net of refunds in [cutoff, cutoff + {days} days)"
