"""Room around an image, so that a filter's centre can come near the image's border."""

from typing import NamedTuple

import numpy as np

from scratch.module import Module, Shape
from scratch.validation import (
    Array,
    Pair,
    check_array,
    check_input_shape,
    check_like,
    check_number,
    check_pair,
    check_shape,
)


class CanvasCache(NamedTuple):
    """The output, and (H, W) of the input."""

    y: Array
    size: Pair


class Canvas2d(Module):
    """An image in the middle of a larger canvas: y = x there, `value` around it.

    Parameters
    ----------
    size:
        Of the canvas, in pixels; one int, or (height, width).
    value:
        What the border is filled with. It should look like the image's background: zeros around an image whose
        background is −0.1 draw a frame.

    Shape (N, C, H, W), float32 or float64. An image of the canvas's size is only copied.

    Raises
    ------
    TypeError, ValueError
        For sizes that are no ints of at least 1, or a value that is no finite number.

    Source: LeCun et al. 1998, section II.B: the 28×28 digits are centred in a 32×32 field. Not on the slides, whose
    Pad (填充设置) belongs to the convolution and is of zeros.
    """

    def __init__(self, size: int | Pair, value: float = 0.0) -> None:
        self.size = check_pair("size", size)
        self.value = check_number("value", value)

    def forward(self, x: Array) -> tuple[Array, CanvasCache]:
        """(N, C, H, W) -> (N, C, *size); refused if larger than the canvas, or smaller by an odd number."""
        check_array("x", x)
        check_shape("x", x, ("N", "C", "H", "W"))
        self.output_shape(x.shape[1:])
        if abs(self.value) > float(np.finfo(x.dtype).max):
            raise ValueError(f"value is {self.value:g}, expected a number that {x.dtype} can hold")
        (samples, channels), (height, width) = x.shape[:2], self.size
        # The memory order that a convolution works in: rows outermost, the batch last.
        y = np.full_like(x, self.value, shape=(height, channels, width, samples), order="C").transpose(3, 1, 0, 2)
        np.copyto(middle(y, x.shape[2:]), x)
        return y, CanvasCache(y, x.shape[2:])

    def backward(self, dy: Array, cache: CanvasCache) -> tuple[Array, dict[str, Array]]:
        """The middle of dy: what the border receives goes nowhere."""
        check_like("dy", dy, cache.y)
        return middle(dy, cache.size).copy(), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H, W) -> (C, *size)."""
        check_input_shape(input_shape, ("C", "H", "W"))
        if any(room < 0 or room % 2 for room in (c - s for c, s in zip(self.size, input_shape[1:], strict=True))):
            came, wanted = (f"{height}×{width}" for height, width in (input_shape[1:], self.size))
            raise ValueError(f"the image is {came}, expected {wanted} or smaller by an even number of pixels")
        return input_shape[0], *self.size


def middle(canvas: Array, size: Pair) -> Array:
    """A view of the central (H, W) = `size` pixels of each map."""
    top, left = (canvas.shape[2] - size[0]) // 2, (canvas.shape[3] - size[1]) // 2
    return canvas[:, :, top : top + size[0], left : left + size[1]]
