"""Pictures of a network's layers: their weights, their connection table, their outputs for one image.

Each function returns an RGB picture as an array (H, W, 3), uint8. Red is positive, blue negative, white 0; one scale
for all of a picture, its ends at the largest value shown.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from experiments.drawing import (
    FAINT,
    FRAME,
    LINE,
    NAME,
    Array,
    Picture,
    Sheet,
    font,
    largest,
    scale_width,
    signed,
    two_digits,
)
from experiments.torchvision_compat import make_grid

_MOST_UNITS: Final = 144
_ABSENT: Final = (226, 226, 226)
_LINKED: Final = (209, 229, 240)  # a pale step of the scale's blue
_POSITIVE: Final = (214, 96, 77)  # the scale's colours half-way to its ends
_NEGATIVE: Final = (67, 147, 195)

_WIDTH, _HEIGHT = 728, 370  # of a picture, about
_LEFT, _TOP = 66, 60  # what the numbers and names of rows and columns take
_BAR: Final = 86  # what the colour scale and its numbers take at the right, at least
_SCALE: Final = 130  # its height
_GAP: Final = 10  # between tiles
_VALUE: Final = 17  # size of the letters at a bar
_HEAD: Final = 28  # above a tile, for its number


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

    If all look at the same single map, they are laid out as `feature_maps` lays out what they find.

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
    end = largest(weight[connections])
    if in_maps == 1:
        return _numbered(weight[:, 0], end, 460)
    gap, bar = 6, _bar(end)
    factor = max(1, ((_WIDTH - _LEFT - bar) // out_maps - gap) // width)
    cell_w, cell_h = width * factor + gap, height * factor + gap
    sheet = Sheet(_LEFT + out_maps * cell_w + bar, _TOP + in_maps * cell_h + 8)
    _name_axes(sheet, names, (in_maps, out_maps), (cell_h, cell_w))
    for out, into in np.ndindex(out_maps, in_maps):
        x, y = _LEFT + out * cell_w + gap // 2, _TOP + into * cell_h + gap // 2
        if connections[out, into]:
            sheet.tile(x, y, signed(weight[out, into], end), factor)
        else:
            sheet.box(x, y, width * factor, height * factor, _ABSENT)
    sheet.scale(_LEFT + out_maps * cell_w + 10, _TOP + (in_maps * cell_h - _SCALE) // 2, _SCALE, end)
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
    cell = max(24, min(36, (_WIDTH - _LEFT) // (out_maps + 1)))
    right, bottom = _LEFT + out_maps * cell, _TOP + in_maps * cell
    sheet = Sheet(right + cell + 14, bottom + cell + 10)
    _name_axes(sheet, names, (in_maps, out_maps), (cell, cell))
    for out, into in np.ndindex(out_maps, in_maps):
        x, y, linked = _LEFT + out * cell, _TOP + into * cell, connections[out, into]
        # Neighbours share their line.
        sheet.box(x, y, cell + LINE, cell + LINE, _LINKED if linked else None, (190, 190, 190))
        if linked:
            sheet.text(x + cell / 2 + 1, y + cell / 2 + 1, "X", NAME)
    for out, count in enumerate(connections.sum(axis=1)):
        sheet.text(_LEFT + (out + 0.5) * cell, bottom + cell / 2 + 3, str(count), colour=FAINT)
    for into, count in enumerate(connections.sum(axis=0)):
        sheet.text(right + cell / 2 + 5, _TOP + (into + 0.5) * cell, str(count), colour=FAINT)
    sheet.text(right + cell / 2 + 5, bottom + cell / 2 + 3, str(connections.sum()))
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
    labels = [[_short(float(value)) for value in values] for values in (coefficient, bias)]
    widest = max(font(_VALUE).getlength(label) for label in labels[0] + labels[1])
    pitch = max(40, min(108, 656 // maps), int(np.ceil(widest)))
    left, height, step = 40, 110, 160
    sheet = Sheet(left + maps * pitch + 10, 2 * step + 64)
    for row, (kind, values) in enumerate((("coefficient", coefficient), ("bias", bias))):
        top, shown = 28 + row * step, np.nan_to_num(values, posinf=0, neginf=0)
        high, low = float(shown.max(initial=0)), float(shown.min(initial=0))
        unit = height / ((high - low) or 1.0)
        zero = round(top + (high * unit if high > low else height / 2))
        sheet.upright(16, top + height / 2, kind)
        for index, value in enumerate(shown):
            x, length = left + index * pitch, round(abs(float(value)) * unit)
            if length:
                place, colour = (zero - length, _POSITIVE) if value > 0 else (zero, _NEGATIVE)
                sheet.box(x + 6, place, pitch - 12, length, colour)
            end, anchor = (zero + length + 7, "mt") if value < 0 else (zero - length - 5, "mb")
            sheet.text(x + pitch / 2, end, labels[row][index], _VALUE, anchor)
        sheet.box(left, zero, maps * pitch, LINE, FRAME)
    for index in range(maps):
        sheet.text(left + (index + 0.5) * pitch, 2 * step + 22, str(index), colour=FAINT)
    sheet.text(left + maps * pitch / 2, 2 * step + 48, f"{name} map", NAME)
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
    return _numbered(outputs, largest(outputs), 340, 255 - image)


def _numbered(tiles: Array, end: float, width: int, beside: NDArray[np.uint8] | None = None) -> Picture:
    """Lay tiles (N, H, W) out row by row, enlarged to at most a width, with their numbers; a picture beside them."""
    columns = _columns(len(tiles))
    rows = -(-len(tiles) // columns)
    factor = max(1, min(width // columns // tiles.shape[2], (_HEIGHT // rows - _HEAD) // tiles.shape[1]))
    cell_w, cell_h = tiles.shape[2] * factor + _GAP, tiles.shape[1] * factor + _HEAD
    side, left = 0, 10
    if beside is not None:
        side = max(1, 196 // beside.shape[1])
        left += beside.shape[1] * side + 24
    height = max(rows * cell_h, 0 if beside is None else beside.shape[0] * side) + 8
    sheet = Sheet(left + columns * cell_w + _bar(end) - _GAP, height)
    if beside is not None:
        sheet.tile(10, (height - beside.shape[0] * side) // 2, beside, side)
    for index, tile in enumerate(tiles):
        x, y = left + index % columns * cell_w, _HEAD + index // columns * cell_h
        sheet.text(x + tile.shape[1] * factor / 2, y - _HEAD / 2, str(index), colour=FAINT)
        sheet.tile(x, y, signed(tile, end), factor)
    sheet.scale(left + columns * cell_w - _GAP + 10, (height + _HEAD - 8 - _SCALE) // 2, _SCALE, end)
    return sheet.picture()


def _short(value: float) -> str:
    """Return two decimals without a leading 0, which leaves room for larger letters: −.14; from 1 on two digits."""
    if not abs(value) < 1:
        return two_digits(value)
    # + 0: no −.00
    return f"{round(value, 2) + 0:.2f}".replace("-", "−").replace("0.", ".", 1)


def _bar(end: float) -> int:
    """Return what the colour scale of this end takes at the right, with some white on both sides."""
    return max(_BAR, 10 + scale_width(end) + 8)


def _columns(tiles: int) -> int:
    return int(np.ceil(np.sqrt(tiles)))


def _square(tiles: Array) -> Picture:
    """Lay tiles (N, H, W) out in a square; grey between them."""
    # Two pixels of NaN around each tile, for which there is a colour of its own.
    images = torch.from_numpy(tiles[:, None].copy())
    grid = make_grid(images, nrow=_columns(len(tiles)), padding=2, pad_value=float("nan"))[0].numpy()
    return signed(grid, largest(tiles))


def _name_axes(sheet: Sheet, names: tuple[str, str], counts: tuple[int, int], cell: tuple[int, int]) -> None:
    """Number the rows and columns of a grid whose corner is at (_LEFT, _TOP), and say what they are."""
    (rows, columns), (height, width) = counts, cell
    sheet.text(_LEFT + columns * width / 2, 16, f"{names[1]} map", NAME)
    for column in range(columns):
        sheet.text(_LEFT + (column + 0.5) * width, _TOP - 15, str(column), colour=FAINT)
    sheet.upright(18, _TOP + rows * height / 2, f"{names[0]} map")
    for row in range(rows):
        sheet.text(_LEFT - 16, _TOP + (row + 0.5) * height, str(row), colour=FAINT)
