"""`twice lecture approximation`: what it claims holds, can fail, and is measured rightly where the answer is known."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.lecture import approximation, approximation_staircase
from experiments.lecture.approximation import NAMES, Fit
from experiments.lecture.approximation_staircase import STEEP, TARGETS, Built, bound, staircase, sup_error, value
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.lab import WINGS, Wing
from experiments.lecture.running import run

CLAIMS = ("bound", "order", "epsilon", "more", "fewer", "exists", "step", "wings")
CONFIG = approximation.Config(
    trained=(2, 8, 32), built=(8, 16, 32, 64), epsilons=(0.1,), seeds=2, updates=5, points=(401, 25)
)
EACH_WING = pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.name)
INFINITE = float("inf")


@functools.cache
def built(wing: str) -> Built:
    chosen = next(one for one in WINGS if one.name == wing)
    return approximation_staircase.build(chosen, CONFIG.built, CONFIG.epsilons, CONFIG.slopes, CONFIG.points)


def right(name: str, units: int) -> Fit:
    """A net whose error is as it should be."""
    sup = 0.51 if name == "step" else {2: 0.4, 8: 0.05, 32: 0.04}[units]
    return Fit(sup, np.linspace(0, 1, 5))


def measured() -> dict[str, Any]:
    """The arguments of `judge`: what is built measured, what is trained as it should be; for a test to spoil."""
    return {
        "config": CONFIG,
        "built": {wing.name: built(wing.name) for wing in WINGS},
        "fits": [
            {(name, h): {wing.name: right(name, h) for wing in WINGS} for name in NAMES for h in CONFIG.trained}
            for _ in range(CONFIG.seeds)
        ],
    }


def failed(measurements: dict[str, Any]) -> set[str]:
    claims = approximation.judge(**measurements)
    assert len(claims) == len(CLAIMS)
    return {name for name, claim in zip(CLAIMS, claims, strict=True) if not claim.held}


def test_the_quick_version_holds_and_leaves_figures_and_curves(tmp_path: Path) -> None:
    outcome = run(ENTRIES["approximation"], tmp_path, quick=True)
    assert outcome.held, [claim.measured for claim in outcome.claims if not claim.held]
    folder = tmp_path / "lecture-quick" / "approximation"
    for stem in ("errors", "fits", "bump"):
        assert all((folder / "figures" / f"{stem}{end}").is_file() for end in (".png", ".svg", "-dark.svg"))
    boards = [EventAccumulator(str(folder / wing.name)).Reload() for wing in WINGS]
    assert sorted(boards[0].Tags()["scalars"]) == sorted(boards[1].Tags()["scalars"])
    for board in boards:
        errors = board.Scalars("sup_error/built/|2x − 1|")
        assert [(event.step, event.value) for event in errors] == [(h, 1 / h) for h in approximation.QUICK.built]


def test_what_is_right_holds() -> None:
    assert failed(measured()) == set()


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize(
    ("part", "key", "wrong", "claims"),
    [
        ("stairs", ("bump", 32), 0.394, {"bound"}),
        ("stairs", ("bump", 32), float("nan"), {"bound"}),
        ("stairs", ("sin 2πx", 64), 0.02, {"order"}),
        ("steep", ("sin 2πx", 0.1), 0.1, {"epsilon"}),
        ("steep", ("bump", 0.1), float("nan"), {"epsilon"}),
        ("steps", 100.0, (0.4999, 0.01), {"step"}),
        ("steps", 1e4, (0.5, 0.02), {"step"}),
        ("steps", INFINITE, (0.5, 0.0), {"step"}),
    ],
)
def test_what_is_built_wrongly_is_seen(wing: str, part: str, key: Any, wrong: Any, claims: set[str]) -> None:
    spoilt = measured()
    one = spoilt["built"][wing]
    spoilt["built"][wing] = one._replace(**{part: {**getattr(one, part), key: wrong}})
    assert failed(spoilt) == claims


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize(
    ("key", "sup", "claims"),
    [
        (("bump", 2), 0.05, {"more"}),
        (("|2x − 1|", 2), 0.045, {"more"}),
        (("|2x − 1|", 2), float("nan"), {"more"}),
        (("sin 2πx", 8), 0.2, {"fewer"}),
        (("bump", 8), float("nan"), {"fewer"}),
        (("|2x − 1|", 32), 0.031, {"exists"}),
        (("step", 8), 0.49, {"step"}),
        (("step", 8), float("nan"), {"step"}),
    ],
)
def test_nets_that_are_trained_otherwise_are_seen(wing: str, key: Any, sup: float, claims: set[str]) -> None:
    spoilt = measured()
    for fit in spoilt["fits"]:
        fit[key][wing] = fit[key][wing]._replace(sup=sup)
    assert failed(spoilt) == claims


def test_the_best_seed_counts_and_a_net_that_diverged_does_not() -> None:
    spoilt = measured()
    for name in TARGETS:
        spoilt["fits"][0][name, 8]["torch"] = right(name, 8)._replace(sup=float("nan"))
    assert failed(spoilt) == set()


@pytest.mark.parametrize("error", [1e-8, float("nan")])
def test_wings_apart_are_seen(error: float) -> None:
    spoilt = measured()
    one = right("step", 2)
    spoilt["fits"][1]["step", 2]["torch"] = one._replace(output=one.output + error)
    assert failed(spoilt) == {"wings"}


def test_a_wrong_derivative_takes_the_wings_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def apart() -> float:
        ours, theirs = (approximation.train(wing, "sin 2πx", 4, 0, CONFIG).output for wing in WINGS)
        return float(np.abs(ours - theirs).max())

    assert apart() < 1e-12
    monkeypatch.setattr("scratch.activation.tanh_backward", lambda dy, y, a, b: dy * ((b / a) * (a - y)))
    assert apart() > 1e-6


def test_a_staircase_with_its_levels_at_the_edges_breaks_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    ridge = TARGETS["sin 2πx"][0]
    shifted = ridge._replace(g=lambda u: ridge.g(u - 0.5 / 16))  # the middles of 16 pieces become their left edges
    params = staircase("sin 2πx", 16)
    assert sup_error(WINGS[0], "Threshold", "sin 2πx", params, (2001, 2)) <= bound("sin 2πx", 16)
    monkeypatch.setitem(TARGETS, "sin 2πx", (shifted,))
    params = staircase("sin 2πx", 16)
    monkeypatch.setitem(TARGETS, "sin 2πx", (ridge,))
    assert sup_error(WINGS[0], "Threshold", "sin 2πx", params, (2001, 2)) > 1.5 * bound("sin 2πx", 16)


def test_logistic_units_that_are_not_steep_break_theirs() -> None:
    name = "|2x − 1|"
    limit = 1.1 * bound(name, 16)
    assert sup_error(WINGS[0], "Logistic", name, staircase(name, 16, STEEP), (2001, 2)) <= limit
    assert sup_error(WINGS[0], "Logistic", name, staircase(name, 16, 1.0), (2001, 2)) > limit


@EACH_WING
def test_two_steps_of_the_absolute_value(wing: Wing) -> None:
    # |2x − 1| is ½ at ¼ and at ¾: both pieces are at ½, which is ½ away from 0 and from 1.
    params = staircase("|2x − 1|", 2)
    np.testing.assert_array_equal(params["fc2.weight"], [[0.5, 0.0]])
    assert sup_error(wing, "Threshold", "|2x − 1|", params, (101, 2)) == 0.5 == bound("|2x − 1|", 2)


@EACH_WING
def test_one_unit_as_a_step(wing: Wing) -> None:
    assert approximation_staircase.step_errors(wing, INFINITE, (11, 2)) == (0, 0)
    sup, mean = approximation_staircase.step_errors(wing, 1e3, (11, 2))
    assert (sup, mean) == (pytest.approx(0.5, abs=1e-12), pytest.approx(1 / 12, abs=1e-9))


def test_the_targets_by_hand() -> None:
    square = np.array([[0.5, 0.5], [0, 0], [1, 0.3], [0.25, 0.5], [0.25, 0.25]])
    np.testing.assert_allclose(value("bump", square)[:, 0], [1, 0, 0, 0.5, 0.25], atol=1e-15)
    line = np.array([[0.0], [0.25], [0.5], [1.0]])
    np.testing.assert_array_equal(value("|2x − 1|", line)[:, 0], [1, 0.5, 0, 1])
    np.testing.assert_array_equal(value("step", line)[:, 0], [0, 0, 1, 1])
    np.testing.assert_allclose(value("sin 2πx", line)[:, 0], [0, 1, 0, 0], atol=1e-15)


def test_each_ridge_keeps_to_its_lipschitz_constant_and_range() -> None:
    grid = approximation_staircase.cube("bump", 11)
    for name, ridges in TARGETS.items():
        points = grid if name == "bump" else grid[:, :1]
        for ridge in ridges:
            u = points @ np.array(ridge.direction)
            assert (u.min(), u.max()) == (ridge.low, ridge.high)
            v = np.linspace(ridge.low, ridge.high, 1001)
            steepest = float(np.abs(np.diff(ridge.g(v)) / np.diff(v)).max())
            assert 0.99 * ridge.lipschitz <= steepest <= ridge.lipschitz * (1 + 1e-9)


def test_how_many_units_are_enough() -> None:
    # 1.1·L/2H < 0.1 with L = 2: H > 11. The bump's four ridges have the same number each.
    assert approximation_staircase.units_for("|2x − 1|", 0.1) == 12
    assert approximation_staircase.units_for("bump", 0.1) % 4 == 0
    with pytest.raises(ValueError, match="6 units, expected a multiple of 4"):
        staircase("bump", 6)


def test_units_begin_with_their_bend_inside_the_cube() -> None:
    make = approximation._net(2, 16)
    params = approximation.start(make, 3, 5.0)
    ends = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) @ params["fc1.weight"].T + params["fc1.bias"]
    assert ((ends.min(axis=0) <= 0) & (ends.max(axis=0) >= 0)).all()
    assert not params["fc2.bias"].any()
