"""Correct networks in other forms than explicit caches, with layers for which the oracle has no rule, and trainings."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

import scratch
from tests import own_networks as own
from torchref import oracle
from torchref.oracle.verdict import Verdict

_erf = np.vectorize(math.erf, otypes=[np.float64])


class Gelu:
    """x·Φ(x)."""

    def forward(self, x: Any) -> Any:
        self.x = x
        self.below = (0.5 * (1 + _erf(x / math.sqrt(2)))).astype(x.dtype)
        return x * self.below

    def backward(self, dy: Any) -> Any:
        density = np.exp(-0.5 * self.x * self.x) / self.x.dtype.type(math.sqrt(2 * math.pi))
        return dy * (self.below + self.x * density)


class LayerNorm:
    """Each sample with mean 0 and variance 1, times gamma plus beta."""

    def __init__(self, units: int, dtype: Any) -> None:
        self.gamma, self.beta = np.ones(units, dtype), np.zeros(units, dtype)

    def forward(self, x: Any) -> Any:
        centred = x - x.mean(axis=1, keepdims=True)
        self.over = 1 / np.sqrt((centred * centred).mean(axis=1, keepdims=True) + x.dtype.type(1e-5))
        self.z = centred * self.over
        return self.z * self.gamma + self.beta

    def backward(self, dy: Any) -> Any:
        self.dgamma, self.dbeta = (dy * self.z).sum(axis=0), dy.sum(axis=0)
        dz = dy * self.gamma
        along = (dz * self.z).mean(axis=1, keepdims=True)
        return self.over * (dz - dz.mean(axis=1, keepdims=True) - self.z * along)


class Conv:
    """A convolution that keeps its pass on itself: scratch's, with W and b."""

    def __init__(self, n: int, m: int, size: int, dtype: Any) -> None:
        self._layer = scratch.Conv2d(n, m, size, dtype=dtype)
        self.W, self.b = self._layer.weight, self._layer.bias

    def forward(self, x: Any) -> Any:
        self._layer.weight, self._layer.bias = self.W, self.b
        y, self._cache = self._layer.forward(x)
        return y

    def backward(self, dy: Any) -> Any:
        dx, grads = self._layer.backward(dy, self._cache)
        self.dW, self.db = grads["weight"], grads["bias"]
        return dx


class Flat:
    """One axis beside the samples."""

    def forward(self, x: Any) -> Any:
        self._shape = x.shape
        return x.reshape(len(x), math.prod(x.shape[1:]))

    def backward(self, dy: Any) -> Any:
        return dy.reshape(self._shape)


def _turned(*layers: int) -> dict[str, Any]:
    """Which of a list's layers have W (in, out)."""
    return {f"{layer}.W": (f"{layer}.weight", "IO") for layer in layers}


def _drawn(rng: np.random.Generator, dtype: str, shape: tuple[int, ...] = (7, 5)) -> tuple[Any, Any]:
    return rng.normal(size=shape).astype(dtype), rng.integers(0, 3, shape[0])


def _seeded(rng: np.random.Generator, *layers: nn.Module) -> nn.Sequential:
    """With weights drawn from the generator."""
    twin = nn.Sequential(*layers)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(0, 0.5, tuple(parameter.shape))))
    return twin


def _list(rng: np.random.Generator, dtype: str, seed: int) -> Verdict:
    """A list of stateful layers, the loss a function."""
    twin = _seeded(rng, nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    mine = own.Stack([own.Dense(5, 6, dtype), own.Squash(), own.Dense(6, 6, dtype), own.Relu(), own.Dense(6, 3, dtype)])
    return oracle.compare(mine, twin, *_drawn(rng, dtype), map=_turned(0, 2, 4), my_loss=own.softmax_loss, seed=seed)


def _maps(rng: np.random.Generator, dtype: str, seed: int) -> Verdict:
    """A list with a convolution."""
    twin = _seeded(rng, nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(36, 3))
    mine = own.Stack([Conv(2, 3, 3, np.dtype(dtype)), own.Squash(), Flat(), own.Dense(36, 3, dtype)])
    x, target = _drawn(rng, dtype, (4, 2, 6, 5))
    return oracle.compare(mine, twin, x, target, map=_turned(3), my_loss=own.SoftmaxLoss(), seed=seed)


def _without_rules(rng: np.random.Generator, dtype: str, seed: int) -> Verdict:
    """GELU and layer normalisation, whose rounding is measured."""
    twin = _seeded(rng, nn.Linear(5, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 3))
    mine = own.Stack([own.Dense(5, 6, dtype), LayerNorm(6, dtype), Gelu(), own.Dense(6, 3, dtype)])
    said = {**_turned(0, 3), "1.gamma": "1.weight", "1.beta": "1.bias"}
    return oracle.compare(mine, twin, *_drawn(rng, dtype), map=said, my_loss=own.softmax_loss, seed=seed)


def _gelu(rng: np.random.Generator, dtype: str, seed: int) -> Verdict:
    """GELU alone between two linear layers, without a loss."""
    twin = _seeded(rng, nn.Linear(5, 6), nn.GELU(), nn.Linear(6, 3))
    mine = own.Stack([own.Dense(5, 6, dtype), Gelu(), own.Dense(6, 3, dtype)])
    return oracle.compare(mine, twin, _drawn(rng, dtype)[0], map=_turned(0, 2), seed=seed)


def _two_layers(rng: np.random.Generator, dtype: str, seed: int) -> Verdict:
    """loss(x, y) and params, as cs231n has it."""
    twin = _seeded(rng, nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    return oracle.compare(own.TwoLayerNet(dtype), twin, *_drawn(rng, dtype), loss="cross_entropy", seed=seed)


def _attributes(rng: np.random.Generator, dtype: str, seed: int) -> Verdict:
    """Everything on attributes of one object: no layer can be seen."""
    twin = _seeded(rng, nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    return oracle.compare(own.Flat(dtype), twin, _drawn(rng, dtype)[0], seed=seed)


class _Sgd:
    def __init__(self, momentum: float = 0.0) -> None:
        self.momentum = momentum
        self.velocity: dict[str, Any] = {}

    def update(self, params: dict[str, Any], grads: dict[str, Any]) -> None:
        for name, grad in grads.items():
            old = self.velocity.get(name, np.zeros_like(grad))
            self.velocity[name] = grad.dtype.type(self.momentum) * old + grad
            params[name] -= grad.dtype.type(0.1) * self.velocity[name]


class _Adam:
    def __init__(self) -> None:
        self.steps = 0
        self.first: dict[str, Any] = {}
        self.second: dict[str, Any] = {}

    def update(self, params: dict[str, Any], grads: dict[str, Any]) -> None:
        self.steps += 1
        for name, grad in grads.items():
            t = grad.dtype.type
            self.first[name] = t(0.9) * self.first.get(name, 0) + t(0.1) * grad
            self.second[name] = t(0.999) * self.second.get(name, 0) + t(0.001) * grad * grad
            size = np.sqrt(self.second[name] / t(1 - 0.999**self.steps)) + t(1e-8)
            params[name] -= t(0.01) * self.first[name] / t(1 - 0.9**self.steps) / size


def _training(rule: Any, torchs: Callable[[Any], Any]) -> Callable[[np.random.Generator, str, int], Verdict]:
    """Five steps of a network with loss(x, y)."""

    def run(rng: np.random.Generator, dtype: str, seed: int) -> Verdict:
        twin = _seeded(rng, nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)).to(getattr(torch, dtype))
        net, update = own.TwoLayerNet(dtype), rule().update

        def step(x: Any, y: Any) -> Any:
            loss, grads = net.loss(x, y)
            update(net.params, grads)
            return loss

        batches = [_drawn(rng, dtype) for _ in range(3)]
        return oracle.compare_training(step, twin, torchs, batches, steps=5, parameters=net.params, seed=seed)

    return run


FORMS: Mapping[str, Callable[[np.random.Generator, str, int], Verdict]] = {
    "list": _list,
    "maps": _maps,
    "normalised": _without_rules,
    "gelu": _gelu,
    "loss(x, y)": _two_layers,
    "attributes": _attributes,
    "sgd": _training(_Sgd, lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": _training(lambda: _Sgd(0.9), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
    "adam": _training(_Adam, lambda p: torch.optim.Adam(p, 0.01)),
}


def formed(name: str, seed: int, dtype: str) -> Verdict:
    """What the oracle says of one of them."""
    return FORMS[name](np.random.default_rng(seed), dtype, seed)
