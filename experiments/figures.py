"""Pictures of what a network gets right and wrong: its confusion matrix, its worst mistakes.

Each function returns an RGB picture as an array (H, W, 3), uint8. matplotlib's global state is not touched.
"""

import io
from typing import Any, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from experiments.drawing import Array, Picture

WORST: Final = 25
_DPI: Final = 120


def encode_png(picture: Picture) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    file = io.BytesIO()
    # Level 1 of 9: the pictures are mostly flat, and are drawn once per epoch and backend.
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


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
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(3.7, 3.7), dpi=_DPI)
    # A fixed place: the automatic layouts take longer than the drawing.
    axes = figure.add_axes((0.13, 0.12, 0.84, 0.8))
    # The square root spreads the few per cent of errors, which are what one looks for, over half of the scale.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if np.sqrt(shares[row, column]) > 0.55 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(counts)))
    axes.set_yticks(range(len(counts)))
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=10)
    return _render(figure)


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
    height, width = images.shape[1:]
    # One axes for all of them: 25 axes take ten times as long to draw.
    cell_h, cell_w = height + 11, width + 6
    rows = max(1, -(-len(chosen) // columns))
    canvas = np.full((rows * cell_h, columns * cell_w), 255, np.uint8)
    drawn, title_height = 4.41 * canvas.shape[0] / canvas.shape[1], 0.55
    figure = Figure(figsize=(4.5, drawn + title_height), dpi=_DPI)
    axes = figure.add_axes((0.01, 0.01, 0.98, drawn / (drawn + title_height)))
    for place, index in enumerate(chosen):
        top, left = place // columns * cell_h, place % columns * cell_w + 3
        canvas[top : top + height, left : left + width] = 255 - images[index]
        caption = f"{labels[index]} → {predicted[index]}  {scores[index, predicted[index]]:.0%}"
        axes.text(left + width / 2, top + height + 4, caption, ha="center", va="center", fontsize=7.5)
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.axis("off")
    count = f"{len(wrong):,} of {len(labels):,} wrong" + (f", {len(chosen)} worst" if len(wrong) > len(chosen) else "")
    axes.set_title(f"{title}\n{count}: true → predicted, probability", fontsize=9)
    return _render(figure)


def _render(figure: Figure) -> Picture:
    canvas: Any = FigureCanvasAgg(figure)  # Any: matplotlib ships its methods without types
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
