"""The figures of `standardization`: the slide's four scatter plots, and the loss by epochs."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np
from matplotlib.figure import Figure

from experiments.backend import Array
from experiments.lecture.lab import Theme

_TITLES: Final = {
    "original": "original",
    "centered": "mean removed",
    "decorrelated": "decorrelated",
    "equalized": "covariance equalised",
}


class Learnt(Protocol):
    """A run that came to its goal."""

    @property
    def losses(self) -> Sequence[float]:
        """The loss after 0, 1, 2, … epochs."""
        ...


def draw_clouds(figure: Figure, theme: Theme, clouds: Mapping[str, Mapping[str, Array]]) -> None:
    """Draw the points (N, 2) of every stage, all on one scale, with the principal axes of the first wing's."""
    panels = figure.subplots(1, len(_TITLES), sharex=True, sharey=True)
    arrow = {"arrowstyle": "-|>", "mutation_scale": 9, "color": theme.vermillion, "linewidth": 1.6, "shrinkA": 0}
    for panel, (stage, title) in zip(panels, _TITLES.items(), strict=True):
        panel.axhline(0, color=theme.faint, linewidth=0.8)
        panel.axvline(0, color=theme.faint, linewidth=0.8)
        ours, twin = (found[stage] for found in clouds.values())
        panel.plot(*ours.T, ".", color=theme.blue, markersize=3, rasterized=True)
        panel.plot(*twin[::10].T, "x", color=theme.ink, markersize=3, markeredgewidth=0.7)
        mean = ours.mean(axis=0)
        _, singular, axes = np.linalg.svd(ours - mean, full_matrices=False)
        for axis in 2 * singular[:, None] / np.sqrt(len(ours)) * axes:
            tip = mean + axis * np.sign(axis[np.abs(axis).argmax()])
            panel.annotate(
                "",
                tuple(tip),
                tuple(mean),
                arrowprops=arrow,
            )
        panel.set(title=title, xlabel="first component", aspect="equal", xticks=(-4, 0, 4), yticks=(-4, 0, 4))
    panels[0].set(ylabel="second component")


def draw_epochs(
    figure: Figure,
    theme: Theme,
    linear: Mapping[str, Mapping[str, Learnt]],
    mlp: Mapping[str, Mapping[str, Learnt]],
    goal: float,
) -> None:
    """Draw the linear unit's curves beside the perceptron's."""
    left, right = figure.subplots(1, 2)
    for panel, wings in ((left, linear), (right, mlp)):
        for wing, found in wings.items():
            for colour, (stage, learnt) in zip(theme.colours, found.items(), strict=False):
                label = _TITLES[stage] if wing == "scratch" and panel is left else None
                look = theme.wing(wing)
                if stage == "centered" and wing == "scratch":
                    look["linewidth"] = 8  # to be seen on both sides of the next one, which may lie on top of it
                panel.plot(learnt.losses, color=colour, label=label, **look)
        panel.set(yscale="log", xlabel="epochs")
        panel.set_xscale("symlog", linthresh=1)
        panel.set_xlim(left=-0.05)
    left.set(title="linear unit, a cloud of points", ylabel="½ mean squared error")
    right.set(title="perceptron 49-20-10, digits", ylabel="cross-entropy in nats")
    right.axhline(goal, color=theme.faint, linewidth=0.8)
    right.set_yticks((goal, 0.5, 1, 2), (f"{goal:g}", "0.5", "1", "2"))
    right.minorticks_off()
    figure.legend(loc="outside upper center", ncols=len(_TITLES))
