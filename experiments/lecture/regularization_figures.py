"""What `regularization` writes of its measurements: table, curves, figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.backend import Array
from experiments.lecture.lab import Lab, Theme
from experiments.lecture.regularization_exact import closed_form


def record(
    lab: Lab,
    lambdas: Sequence[float],
    x: Array,
    t: Array,
    ridges: Mapping[str, Mapping[float, Any]],
    found: Sequence[Mapping[str, Any]],
) -> None:
    """Tabulate the medians, write the curves to TensorBoard, by the place of λ on its grid, and draw."""
    own = [one["scratch"] for one in found]
    quantities = {"norm": "‖W‖", "train": "training loss", "test": "test loss", "gap": "gap", "error": "test error"}
    medians = {name: np.median([getattr(one, name) for one in own], axis=0) for name in quantities}
    lab.table(
        f"digits, few and partly mislabelled: medians of {len(found)} seeds",
        ("λ", *quantities.values()),
        [
            (
                f"{decay:g}",
                *(f"{medians[name][i]:.1%}" if name == "error" else f"{medians[name][i]:.3f}" for name in medians),
            )
            for i, decay in enumerate(lambdas)
        ],
    )
    for wing in found[0]:
        for name in quantities:
            lab.curve(
                wing, f"{name}_by_place_of_lambda", np.median([getattr(one[wing], name) for one in found], axis=0)
            )
    tried = list(ridges["scratch"])
    line = np.geomspace(min(tried) / 4, max(tried) * 4, 40)
    forms = np.array([closed_form(x, t, float(decay)) for decay in line])
    lab.figure(
        "ridge",
        lambda figure, theme: draw_ridge(figure, theme, line, forms[:, :-1], ridges),
        size=(8, 3.4),
        caption="The weights of a linear net against λ: ridge regression's closed form as lines, and on them what the "
        "net has learnt. With the slide's update, without λW, they stay where they are for λ = 0.",
        alt="Lines that shrink to 0 as λ grows with marks of both wings on them, and crosses in level rows.",
    )
    lab.figure(
        "gap",
        lambda figure, theme: draw_gap(figure, theme, lambdas, found),
        size=(8, 3.2),
        caption="Few digits, some mislabelled: without the penalty the network learns them by heart. As λ grows, "
        f"‖W‖ and the gap shrink; the test loss is least in between. Medians and quartiles of {len(found)} seeds.",
        alt="Three panels over λ: the norm falls; training and test loss approach each other; test error has a dip.",
    )


def draw_ridge(
    figure: Figure, theme: Theme, lambdas: Array, forms: Array, ridges: Mapping[str, Mapping[float, Any]]
) -> None:
    """The closed form's weights over λ as lines; as marks what was learnt, with λW in the update and without."""
    panel = figure.subplots()
    panel.axhline(0, color=theme.faint, linewidth=0.8)
    for colour, weight in zip(theme.colours, forms.T, strict=False):
        panel.plot(lambdas, weight, color=colour)
    marks = {"scratch": ("o", 9, 0.45), "torch": ("x", 6, 1.0)}
    for wing, values in ridges.items():
        marker, size, alpha = marks[wing]
        learnt, slide = (np.array([getattr(one, name)[:-1] for one in values.values()]) for name in ("learnt", "slide"))
        style: dict[str, Any] = {"marker": marker, "alpha": alpha, "linestyle": "none"}
        panel.plot(list(values), slide, color=theme.faint, markersize=size - 3, zorder=1.5, **style)
        for colour, weight in zip(theme.colours, learnt.T, strict=False):
            panel.plot(list(values), weight, color=colour, markersize=size, **style)
    for (marker, size, alpha), wing in zip(marks.values(), marks, strict=True):
        panel.plot([], [], marker, color=theme.ink, markersize=size, alpha=alpha, label=f"learnt, {wing}")
    panel.plot([], [], color=theme.ink, label="closed form")
    panel.plot([], [], "o", color=theme.faint, markersize=6, label="the slide's update")
    panel.set(xscale="log", xlabel="λ", ylabel="weights of the linear net")
    panel.xaxis.set_major_formatter("{x:g}")
    panel.minorticks_off()
    figure.legend(loc="outside upper center", ncols=4)


def draw_gap(figure: Figure, theme: Theme, lambdas: Sequence[float], found: Sequence[Mapping[str, Any]]) -> None:
    """‖W‖, the losses and the error over λ."""
    left, middle, right = figure.subplots(1, 3)
    _band(left, theme, found, "norm", theme.blue)
    train = _band(middle, theme, found, "train", theme.orange)
    test = _band(middle, theme, found, "test", theme.vermillion)
    _band(right, theme, found, "error", theme.vermillion)
    for panel in (left, middle, right):
        panel.set_xticks(range(len(lambdas)), [f"{value:g}" for value in lambdas], rotation=45)
        panel.set_xlabel("λ")
    middle.annotate("test", (0.5, test[0]), (0, 6), textcoords="offset points", color=theme.vermillion)
    middle.annotate("training", (0.4, train[0]), (0, 9), textcoords="offset points", color=theme.orange)
    middle.annotate("", (0, test[0]), (0, train[0]), arrowprops={"arrowstyle": "<->", "color": theme.faint})
    middle.annotate("gap", (0, (test[0] + train[0]) / 2), (4, 0), textcoords="offset points", color=theme.ink)
    left.set(title="norm of the weights", ylabel="‖W‖", ylim=(0, None))
    middle.set(title="loss", ylabel="nats per sample", ylim=(0, None))
    right.set(title="test error", ylabel="share of the test digits", ylim=(0, 1))
    right.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _band(panel: Axes, theme: Theme, found: Sequence[Mapping[str, Any]], name: str, colour: str) -> Any:
    """Draw a quantity's median in both wings, with the quartiles; return the median."""
    for wing in ("torch", "scratch"):
        low, median, high = np.quantile([getattr(one[wing], name) for one in found], (0.25, 0.5, 0.75), axis=0)
        panel.plot(range(len(median)), median, color=colour, **theme.wing(wing))
    panel.fill_between(range(len(median)), low, high, color=colour, alpha=0.15, linewidth=0)
    return median
