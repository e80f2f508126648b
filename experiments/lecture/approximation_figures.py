"""The figures of 通用逼近定理: errors against units, fits of one number, and the bump seen from above."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from experiments.backend import Array
from experiments.lecture.lab import Theme

Series = Mapping[str, Sequence[float]]
"""Wing → sup errors."""

_MAP: Final = colormaps["cividis"].resampled(14)
"""From −0.2 to 1.2 in steps of 0.1: bands are easier to compare than shades, and make smaller files."""


def draw_errors(
    figure: Figure,
    theme: Theme,
    units: Mapping[str, Sequence[int]],
    built: Mapping[str, Series],
    trained: Mapping[str, Series],
    bounds: Mapping[str, Sequence[float]],
) -> None:
    """Draw the sup errors of each target: the staircase's under its bound, the trained nets', half the step's jump.

    `units` has the numbers of hidden units of "built" and of "trained"; `built` and `bounds` lack the step.
    """
    for axes, name in zip(figure.subplots(1, len(trained), sharey=True), trained, strict=True):
        for wing, errors in trained[name].items():
            axes.plot(units["trained"], errors, color=theme.orange, label=_once(wing, "trained"), **theme.wing(wing))
        if name in built:
            for wing, errors in built[name].items():
                axes.plot(units["built"], errors, color=theme.blue, label=_once(wing, "staircase"), **theme.wing(wing))
            axes.plot(units["built"], bounds[name], ":", color=theme.ink, linewidth=1.2, label="its bound")
            if "|" in name:
                axes.legend(loc="lower left", handlelength=1.5)
        else:
            axes.axhline(0.5, linestyle=":", color=theme.ink, linewidth=1.2)
            axes.text(0.97, 0.45, "half the jump", transform=axes.get_yaxis_transform(), ha="right", va="top")
        axes.set(xscale="log", yscale="log", xlabel="hidden units", title=name, xlim=(1.7, 300))
        axes.set_xticks((2, 8, 32, 128), ("2", "8", "32", "128"))
        axes.minorticks_off()
    figure.axes[0].set_ylabel("sup |F − f|")


def draw_fits(
    figure: Figure,
    theme: Theme,
    x: Array,
    panels: Mapping[str, tuple[Array, Mapping[str, Sequence[Array]]]],
) -> None:
    """Draw f and what the nets say of it: title → f and, per label, what each wing's net says."""
    for axes, (title, (target, nets)) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        axes.plot(x, target, color=theme.ink, linewidth=0.9, label="f", zorder=4)
        for colour, (label, wings) in zip(theme.colours, nets.items(), strict=False):
            for wing, said in zip(("scratch", "torch"), wings, strict=True):
                axes.plot(x, said, color=colour, label=_once(wing, label), **theme.wing(wing))
        axes.set(title=title, xlabel="x", ylim=(-1.35, 1.35) if target.min() < 0 else (-0.3, 1.3))
        axes.set(xticks=(0, 0.5, 1), yticks=(-1, 0, 1) if target.min() < 0 else (0, 0.5, 1))
        axes.legend(loc="lower left" if target.min() < 0 else "upper left", handlelength=1.2)
    figure.axes[0].set_ylabel("F(x)")


def draw_bump(figure: Figure, _: Theme, panels: Mapping[str, Array]) -> None:
    """Draw the bump and its approximations from above, all in the same colours: title → values over the grid."""
    row = figure.subplots(1, len(panels), sharey=True)
    image: Any = None
    for axes, (title, values) in zip(row, panels.items(), strict=True):
        side = round(len(values) ** 0.5)
        image = axes.imshow(
            values.reshape(side, side).T[:: 1 + side // 60, :: 1 + side // 60],
            origin="lower",
            extent=(0, 1, 0, 1),
            interpolation="bilinear",
            cmap=_MAP,
            vmin=-0.2,
            vmax=1.2,
        )
        axes.set(title=title, xticks=(0, 1), yticks=(0, 1), xlabel="x₁")
        axes.grid(visible=False)
    row[0].set_ylabel("x₂")
    figure.colorbar(image, ax=row, label="F(x₁, x₂)", fraction=0.02, pad=0.01, ticks=np.array([0.0, 0.5, 1.0]))


def _once(wing: str, label: str) -> str | None:
    """The label of a pair of curves, which only one of them needs."""
    return label if wing == "scratch" else None
