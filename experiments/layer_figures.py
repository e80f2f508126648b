"""Pictures of a network's layers: their weights, their connection table, their outputs for one image.

Each function returns an RGB picture as an array (H, W, 3), uint8. Red is positive, blue negative, white 0; one scale
for all of a picture, its ends at the largest value shown.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from experiments.drawing import FAINT, FRAME, Array, Picture, Sheet, largest, signed
from experiments.torchvision_compat import make_grid

_MOST_UNITS: Final = 144
_ABSENT: Final = (226, 226, 226)
_LINKED: Final = (209, 229, 240)  # a pale step of the scale's blue
_BAR: Final = 76  # what the colour scale and its numbers take at the right
_POSITIVE: Final = (214, 96, 77)  # the scale's colours half-way to its ends
_NEGATIVE: Final = (67, 147, 195)
_SCALE: Final = 130  # its height at most


def units(weight: Array, height: int = 28, width: int = 28) -> Picture:
    """Lay the weights of a fully connected first layer out as pictures, one per unit.

    Parameters
    ----------
    weight:
        (units, height · width). The first 144 units are shown.
    height, width:
        Of the input images, in pixels.
    """
    return _square(weight[:_MOST_UNITS].reshape(-1, height, width)).repeat(2, axis=0).repeat(2, axis=1)


def unit_outputs(image: NDArray[np.uint8], outputs: Array) -> Picture:
    """Draw an image beside the outputs of the first layer's units for it, in the order of `units`.

    Parameters
    ----------
    image:
        (H, W), shown as dark on light.
    outputs:
        (units,). The first 144 are shown.
    """
    shown = outputs[:_MOST_UNITS, None, None]
    cell = max(8, 224 // _columns(len(shown)))
    grid = _square(np.broadcast_to(shown, (len(shown), cell, cell)))
    side = len(grid)
    digit = np.asarray(Image.fromarray(255 - image).resize((side, side), Image.Resampling.NEAREST))
    return np.concatenate([np.stack([digit] * 3, axis=-1), grid], axis=1)


def kernels(weight: Array, connections: NDArray[np.bool_], names: tuple[str, str]) -> Picture:
    """Lay the kernels of a convolution out as the connection table is: a column per map, a row per map it looks at.

    Parameters
    ----------
    weight:
        (O, C, kh, kw).
    connections:
        (O, C): where it is False there is no link, and a grey cell.
    names:
        Of the maps looked at and of the layer's own, such as ("S2", "C3").
    """
    out_maps, in_maps, height, width = weight.shape
    factor = max(1, min(15, (576 // out_maps - 5) // width))
    gap = 5 if factor < 10 else 12
    cell_w, cell_h = width * factor + gap, height * factor + gap
    left, top = _grid_margins(in_maps)
    sheet = Sheet(left + out_maps * cell_w + _BAR, top + in_maps * cell_h + 8)
    end = largest(weight[connections])
    _name_axes(sheet, names, (left, top), (in_maps, out_maps), (cell_h, cell_w))
    for out, into in np.ndindex(out_maps, in_maps):
        x, y = left + out * cell_w + gap // 2, top + into * cell_h + gap // 2
        if connections[out, into]:
            sheet.tile(x, y, signed(weight[out, into], end), factor)
        else:
            sheet.box(x, y, width * factor, height * factor, fill=_ABSENT)
    bar = min(in_maps * cell_h - gap, _SCALE)
    sheet.scale(left + out_maps * cell_w + 12, top + (in_maps * cell_h - bar) // 2, bar, end)
    return sheet.picture()


def connection_table(connections: NDArray[np.bool_], names: tuple[str, str]) -> Picture:
    """Draw which maps a convolution's maps look at, as the lecture prints it: a grid of X, with its sums.

    Parameters
    ----------
    connections:
        (O, C).
    names:
        As in `kernels`.
    """
    out_maps, in_maps = connections.shape
    cell = max(18, min(32, 560 // (out_maps + 2)))
    left, top = _grid_margins(in_maps)
    right, bottom = left + out_maps * cell, top + in_maps * cell
    sheet = Sheet(right + cell + 12, bottom + cell + 8)
    _name_axes(sheet, names, (left, top), (in_maps, out_maps), (cell, cell))
    for out, into in np.ndindex(out_maps, in_maps):
        x, y = left + out * cell, top + into * cell
        # One pixel more: neighbours share their line.
        sheet.box(x, y, cell + 1, cell + 1, _LINKED if connections[out, into] else None, (190, 190, 190))
        if connections[out, into]:
            sheet.text(x + cell / 2 + 0.5, y + cell / 2 + 0.5, "X", 16)
    for out, count in enumerate(connections.sum(axis=1)):
        sheet.text(left + (out + 0.5) * cell, bottom + cell / 2, str(count), 13, colour=FAINT)
    for into, count in enumerate(connections.sum(axis=0)):
        sheet.text(right + cell / 2 + 2, top + (into + 0.5) * cell, str(count), 13, colour=FAINT)
    sheet.text(right + cell / 2 + 2, bottom + cell / 2, str(connections.sum()), 13)
    return sheet.picture()


def subsampling(coefficient: Array, bias: Array, name: str) -> Picture:
    """Draw the trainable coefficient and bias of each map of a sub-sampling layer as bars, with their values.

    Parameters
    ----------
    coefficient, bias:
        (C,).
    name:
        Of the layer's maps, such as "S2".
    """
    maps = len(coefficient)
    pitch = max(36, min(72, 560 // maps))
    left, height, gap = 34, 96, 34
    sheet = Sheet(left + maps * pitch + 10, 2 * (height + gap) + 48)
    for row, (kind, values) in enumerate((("coefficient", coefficient), ("bias", bias))):
        top = 24 + row * (height + gap)
        shown = np.nan_to_num(values, posinf=0, neginf=0)
        high, low = float(shown.max(initial=0)), float(shown.min(initial=0))
        unit = height / ((high - low) or 1.0)
        zero = round(top + (high * unit if high > low else height / 2))
        sheet.upright(14, top + height / 2, kind)
        for index, value in enumerate(values):
            x, length = left + index * pitch, round(abs(float(shown[index])) * unit)
            colour: tuple[int, int, int] = _POSITIVE if value > 0 else _NEGATIVE
            if length:
                sheet.box(x + 6, zero - length if value > 0 else zero + 1, pitch - 12, length, colour)
            end, anchor = (zero + length + 4, "mt") if value < 0 else (zero - length - 4, "mb")
            sheet.text(
                x + pitch / 2, end, f"{round(value, 2) + 0:.2f}".replace("-", "−"), 12 if pitch >= 48 else 11, anchor
            )
        sheet.line((left, zero), (left + maps * pitch, zero), colour=FRAME)
    for index in range(maps):
        sheet.text(left + (index + 0.5) * pitch, 2 * (height + gap) + 18, str(index), 13, colour=FAINT)
    sheet.text(left + maps * pitch / 2, 2 * (height + gap) + 36, f"{name} map")
    return sheet.picture()


def feature_maps(image: NDArray[np.uint8], outputs: Array) -> Picture:
    """Draw an image beside a layer's maps for it, numbered from 0.

    Parameters
    ----------
    image:
        (H, W), shown as dark on light.
    outputs:
        (C, H', W').
    """
    maps, height, width = outputs.shape
    columns = _columns(maps)
    rows = -(-maps // columns)
    factor = max(1, 340 // columns // width)
    cell_w, cell_h, digit = width * factor + 8, height * factor + 24, max(1, 224 // image.shape[1])
    side_h, side_w = (digit * side for side in image.shape)
    left = side_w + 32
    sheet = Sheet(left + columns * cell_w + _BAR, 8 + max(rows * cell_h, side_h))
    end = largest(outputs)
    middle = (rows * cell_h + 14) // 2 + 2
    sheet.tile(8, max(8, middle - side_h // 2), 255 - image, digit)
    for index in range(maps):
        x, y = left + index % columns * cell_w, 22 + index // columns * cell_h
        sheet.text(x + width * factor / 2, y - 10, str(index), 13, colour=FAINT)
        sheet.tile(x, y, signed(outputs[index], end), factor)
    sheet.scale(left + columns * cell_w + 12, middle - _SCALE // 2, _SCALE, end)
    return sheet.picture()


def _columns(tiles: int) -> int:
    return int(np.ceil(np.sqrt(tiles)))


def _square(tiles: Array) -> Picture:
    """Lay tiles (N, H, W) out in a square; grey between them."""
    # Two pixels of NaN around each tile, for which there is a colour of its own.
    grid = make_grid(torch.from_numpy(tiles[:, None].copy()), nrow=_columns(len(tiles)), pad_value=float("nan"))[
        0
    ].numpy()
    return signed(grid, largest(tiles))


def _grid_margins(in_maps: int) -> tuple[int, int]:
    """Return what is left free at the left and above: for the numbers and names of the rows, if there are several."""
    return (58 if in_maps > 1 else 12), 46


def _name_axes(
    sheet: Sheet, names: tuple[str, str], corner: tuple[int, int], counts: tuple[int, int], cell: tuple[int, int]
) -> None:
    """Number the rows and columns of a grid, and say what they are."""
    (left, top), (rows, columns), (height, width) = corner, counts, cell
    sheet.text(left + columns * width / 2, 14, f"{names[1]} map")
    for column in range(columns):
        sheet.text(left + (column + 0.5) * width, top - 11, str(column), 13, colour=FAINT)
    if rows > 1:
        sheet.upright(16, top + rows * height / 2, f"{names[0]} map")
        for row in range(rows):
            sheet.text(left - 14, top + (row + 0.5) * height, str(row), 13, colour=FAINT)
