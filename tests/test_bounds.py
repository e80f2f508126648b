"""The oracle's own bounds, recomputed by hand: a magnitude that grew by mistake would excuse anything in silence."""

import re
from typing import Any

import numpy as np
import pytest
import torch

import scratch
import torchref
from tests import harness
from torchref import oracle
from torchref.oracle import criteria, finite_difference, magnitude, truth
from torchref.oracle.layer import absolute_pass, count_terms

EPS = np.finfo(np.float64).eps
TINY = np.finfo(np.float64).tiny


def same(a: Any, b: Any) -> None:
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=0)


# --- S of a whole network, written out once more in NumPy from the table in docs/equivalence.md -----------------------

# f′ and |∂f′/∂a| as functions of the output a.
SLOPES = {
    "Tanh": (lambda a: 1 - a**2, lambda a: 2 * abs(a)),
    "Tanh.lecun": (lambda a: (2 / 3) / 1.7159 * (1.7159**2 - a**2), lambda a: 2 * (2 / 3) / 1.7159 * abs(a)),
    "Logistic": (lambda a: a * (1 - a), lambda a: abs(1 - 2 * a)),
    "Logistic(2)": (lambda a: 2 * a * (1 - a), lambda a: 2 * abs(1 - 2 * a)),
    "ReLU": (lambda a: (a > 0) * 1.0, lambda a: 0 * a),
    "Threshold": (lambda a: 0 * a, lambda a: 0 * a),
    "Identity": (lambda a: 0 * a + 1, lambda a: 0 * a),
}
MAKE = {
    "Tanh": lambda w: w.Tanh(),
    "Tanh.lecun": lambda w: w.Tanh.lecun(),
    "Logistic": lambda w: w.Logistic(),
    "Logistic(2)": lambda w: w.Logistic(2.0),
    "ReLU": lambda w: w.ReLU(),
    "Threshold": lambda w: w.Threshold(),
    "Identity": lambda w: w.Identity(),
    "Softmax": lambda w: w.Softmax(),
}


def network(name: str, dtype: str, seed: int) -> tuple[Any, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    _, twin = harness.pair(
        lambda w, d: w.MLP((4, 5, 3), MAKE[name](w), dtype=d), scratch, dtype, lambda s: harness.normal(rng, s, dtype)
    )
    return twin, harness.normal(rng, (6, 4), dtype), rng.integers(0, 3, 6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["CrossEntropy", "SquaredError"])
@pytest.mark.parametrize("name", MAKE)
def test_magnitudes_of_a_network_by_hand(name: str, loss: str, dtype: str, seed: int) -> None:
    twin, x, labels = network(name, dtype, seed)
    found = oracle.run(twin, getattr(torchref, loss)(), x, labels)
    state = {k: abs(v.numpy().astype(np.float64)) for k, v in twin.state_dict().items()}
    value = {k: v.numpy().astype(np.float64) for k, v in found.tensors.items()}
    s = {"x": abs(x.astype(np.float64))}

    s["fc1"] = s["x"] @ state["fc1.weight"].T + state["fc1.bias"]
    z, a = value["output/fc1"], value["output/f1"]
    shift = abs(z - z.max(axis=1, keepdims=True))
    if name == "Softmax":
        s["f1"] = a * (s["fc1"] + (a * s["fc1"]).sum(1, keepdims=True) + 1 + shift)
    else:
        slope, bend = (rule(a) for rule in SLOPES[name])
        s["f1"] = abs(slope) * s["fc1"] + abs(a)
    s["fc2"] = s["f1"] @ state["fc2.weight"].T + state["fc2.bias"]

    y, onehot = value["output/fc2"], np.eye(3)[labels]
    if loss == "CrossEntropy":
        p = np.exp(y - y.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        peak, shift = y.max(1), abs(y - y.max(1, keepdims=True))
        log_sum, chosen = np.log(np.exp(y).sum(1)), (y * onehot).sum(1)
        s["loss"] = ((abs(p - onehot) * s["fc2"]).sum(1) + (log_sum - peak) + abs(chosen - peak) + 1).sum() / 6
        s["dy"] = (p * (s["fc2"] + (p * s["fc2"]).sum(1, keepdims=True) + 1 + shift) + onehot) / 6
    else:
        s["dy"] = (s["fc2"] + abs(y - onehot)) / 6
        s["loss"] = (abs(y - onehot) * s["dy"] * 6 + (y - onehot) ** 2 / 2).sum() / 6

    s["dfc2"] = s["dy"] @ state["fc2.weight"]
    da = abs(value["dx/fc2"])
    if name == "Softmax":
        inner = s["dfc2"] + (s["dfc2"] * a + da * s["f1"]).sum(1, keepdims=True)
        s["df1"] = a * inner + s["f1"] * (da + (da * a).sum(1, keepdims=True))
    else:
        s["df1"] = abs(slope) * s["dfc2"] + da * (bend * s["f1"] + abs(slope))

    expected = {
        "output/fc1": s["fc1"],
        "output/f1": s["f1"],
        "output/fc2": s["fc2"],
        "output": s["fc2"],
        "loss": s["loss"],
        "doutput": s["dy"],
        "dx/fc2": s["dfc2"],
        "grad/fc2.weight": s["dy"].T @ s["f1"],
        "grad/fc2.bias": s["dy"].sum(0),
        "dx/f1": s["df1"],
        "dx/fc1": s["df1"] @ state["fc1.weight"],
        "grad/fc1.weight": s["df1"].T @ s["x"],
        "grad/fc1.bias": s["df1"].sum(0),
    }
    assert list(found.magnitudes) == list(found.tensors) == list(expected)
    for key, by_hand in expected.items():
        assert found.magnitudes[key].dtype == torch.float64
        np.testing.assert_allclose(found.magnitudes[key].numpy(), by_hand, rtol=1e-9, err_msg=key)


def test_the_kink_margin_is_8_eps_s() -> None:
    twin = torchref.MLP((1, 1, 2), torchref.ReLU, dtype=torch.float64)
    twin.load_state_dict(
        twin.state_dict()
        | {"fc1.weight": torch.ones(1, 1).double(), "fc1.bias": torch.tensor([-1.0], dtype=torch.float64)}
    )

    def kinked(x: float) -> bool:  # z = x − 1, S = |x| + 1
        return oracle.run(twin, torchref.CrossEntropy(), np.array([[x]]), np.array([0])).kinked

    assert kinked(1 + 15 * EPS)
    assert not kinked(1 + 18 * EPS)


# --- criteria of single layers, losses, penalties, optimisers ---------------------------------------------------------


def bound_of(report: oracle.Report, tensor: str) -> float:
    (found,) = [c for c in report.comparisons if c.tensor == tensor]
    assert found.bound is not None
    return found.bound


def test_s_and_n_of_a_linear_layer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    twin = torchref.Linear(4, 3, dtype=torch.float64)
    twin.load_state_dict(
        {"weight": torch.from_numpy(rng.normal(size=(3, 4))), "bias": torch.from_numpy(rng.normal(size=3))}
    )
    x, dy = (torch.from_numpy(rng.normal(size=shape)) for shape in ((5, 4), (5, 3)))
    s, n = absolute_pass(twin, x, dy), count_terms(twin, x, dy)
    w, b = (p.detach().abs().numpy() for p in (twin.weight, twin.bias))
    same(s["y"], abs(x.numpy()) @ w.T + b)
    same(s["dx"], abs(dy.numpy()) @ w)
    same(s["grad weight"], abs(dy.numpy()).T @ abs(x.numpy()))
    same(s["grad bias"], abs(dy.numpy()).sum(0))
    assert {name: set(count.unique().tolist()) for name, count in n.items()} == {
        "y": {5.0},
        "dx": {3.0},
        "grad weight": {5.0},
        "grad bias": {5.0},
    }


def test_conditions_of_elementwise_functions() -> None:
    x, dy = np.array([[-2.0, 0.5]]), np.array([[3.0, -1.0]])
    tanh = torchref.Tanh(1.5, 0.5)
    y = 1.5 * np.tanh(0.5 * x)
    same(truth.activation(tanh, x).condition, abs(y))
    same(truth.activation_gradient(tanh, x, dy).condition, abs(dy) * 0.5 / 1.5 * (1.5**2 + y**2))
    same(truth.activation_gradient(tanh, x, dy).value, dy * 0.75 / np.cosh(0.5 * x) ** 2)
    y = 1 / (1 + np.exp(-x))
    same(truth.activation(torchref.Logistic(), x).condition, y)
    same(truth.activation_gradient(torchref.Logistic(), x, dy).condition, abs(dy) * (y * (1 - y) + abs(1 - 2 * y) * y))
    y = 1 / (1 + np.exp(-3 * x))
    same(truth.activation(torchref.Logistic(3.0), x).condition, y * (1 + 3 * abs(x) * (1 - y)))
    same(truth.softmax(x).condition, truth.softmax(x).value * (1 + np.array([[2.5, 0.0]])))
    same(truth.softmax(x).value, np.exp(x) / np.exp(x).sum())


def test_bounds_of_losses() -> None:
    output, label = np.array([[0.0, np.log(3.0)]]), np.array([0])
    report = oracle.check_loss("ce", scratch.CrossEntropy(), torchref.CrossEntropy(), output, label)
    # ln Σ exp − max = ln 4/3, |z_t − max| = ln 3, and 1; n = 2
    same(bound_of(report, "loss"), (8 + np.sqrt(2)) * EPS * (np.log(4 / 3) + np.log(3) + 1) + TINY)
    s = magnitude.loss(
        torchref.CrossEntropy(), torch.from_numpy(output), torch.from_numpy(label), torch.zeros(1, 2).double()
    )
    same(s.doutput, [[0.25 * (1 + np.log(3)) + 1, 0.75]])
    output = np.array([[2.0, 5.0]])
    report = oracle.check_loss("se", scratch.SquaredError(), torchref.SquaredError(), output, label)
    # residuals 1 and 5: Σ r² + ½Σ r² = 39
    same(bound_of(report, "loss"), (8 + np.sqrt(2)) * EPS * 39 + TINY)


def test_bounds_of_a_penalty_and_of_sgd() -> None:
    params = {"weight": np.array([[2.0, -1.0]])}
    report = oracle.check_penalty("l2", scratch.L2Penalty(0.5), torchref.L2Penalty(0.5), params)
    same(bound_of(report, "penalty"), (8 + np.sqrt(2)) * EPS * 1.25 + TINY)
    same(bound_of(report, "grad weight"), 9 * EPS * 1.0 + TINY)

    params, grad = {"weight": np.array([2.0])}, {"weight": np.array([-3.0])}
    sgd = (wing.SGD(0.1, momentum=0.5, weight_decay=0.25) for wing in (scratch, torchref))
    report = oracle.check_sgd("sgd", *sgd, params, [grad, grad])
    velocity = 3 + 0.25 * 2.0
    weight = 2 + 0.1 * velocity
    same(bound_of(report, "step 1, velocity weight"), 9 * EPS * velocity + TINY)
    same(bound_of(report, "step 1, weight"), 9 * EPS * weight + TINY)
    velocity = 0.5 * velocity + 3 + 0.25 * weight
    same(bound_of(report, "step 2, velocity weight"), (8 + np.sqrt(2)) * EPS * velocity + TINY)
    same(bound_of(report, "step 2, weight"), (8 + np.sqrt(2)) * EPS * (weight + 0.1 * velocity) + TINY)


def test_bounds_of_criterion_4_and_7() -> None:
    one = torch.ones(2, dtype=torch.float64)
    verdict = criteria.network("y", np.ones(2), one, torch.tensor([3.0, 5.0]))
    assert verdict.bound == 32 * EPS * 5 + TINY
    # Where S is 0, what two programs may differ by is the smallest normal number: either may flush to 0 below it.
    assert criteria.network("y", np.zeros(2), 0 * one, 0 * one).bound == TINY
    net = scratch.MLP((2, 2), dtype=np.float64, rng=np.random.default_rng(0))
    x, target = np.array([[1.0, -2.0]]), np.array([[0.5, 0.25]])
    report = oracle.check_gradients("fd", net, scratch.SquaredError(), x, target)
    output, cache = net.forward(x)
    dx, _ = net.backward(output - target, cache)
    assert bound_of(report, "dx") == pytest.approx(1e-7 * abs(dx).max(), rel=1e-6)
    at = np.array([2.0])
    assert finite_difference.central_difference(lambda: float(at[0] ** 3), at)[0] == pytest.approx(12, rel=1e-9)
    assert at[0] == 2.0


def test_a_bound_that_is_not_finite_is_a_fault() -> None:
    for bound in (np.inf, np.nan):
        verdict = oracle.compare_arrays("y", np.array([5.0]), torch.tensor([5.0]).double(), bound, "2")
        assert not verdict.passed
        assert "nothing can be judged at [0]" in verdict.fault


def test_float32_networks_are_judged_where_their_magnitudes_overflow(seed: int) -> None:
    twin, x, labels = network("Tanh", "float32", seed)
    twin.load_state_dict({k: tensor * (1e30 if "fc2" in k else 1) for k, tensor in twin.state_dict().items()})
    found = oracle.run(twin, torchref.CrossEntropy(), x * np.float32(1e12), labels)
    assert all(torch.isfinite(s).all() for s in found.magnitudes.values())
    assert float(found.magnitudes["grad/fc1.weight"].max()) > float(np.finfo(np.float32).max)


# --- criterion 5: each verdict of purity fails for the fault it is about, and for nothing else ------------------------


def buffered(buffers: dict[Any, np.ndarray], name: str, result: np.ndarray) -> np.ndarray:
    """The result in an array that the next result of that name and shape is written into."""
    buffer = buffers.setdefault((name, result.shape), np.empty_like(result))
    buffer[...] = result
    return buffer


class Impure:
    """A layer y = 2x with one impurity."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.scale = np.array([2.0])
        self.buffer = np.zeros((4, 3))
        self.buffers: dict[Any, np.ndarray] = {}
        self.calls = 0

    def parameters(self) -> dict[str, np.ndarray]:
        return {"scale": self.scale}

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        self.calls += 1
        y = self.scale * x + (self.calls * 1e-16 if self.fault == "counts its calls" else 0.0)
        if self.fault == "mutates x":
            x += 1
        if self.fault == "mutates its parameter":
            self.scale += 1
        if self.fault == "y in a buffer":
            y = buffered(self.buffers, "y", y)
        self.last = x
        return (x if self.fault == "y is x" else y), (x, y)

    def backward(self, dy: np.ndarray, cache: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        x, y = cache
        if self.fault == "reads the layer, not the cache":
            x = self.last[: len(dy)]
        dx, dscale = self.scale * dy, np.array([(dy * x).sum()])
        match self.fault:
            case "mutates dy":
                dy *= 2
            case "mutates y":
                y += 1
            case "dx is dy":
                dx = dy
            case "mutates the cache":
                x = cache[0].copy()
                self.calls += 1
                dscale = dscale * self.calls
            case "returns one buffer":
                self.buffer += 1
                dx = self.buffer
            case "dx in a buffer":
                dx = buffered(self.buffers, "dx", dx)
            case "dscale in a buffer":
                dscale = buffered(self.buffers, "dscale", dscale)
        return dx, {"scale": dscale}


@pytest.mark.parametrize(
    ("fault", "verdicts"),
    [
        ("none", set()),
        ("mutates x", {"forward leaves its arguments alone", "backward leaves its arguments alone", "rerun"}),
        (
            "mutates its parameter",
            {"forward leaves its arguments alone", "backward leaves its arguments alone", "rerun"},
        ),
        ("y is x", {"y is not aliased"}),
        ("mutates dy", {"backward leaves its arguments alone", "backward twice from one cache", "rerun"}),
        ("mutates y", {"y survives backward"}),
        ("dx is dy", {"gradients are not aliased"}),
        ("reads the layer, not the cache", {"rerun"}),
        ("counts its calls", {"rerun"}),
        ("mutates the cache", {"backward twice from one cache", "rerun"}),
        ("returns one buffer", {"backward twice from one cache", "gradients are returned anew", "rerun"}),
        ("y in a buffer", {"y is returned anew"}),
        ("dx in a buffer", {"gradients are returned anew"}),
        ("dscale in a buffer", {"gradients are returned anew"}),
    ],
)
def test_each_impurity_is_seen(fault: str, verdicts: set[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = oracle.check_purity(Impure(fault), rng.normal(size=(4, 3)), rng.normal(size=(4, 3)))
    assert {c.tensor for c in found if not c.passed} == verdicts


class ImpureLoss:
    """J = Σ ½y² with one impurity; as a penalty, J = Σ ½w²."""

    def __init__(self, fault: str) -> None:
        self.fault, self.calls = fault, 0
        self.buffers: dict[Any, np.ndarray] = {}

    def forward(self, output: Any, *_: Any) -> tuple[Any, Any]:
        arrays = output if isinstance(output, dict) else {"": output}
        self.calls += 1
        if self.fault == "mutates":
            for array in arrays.values():
                array += 1
        self.last = {name: array.copy() for name, array in arrays.items()}
        extra = 1e-9 * self.calls if self.fault == "remembers" else 0.0
        value: Any = np.float64(sum((a * a).sum() / 2 for a in arrays.values()) + extra)
        if self.fault == "value in a buffer":
            value = buffered(self.buffers, "value", np.asarray(value))
        return value, (output, dict(self.last))

    def backward(self, cache: Any) -> Any:
        given, kept = cache
        grads = given if self.fault == "aliases" else {name: array.copy() for name, array in kept.items()}
        if self.fault == "uses up its cache":
            for array in kept.values():
                array += 1
        if self.fault == "gradients in a buffer":
            grads = {name: buffered(self.buffers, name, grad) for name, grad in grads.items()}
        if isinstance(grads, dict) and not isinstance(given, dict):
            return grads[""]
        return grads


IMPURITIES = [
    ("none", set()),
    ("mutates", {"leaves its arguments alone", "rerun"}),
    ("aliases", {"not aliased"}),
    ("uses up its cache", {"backward twice from one cache"}),
    ("remembers", {"rerun"}),
    ("value in a buffer", {"value is returned anew"}),
    ("gradients in a buffer", {"(doutput is|gradients are) returned anew"}),
]


@pytest.mark.parametrize(("fault", "verdicts"), IMPURITIES)
def test_each_impurity_of_a_loss_is_seen(fault: str, verdicts: set[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = oracle.purity.check_loss_purity(ImpureLoss(fault), rng.normal(size=(4, 3)), rng.integers(0, 3, 4))
    failed = {c.tensor for c in found if not c.passed}
    assert len(failed) == len(verdicts)
    assert all(any(re.search(verdict, tensor) for tensor in failed) for verdict in verdicts)


@pytest.mark.parametrize(("fault", "verdicts"), IMPURITIES)
def test_each_impurity_of_a_penalty_is_seen(fault: str, verdicts: set[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    params = {"a.weight": rng.normal(size=(2, 3)), "b.weight": rng.normal(size=4)}
    found = oracle.purity.check_penalty_purity(ImpureLoss(fault), params)
    failed = {c.tensor for c in found if not c.passed}
    assert len(failed) == len(verdicts)
    assert all(any(re.search(verdict, tensor) for tensor in failed) for verdict in verdicts)
