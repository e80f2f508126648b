"""The third witness: the slides' loops = scratch = torch = finite differences."""

from typing import Any

import numpy as np
import pytest
import torch

import scratch
import torchref
from scratch import literal
from torchref import oracle
from torchref.oracle import finite_difference

ACTIVATIONS = {
    "tanh": (literal.tanh(1.7159, 2 / 3), lambda w: w.Tanh.lecun()),
    "logistic": (literal.logistic(2.0), lambda w: w.Logistic(2.0)),
    "relu": (literal.relu(), lambda w: w.ReLU()),
    "identity": (literal.identity(), lambda w: w.Identity()),
    "threshold": (literal.threshold(), lambda w: w.Threshold()),
}
SIZES = (5, 4, 6, 3)


def literal_network(net: scratch.MLP, functions: list[literal.Function]) -> list[literal.Layer]:
    """The same network as plain rows of floats."""
    params = net.parameters()
    return [
        literal.Layer(params[f"fc{i}.weight"].tolist(), params[f"fc{i}.bias"].tolist(), f)
        for i, f in enumerate(functions, start=1)
    ]


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(np.array(a), np.array(b), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "names", [("tanh", "logistic", "identity"), ("relu", "tanh", "logistic"), ("tanh", "threshold", "identity")]
)
@pytest.mark.parametrize("target_kind", ["dense", "label"])
def test_four_witnesses_agree(names: tuple[str, ...], target_kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = scratch.MLP(SIZES, [ACTIVATIONS[n][1](scratch) for n in names], dtype=np.float64, rng=rng)
    twin = torchref.MLP(SIZES, [ACTIVATIONS[n][1](torchref) for n in names], dtype=torch.float64)
    for parameter in net.parameters().values():
        parameter[...] = rng.normal(size=parameter.shape)
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in net.state_dict().items()})
    x, t, label = rng.normal(size=SIZES[0]), rng.normal(size=SIZES[-1]), int(rng.integers(SIZES[-1]))

    layers = literal_network(net, [ACTIVATIONS[n][0] for n in names])
    signals = literal.forward(layers, x.tolist())
    y = signals[-1].a
    value, dy = literal.squared_error(y, t.tolist()) if target_kind == "dense" else literal.cross_entropy(y, label)
    unitwise = literal.backward(layers, x.tolist(), signals, dy)
    matrix = literal.backward_matrix(layers, x.tolist(), signals, dy)

    loss, twin_loss = (
        (scratch.SquaredError(), torchref.SquaredError())
        if target_kind == "dense"
        else (scratch.CrossEntropy(), torchref.CrossEntropy())
    )
    target = t[None] if target_kind == "dense" else np.array([label])
    output, cache = net.forward(x[None])
    ours, loss_cache = loss.forward(output, target)
    dx, grads = net.backward(loss.backward(loss_cache), cache)
    oracle.check_network("torch", net, loss, twin, twin_loss, x[None], target).require()

    close(value, ours)
    for i, (signal, by_unit, by_matrix) in enumerate(zip(signals, unitwise, matrix, strict=True), start=1):
        trace = net.trace(x[None])
        close(signal.z, trace[f"fc{i}"][0])
        close(signal.a, trace[f"f{i}"][0])
        for witness in (by_unit, by_matrix):
            close(witness.weight, grads[f"fc{i}.weight"])
            close(witness.bias, grads[f"fc{i}.bias"])
        close(by_unit.delta, by_matrix.delta)
    close(literal.input_gradient(layers, unitwise), dx[0])
    if "threshold" in names:
        assert not np.any(unitwise[0].delta), "no error signal passes a hard-limit unit"
    else:
        oracle.check_gradients("finite differences", net, loss, x[None], target).require()


@pytest.mark.parametrize(
    "function",
    [literal.logistic(), literal.logistic(3.0), literal.tanh(), literal.tanh(1.7159, 2 / 3), literal.identity()],
)
def test_slide_derivatives_are_slopes(function: literal.Function) -> None:
    for v in (-1.5, -0.2, 0.3, 2.0):
        at = np.array([v])
        slope = finite_difference.central_difference(lambda at=at: function.f(float(at[0])), at)
        assert function.derivative(v) == pytest.approx(slope[0], rel=1e-8)


def test_the_jacobian_of_a_linear_map_is_the_transpose() -> None:
    """∂z/∂a, entry (i, j) = ∂z_j/∂a_i, measured column by column."""
    weight = np.arange(6.0).reshape(2, 3)
    columns = [weight @ np.eye(3)[i] for i in range(3)]
    np.testing.assert_array_equal(literal.jacobian_linear(weight), np.array(columns))


def test_a_neuron_refuses_a_weight_too_few() -> None:
    assert literal.neuron([2.0, 3.0], [1.0, -1.0], 0.5, literal.relu().f) == (-0.5, 0.0)
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is longer"):
        literal.neuron([2.0], [1.0, -1.0], 0.5, literal.relu().f)


def test_kinks_and_steps() -> None:
    assert [literal.threshold().f(v) for v in (-1e-9, 0.0, 1.0)] == [0.0, 1.0, 1.0]
    assert [literal.relu().derivative(v) for v in (-1.0, 0.0, 1.0)] == [0.0, 0.0, 1.0]
