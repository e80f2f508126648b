"""Layers and losses by hand in NumPy that torch has and torchref has not: correct code to measure criterion 9 on."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

Array = np.ndarray
_erf = np.vectorize(math.erf, otypes=[float])


class Handmade:
    """A layer: `forward` keeps what it needs in the cache; parameters by torch's names."""

    names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, dtype: Any = None) -> None:  # noqa: ARG002  # given to layers with parameters
        self.p: dict[str, Array] = {}

    def parameters(self) -> dict[str, Array]:
        return self.p

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        self.p = {name: np.array(state[name]) for name in state}


class Elementwise(Handmade):
    """y = f(x) with f′ of x."""

    @staticmethod
    def f(x: Array) -> tuple[Array, Array]:
        raise NotImplementedError

    def forward(self, x: Array) -> tuple[Array, Any]:
        y, slope = self.f(x)
        return y.astype(x.dtype), slope.astype(x.dtype)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        return dy * cache, {}


class GELU(Elementwise):
    @staticmethod
    def f(x: Array) -> tuple[Array, Array]:
        cdf = (0.5 * (1 + _erf(x / math.sqrt(2)))).astype(x.dtype) if x.size else x.copy()
        return x * cdf, cdf + x * np.exp(-x * x / 2) / x.dtype.type(math.sqrt(2 * math.pi))


class TanhGELU(Elementwise):
    @staticmethod
    def f(x: Array) -> tuple[Array, Array]:
        c = math.sqrt(2 / math.pi)
        t = np.tanh(c * (x + 0.044715 * x * x * x))
        return 0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)


class SiLU(Elementwise):
    @staticmethod
    def f(x: Array) -> tuple[Array, Array]:
        s = 1 / (1 + np.exp(-x))
        return x * s, s * (1 + x * (1 - s))


class Softplus(Elementwise):
    @staticmethod
    def f(x: Array) -> tuple[Array, Array]:
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 1 / (1 + np.exp(-x))


class ELU(Elementwise):
    @staticmethod
    def f(x: Array) -> tuple[Array, Array]:
        return np.where(x > 0, x, np.expm1(np.minimum(x, 0))), np.where(x > 0, 1, np.exp(np.minimum(x, 0)))


class LeakyReLU(Elementwise):
    @staticmethod
    def f(x: Array) -> tuple[Array, Array]:
        return np.where(x > 0, x, 0.01 * x), np.where(x > 0, 1, 0.01)


class Hardtanh(Elementwise):
    @staticmethod
    def f(x: Array) -> tuple[Array, Array]:
        return np.clip(x, -1, 1), (np.abs(x) < 1).astype(float)


class Standardised(Handmade):
    """(x − mean)/√(variance + ε) over some axes, times weight, plus bias along others."""

    over: ClassVar[tuple[int, ...]]
    along: ClassVar[int]

    def _shaped(self, array: Array, ndim: int) -> Array:
        return array.reshape([len(array) if axis == self.along % ndim else 1 for axis in range(ndim)])

    def forward(self, x: Array) -> tuple[Array, Any]:
        mean = x.mean(axis=self.over, keepdims=True)
        centred = x - mean
        deviation = np.sqrt((centred * centred).mean(axis=self.over, keepdims=True) + x.dtype.type(1e-5))
        unit = centred / deviation
        y = unit * self._shaped(self.p["weight"], x.ndim) + self._shaped(self.p["bias"], x.ndim)
        return y, (unit, deviation)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        unit, deviation = cache
        dunit = dy * self._shaped(self.p["weight"], dy.ndim)
        inner = dunit.mean(axis=self.over, keepdims=True) + unit * (dunit * unit).mean(axis=self.over, keepdims=True)
        others = tuple(axis for axis in range(dy.ndim) if axis != self.along % dy.ndim)
        return (dunit - inner) / deviation, {"weight": (dy * unit).sum(axis=others), "bias": dy.sum(axis=others)}


class LayerNorm(Standardised):
    over = (-1,)
    along = -1


class BatchNorm1d(Standardised):
    over = (0,)
    along = 1


class BatchNorm2d(Standardised):
    over = (0, 2, 3)
    along = 1


class LogSoftmax(Handmade):
    def forward(self, x: Array) -> tuple[Array, Any]:
        shifted = x - x.max(axis=1, keepdims=True, initial=-np.inf)
        y = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return y, y

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        return dy - np.exp(cache) * dy.sum(axis=1, keepdims=True), {}


class Transposed(Handmade):
    """nn.ConvTranspose1d(3, 4, 5, stride=2): every sample of the input stamps its filter into the output."""

    def forward(self, x: Array) -> tuple[Array, Any]:
        w = self.p["weight"]  # (in, out, k)
        y = np.zeros((len(x), w.shape[1], 2 * (x.shape[2] - 1) + w.shape[2]), x.dtype)
        for place in range(x.shape[2]):
            y[:, :, 2 * place : 2 * place + w.shape[2]] += np.einsum("nc,cok->nok", x[:, :, place], w)
        return y + self.p["bias"][:, None], x

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        x, w = cache, self.p["weight"]
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for place in range(x.shape[2]):
            window = dy[:, :, 2 * place : 2 * place + w.shape[2]]
            dx[:, :, place] = np.einsum("nok,cok->nc", window, w)
            dw += np.einsum("nok,nc->cok", window, x[:, :, place])
        return dx, {"weight": dw, "bias": dy.sum(axis=(0, 2))}


class ConvNormalised(Handmade):
    """A 1×1 convolution, batch normalisation and SiLU: the convolution's bias has a gradient that cancels to 0."""

    def forward(self, x: Array) -> tuple[Array, Any]:
        z = np.einsum("oc,nchw->nohw", self.p["0.weight"][:, :, 0, 0], x) + self.p["0.bias"][:, None, None]
        norm, squash = BatchNorm2d(), SiLU()
        norm.load_state_dict({"weight": self.p["1.weight"], "bias": self.p["1.bias"]})
        a, norm_cache = norm.forward(z)
        y, slope = squash.forward(a)
        return y, (x, norm, norm_cache, slope)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        x, norm, norm_cache, slope = cache
        dz, grads = norm.backward(dy * slope, norm_cache)
        dw = np.einsum("nohw,nchw->oc", dz, x)[:, :, None, None]
        own = {"0.weight": dw, "0.bias": dz.sum(axis=(0, 2, 3)), "1.weight": grads["weight"], "1.bias": grads["bias"]}
        return np.einsum("oc,nohw->nchw", self.p["0.weight"][:, :, 0, 0], dz), own


class Attention(Handmade):
    """softmax(x xᵀ/√K) x: rows attend to each other."""

    def forward(self, x: Array) -> tuple[Array, Any]:
        scale = x.dtype.type(1 / math.sqrt(x.shape[1]))
        scores = x @ x.T * scale
        e = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
        a = e / e.sum(axis=1, keepdims=True)
        return a @ x, (x, a, scale)

    def backward(self, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
        x, a, scale = cache
        da = dy @ x.T
        ds = a * (da - (da * a).sum(axis=1, keepdims=True)) * scale
        return a.T @ dy + (ds + ds.T) @ x, {}


def attention(x: torch.Tensor) -> torch.Tensor:
    return torch.softmax(x @ x.T / math.sqrt(x.shape[1]), 1) @ x


@dataclass(frozen=True)
class Loss:
    """A loss by its value and gradient."""

    value: Callable[[Array, Array], Any]
    gradient: Callable[[Array, Array], Array]

    def forward(self, output: Array, target: Array) -> tuple[Any, Any]:
        return output.dtype.type(self.value(output, target)), (output, target)

    def backward(self, cache: Any) -> Array:
        return self.gradient(*cache).astype(cache[0].dtype)


def _smooth(output: Array, target: Array) -> Array:
    onehot = np.eye(output.shape[1], dtype=output.dtype)[target]
    return 0.9 * onehot + 0.1 / output.shape[1]


def _weights(output: Array, target: Array) -> Array:
    return np.array([0.5, 1.0, 2.0, 0.25], output.dtype)[target]


LOSSES: dict[str, tuple[Any, Loss]] = {
    "binary cross-entropy": (
        nn.BCEWithLogitsLoss(),
        Loss(
            lambda z, t: (np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))).mean(),
            lambda z, t: (1 / (1 + np.exp(-z)) - t) / z.size,
        ),
    ),
    "Huber": (
        nn.HuberLoss(),
        Loss(
            lambda z, t: np.where(abs(z - t) < 1, (z - t) ** 2 / 2, abs(z - t) - 0.5).mean(),
            lambda z, t: np.clip(z - t, -1, 1) / z.size,
        ),
    ),
    "absolute": (nn.L1Loss(), Loss(lambda z, t: abs(z - t).mean(), lambda z, t: np.sign(z - t) / z.size)),
    "smoothed labels": (
        nn.CrossEntropyLoss(label_smoothing=0.1),
        Loss(
            lambda z, t: -(_smooth(z, t) * LogSoftmax().forward(z)[0]).sum() / len(z),
            lambda z, t: (np.exp(LogSoftmax().forward(z)[0]) - _smooth(z, t)) / len(z),
        ),
    ),
    "weighted classes": (
        nn.CrossEntropyLoss(torch.tensor([0.5, 1.0, 2.0, 0.25]), reduction="sum"),
        Loss(
            lambda z, t: -(_weights(z, t) * LogSoftmax().forward(z)[0][np.arange(len(z)), t]).sum(),
            lambda z, t: _weights(z, t)[:, None] * (np.exp(LogSoftmax().forward(z)[0]) - np.eye(4, dtype=z.dtype)[t]),
        ),
    ),
    "log cosh": (
        lambda z, t: torch.log(torch.cosh(z - t)).mean(),
        Loss(lambda z, t: np.log(np.cosh(z - t)).mean(), lambda z, t: np.tanh(z - t) / z.size),
    ),
}

LAYERS: dict[str, tuple[Any, type[Handmade], tuple[int, ...]]] = {
    "GELU": (nn.GELU(), GELU, (3, 5)),
    "tanh GELU": (nn.GELU("tanh"), TanhGELU, (2, 3, 5)),
    "SiLU": (nn.SiLU(), SiLU, (3, 5)),
    "softplus": (nn.Softplus(), Softplus, (7, 5)),
    "ELU": (nn.ELU(), ELU, (4, 6)),
    "leaky": (nn.LeakyReLU(), LeakyReLU, (4, 6)),
    "hard": (F.hardtanh, Hardtanh, (4, 6)),
    "layer norm": (nn.LayerNorm(6), LayerNorm, (4, 6)),
    "batch norm": (nn.BatchNorm1d(6), BatchNorm1d, (9, 6)),
    "batch norm of maps": (nn.BatchNorm2d(3), BatchNorm2d, (4, 3, 5, 6)),
    "log softmax": (nn.LogSoftmax(1), LogSoftmax, (5, 7)),
    "transposed": (nn.ConvTranspose1d(3, 4, 5, stride=2), Transposed, (2, 3, 6)),
    "block": (
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.SiLU()),
        ConvNormalised,
        (4, 3, 5, 6),
    ),
    "attention": (attention, Attention, (5, 8)),
}
