"""Pictures of what a network gets right and wrong: its confusion matrix, its worst mistakes.

Each function returns an RGB picture as an array (H, W, 3), uint8. It is as wide as a card of TensorBoard, which shows
others on its width by leaving out pixels: small letters would not survive it.
"""

import struct
import zlib
from typing import Final

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray

from experiments.drawing import Array, Picture, Sheet

WORST: Final = 25

_UP: Final = 2  # PNG's filter by the row above
_BLUES: Final = np.rint(255 * colormaps["Blues"](np.linspace(0, 1, 256))[:, :3]).astype(np.uint8)
_WIDTH: Final = 350
_GRID: Final = 300  # side of a confusion matrix without its names
_LEFT, _TOP = 45, 31  # where it begins
_HEIGHT: Final = 376
_LETTER: Final = 13
_COUNT: Final = 11
_CAPTION: Final = 24  # below an image
_TITLE: Final = 66


def encode_png(picture: Picture) -> bytes:
    """Return a picture as the bytes of a PNG file.

    Put together here, for an epoch ends with a dozen: Pillow tries five filters on each row, which takes twice as long
    as all the rest. Here each row is its difference from the one above, as good for pictures that are mostly flat.
    """
    height, width, _ = picture.shape
    rows = picture.reshape(height, 3 * width)
    filtered = np.full((height, 1 + 3 * width), _UP, np.uint8)
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])  # modulo 256
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits each of red, green and blue, no interlacing
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(filtered.data, level=1)), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def confusion_matrix(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Count the images of each true class (row) and predicted class (column): (classes, classes)."""
    counts: NDArray[np.int64] = np.bincount(labels * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)


def confusion(counts: NDArray[np.int64], title: str) -> Picture:
    """Draw a confusion matrix: colours are shares of the row (the true class), numbers are counts.

    Parameters
    ----------
    counts:
        From `confusion_matrix`.
    title:
        Printed above it.
    """
    # The square root spreads the few per cent of errors, which are what one looks for, over half of the scale.
    shades = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    classes = len(counts)
    cell = _GRID // classes
    sheet = Sheet(_WIDTH, _HEIGHT)
    sheet.tile(_LEFT, _TOP, _BLUES[np.rint(255 * shades).astype(np.intp)], cell)
    middles = [(index + 0.5) * cell for index in range(classes)]
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = (255, 255, 255) if shades[row, column] > 0.55 else (0, 0, 0)
            sheet.text(_LEFT + middles[column], _TOP + middles[row], str(count), _COUNT, colour=colour)
    end = classes * cell
    for index, middle in enumerate(middles):
        sheet.text(_LEFT - 8, _TOP + middle, str(index), _LETTER, "rm")
        sheet.text(_LEFT + middle, _TOP + end + 12, str(index), _LETTER)
    sheet.upright(14, _TOP + end / 2, "true", _LETTER)
    sheet.text(_LEFT + end / 2, _TOP + end + 32, "predicted", _LETTER)
    sheet.text(_LEFT + end / 2, _TOP - 16, title, _LETTER)
    return sheet.picture()


def misclassified(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64],
    scores: Array,
    title: str,
    worst: int = WORST,
) -> Picture:
    """Draw the images that were most wrongly classified, the worst first.

    Parameters
    ----------
    images:
        (N, H, W).
    labels, predicted:
        The true class and the one taken, (N,).
    scores:
        Probability of each class, (N, classes): the worst are those whose true class has the least.
    title:
        Printed above them.
    worst:
        How many at most.

    Returns
    -------
    ndarray of uint8
        Under each image the true class, the predicted one, and the probability given to the predicted one.
    """
    wrong = np.flatnonzero(predicted != labels)
    chosen = wrong[np.argsort(scores[wrong, labels[wrong]], kind="stable")][:worst]
    columns = int(np.ceil(np.sqrt(worst)))
    rows = max(1, -(-len(chosen) // columns))
    height, width = images.shape[1:]
    cell = _WIDTH // columns
    factor = max(1, (cell - 8) // width)
    pitch = height * factor + _CAPTION
    sheet = Sheet(_WIDTH, _TITLE + rows * pitch)
    for place, index in enumerate(chosen):
        top, left = _TITLE + place // columns * pitch, place % columns * cell
        sheet.tile(left + (cell - width * factor) // 2, top, 255 - images[index], factor, framed=False)
        caption = f"{labels[index]}→{predicted[index]} {scores[index, predicted[index]]:.0%}"
        sheet.text(left + cell / 2, top + height * factor + 9, caption, _COUNT)
    count = f"{len(wrong):,} of {len(labels):,} wrong" + (f", {len(chosen)} worst" if len(wrong) > len(chosen) else "")
    for line, text in enumerate((title, f"{count}:", "true → predicted, probability")):
        sheet.text(_WIDTH / 2, 15 + 18 * line, text, _LETTER)
    return sheet.picture()
