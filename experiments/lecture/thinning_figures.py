"""The figures of `thinning`."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.lecture.lab import WINGS, Theme, spread
from experiments.lecture.thinning_nets import FORMS, Found

NAMES: Final = {
    "full": "full",
    "dropout": "full, dropout",
    "small": "few hidden units",
    "shared": "shared weights",
}
_DRAWN: Final = 8  # pixels, and units of the hidden layer, that stand for all


def colours(theme: Theme) -> dict[str, str]:
    """Each network's own."""
    return dict(zip(FORMS, (theme.blue, theme.orange, theme.purple, theme.green), strict=True))


def networks(figure: Figure, theme: Theme, found: Sequence[Found], stays: NDArray[np.bool_]) -> None:
    """Draw the full network, the one with units crossed out, and the one with shared weights, in one dimension."""
    colour, axes = colours(theme), figure.subplots(1, 3)
    counts = {form: found[0].learnt[form]["scratch"].parameters for form in FORMS}
    everyone = np.ones(_DRAWN, bool)
    _network(axes[0], theme, everyone, colour["full"])
    axes[0].set(title="full", xlabel=f"{counts['full']:,} weights and biases")
    _network(axes[1], theme, stays[:_DRAWN], colour["dropout"])
    axes[1].set(title="dropout", xlabel="as many, half of the units at a time")
    _network(axes[2], theme, everyone[2:], colour["shared"], (theme.blue, theme.vermillion, theme.green))
    axes[2].set(title="shared weights", xlabel=f"{counts['shared']:,}: one colour, one weight")
    for ax in axes:
        ax.set(xticks=[], yticks=[0, 1, 2], ylim=(-0.25, 2.25), xlim=(-0.6, _DRAWN - 0.4))
        ax.set_yticklabels(["pixels", "hidden", "classes"] if ax is axes[0] else [])
        ax.tick_params(length=0)
        ax.grid(False)
        ax.spines[:].set_visible(False)


def _network(ax: Any, theme: Theme, stays: NDArray[np.bool_], colour: str, shared: Sequence[str] = ()) -> None:
    """Draw pixels, hidden units and classes; with `shared`, each unit is linked to as many pixels as it has colours."""
    units, classes = len(stays), 4
    places = (_DRAWN - units) / 2 + np.arange(units)
    outputs = (_DRAWN - 1) / 2 + 1.4 * (np.arange(classes) - (classes - 1) / 2)
    kinds: dict[str, list[tuple[float, float, int]]] = {}  # (from, to, row) by colour: few paths, for a small file
    for unit, place in enumerate(places):
        if stays[unit]:
            for pixel, paint in enumerate(shared or [colour] * _DRAWN):
                kinds.setdefault(paint, []).append((unit + pixel if shared else pixel, place, 0))
            kinds.setdefault(theme.faint if shared else colour, []).extend((place, output, 1) for output in outputs)
    for paint, links in kinds.items():
        lines = [[(below, row), (above, row + 1), (np.nan, np.nan)] for below, above, row in links]
        ax.plot(*np.concatenate(lines).T, color=paint, linewidth=1.8 if paint in shared else 0.6, alpha=0.8, zorder=1)
    for xs, height in ((np.arange(_DRAWN), 0), (places, 1), (outputs, 2)):
        ax.scatter(xs, np.full(len(xs), height), s=90, facecolor=theme.page, edgecolor=theme.ink, zorder=2)
    ax.scatter(
        places[~stays], np.ones((~stays).sum()), s=150, marker="x", color=theme.vermillion, linewidth=2, zorder=3
    )


def errors(figure: Figure, theme: Theme, found: Sequence[Found]) -> None:
    """Draw parameters against test error, beside training and test error."""
    colour, (left, right) = colours(theme), figure.subplots(1, 2, width_ratios=(1.15, 1))
    for place, form in enumerate(FORMS):
        nets = [one.learnt[form] for one in found]
        count = nets[0]["scratch"].parameters
        # Side by side where two networks have as many parameters.
        x = count * {"full": 0.9, "dropout": 1.11, "small": 0.9, "shared": 1.11}[form]
        ours, theirs = ([100 * net[wing.name].error["test"] for net in nets] for wing in WINGS)
        left.plot([x] * len(ours), ours, "o", color=colour[form], markersize=5, alpha=0.35, markeredgewidth=0)
        left.plot([x] * len(theirs), theirs, "o", markersize=5, mfc="none", mec=colour[form], markeredgewidth=0.8)
        median = float(np.median(ours))
        left.plot([x / 1.12, x * 1.12], [median, median], color=colour[form], linewidth=2.5)
        side, anchor = (1 / 1.25, "right") if form == "full" else (1.25, "left")
        left.text(x * side, median, NAMES[form], color=colour[form], ha=anchor, va="center")
        for part, offset, alpha in (("train", 0.2, 0.45), ("test", -0.2, 1.0)):
            middle = spread([100 * net["scratch"].error[part] for net in nets])
            y = len(FORMS) - 1 - place + offset
            right.barh(y, middle.median, 0.36, color=colour[form], alpha=alpha)
            right.plot([middle.lower, middle.upper], [y, y], color=theme.ink, linewidth=1.2)
            kind = "training" if part == "train" else "test"
            right.text(middle.upper + 0.8, y, f"{kind} {middle.median:.1f}", va="center", fontsize=8.5)
    left.set(xscale="log", xlabel="parameters", ylabel="test error (%)", title="fewer weights", xlim=(800, 5e5))
    left.set_ylim(bottom=0)
    right.set(xlabel="error (%)", title="training and test", xlim=(0, None))
    right.margins(x=0.3)
    right.set_yticks(range(len(FORMS)), [NAMES[form] for form in reversed(FORMS)])
    right.tick_params(axis="y", length=0)
    right.grid(False, axis="y")


def dropout(figure: Figure, theme: Theme, found: Sequence[Found], shares: Sequence[float]) -> None:
    """Draw each seed's loss gap without and with dropout, beside test error against units crossed out."""
    colour, (left, right) = colours(theme), figure.subplots(1, 2, width_ratios=(1, 1.5))
    ends = ("full", "dropout")
    for wing in WINGS:
        lines = [(*(one.learnt[form][wing.name].gap for form in ends), np.nan) for one in found]
        style = {**theme.wing(wing.name), "linewidth": 2.5 if wing.name == "scratch" else 0.9}
        left.plot([0, 1, np.nan] * len(found), np.concatenate(lines), color=theme.faint, **style)
    for place, form in enumerate(ends):
        values = [one.learnt[form]["scratch"].gap for one in found]
        left.plot([place] * len(values), values, "o", color=colour[form], markersize=4, zorder=4)
    left.set(title="gap between the losses", ylabel="test − training loss (nats)", xlim=(-0.3, 1.3))
    left.set_ylim(bottom=0)
    left.set_xticks([0, 1], ["full", "dropout"])
    x = 100 * np.asarray(shares)
    for form, below in (("full", False), ("dropout", True)):
        for wing in WINGS:
            middle = [
                spread([100 * one.learnt[form][wing.name].crossed[i] for one in found]) for i in range(len(shares))
            ]
            right.plot(x, [m.median for m in middle], color=colour[form], **theme.wing(wing.name))
            if wing.name == "scratch":
                right.fill_between(
                    x, [m.lower for m in middle], [m.upper for m in middle], color=colour[form], alpha=0.2, linewidth=0
                )
        name = "learnt with dropout" if below else "learnt without"
        right.annotate(
            name,
            (x[-2], middle[-2].median),
            (0, -16 if below else 12),
            textcoords="offset points",
            color=colour[form],
            ha="left" if below else "right",
        )
    right.set(
        title="hidden units crossed out after learning",
        xlabel="crossed out (% of the hidden units)",
        ylabel="test error (%)",
        xticks=x,
    )
    right.set_ylim(bottom=0)
