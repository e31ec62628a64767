"""Measures of a playbook's own: how they are read, what is refused and where, and one result offline and online."""

from contextlib import suppress

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features.build import build
from features.catalogue import FACTS, FEATURES, with_operands
from features.errors import PlaybookError
from features.kernel import compute
from features.operations import OPERATIONS
from features.plan import Plan
from features.streams import read as rows_of
from features.vocabulary import STREAMS, Measure
from serving.rules.columns import COLUMNS, TAKEN, Type
from serving.rules.document import read
from serving.rules.evaluate import profile
from serving.rules.measures import MOST_DAYS, read_measures
from serving.rules.naming import Names
from serving.rules.playbook import default_playbook, parse_playbook
from serving.rules.trace import trace
from serving.score import SCORE_COLUMNS
from tests.features.worlds import (
    at,
    columns_of,
    contact,
    delivery,
    event,
    feedback,
    line,
    memory,
    microseconds,
    product,
    put,
    tables_of,
    ticket,
    warehouse_of,
)
from tests.serving.rules.rows import AS_OF, PLAIN, decision_of, frame_of, profile_of
from tests.serving.rules.test_playbook import SMALL, position

# "views of smart appliances in 30 days >= 12", and what it leads to
APPLIANCES = """\
measures:
  appliance_views:
    stream: events
    operation: count
    where: {kind: view, category: [smart appliances, kitchen]}
    windows: [30, all]
    unit: count
    en: views of appliances
  top_viewed:
    stream: lines
    operation: top_word
    of: net
    by: category
    windows: [90]
    unit: text
    en: category with the largest spend
"""


def with_measures(section, when="age = 'old'", text=SMALL):
    """The small playbook with these measures, and its tag about them."""
    assert text.count("when: age = 'old'") == 1
    return text.replace("derived:\n", f"{section}derived:\n").replace("when: age = 'old'", f'when: "{when}"')


def measured_by(section):
    return parse_playbook(with_measures(section)).measured


def one_measure(**keys):
    """A measure that is right, but for what a test changes; None leaves a key out."""
    right = {"stream": "events", "operation": "count", "unit": "views", "en": "x"}
    written = ", ".join(f"{key}: {value}" for key, value in (right | keys).items() if value is not None)
    return f"measures:\n  own: {{{written}}}\n"


# ------------------------------------------------------------------------------------------------- reading


def test_a_measure_is_what_it_says():
    playbook = parse_playbook(
        with_measures(APPLIANCES, "appliance_views_30d >= 12 AND top_viewed_90d = 'kitchen'")
    )
    views, whole, top = playbook.measured
    assert views.measure == whole.measure == Measure(
        "appliance_views", "events", "count", "count", "views of appliances",
        where=(("kind", ("view",)), ("category", ("smart appliances", "kitchen"))), windows=(30, None),
    )  # fmt: skip
    assert top.measure == Measure(
        "top_viewed",
        "lines",
        "top_word",
        "text",
        "category with the largest spend",
        of="net",
        by="category",
        windows=(90,),
    )
    assert [(one.name, one.group, one.window_days) for one in playbook.measured] == [
        ("appliance_views_30d", "playbook", 30), ("appliance_views_all", "playbook", None), ("top_viewed_90d", "playbook", 90),
    ]  # fmt: skip


def test_its_columns_are_inputs_of_their_type_after_all_others_where_a_rule_reads_them():
    playbook = parse_playbook(
        with_measures(APPLIANCES, "appliance_views_30d >= 12 AND top_viewed_90d = 'kitchen'")
    )
    assert list(playbook.inputs.items())[-2:] == [
        ("appliance_views_30d", Type.NUMBER),
        ("top_viewed_90d", Type.TEXT),
    ]
    assert "appliance_views_all" not in playbook.inputs
    assert all(playbook.inputs[name] is COLUMNS[name] for name in list(playbook.inputs)[:-2])


def test_without_windows_there_is_one_feature_of_the_measures_own_name():
    (found,) = measured_by(one_measure(operation="since_last", unit="days", where="{kind: favourite}"))
    assert (found.name, found.window_days) == ("own", None)


@pytest.mark.parametrize(
    "keys",
    [
        {"operation": "distinct", "of": "day", "windows": "30", "unit": "count"},
        {"operation": "hhi", "of": "duration", "by": "kind", "where": "{session: main|s1, channel: anything}"},
        {"operation": "top_share", "of": "duration", "by": "product", "most": "2"},
        {"stream": "tickets", "operation": "last_rated", "of": "csat", "by": "rated_at"},
        {"stream": "feedback", "operation": "mean", "of": "rating", "where": "{rated_kind: [review, nps]}", "windows": "all"},
        {"stream": "lines", "operation": "total", "of": "quantity", "where": '{product: "main|85048"}'},
        {"stream": "returns", "operation": "slope_of", "of": "net", "windows": "[14, 28]"},
    ],
    ids=str,
)  # fmt: skip
def test_what_stands_close_to_a_refusal_is_accepted(keys):
    assert measured_by(one_measure(**keys))


def test_a_playbook_need_not_measure_anything():
    assert parse_playbook(SMALL).measured == ()


@pytest.mark.parametrize(
    "change", ["windows: [30, all]", "unit: count", "smart appliances", "en: views of appliances"]
)
def test_the_digest_covers_every_part_of_a_measure(change):
    other = {"windows: [30, all]": "windows: [all, 30]", "unit: count": "unit: views"}.get(
        change, f"{change} too"
    )
    digests = {
        parse_playbook(with_measures(section)).digest
        for section in ("", APPLIANCES, APPLIANCES.replace(change, other, 1))
    }
    assert len(digests) == 3


# what is changed in a measure that is right, the piece of the text at which the error points, words
BROKEN = [
    # keys and values
    ({"en": None}, "{stream", "en missing; given: stream, operation, unit"),
    ({"why": "x"}, "why", "unknown key 'why'; allowed: stream, operation, unit, en, of, by"),
    ({"over": "[a, b]"}, "[a, b]", "what looks at features is an expression, write it under derived"),
    ({"windows": "[]"}, "[]", "a value at least is needed here"),
    ({"windows": "[30, 0]"}, "0]", f"a number from 1 to {MOST_DAYS} is needed here"),
    ({"windows": f"[{MOST_DAYS + 1}]"}, f"{MOST_DAYS + 1}]", f"a number from 1 to {MOST_DAYS} is needed here"),
    ({"windows": "[7.5]"}, "7.5", "a whole number is needed here, not '7.5'"),
    ({"windows": "[ever]"}, "ever", f"a number from 1 to {MOST_DAYS} is needed here, not 'ever'"),
    ({"where": "view"}, "view}", "keys with values are needed here, not 'view'"),
    ({"where": "{kind: []}"}, "[]", "a value at least is needed here"),
    ({"where": "{category: [a, 3]}"}, "3]", "a text is needed here, not '3'"),
    ({"most": "two", "operation": "top_share", "of": "duration", "by": "kind"}, "two", "a number from 1 to 100 is needed here"),
    # what the vocabulary has no place for
    ({"stream": "visits"}, "visits", "'visits' is none of orders, lines, "),
    ({"operation": "sum"}, "sum", "'sum' is none of count, total, "),
    ({"operation": "distinct", "of": "brand"}, "{stream", "measure own: of 'brand' is not known, choose of: "),
    ({"where": "{region: a}"}, "{stream", "measure own: where 'region' is not known, choose of: "),
    ({"of": "kind"}, "{stream", "measure own: count looks at no column, of is 'kind'"),
    ({"operation": "since_last", "windows": "[30]"}, "{stream", "since_last looks at the whole history: leave out windows"),
    ({"operation": "slope"}, "{stream", "slope needs windows in days"),
    # what is not for playbooks
    ({"stream": "cutoffs"}, "cutoffs", "cutoffs has no rows of a customer's"),
    ({"operation": "ratio"}, "ratio,", "ratio looks at other features: write it under derived"),
    ({"operation": "difference"}, "difference", "difference looks at other features: write it under derived"),
    ({"operation": "change", "windows": "[30]"}, "change", "change looks at other features: write it under derived"),
    ({"operation": "season_sin"}, "season_sin", "season_sin tells of the day alone"),
    ({"operation": "given"}, "given", "given tells of the day alone"),
    ({"operation": "latest", "of": "duration"}, "latest", "latest is of ratings only, not of events"),
    ({"operation": "log_day_gaps"}, "log_day_gaps", "log_day_gaps is of orders only, not of events"),
    ({"most": "2"}, "2}", "most is for top_share, count has no use for it"),
    ({"operation": "periods", "windows": "[60, 45]"}, "[60, 45]", "periods goes by 30 days: windows are multiples of it, from 30 on"),
    ({"operation": "slope", "windows": "[7]"}, "[7]", "slope goes by 7 days: windows are multiples of it, from 14 on"),
    ({"operation": "slope_of", "of": "duration", "windows": "[30]"}, "[30]", "slope_of goes by 7 days"),
    ({"stream": "lines", "operation": "total", "of": "quantity", "unit": "count"}, "count, en", "a count is a whole number, total gives none"),
    # columns that are not what they seem
    ({"where": '{day: "1"}'}, "{day", "days are counted distinctly"),
    ({"operation": "last_word", "of": "day"}, "day}", "days are counted distinctly"),
    ({"operation": "hhi", "of": "duration", "by": "day"}, "day}", "days are counted distinctly"),
    ({"stream": "orders", "operation": "total", "of": "repeat_day"}, "repeat_day", "repeat_day tells apart days, not orders"),
    ({"stream": "orders", "operation": "share_of_total", "of": "value", "by": "repeat_day"}, "repeat_day", "repeat_day tells apart"),
    ({"stream": "feedback", "operation": "mean", "of": "rating"}, "rating", "choose by where: {rated_kind: ...}"),
    ({"stream": "feedback", "operation": "mean", "of": "rating", "where": "{kind: review}"}, "rating", "choose by where: {rated_kind"),
    ({"stream": "tickets", "operation": "mean", "of": "csat"}, "csat", "look at the stream ratings"),
    ({"operation": "top_word", "of": "duration", "by": "product"}, "product", "product has no order that top_word could keep to"),
    ({"operation": "last_word", "of": "channel"}, "channel", "channel has no order that last_word could keep to"),
    ({"stream": "orders", "operation": "hhi", "of": "value", "by": "store"}, "store", "store has no order that hhi could keep to"),
    # words that no row can have
    ({"where": "{kind: [view, cart]}"}, "cart]", "'cart' is none of activity, cart_add, "),
    ({"stream": "orders", "where": "{channel: shop}"}, "shop", "'shop' is none of app, marketplace, "),
    ({"stream": "feedback", "where": "{rated_kind: nsp}"}, "nsp", "close: nps"),
    ({"where": '{product: "85048"}'}, '85048"', "'85048' is no id: write its source before it, as in main|85048"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "piece", "words"), BROKEN, ids=[f"{changed}" for changed, _, _ in BROKEN]
)
def test_a_measure_that_cannot_be_is_refused_with_file_line_and_column(changed, piece, words):
    text = with_measures(one_measure(**changed))
    with pytest.raises(PlaybookError) as error:
        parse_playbook(text, "small.yaml")
    line_number, column = position(text, piece)
    assert str(error.value).startswith(f"small.yaml:{line_number}:{column}: "), error.value
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "windows"),
    [
        ("visits", "[60]"), ("open_complaints", None),  # a family of the catalogue, a fact
        ("views_30d", None), ("orders_275d", None),  # a feature, and one that others are made of
        ("churn_probability", None), ("gender", None), ("as_of", None), ("reserved", "[7]"), ("consent_sms_marketing", None),
        ("days", None), ("model_version", None), ("offer_id", None),  # a parameter; what stands beside the columns
    ],
)  # fmt: skip
def test_a_name_that_is_taken_is_refused(name, windows):
    text = with_measures(one_measure(windows=windows).replace("own", name))
    line_number, column = position(text, "{stream")
    with pytest.raises(PlaybookError, match=rf"^p:{line_number}:{column}: '{name}.*: choose another name"):
        parse_playbook(text, "p")


def test_two_measures_may_not_make_the_same_column_nor_a_later_part_take_it():
    both = one_measure(windows="[30]") + one_measure().replace("measures:\n", "").replace("own", "own_30d")
    with pytest.raises(PlaybookError, match=r"^p:8:12: 'own_30d' is a column already"):
        parse_playbook(with_measures(both), "p")
    with pytest.raises(PlaybookError, match=r"^p:7:8: 'own_7d' is a column already"):
        parse_playbook(with_measures(one_measure(windows="[7, 7]")), "p")
    with pytest.raises(PlaybookError, match="'twice' is a column already"):
        parse_playbook(with_measures(one_measure().replace("own", "twice")), "p")


def test_no_name_of_a_row_is_free():
    operands = {one.name for one in with_operands((*FEATURES, *FACTS))}
    assert {"customer_id", *SCORE_COLUMNS, *operands} <= TAKEN | COLUMNS.keys()


def test_a_condition_must_have_the_measures_type():
    with pytest.raises(PlaybookError, match="top_viewed_90d is text but 3 is number"):
        parse_playbook(with_measures(APPLIANCES, "top_viewed_90d = 3"))
    with pytest.raises(PlaybookError, match="no column is called 'appliance_views'; close: appliance_views_"):
        parse_playbook(with_measures(APPLIANCES, "appliance_views > 3"))
    with pytest.raises(PlaybookError, match="no column is called 'appliance_views_90d'"):
        parse_playbook(with_measures(APPLIANCES, "appliance_views_90d > 3"))


# ------------------------------------------------------------------------------------------------- evaluation

CUTOFF = at("2024-06-01")
WORLD = [
    product("tv", "smart appliances"), product("pot", "kitchen"), product("cup", "tableware"),
    # ann: two views of appliances and one of the kitchen within 30 days, and what does not count
    event("ann", "2024-05-31 23:59", product_id="tv"), event("ann", "2024-05-02", product_id="tv"),  # exactly 30 days
    event("ann", "2024-05-20", product_id="pot"),
    event("ann", "2024-05-01 23:59", product_id="tv"),  # a minute earlier: in the whole history only
    event("ann", "2024-06-01", product_id="tv"),  # at the cutoff: the future
    event("ann", "2024-05-21", product_id="cup"), event("ann", "2024-05-22", product_id=None),
    event("ann", "2024-05-23", "cart_add", product_id="tv"),
    line("ann", "2024-05-10", "10", product_id="cup"), line("ann", "2024-05-11", "30", product_id="pot"),
    line("ann", "2024-05-12", "5", product_id="tv"), line("ann", "2024-02-01", "900", product_id="tv"),  # 121 days ago
    # bob: an appliance once; bought nothing that has a category
    event("bob", "2024-05-03", product_id="tv"), line("bob", "2024-05-10", "10", product_id="new"),
    # eve: is there, and has looked at nothing
    line("eve", "2024-05-10", "10", product_id="pot"), line("eve", "2024-05-11", "10", product_id="tv"),
]  # fmt: skip
# by hand: views in 30 days, in all; largest spend of 90 days ("kitchen" before "smart appliances" where equal)
EXPECTED = {"ann": (3, 4, "kitchen"), "bob": (1, 1, None), "eve": (0, 0, "kitchen")}
PLAYBOOK = parse_playbook(
    with_measures(APPLIANCES, "appliance_views_30d >= 3 AND top_viewed_90d = 'kitchen'")
)
NAMES = [one.name for one in PLAYBOOK.measured]


def in_rows(frame, columns):
    """A customer's row for each row of the frame, with these of its columns."""
    return frame_of(*[PLAIN | {"customer_id": name} for name in frame["customer_id"]]).assign(
        **{name: frame[name].array for name in columns}
    )


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """As the weekly list has it: from the warehouse, all customers at once, strings of pandas."""
    warehouse = warehouse_of(tmp_path_factory.mktemp("measures") / "w.duckdb", tables_of(WORLD))
    return build(warehouse, [CUTOFF], population="all", columns=NAMES, own=PLAYBOOK.measured)


@pytest.fixture(scope="module")
def online():
    """As the service has it: one customer at a time, object arrays."""
    connection, frames = memory(), []
    put(connection, tables_of(WORLD))
    cutoffs, plan = microseconds([CUTOFF]), Plan.of((*FEATURES, *FACTS, *PLAYBOOK.measured))
    rows = rows_of(connection, cutoffs)
    for name in EXPECTED:
        theirs = {stream: table.filter(pc.equal(table["entity"], name)) for stream, table in rows.items()}
        found = compute(theirs, cutoffs, plan)
        values = {
            key: both[key][:, 0] for both in (found.columns, found.texts) for key in both if key in NAMES
        }
        frames.append(pd.DataFrame({"customer_id": found.customers.to_pylist(), **values}))
    return frames


def test_a_filter_on_a_category_counts_what_one_counts_by_hand(offline):
    assert offline["customer_id"].tolist() == list(EXPECTED)
    assert offline[NAMES[:2]].to_numpy().tolist() == [[views, whole] for views, whole, _ in EXPECTED.values()]
    assert [None if pd.isna(word) else word for word in offline[NAMES[2]]] == [
        word for _, _, word in EXPECTED.values()
    ]


def test_the_service_sees_what_the_list_sees(offline, online):
    together = profile(PLAYBOOK, in_rows(offline, NAMES))
    assert together["gone"].tolist() == [True, False, False]
    for place, frame in enumerate(online):
        row = in_rows(frame, NAMES)
        assert {str(row[name].dtype) for name in NAMES[:2]} == {"float64"}
        alone = profile(PLAYBOOK, row)
        pd.testing.assert_frame_equal(alone, together.iloc[[place]].set_axis([0]))
        assert trace(PLAYBOOK, row) == trace(PLAYBOOK, in_rows(offline, NAMES).iloc[[place]])


def test_the_trace_of_a_decision_shows_the_measures(offline):
    (step,) = _eligibility(trace(PLAYBOOK, in_rows(offline, NAMES).iloc[[0]], channels=["sms"]))
    assert step == {"stage": "eligibility", "code": "hello", "passed": True, "facts": {"gone": True}}
    # a rule that reads them itself shows them itself
    direct = parse_playbook(
        with_measures(APPLIANCES).replace(
            "when: gone", "when: appliance_views_30d >= 3 AND top_viewed_90d = 'kitchen'"
        )
    )
    facts = [
        _eligibility(trace(direct, in_rows(offline, NAMES).iloc[[place]], channels=["sms"]))[0]
        for place in (0, 1)
    ]
    assert [(step["passed"], step["facts"]) for step in facts] == [
        (True, {"appliance_views_30d": 3.0, "top_viewed_90d": "kitchen"}),
        (False, {"appliance_views_30d": 1.0, "top_viewed_90d": None}),
    ]


def _eligibility(traced):
    return [step for step in traced[0]["steps"] if step["stage"] == "eligibility"]


# as pandas and the kernel hand them in: nulls of every kind, nothing but nulls, nobody
TEXTS = [
    (["kitchen", None], "str"), (["kitchen", None], "object"), (["kitchen", np.nan], "object"), ([None, None], "object"),
    ([None, None], "str"), (["kitchen", "x"], "str"), (["kitchen", pd.NA], "string"), ([], "str"), ([], "object"),
    (["kitchen", None], pd.ArrowDtype(pa.string())), ([np.nan, np.nan], "float64"),
]  # fmt: skip


@pytest.mark.parametrize("fact", ["top_category_365d", "top_brand_365d", "last_channel", "top_viewed_90d"])
@pytest.mark.parametrize(("words", "dtype"), TEXTS, ids=[f"{words} {dtype}" for words, dtype in TEXTS])
def test_words_of_every_kind_are_read_and_nothing_is_null(fact, words, dtype):
    playbook = parse_playbook(
        with_measures(APPLIANCES, f"coalesce({fact}, 'none') = 'kitchen' OR {fact} IS NULL")
    )
    frame = frame_of(*[PLAIN] * len(words)).assign(**{fact: pd.Series(words, dtype=dtype)})
    assert profile(playbook, frame)["gone"].tolist() == [str(word) != "x" for word in words]


def test_a_sentence_shows_a_word_and_says_where_there_is_none():
    playbook = parse_playbook(SMALL.replace("{age}", "{last_channel}"))
    old = {"days_since_last_order": 50.5, "as_of": AS_OF}
    assert decision_of(playbook=playbook, **old, last_channel="web")["why"] == ["50 days, web, 30"]
    assert decision_of(playbook=playbook, **old, last_channel=None)["why"] == ["50 days, unknown, 30"]


def test_every_measure_of_the_shipped_playbook_is_read_by_a_rule():
    playbook = default_playbook()
    assert playbook.measured
    assert {one.name for one in playbook.measured} <= playbook.inputs.keys()


def test_late_deliveries_by_hand():
    half_a_year, promised = "2023-12-04", at("2024-05-20")
    rows = [
        line("ann", half_a_year, order_id="o1"), line("ann", "2024-05-10", order_id="o2"), line("ann", "2024-05-10", order_id="o3"),
        line("ann", "2023-12-03 23:59", order_id="o4"), line("ann", "2024-05-30", order_id="o5"), line("ann", "2024-05-11", order_id="o6"),
        delivery("o1", promised_at=promised),  # ordered exactly 180 days ago, and not there yet: late
        delivery("o2", promised_at=promised, delivered_at=at("2024-05-21")),  # a day late
        delivery("o3", promised_at=promised, delivered_at=promised),  # in time
        delivery("o4", promised_at=promised),  # ordered a minute too early to count
        delivery("o5", promised_at=at("2024-06-01")),  # not late yet
        delivery("o6", delivered_at=at("2024-05-21")),  # nothing was promised
    ]  # fmt: skip
    connection = memory()
    put(connection, tables_of(rows))
    found = columns_of(connection, [CUTOFF], features=default_playbook().measured)
    assert found.columns["late_deliveries_180d"].tolist() == [[2.0]]
    assert profile_of(late_deliveries_180d=2.0)["logistics_sensitive"]


# ------------------------------------------------------------------------------------------------- whatever is accepted


def every_measure():
    """Every measure of one column, or two, that a playbook could ask for, without a filter and with one."""
    filters = {"orders": "{channel: web}", "lines": "{category: [k1, k2]}", "returns": "{category: k1}", "events": "{kind: view}",
               "tickets": "{kind: complaint}", "contacts": "{channel: sms}", "feedback": "{rated_kind: review}"}  # fmt: skip
    for stream, columns in STREAMS.items():
        for name, operation in OPERATIONS.items():
            windows = {"any": "[45, all]", "none": None, "days": "[210]"}[operation.windows]
            for of in getattr(columns, operation.of) if operation.of else (None,):
                for by in getattr(columns, operation.by) if operation.by else (None,):
                    for where in (None, filters[stream]) if stream in filters else (None,):
                        yield {
                            "stream": stream,
                            "operation": name,
                            "of": of,
                            "by": by,
                            "where": where,
                            "windows": windows,
                        }


def accepted():
    """The features of those that a playbook takes."""
    found = []
    for number, keys in enumerate(every_measure()):
        section = read("p", one_measure(**keys).replace("own", f"own_{number}")).fields("measures")[
            "measures"
        ]
        with suppress(PlaybookError):
            found += read_measures(section, Names({}))
    return tuple(found)


def random_world(seed=3):
    random, rows = (
        np.random.default_rng(seed),
        [product(f"p{one}", f"k{3 - one}", brand=f"b{one % 2}") for one in range(3)],
    )

    def some(*values):
        return values[random.integers(len(values))]

    for number in range(150):
        who, when = some("ann", "bob", "eve"), f"2024-0{random.integers(1, 6)}-{random.integers(10, 28)}"
        item, rated_at, order = some("p0", "p1", "p2", "p3"), some(at("2024-05-28"), None), f"o{number}"
        rows += [
            line(who, when, str(random.integers(1, 9)), product_id=item, order_id=order, channel=some("web", "store", "app"), store_id=some("s", None)),
            event(who, when, some("view", "cart_add"), product_id=some(item, None), session_id=some("x", "y"), duration_s=float(random.integers(99))),
            ticket(who, when, some("complaint", "enquiry"), closed_at=some(at("2024-06-01"), None), rated_at=rated_at,
                   csat=None if rated_at is None else int(random.integers(1, 6))),
            contact(who, when, opened_at=some(at(when), None), channel=some("sms", "email")),
            feedback(who, when, some("review", "nps"), rating=some(None, 3.5, 4.0)),
            delivery(order, promised_at=at("2024-06-01"), delivered_at=some(None, at("2024-06-05"))),
            line(who, when, "1", kind="return", product_id=item, order_id=f"r{number}"),
        ]  # fmt: skip
    return rows


def test_whatever_a_playbook_may_measure_is_the_same_for_many_and_for_one_in_any_order():
    features = accepted()
    assert len(features) > 500
    assert {one.measure.stream for one in features} == STREAMS.keys() - {"cutoffs"}
    connection, cutoffs, plan = (
        memory(),
        microseconds([at("2024-04-01"), at("2024-06-10")]),
        Plan.of(features),
    )
    put(connection, tables_of(random_world()))
    every = compute(rows_of(connection, cutoffs, columns=plan.columns), cutoffs, plan)
    random = np.random.default_rng(0)
    rows = {
        name: table.take(random.permutation(table.num_rows))
        for name, table in rows_of(connection, cutoffs).items()
    }
    for place, name in enumerate(every.customers.to_pylist()):
        theirs = {stream: table.filter(pc.equal(table["entity"], name)) for stream, table in rows.items()}
        for index in range(len(cutoffs)):
            one = compute(theirs, cutoffs[index : index + 1], plan)
            for key, values in one.columns.items():
                assert np.array_equal(values[0, 0], every.columns[key][place, index], equal_nan=True), (
                    key,
                    name,
                )
                assert not abs(values[0, 0]) > 1e9, key  # what is missing is nowhere taken for a number
            assert {key: words[0, 0] for key, words in one.texts.items()} == {
                key: words[place, index] for key, words in every.texts.items()
            }
