"""`twice lecture vanishing`: what it claims holds, can fail, and is measured rightly where the answer is known."""

import math
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import scratch
from experiments.lecture import vanishing
from experiments.lecture.activations import HIDDEN, SCALED
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.error_signals import Sizes, backward, factor, sizes_of, together
from experiments.lecture.lab import WINGS
from experiments.lecture.running import run
from experiments.lecture.vanishing import CASES, FITTING, RAW, SIGMOIDS, STANDARD, Case

SCRATCH, TORCH = WINGS
CLAIMS = ("same", "bound", "logistic", "fitting", "scaled", "weights", "inputs")
FACTORS = {"small": 0.05, "large": 2.0}


def sizes(per_layer: float, first: float, flat: float) -> Sizes:
    """Two networks of four hidden layers; the first layer leaves `first` of δ and the others share what is left."""
    steps = np.array([first, *[(per_layer**3 / first) ** 0.5] * 2, 1.0])
    delta = np.append(np.cumprod(steps[::-1])[::-1], 1.0)
    one = Sizes(delta, np.ones(5), np.full(4, 10.0), np.full(4, flat))
    return together([one, one])


def right(case: Case) -> Sizes:
    if case.inputs != STANDARD:
        return sizes(0.5, 0.1, 0.95) if case.inputs == RAW else sizes(0.9, 0.9, 0.0)
    if case.weights == "LeCun":
        per_layer = {"logistic": 0.24, "tanh": 0.9, SCALED: 1.0, "ReLU": 0.7}[case.activation]
        return sizes(per_layer, 0.9, 0.01)
    per_layer = FACTORS.get(case.weights, 1.0)
    return sizes(per_layer, per_layer, 0.0)


def failed(
    spoilt: Case | None = None, wrong: Sizes | None = None, apart: float = 1e-12, wing: str = "torch"
) -> set[str]:
    """The claims that do not hold when one kind of network, in one wing, gives something else."""
    runs = {wing.name: {case: right(case) for case in CASES} for wing in WINGS}
    if spoilt is not None:
        runs[wing][spoilt] = wrong
    claims = vanishing.judge(runs, apart)
    assert len(claims) == len(CLAIMS)
    return {name for name, claim in zip(CLAIMS, claims, strict=True) if not claim.held}


def test_the_quick_version_holds_and_leaves_figures_and_curves(tmp_path: Path) -> None:
    outcome = run(ENTRIES["vanishing"], tmp_path, quick=True)
    assert outcome.held, [claim.measured for claim in outcome.claims if not claim.held]
    folder = tmp_path / "lecture-quick" / "vanishing"
    for stem in ("depth", "inputs"):
        assert all((folder / "figures" / f"{stem}{end}").is_file() for end in (".png", ".svg", "-dark.svg"))
    boards = [EventAccumulator(str(folder / wing.name)).Reload() for wing in WINGS]
    tags = boards[0].Tags()["scalars"]
    assert sorted(tags) == sorted(boards[1].Tags()["scalars"])
    assert len(tags) == 2 * len(CASES)
    for board in boards:
        delta = board.Scalars(f"delta/{', '.join(Case('logistic', 'LeCun'))}")
        assert [event.step for event in delta] == list(range(1, vanishing.QUICK.depth + 2))
        assert delta[0].value < 1e-4 * delta[-1].value


def test_what_is_right_holds() -> None:
    assert failed() == set()


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize(
    ("case", "wrong", "claim"),
    [
        (Case("logistic", "LeCun"), sizes(0.31, 0.9, 0.01), "logistic"),
        (FITTING[0], sizes(0.5, 0.9, 0.01), "fitting"),
        (FITTING[2], sizes(1.8, 1.0, 0.01), "fitting"),
        (Case(SCALED, "LeCun"), sizes(1.06, 0.9, 0.01), "scaled"),
        (Case(SCALED, "LeCun"), sizes(0.94, 0.9, 0.01), "scaled"),
        (Case("tanh", "LeCun"), sizes(0.96, 0.9, 0.01), "scaled"),
        (Case("logistic", "small"), sizes(0.11, 0.11, 0.0), "weights"),
        (Case("ReLU", "large"), sizes(1.4, 1.4, 0.0), "weights"),
        *((Case(name, "LeCun", RAW), sizes(0.5, 0.1, 0.89), "inputs") for name in SIGMOIDS),
        (Case("tanh", "LeCun", RAW), sizes(0.5, 0.3, 0.95), "inputs"),
        (Case("tanh", "LeCun"), sizes(0.9, 0.9, 0.06), "inputs"),
        (Case("ReLU", "He"), right(Case("ReLU", "He"))._replace(bound=np.full((2, 4), 0.99)), "bound"),
    ],
)
def test_each_claim_can_fail_in_each_wing(wing: str, case: Case, wrong: Sizes, claim: str) -> None:
    assert failed(case, wrong, wing=wing) == {claim}


def test_wings_apart_are_seen() -> None:
    assert failed(apart=2e-10) == {"same"}
    assert failed(apart=math.nan) == {"same"}


@pytest.mark.parametrize("case", CASES, ids=", ".join)
def test_a_nan_is_never_a_claim_that_holds(case: Case) -> None:
    nan = Sizes(*(np.full_like(value, np.nan) for value in right(case)))
    assert "bound" in failed(case, nan)


def test_signals_by_hand() -> None:
    # 1-1-2: z = 3·2 + 1 = 7, a = ReLU(7) = 7, outputs (7, 14); label 1, so δ² = (p, −p) with p = softmax's first.
    params = {
        "fc1.weight": np.array([[3.0]]),
        "fc1.bias": np.array([1.0]),
        "fc2.weight": np.array([[1.0], [2.0]]),
        "fc2.bias": np.zeros(2),
    }
    p = 1 / (1 + math.exp(7))
    for wing in WINGS:
        found = backward(wing, vanishing.deep(wing, (1, 1, 2), "ReLU", params), np.array([[2.0]]), np.array([1]))
        np.testing.assert_allclose(found.delta[1], [[p, -p]], rtol=1e-13)
        np.testing.assert_allclose(found.delta[0], [[-p]], rtol=1e-13)
        np.testing.assert_allclose(found.weight[0], [[-2 * p]], rtol=1e-13)
        np.testing.assert_allclose(found.weight[1], [[7 * p], [-7 * p]], rtol=1e-13)
        np.testing.assert_array_equal(found.slope, [[[1.0]]])


def test_the_slopes_are_those_of_every_layer() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3))
    params = vanishing.start((3, 5, 5, 2), "large", 1)
    ours, twin = (
        backward(wing, vanishing.deep(wing, (3, 5, 5, 2), "tanh", params), x, np.array([0, 1, 1, 0])) for wing in WINGS
    )
    z = x @ params["fc1.weight"].T
    np.testing.assert_allclose(twin.slope[0], 1 - np.tanh(z) ** 2, atol=1e-14)
    for kind in ("delta", "weight", "slope"):
        assert len(getattr(ours, kind)) == len(getattr(twin, kind))
        for a, b in zip(getattr(ours, kind), getattr(twin, kind), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)


def test_sizes_are_of_a_sample_and_do_not_grow_with_the_batch() -> None:
    params = vanishing.start((3, 5, 2), "LeCun", 1)
    x, labels = np.random.default_rng(0).normal(size=(1, 3)), np.array([1])
    net = vanishing.deep(TORCH, (3, 5, 2), "logistic", params)
    one, four = (sizes_of(backward(TORCH, net, x.repeat(n, 0), labels.repeat(n)), 0.25, np.ones(1)) for n in (1, 4))
    np.testing.assert_allclose(four.delta, one.delta, rtol=1e-13)
    np.testing.assert_allclose(four.weight, one.weight, rtol=1e-13)
    np.testing.assert_allclose(one.bound, [0.25])


def test_the_factor_is_the_geometric_mean_of_the_hidden_layers() -> None:
    delta = np.array([[1.0, 4.0, 16.0, 3.0], [2.0, 2.0, 2.0, 9.0]])
    np.testing.assert_allclose(factor(Sizes(delta, delta, delta, delta)), [0.25, 1.0])


@pytest.mark.parametrize(
    ("weights", "sigma"), [("small", 0.01), ("LeCun", 0.1), ("He", math.sqrt(0.02)), ("large", 0.5)]
)
def test_weights_have_the_deviation_that_the_table_gives(weights: str, sigma: float) -> None:
    params = vanishing.start((100, 200, 3), weights, 5)
    assert abs(params["fc1.weight"].std() / sigma - 1) < 0.02
    assert list(params) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    np.testing.assert_array_equal(params["fc1.weight"], vanishing.start((100, 200, 3), weights, 5)["fc1.weight"])


def test_the_steepest_slopes_are_the_activations_own() -> None:
    v = np.linspace(-3, 3, 601)[None]
    for name, make in HIDDEN.items():
        f = make(scratch)
        slope, _ = f.backward(np.ones_like(v), f.forward(v)[1])
        assert slope.max() == pytest.approx(vanishing.STEEPEST[name], rel=1e-12)


def test_a_backward_that_forgets_the_slope_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch.Logistic, "backward", lambda _self, dy, _cache: (dy.copy(), {}))
    monkeypatch.setattr(vanishing, "CASES", (Case("logistic", "LeCun"),))
    found, apart = vanishing.measure(vanishing.Config(depth=3, width=10, images=10), 0)
    assert apart > 0.1
    case = vanishing.CASES[0]
    assert factor(together([found["scratch"][case]])) > 0.6
    assert factor(together([found["torch"][case]])) < 0.3
