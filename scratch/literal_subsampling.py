"""Sub-sampling as the slides draw it: every map on its own, one window after the other, in plain loops.

Windows are (height, width), strides (down, across); what is left over at the right and the bottom is dropped. Indices
as in literal_convolution.py: map c, units h, w, taps i, j. Source: 子采样层, 操作流程.
"""

from typing import NamedTuple, TypeAlias

from scratch.literal import Rows, Vector
from scratch.literal_convolution import Maps

Places: TypeAlias = list[tuple[int, int]]


class SubsampleGradients(NamedTuple):
    """∂J/∂x as x[c][h][w], and for each map ∂J/∂(coefficient) and ∂J/∂(bias)."""

    x: list[list[list[float]]]
    coefficient: list[float]
    bias: list[float]


def windows(x: Rows, kernel_size: tuple[int, int], stride: tuple[int, int]) -> list[list[Places]]:
    """The places of the window of each output unit (h, w), left to right and top to bottom, as windows[h][w]."""
    return [
        [
            [(top + i, left + j) for i in range(kernel_size[0]) for j in range(kernel_size[1])]
            for left in range(0, len(x[0]) - kernel_size[1] + 1, stride[1])
        ]
        for top in range(0, len(x) - kernel_size[0] + 1, stride[0])
    ]


def subsample(
    x: Maps, coefficient: Vector, bias: Vector, kernel_size: tuple[int, int], stride: tuple[int, int]
) -> list[list[list[float]]]:
    """y_c(h, w) = coefficient_c·Σ x_c(window) + bias_c: the inputs are added, not averaged. Source: LeNet-5, S2."""
    y = []
    for x_c, coefficient_c, bias_c in zip(x, coefficient, bias, strict=True):
        slid = windows(x_c, kernel_size, stride)
        y.append([[coefficient_c * sum(x_c[r][s] for r, s in places) + bias_c for places in row] for row in slid])
    return y


def subsample_backward(
    dy: Maps, x: Maps, coefficient: Vector, kernel_size: tuple[int, int], stride: tuple[int, int]
) -> SubsampleGradients:
    """∂J/∂x_c gets coefficient_c·δ at each place of the window, ∂J/∂coefficient_c δ·x there, ∂J/∂bias_c δ once."""
    dx = [[[0.0] * len(row) for row in x_c] for x_c in x]
    dcoefficient, dbias = [0.0] * len(x), [0.0] * len(x)
    for c, x_c in enumerate(x):
        for h, row in enumerate(windows(x_c, kernel_size, stride)):
            for w, places in enumerate(row):
                delta = dy[c][h][w]
                dbias[c] += delta
                for r, s in places:
                    dcoefficient[c] += delta * x_c[r][s]
                    dx[c][r][s] += coefficient[c] * delta
    return SubsampleGradients(dx, dcoefficient, dbias)


def average(x: Maps, kernel_size: tuple[int, int], stride: tuple[int, int]) -> list[list[list[float]]]:
    """y_c(h, w) = Σ x_c(window) / (F·F)."""
    return [
        [
            [sum(x_c[r][s] for r, s in places) / len(places) for places in row]
            for row in windows(x_c, kernel_size, stride)
        ]
        for x_c in x
    ]


def average_backward(
    dy: Maps, x: Maps, kernel_size: tuple[int, int], stride: tuple[int, int]
) -> list[list[list[float]]]:
    """∂J/∂x_c gets δ / (F·F) at each place of the window."""
    dx = [[[0.0] * len(row) for row in x_c] for x_c in x]
    for c, x_c in enumerate(x):
        for h, row in enumerate(windows(x_c, kernel_size, stride)):
            for w, places in enumerate(row):
                for r, s in places:
                    dx[c][r][s] += dy[c][h][w] / len(places)
    return dx


def winner(x: Rows, places: Places) -> tuple[int, int]:
    """The place of the largest input of a window, the first of several."""
    best = places[0]
    for place in places[1:]:
        if x[place[0]][place[1]] > x[best[0]][best[1]]:
            best = place
    return best


def maximum(x: Maps, kernel_size: tuple[int, int], stride: tuple[int, int]) -> list[list[list[float]]]:
    """y_c(h, w) = max x_c(window)."""
    y = []
    for x_c in x:
        best = [[winner(x_c, places) for places in row] for row in windows(x_c, kernel_size, stride)]
        y.append([[x_c[r][s] for r, s in row] for row in best])
    return y


def maximum_backward(
    dy: Maps, x: Maps, kernel_size: tuple[int, int], stride: tuple[int, int]
) -> list[list[list[float]]]:
    """∂J/∂x_c gets all of δ at the place of the largest input."""
    dx = [[[0.0] * len(row) for row in x_c] for x_c in x]
    for c, x_c in enumerate(x):
        for h, row in enumerate(windows(x_c, kernel_size, stride)):
            for w, places in enumerate(row):
                r, s = winner(x_c, places)
                dx[c][r][s] += dy[c][h][w]
    return dx
