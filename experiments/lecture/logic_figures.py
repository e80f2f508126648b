"""The figures of 异或问题: decision regions as on the slide, the 2-2-1 net, and how often BP finds one."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.backend import Array
from experiments.lecture.lab import Theme, rate

Plane = Sequence[Array]
"""x₁, x₂ and the net's output, over a mesh."""

_REACH: Final = (-0.5, 1.5)
_UNITS: Final = {"x₁ AND x₂": (0, 0, 0, 1), "x₁ OR x₂": (0, 1, 1, 1), "NOT (x₁)": (1, 1, 0, 0)}
_XOR: Final = (0, 1, 1, 0)
_NEARLY: Final = ((1, 1, -0.5), (-1, -1, 1.5), (1, -1, -0.5))
"""Units (w₁, w₂, b) that are right at three corners: OR, NOT AND, x₁ AND NOT x₂."""
_MIDDLE: Final[dict[str, Any]] = {"ha": "center", "va": "center", "fontsize": 9}


def draw_units(figure: Figure, theme: Theme, weights: Mapping[str, Sequence[float]]) -> None:
    """Draw the slide's four small planes: AND, OR and NOT with the lines found, XOR with lines that all fail."""
    *solved, last = figure.subplots(1, 4, sharey=True)
    for axes, (name, values) in zip(solved, _UNITS.items(), strict=True):
        _line(axes, theme, weights[name], shade=True)
        _corners(axes, theme, values)
        axes.set_title(name.replace("(", "").replace(")", ""))
    for line in _NEARLY:
        _line(last, theme, line, shade=False)
    _corners(last, theme, _XOR)
    last.set_title("x₁ XOR x₂")
    solved[0].set_ylabel("x₂")


def draw_network(figure: Figure, theme: Theme, params: Mapping[str, Array], region: Plane) -> None:
    """Draw the 2-2-1 net with its weights, and what it says over the plane."""
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    _structure(left, theme, params)
    _region(right, theme, region)
    for bias, name, away in zip(params["fc1.bias"], ("AND", "OR"), (9, -9), strict=True):
        right.axline((0, -bias), slope=-1, color=theme.ink, linewidth=1.2)
        right.annotate(name, (-bias / 2, -bias / 2), (away, away), textcoords="offset points", **_MIDDLE, rotation=-45)
    right.set(ylabel="x₂")
    right.set_title("output: 1 in the band")


def draw_learnt(
    figure: Figure,
    theme: Theme,
    steps: Array,
    shares: Mapping[str, Mapping[str, Sequence[float]]],
    seeds: int,
    regions: Mapping[str, Plane],
) -> None:
    """Draw the share of seeds that have learnt XOR against the updates, and two of the nets."""
    left, *planes = figure.subplots(1, 3, width_ratios=(2, 1, 1))
    for wing, curves in shares.items():
        for colour, share in zip(theme.colours, curves.values(), strict=False):
            left.plot(steps, share, color=colour, **theme.wing(wing))
    last = float(steps[-1])
    curves, height = shares["scratch"], -0.08
    ends = [(curve[-1], name, colour) for (name, curve), colour in zip(curves.items(), theme.colours, strict=False)]
    for i, (end, name, colour) in enumerate(sorted(ends)):
        interval = rate(round(end * seeds), seeds)
        at, height = last * (1.02 + 0.03 * i), max(end, height + 0.08)  # neither bars nor labels lie on each other
        left.plot((at, at), (interval.low, interval.high), color=colour, linewidth=2.0)
        left.text(last * 1.15, height, name, va="center", color=colour)
    left.set(xlabel="updates", ylabel="share of seeds", ylim=(0, 1), xlim=(0, last * 1.6))
    left.set_xticks(range(0, int(last) + 1, max(1, int(last) // 5)))
    left.set_title("seeds that have learnt XOR by BP")
    planes[0].set_ylabel("x₂")
    for axes, (name, region) in zip(planes, regions.items(), strict=True):
        _region(axes, theme, [array[::2, ::2] for array in region])  # enough: the outputs are smooth
        axes.set_title(name)


def _corners(axes: Axes, theme: Theme, values: Sequence[int]) -> None:
    """Draw the four corners: filled where the function is 1, open where it is 0."""
    for (x1, x2), value in zip(itertools.product((0, 1), repeat=2), values, strict=True):
        face = theme.ink if value else theme.page
        axes.plot(x1, x2, "o", markersize=9, markerfacecolor=face, markeredgecolor=theme.ink, zorder=5)
    axes.set(xlim=_REACH, ylim=_REACH, aspect="equal", xticks=(0, 1), yticks=(0, 1), xlabel="x₁")
    axes.grid(visible=False)


def _line(axes: Axes, theme: Theme, weights: Sequence[float], *, shade: bool) -> None:
    """Draw where w₁x₁ + w₂x₂ + b = 0, with the side where the unit is 1."""
    w1, w2, b = weights
    style: dict[str, Any] = {"color": theme.ink if shade else theme.vermillion, "linewidth": 1.2}
    if not shade:
        style["linestyle"] = (0, (4, 2))
    if w2:
        axes.axline((0, -b / w2), slope=-w1 / w2, **style)
    else:
        axes.axvline(-b / w1, **style)
    if shade:
        axis = _REACH
        z = [[w1 * x1 + w2 * x2 + b for x1 in axis] for x2 in axis]
        axes.contourf(axis, axis, z, levels=(0, float("inf")), colors=[theme.sky], alpha=0.35)


def _region(axes: Axes, theme: Theme, region: Plane) -> None:
    x1, x2, output = region
    axes.contourf(x1, x2, output, levels=(0.5, float("inf")), colors=[theme.sky], alpha=0.35)
    _corners(axes, theme, _XOR)


def _structure(axes: Axes, theme: Theme, params: Mapping[str, Array]) -> None:
    """Draw the units as circles and the weights at their links, each unit with its bias."""
    inputs, hidden, output = ((0.0, 0.8), (0.0, 0.2)), ((1.0, 0.8), (1.0, 0.2)), (2.0, 0.5)
    links = [
        *((inputs[j], hidden[i], params["fc1.weight"][i, j]) for i in range(2) for j in range(2)),
        *((hidden[i], output, params["fc2.weight"][0, i]) for i in range(2)),
    ]
    for (x0, y0), (x1, y1), weight in links:
        axes.plot((x0, x1), (y0, y1), color=theme.faint, linewidth=1.2, zorder=1)
        axes.text(x0 + 0.3 * (x1 - x0), y0 + 0.3 * (y1 - y0), _signed(weight), **_label(theme))
    units = [*zip(inputs, ("x₁", "x₂"), strict=True), *zip(hidden, ("AND", "OR"), strict=True), (output, "y")]
    for (x, y), name in units:
        axes.plot(x, y, "o", markersize=34, markerfacecolor=theme.page, markeredgecolor=theme.ink, zorder=3)
        axes.text(x, y, name, ha="center", va="center", zorder=4)
    for (x, y), bias in zip((*hidden, output), (*params["fc1.bias"], *params["fc2.bias"]), strict=True):
        axes.text(x, y - 0.2, f"b = {_signed(bias)}", color=theme.vermillion, **_MIDDLE)
    axes.set(xlim=(-0.25, 2.25), ylim=(-0.1, 1.05))
    axes.set_title("two hidden hard-limit units")
    axes.set_axis_off()


def _label(theme: Theme) -> dict[str, Any]:
    box = {"facecolor": theme.page, "edgecolor": "none", "pad": 1.5}
    return {**_MIDDLE, "color": theme.blue, "bbox": box, "zorder": 2}


def _signed(number: float) -> str:
    return f"{number:+g}".replace("-", "−")
