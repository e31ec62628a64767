"""Model files and predictions: the same bits however asked, and a refusal where the columns are others."""

import json
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from features.build import build
from features.errors import ContractError, ModelError
from training.card import ChurnCard, TimingCard
from training.components import (
    PERIOD_COLUMNS,
    churn_probability,
    history_weeks,
    matrix,
    periods,
)
from training.predict import Predictions, load_models, predict, save_models, seal
from training.survival import BIN_ENDS
from training.value.predict import ValuePredictions

FILES = [
    "churn_card.json",
    "churn_trees.txt",
    "timing_card.json",
    "timing_trees.txt",
    "value_card.json",
    "value_trees.txt",
]


def same_predictions(found, expected, rows=slice(None)):
    for field in fields(Predictions):
        if field.name == "value":
            continue
        assert_array_equal(
            getattr(found, field.name), getattr(expected, field.name)[rows], err_msg=field.name
        )
    for field in fields(ValuePredictions):
        of, theirs = getattr(found.value, field.name), getattr(expected.value, field.name)[rows]
        assert_array_equal(of, theirs, err_msg=field.name)


@pytest.fixture
def folder(models, tmp_path):
    save_models(models, tmp_path / "new" / "model")
    return tmp_path / "new" / "model"


# ------------------------------------------------------------------------------------------------- files


def test_what_is_saved_is_what_is_loaded(models, folder, frame):
    loaded = load_models(folder)
    same_predictions(predict(loaded, frame), predict(models, frame))
    for name in ("churn", "timing"):
        before, after = getattr(models, name), getattr(loaded, name)
        assert after.card == before.card
        assert after.trees.model_to_string() == before.trees.model_to_string()


def test_a_model_is_text_files_only(folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["MODEL_CARD.md", "VALUE_CARD.md", "files.json", *FILES]
    )
    for name in ("churn", "timing", "value"):
        assert (folder / f"{name}_trees.txt").read_text(encoding="utf-8").startswith("tree\n")
    assert json.loads((folder / "churn_card.json").read_text(encoding="utf-8"))["target"] == "churn_90d"


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=rf"model holds no model: {name} is missing"):
        load_models(folder)


def test_a_folder_that_does_not_exist_holds_no_model(tmp_path):
    with pytest.raises(ModelError, match="nowhere holds no model"):
        load_models(tmp_path / "nowhere")


def test_the_page_for_people_is_not_needed(folder, model):
    (folder / "MODEL_CARD.md").unlink()
    assert load_models(folder).churn.card == model.card


def with_card(folder, name, change):
    """The card changed in its file; what it was before."""
    path = folder / f"{name}_card.json"
    card = {"churn": ChurnCard, "timing": TimingCard}[name].from_json(path.read_text())
    path.write_text(change(card).to_json())
    seal(folder)
    return card


def with_contract(folder, **changed):
    """Another contract in the first two cards; the one before."""
    for name in ("churn", "timing"):
        card = with_card(folder, name, lambda card: replace(card, contract=replace(card.contract, **changed)))
    return card.contract


@pytest.mark.parametrize(
    "change",
    [
        lambda card: replace(card, as_of="2024-06-01T00:00:00"),
        lambda card: replace(card, warehouse_id="another-shop"),
        lambda card: replace(card, contract=replace(card.contract, digest="0" * 16)),
        lambda card: replace(card, bin_ends=(*card.bin_ends[:-1], 400.0)),
    ],
    ids=["as-of", "warehouse", "features", "bins"],
)
def test_halves_of_two_trainings_are_refused(folder, change):
    with_card(folder, "timing", change)
    with pytest.raises(ModelError, match=r"mixes trainings or bins: .*Train again"):
        load_models(folder)


def test_features_whose_definitions_changed_are_refused(folder):
    today = with_contract(folder, digest="0" * 16)
    with pytest.raises(ContractError, match=rf"digest {'0' * 16} \(now {today.digest}\)"):
        load_models(folder)


def test_a_feature_whose_definition_changed_is_named(folder, model):
    contract, place = model.card.contract, model.card.contract.names.index("spend_30d")
    definitions = (*contract.definitions[:place], "0" * 8, *contract.definitions[place + 1 :])
    with_contract(folder, definitions=definitions, digest="0" * 16)
    with pytest.raises(ContractError, match=r": definition changed spend_30d\. Score with"):
        load_models(folder)


def test_cards_of_an_older_patron_are_refused_as_such(folder):
    for name in ("churn", "timing"):
        path = folder / f"{name}_card.json"
        card = json.loads(path.read_text())
        del card["contract"]["types"], card["contract"]["definitions"]
        path.write_text(json.dumps(card))
    seal(folder)
    with pytest.raises(
        ContractError, match=r"0 types and 0 definitions of features: an older Patron wrote it"
    ):
        load_models(folder)


def test_features_that_are_gone_are_refused_by_name(folder, model):
    contract = model.card.contract
    with_contract(
        folder,
        names=("gone_30d", *contract.names),
        types=("int64", *contract.types),
        definitions=("0" * 8, *contract.definitions),
    )
    with pytest.raises(ContractError, match=r": missing gone_30d\. Score with"):
        load_models(folder)


# ------------------------------------------------------------------------------------------------- predictions


def columns_of(frame):
    """The features as a plain mapping, as the service has them."""
    return {name: frame[name].to_numpy(dtype=np.float64) for name in frame.columns[2:]}


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 64])
def test_columns_of_a_few_are_rows_of_the_frame(models, frame, rows):
    """Online and offline, however many are asked about at once: the same bits."""
    batch, columns = predict(models, frame), columns_of(frame)
    for first in range(0, len(frame), 97):
        some = slice(first, first + rows)
        same_predictions(
            predict(models, {name: column[some] for name, column in columns.items()}), batch, some
        )


def test_blocks_change_no_bit(models, frame, monkeypatch):
    batch = predict(models, frame)
    monkeypatch.setattr("training.components._BLOCK", 100)
    same_predictions(predict(models, frame, threads=2), batch)


def test_predictions_agree_with_each_other(models, frame):
    found = predict(models, frame)
    assert (found.value.predicted_number_of_orders >= 1 - found.churn_probability).all()
    n = len(frame)
    assert found.p_order.shape == (n, 5)
    assert_array_equal(found.p_order[:, -1], 1 - found.churn_probability)
    assert_array_equal(found.churn_probability, churn_probability(models.churn, frame))
    assert (np.diff(found.p_order, axis=1) >= 0).all()
    assert (found.days_p10 > 0).any()
    ordered = found.days_p10 <= found.days_median
    assert (ordered | np.isnan(found.days_median)).all()
    assert_array_equal(found.days_median <= 90, found.churn_probability < 0.5)
    for days in (found.days_p10, found.days_median, found.days_p90):
        assert days.shape == (n,)
        assert np.nanmin(days) >= 0
        assert np.nanmax(days) <= 365
    assert np.isnan(found.days_p90).mean() > np.isnan(found.days_median).mean() > 0


def test_predict_refuses_what_churn_probability_refuses(models, frame):
    with pytest.raises(ContractError, match="missing last_csat"):
        predict(models, {name: column for name, column in columns_of(frame).items() if name != "last_csat"})
    assert predict(models, frame.head(0)).p_order.shape == (0, 5)


def test_person_periods_by_hand():
    """Two of three customers, in the first and the last bin; its middle is 3.5 or 317.5 days away."""
    names = ("gap_mean_days", "spend_30d", "days_since_last_order")
    x = np.array([[10.0, 5.0, 2.5], [np.nan, 6.0, 7.0], [0.0, 7.0, 1.0]])
    last = len(BIN_ENDS) - 1
    rows = periods(x, names, np.array([0, 0, 1, 2]), np.array([0, last, 0, last]))
    assert PERIOD_COLUMNS == (
        "bin_number",
        "bin_end_days",
        "days_since_last_order_then",
        "overdue_ratio_then",
    )
    assert_array_equal(rows[:, :3], x[[0, 0, 1, 2]])
    assert_array_equal(
        rows[:, 3:],
        [
            [0, 7, 6.0, 0.6],
            [last, 365, 320.0, 32.0],
            [0, 7, 10.5, np.nan],
            [last, 365, 318.5, np.nan],
        ],
    )


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


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_model_is_named(models, tmp_path, name):
    save_models(models, tmp_path)
    half = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(half[: len(half) // 2])
    with pytest.raises(
        ModelError, match=rf"holds a damaged model \({name} is not what was saved\): train again"
    ):
        load_models(tmp_path)
    # ... and what was never a model, though it is what was saved
    (tmp_path / name).write_text("x")
    seal(tmp_path)
    with pytest.raises(ModelError, match=r"holds a damaged (value )?model"):
        load_models(tmp_path)


def test_the_list_of_files_is_needed(folder):
    (folder / "files.json").write_text("x")
    with pytest.raises(ModelError, match="holds a damaged model"):
        load_models(folder)
    (folder / "files.json").unlink()
    with pytest.raises(ModelError, match=r"holds no model: files.json is missing"):
        load_models(folder)
