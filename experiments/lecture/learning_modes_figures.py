"""What `learning-modes` writes of its measurements: table, curves, figures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from experiments.backend import Array
from experiments.lecture.lab import Lab, Theme
from experiments.lecture.learning_modes_descent import Found, Measured, pooled


def record(
    lab: Lab, found: Found, rates: Mapping[str, float], sizes: Mapping[str, int], threshold: float, copies: int
) -> None:
    """Tabulate medians, write the first seed's curves to TensorBoard, draw."""
    rows = []
    for mode, size in sizes.items():
        runs = {wing: [one[wing].once[mode] for one in found] for wing in found[0]}
        rows.append(
            (
                mode,
                size,
                f"{rates[mode]:g}",
                f"{np.median([run.epochs[-1] for run in runs['scratch']]):.1f}",
                f"{np.median([run.updates for run in runs['scratch']]):,.0f}",
                *(f"{np.median([run.seconds[-1] for run in some]):.3f}" for some in runs.values()),
                f"{np.median([run.rises for run in runs['scratch']]):.0%}",
                *(f"{one.held[size]:,}" for one in found[0].values()),
            )
        )
    lab.table(
        f"to a loss of {threshold:g}: medians over {len(found)} seeds; rises: shares of the updates",
        ("mode", "B", "α", "epochs", "updates", "CPU s scratch", "torch", "rises", "bytes held", "torch"),
        rows,
    )
    for wing, one in found[0].items():
        for mode, run in one.once.items():
            places = thin(run.losses)
            lab.curve(wing, f"loss_by_update/{mode}", run.losses[places], places)
            lab.curve(wing, f"loss_by_samples/{mode}", run.losses[places], places * sizes[mode])
        lab.curve(wing, "gradient_spread_by_batch_size", one.spread.values(), one.spread)
        lab.curve(wing, "bytes_held_by_batch_size", one.held.values(), one.held)
    lab.figure(
        "modes",
        lambda figure, theme: draw_modes(figure, theme, threshold, found[0]),
        size=(8, 3.3),
        caption="The loss of one seed against epochs, updates and CPU seconds, each mode at its own best rate. Online "
        "learning takes fewer epochs than batch learning, and more updates; which takes longer is a matter of the "
        "machine and of the number of samples. Scratch wide, torch dashed.",
        alt="Three panels with falling curves of batch, mini-batch and online learning, against three clocks.",
    )
    lab.figure(
        "noise-and-memory",
        lambda figure, theme: draw_noise(figure, theme, found),
        size=(8, 3.0),
        caption="Left: how far the gradient of B samples is from that of all, on the line that one-sample gradients "
        "predict. Right: what the forward pass keeps for the backward pass.",
        alt="The spread of the gradient falls with the batch size as predicted; the memory grows in proportion to it.",
    )
    lab.figure(
        "copies",
        lambda figure, theme: draw_copies(figure, theme, copies, found[0]["scratch"]),
        size=(8, 3.0),
        caption=f"The same data once, and {copies} times over: batch learning takes the same epochs, online "
        "learning about a tenth.",
        alt="Left, the two curves of batch learning lie on each other; right, those of online learning are apart.",
    )


def thin(values: Array, most: int = 90) -> Any:
    """Places of at most so many values, close together at the start: for a logarithmic axis."""
    return np.unique(np.geomspace(1, len(values), most).astype(int)) - 1


def draw_modes(figure: Figure, theme: Theme, threshold: float, one: Mapping[str, Measured]) -> None:
    """One seed's losses against three clocks."""
    panels = figure.subplots(1, 3, sharey=True)
    for wing, measured in one.items():
        for colour, (mode, run) in zip(theme.colours, measured.once.items(), strict=False):
            places = thin(run.losses)[1:]
            label = mode if wing == "scratch" else None
            for panel, clock in zip(panels, (run.epochs, np.arange(len(run.losses)), run.seconds), strict=True):
                panel.plot(clock[places], run.losses[places], color=colour, label=label, **theme.wing(wing))
    for panel, name in zip(panels, ("epochs", "updates", "CPU seconds of the updates"), strict=True):
        _logarithmic(panel, xlabel=name)
        panel.axhline(threshold, color=theme.faint, linewidth=0.8)
    panels[0].set_ylabel("loss of all samples (nats)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)


def draw_noise(figure: Figure, theme: Theme, found: Found) -> None:
    """Spread of the gradient, and bytes held, against the batch size."""
    left, right = figure.subplots(1, 2)
    spreads = pooled(found)
    for colour, (wing, spread) in zip((theme.blue, theme.orange), spreads.items(), strict=False):
        sizes = list(spread)[:-1]  # that of all samples is 0, which no logarithmic axis has
        left.plot(sizes, [spread[size][0] for size in sizes], color=colour, label=wing, **theme.wing(wing))
        held = found[0][wing].held
        right.plot(list(held), [value / 1024 for value in held.values()], color=colour, marker="o", markersize=4)
        right.annotate(wing, (sizes[-1], held[sizes[-1]] / 1024), (0, 9 if wing == "torch" else -14), color=colour,
            textcoords="offset points", ha="right" if wing == "torch" else "left")  # fmt: skip
    left.plot(
        sizes,
        [spread[size][1] for size in sizes],
        "o",
        color=theme.ink,
        markersize=4,
        label="predicted from single samples",
    )
    left.legend()
    _logarithmic(left, xlabel="samples B in the gradient", ylabel="rms of ‖$g_B$ − g‖ / ‖g‖", title="noise")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    _logarithmic(right, xlabel="samples B in the batch", ylabel="held for the backward pass (KiB)", title="memory")


def draw_copies(figure: Figure, theme: Theme, copies: int, one: Measured) -> None:
    """Loss against epochs, of the data and of their copies."""
    panels = figure.subplots(1, 2, sharey=True)
    for panel, mode in zip(panels, ("batch", "online"), strict=True):
        for colour, label, run, style in (
            (theme.blue, "the data once", one.once[mode], theme.wing("scratch")),
            (theme.vermillion, f"{copies} copies of them", one.copied[mode], theme.wing("torch")),
        ):
            places = thin(run.losses)[1:]
            panel.plot(run.epochs[places], run.losses[places], color=colour, label=label, **style)
        _logarithmic(panel, xlabel="epochs", title=mode)
    panels[0].set_ylabel("loss of all samples (nats)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)


def _logarithmic(panel: Axes, **labels: str) -> None:
    panel.set(xscale="log", yscale="log", **labels)
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    panel.minorticks_off()
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter("{x:g}")
