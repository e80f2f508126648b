"""The figures of `neuron`: one unit with its numbers, and the curves above their slopes."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from experiments.backend import Array
from experiments.lecture.lab import Theme

_TICKS: Final = ((0, 0.5, 1), (-1, 0, 1), (0, 1), (0, 3, 6), (0, 0.5, 1), (0, 1, 2), (0, 1), (0, 1))
_REACHES: Final = (None, None, (-0.1, 1.7), None, None, None, (-0.1, 1.7), (-0.1, 1.7))


class Curve(Protocol):
    """A curve that was measured over the grid of v."""

    @property
    def value(self) -> Array:
        """f(v)."""
        ...

    @property
    def slope(self) -> Array:
        """f′(v)."""
        ...


def draw_neuron(
    figure: Figure, theme: Theme, weights: Sequence[str], inputs: Sequence[str], bias: str, z: float, a: float
) -> None:
    """Draw one logistic unit as on the slide, its numbers on the links and beside them."""
    axes = figure.subplots()
    axes.set(xlim=(-0.9, 8.4), ylim=(-1.55, 1.55), aspect="equal")
    axes.axis("off")
    arrow = {"arrowstyle": "-|>", "color": theme.blue, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
    box = {"facecolor": theme.page, "edgecolor": "none", "pad": 2}
    numbers = list(enumerate(zip(inputs, weights, strict=True), start=1))
    links = [
        *((f"$x_{i}$ = {_minus(x)}", f"$w_{i}$ = {_minus(w)}") for i, (x, w) in numbers),
        ("1", f"$b$ = {_minus(bias)}"),
    ]
    radius, total = 0.45, np.array([3.5, 0.0])
    for y, (source, weight) in zip(np.linspace(1.3, -1.3, len(links)), links, strict=True):
        start = np.array([0.5, y])
        way = total - start
        end = total - radius * way / np.hypot(*way)
        axes.annotate("", tuple(end), tuple(start), arrowprops=arrow)
        axes.text(0.4, y, source, ha="right", va="center")
        x, middle = start + 0.4 * way
        axes.text(x, middle, weight, ha="center", va="center", color=theme.blue, bbox=box)
    for x, symbol, formula in ((3.5, "Σ", r"$w^\mathsf{T} x + b$"), (6.0, "$f$", r"$1 / (1 + e^{-z})$")):
        axes.add_patch(Circle((x, 0), radius, facecolor=theme.page, edgecolor=theme.ink, linewidth=1.2, zorder=3))
        axes.text(x, 0, symbol, ha="center", va="center", fontsize=15, zorder=4)
        axes.text(x, -0.62, formula, ha="center", va="top", color=theme.faint)
    for left, right in ((3.5, 6.0 - radius), (6.0, 7.1)):
        axes.annotate("", (right, 0), (left + radius, 0), arrowprops=arrow)
    axes.text(4.72, 0.1, f"$z$ = {z:g}", ha="center", va="bottom", color=theme.blue)
    axes.text(7.2, 0, f"$a$ = {a:.4f}", ha="left", va="center", color=theme.blue)


def draw_curves(
    figure: Figure,
    theme: Theme,
    v: Array,
    families: Mapping[str, Sequence[tuple[str, str]]],
    curves: Mapping[str, Mapping[str, Curve]],
) -> None:
    """Draw a column per family: values above slopes, one colour per pair of a label and a curve's name."""
    grid = figure.subplots(2, len(families), sharex=True, width_ratios=(1.25, 1.25, 0.9, 0.9))
    for (above, below), (family, members) in zip(grid.T, families.items(), strict=True):
        for colour, (label, name) in zip(theme.colours, members, strict=False):
            for wing, found in curves.items():
                style = {"color": colour, **theme.wing(wing)}
                above.plot(v, _with_gaps(found[name].value), label=label if wing == "scratch" else None, **style)
                below.plot(v, _with_gaps(found[name].slope), **style)
        for line in (*above.lines, *below.lines):
            line.get_path().simplify_threshold = 0.3  # pixels: a third of the file, and nobody sees the difference
        above.set_title(family)
        below.set(xlabel="v", xticks=(-5, 0, 5))
        if members[0][0]:
            bottom, top = above.get_ylim()
            above.set_ylim(bottom, bottom + 1.6 * (top - bottom))
            above.legend(loc="upper left", fontsize=8, borderaxespad=0.2, handlelength=1.2)
    for axes, ticks, reach in zip(grid.flat, _TICKS, _REACHES, strict=True):
        axes.set(yticks=ticks, ylim=reach or axes.get_ylim())
        axes.tick_params(left=False, bottom=False)  # the grid is enough
    grid[0, 0].set_ylabel("f(v)")
    grid[1, 0].set_ylabel("f′(v)")


def _minus(number: str) -> str:
    return number.replace("-", "−")


def _with_gaps(values: Array) -> Array:
    """The values, with NaN in place of the first behind each jump, which is then no line but a gap."""
    shown = values.copy()
    shown[1:][np.abs(np.diff(values)) > 0.9] = np.nan
    return shown
