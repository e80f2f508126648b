"""The figures of the experiment `convolution`: links with their matrix, the filter sliding, a filter over channels."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.backend import Array
from experiments.lecture.lab import Lab, Theme

STOPS: Final = (0, 1, 4, 5, 24)
"""Which of the filter's 25 places are drawn."""


class Volume(NamedTuple):
    """A filter over a volume (D, N, N): what each channel adds to the output map, the bias, and the output."""

    x: Array
    weight: Array
    parts: Array
    bias: float
    output: Array


def draw(lab: Lab, matrices: Mapping[str, Array], picture: Array, taps: Array, slid: Array, volume: Volume) -> None:
    """Draw all three."""
    lab.figure(
        "links",
        lambda figure, theme: draw_links(figure, theme, matrices),
        size=(8, 3.8),
        caption="From the full connection to the convolution: links above, their weights as a matrix below. "
        "Equal colours are equal weights.",
        alt="Two rows of units linked fully, locally, and locally with three shared weights, each with its matrix.",
    )
    lab.figure(
        "sliding",
        lambda figure, theme: draw_sliding(figure, theme, picture, taps, slid),
        size=(8, 3.2),
        caption="A 3×3 filter slides over a 7×7 picture and fills a 5×5 map: its 1st, 2nd, 5th, 6th and last place.",
        alt="Five pictures of a digit 7 with a frame at five places, and below each the output map filled so far.",
    )
    lab.figure(
        "volume",
        lambda figure, theme: draw_volume(figure, theme, volume),
        size=(8, 3.6),
        caption="One filter over three channels has 3·3·3 + 1 = 28 numbers; one place of it gives one number.",
        alt="Three windows of integers times three filters of integers; their sums and the bias add up to the output.",
    )


def draw_links(figure: Figure, theme: Theme, matrices: Mapping[str, Array]) -> None:
    """Draw the links of each kind above its matrix; equal weights in equal colours."""
    above, below = figure.subplots(2, 3, height_ratios=(1.2, 1))
    spectrum = LinearSegmentedColormap.from_list("weights", theme.colours)
    for links, cells, (name, matrix) in zip(above, below, matrices.items(), strict=True):
        different, which = np.unique(matrix[matrix != 0], return_inverse=True)
        few = len(different) <= len(theme.colours)
        colours = to_rgba_array(theme.colours)[which] if few else spectrum(which / (len(different) - 1))
        tops, bottoms = np.nonzero(matrix)
        centred = (matrix.shape[1] - matrix.shape[0]) / 2
        lines = [np.array([(bottom, 0), (top + centred, 1)]) for top, bottom in zip(tops, bottoms, strict=True)]
        links.add_collection(LineCollection(lines, colors=colours, linewidths=2.2 if few else 1.4))
        for units, left, height in ((matrix.shape[1], 0.0, 0), (matrix.shape[0], centred, 1)):
            links.plot(left + np.arange(units), [height] * units, "o", ms=11, mfc=theme.page, mec=theme.ink, mew=1.2)
        links.set(title=f"{name}: {len(lines)} links, {len(different)} weights", xlim=(-0.5, 6.5), ylim=(-0.2, 1.2))
        links.axis("off")
        picture = np.zeros((*matrix.shape, 4))
        picture[matrix != 0] = colours
        cells.imshow(picture)
        rule(cells, theme, *matrix.shape)
    below[0].set_ylabel("matrix W")


def draw_sliding(figure: Figure, theme: Theme, picture: Array, taps: Array, slid: Array) -> None:
    """Draw the window on its way over the picture, and the map that it has filled so far."""
    above, below = figure.subplots(2, len(STOPS) + 1, width_ratios=(0.6, *(1,) * len(STOPS)))
    numbered(above[0], theme, taps, "filter")
    below[0].axis("off")
    for window, output, stop in zip(above[1:], below[1:], STOPS, strict=True):
        (top, left), filled = divmod(stop, len(slid)), np.arange(slid.size).reshape(slid.shape) <= stop
        window.imshow(picture, cmap=signs(theme), vmin=-1.6, vmax=1.6)
        rule(window, theme, *picture.shape)
        window.set_title(f"place {stop + 1}")
        frame(window, theme, top, left, len(taps))
        numbered(output, theme, np.where(filled, slid, np.nan), reach=float(np.abs(slid).max()))
        frame(output, theme, top, left, 1)
    above[1].set_ylabel("picture")
    below[1].set_ylabel("output map")


def draw_volume(figure: Figure, theme: Theme, found: Volume) -> None:
    """Draw the first window of each channel, its filter and the sum of their products, and what they add up to."""
    grid = figure.add_gridspec(3, 4, width_ratios=(1, 1, 0.6, 2))
    shares = found.parts[:, 0, 0].tolist()
    for channel, share in enumerate(shares):
        window, taps, total = (figure.add_subplot(grid[channel, column]) for column in range(3))
        numbered(window, theme, found.x[channel, :3, :3], "window" * (not channel))
        numbered(taps, theme, found.weight[channel], "filter" * (not channel))
        window.set_ylabel(f"channel {channel + 1}")
        taps.text(-0.3, 0.5, "×", transform=taps.transAxes, size=14, ha="center", va="center")
        total.text(0.0, 0.5, f"=  {whole(share)}", size=14, va="center")
        total.axis("off")
    output = figure.add_subplot(grid[:, 3])
    numbered(output, theme, found.output, "output map", size=13)
    frame(output, theme, 0, 0, 1)
    terms = "".join(f" {'−' if term < 0 else '+'} {whole(abs(term))}" for term in shares[1:])
    sums = f"{whole(shares[0])}{terms} + bias {whole(found.bias)} = {whole(float(found.output[0, 0]))}"
    output.set_xlabel(sums, size=13, color=theme.vermillion)


def numbered(
    axes: Axes, theme: Theme, values: Array, title: str = "", *, reach: float | None = None, size: int = 9
) -> None:
    """Draw a grid of cells with their numbers, blue below 0 and orange above; NaN is an empty cell."""
    end = 1.6 * (float(np.nanmax(np.abs(values))) if reach is None else reach)
    axes.imshow(values, cmap=signs(theme), vmin=-end, vmax=end)
    rule(axes, theme, *values.shape)
    axes.set_title(title)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            axes.text(column, row, whole(float(value)), size=size, ha="center", va="center")


def rule(axes: Axes, theme: Theme, rows: int, columns: int) -> None:
    """Draw the lines between cells, and none of the axes' own; as one path, for the size of the file."""
    down = [[(x, -0.5), (x, rows - 0.5), (np.nan, np.nan)] for x in np.arange(-0.5, columns)]
    across = [[(-0.5, y), (columns - 0.5, y), (np.nan, np.nan)] for y in np.arange(-0.5, rows)]
    axes.plot(*np.concatenate(down + across).T, color=theme.faint, linewidth=0.5, alpha=0.6, clip_on=False)
    axes.set(xticks=(), yticks=())
    axes.spines[:].set_visible(False)


def frame(axes: Axes, theme: Theme, top: int, left: int, extent: int) -> None:
    """Frame the cells that are looked at, or the one that is filled."""
    place = (left - 0.5, top - 0.5)
    axes.add_patch(Rectangle(place, extent, extent, fill=False, ec=theme.vermillion, lw=2.4, clip_on=False, zorder=4))


def signs(theme: Theme) -> Colormap:
    """Blue, the page, orange: with the same room on both sides, the page is 0."""
    return LinearSegmentedColormap.from_list("signs", (theme.blue, theme.page, theme.orange))


def whole(value: float) -> str:
    """A whole number with a true minus sign."""
    return f"{value:.0f}".replace("-", "−")
