"""The figures of the experiment `subsampling`: a map before and after, and what becomes of digits that have moved."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from experiments.backend import Array
from experiments.lecture.lab import Lab, Theme
from experiments.lecture.subsampling_shifts import KINDS, Seed


def draw(lab: Lab, pictures: Mapping[str, Array], found: Mapping[str, Sequence[Seed]]) -> None:
    """Draw both."""
    lab.figure(
        "maps",
        lambda figure, theme: draw_maps(figure, theme, pictures),
        size=(8, 1.9),
        caption="One map of LeNet-5's C1 for a digit, and the same map shrunk in four ways; orange is positive, blue "
        "negative, all on one scale.",
        alt="A digit, its feature map of 24×24 units, and four maps of 12×12 units made from it.",
    )
    lab.figure(
        "moved",
        lambda figure, theme: draw_moved(figure, theme, found),
        size=(8, 3.4),
        caption="Digits moved by one pixel; a stroke per seed (torch's on scratch's), a line at the median. Left: how "
        "much of the change in C1's maps is left behind each way to shrink them. Right: what trained networks misread.",
        alt="Left: stride at 1, the poolings between 0.8 and 1. Right: stride errs most, average and maximum least.",
    )


def draw_maps(figure: Figure, theme: Theme, pictures: Mapping[str, Array]) -> None:
    """Draw them side by side, one scale for all: blue below 0, orange above."""
    spectrum = LinearSegmentedColormap.from_list("signs", (theme.blue, theme.page, theme.orange))
    for axes, (name, picture) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        axes.imshow(picture, cmap=spectrum, vmin=-1.7, vmax=1.7)
        axes.set(title=name, xlabel=f"{picture.shape[1]}×{picture.shape[0]}", xticks=(), yticks=())
        axes.grid(visible=False)
        axes.spines[:].set(visible=True, color=theme.grid)


def draw_moved(figure: Figure, theme: Theme, found: Mapping[str, Sequence[Seed]]) -> None:
    """Draw how much of the change is left behind each kind, and the error on moved digits: a dot per seed."""
    left, right = figure.subplots(1, 2)
    for place, (kind, colour) in enumerate(zip(KINDS, theme.colours, strict=False)):
        for wing, seeds in found.items():
            kept, errors = [seed.kept[kind] for seed in seeds], [100 * seed.errors[kind][1] for seed in seeds]
            for axes, values in ((left, kept), (right, errors)):
                strokes = [[(place - 0.15, value), (place + 0.15, value), (np.nan, np.nan)] for value in values]
                axes.plot(*np.concatenate(strokes).T, color=colour, **theme.wing(wing))
                axes.plot((place - 0.35, place + 0.35), (np.median(values),) * 2, color=theme.ink, linewidth=1)
    left.set(title="change of the maps, after / before", ylabel="ratio")
    right.set(title="misread of the moved test digits", ylabel="error (%)")
    for axes in (left, right):
        axes.set(xticks=range(len(KINDS)), xticklabels=KINDS)
        axes.grid(visible=False, axis="x")
