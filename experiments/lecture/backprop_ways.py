"""One small network with J = ½‖y − t‖², and its signals and gradients in every way there is, by the same names."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from experiments.backend import Array
from experiments.lecture.lab import Wing
from scratch import literal

SIZES: Final = (2, 3, 2, 1)
LAYERS: Final = {1: literal.tanh(1.7159, 2 / 3), 2: literal.logistic(), 3: literal.tanh()}
"""f₁, f₂, f₃: another one in each layer, so that no layer can pass for its neighbour."""
DEPTH: Final = len(LAYERS)

Quantities = Mapping[str, Array]
"""By name: z1 … z3, a1 … a3, J; and delta1 … delta3, W1 … W3, b1 … b3, the gradients by them."""


class Problem(NamedTuple):
    """A network's parameters, its input and its target."""

    state: Mapping[str, Array]
    x: Array
    t: Array


def make(w: Any, d: Any, rng: Any) -> Any:
    """Build the network in either wing."""
    return w.MLP(SIZES, [w.Tanh.lecun(), w.Logistic(), w.Tanh()], dtype=d, rng=rng)


def pose(seed: int) -> Problem:
    """Draw parameters and an input, ±0.2 … ±1 in one decimal; the target is 1, which no tanh reaches."""
    rng = np.random.default_rng(seed)

    def tenths(*shape: int) -> Array:
        return rng.choice((-1.0, 1.0), shape) * rng.uniform(0.2, 1, shape).round(1)

    state: dict[str, Array] = {}
    for layer, (below, here) in enumerate(pairwise(SIZES), start=1):
        state |= {f"fc{layer}.weight": tenths(here, below), f"fc{layer}.bias": tenths(here)}
    return Problem(state, tenths(SIZES[0]), np.ones(SIZES[-1]))


def by_loops(problem: Problem) -> dict[str, Array]:
    """Unit by unit, as on the slides."""
    state, x, t = problem
    layers = [
        literal.Layer(state[f"fc{i}.weight"].tolist(), state[f"fc{i}.bias"].tolist(), f) for i, f in LAYERS.items()
    ]
    signals = literal.forward(layers, x.tolist())
    value, dy = literal.squared_error(signals[-1].a, t.tolist())
    gradients = literal.backward(layers, x.tolist(), signals, dy)
    found = {"J": np.array([value])}
    for i, (signal, gradient) in enumerate(zip(signals, gradients, strict=True), start=1):
        found |= {f"z{i}": np.array(signal.z), f"a{i}": np.array(signal.a), f"delta{i}": np.array(gradient.delta)}
        found |= {f"W{i}": np.array(gradient.weight), f"b{i}": np.array(gradient.bias)}
    return found


def by_matrices(problem: Problem, back: Callable[[Array, Array, Array], Array]) -> dict[str, Array]:
    """The slide's matrix formulas, a line each; `back` takes f′(z^(l)), W^(l+1) and δ^(l+1) to δ^(l)."""
    state, x, t = problem
    found = {"a0": x}
    for i, f in LAYERS.items():
        found[f"z{i}"] = state[f"fc{i}.weight"] @ found[f"a{i - 1}"] + state[f"fc{i}.bias"]
        found[f"a{i}"] = _each(f.f, found[f"z{i}"])
    y = found[f"a{DEPTH}"]
    found["J"] = np.array([0.5 * (y - t) @ (y - t)])
    for i, f in reversed(LAYERS.items()):
        slope = _each(f.derivative, found[f"z{i}"])
        delta = slope * (y - t) if i == DEPTH else back(slope, state[f"fc{i + 1}.weight"], found[f"delta{i + 1}"])
        found |= {f"delta{i}": delta, f"W{i}": np.outer(delta, found[f"a{i - 1}"]), f"b{i}": delta}
    return found


def by_scratch(wing: Wing, problem: Problem) -> dict[str, Array]:
    """Layer by layer, each with its own forward and backward."""
    net, loss = wing.build(make, problem.state), wing.library.SquaredError()
    signal, caches, found = problem.x[None], {}, {}
    for i in LAYERS:
        for name, symbol in ((f"fc{i}", f"z{i}"), (f"f{i}", f"a{i}")):
            signal, caches[name] = net.layers[name].forward(signal)
            found[symbol] = signal[0]
    value, loss_cache = loss.forward(signal, problem.t[None])
    dy = loss.backward(loss_cache)
    for i in reversed(LAYERS):
        delta, _ = net.layers[f"f{i}"].backward(dy, caches[f"f{i}"])
        dy, grads = net.layers[f"fc{i}"].backward(delta, caches[f"fc{i}"])
        found |= {f"delta{i}": delta[0], f"W{i}": grads["weight"], f"b{i}": grads["bias"]}
    return {**found, "J": np.array([value])}


def by_autograd(wing: Wing, problem: Problem) -> dict[str, Array]:
    """Layer by layer forward; the rest is autograd's."""
    net, loss = wing.build(make, problem.state), wing.library.SquaredError()
    signal, found = wing.give(problem.x[None]), {}
    for i in LAYERS:
        z = found[f"z{i}"] = getattr(net, f"fc{i}")(signal)
        signal = found[f"a{i}"] = getattr(net, f"f{i}")(z)
        z.retain_grad()
    value = loss(signal, wing.give(problem.t[None]))
    value.backward()
    for i in LAYERS:
        layer = getattr(net, f"fc{i}")
        found |= {f"delta{i}": found[f"z{i}"].grad, f"W{i}": layer.weight.grad, f"b{i}": layer.bias.grad}
    taken = {name: wing.take(tensor) for name, tensor in found.items()}
    return {name: array if name[0] in "Wb" else array[0] for name, array in taken.items()} | {
        "J": np.array([value.item()])
    }


def by_differences(wing: Wing, problem: Problem, step: float) -> dict[str, Array]:
    """[J(p + h) − J(p − h)] / 2h for every parameter; for δ too, as ∂J/∂b is ∂J/∂z."""
    state, x, t = problem
    learner = wing.learner(make, lambda w: w.SquaredError(), state, lr=1.0)

    def loss(name: str, index: tuple[int, ...], moved: float) -> float:
        values = {other: value.copy() for other, value in state.items()}
        values[name][index] += moved
        learner.load_parameters(values)
        return learner.loss(learner.predict(x[None]), t[None])

    def slopes(name: str) -> Array:
        indices = list(np.ndindex(state[name].shape))
        rises = [loss(name, index, step) - loss(name, index, -step) for index in indices]
        return np.array(rises).reshape(state[name].shape) / (2 * step)

    found: dict[str, Array] = {}
    for i in LAYERS:
        found |= {f"W{i}": slopes(f"fc{i}.weight"), f"b{i}": slopes(f"fc{i}.bias")}
        found[f"delta{i}"] = found[f"b{i}"]
    return found


def _each(f: Callable[[float], float], z: Array) -> Array:
    return np.array([f(z_i) for z_i in z.tolist()])
