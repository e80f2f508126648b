"""A convolution as matrix products: what lies under the filter copied side by side, and gradients carried back.

In memory the rows of the image are outermost and the batch is last, (H, C, W, N): so each copy is a long contiguous
run, and the rows under the filter are one matrix without a copy.
"""

import math
from typing import Final

import numpy as np

from scratch.linear import linear, linear_dweight, linear_dx
from scratch.module import Shape
from scratch.validation import Array, Pair

_DEEP: Final = 64
"""Pixels under the filter from which on it pays to turn δ round: BLAS is faster where both matrices lie row by row."""


def unfold(x: Array, kernel_width: int, stride: int, padding: Pair) -> Array:
    """The columns of each window side by side: (N, C, H, W) -> (H + 2·ph, C, kw, W′, N), padded with zeros.

    Rows of the image stay as they are; `windows` sees kh of them at once without a copy, so that a pixel is copied kw
    times instead of kh·kw. The batch comes last, so that each copy is a long contiguous run.
    """
    (ph, pw), (samples, channels, height, width) = padding, x.shape
    image = x.transpose(2, 1, 3, 0)
    if ph or pw:
        padded = np.zeros_like(x, shape=(height + 2 * ph, channels, width + 2 * pw, samples), order="C")
        np.copyto(padded[ph : ph + height, :, pw : pw + width], image)
        image = padded
    else:
        image = image if image.flags.c_contiguous else image.copy()
    places = (width + 2 * pw - kernel_width) // stride + 1
    down, across, right, last = image.strides
    shape, strides = (len(image), channels, kernel_width, places, samples), (down, across, right, stride * right, last)
    return kind(image)(shape, x.dtype, image, strides=strides).copy()


def windows(columns: Array, kernel_height: int, stride: int) -> Array:
    """For each place down the image the kh rows under the filter, as one matrix: -> (H′, kh·C·kw, W′·N).

    A view in which the windows overlap: a row of the image stands in kh of them, and once in memory. Only to be read.
    """
    rows, row = len(columns), math.prod(columns.shape[1:])
    depth, run = math.prod(columns.shape[1:3]), math.prod(columns.shape[3:])
    places, item = (rows - kernel_height) // stride + 1, columns.itemsize
    shape, strides = (places, kernel_height * depth, run), (stride * row * item, run * item, item)
    return kind(columns)(shape, columns.dtype, columns, strides=strides)


def kind(array: Array) -> type[Array]:
    """What makes a view of an array by strides: its own class, but `np.memmap` makes only views of files."""
    return np.ndarray if isinstance(array, np.memmap) else type(array)


def fold(dcolumns: Array, size: Pair, stride: int, padding: Pair) -> Array:
    """The transpose of `unfold`: each column added where it came from, the padding cut off.

    (H + 2·ph, C, kw, W′, N) -> (N, C, H, W) with `size` = (H, W). Where windows overlap, the sum is what is meant: a
    pixel that was used several times receives a gradient from each use.
    """
    _, channels, kw, across, samples = dcolumns.shape
    (h, w), (ph, pw) = size, padding
    padded = np.empty_like(dcolumns, shape=(h, channels, w + 2 * pw, samples), order="C")
    padded[:, :, : stride * across : stride] = dcolumns[ph : ph + h, :, 0]
    zero_between(padded.transpose(2, 0, 1, 3), across, stride)
    for j in range(1, kw):
        padded[:, :, j : j + stride * across : stride] += dcolumns[ph : ph + h, :, j]
    return padded[:, :, pw : pw + w].transpose(3, 1, 0, 2)


def zero_between(x: Array, count: int, step: int) -> None:
    """Set to zero all of x along its first axis but the first `count` entries that are `step` apart: those are sums."""
    for gap in range(1, step):
        x[gap : count * step : step] = 0
    x[count * step :] = 0


def along(values: Array, like: Array) -> Array:
    """The values written out in the shape and memory order of a row: NumPy computes in long runs then, not in short."""
    row = np.empty_like(like)
    row[...] = values
    return row


def in_maps(per_channel: Array, maps: Array) -> Array:
    """(C,), one number for each map, to be combined with maps (N, C, H, W): written out for a row of each."""
    return along(per_channel[:, None, None], maps[:, :, :1])


def as_matrix(weight: Array) -> Array:
    """The filters (O, C, kh, kw) as rows, in the order in which `windows` has the pixels: (O, kh·C·kw)."""
    return weight.transpose(0, 2, 1, 3).reshape(len(weight), -1)


def rows_of(dy: Array) -> Array:
    """Maps (N, O, H′, W′) with the rows outermost: (H′, O, W′·N), the form in which `conv2d` makes them."""
    samples, channels, rows, cols = dy.shape
    return dy.transpose(2, 1, 3, 0).reshape(rows, channels, cols * samples)


def has_one_place(size: Shape, kernel_size: Shape, padding: Pair) -> bool:
    """Whether the filter is as large as the image, (H, W) both: it is then a fully connected layer of C·H·W inputs."""
    return size == kernel_size and padding == (0, 0)


def conv2d(x: Array, weight: Array, bias: Array | None, stride: Pair, padding: Pair) -> tuple[Array, Array]:
    """y[n, o, p, q] = b[o] + Σ_cij w[o, c, i, j] · x[n, c, p·sh + i − ph, q·sw + j − pw]: a matrix product per row p.

    x (N, C, H, W), weight (O, C, kh, kw), bias (O,) -> y (N, O, H′, W′) and the columns of `unfold`, which the
    gradient of the weight needs again; where the filter has one place only, the pixels (N, C·H·W) instead.
    """
    if has_one_place(x.shape[2:], weight.shape[2:], padding):
        pixels = x.reshape(len(x), weight[0].size)
        return linear(pixels, weight.reshape(len(weight), -1), bias)[:, :, None, None], pixels
    columns = unfold(x, weight.shape[3], stride[1], padding)
    y = as_matrix(weight) @ windows(columns, weight.shape[2], stride[0])  # (H′, O, W′·N)
    if bias is not None:
        y += along(bias[:, None], y[:1])
    return y.reshape(*y.shape[:2], *columns.shape[3:]).transpose(3, 1, 0, 2), columns


def conv2d_dweight(dy: Array, columns: Array, kernel_size: Pair, stride: int) -> tuple[Array, Array]:
    """Gradients of `conv2d` with respect to weight and bias; `dy` is the lecture's δ, one map per output channel.

    dweight[o, c, i, j] = Σ_npq δ[n, o, p, q] · x[n, c, p·sh + i − ph, q·sw + j − pw]
    dbias[o]            = Σ_npq δ[n, o, p, q]

    `columns` as `conv2d` returned them; `stride` is sh.
    """
    kh, kw = kernel_size
    if columns.ndim == 2:
        dweight, dbias = linear_dweight(dy[:, :, 0, 0], columns)
        return dweight.reshape(len(dweight), -1, kh, kw), dbias
    channels, delta = columns.shape[1], rows_of(dy)
    under, across = windows(columns, kh, stride), delta.transpose(0, 2, 1)
    if under.shape[1] > _DEEP:
        across = across.copy()
    dweight = (under @ across).sum(axis=0)  # (kh·C·kw, O)
    return dweight.reshape(kh, channels, kw, -1).transpose(3, 1, 0, 2), np.einsum("pos->o", delta)


def conv2d_dx(dy: Array, weight: Array, size: Pair, stride: Pair, padding: Pair) -> Array:
    """Gradient of `conv2d` with respect to x; `size` is (H, W) of x.

    dx[n, c, h, w] = Σ w[o, c, i, j] · δ[n, o, p, q] over all uses: p·sh + i − ph = h, q·sw + j − pw = w
    """
    (samples, *_, cols), (_, channels, kh, kw) = dy.shape, weight.shape
    if has_one_place(size, (kh, kw), padding):
        return linear_dx(dy[:, :, 0, 0], weight.reshape(len(weight), -1)).reshape(samples, channels, kh, kw)
    delta = rows_of(dy)
    delta = delta if delta.flags.c_contiguous else delta.copy()  # for `windows`, which goes by its shape alone
    dcolumns = np.empty_like(dy, shape=(size[0] + 2 * padding[0], channels * kw, cols * samples), order="C")
    for first in range(stride[0]):  # of the input's rows, a stride apart: the same rows of the filter reach them
        taps = weight[:, :, first :: stride[0]]
        gather(dcolumns[first :: stride[0]], taps, delta)
    return fold(dcolumns.reshape(len(dcolumns), channels, kw, cols, samples), size, stride[1], padding)


def gather(drows: Array, taps: Array, delta: Array) -> None:
    """Write what each row of the input receives, for stride 1: one product with all rows of δ that have used it.

    dcolumn[h] = Σ_i w[i] · δ[h − i]: taps (O, C, kh, kw), delta (H′, O, W′·N) -> drows (H, C·kw, W′·N)
    """
    (rows, channels, run), height = delta.shape, taps.shape[2]
    filters = taps[:, :, ::-1].transpose(1, 3, 2, 0).reshape(drows.shape[1], -1)  # δ's first row meets the last of w
    inner = range(height - 1, rows) if height else range(0)  # these rows have been used by all of the filter's
    if inner:
        np.matmul(filters, windows(delta[:, :, None, None], height, 1), out=drows[inner.start : inner.stop])
    for h in range(len(drows)):
        if h in inner:
            continue
        begin, end = max(0, h - height + 1), min(h + 1, rows)
        if begin < end:
            skipped = (height - 1 - h + begin) * channels
            used = filters[:, skipped : skipped + (end - begin) * channels]
            np.matmul(used, delta[begin:end].reshape(used.shape[1], run), out=drows[h])
        else:
            drows[h] = 0
