"""`twice lecture regularization`: what it claims holds, can fail, and is measured rightly where the answer is known."""

import functools
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import scratch
import torchref
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.lab import WINGS
from experiments.lecture.regularization import Config, Learnt, digits, judge, learn
from experiments.lecture.regularization_exact import (
    Ridge,
    Step,
    closed_form,
    distance,
    linear_problem,
    norm,
    penalty,
    penalty_step,
    ridge,
)
from experiments.lecture.running import run
from experiments.lecture.small_digits import network

CLAIMS = ("gradient", "step", "ridge", "slide", "norm", "gap", "test", "wings")
CONFIG = Config(lambdas=(0.0, 1.0, 10.0), ridge_lambdas=(1.0, 100.0))
STEP = Step(0.0, ("fc1.weight", "fc2.weight"), 1e-16, 0.9)
RIDGE = Ridge(*(np.array(one) for one in ([1.0, 2.0], [1.1, 2.0], [3.0, 4.0], [1.0, 2.0], [3.0, 4.0])), 10.0, 20.0)
LEARNT = Learnt(*(np.array(one) for one in ([20.0, 8.0, 1.0], [0.01, 0.6, 2.2], [2.0, 1.0, 2.3], [0.4, 0.3, 0.9])))


def failed(step=None, one=None, learnt=None, wing="torch", decay=100.0) -> set[str]:
    """The claims that do not hold when one wing's measurements are other ones, in the last of two seeds."""
    steps = {wing.name: STEP for wing in WINGS}
    ridges = {wing.name: dict.fromkeys(CONFIG.ridge_lambdas, RIDGE) for wing in WINGS}
    found = [{wing.name: LEARNT for wing in WINGS} for _ in range(2)]
    steps[wing] = STEP._replace(**(step or {}))
    ridges[wing] = {**ridges[wing], decay: RIDGE._replace(**(one or {}))}
    found[-1][wing] = LEARNT._replace(**(learnt or {}))
    claims = judge(CONFIG, steps, ridges, found)
    assert len(claims) == len(CLAIMS)
    return {name for name, claim in zip(CLAIMS, claims, strict=True) if not claim.held}


def test_the_quick_version_holds_and_leaves_figures_and_curves(tmp_path: Path) -> None:
    outcome = run(ENTRIES["regularization"], tmp_path, quick=True)
    assert outcome.held, [claim.measured for claim in outcome.claims if not claim.held]
    folder = tmp_path / "lecture-quick" / "regularization"
    for stem in ("ridge", "gap"):
        assert all((folder / "figures" / f"{stem}{end}").is_file() for end in (".png", ".svg", "-dark.svg"))
    boards = [EventAccumulator(str(folder / wing.name)).Reload() for wing in WINGS]
    tags = boards[0].Tags()["scalars"]
    assert sorted(tags) == sorted(boards[1].Tags()["scalars"])
    assert {"norm_by_place_of_lambda", "gap_by_place_of_lambda"} < set(tags)


def test_what_is_right_holds() -> None:
    assert failed() == set()


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize(
    ("what", "wrong", "claims"),
    [
        ("step", {"gradient_off": 1e-17}, {"gradient"}),
        ("step", {"slope_off": 1e-12}, {"gradient"}),
        ("step", {"names": ("fc1.weight", "fc1.bias", "fc2.weight")}, {"gradient"}),
        ("step", {"step_off": 5.0}, {"step"}),
        ("step", {"step_off": np.nan}, {"step"}),
        ("one", {"learnt": np.array([1.0, 2.0 + 1e-9])}, {"ridge"}),
        ("one", {"bias_penalised": np.array([1.0, 2.0])}, {"ridge"}),
        ("one", {"slide": np.array([3.0, 4.0 + 1e-9])}, {"slide"}),
        ("one", {"slide_loss": 14.0}, {"slide"}),
        ("one", {"slide_loss": 10.0}, {"slide"}),
        ("one", {"slide_loss": np.nan}, {"slide"}),
        ("learnt", {"norm": np.array([20.0, 20.0, 1.0])}, {"norm", "wings"}),
        ("learnt", {"norm": np.array([20.0, 8.0, 1.0 + 1e-8])}, {"wings"}),
        ("learnt", {"train": np.array([0.01, 0.6, 1.5])}, {"gap", "wings"}),
        ("learnt", {"train": np.array([1.9, 0.6, 2.2])}, {"gap", "wings"}),
        ("learnt", {"test": np.array([0.9, 1.0, 2.3])}, {"test", "wings"}),
        ("learnt", {"test": np.array([1.3, 1.0, 2.3])}, {"test", "wings"}),
        ("learnt", {"test": np.array([2.0, np.nan, 2.3])}, {"gap", "test", "wings"}),
    ],
)
def test_every_claim_can_fail_in_either_wing(what, wrong, claims, wing) -> None:
    assert failed(**{what: wrong}, wing=wing) == claims


def one_step(wing) -> Step:
    x, labels, *_ = digits(CONFIG, 0)
    return penalty_step(wing, functools.partial(network, 4), x, labels, lr=0.01, decay=0.3, seed=0)


def test_a_step_that_leaves_the_penalty_out_is_seen(monkeypatch) -> None:
    """The slide's update, W ← W − α ∂J/∂W of the data alone."""
    assert failed(step=one_step(WINGS[0])._asdict()) == set()
    step = scratch.SGD.step
    monkeypatch.setattr(scratch.SGD, "step", lambda self, *args: step(scratch.SGD(self.lr), *args))
    assert failed(step=one_step(WINGS[0])._asdict()) == {"step"}


def test_a_step_that_lets_biases_decay_is_seen(monkeypatch) -> None:
    """As if `scratch.SGD` asked for the weight decay alone, and not whether the parameter is a weight."""
    monkeypatch.setattr("scratch.optim.is_weight", lambda _: True)
    assert failed(step=one_step(WINGS[0])._asdict()) == {"step"}


def test_a_penalty_without_its_half_is_seen(monkeypatch) -> None:
    forward = torchref.L2Penalty.forward
    monkeypatch.setattr(torchref.L2Penalty, "forward", lambda self, params: 2 * forward(self, params))
    assert failed(step=one_step(WINGS[1])._asdict()) == {"gradient"}


def test_a_bias_that_decays_is_seen(monkeypatch) -> None:
    monkeypatch.setattr("scratch.optim.is_weight", lambda _: True)
    x, t = linear_problem(30, 3, 0)
    one = ridge(WINGS[0], x, t, 3.0, steps=500, seed=0)
    assert distance(one.learnt, one.bias_penalised) < 1e-10 < 1e-3 < distance(one.learnt, one.closed)


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.name)
def test_the_penalty_of_known_weights(wing) -> None:
    """½ · 0.5 · (9 + 16) = 6.25, and nothing for the bias."""
    params = {"fc1.weight": np.array([[3.0, 4.0]]), "fc1.bias": np.array([7.0])}
    value, grads = penalty(wing, params, 0.5)
    assert value == 6.25
    assert list(grads) == ["fc1.weight"]
    np.testing.assert_array_equal(grads["fc1.weight"], [[1.5, 2.0]])
    assert norm(params) == 5.0


def test_the_closed_form_of_two_points() -> None:
    """x = ±1 about 5, t = ±2 about 3: CᵀC = 2 and Cᵀt = 4, so w = 4/(2 + λ) and b = 3 − 5w."""
    x, t = np.array([[4.0], [6.0]]), np.array([[1.0], [5.0]])
    for decay in (0.0, 2.0, 6.0):
        w = 4 / (2 + decay)
        np.testing.assert_allclose(closed_form(x, t, decay), [w, 3 - 5 * w])
    w, b = closed_form(x, t, 2.0, penalise_bias=True)
    residual = t[:, 0] - w * x[:, 0] - b
    np.testing.assert_allclose([residual @ x[:, 0], residual.sum()], [2 * w, 2 * b])


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.name)
def test_a_linear_net_meets_the_closed_form(wing) -> None:
    x, t = linear_problem(30, 2, 3)
    one = ridge(wing, x, t, 5.0, steps=400, seed=0)
    assert distance(one.learnt, one.closed) < 1e-12
    assert distance(one.slide, one.least_squares) < 1e-12
    residual = x @ one.learnt[:-1] + one.learnt[-1] - t[:, 0]
    assert one.learnt_loss == pytest.approx((residual @ residual + 5.0 * one.learnt[:-1] @ one.learnt[:-1]) / 2)


def test_a_share_of_the_labels_is_wrong() -> None:
    right = digits(Config(mislabelled=0.0), 5)
    wrong = digits(Config(mislabelled=0.2), 5)
    np.testing.assert_array_equal(right[0], wrong[0])
    assert np.sum(right[1] != wrong[1]) == 12
    assert wrong[1].min() >= 0
    assert wrong[1].max() <= 9
    assert (wrong[2].shape, wrong[3].shape) == ((500, 49), (500,))
    np.testing.assert_array_equal(right[3], wrong[3])


def test_learning_shrinks_the_weights_alike_in_both_wings() -> None:
    found = learn(Config(samples=20, hidden=3, lambdas=(0.0, 20.0), rate=0.01, epochs=20), 0)
    for one in found.values():
        assert one.norm[1] < one.norm[0]
        np.testing.assert_array_equal(one.gap, one.test - one.train)
        assert ((one.error >= 0) & (one.error <= 1)).all()
    np.testing.assert_allclose(found["scratch"], found["torch"], rtol=1e-12)
