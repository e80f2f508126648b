"""`twice lecture neuron`: what it claims holds, can fail, and is measured rightly where the answer is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.lecture import neuron
from experiments.lecture.activations import ACTIVATIONS
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.lab import WINGS
from experiments.lecture.running import run

V = np.arange(-24, 25) / 4
CLAIMS = ("sum", "derivatives", "differences", "steepest", "saturated", "untrainable")


def measured() -> dict[str, Any]:
    """The arguments of `judge`, measured afresh, so that a test may spoil them."""
    curves = {wing.name: {f.name: neuron.curve(wing, f, V, 1e-5) for f in ACTIVATIONS} for wing in WINGS}
    runs = {"hard limit": neuron.Learning([0.5, 0.5], 0.0, 3), "logistic, a = 1": neuron.Learning([0.3, 0.1], 1.0, 4)}
    return {
        "worked": {"by hand": neuron.by_hand(), "literal": neuron.by_loop()}
        | {wing.name: neuron.by_wing(wing) for wing in WINGS},
        "v": V,
        "curves": curves,
        "learnt": {wing.name: {name: [one, one] for name, one in runs.items()} for wing in WINGS},
    }


def failed(measurements: dict[str, Any]) -> set[str]:
    claims = neuron.judge(**measurements)
    assert len(claims) == len(CLAIMS)
    return {name for name, claim in zip(CLAIMS, claims, strict=True) if not claim.held}


def test_the_quick_version_holds_and_leaves_figures_and_curves(tmp_path: Path) -> None:
    outcome = run(ENTRIES["neuron"], tmp_path, quick=True)
    assert outcome.held, [claim.measured for claim in outcome.claims if not claim.held]
    folder = tmp_path / "lecture-quick" / "neuron"
    for stem in ("neuron", "curves"):
        assert all((folder / "figures" / f"{stem}{end}").is_file() for end in (".png", ".svg", "-dark.svg"))
    tags = {}
    for wing in WINGS:
        board = EventAccumulator(str(folder / wing.name)).Reload()
        tags[wing.name] = board.Tags()["scalars"]
        value = board.Scalars("slope/logistic, a = 1")
        assert [event.step for event in value[:2]] == [-600, -580]
        steepest = max(value, key=lambda event: event.value)
        assert (steepest.step, steepest.value) == (0, 0.25)
    assert sorted(tags["scratch"]) == sorted(tags["torch"])
    assert {"AND loss/hard limit", "value/ReLU"} <= set(tags["torch"])


def test_what_is_right_holds() -> None:
    assert failed(measured()) == set()


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize(
    ("name", "part", "spoil", "claims"),
    [
        ("logistic, a = 2", "value", lambda y: y + 1e-14, {"derivatives"}),
        ("logistic, a = 2", "slope", lambda y: y * np.nan, {"derivatives", "differences", "steepest", "saturated"}),
        ("logistic, a = 2", "slope", lambda y: y / 2, {"derivatives", "differences", "steepest", "saturated"}),
        ("logistic, a = 2", "slope", lambda y: np.where(V == 0, 0.4, y), {"derivatives", "differences", "steepest"}),
        ("a·tanh(bv), a = 1, b = 2", "slope", lambda y: np.where(V > 5, y * 0.9, y), {"derivatives", "saturated"}),
        ("a·tanh(bv), a = 1, b = 1", "slope", np.ones_like, {"derivatives", "differences", "steepest", "saturated"}),
        ("hard limit", "slope", lambda y: y + 1e-3, {"derivatives", "differences"}),
        ("ReLU", "difference", lambda y: y + 1e-8, {"differences"}),
    ],
)
def test_a_wrong_curve_is_seen(wing: str, name: str, part: str, spoil: Any, claims: set[str]) -> None:
    wrong = measured()
    one = wrong["curves"][wing][name]
    wrong["curves"][wing][name] = one._replace(**{part: spoil(getattr(one, part))})
    assert failed(wrong) == claims


@pytest.mark.parametrize("way", ["by hand", "literal", "scratch", "torch"])
@pytest.mark.parametrize("row", neuron.ROWS)
def test_a_wrong_sum_is_seen(way: str, row: str) -> None:
    wrong = measured()
    for error in (1e-14, float("nan")):
        wrong["worked"][way][row] += error
        assert failed(wrong) == {"sum"}


@pytest.mark.parametrize(
    ("name", "spoilt"),
    [
        ("hard limit", neuron.Learning([0.5, 0.5], 1e-16, 3)),
        ("logistic, a = 1", neuron.Learning([0.3, 0.1], 1.0, 3)),
        ("logistic, a = 1", neuron.Learning([0.3, 0.1 + 1e-11], 1.0, 4)),
    ],
)
def test_a_unit_that_learns_otherwise_is_seen(name: str, spoilt: neuron.Learning) -> None:
    wrong = measured()
    wrong["learnt"]["torch"][name][1] = spoilt
    assert failed(wrong) == {"untrainable"}


def test_a_derivative_of_the_wrong_sign_in_scratch_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratch.activation.logistic_backward", lambda dy, y, a: dy * (a * y * (1 + y)))
    assert {"derivatives", "differences", "steepest"} <= failed(measured())


def test_a_straight_through_hard_limit_moves_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = next(f for f in ACTIVATIONS if f.name == "hard limit")
    config = neuron.Config(epochs=3)
    assert neuron.learn_and(WINGS[0], limit, 0, config).moved == 0
    monkeypatch.setattr("scratch.activation.Threshold.backward", lambda _, dy, __: (dy, {}))
    assert neuron.learn_and(WINGS[0], limit, 0, config).moved > 0.1


def test_the_sum_by_hand() -> None:
    hand = neuron.by_hand()
    assert hand["z = wᵀx + b"] == 0.8
    assert hand["logistic, a = 1"] == pytest.approx(1 / (1 + np.exp(-0.8)), abs=1e-15)
    assert hand["1.7159·tanh(2z/3)"] == pytest.approx(1.7159 * np.tanh(1.6 / 3), abs=1e-15)
    assert (hand["hard limit"], hand["ReLU"]) == (1, 0.8)


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.name)
def test_the_curve_of_the_hard_limit(wing: Any) -> None:
    limit = next(f for f in ACTIVATIONS if f.name == "hard limit")
    one = neuron.curve(wing, limit, np.array([-1.0, 0.0, 1.0]), 0.25)
    np.testing.assert_array_equal(one.value, [0, 1, 1])
    np.testing.assert_array_equal(one.slope, [0, 0, 0])
    np.testing.assert_array_equal(one.difference, [0, 2, 0])  # the jump: 1 over 2·0.25
