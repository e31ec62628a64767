"""Contracts: what a model was trained on, held against what it is given."""

import re

import pytest

from features.catalogue import digest, names
from features.contract import Contract, current_contract
from features.errors import ContractError, PatronError

CONTRACT = Contract(("orders_7d", "spend_7d", "last_csat"), "aaaa")


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
    ],
)
def test_missing_columns_are_refused_as_a_difference(given, says):
    with pytest.raises(ContractError, match=re.escape(says)) as refused:
        CONTRACT.require(given)
    assert str(refused.value).startswith("the model was trained on 3 features and was ")
    assert str(refused.value).endswith("or train again.")
    assert "\n" not in str(refused.value)


def test_the_same_catalogue_will_do():
    assert CONTRACT.require_same(Contract(CONTRACT.names, "aaaa")) is None
    assert current_contract().require_same(current_contract()) is None


def test_other_definitions_are_refused_with_both_fingerprints():
    with pytest.raises(ContractError, match="definitions aaaa, this Patron's are bbbb"):
        CONTRACT.require_same(Contract(CONTRACT.names, "bbbb"))


def test_other_names_are_refused_by_name_before_the_fingerprint():
    with pytest.raises(ContractError, match="missing last_csat; unexpected csat"):
        CONTRACT.require_same(Contract(("orders_7d", "spend_7d", "csat"), "bbbb"))


def test_the_current_contract_is_the_catalogue():
    contract = current_contract()
    assert contract == Contract(names(), digest())
    assert issubclass(ContractError, PatronError)
    assert issubclass(ContractError, ValueError)
