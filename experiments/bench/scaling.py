"""How the cost of a training step grows with the images and with the network, beside how its multiply-adds grow."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from experiments.bench import networks
from experiments.bench.cells import Cell
from experiments.bench.results import Measured
from experiments.bench.tables import Table
from experiments.bench.timing import entrants, time_cell
from experiments.bench.workers import started
from scratch import summarize
from scratch.summary import LayerSummary

BATCH: Final = 64


@dataclasses.dataclass(frozen=True)
class Study:
    """A network in which one size grows.

    Parameters
    ----------
    name, title:
        What it is called in the JSON file, and above its picture.
    axis:
        What grows, and in which unit.
    sizes:
        Its values.
    cells:
        The network of each size.
    """

    name: str
    title: str
    axis: str
    sizes: tuple[int, ...]
    cells: tuple[Cell, ...]


def studies(batch: int = BATCH) -> tuple[Study, ...]:
    """Return what is measured, with so many images in a step."""
    sides, widths = (32, 48, 64, 96), (1, 2, 4, 8)
    grown = [Cell(model="conv", mode="train", batch=batch, image=side) for side in sides]
    maps = [Cell(model="conv", mode="train", batch=batch, width=width) for width in widths]
    units = [Cell(model="mlp", mode="train", batch=batch, width=width) for width in widths]
    return (
        Study("image", "LeNet-like net, larger images", "side n of the image, pixels", sides, tuple(grown)),
        Study("maps", "LeNet-like net, more maps", "maps n in C1", tuple(6 * width for width in widths), tuple(maps)),
        Study(
            "units",
            "MLP, more units",
            "units n in the first layer",
            tuple(300 * width for width in widths),
            tuple(units),
        ),
    )


def multiply_adds(cell: Cell) -> int:
    """Return the multiply-adds that one image takes.

    In inference those of the forward pass. In training each layer's come a second time for the gradient of its weights,
    and a third time for that of its input, which the first layer does not need.
    """
    counts = [layer.multiply_adds for layer in _layers(cell)]
    if cell.mode == "infer":
        return sum(counts)
    return 3 * sum(counts) - next(count for count in counts if count)


def values(cell: Cell) -> int:
    """Return how many numbers all layers put out for one image: what copies and activation functions work on."""
    return sum(math.prod(layer.output_shape) for layer in _layers(cell))


def _layers(cell: Cell) -> tuple[LayerSummary, ...]:
    shape = networks.batch(dataclasses.replace(cell, batch=1)).images.shape[1:]
    return summarize(networks.scratch_network(cell), shape).layers


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the exponent p of cost ~ size^p, by least squares over the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


@dataclasses.dataclass(frozen=True)
class Growth:
    """What a study came to.

    Parameters
    ----------
    study:
        What grew.
    measured:
        Its cells, timed.
    """

    study: Study
    measured: tuple[Measured, ...]

    @property
    def names(self) -> list[str]:
        """Who was timed in every cell, `scratch` first."""
        everyone = dict.fromkeys(timing.name for one in self.measured for timing in one.timings)
        return [name for name in everyone if all(one.best(name) for one in self.measured)]

    @property
    def multiply_adds(self) -> list[int]:
        """Per image, in each cell."""
        return [multiply_adds(cell) for cell in self.study.cells]

    def seconds(self, name: str) -> list[float]:
        """Return somebody's seconds per image in each cell."""
        rates = [one.images_per_second(name) for one in self.measured]
        return [math.nan if rate is None else 1 / rate for rate in rates]

    @property
    def values(self) -> list[int]:
        """Per image, in each cell."""
        return [values(cell) for cell in self.study.cells]

    @property
    def expected(self) -> tuple[float, float]:
        """The exponents with which values and multiply-adds grow: a cost made of both grows with one in between."""
        return slope(self.study.sizes, self.values), slope(self.study.sizes, self.multiply_adds)

    def slope(self, name: str) -> float:
        """Return the exponent with which somebody's seconds grow."""
        return slope(self.study.sizes, self.seconds(name))

    def to_json(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        return {
            "study": self.study.name,
            "axis": self.study.axis,
            "sizes": list(self.study.sizes),
            "values": self.values,
            "multiply_adds": self.multiply_adds,
            "exponents": {
                **dict(zip(("values", "multiply-adds"), self.expected, strict=True)),
                **{name: self.slope(name) for name in self.names},
            },
            "cells": [one.to_dict() for one in self.measured],
        }


def measure(
    *,
    threads: int,
    rounds: int,
    seconds: float,
    peers: Sequence[str] = ("torch",),
    batch: int = BATCH,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Growth]:
    """Time every network of every study.

    Parameters
    ----------
    threads, rounds, seconds:
        As for the steps.
    peers:
        Who is timed besides `scratch`.
    batch:
        Images in one step.
    progress:
        Told what is going on.

    Raises
    ------
    WorkerError
        If `scratch` itself fails, or any competitor does so while it is being measured.
    """
    with started(entrants(("scratch", *peers), threads)) as workers:
        return [
            Growth(
                study,
                tuple(
                    time_cell(cell, workers, rounds=rounds, seconds=seconds, progress=progress) for cell in study.cells
                ),
            )
            for study in studies(batch)
        ]


def table(found: Sequence[Growth]) -> Table:
    """Return the cost of one image in every network, and under each study the exponents."""
    names = list(dict.fromkeys(name for growth in found for name in growth.names))
    headings = ("network", "grows", "size", "values", "multiply-adds", *(f"{name}, µs per image" for name in names))
    return Table(
        "cost of an image in training", headings, tuple(row for growth in found for row in _rows(growth, names))
    )


def _rows(growth: Growth, names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    model, axis = growth.study.cells[0].model, growth.study.axis
    own = {name: growth.seconds(name) for name in names}
    counts = zip(growth.study.sizes, growth.values, growth.multiply_adds, strict=True)
    for i, (size, *both) in enumerate(counts):
        costs = (_number(1e6 * own[name][i], ",.1f") for name in names)
        yield (model, axis, f"{size}", *(f"{count:,}" for count in both), *costs)
    slopes = (growth.slope(name) if name in growth.names else math.nan for name in names)
    yield (model, axis, "exponent of n", *(_number(one, ".2f") for one in (*growth.expected, *slopes)))


def _number(value: float, form: str) -> str:
    return "–" if math.isnan(value) else f"{value:{form}}"
