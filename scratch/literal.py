"""The lecture's formulas as they stand on the slides: one sample, plain loops over units, no vectorisation.

The third witness. Slow and obvious, in Python floats (double precision), and independent of `scratch`'s layers: where
those use a derivative written in terms of the output, this file uses the slide's first form, in terms of the input.

Indices as on the slides: layer l = 1 … L, unit i of the layer below, units j or k of the layer itself; `w[k][i]` is the
weight from unit i to unit k (row k of W). The slides also write w_ij for the same link, source first.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = Sequence[float]
Rows: TypeAlias = Sequence[Sequence[float]]


class Function(NamedTuple):
    """A scalar activation and its derivative, both as functions of z."""

    f: Callable[[float], float]
    derivative: Callable[[float], float]


class Layer(NamedTuple):
    """One layer: W as rows, one per unit; b, one entry per unit; f_l."""

    weight: Rows
    bias: Vector
    activation: Function


class Signals(NamedTuple):
    """The function signals of one layer: z^(l) and a^(l) = f_l(z^(l))."""

    z: list[float]
    a: list[float]


class Gradients(NamedTuple):
    """∂J/∂W^(l) as rows, ∂J/∂b^(l), and the local gradients δ^(l) = ∂J/∂z^(l) they are made of."""

    weight: list[list[float]]
    bias: list[float]
    delta: list[float]


def logistic(a: float = 1.0) -> Function:
    """1 / (1 + exp(−a·v)), with the slide's middle form a·exp(−av) / [1 + exp(−av)]². Source: 激活函数."""
    return Function(
        lambda v: 1 / (1 + math.exp(-a * v)),
        lambda v: a * math.exp(-a * v) / (1 + math.exp(-a * v)) ** 2,
    )


def tanh(a: float = 1.0, b: float = 1.0) -> Function:
    """a·tanh(b·v), with the slide's first form ab·sech²(bv). Source: 激活函数."""
    return Function(lambda v: a * math.tanh(b * v), lambda v: a * b / math.cosh(b * v) ** 2)


def threshold() -> Function:
    """1 for v ≥ 0, else 0, with derivative 0. Source: 多层感知机的运算, 硬门限阈值函数."""
    return Function(lambda v: 1.0 if v >= 0 else 0.0, lambda _: 0.0)


def relu() -> Function:
    """v for v > 0, else 0, with derivative 1 for v > 0, else 0. Not on the slides."""
    return Function(lambda v: v if v > 0 else 0.0, lambda v: 1.0 if v > 0 else 0.0)


def identity() -> Function:
    """v, with derivative 1."""
    return Function(lambda v: v, lambda _: 1.0)


def neuron(weights: Vector, x: Vector, b: float, f: Callable[[float], float]) -> tuple[float, float]:
    """z = wᵀx + b, a = f(z). Source: 神经元的运算."""
    z = b
    for w_i, x_i in zip(weights, x, strict=True):
        z += w_i * x_i
    return z, f(z)


def forward(layers: Sequence[Layer], x: Vector) -> list[Signals]:
    """The forward pass, neuron by neuron: z^(l) and a^(l) of each layer, with a^(0) = x. Source: 数据前馈运算."""
    signals = []
    a = list(x)
    for layer in layers:
        units = [neuron(w, a, b, layer.activation.f) for w, b in zip(layer.weight, layer.bias, strict=True)]
        signals.append(Signals([z for z, _ in units], [a_k for _, a_k in units]))
        a = signals[-1].a
    return signals


def backward(layers: Sequence[Layer], x: Vector, signals: Sequence[Signals], dy: Vector) -> list[Gradients]:
    """Back-propagation, unit by unit.

    output layer:  δ_k = f′(z_k) ∂J/∂a_k
    hidden layer:  δ_i = f′(z_i) Σ_j w_ij δ_j
    parameters:    ∂J/∂w_ik = a_i δ_k,  ∂J/∂b_k = δ_k

    Parameters
    ----------
    layers, x, signals:
        The network, its input, and what `forward` returned.
    dy:
        ∂J/∂a^(L), one entry per output unit.

    Returns
    -------
    list of Gradients
        One per layer, in forward order.

    Source: BP 算法, steps (1) to (4).
    """
    gradients: list[Gradients] = []
    for index in reversed(range(len(layers))):
        layer, z = layers[index], signals[index].z
        a_below = signals[index - 1].a if index > 0 else list(x)
        delta = []
        for i, z_i in enumerate(z):
            if index == len(layers) - 1:
                arriving = dy[i]
            else:
                arriving = 0.0
                for w_j, delta_j in zip(layers[index + 1].weight, gradients[0].delta, strict=True):
                    arriving += w_j[i] * delta_j
            delta.append(layer.activation.derivative(z_i) * arriving)
        weight = [[a_i * delta_k for a_i in a_below] for delta_k in delta]
        gradients.insert(0, Gradients(weight, list(delta), delta))
    return gradients


def input_gradient(layers: Sequence[Layer], gradients: Sequence[Gradients]) -> list[float]:
    """∂J/∂x_i = Σ_j w_ij δ_j^(1): one step further down than the slides go."""
    total = [0.0] * len(layers[0].weight[0])
    for w_j, delta_j in zip(layers[0].weight, gradients[0].delta, strict=True):
        for i, w_ji in enumerate(w_j):
            total[i] += w_ji * delta_j
    return total


def squared_error(y: Vector, t: Vector) -> tuple[float, list[float]]:
    """J = ½ Σ_k (y_k − t_k)² and ∂J/∂y_k = y_k − t_k."""
    value = 0.0
    for y_k, t_k in zip(y, t, strict=True):
        value += 0.5 * (y_k - t_k) ** 2
    return value, [y_k - t_k for y_k, t_k in zip(y, t, strict=True)]


def cross_entropy(z: Vector, label: int) -> tuple[float, list[float]]:
    """J = −ln p_t with p_k = exp(z_k) / Σ_j exp(z_j), and ∂J/∂z_k = p_k − [k = t]. For logits of moderate size."""
    total = 0.0
    for z_k in z:
        total += math.exp(z_k)
    p = [math.exp(z_k) / total for z_k in z]
    return -math.log(p[label]), [p_k - (1.0 if k == label else 0.0) for k, p_k in enumerate(p)]


def jacobian_linear(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """∂z/∂a = Wᵀ for z = Wa + b: entry (i, j) is ∂z_j/∂a_i.

    Source: "多元--向量" 的求导. The slide's sizes (b ∈ R^K with W ∈ R^(M×K)) do not fit its z = Wa + b; with one row of
    W per unit, z and b have as many entries as W has rows.
    """
    return weight.T


def jacobian_activation(z: NDArray[np.float64], derivative: Callable[[float], float]) -> NDArray[np.float64]:
    """∂a/∂z = diag(f′(z)): ∂a_j/∂z_i is f′(z_i) for i = j, else 0. Source: "激活函数" 的求导."""
    return np.diag([derivative(float(z_i)) for z_i in z])


def backward_matrix(layers: Sequence[Layer], x: Vector, signals: Sequence[Signals], dy: Vector) -> list[Gradients]:
    """Back-propagation in matrix form, every Jacobian written out.

    δ^(L) = diag(f′_L(z^(L))) · ∂J/∂a^(L)
    δ^(l) = diag(f′_l(z^(l))) · (W^(l+1))ᵀ · δ^(l+1)
    ∂J/∂W^(l) = δ^(l) (a^(l−1))ᵀ,  ∂J/∂b^(l) = δ^(l)

    Arguments and result as for `backward`. Source: BP 算法矩阵迭代公式.
    """
    gradients: list[Gradients] = []
    arriving = np.array(dy, np.float64)
    for index in reversed(range(len(layers))):
        layer = layers[index]
        a_below = np.array(signals[index - 1].a if index > 0 else x, np.float64)
        delta = jacobian_activation(np.array(signals[index].z), layer.activation.derivative) @ arriving
        gradients.insert(0, Gradients(np.outer(delta, a_below).tolist(), delta.tolist(), delta.tolist()))
        arriving = jacobian_linear(np.array(layer.weight, np.float64)) @ delta
    return gradients
