"""The figures of `backprop`: the network with its signals in both directions, and the cost against the width."""

from collections.abc import Mapping
from itertools import product
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.ticker import LogLocator, NullLocator

from experiments.lecture.backprop_cost import Products, Seconds
from experiments.lecture.backprop_ways import DEPTH, LAYERS, SIZES, Problem, Quantities
from experiments.lecture.lab import Theme

_RADIUS: Final = 0.5
_APART: Final = 3.6
_PLACES: Final = [[(_APART * layer, 1.5 * ((n - 1) / 2 - i)) for i in range(n)] for layer, n in enumerate(SIZES)]
"""Of each unit, by layer."""
_LOSS: Final = (_APART * DEPTH + 1.7, 0.0)


def draw_network(figure: Figure, theme: Theme, problem: Problem, found: Quantities) -> None:
    """Draw the network twice: with z, a and w above, with δ and ∂J/∂w below."""
    above, below = figure.subplots(2, 1)
    for axes, title, note, colour in (
        (above, "function signals", "w on the links", theme.blue),
        (below, "error signals", "∂J/∂w on the links", theme.vermillion),
    ):
        axes.set(xlim=(-0.6, _LOSS[0] + 1.1), ylim=(-2.4, 2.4), aspect="equal")
        axes.axis("off")
        axes.text(-0.6, 2.2, title, color=colour, fontsize=11, va="center")
        axes.text(-0.6, 1.85, note, color=theme.faint, fontsize=8, va="center")
        _links(axes, theme, colour, problem, found, forward=axes is above)
        _units(axes, theme, colour, problem, found, forward=axes is above)


def _links(axes: Axes, theme: Theme, colour: str, problem: Problem, found: Quantities, *, forward: bool) -> None:
    """A line for each weight with w or ∂J/∂w near where its signal starts; no δ goes on to the inputs."""
    for layer in LAYERS:
        numbers = problem.state[f"fc{layer}.weight"] if forward else found[f"W{layer}"]
        for (i, source), (k, target) in product(enumerate(_PLACES[layer - 1]), enumerate(_PLACES[layer])):
            if forward or layer > 1:
                _arrow(axes, colour, source, target, forward=forward)
            else:
                axes.plot(*zip(source, target, strict=True), color=theme.faint, linewidth=0.8, zorder=1)
            x, y = np.array(source) + (0.25 if forward else 0.74) * (np.array(target) - np.array(source))
            text = f"{numbers[k, i]:.1f}" if forward else f"{numbers[k, i]:.4f}"
            box = {"facecolor": theme.page, "edgecolor": "none", "pad": 0.6}
            axes.text(x, y, _minus(text), ha="center", va="center", fontsize=7.5, color=theme.ink, bbox=box, zorder=3)
    _arrow(axes, colour, _PLACES[-1][0], _LOSS, forward=forward)


def _units(axes: Axes, theme: Theme, colour: str, problem: Problem, found: Quantities, *, forward: bool) -> None:
    """A circle for each unit with its signal: a, with z beneath it, or δ."""
    for layer, places in enumerate(_PLACES):
        for i, (x, y) in enumerate(places):
            signal = problem.x[i] if not layer else found[f"{'a' if forward else 'delta'}{layer}"][i]
            text = f"{signal:.1f}" if not layer else f"{signal:.4f}"
            axes.add_patch(Circle((x, y), _RADIUS, facecolor=theme.page, edgecolor=theme.ink, linewidth=1.1, zorder=4))
            shown = colour if layer or forward else theme.faint
            axes.text(x, y, _minus(text), ha="center", va="center", fontsize=8, color=shown, zorder=5)
            if layer and forward:
                note = f"z = {found[f'z{layer}'][i]:.4f}\nb = {problem.state[f'fc{layer}.bias'][i]:.1f}"
                axes.text(x, y - 0.53, _minus(note), ha="center", va="top", fontsize=7, color=theme.faint, zorder=5)
    for layer in range(DEPTH + 1):
        symbol = "$x$" if not layer else f"${'a' if forward else 'δ'}^{{({layer})}}$"
        axes.text(_PLACES[layer][0][0], _PLACES[layer][0][1] + 0.58, symbol, ha="center", va="bottom", color=theme.ink)
    y, t, J = found[f"a{DEPTH}"][0], problem.t[0], found["J"][0]
    words = f"J = {J:.4f}\nt = {t:.1f}" if forward else f"∂J/∂y = y − t\n= {y - t:.4f}"
    axes.text(_LOSS[0] + 0.05, 0, _minus(words), ha="left", va="center", fontsize=8.5, color=colour)


def _arrow(axes: Axes, colour: str, source: Any, target: Any, *, forward: bool) -> None:
    """From circle to circle; the loss is a point."""
    way = np.array(target) - np.array(source)
    ahead = way / np.hypot(*way)
    ends = np.array(source) + _RADIUS * ahead, np.array(target) - (0 if target == _LOSS else _RADIUS) * ahead
    tail, head = ends if forward else ends[::-1]
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", tuple(head), tuple(tail), arrowprops=style)


def draw_cost(
    figure: Figure, theme: Theme, products: Mapping[int, Products], seconds: Mapping[str, Mapping[int, Seconds]]
) -> None:
    """Draw products, left, and seconds, right, against the width."""
    left, right = figure.subplots(1, 2)
    costs = {
        "naive": (theme.purple, "one pass per parameter"),
        "backprop": (theme.vermillion, "back-propagation"),
        "forward": (theme.blue, "forward pass"),
    }
    for what, (colour, label) in costs.items():
        left.loglog(
            list(products),
            [getattr(one, what) for one in products.values()],
            "o-",
            color=colour,
            label=label,
            markersize=4,
        )
        for wing, found in seconds.items():
            right.loglog(list(found), [getattr(one, what) for one in found.values()], color=colour, **theme.wing(wing))
    left.set(title="counted", xlabel="width, units per layer", ylabel="products for one sample")
    right.set(title="measured", xlabel="width, units per layer", ylabel="seconds for a batch")
    for wing in seconds:
        right.plot([], [], color=theme.ink, label=wing, **theme.wing(wing))
    for axes in (left, right):
        axes.set_xticks(list(products), list(map(str, products)))
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
        axes.tick_params(left=False, bottom=False)  # the grid is enough
        axes.legend(loc="upper left")


def _minus(text: str) -> str:
    return text.replace("-", "−")
