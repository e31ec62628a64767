"""The response model: what was planted is found, what is not there is not, and nobody is judged by trees that saw them."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from features.contract import current_contract
from features.errors import ContractError, InputError, ModelError, TooLittleHistory
from training.response.arm_log import Log, make_log
from training.response.card import ResponseCard, response_page
from training.response.fit import arm_trial, train_response
from training.response.folds import FOLDS, average_effects, cross_fit, effect_line
from training.response.metrics import calibration_of_tenths, qini_coefficient
from training.response.off_policy import against_best_arm, chosen, doubly_robust, snips
from training.response.panel import ResponsePanel, build_response_panel
from training.response.predict import load_response, odds_uplift, predict_response, save_response
from training.response.trees import RESPONSE_PARAMETERS, outcome_variance
from training.targets import RESPONSE_14D, Responses

NAMES = tuple(f"f{number}" for number in range(5))
QUICK = {"outcome_rounds": 30, "arm_rounds": 10, "uplift_rounds": 30}


@dataclass(frozen=True)
class Planted:
    """A made-up trial: ``coupon`` moves those with f0 above 0 by .25, ``letter`` moves everybody by .1, ``nothing`` nobody."""

    x: np.ndarray
    log: Log
    uplift: np.ndarray


def planted(n=8_000, seed=4, moved=0.25):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5))
    uplift = np.column_stack([moved * (x[:, 0] > 0), np.full(n, 0.1), np.zeros(n)])
    share = np.where(x[:, 1] > 0, 0.4, 0.2)[:, None] * [
        1.0,
        0.75,
        0.5,
        0.25,
    ]  # who is likely to order is offered more
    share[:, 0] = 1 - share[:, 1:].sum(axis=1)
    arm = (rng.random(n)[:, None] > np.cumsum(share, axis=1)[:, :3]).sum(axis=1)
    mean = 0.1 + 0.3 * (x[:, 1] > 0) + np.column_stack([np.zeros(n), uplift])[np.arange(n), arm]
    arms = ("control", "coupon", "letter", "nothing")
    log = make_log(np.array(arms)[arm], share[np.arange(n), arm], rng.random(n) < mean, arms=arms)
    return Planted(x, log, uplift)


@pytest.fixture(scope="module")
def world():
    return planted()


@pytest.fixture(scope="module")
def fitted(world):
    return cross_fit(world.x, world.log, NAMES)


def test_planted_uplifts_are_found(world, fitted):
    assert fitted.places == (1, 2, 3)
    coupon, letter, nothing = fitted.lines
    for line, truth in zip(fitted.lines, world.uplift.mean(axis=0), strict=True):
        assert abs(line.average - truth) < 3.5 * np.sqrt(line.average_variance)
    assert np.corrcoef(fitted.uplift[:, 0], world.uplift[:, 0])[0, 1] > 0.8
    assert coupon.slope > 0.8
    assert coupon.slope_found > 4 * np.sqrt(coupon.slope_variance)
    for line, k in ((letter, 1), (nothing, 2)):  # there is nothing to tell customers apart by
        assert line.slope_found < 3 * np.sqrt(line.slope_variance)
        assert fitted.uplift[:, k].std() < 0.035


def test_the_ranking_finds_whom_the_coupon_moves(world, fitted):
    rows, trial = arm_trial(world.log, 1)
    # a perfect ranking: gain .25 s up to a half, then .125; less .125 s: an area of .25 / 8
    assert qini_coefficient(trial, fitted.uplift[rows, 0]) == pytest.approx(0.03125, abs=0.012)
    tenths = calibration_of_tenths(trial, fitted.uplift[rows, 0], parts=5)
    assert all(abs(part.predicted - part.observed) < 3.5 * part.standard_error for part in tenths)


def test_a_policy_by_uplift_earns_more_than_any_single_arm(world, fitted):
    together = np.column_stack([np.zeros(len(world.x)), fitted.uplift])
    policy = chosen(world.log, together.argmax(axis=1))
    truth = 0.25 + (policy[:, 1:] * world.uplift).sum(axis=1).mean()
    for value, q in (
        (snips(world.log, policy), None),
        (doubly_robust(world.log, policy, fitted.expected), fitted.expected),
    ):
        assert value.low - 0.01 < truth < value.high + 0.01
        gained = against_best_arm(world.log, value, q)
        assert gained.best_arm == "coupon"
        assert gained.estimate > gained.standard_error


def test_nobody_is_judged_by_trees_that_saw_them(world, fitted):
    """Other answers of a fold's customers change nothing of what is said of that fold."""
    fold = np.random.default_rng(1).permutation(len(world.x)) % FOLDS
    first = fold == 0
    other = replace(world.log, reward=np.where(first, 1 - world.log.reward, world.log.reward))
    again = cross_fit(world.x, other, NAMES)
    assert (again.expected[first] == fitted.expected[first]).all()
    assert (again.odds[first] == fitted.odds[first]).all()
    assert (again.trees[first] == fitted.trees[first]).all()
    assert not (again.expected[~first] == fitted.expected[~first]).all()


def test_all_rows_of_a_customer_are_in_one_fold():
    one = planted(n=4_000)
    who = np.tile(np.arange(2_000), 2)
    log = replace(one.log, customer=who)
    base = cross_fit(one.x, log, NAMES, {**RESPONSE_PARAMETERS, **QUICK})
    mine = who == 17
    other = replace(log, reward=np.where(mine, 1 - log.reward, log.reward))
    again = cross_fit(one.x, other, NAMES, {**RESPONSE_PARAMETERS, **QUICK})
    assert (again.expected[mine] == base.expected[mine]).all()


def test_raw_uplifts_are_held_against_their_fold(world, fitted):
    fold = np.random.default_rng(1).permutation(len(world.x)) % FOLDS
    for number in range(FOLDS):
        for raw in (fitted.odds, fitted.trees):
            assert raw[fold == number].mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)


def test_scores_by_hand():
    log = make_log(
        ["control", "b", "c", "control"] * 2,
        [0.5, 0.25, 0.25, 0.5] * 2,
        [1, 1, 0, 0] * 2,
        arms=("control", "b", "c"),
        offered=[[True, True, True]] * 4 + [[True, True, True]] * 3 + [[True, False, True]],
    )
    expected = np.tile([0.2, 0.6, 0.3], (8, 1))
    rows, scores = average_effects(log, expected, 1)
    assert rows.tolist() == [0, 1, 2, 3, 4, 5, 6]
    by_hand = [0.4 - 2 * 0.8, 0.4 + 4 * 0.4, 0.4, 0.4 - 2 * -0.2]
    assert scores == pytest.approx([*by_hand, *by_hand[:3]])


def test_a_line_agrees_with_weighted_least_squares(world, fitted):
    log, odds, trees = world.log, fitted.odds[:, 0], fitted.trees[:, 0]
    rows, scores = average_effects(log, fitted.expected, 1)
    line = effect_line(log, fitted.expected, odds, trees, 1)
    weight = 1 / outcome_variance(fitted.expected[rows], 1)
    best, squares = None, np.inf
    for w in (0.0, 0.25, 0.5, 0.75, 1.0):
        z = w * odds[rows] + (1 - w) * trees[rows]
        slope, start = np.polyfit(z, scores, 1, w=np.sqrt(weight))
        kept = np.clip(slope, 0, 1)
        left = scores - kept * z
        loss = np.sum(weight * (left - np.average(left, weights=weight)) ** 2)
        if loss < squares - 1e-9:
            best, squares, found, level = w, loss, slope, start
    assert line.odds_weight == best
    assert line.slope_found == pytest.approx(found)
    assert line.average == pytest.approx(scores.mean())
    # the robust (sandwich) variance of White (1980)
    z = best * odds[rows] + (1 - best) * trees[rows]
    design = np.column_stack([np.ones(len(z)), z])
    bread = np.linalg.inv(design.T @ (design * weight[:, None]))
    residual = scores - level - found * z
    meat = design.T @ (design * (weight * residual)[:, None] ** 2)
    assert line.slope_variance == pytest.approx((bread @ meat @ bread)[1, 1])
    assert line.average_variance == pytest.approx(scores.var() / len(scores))
    shrunk = found - line.slope_variance / found
    assert line.slope == pytest.approx(min(max(shrunk, 0), 1))


def test_a_customers_rows_are_one_piece_of_evidence(world, fitted):
    line = effect_line(world.log, fitted.expected, fitted.odds[:, 0], fitted.trees[:, 0], 1)
    log = world.log
    twice = Log(
        log.arms,
        *(
            np.concatenate([one, one])
            for one in (log.arm, log.propensity, log.reward, log.offered, log.customer)
        ),
    )
    both = [np.concatenate([one, one]) for one in (fitted.expected, fitted.odds[:, 0], fitted.trees[:, 0])]
    again = effect_line(twice, *both, 1)
    for name in ("average", "slope", "average_variance", "slope_variance", "covariance"):
        assert getattr(again, name) == pytest.approx(getattr(line, name))


def test_a_line_where_all_are_alike():
    log = make_log(["control", "b"] * 50, [0.5] * 100, [0, 1, 1, 1] * 25)
    flat = np.zeros(100)
    line = effect_line(
        replace(log, arms=("control", "b"), arm=1 - log.arm), np.full((100, 2), 0.5), flat, flat, 1
    )
    assert (line.slope, line.slope_found, line.slope_variance) == (0.0, 0.0, 0.0)
    assert line.uplift(np.array([-1.0, 1.0])).tolist() == [line.average] * 2


def test_an_interval_by_hand():
    one = effect_line_of(average=0.1, slope=0.5, variances=(0.0004, 0.01, 0.001))
    away = np.array([0.0, 0.2])
    low, high = one.interval(away)
    assert one.uplift(away) == pytest.approx([0.1, 0.2])
    half = 1.959964 * np.sqrt([0.0004, 0.0004 + 2 * 0.2 * 0.001 + 0.04 * 0.01])
    assert low == pytest.approx(one.uplift(away) - half, abs=1e-6)
    assert high == pytest.approx(one.uplift(away) + half, abs=1e-6)
    assert one.away(np.array([0.4]), np.array([0.2])) == pytest.approx([0.25 * 0.4 + 0.75 * 0.2 - 0.05])


def effect_line_of(average, slope, variances):
    log = make_log(["a", "b"] * 50, [0.5] * 100, [0, 1] * 50)
    line = effect_line(log, np.full((100, 2), 0.5), np.zeros(100), np.zeros(100), 1)
    names = ("average_variance", "slope_variance", "covariance")
    return replace(
        line,
        average=average,
        slope=slope,
        odds_weight=0.25,
        center=0.05,
        **dict(zip(names, variances, strict=True)),
    )


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda w: (w.x[:10], w.log), InputError, r"of shape \(8000, features\), got \(10, 5\)"),
        (lambda w: (w.x, replace(w.log, reward=w.log.reward * 2)), InputError, "rewards of 0 and 1"),
        (
            lambda w: (w.x, replace(w.log, offered=w.log.offered & (np.arange(4) > 0))),
            InputError,
            "8000 of 8000 rows could not have been the control 'control'",
        ),
        (
            lambda w: (w.x, replace(w.log, reward=np.zeros(8_000))),
            TooLittleHistory,
            r"500 exposures of an arm .* coupon: \d+ of which 0 ordered, control \d+ of which 0;",
        ),
    ],
)
def test_refuses(world, change, error, says):
    with pytest.raises(error, match=says):
        cross_fit(*change(world), NAMES)


def test_an_arm_with_few_exposures_is_left_out_and_the_others_are_learnt():
    one = planted(n=4_000, seed=9)
    assert (one.log.arm == 3).sum() < 500 < (one.log.arm == 1).sum()
    fitted = cross_fit(one.x, one.log, NAMES, {**RESPONSE_PARAMETERS, **QUICK})
    assert 3 not in fitted.places
    assert fitted.expected.shape == (4_000, 4)


# ------------------------------------------------------------------------------------------------- the model


def panel_of(one):
    """The planted trial in the place of exposures, its features among the catalogue's."""
    names = current_contract().names
    x = np.full((len(one.x), len(names)), np.nan)
    x[:, :5] = one.x
    frame = pd.DataFrame({"experiment_id": "e", "customer_id": [f"c{i}" for i in one.log.customer]})
    answers = Responses(one.log.reward.astype(np.int64), np.zeros(len(x)))
    return ResponsePanel(
        frame, x, one.log, answers, RESPONSE_14D, pd.Timestamp("2024-07-01"), {"too young": 3}
    )


@pytest.fixture(scope="module")
def trained():
    one = planted(n=4_000, seed=9, moved=0.35)
    return one, *train_response(panel_of(one), "w-1", RESPONSE_PARAMETERS)


@pytest.fixture(scope="module")
def fresh():
    """Features of customers who were in no trial."""
    one = planted(n=500, seed=21, moved=0.35)
    return one, pd.DataFrame(panel_of(one).x, columns=list(current_contract().names))


def test_new_customers_get_the_uplift_of_their_like(trained, fresh):
    _, model, _ = trained
    other, columns = fresh
    found = predict_response(model, columns)
    assert found.arms == ("coupon", "letter")
    assert found.uplift.shape == found.low.shape == found.high.shape == (500, 2)
    assert np.corrcoef(found.uplift[:, 0], other.uplift[:, 0])[0, 1] > 0.8
    assert (found.low <= found.uplift).all()
    assert (found.uplift <= found.high).all()
    moved = other.x[:, 0] > 0  # by .35, the others by nothing; differences are told with restraint
    assert 0.15 < found.uplift[moved, 0].mean() < 0.40
    assert -0.05 < found.uplift[~moved, 0].mean() < 0.13


def test_predictions_are_what_the_card_says(trained, fresh):
    _, model, _ = trained
    _, columns = fresh
    x = columns.to_numpy()
    shared = model.card.outcome_level + model.outcomes.predict(x, raw_score=True)
    for k, arm in enumerate(model.card.arms):
        odds = 1 / (1 + np.exp(-shared - arm.shift)) - 1 / (1 + np.exp(-shared - model.card.control_shift))
        z = arm.line.odds_weight * odds + (1 - arm.line.odds_weight) * model.trees[k].predict(
            x, raw_score=True
        )
        expected = arm.line.average + arm.line.slope * (z - arm.line.center)
        assert predict_response(model, columns).uplift[:, k] == pytest.approx(expected)


def test_the_training_rows_mean_is_the_average(trained):
    one, model, _ = trained
    columns = pd.DataFrame(panel_of(one).x, columns=list(current_contract().names))
    averages = [arm.line.average for arm in model.card.arms]
    assert predict_response(model, columns).uplift.mean(axis=0) == pytest.approx(averages)


def test_a_row_alone_is_the_same_bits(trained, fresh):
    _, model, _ = trained
    columns = fresh[1]
    together, alone = predict_response(model, columns), predict_response(model, columns.iloc[[7]])
    as_mapping = predict_response(model, {name: columns[name].to_numpy() for name in columns})
    assert (together.uplift[7] == alone.uplift[0]).all()
    assert (together.low[7] == alone.low[0]).all()
    assert (as_mapping.uplift == together.uplift).all()
    assert predict_response(model, columns.iloc[:0]).uplift.shape == (0, 2)


def test_what_is_saved_is_loaded(trained, fresh, tmp_path):
    _, model, _ = trained
    columns = fresh[1]
    (tmp_path / "response_trees_7.txt").write_text("of an older model")
    save_response(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "RESPONSE_CARD.md",
        "response_card.json",
        "response_outcomes.txt",
        "response_trees_0.txt",
        "response_trees_1.txt",
    ]
    loaded = load_response(tmp_path)
    assert loaded.card == model.card
    assert (predict_response(loaded, columns).uplift == predict_response(model, columns).uplift).all()


def test_the_card_says_what_was_used(trained):
    one, model, fitted = trained
    card, coupon = model.card, model.card.arms[0]
    assert (card.rows, card.customers, card.horizon_days, card.warehouse_id) == (4_000, 4_000, 14, "w-1")
    assert (coupon.exposures, coupon.controls) == ((one.log.arm == 1).sum(), (one.log.arm == 0).sum())
    assert coupon.experiments == ("e",)
    treated = one.log.arm == 1
    assert coupon.share_ordered == pytest.approx(
        np.average(one.log.reward[treated], weights=1 / one.log.propensity[treated])
    )
    rows, trial = arm_trial(one.log, 1)
    assert coupon.qini.estimate == qini_coefficient(trial, fitted.uplift[rows, 0])
    assert coupon.qini.low > 0
    assert dict(card.left_out) == {
        "too young": 3,
        "arm nothing, of which too few were exposed, or ordered": (one.log.arm == 3).sum(),
    }
    assert ResponseCard.from_json(card.to_json()) == card
    page = response_page(card)
    assert "| coupon | e |" in page
    assert "Left out: too young 3, arm nothing" in page
    assert "Left out: nothing." in response_page(replace(card, left_out={"too young": 0}))


def test_damaged_files_are_refused(trained, tmp_path):
    _, model, _ = trained
    with pytest.raises(ModelError, match=r"response_card.json is missing"):
        load_response(tmp_path)
    save_response(model, tmp_path)
    (tmp_path / "response_trees_1.txt").unlink()
    with pytest.raises(ModelError, match=r"holds no response model: response_trees_1.txt is missing"):
        load_response(tmp_path)
    save_response(model, tmp_path)
    (tmp_path / "response_card.json").write_text("{}")
    with pytest.raises(ModelError, match="damaged response model"):
        load_response(tmp_path)


def test_other_features_are_refused(trained, fresh, tmp_path):
    _, model, _ = trained
    with pytest.raises(ContractError, match="missing orders_7d"):
        predict_response(model, fresh[1].drop(columns="orders_7d"))
    contract = replace(model.card.contract, digest="0" * 16)
    save_response(replace(model, card=replace(model.card, contract=contract)), tmp_path)
    with pytest.raises(ContractError, match="digest"):
        load_response(tmp_path)


def test_odds_by_hand():
    """Log odds 0, doubled by the arm, left as they are by the control: 2/3 - 1/2."""
    assert odds_uplift(np.array([0.0]), np.log(2), 0.0) == pytest.approx([1 / 6])


# ------------------------------------------------------------------------------------------------- the made-up retailer


def test_a_small_retailer_is_told_what_is_lacking(shop, end):
    panel = build_response_panel(shop, end)
    few = np.flatnonzero(panel.log.arm < 2)[:600]
    log = panel.log
    small = Log(
        log.arms, *(one[few] for one in (log.arm, log.propensity, log.reward, log.offered, log.customer))
    )
    with pytest.raises(TooLittleHistory, match=r"needs 500 exposures of an arm and as many of its control"):
        train_response(replace(panel, x=panel.x[few], log=small), "w-1")
