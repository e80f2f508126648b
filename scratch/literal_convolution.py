"""Convolution and sub-sampling as the slides draw them: one sample, one filter sliding, one tap after the other.

The third witness goes on from literal.py, for the lecture's 卷积网络. Forward and backward are the same nested loops:
where forward has z += w·x, backward has dw += δ·x and dx += w·δ. Output sizes follow from where the filter fits; no
formula is used.

`toeplitz1d` and `toeplitz2d` draw the slides' argument for what a convolution is, 全连接 → 卷积层: the weight matrix of
the fully connected layer that does the same, with zeros where there is no link (local) and the same few numbers in
every unit's row (shared).

Indices: map c of the layer below, map o of the layer itself; units h, w within a map; taps i, j within a filter.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from scratch.literal import Rows, Vector

Maps: TypeAlias = Sequence[Rows]  # x[c][h][w]
Table: TypeAlias = Sequence[Sequence[bool]]  # table[o][c]: whether map o is linked to map c


class Gradients1d(NamedTuple):
    """∂J/∂x as x[c][t], ∂J/∂w as w[o][c][i], ∂J/∂b as b[o]."""

    x: list[list[float]]
    weight: list[list[list[float]]]
    bias: list[float]


class Gradients2d(NamedTuple):
    """∂J/∂x as x[c][h][w], ∂J/∂w as w[o][c][i][j], ∂J/∂b as b[o]."""

    x: list[list[list[float]]]
    weight: list[list[list[list[float]]]]
    bias: list[float]


def border1d(x: Vector, padding: int) -> list[float]:
    """The row with `padding` zeros before and after. Source: 卷积层的输出尺度, Pad: 填充设置."""
    return [0.0] * padding + list(x) + [0.0] * padding


def border2d(x: Rows, padding: tuple[int, int]) -> list[list[float]]:
    """The map within a frame of zeros, padding = (above and below, left and right). Source: Pad: 填充设置."""
    rows = [border1d(row, padding[1]) for row in x]
    empty = [0.0] * len(rows[0])
    return [list(empty) for _ in range(padding[0])] + rows + [list(empty) for _ in range(padding[0])]


def conv1d(
    x: Rows, weight: Sequence[Rows], bias: Vector, stride: int = 1, padding: int = 0, connections: Table | None = None
) -> list[list[float]]:
    """z_o(t) = b_o + Σ_c Σ_i w_oc(i)·x_c(t·S + i), over the maps c that o is linked to: x[c][t], w[o][c][i] -> z[o][t].

    The filter is not turned round. Source: 卷积层 / 一维卷积.
    """
    padded = [border1d(x_c, padding) for x_c in x]
    z: list[list[float]] = []
    for o, maps in enumerate(weight):
        z.append([])
        for start in range(0, len(padded[0]) - len(maps[0]) + 1, stride):
            z_t = bias[o]
            for c, (w, x_c) in enumerate(zip(maps, padded, strict=True)):
                if connections is None or connections[o][c]:
                    for i, w_i in enumerate(w):
                        z_t += w_i * x_c[start + i]
            z[o].append(z_t)
    return z


def conv1d_backward(
    dy: Rows, x: Rows, weight: Sequence[Rows], stride: int = 1, padding: int = 0, connections: Table | None = None
) -> Gradients1d:
    """The loops of `conv1d` once more, each tap handing δ = ∂J/∂z_o(t) to its weight and to its input.

    ∂J/∂w_oc(i) = Σ_t δ_o(t)·x_c(t·S + i),  ∂J/∂x_c(t·S + i) gets w_oc(i)·δ_o(t),  ∂J/∂b_o = Σ_t δ_o(t)
    """
    padded = [border1d(x_c, padding) for x_c in x]
    dx = [[0.0] * len(x_c) for x_c in padded]
    dweight = [[[0.0] * len(w) for w in maps] for maps in weight]
    dbias = [0.0] * len(weight)
    for o, maps in enumerate(weight):
        starts = range(0, len(padded[0]) - len(maps[0]) + 1, stride)
        for start, delta in zip(starts, dy[o], strict=True):
            dbias[o] += delta
            for c, w in enumerate(maps):
                if connections is None or connections[o][c]:
                    for i, w_i in enumerate(w):
                        dweight[o][c][i] += delta * padded[c][start + i]
                        dx[c][start + i] += w_i * delta
    return Gradients1d([row[padding : len(row) - padding] for row in dx], dweight, dbias)


def conv2d(
    x: Maps,
    weight: Sequence[Maps],
    bias: Vector,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    connections: Table | None = None,
) -> list[list[list[float]]]:
    """z_o(h, w) = b_o + Σ_c Σ_i Σ_j w_oc(i, j)·x_c(h·S + i, w·S + j): x[c][h][w], w[o][c][i][j] -> z[o][h][w].

    Stride and padding are (down, across). Source: 卷积层 / 二维卷积, 1 个 filter 的卷积过程.
    """
    padded = [border2d(x_c, padding) for x_c in x]
    z: list[list[list[float]]] = []
    for o, maps in enumerate(weight):
        z.append([])
        for top in range(0, len(padded[0]) - len(maps[0]) + 1, stride[0]):
            z[o].append([])
            for left in range(0, len(padded[0][0]) - len(maps[0][0]) + 1, stride[1]):
                z_hw = bias[o]
                for c, (w, x_c) in enumerate(zip(maps, padded, strict=True)):
                    if connections is None or connections[o][c]:
                        for i, row in enumerate(w):
                            for j, w_ij in enumerate(row):
                                z_hw += w_ij * x_c[top + i][left + j]
                z[o][-1].append(z_hw)
    return z


def conv2d_backward(
    dy: Maps,
    x: Maps,
    weight: Sequence[Maps],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    connections: Table | None = None,
) -> Gradients2d:
    """The loops of `conv2d` once more, each tap handing δ to its weight and to its input; see `conv1d_backward`."""
    padded = [border2d(x_c, padding) for x_c in x]
    dx = [[[0.0] * len(row) for row in x_c] for x_c in padded]
    dweight = [[[[0.0] * len(row) for row in w] for w in maps] for maps in weight]
    dbias = [0.0] * len(weight)
    for o, maps in enumerate(weight):
        tops = range(0, len(padded[0]) - len(maps[0]) + 1, stride[0])
        lefts = range(0, len(padded[0][0]) - len(maps[0][0]) + 1, stride[1])
        for top, deltas in zip(tops, dy[o], strict=True):
            for left, delta in zip(lefts, deltas, strict=True):
                dbias[o] += delta
                for c, w in enumerate(maps):
                    if connections is None or connections[o][c]:
                        for i, row in enumerate(w):
                            for j, w_ij in enumerate(row):
                                dweight[o][c][i][j] += delta * padded[c][top + i][left + j]
                                dx[c][top + i][left + j] += w_ij * delta
    down, across = padding
    cropped = [[row[across : len(row) - across] for row in d[down : len(d) - down]] for d in dx]
    return Gradients2d(cropped, dweight, dbias)


def toeplitz1d(
    weight: Sequence[Rows], size: int, stride: int = 1, padding: int = 0, connections: Table | None = None
) -> list[list[float]]:
    """The W of the fully connected layer that is this convolution: z = W·x + b, the maps laid end to end.

    Row (o, t) holds the filter of map o, moved t·S units along, and zeros: W[(o, t)][(c, t·S − P + i)] = w_oc(i). Taps
    that fall on the border have no unit to link to. Source: 卷积层, 全连接 → 卷积层: 局部连接和权重共享.
    """
    rows = []
    for o, maps in enumerate(weight):
        for start in range(-padding, size + padding - len(maps[0]) + 1, stride):
            row = [0.0] * (len(maps) * size)
            for c, w in enumerate(maps):
                for i, w_i in enumerate(w):
                    if 0 <= start + i < size and (connections is None or connections[o][c]):
                        row[c * size + start + i] = w_i
            rows.append(row)
    return rows


def toeplitz2d(
    weight: Sequence[Maps],
    size: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    connections: Table | None = None,
) -> list[list[float]]:
    """`toeplitz1d` for maps of size = (height, width), laid end to end row by row, as `Flatten` lays them."""
    height, width = size
    rows = []
    for o, maps in enumerate(weight):
        for top in range(-padding[0], height + padding[0] - len(maps[0]) + 1, stride[0]):
            for left in range(-padding[1], width + padding[1] - len(maps[0][0]) + 1, stride[1]):
                row = [0.0] * (len(maps) * height * width)
                for c, w in enumerate(maps):
                    for i, w_i in enumerate(w):
                        for j, w_ij in enumerate(w_i):
                            inside = 0 <= top + i < height and 0 <= left + j < width
                            if inside and (connections is None or connections[o][c]):
                                row[(c * height + top + i) * width + left + j] = w_ij
                rows.append(row)
    return rows
