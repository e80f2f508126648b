"""The figures of `lenet5`: the architecture, the table, a digit on its way."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from numpy.typing import NDArray

from experiments.backend import Array
from experiments.lecture.lab import Theme

LAYERS: Final = {
    "canvas": "INPUT",
    "c1_f": "C1",
    "s2_f": "S2",
    "c3_f": "C3",
    "s4_f": "S4",
    "c5_f": "C5",
    "f6_f": "F6",
    "output": "OUTPUT",
}
"""What of a trace is drawn, behind the squashing functions, and what the slide calls it."""
_STEPS: Final = {
    "c1": "convolution",
    "s2": "sub-sampling",
    "c3": "convolution",
    "s4": "sub-sampling",
    "c5": "convolution",
    "f6": "full",
    "output": "full",
}


def architecture(
    figure: Figure, theme: Theme, shapes: Mapping[str, tuple[int, ...]], parameters: Mapping[str, int]
) -> None:
    """Draw a stack of maps for each layer, to scale, and between them what leads from one to the next."""
    ax = figure.subplots()
    x, before = 0.0, 0.0
    for name, shape in {"input": (1, 32, 32), **shapes}.items():
        maps, size = shape[0], shape[-1] if len(shape) > 1 and shape[-1] > 1 else 0
        colour = theme.faint if name == "input" else theme.blue if name[0] == "c" else theme.orange
        colour = theme.green if name in ("f6", "output") else colour
        if size:
            shown, shift = maps, min(1.6, 18 / maps)
            for index in range(shown):
                corner = (x + index * shift, -size / 2 - (shown - 1) * shift / 2 + index * shift)
                square = Rectangle(corner, size, size, facecolor=theme.page, edgecolor=colour, linewidth=1.0)
                ax.add_patch(square)
            width = size + (shown - 1) * shift
            height = width / 2
        else:
            # A vector, drawn as a slanted strip whose length grows with its number of units.
            length, slope = 6 + maps / 5, 0.5
            corners = [
                (0, -length / 2),
                (2.4, -length / 2),
                (2.4 + slope * length, length / 2),
                (slope * length, length / 2),
            ]
            points = [(x + dx, dy) for dx, dy in corners]
            ax.add_patch(Polygon(points, facecolor=theme.page, edgecolor=colour, linewidth=1.4))
            width, height = 2.4 + slope * length, length / 2
        label = f"{maps}@{size}×{size}" if size and maps > 1 else f"{size}×{size}" if size else f"{maps}"
        ax.text(x + width / 2, height + 2.5, f"{name.upper()}\n{label}", ha="center", va="bottom", fontsize=9.5)
        if name in _STEPS:
            ax.annotate("", (x - 0.8, 0), (before + 0.8, 0), arrowprops={"arrowstyle": "->", "color": theme.faint})
            step = f"{_STEPS[name]}\n{parameters[name]:,}"
            ax.text(x + width / 2, -27, step, ha="center", va="top", fontsize=8)
        before = x + width
        x = before + (7 if size else 9)
    ax.text(-1, -27, "parameters", ha="left", va="top", fontsize=8, color=theme.faint, linespacing=2)
    ax.set(xlim=(-2, before + 5), ylim=(-36, 34), aspect="equal")
    ax.axis("off")


def table(figure: Figure, theme: Theme, connections: NDArray[np.bool_]) -> None:
    """Draw the grid of X as the slide prints it: a column per map of C3, a row per map of S2; with the sums."""
    ax = figure.subplots()
    grid = connections.T
    rows, columns = grid.shape
    colours = {3: theme.blue, 4: theme.green, 6: theme.vermillion}
    per_column = grid.sum(axis=0)
    for column, links in enumerate(per_column):
        places = np.flatnonzero(grid[:, column])
        colour = colours.get(int(links), theme.ink)
        ax.bar([column] * len(places), 1, 1, places - 0.5, color=colour, alpha=0.22, linewidth=0)
        ax.plot([column] * len(places), places, "x", color=colour, markersize=8, markeredgewidth=2)
        ax.text(column, rows + 0.1, str(links), ha="center", va="center", color=colour, weight="bold")
    for row, links in enumerate(grid.sum(axis=1)):
        ax.text(columns + 0.1, row, str(links), ha="center", va="center", color=theme.faint)
    ax.text(columns + 0.1, rows + 0.1, str(grid.sum()), ha="center", va="center", weight="bold")
    ax.vlines(np.arange(columns + 1) - 0.5, -0.5, rows - 0.5, color=theme.grid, linewidth=0.8)
    ax.hlines(np.arange(rows + 1) - 0.5, -0.5, columns - 0.5, color=theme.grid, linewidth=0.8)
    ax.set(xlim=(-0.5, columns + 0.6), ylim=(rows + 0.6, -0.5), xlabel="map of C3", ylabel="map of S2", aspect="equal")
    ax.set_xticks(range(columns))
    ax.set_yticks(range(rows))
    ax.xaxis.set_label_position("top")
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)


def digit(figure: Figure, theme: Theme, maps: Mapping[str, Array], apart: Mapping[str, float]) -> None:
    """Draw every map of every layer, a row per layer."""
    cmap = LinearSegmentedColormap.from_list("signs", (theme.blue, theme.page, theme.orange), bad=theme.page)
    heights = {
        "canvas": 2.0,
        "c1_f": 2.0,
        "s2_f": 1.4,
        "c3_f": 1.0,
        "s4_f": 1.0,
        "c5_f": 0.8,
        "f6_f": 0.7,
        "output": 1.2,
    }
    axes = figure.subplots(len(LAYERS), 2, height_ratios=[heights[name] for name in LAYERS], width_ratios=(1, 0.12))
    for (ax, beside), (name, called) in zip(axes, LAYERS.items(), strict=True):
        values = maps[name]
        if name == "output":
            ax.bar(range(len(values)), values, color=[theme.orange if value > 0 else theme.blue for value in values])
            ax.axhline(0, color=theme.faint, linewidth=0.8)
            ax.set_xticks(range(len(values)))
        else:
            end = float(np.abs(values).max())
            picture = mosaic(values, {"c5_f": 40, "f6_f": 42}.get(name, 16))
            ax.imshow(picture, cmap=cmap, vmin=-end, vmax=end, interpolation="none")
            ax.set_anchor("W")
            ax.set_xticks([])
        ax.set_yticks([])
        ax.grid(False)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
        ax.set_ylabel(f"{called}\n{size(values)}", rotation=0, ha="right", va="center", labelpad=8)
        beside.text(1, 0.5, f"{apart[name]:.0e}" if apart[name] else "0", ha="right", va="center", color=theme.faint)
        beside.axis("off")
    axes[0, 1].set_title("torch −\nscratch", loc="right", fontsize=9, color=theme.faint)


def mosaic(values: Array, columns: int) -> Array:
    """Lay maps (C, H, W), or units (C,) as single cells, side by side in rows, with NaN between maps."""
    maps = np.asarray(values, float).reshape(len(values), *(values.shape[1:] if values.ndim > 1 else (1, 1)))
    count, height, width = maps.shape
    gap = 0 if height == width == 1 else 2 if height > 8 else 1
    columns = min(columns, count)
    rows = -(-count // columns)
    picture = np.full((rows * (height + gap), columns * (width + gap)), np.nan)
    for index, one in enumerate(maps):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        picture[top : top + height, left : left + width] = one
    return picture[: picture.shape[0] - gap or None, : picture.shape[1] - gap or None]


def size(values: Array) -> str:
    """Maps and their size, as the slide writes them: 6@28×28."""
    maps, *plane = values.shape
    if not plane or plane == [1, 1]:
        return str(maps)
    by = "×".join(map(str, plane))
    return by if maps == 1 else f"{maps}@{by}"
