"""Contracts: what a model was trained on, held against what it is given and against today's catalogue."""

import re
from dataclasses import replace

import pytest

from features.catalogue import FEATURES, digest, names
from features.contract import Contract, current_contract
from features.errors import ContractError, PatronError

NAMES = ("orders_7d", "spend_7d", "last_csat")
CONTRACT = Contract(NAMES, ("int64", "float64", "float64"), ("d1", "d2", "d3"), "aaaa")
LETTERS = tuple("abcdefghij")  # ten


def refused(contract, other):
    with pytest.raises(ContractError) as said:
        contract.require_same(other)
    message = str(said.value)
    assert "\n" not in message
    assert message.endswith(". Score with the Patron the model was trained with, or train again.")
    return message.removesuffix(". Score with the Patron the model was trained with, or train again.")


# ------------------------------------------------------------------------------------------------- columns given


@pytest.mark.parametrize(
    "given",
    [
        ["orders_7d", "spend_7d", "last_csat"],
        ["last_csat", "orders_7d", "spend_7d"],
        ["customer_id", "cutoff", "orders_7d", "spend_7d", "last_csat", "more"],
    ],
    ids=["the same", "another order", "more"],
)
def test_columns_that_will_do(given):
    assert CONTRACT.require(given) is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "given 0 columns: missing orders_7d, spend_7d, last_csat; unexpected none."),
        (["orders_7d", "last_csat"], "given 2 columns: missing spend_7d; unexpected none."),
        (
            ["last_csat", "orders_1w", "customer_id"],
            "given 3 columns: missing orders_7d, spend_7d; unexpected orders_1w, customer_id.",
        ),
        (["Orders_7d", "spend_7d", "last_csat"], "missing orders_7d; unexpected Orders_7d."),
        (
            ["orders_7d", "spend_7d", *LETTERS],
            "missing last_csat; unexpected a, b, c, d, e, f, g, h and 2 more.",
        ),
    ],
)
def test_missing_columns_are_refused_as_a_difference(given, says):
    with pytest.raises(ContractError, match=re.escape(says)) as refusal:
        CONTRACT.require(given)
    assert str(refusal.value).startswith("the model was trained on 3 features and was ")
    assert str(refusal.value).endswith("or train again.")
    assert "\n" not in str(refusal.value)


# ------------------------------------------------------------------------------------------------- another catalogue


def test_the_same_catalogue_will_do():
    assert CONTRACT.require_same(replace(CONTRACT)) is None
    assert current_contract().require_same(current_contract()) is None


CHANGED = {
    "missing": (Contract(NAMES[:2], ("int64", "float64"), ("d1", "d2"), "b"), "2: missing last_csat"),
    "unexpected": (
        Contract((*NAMES, "csat"), (*CONTRACT.types, "float64"), ("d1", "d2", "d3", "d4"), "b"),
        "4: unexpected csat",
    ),
    "renamed": (
        replace(CONTRACT, names=("orders_7d", "spend_7d", "csat"), digest="b"),
        "3: missing last_csat; unexpected csat",
    ),
    "type": (
        replace(CONTRACT, types=("float64", "float64", "int64")),
        "3: type changed orders_7d (int64, now float64), last_csat (float64, now int64)",
    ),
    "order": (
        Contract(
            ("orders_7d", "last_csat", "spend_7d"), ("int64", "float64", "float64"), ("d1", "d3", "d2"), "b"
        ),
        "3: order changed from spend_7d on (last_csat is there now)",
    ),
    "definitions": (
        replace(CONTRACT, definitions=("d1", "other", "another"), digest="b"),
        "3: definition changed spend_7d, last_csat",
    ),
    "digest alone": (replace(CONTRACT, digest="bbbb"), "3: digest aaaa (now bbbb)"),
    "everything": (
        Contract(("last_csat", "new", "orders_7d"), ("int64", "int64", "int64"), ("d3", "n", "o"), "b"),
        "3: missing spend_7d; unexpected new; type changed last_csat (float64, now int64); "
        "order changed from orders_7d on (last_csat is there now); definition changed orders_7d",
    ),
}


@pytest.mark.parametrize("case", CHANGED)
def test_another_catalogue_is_refused_as_a_difference(case):
    other, says = CHANGED[case]
    assert refused(CONTRACT, other) == f"the model was trained on 3 features, this Patron has {says}"


def test_what_moved_is_told_among_those_that_both_have():
    # d is new in between, b is gone: a and c stand as they stood
    one = Contract(tuple("abc"), ("int64",) * 3, tuple("123"), "x")
    other = Contract(tuple("adc"), ("int64",) * 3, tuple("143"), "y")
    assert refused(one, other).endswith("this Patron has 3: missing b; unexpected d")


def test_of_many_differences_the_first_are_named():
    none = Contract((), (), (), "b")
    ten = Contract(LETTERS, ("int64",) * 10, LETTERS, "a")
    assert refused(ten, none).endswith("missing a, b, c, d, e, f, g, h and 2 more")
    eight = Contract(LETTERS[:8], ("int64",) * 8, LETTERS[:8], "a")
    assert refused(eight, none).endswith("missing a, b, c, d, e, f, g, h")


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"types": (), "definitions": ()}, "3 names, 0 types and 0 definitions"),
        ({"definitions": ()}, "3 names, 3 types and 0 definitions"),
        ({"types": ("int64",)}, "3 names, 1 types and 3 definitions"),
    ],
    ids=str,
)
def test_a_contract_of_an_older_patron_is_refused_as_such(parts, says):
    message = refused(replace(CONTRACT, **parts), current_contract())
    assert message == f"the model's card holds {says} of features: an older Patron wrote it, or it is damaged"


# ------------------------------------------------------------------------------------------------- today's catalogue


def test_the_current_contract_is_the_catalogue():
    contract = current_contract()
    assert (contract.names, contract.digest) == (names(), digest())
    types = dict(zip(contract.names, contract.types, strict=True))
    assert (types["orders_7d"], types["spend_7d"], types["aov_7d"]) == ("int64", "float64", "float64")
    assert set(contract.types) == {"int64", "float64"}
    assert issubclass(ContractError, PatronError)
    assert issubclass(ContractError, ValueError)


def test_each_feature_has_a_definition_of_its_own():
    contract = current_contract()
    assert len(set(contract.definitions)) == len(contract.definitions) == len(FEATURES)
    assert {len(definition) for definition in contract.definitions} == {8}
    assert int("".join(contract.definitions), 16) > 0


def test_a_definition_is_the_features_own_and_does_not_follow_its_neighbours():
    place = names().index("spend_30d")
    assert digest((FEATURES[place],)).startswith(current_contract().definitions[place])
