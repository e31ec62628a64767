"""Model files and predictions: the same bits however asked, and a refusal where the columns are others."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from features.build import build
from features.errors import ContractError, ModelError
from training.card import ChurnCard
from training.predict import churn_probability, history_weeks, load_model, matrix, save_model


@pytest.fixture
def folder(model, tmp_path):
    save_model(model, tmp_path / "new" / "model")
    return tmp_path / "new" / "model"


# ------------------------------------------------------------------------------------------------- files


def test_what_is_saved_is_what_is_loaded(model, folder, frame):
    loaded = load_model(folder)
    assert loaded.card == model.card
    assert_array_equal(churn_probability(loaded, frame), churn_probability(model, frame))
    assert loaded.trees.model_to_string() == model.trees.model_to_string()


def test_a_model_is_text_files_only(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["MODEL_CARD.md", "card.json", "trees.txt"]
    assert (folder / "trees.txt").read_text(encoding="utf-8").startswith("tree\n")
    assert json.loads((folder / "card.json").read_text(encoding="utf-8"))["target"] == "churn_90d"


@pytest.mark.parametrize("name", ["trees.txt", "card.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=rf"model holds no model: {name} is missing"):
        load_model(folder)


def test_a_folder_that_does_not_exist_holds_no_model(tmp_path):
    with pytest.raises(ModelError, match="nowhere holds no model"):
        load_model(tmp_path / "nowhere")


def test_the_page_for_people_is_not_needed(folder, model):
    (folder / "MODEL_CARD.md").unlink()
    assert load_model(folder).card == model.card


def with_contract(folder, **changed):
    card = ChurnCard.from_json((folder / "card.json").read_text())
    contract = replace(card.contract, **changed)
    (folder / "card.json").write_text(replace(card, contract=contract).to_json())
    return card.contract


def test_features_whose_definitions_changed_are_refused(folder):
    today = with_contract(folder, digest="0" * 16)
    says = f"the model's features have definitions {'0' * 16}, this Patron's are {today.digest}"
    with pytest.raises(ContractError, match=says):
        load_model(folder)


def test_features_that_are_gone_are_refused_by_name(folder, model):
    with_contract(folder, names=("gone_30d", *model.card.contract.names))
    with pytest.raises(ContractError, match=r"missing gone_30d; unexpected none"):
        load_model(folder)


# ------------------------------------------------------------------------------------------------- predictions


def test_a_single_row_is_its_row_of_the_batch(model, frame):
    batch = churn_probability(model, frame)
    alone = [churn_probability(model, frame.iloc[[row]])[0] for row in range(0, len(frame), 3)]
    assert_array_equal(alone, batch[::3])


def test_threads_row_order_and_column_order_change_no_bit(model, frame):
    expected = churn_probability(model, frame)
    mixed = np.random.default_rng(2).permutation(len(frame))
    assert_array_equal(churn_probability(model, frame, threads=2), expected)
    assert_array_equal(churn_probability(model, frame.iloc[mixed]), expected[mixed])
    assert_array_equal(churn_probability(model, frame[frame.columns[::-1]]), expected)
    assert_array_equal(churn_probability(model, frame.assign(more=1.0)), expected)


def test_probabilities_are_probabilities(model, frame):
    p = churn_probability(model, frame)
    assert p.shape == (len(frame),)
    assert ((p > 0) & (p < 1)).all()
    assert np.ptp(p) > 0.5


def test_nobody_has_no_probability(model, frame):
    nobody = churn_probability(model, frame.head(0))
    assert nobody.shape == (0,)
    assert nobody.dtype == np.float64


def test_missing_columns_are_named(model, frame):
    given = frame.drop(columns=["spend_30d", "gap_mean_days"]).rename(columns={"orders_7d": "orders_1w"})
    says = (
        rf"trained on {len(model.card.contract.names)} features and was given {len(given.columns)} columns: "
        "missing orders_7d, spend_30d, gap_mean_days; unexpected customer_id, cutoff, orders_1w. Score with"
    )
    with pytest.raises(ContractError, match=says):
        churn_probability(model, given)


def test_nobody_with_missing_columns_is_refused_all_the_same(model, frame):
    with pytest.raises(ContractError, match="missing last_csat"):
        churn_probability(model, frame.head(0).drop(columns="last_csat"))


def test_what_is_not_a_feature_plays_no_part(model, frame, shop, end):
    named = frame.assign(customer_id="somebody", cutoff=pd.Timestamp("1999-01-01"))
    assert_array_equal(churn_probability(model, named), churn_probability(model, frame))
    again = build(shop, [end])
    assert_array_equal(churn_probability(model, again), churn_probability(model, frame))


# ------------------------------------------------------------------------------------------------- inputs


def test_histories_by_hand():
    history = pd.DataFrame(
        {  # one order 14 days ago; three days with orders, the first 70 and the last 7 days ago; two orders on one day
            "active_days_all": [1, 3, 1],
            "days_since_first_order": [14.0, 70.0, 21.0],
            "days_since_last_order": [14.0, 7.0, 20.9],
        }
    )
    frequency, recency, age = history_weeks(history)
    assert frequency.tolist() == [0.0, 2.0, 0.0]
    assert recency.tolist() == [0.0, 9.0, 0.0]
    assert age.tolist() == [2.0, 10.0, 3.0]


def test_the_matrix_has_the_models_order_and_nan_for_null():
    wide = pd.DataFrame({"b": [1, 2], "other": ["x", "y"], "a": [0.5, None]})
    assert_array_equal(matrix(wide, ("a", "b")), [[0.5, 1.0], [np.nan, 2.0]])


@pytest.mark.parametrize("name", ["trees.txt", "card.json"])
def test_a_damaged_model_is_named(model, tmp_path, name):
    save_model(model, tmp_path)
    (tmp_path / name).write_text("x")
    with pytest.raises(ModelError, match="holds a damaged model"):
        load_model(tmp_path)
