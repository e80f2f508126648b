"""What LeNet-5 consists of, in both wings and in the paper: sizes, parameters, connections, the S2-C3 table."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.lecture.lab import WINGS, Make, Wing

PAPER: Final[Mapping[str, tuple[tuple[int, ...], int, int]]] = {
    "c1": ((6, 28, 28), 156, 122_304),
    "s2": ((6, 14, 14), 12, 5_880),
    "c3": ((16, 10, 10), 1_516, 151_600),
    "s4": ((16, 5, 5), 32, 2_000),
    "c5": ((120, 1, 1), 48_120, 48_120),
    "f6": ((84,), 10_164, 10_164),
}
"""LeCun et al. 1998, section II.B: maps and their size, trainable parameters, connections. The output is not here: the
paper's has nothing to train; ours is linear."""


class Count(NamedTuple):
    """One layer: the shape of its output, its trainable parameters, its connections."""

    shape: tuple[int, ...]
    parameters: int
    connections: int


def make(w: Any, dtype: Any, rng: Any) -> Any:
    """LeNet-5 of either wing, as the paper has it; ten linear outputs."""
    return w.LeNet5(dtype=dtype, rng=rng)


def count(wing: Wing) -> dict[str, Count]:
    """Sizes and counts of the layers, the squashing functions left out."""
    layers = wing.library.summarize(wing.build(make), (1, 32, 32)).layers
    return {
        one.name: Count(tuple(one.output_shape), one.parameters, one.connections)
        for one in layers
        if one.name in (*PAPER, "output")
    }


def dense() -> dict[str, int]:
    """Parameters of C3 in each wing if it saw all maps of S2."""
    every: Make = lambda w, dtype, rng: w.LeNet5(dense_c3=True, dtype=dtype, rng=rng)  # noqa: E731
    return {
        wing.name: sum(
            one.parameters for one in wing.library.summarize(wing.build(every), (1, 32, 32)).layers if one.name == "c3"
        )
        for wing in WINGS
    }


def table(wing: Wing) -> NDArray[np.bool_]:
    """The S2-C3 table (16, 6) as the wing's own C3 holds it: scratch has the slide's grid, torch the paper's lists."""
    net = wing.build(make)
    layer = net.layers["c3"] if wing.name == "scratch" else net.c3
    links: NDArray[np.bool_] = wing.take(layer.connections)
    return links


def rows(counts: Mapping[str, Count]) -> list[tuple[str, ...]]:
    """The table of the layers, beside the paper's numbers."""
    lines: list[tuple[str, ...]] = []
    for name, one in counts.items():
        maps, *size = one.shape
        paper = [f"{number:,}" for number in PAPER[name][1:]] if name in PAPER else ["0 (RBF)", "840 (RBF)"]
        shape = f"{maps}@{'×'.join(map(str, size))}" if size else str(maps)
        lines.append((name.upper(), shape, f"{one.parameters:,}", paper[0], f"{one.connections:,}", paper[1]))
    return lines
