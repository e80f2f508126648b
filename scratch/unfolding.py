"""A convolution as matrix products: what lies under the filter copied side by side, and gradients carried back.

In memory the rows of the image are outermost and the batch is last, (H, C, W, N): so each copy is a long contiguous
run, and the rows under the filter are one matrix without a copy.
"""

import math

import numpy as np

from scratch.validation import Array, Pair


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


def as_matrix(weight: Array) -> Array:
    """The filters (O, C, kh, kw) as rows, in the order in which `windows` has the pixels: (O, kh·C·kw)."""
    return weight.transpose(0, 2, 1, 3).reshape(len(weight), -1)


def rows_of(dy: Array) -> Array:
    """Maps (N, O, H′, W′) with the rows outermost: (H′, O, W′·N), the form in which `conv2d` makes them."""
    samples, channels, rows, cols = dy.shape
    return dy.transpose(2, 1, 3, 0).reshape(rows, channels, cols * samples)
