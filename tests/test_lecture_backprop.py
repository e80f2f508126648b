"""`twice lecture backprop`: what it claims holds, can fail, and is measured rightly where the answer is known."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.lecture import backprop, backprop_cost, backprop_ways
from experiments.lecture.backprop_cost import Products, Seconds
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.lab import WINGS, alternately
from experiments.lecture.running import run
from scratch import literal

SCRATCH, TORCH = WINGS
CLAIMS = ("signals", "gradients", "differences", "counted", "few passes", "in proportion", "whole")
WIDTHS = (4, 8, 16)


def measured() -> dict[str, Any]:
    """The arguments of `judge`, the numbers measured afresh and the seconds made up, so that a test may spoil them."""
    problem = backprop_ways.pose(0)
    return {
        "ways": backprop.every_way(problem),
        "differences": {wing.name: backprop_ways.by_differences(wing, problem, 1e-5) for wing in WINGS},
        "products": {
            width: (backprop_cost.formula((width,) * 4), backprop_cost.counted((width,) * 4, literal.logistic()))
            for width in (2, 3)
        },
        "passes": {wing.name: {2: 12, 4: 48} for wing in WINGS},
        "seconds": {
            wing.name: {
                w: Seconds(
                    1.0, 3.0, backprop_cost.num_parameters((w,) * 4) + 1.0, *((61.0, 1e-7) if w == WIDTHS[0] else ())
                )
                for w in WIDTHS
            }
            for wing in WINGS
        },
    }


def failed(measurements: dict[str, Any]) -> set[str]:
    claims = backprop.judge(**measurements)
    assert len(claims) == len(CLAIMS)
    return {name for name, claim in zip(CLAIMS, claims, strict=True) if not claim.held}


def test_the_quick_version_holds_and_leaves_figures_and_curves(tmp_path: Path) -> None:
    outcome = run(ENTRIES["backprop"], tmp_path, quick=True)
    assert outcome.held, [claim.measured for claim in outcome.claims if not claim.held]
    folder = tmp_path / "lecture-quick" / "backprop"
    for stem in ("network", "cost"):
        assert all((folder / "figures" / f"{stem}{end}").is_file() for end in (".png", ".svg", "-dark.svg"))
    boards = [EventAccumulator(str(folder / wing.name)).Reload() for wing in WINGS]
    assert sorted(boards[0].Tags()["scalars"]) == sorted(boards[1].Tags()["scalars"])
    assert tuple(event.step for event in boards[1].Scalars("seconds/backprop")) == backprop.QUICK.widths
    numbers = outcome.tables[1].rows
    assert len(numbers) == 6 + 14
    assert numbers[7][0] == "∂J/∂w₂₁⁽¹⁾"


def test_what_is_right_holds() -> None:
    assert failed(measured()) == set()


@pytest.mark.parametrize("way", ["diag(f′)Wᵀδ", "f′⊙(Wᵀδ)", "scratch", "torch"])
@pytest.mark.parametrize(
    ("name", "claims"),
    [("z2", {"signals"}), ("a3", {"signals"}), ("J", {"signals"})]
    + [(name, {"gradients"}) for name in ("delta1", "W1", "b3")],
)
def test_a_wrong_number_is_seen(way: str, name: str, claims: set[str]) -> None:
    wrong = measured()
    for error in (1e-14, np.nan):
        wrong["ways"][way][name] = wrong["ways"][way][name] + error
        assert failed(wrong) == claims


@pytest.mark.parametrize("wing", ["scratch", "torch"])
def test_a_wrong_difference_is_seen(wing: str) -> None:
    wrong = measured()
    for error in (2e-9, np.nan):
        wrong["differences"][wing]["W2"][0, 1] += error
        assert failed(wrong) == {"differences"}


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize(
    ("spoil", "claims"),
    [
        (lambda one: one._replace(backprop=6.1), {"few passes"}),
        (lambda one: one._replace(backprop=1.2), {"few passes"}),
        (lambda one: one._replace(backprop=float("nan")), {"few passes", "in proportion"}),
        (lambda one: one._replace(naive=one.naive**0.75), {"in proportion"}),
        (lambda one: one._replace(naive=one.naive**1.25), {"in proportion"}),
        (lambda one: one._replace(whole=one.naive * 2.1), {"whole"}),
        (lambda one: one._replace(apart=1.1e-5), {"whole"}),
        (lambda one: one._replace(whole=float("nan")), {"whole"}),
    ],
)
def test_wrong_seconds_are_seen(wing: str, spoil: Any, claims: set[str]) -> None:
    wrong = measured()
    found = wrong["seconds"][wing]
    wrong["seconds"][wing] = {
        w: spoil(one) if claims != {"whole"} or w == WIDTHS[0] else one for w, one in found.items()
    }
    assert failed(wrong) - ({"whole"} if claims == {"in proportion"} else set()) == claims


def test_a_wrong_count_is_seen() -> None:
    wrong = measured()
    wrong["products"][3] = (wrong["products"][3][0], wrong["products"][3][1]._replace(backprop=1))
    assert failed(wrong) == {"counted"}
    wrong = measured()
    wrong["passes"]["torch"][4] += 1
    assert failed(wrong) == {"counted"}


def test_a_backward_that_forgets_a_slope_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratch.activation.logistic_backward", lambda dy, *_: dy)
    assert failed(measured()) == {"gradients"}


def test_a_forward_that_forgets_the_bias_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratch.linear.linear", lambda x, weight, _: x @ weight.T)
    assert failed(measured()) == {"signals", "gradients", "differences"}


def test_loops_with_one_product_more_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    neuron = literal.neuron
    monkeypatch.setattr(literal, "neuron", lambda w, x, b, f: neuron([*w, w[0] * 0.0], [*x, 0.0], b, f))
    assert "counted" in failed(measured())


def test_the_products_of_the_smallest_network() -> None:
    # forward: w·x and v·a; backward: v·δ, one f′ for each of the two units, and the gradients of w and v
    assert backprop_cost.formula((1, 1, 1)) == Products(2, 2 + 1 + 2 + 2, (4 + 1) * 2)
    assert backprop_cost.counted((1, 1, 1), literal.tanh()) == backprop_cost.formula((1, 1, 1))
    assert backprop_cost.counted((2, 3, 1), literal.relu()) == backprop_cost.formula((2, 3, 1))


def test_a_product_is_counted_and_a_sum_is_not() -> None:
    tally = backprop_cost.Tally()
    number = backprop_cost.Counted(2.0, tally)
    assert 1.0 + 3.0 * number * 2 + number == 15.0
    assert tally.products == 2


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.name)
def test_naive_differentiation_moves_each_parameter_and_puts_it_back(wing: Any) -> None:
    start = {"fc1.weight": np.array([[2.0, -1.0]]), "fc1.bias": np.array([0.5])}
    learner = wing.learner(
        lambda w, d, rng: w.MLP((2, 1), [w.Identity], dtype=d, rng=rng), lambda w: w.SquaredError(), start, lr=1.0
    )
    chosen = backprop_cost.every_parameter(learner.parameters())
    assert chosen == [("fc1.weight", 0), ("fc1.weight", 1), ("fc1.bias", 0)]
    slopes = backprop_cost.naive_gradients(learner, np.array([[1.0, 3.0]]), np.array([[1.5]]), 1e-6, chosen)
    np.testing.assert_allclose(slopes, [-2, -6, -2], atol=1e-5)  # (y − t)·(x, 1) with y = −0.5
    assert all(np.array_equal(learner.parameters()[name], value) for name, value in start.items())


def test_medians_are_of_actions_that_take_turns() -> None:
    calls: list[str] = []
    seconds = alternately([lambda: calls.append("a"), lambda: calls.append("b")], 3, least=0.0)
    assert "".join(calls) == "aabb" + "ab" * 3
    assert len(seconds) == 2


def test_the_quick_version_is_the_full_one_with_less_of_it() -> None:
    assert set(backprop.QUICK.widths) <= set(backprop.FULL.widths)
    assert backprop.QUICK.whole in backprop.QUICK.widths
    assert dataclasses.replace(backprop.QUICK).step == backprop.FULL.step
