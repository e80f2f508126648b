"""The oracle itself: it says what diverged, where and by how much; it finds the guilty layer; it refuses nonsense."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import scratch
import torchref
from tests import harness
from torchref import oracle
from torchref.oracle import criteria, magnitude, truth
from torchref.oracle.comparison import Comparison, Report


def tensor_pair(seed: int) -> tuple[np.ndarray, torch.Tensor]:
    x = np.random.default_rng(seed).normal(size=(3, 4))
    return x, torch.from_numpy(x.copy())


class Wrong:
    """A layer with one of its results altered on the way out."""

    def __init__(self, layer: Any, **alter: Any) -> None:
        self.layer, self.alter = layer, alter

    def parameters(self) -> dict[str, np.ndarray]:
        return self.layer.parameters()

    def dropouts(self) -> tuple[str, ...]:
        return self.layer.dropouts()

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        y, cache = self.layer.forward(x)
        return self.alter.get("y", lambda v: v)(y), cache

    def backward(self, dy: np.ndarray, cache: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        dx, grads = self.layer.backward(dy, cache)
        return self.alter.get("dx", lambda v: v)(dx), self.alter.get("grads", lambda v: v)(grads)


# --- one tensor -------------------------------------------------------------------------------------------------------


def test_the_worst_element_is_located_with_both_values_and_the_bound(seed: int) -> None:
    mine, theirs = tensor_pair(seed)
    mine[1, 2] += 5e-9
    mine[2, 0] += 1e-9
    verdict = oracle.compare_arrays("dx", mine, theirs, 1e-9, "2 linear operation")
    assert not verdict.passed
    assert verdict.index == (1, 2)
    assert verdict.ratio == pytest.approx(5, rel=1e-6)
    text = str(verdict)
    for part in (
        "✗ dx",
        "criterion 2 linear operation",
        "at [1, 2]",
        f"{mine[1, 2]:.17g}",
        f"{theirs[1, 2]:.17g}",
        "allowed 1e-09",
    ):
        assert part in text
    same = oracle.compare_arrays("loss", np.float64(1), torch.tensor(1.0).double(), 1e-9, "4")
    assert str(same).startswith("✓ loss: 0 of")


@pytest.mark.parametrize(
    ("alter", "says"),
    [
        (lambda x: x[:2], "shape (2, 4), oracle (3, 4)"),
        (lambda x: x.astype(np.float32), "dtype float32, oracle float64"),
        (lambda x: np.where(x == x[0, 1], np.nan, x), "NaN pattern differs at [0, 1]"),
        (lambda x: np.where(x == x[2, 3], np.inf, x), "+inf pattern differs at [2, 3]"),
        (lambda x: np.where(x == x[1, 0], -np.inf, x), "-inf pattern differs at [1, 0]"),
        (lambda x: x.tolist(), "is a list, expected a NumPy array"),
    ],
)
def test_faults_of_form_are_named(alter: Any, says: str, seed: int) -> None:
    mine, theirs = tensor_pair(seed)
    verdict = oracle.compare_arrays("y", alter(mine), theirs, 1e9, "2")
    assert not verdict.passed
    assert says in str(verdict)
    assert verdict.ratio == np.inf


def test_what_is_nan_or_infinite_on_both_sides_is_equal() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 1.0])
    assert oracle.compare_arrays("y", values, torch.from_numpy(values.copy()), 0.0, "1").passed
    nan_bound = oracle.compare_arrays("y", values, torch.tensor([np.nan, np.inf, -np.inf, 1.5]).double(), np.nan, "2")
    assert nan_bound.ratio == np.inf, "a bound that is NaN excuses nothing"


def test_a_bound_of_zero_demands_equality(seed: int) -> None:
    mine, theirs = tensor_pair(seed)
    assert criteria.exact("y", mine, theirs).passed
    mine[0, 0] = np.nextafter(mine[0, 0], np.inf)
    assert not criteria.exact("y", mine, theirs).passed


def test_criteria_by_number() -> None:
    eps = np.finfo(np.float64).eps
    one = torch.ones(1, dtype=torch.float64)
    off = np.ones(1) + 8 * eps
    assert criteria.linear_operation("y", off, one, one, torch.tensor(1)).ratio == pytest.approx(8 / 9, rel=1e-6)
    assert criteria.elementwise("y", off, one, one).ratio == pytest.approx(2, rel=1e-6)
    assert criteria.network("y", off, one, one).ratio == pytest.approx(1 / 4, rel=1e-6)
    assert criteria.drift("y", np.ones(1) + 2e-9, one).ratio == pytest.approx(2, rel=1e-6)
    table = np.array([[True, False], [False, True]])
    assert criteria.absent_links("dweight", np.where(table, 0.0, 3.0), table).passed
    leak = criteria.absent_links("dweight", np.array([[1e-300, 3.0], [3.0, 0.0]]), table)
    assert not leak.passed
    assert leak.index == (0, 0)


def test_relative_distance() -> None:
    assert criteria.relative_distance(np.array([1.0, 2.0]), torch.tensor([1.0, 4.0])) == 0.5
    assert criteria.relative_distance(np.zeros(2), torch.zeros(2)) == 0.0
    assert criteria.relative_distance(np.ones(2), torch.zeros(2)) == np.inf


# --- reports ----------------------------------------------------------------------------------------------------------


def test_a_report_of_nothing_has_not_passed() -> None:
    empty = Report("nothing", ())
    assert not empty.passed
    assert empty.worst == 0.0
    with pytest.raises(oracle.EquivalenceError, match="0 tensors compared"):
        empty.require()


def test_reports_name_case_and_failures_in_order() -> None:
    good, bad = Comparison("y", "2", 0.5), Comparison("dx", "2", 7.0)
    report = oracle.merge("both", [Report("first", (good,)), Report("second", (bad, good))])
    assert [c.tensor for c in report.comparisons] == ["first: y", "second: dx", "second: y"]
    assert report.worst == 7.0
    assert [c.tensor for c in report.failures] == ["second: dx"]
    assert "3 tensors compared, 1 failed\n  ✗ second: dx: 7 of the bound" in str(report)
    assert "✓ y" in str(Report("fine", (good,)))


# --- layers, losses, optimisers ---------------------------------------------------------------------------------------


def test_a_wrong_layer_fails_where_it_is_wrong(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, twin = harness.pair(
        lambda w, d: w.Linear(4, 3, dtype=d), scratch, "float64", lambda s: harness.normal(rng, s, "float64")
    )
    x, dy = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))

    def failing(**alter: Any) -> list[str]:
        return [c.tensor for c in oracle.check_layer("case", Wrong(layer, **alter), twin, x, dy).failures]

    assert failing() == []
    assert failing(y=lambda v: v * (1 + 1e-13)) == ["y"]
    assert failing(dx=lambda v: -v) == ["dx"]
    assert failing(grads=lambda g: g | {"bias": g["bias"] / 5}) == ["grad bias"]
    assert failing(grads=lambda g: {"weight": g["weight"]}) == ["names"]


def test_a_layer_nobody_knows_is_refused_not_waved_through() -> None:
    x = np.ones((2, 3))
    with pytest.raises(NotImplementedError, match="no criterion is known for a layer of type GELU"):
        oracle.check_layer("case", scratch.ReLU(), torch.nn.GELU(), x, x)
    unknown, t = torch.nn.GELU(), torch.ones(2, 3)
    for call in (
        lambda: magnitude.forward(unknown, t, t, t),
        lambda: magnitude.backward(unknown, magnitude.Values(t, t, t), t, t, t),
        lambda: magnitude.loss(unknown, t, t, t),
        lambda: truth.scalar_functions(unknown),
    ):
        with pytest.raises(NotImplementedError, match="GELU"):
            call()


def test_a_penalty_on_the_wrong_names_is_told_so() -> None:
    params = {"a.weight": np.ones((2, 2)), "a.bias": np.ones(2)}
    penalty = scratch.L2Penalty(0.5)
    both = SimpleNamespace(forward=penalty.forward, backward=lambda _: {k: 0.5 * v for k, v in params.items()})
    report = oracle.check_penalty("case", both, torchref.L2Penalty(0.5), params)
    assert "['a.bias', 'a.weight'], by the oracle for ['a.weight']" in str(report)


def test_an_optimiser_without_its_state_is_told_so() -> None:
    optimizer = scratch.SGD(0.1, momentum=0.9)
    forgetful = SimpleNamespace(step=optimizer.step, state_dict=dict, load_state_dict=lambda _: None)
    params = {"weight": np.ones((2, 2))}
    report = oracle.check_sgd("case", forgetful, torchref.SGD(0.1, momentum=0.9), params, [params])
    assert "step 1, state: has [], oracle ['weight']" in str(report)


def test_states_of_another_layout_are_told_so() -> None:
    report = oracle.check_state("case", scratch.Linear(3, 2, bias=False), torchref.Linear(3, 2))
    assert [c.tensor for c in report.failures] == ["names, order, shapes, dtypes"]
    lax = scratch.Linear(3, 2)
    accepts = SimpleNamespace(
        parameters=lax.parameters,
        state_dict=lax.state_dict,
        load_state_dict=lambda state: (
            lax.load_state_dict({k: v for k, v in state.items() if v.ndim < 3}, strict=False)
            if state["bias"].ndim < 2
            else None
        ),
    )
    report = oracle.check_state("case", accepts, torchref.Linear(3, 2))
    assert [c.tensor for c in report.failures] == ["all or nothing"]


def test_finite_differences_want_float64() -> None:
    with pytest.raises(TypeError, match="x has dtype float32, expected float64"):
        oracle.check_gradients(
            "case", scratch.MLP((2, 2)), scratch.SquaredError(), np.ones((1, 2), np.float32), np.array([0])
        )


# --- networks ---------------------------------------------------------------------------------------------------------


def network(seed: int, **wrong: Any) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """An MLP whose layer fc2 is altered by `wrong`, its twin, and data."""
    rng = np.random.default_rng(seed)
    net, twin = harness.pair(
        lambda w, d: w.MLP((6, 5, 4, 3), dtype=d), scratch, "float64", lambda s: harness.normal(rng, s, "float64")
    )
    inner = net.layers["fc2"]
    altered = Wrong(inner, **wrong)
    net.layers["fc2"] = altered  # type: ignore[assignment]
    return net, twin, rng.normal(size=(7, 6)), rng.integers(0, 3, 7)


def check(net: Any, twin: Any, x: np.ndarray, labels: np.ndarray) -> Report:
    return oracle.check_network("net", net, scratch.CrossEntropy(), twin, torchref.CrossEntropy(), x, labels)


def test_a_forward_error_is_traced_to_its_layer(seed: int) -> None:
    """Everything after the wrong layer differs; under teacher forcing only the guilty one does."""
    report = check(*network(seed, y=lambda v: v * 1.001))
    names = [c.tensor for c in report.failures]
    assert names[0] == "output/fc2", "the first to go wrong stands first"
    assert "output/fc3" in names
    assert "loss" in names
    assert [name for name in names if "forced" in name] == ["fc2 forced, y"]


def test_a_backward_error_is_traced_to_its_layer(seed: int) -> None:
    report = check(*network(seed, dx=lambda v: -v))
    names = [c.tensor for c in report.failures]
    assert not any(name.startswith("output/") for name in names)
    assert {"grad/fc1.weight", "grad/fc1.bias", "dx/fc1"} <= set(names)
    assert [name for name in names if "forced" in name] == ["fc2 forced, dx"]


def test_a_missing_and_an_unexpected_gradient_are_named(seed: int) -> None:
    net, twin, x, labels = network(seed)
    backward = net.backward
    net.backward = lambda dy, cache: (lambda dx, g: (dx, {"extra": g.pop("fc1.bias"), **g}))(*backward(dy, cache))
    text = str(check(net, twin, x, labels))
    assert "grad/fc1.bias: is missing" in text
    assert "grad/extra: is unexpected" in text


def test_gradients_come_in_the_order_of_the_parameters(seed: int) -> None:
    net, twin, x, labels = network(seed)
    backward = net.backward
    net.backward = lambda dy, cache: (lambda dx, g: (dx, dict(reversed(g.items()))))(*backward(dy, cache))
    report = check(net, twin, x, labels)
    assert [c.tensor for c in report.failures] == ["gradients"]
    assert "come in the order ['grad/fc3.bias', " in str(report)


def test_a_wrong_loss_is_traced_to_the_loss(seed: int) -> None:
    net, twin, x, labels = network(seed)
    report = oracle.check_network("net", net, scratch.CrossEntropy("sum"), twin, torchref.CrossEntropy(), x, labels)
    assert [c.tensor for c in report.failures if "forced" in c.tensor] == ["loss forced, loss", "loss forced, doutput"]


def test_unknown_tensors_are_refused(seed: int) -> None:
    _, twin, x, labels = network(seed)
    truth_pass = oracle.run(twin, torchref.CrossEntropy(), x, labels)
    with pytest.raises(ValueError, match=r"unknown tensors \['grad/fc9.weight'\]"):
        oracle.judge_pass(truth_pass, {"grad/fc9.weight": x}, "net")


def test_the_run_leaves_the_twin_as_it_was(seed: int) -> None:
    _, twin, x, labels = network(seed)
    before = {k: v.clone() for k, v in twin.state_dict().items()}
    oracle.run(twin, torchref.CrossEntropy(), x, labels)
    assert all(p.grad is None for p in twin.parameters())
    assert all(torch.equal(before[k], v) for k, v in twin.state_dict().items())


@pytest.mark.parametrize("kind", ["ReLU", "Threshold"])
def test_a_draw_at_a_kink_is_reported(kind: str) -> None:
    twin = torchref.MLP((2, 2, 2), getattr(torchref, kind), dtype=torch.float64)
    weight = torch.tensor([[1.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
    twin.load_state_dict(twin.state_dict() | {"fc1.weight": weight})
    labels, loss = np.array([0]), torchref.CrossEntropy()
    assert oracle.run(twin, loss, np.array([[0.3, 0.3]]), labels).kinked
    assert not oracle.run(twin, loss, np.array([[0.3, 0.4]]), labels).kinked


def test_a_nans_first_appearance_is_in_order_of_computation(seed: int) -> None:
    with np.errstate(all="ignore"):
        report = check(*network(seed, y=lambda v: np.where(v == v.max(), np.nan, v)))
    assert report.failures[0].tensor == "output/fc2"
    assert "NaN pattern differs" in report.failures[0].fault
