"""The figures of the comparison: throughput against the batch size, and cost against image size and width."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from scipy.optimize import isotonic_regression

from experiments.atomic import write_text
from experiments.bench.publishing import Figure
from experiments.bench.results import Measured
from experiments.bench.scaling import Growth
from experiments.lecture.lab.lab import svg
from experiments.lecture.lab.themes import LIGHT, THEMES, Theme

Draw: TypeAlias = Callable[[Canvas, Theme], None]

COLOURS: Final = {
    "scratch": "blue",
    "torch": "vermillion",
    "torch-compile": "orange",
    "jax": "green",
    "mygrad": "purple",
    "sklearn": "sky",
}
"""Each competitor's, in every figure."""
TITLES: Final = {"lenet5": "LeNet-5", "mlp": "MLP 784-300-100-10", "train": "training", "infer": "inference"}

_LABEL: Final = 8.5
"""Points, of the names beside the curves."""


class End(NamedTuple):
    """The last point of a competitor's curve, and what is written beside it."""

    name: str
    text: str
    x: float
    y: float


def throughput(measured: Sequence[Measured], folder: Path) -> tuple[Figure, ...]:
    """Draw images per second against the batch size: medians, and bars from one quartile to the other.

    Parameters
    ----------
    measured:
        The cells.
    folder:
        Where NAME.svg and NAME-dark.svg are written; it exists.

    Returns
    -------
    tuple of Figure
        One per dtype, with a panel for each network in each mode.
    """
    made = []
    for dtype in dict.fromkeys(one.cell.dtype for one in measured):
        chosen = [one for one in measured if one.cell.dtype == dtype]
        models, modes = _distinct(chosen, "model"), _distinct(chosen, "mode")

        def draw(
            figure: Canvas,
            theme: Theme,
            chosen: list[Measured] = chosen,
            models: list[str] = models,
            modes: list[str] = modes,
        ) -> None:
            grid = figure.subplots(len(models), len(modes), squeeze=False, sharex=True, sharey="row")
            ends = {}
            for row, model in zip(grid, models, strict=True):
                for axes, mode in zip(row, modes, strict=True):
                    own = [one for one in chosen if (one.cell.model, one.cell.mode) == (model, mode)]
                    ends[axes] = _draw_throughput(axes, theme, own)
                    axes.set_title(f"{TITLES[model]}, {TITLES[mode]}")
                row[0].set_ylabel("images per second")
            for axes in grid[-1]:
                axes.set_xlabel("images in one step")
            _name_the_ends(figure, theme, ends)

        name = f"throughput-{dtype}"
        _save(name, draw, (4.1 * len(modes), 3.0 * len(models) + 0.3), folder)
        made.append(Figure(name, _spoken(chosen, dtype)))
    return tuple(made)


def growth(found: Sequence[Growth], folder: Path) -> tuple[Figure, ...]:
    """Draw the cost of an image against what grows, and where it may lie: between the values and the multiply-adds.

    Parameters
    ----------
    found, folder:
        What was measured, and where it is written; see `throughput`.
    """

    def draw(figure: Canvas, theme: Theme) -> None:
        row = figure.subplots(1, len(found), squeeze=False)[0]
        ends = {axes: _draw_growth(axes, theme, one) for axes, one in zip(row, found, strict=True)}
        row[0].set_ylabel("µs per image")
        _name_the_ends(figure, theme, ends)

    _save("scaling", draw, (3.5 * len(found), 3.3), folder)
    spoken = [
        "{}: the exponent is {:.2f} for the values, {:.2f} for the multiply-adds, ".format(
            one.study.title, *one.expected
        )
        + ", ".join(f"{one.slope(name):.2f} for {name}" for name in one.names)
        for one in found
    ]
    return (
        Figure("scaling", f"Cost of one image in training against the size, both logarithmic. {'; '.join(spoken)}."),
    )


def _draw_throughput(axes: Axes, theme: Theme, own: Sequence[Measured]) -> list[End]:
    batches = [one.cell.batch for one in own]
    ends = []
    for name, colour in COLOURS.items():
        spreads = [(one.cell.batch, best.seconds) for one in own if (best := one.best(name))]
        if not spreads:
            continue
        x = [batch for batch, _ in spreads]
        low, median, high = (
            [batch / getattr(s, quartile) for batch, s in spreads] for quartile in ("high", "median", "low")
        )
        _curve(axes, theme, name, colour, x, median)
        axes.vlines(x, low, high, color=getattr(theme, colour), alpha=0.35, linewidth=4)
        ends.append(End(name, name, x[-1], median[-1]))
    axes.set_xscale("log", base=2)
    axes.set_xticks(batches, [f"{batch}" for batch in batches])
    _logarithmic(axes)
    return ends


def _draw_growth(axes: Axes, theme: Theme, one: Growth) -> list[End]:
    sizes = one.study.sizes
    ends = []
    for name in one.names:
        costs = [1e6 * seconds for seconds in one.seconds(name)]
        _curve(axes, theme, name, COLOURS[name], sizes, costs)
        ends.append(End(name, f"{name}  {_power(one.slope(name))}", sizes[-1], costs[-1]))
    # Through the last point of the first curve: there, what a step costs whatever its size counts least.
    end = 1e6 * one.seconds(one.names[0])[-1]
    slow, steep = (end * np.array(counts) / counts[-1] for counts in (one.values, one.multiply_adds))
    axes.plot(sizes, slow, color=theme.faint, linewidth=1.0, linestyle=(0, (1, 2)), zorder=1)
    axes.plot(sizes, steep, color=theme.faint, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    axes.fill_between(sizes, slow, steep, color=theme.faint, alpha=0.12, linewidth=0, zorder=0)
    axes.set(xscale="log", title=one.study.title, xlabel=one.study.axis)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    _logarithmic(axes)
    values, products = map(_power, one.expected)
    note = f"· · ·  values  {values}\n– –  multiply-adds  {products}"
    axes.text(0.98, 0.04, note, transform=axes.transAxes, color=theme.faint, fontsize=_LABEL, ha="right", zorder=5)
    return ends


def _curve(axes: Axes, theme: Theme, name: str, colour: str, x: Sequence[float], y: Sequence[float]) -> None:
    ours = name == "scratch"
    width, size, order = (2.6, 5.5, 4) if ours else (1.5, 4, 3)
    axes.plot(x, y, "o-", color=getattr(theme, colour), linewidth=width, markersize=size, zorder=order)


def _logarithmic(axes: Axes) -> None:
    """A logarithmic y axis with plain numbers, wide enough for its decade's labels, and no small ticks."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.tick_params(left=False, bottom=False)  # the grid is enough


def _name_the_ends(figure: Canvas, theme: Theme, ends: Mapping[Axes, Sequence[End]]) -> None:
    """Write beside the end of each curve whose it is, moved no more than it takes for names not to overlap."""
    figure.draw_without_rendering()  # so that the panels have their sizes
    for axes, own in ends.items():
        order = sorted(own, key=lambda end: end.y)
        heights = axes.transData.transform([(end.x, end.y) for end in order])[:, 1] * 72 / figure.dpi
        apart = 1.25 * _LABEL * np.arange(len(order))
        moved = isotonic_regression(heights - apart).x + apart - heights
        for end, upward in zip(order, moved, strict=True):
            axes.annotate(
                end.text,
                (end.x, end.y),
                (14, float(upward)),
                textcoords="offset points",
                color=getattr(theme, COLOURS[end.name]),
                fontsize=_LABEL,
                fontweight="bold" if end.name == "scratch" else "normal",
                va="center_baseline",
                arrowprops={
                    "arrowstyle": "-",
                    "color": getattr(theme, COLOURS[end.name]),
                    "linewidth": 0.6,
                    "relpos": (0, 0.5),
                    "shrinkA": 1,
                    "shrinkB": 3,
                },
                annotation_clip=False,
            )


def _power(exponent: float) -> str:
    return f"$n^{{{exponent:.2f}}}$"


def _distinct(measured: Sequence[Measured], what: str) -> list[str]:
    return list(dict.fromkeys(getattr(one.cell, what) for one in measured))


def _spoken(measured: Sequence[Measured], dtype: str) -> str:
    """The figure in words, for those who cannot see it: who is where in the largest batch."""
    largest = max(one.cell.batch for one in measured)
    said = []
    for one in measured:
        if one.cell.batch == largest:
            rates = {name: rate for name in COLOURS if (rate := one.images_per_second(name))}
            listed = ", ".join(
                f"{name} {rates[name]:,.0f}" for name in sorted(rates, key=rates.__getitem__, reverse=True)
            )
            said.append(f"{TITLES[one.cell.model]}, {TITLES[one.cell.mode]}: {listed}")
    shown = f"Images per second against batch size, both logarithmic, {dtype}; bars join the quartiles."
    return f"{shown} At batch {largest}: {'; '.join(said)}."


def _save(name: str, draw: Draw, size: tuple[float, float], folder: Path) -> None:
    """Write NAME.svg for a light page and NAME-dark.svg for a dark one."""
    for theme in THEMES:
        settings: Any = theme.settings()  # matplotlib's types want each key spelt out
        with mpl.rc_context(settings):
            figure = Canvas(figsize=size, layout=ConstrainedLayoutEngine(hspace=0.06))
            draw(figure, theme)
            suffix = "" if theme is LIGHT else f"-{theme.name}"
            write_text(folder / f"{name}{suffix}.svg", svg(figure))
