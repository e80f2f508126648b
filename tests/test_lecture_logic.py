"""`twice lecture logic`: what it claims holds, can fail, and is measured rightly where the answer is known."""

import functools
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.lecture import logic, logic_units
from experiments.lecture.activations import HIDDEN
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.lab import WINGS, Wing
from experiments.lecture.logic import Learnt
from experiments.lecture.logic_units import HAND, XOR, Hand
from experiments.lecture.running import run

AND, NAND, XNOR = (0, 0, 0, 1), (1, 1, 1, 0), (1, 0, 0, 1)
CLAIMS = ("perceptron", "fourteen", "best", "hand", "blocked", "faster", "stuck", "wings")
CONFIG = logic.Config(seeds=10, updates=500)
EACH_WING = pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.name)


@functools.cache
def functions() -> tuple[logic_units.Function, ...]:
    return tuple(logic.measure_function(values) for values in product((0, 1), repeat=4))


def learnt(updates: int, slope: float) -> Learnt:
    return Learnt(updates, np.linspace(0.2, 0.03, updates + 1), slope, {})


def measured() -> dict[str, Any]:
    """The arguments of `judge`: of one unit measured, of learning as it should be, so that a test may spoil them."""
    nets = {"logistic": (501, 0.01), "tanh": (100, 0.1), "scaled tanh": (120, 0.1), "ReLU": (501, 1e-6)}
    return {
        "config": CONFIG,
        "functions": list(functions()),
        "hand": {wing.name: Hand(XOR, 0) for wing in WINGS},
        "blocked": {wing.name: 0.0 for wing in WINGS},
        "trials": [
            {wing.name: {name: learnt(*net) for name, net in nets.items()} for wing in WINGS}
            for _ in range(CONFIG.seeds)
        ],
    }


def failed(measurements: dict[str, Any]) -> set[str]:
    claims = logic.judge(**measurements)
    assert len(claims) == len(CLAIMS)
    return {name for name, claim in zip(CLAIMS, claims, strict=True) if not claim.held}


def test_the_quick_version_holds_and_leaves_figures_and_curves(tmp_path: Path) -> None:
    outcome = run(ENTRIES["logic"], tmp_path, quick=True)
    assert outcome.held, [claim.measured for claim in outcome.claims if not claim.held]
    folder = tmp_path / "lecture-quick" / "logic"
    for stem in ("units", "network", "learnt"):
        assert all((folder / "figures" / f"{stem}{end}").is_file() for end in (".png", ".svg", "-dark.svg"))
    boards = [EventAccumulator(str(folder / wing.name)).Reload() for wing in WINGS]
    assert sorted(boards[0].Tags()["scalars"]) == sorted(boards[1].Tags()["scalars"])
    share = boards[0].Scalars("learnt/scaled tanh")
    assert (share[0].step, share[0].value, share[-1].step) == (0, 0, logic.QUICK.updates)
    assert share[-1].value > 0.4


def test_what_is_right_holds() -> None:
    assert failed(measured()) == set()


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize(
    ("values", "unit", "claims"),
    [
        (AND, {"weights": (2.0, 2.0, -3.0)}, {"perceptron"}),
        (AND, {"corrections": 52}, {"perceptron"}),
        (AND, {"answers": (0, 0, 0, 0)}, {"perceptron", "fourteen", "best"}),
        (NAND, {"answers": (1, 1, 1, 1)}, {"perceptron", "fourteen", "best"}),
    ],
)
def test_a_wrong_unit_is_seen(wing: str, values: tuple[int, ...], unit: dict[str, Any], claims: set[str]) -> None:
    wrong = measured()
    for i, function in enumerate(wrong["functions"]):
        if function.values == values:
            units = {**function.units, wing: function.units[wing]._replace(**unit)}
            wrong["functions"][i] = function._replace(units=units)
    assert failed(wrong) == claims


@pytest.mark.parametrize("values", [XOR, XNOR])
def test_a_function_that_stays_open_or_is_both_is_seen(values: tuple[int, ...]) -> None:
    for changes in ({"refuted": False}, {"units": {wing.name: logic_units.Unit((), 9, values) for wing in WINGS}}):
        wrong = measured()
        wrong["functions"] = [
            function._replace(**changes) if function.values == values else function for function in wrong["functions"]
        ]
        assert failed(wrong) == {"fourteen", "best"}


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize("hand", [Hand((0, 1, 1, 1), 0), Hand(XOR, 1)])
def test_a_wrong_net_by_hand_is_seen(wing: str, hand: Hand) -> None:
    wrong = measured()
    wrong["hand"][wing] = hand
    assert failed(wrong) == {"hand"}


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize("slope", [1e-300, float("nan")])
def test_a_gradient_below_hard_limits_is_seen(wing: str, slope: float) -> None:
    wrong = measured()
    wrong["blocked"][wing] = slope
    assert failed(wrong) == {"blocked"}


@pytest.mark.parametrize(
    ("name", "count", "net", "claims"),
    [
        ("logistic", 10, learnt(120, 0.1), {"faster", "stuck"}),
        ("logistic", 3, learnt(110, 0.1), {"faster"}),
        ("logistic", 6, learnt(501, 1e-4), {"stuck"}),
        ("ReLU", 2, learnt(501, 1e-2), {"stuck"}),
        ("ReLU", 2, learnt(501, float("nan")), {"stuck"}),
        ("scaled tanh", 10, learnt(501, 0.1), {"faster"}),
    ],
)
def test_a_net_that_learns_otherwise_is_seen(name: str, count: int, net: Learnt, claims: set[str]) -> None:
    wrong = measured()
    for trial in wrong["trials"][:count]:
        for nets in trial.values():
            nets[name] = net
    assert failed(wrong) == claims


@pytest.mark.parametrize("error", [1e-8, float("nan"), float("inf")])
def test_wings_that_part_early_are_seen(error: float) -> None:
    wrong = measured()
    nets = wrong["trials"][3]["torch"]
    nets["tanh"] = nets["tanh"]._replace(losses=nets["tanh"].losses + error)
    assert failed(wrong) == {"wings"}


def test_large_losses_may_differ_by_as_much_more() -> None:
    loud = measured()
    for wing, factor in (("scratch", 1e6), ("torch", 1e6 * (1 + 1e-12))):
        net = loud["trials"][3][wing]["tanh"]
        loud["trials"][3][wing]["tanh"] = net._replace(losses=net.losses * factor)
    assert failed(loud) == set()


def test_the_figure_says_what_its_net_has_come_to() -> None:
    trials = measured()["trials"]
    assert logic._example(trials, "ReLU", "stuck", 500)[0] == "ReLU, stuck"
    assert logic._example(trials, "logistic", "stuck", 500)[0] == "logistic, still learning"
    assert logic._example(trials, "ReLU", "learnt", 500)[0] == "ReLU, stuck"
    assert logic._example(trials, "tanh", "learnt", 500)[0] == "tanh, learnt"


def test_wings_that_end_differently_are_seen() -> None:
    wrong = measured()
    for trial in wrong["trials"][:2]:
        trial["torch"]["tanh"] = trial["torch"]["tanh"]._replace(updates=501)
    assert failed(wrong) == {"wings"}


def test_a_hard_limit_that_is_0_at_0_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratch.activation.threshold", lambda x: np.heaviside(x, 0))
    wrong = measured() | {"hand": {wing.name: logic.measure_hand(wing) for wing in WINGS}}
    wrong["functions"] = [logic.measure_function(values) for values in product((0, 1), repeat=4)]
    assert {"perceptron", "hand"} <= failed(wrong)


def test_a_straight_through_hard_limit_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert logic.measure_blocked(WINGS[0], range(3)) == 0
    monkeypatch.setattr("scratch.activation.Threshold.backward", lambda _, dy, __: (dy, {}))
    assert failed(measured() | {"blocked": {"scratch": logic.measure_blocked(WINGS[0], range(3)), "torch": 0.0}}) == {
        "blocked"
    }


def test_a_wrong_derivative_is_seen_in_the_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    def losses() -> list[Any]:
        return [logic.learn(wing, "logistic", 0, 0.5, 20).losses for wing in WINGS]

    right = losses()
    assert np.abs(right[0] - right[1]).max() < 1e-12
    monkeypatch.setattr("scratch.activation.logistic_backward", lambda dy, y, a: dy * (a * y * (1 + y)))
    wrong = losses()
    assert np.abs(wrong[0] - wrong[1]).max() > 1e-6


def test_margins_by_hand() -> None:
    # AND's best unit is (2, 2, −3)/√17: every corner but (0, 0) is 1/√17 away from its plane.
    assert logic_units.separate(AND) == (pytest.approx(17**-0.5, abs=1e-12), False)
    assert logic_units.separate((0, 0, 0, 0)) == (pytest.approx(1, abs=1e-12), False)
    assert logic_units.separate(XOR) == (pytest.approx(0, abs=1e-12), True)


@EACH_WING
def test_the_perceptron_rule_by_hand(wing: Wing) -> None:
    # From 0 the unit says 1 everywhere. NOT (0) needs nothing; 0 needs one correction of b.
    assert logic_units.perceptron(wing, (1, 1, 1, 1), 50) == ((0.0, 0.0, 0.0), 0, (1, 1, 1, 1))
    assert logic_units.perceptron(wing, (0, 0, 0, 0), 50) == ((0.0, 0.0, -1.0), 1, (0, 0, 0, 0))
    assert logic_units.perceptron(wing, XOR, 50).corrections >= 50


@EACH_WING
def test_the_net_by_hand(wing: Wing) -> None:
    assert logic.measure_hand(wing) == (XOR, 0)
    x1, x2, output = logic.plane(wing, logic.hard_limits, HAND)
    assert {(0.0, 0.0), (1.0, 1.0)} <= set(zip(x1.ravel(), x2.ravel(), strict=True))
    assert set(output.ravel()) == {0.0, 1.0}


@EACH_WING
def test_learning_stops_below_the_loss_or_after_its_updates(wing: Wing) -> None:
    long = logic.learn(wing, "scaled tanh", 1, 0.5, 500)
    assert long.losses[-1] < logic.LEARNT <= long.losses[-2]
    assert long.updates == len(long.losses) - 1 <= 500
    assert logic.learn(wing, "scaled tanh", 1, 0.5, long.updates).updates == long.updates
    short = logic.learn(wing, "scaled tanh", 1, 0.5, long.updates - 2)
    assert short.updates == long.updates - 1


def test_the_rate_with_the_fewest_updates_is_taken() -> None:
    assert logic.best_rate([{0.5: 501, 1.0: 300}, {0.5: 90, 1.0: 280}]) == 1.0


def test_shares_of_those_that_have_learnt() -> None:
    nets = [{name: learnt(updates, 0.1) for name in HIDDEN} for updates in (3, 5, 501)]
    assert logic.share_learnt(nets, np.array([2, 3, 5, 500]))["tanh"] == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3])
