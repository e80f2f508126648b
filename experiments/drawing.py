"""Drawing on a white sheet: text, tiles and one colour scale. Pillow, not matplotlib: a tenth of the time.

Sizes and places are in pixels, x to the right, y down, from the upper left corner. TensorBoard's cards show a picture
of 700 pixels at half its size by leaving out every other pixel: hence the lines of two, and the large letters.
"""

import functools
import math
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Array = NDArray[np.floating[Any]]
Picture = NDArray[np.uint8]

INK: Final = (40, 40, 40)
FAINT: Final = (110, 110, 110)
FRAME: Final = (150, 150, 150)
LINE: Final = 2  # thickness
NUMBER: Final = 19
NAME: Final = 21

_SCALE_NUMBER: Final = 18
_RAMP: Final = 16  # width of the colour scale without its numbers

# 0 … 256: from blue over white, exactly at 128, to red. 257: what is no number.
_COLOURS: Final = np.rint(255 * colormaps["RdBu_r"](np.linspace(0, 1, 257))[:, :3]).astype(np.uint8)
_COLOURS[128] = 255
_SIGNED: Final = np.concatenate([_COLOURS, np.full((1, 3), 153, np.uint8)])


class Sheet:
    """A white sheet to draw on.

    Parameters
    ----------
    width, height:
        Its size.
    """

    def __init__(self, width: int, height: int) -> None:
        self._image = Image.new("RGB", (width, height), "white")
        self._draw = ImageDraw.Draw(self._image)

    def text(
        self, x: float, y: float, text: str, size: int = NUMBER, anchor: str = "mm", colour: tuple[int, int, int] = INK
    ) -> None:
        """Write text; `anchor` is Pillow's: l, m, r and t or a, m, b or s for where in the text (x, y) is."""
        self._draw.text((x, y), text, colour, font(size), anchor)

    def upright(self, x: float, y: float, text: str, size: int = NAME) -> None:
        """Write text from below to above, its middle at (x, y)."""
        left, top, right, bottom = font(size).getbbox(text, anchor="ls")
        line = Image.new("RGB", (round(right - left), round(bottom - top)), "white")
        ImageDraw.Draw(line).text((-left, -top), text, INK, font(size), "ls")
        turned = line.transpose(Image.Transpose.ROTATE_90)
        self._image.paste(turned, (round(x - turned.width / 2), round(y - turned.height / 2)))

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: tuple[int, int, int] | None = None,
        outline: tuple[int, int, int] | None = None,
    ) -> None:
        """Draw a rectangle whose outermost pixels lie inside the given size."""
        self._draw.rectangle((x, y, x + width - 1, y + height - 1), fill, outline, LINE)

    def tile(self, x: int, y: int, picture: Picture, factor: int = 1, *, framed: bool = True) -> None:
        """Place a picture (H, W, 3) or (H, W), enlarged by a whole factor, with a frame around it."""
        large = picture.repeat(factor, axis=0).repeat(factor, axis=1)
        self._image.paste(Image.fromarray(large), (x, y))
        if framed:
            self.box(x - LINE, y - LINE, large.shape[1] + 2 * LINE, large.shape[0] + 2 * LINE, outline=FRAME)

    def scale(self, x: int, y: int, height: int, end: float) -> None:
        """Draw the colour scale from +end at the top to −end at the bottom, with its numbers to the right of it."""
        ramp = np.linspace(1, -1, height)[:, None].repeat(_RAMP, axis=1)
        self.tile(x, y, signed(ramp, 1.0))
        for share, text in ((0, f"+{two_digits(end)}"), (0.5, "0"), (1, f"−{two_digits(end)}")):
            self.text(x + _RAMP + 6, y + share * height, text, _SCALE_NUMBER, "lm")

    def picture(self) -> Picture:
        """Return what has been drawn, (height, width, 3), read-only."""
        return np.asarray(self._image)


def signed(values: Array, end: float) -> Picture:
    """Colour values by sign and size: red is positive, blue negative, white 0, full at ±end; grey is no number.

    Parameters
    ----------
    values:
        (H, W).
    end:
        Above 0.

    Returns
    -------
    ndarray of uint8
        (H, W, 3).
    """
    finite = np.isfinite(values)
    index = np.rint(128 + 128 * np.clip(np.where(finite, values, 0) / end, -1, 1)).astype(np.intp)
    picture: Picture = _SIGNED[np.where(finite, index, 257)]
    return picture


def scale_width(end: float) -> int:
    """Return what `Sheet.scale` takes from x to the right, its numbers included."""
    number = font(_SCALE_NUMBER).getlength(f"+{two_digits(end)}")
    return _RAMP + 6 + math.ceil(number)


def two_digits(value: float) -> str:
    """Return a number to two significant digits without what takes room: −.14, 830, 1.2e5; all digits up to 9999."""
    whole = 10 <= abs(value) < 9999.5
    text = f"{value:.0f}" if whole else f"{value:.2g}".replace("e+0", "e").replace("e+", "e")
    return text.replace("-", "−").replace("0.", ".", 1)


def largest(values: Array) -> float:
    """Return the greatest finite |value|, or 1 if all are 0: the end of a scale on which all can be seen."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0)) or 1.0


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return matplotlib's font, laid out by Pillow's own engine: pictures look alike on every machine."""
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)  # half the time of Raqm's
