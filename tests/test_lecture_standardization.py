"""`twice lecture standardization`: what it claims holds, can fail, and is measured rightly where the answer is known.

What the standardiser itself does is tested elsewhere; here, that the experiment would see it go wrong.
"""

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import scratch
from experiments.lecture import standardization
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.lab import WINGS, initial, worst
from experiments.lecture.running import run
from experiments.lecture.standardization import cloud
from experiments.lecture.standardization_digits import Whitened, digits, whiten
from experiments.lecture.standardization_trials import (
    STAGES,
    Learnt,
    Shape,
    Trial,
    curvatures,
    drift,
    shape,
    spread,
    stages,
    until,
)

SCRATCH, TORCH = WINGS
CLAIMS = ("steps", "covariance", "curvatures", "linear", "perceptron", "constant", "stream", "wings")
CORNERS = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])


def learnt(epochs: int) -> Learnt:
    """A run whose loss halves in each epoch."""
    return Learnt(1.0, epochs, [0.5**k for k in range(epochs + 1)])


def measured() -> dict[str, Any]:
    """The arguments of `judge`, as they should be, so that a test may spoil them."""
    shapes = {
        "original": Shape(3.0, 1.0, 2.0, 14.0, 120.0),
        "centered": Shape(1e-16, 1.0, 2.0, 14.0, 14.0),
        "decorrelated": Shape(1e-16, 1e-16, 2.0, 14.0, 14.0),
        "equalized": Shape(1e-16, 1e-16, 1e-15, 1.0, 1.0),
    }
    epochs = dict(zip(STAGES, (40, 10, 10, 1), strict=True))
    trial = {wing.name: {stage: learnt(count) for stage, count in epochs.items()} for wing in WINGS}
    return {
        "shapes": {wing.name: [dict(shapes), dict(shapes)] for wing in WINGS},
        "spreads": {wing.name: dict(zip(STAGES, (500.0, 500.0, 500.0, 1.0), strict=True)) for wing in WINGS},
        "linear": [Trial({wing: dict(one) for wing, one in trial.items()}, 1e-15, 1e-15) for _ in range(11)],
        "mlp": [Trial({wing: dict(one) for wing, one in trial.items()}, 1e-15, 1e-15) for _ in range(2)],
        "whitened": {
            wing.name: [
                Whitened(196, 5, 4, 4, True, 1e7, 1e-13, 1e-14, 1e-11, np.ones((3, 4))),
                Whitened(784, 5, 4, 4, True, 1e9, 5e-12, 1e-14, 1e-11, np.ones((3, 4))),
            ]
            for wing in WINGS
        },
    }


def failed(measurements: dict[str, Any]) -> set[str]:
    claims = standardization.judge(**measurements)
    assert len(claims) == len(CLAIMS)
    return {name for name, claim in zip(CLAIMS, claims, strict=True) if not claim.held}


def test_the_quick_version_holds_and_leaves_figures_and_curves(tmp_path: Path) -> None:
    outcome = run(ENTRIES["standardization"], tmp_path, quick=True)
    assert outcome.held, [claim.measured for claim in outcome.claims if not claim.held]
    folder = tmp_path / "lecture-quick" / "standardization"
    for stem in ("clouds", "epochs"):
        assert all((folder / "figures" / f"{stem}{end}").is_file() for end in (".png", ".svg", "-dark.svg"))
    boards = [EventAccumulator(str(folder / wing.name)).Reload() for wing in WINGS]
    assert sorted(boards[0].Tags()["scalars"]) == sorted(boards[1].Tags()["scalars"])
    assert len(boards[0].Tags()["scalars"]) == 2 * 2 * len(STAGES)
    for board in boards:
        assert [event.step for event in board.Scalars("linear unit/equalized")] == [0, 1]
        assert len(board.Scalars("epochs of perceptron/original")) == standardization.QUICK.seeds
    assert [row[0] for row in outcome.tables[0].rows] == list(STAGES)


def test_what_is_right_holds() -> None:
    assert failed(measured()) == set()


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize("value", [2e-12, math.nan])
@pytest.mark.parametrize(
    ("stage", "field"),
    [
        ("centered", "offset"),
        ("decorrelated", "offset"),
        ("decorrelated", "correlation"),
        ("equalized", "offset"),
        ("equalized", "correlation"),
        ("equalized", "from_identity"),
    ],
)
def test_a_step_left_undone_is_seen(wing: str, value: float, stage: str, field: str) -> None:
    wrong = measured()
    for cloud_of in (0, 1):
        spoilt = {**wrong["shapes"], wing: [dict(one) for one in wrong["shapes"][wing]]}
        spoilt[wing][cloud_of][stage] = spoilt[wing][cloud_of][stage]._replace(**{field: value})
        assert failed({**wrong, "shapes": spoilt}) == {"steps"}


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize(
    ("stage", "condition"),
    [("original", 41.0), ("original", math.nan), ("decorrelated", 14.0 + 1e-7), ("equalized", 1 + 1e-8)],
)
def test_other_curvatures_are_seen(wing: str, stage: str, condition: float) -> None:
    wrong = measured()
    wrong["shapes"][wing][1][stage] = wrong["shapes"][wing][1][stage]._replace(condition=condition)
    assert failed(wrong) == {"curvatures"}


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize(
    ("stage", "part"), [("centered", 1e-8), ("decorrelated", -1e-8), ("equalized", 1e-8), ("equalized", math.nan)]
)
def test_another_covariance_is_seen(wing: str, stage: str, part: float) -> None:
    wrong = measured()
    one = wrong["shapes"][wing][1][stage]
    wrong["shapes"][wing][1][stage] = one._replace(spread=one.spread * (1 + part))
    assert failed(wrong) == {"covariance"}
    wrong = measured()
    wrong["spreads"][wing][stage] *= 1 + part
    assert failed(wrong) == {"covariance"}


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize(
    ("what", "stage", "epochs", "claim"),
    [
        ("linear", "decorrelated", 11, "linear"),
        ("linear", "equalized", 2, "linear"),
        ("mlp", "original", 10, "perceptron"),
        ("mlp", "equalized", 6, "perceptron"),
    ],
)
def test_other_epochs_are_seen(wing: str, what: str, stage: str, epochs: int, claim: str) -> None:
    wrong = measured()
    wrong[what][1].learnt[wing][stage] = learnt(epochs)
    assert failed(wrong) == {claim}


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize(("clouds", "epochs", "held"), [(1, 5, True), (2, 5, False), (11, 29, False), (11, 30, True)])
def test_a_mean_that_costs_nothing_is_seen(wing: str, clouds: int, epochs: int, held: bool) -> None:
    wrong = measured()
    for trial in wrong["linear"][:clouds]:
        trial.learnt[wing]["original"] = learnt(epochs)
    assert failed(wrong) == (set() if held else {"linear"})


def test_decorrelating_that_changes_the_losses_is_seen() -> None:
    wrong = measured()
    one = wrong["linear"][0].learnt["torch"]["decorrelated"]
    wrong["linear"][0].learnt["torch"]["decorrelated"] = one._replace(losses=[1.0, 0.5 + 1e-8, *one.losses[2:]])
    assert failed(wrong) == {"linear"}


@pytest.mark.parametrize("what", ["linear", "mlp"])
def test_a_stage_that_never_comes_to_its_goal_is_seen(what: str) -> None:
    wrong = measured()
    wrong[what][0].learnt["scratch"]["equalized"] = Learnt(math.nan, math.inf, [])
    assert failed(wrong) == {"linear" if what == "linear" else "perceptron"}


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize(
    ("field", "value", "claim"),
    [
        ("constant", 0, "constant"),
        ("rank", 3, "constant"),
        ("finite", False, "constant"),
        ("from_identity", 2e-11, "constant"),
        ("true_rank", 5, "constant"),
        ("from_identity", math.nan, "constant"),
        ("inverse", 2e-9, "constant"),
        ("inverse", math.nan, "constant"),
        ("stream", 2e-9, "stream"),
        ("stream", math.inf, "stream"),
        ("stream", math.nan, "stream"),
        ("values", np.full((3, 4), 1 + 2e-9), "wings"),
        ("values", np.ones((3, 3)), "wings"),
    ],
)
def test_whitening_gone_wrong_is_seen(wing: str, field: str, value: Any, claim: str) -> None:
    for which in (0, 1):
        wrong = measured()
        wrong["whitened"][wing][which] = wrong["whitened"][wing][which]._replace(**{field: value})
        assert failed(wrong) == {claim}


@pytest.mark.parametrize("wing", ["scratch", "torch"])
def test_the_identity_is_asked_for_as_closely_as_rounding_lets_it(wing: str) -> None:
    for which, bound in ((0, 1e-12), (1, 2.0**-52 * 1e9**0.5)):
        for share, claims in ((0.99, set()), (1.01, {"constant"})):
            wrong = measured()
            wrong["whitened"][wing][which] = wrong["whitened"][wing][which]._replace(from_identity=share * bound)
            assert failed(wrong) == claims


@pytest.mark.parametrize("what", ["linear", "mlp"])
@pytest.mark.parametrize("field", ["apart", "drift"])
@pytest.mark.parametrize("value", [2e-9, math.inf, math.nan])
def test_wings_apart_are_seen(what: str, field: str, value: float) -> None:
    wrong = measured()
    wrong[what][1] = wrong[what][1]._replace(**{field: value})
    assert failed(wrong) == {"wings"}


def test_how_inputs_lie_by_hand() -> None:
    assert shape(CORNERS) == pytest.approx((0, 0, 0, 1, 1), abs=1e-14)
    # H = [[10, 0, 3], [0, 1, 0], [3, 0, 1]]: λ = (11 ± √117) / 2 and 1.
    high, low = (11 + math.sqrt(117)) / 2, (11 - math.sqrt(117)) / 2
    moved = CORNERS + np.array([3, 0])
    np.testing.assert_allclose(curvatures(moved), [low, 1, high], rtol=1e-12)
    assert shape(moved) == pytest.approx((3, 0, 0, 1, high / low), abs=1e-12)
    assert spread(moved * [3, 1], 2) == pytest.approx(9)
    assert spread(np.column_stack([moved * [3, 1], np.full(4, 0.1)]), 2) == pytest.approx(9)
    # x₂ = x₁: covariance 1 everywhere.
    assert shape(CORNERS[:, [0, 0]])[:3] == pytest.approx((0, 1, 1), abs=1e-15)


def test_the_stages_by_hand() -> None:
    x = CORNERS * [3, 1] @ np.array([[0.6, 0.8], [-0.8, 0.6]]) + [5, -7]
    for wing in WINGS:
        found = stages(wing, x)
        np.testing.assert_array_equal(found["original"], x)
        np.testing.assert_allclose(found["centered"], x - [5, -7], atol=1e-13)
        np.testing.assert_allclose(np.abs(found["decorrelated"]), np.abs(CORNERS * [3, 1]), atol=1e-13)
        np.testing.assert_allclose(np.abs(found["equalized"]), 1, atol=1e-13)


def test_a_linear_unit_obeys_the_theory() -> None:
    config = standardization.QUICK
    x, target = cloud(config.points, 3)
    found = standardization.linear_unit(config, 3)
    for wing, stage in itertools.product(WINGS, STAGES):
        inputs = np.column_stack([stages(wing, x)[stage], np.ones(len(x))])
        least = 0.5 * float(np.mean((target - inputs @ np.linalg.lstsq(inputs, target)[0]) ** 2))
        kappa = shape(stages(wing, x)[stage]).condition
        above = np.array(found.learnt[wing.name][stage].losses) - least
        assert above[0] == pytest.approx(0.5 * float(np.mean(target**2)) - least)
        assert (above[1:] <= ((kappa - 1) / (kappa + 1)) ** 2 * above[:-1] + 1e-12).all()
        assert above[-1] <= config.unexplained * 0.5 * float(target.var()) < above[-2]


def test_learning_ends_at_the_goal_or_at_the_limit() -> None:
    assert until(iter([1.0, 0.5, 0.25, 0.125]), 2.0, 0.25, 100) == Learnt(2.0, 2, [1, 0.5, 0.25])
    assert until(iter([1.0, 0.5, 0.25, 0.125]), 2.0, 0.25, 2).epochs == 2
    assert until(iter([1.0, 0.5, 0.25, 0.125]), 2.0, 0.25, 1) == Learnt(2.0, math.inf, [1, 0.5])
    assert until(iter([1.0, math.nan, 0.0]), 2.0, 0.25, 100).epochs == math.inf


def test_rates_are_chosen_with_other_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(standardization.QUICK, images=40, rates=(1.0, 2.0), limit=3)
    drawn: list[int] = []
    monkeypatch.setattr(standardization, "initial", lambda make, seed: drawn.append(seed) or initial(make, seed))
    found = standardization.search(config, 5)
    assert set(drawn) == {1_000_005}
    assert set(found) == set(itertools.product(STAGES, config.rates))
    assert max(found.values()) <= config.limit + 1


def test_drift() -> None:
    assert drift([2.0, 1.0], [2.0, 1.5]) == 0.25
    assert drift([2.0, 1.0], [2.0]) == drift([], []) == drift([2.0], []) == math.inf
    assert drift([2.0, 1.0, 1.5, 0.5], [2.0, 1.0, 7.0]) == 0  # it rises: from there on anything may be
    assert math.isnan(drift([2.0, 1.0], [2.0, math.nan]))


def test_digits_in_tiles() -> None:
    pixels, labels = digits(7)
    whole, _ = digits(28)
    assert pixels.shape == (len(labels), 49)
    np.testing.assert_allclose(pixels.mean(axis=1), whole.mean(axis=1), rtol=1e-12)
    assert pixels.min() == 0
    assert 0.5 < pixels.max() <= 1


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.name)
def test_whitening_of_constant_and_repeated_components(wing: Any) -> None:
    x = np.random.default_rng(0).normal(size=(30, 3))
    found = whiten(wing, np.column_stack([x, np.full(30, 0.1), x[:, 0] + x[:, 1]]), 7)
    assert found[:5] == (5, 1, 3, 3, True)
    assert worst(found[6:9]) < 1e-12


def test_a_stream_that_forgets_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch.Standardizer, "partial_fit", scratch.Standardizer.fit)
    assert whiten(SCRATCH, digits(7)[0], 200).stream > 1e-3


def test_a_covariance_by_another_divisor_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    variances = scratch.Standardizer.variances.fget
    unbiased = property(lambda self: variances(self) * self.count / (self.count - 1))
    monkeypatch.setattr(scratch.Standardizer, "variances", unbiased)
    x = CORNERS @ np.array([[2.0, 1.0], [0.0, 1.0]])
    assert shape(stages(SCRATCH, x)["equalized"]).from_identity == pytest.approx(0.25)
    assert shape(stages(TORCH, x)["equalized"]).from_identity < 1e-12
