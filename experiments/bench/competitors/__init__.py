"""Who is timed: one module per competitor, each with a class `Steps`, imported in that competitor's process only."""

import importlib
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from experiments.bench.cells import Cell, ModelName

Array = NDArray[np.floating[Any]]


class Steps(Protocol):
    """One cell's computation, ready to be repeated.

    Parameters
    ----------
    cell:
        What is computed; its weights and images come from `experiments.bench.networks`.
    threads:
        Threads that it may compute in; the process has been started with BLAS and OpenMP limited to as many.
    """

    def __init__(self, cell: Cell, threads: int) -> None: ...

    def step(self) -> None:
        """Do one training step, or one forward pass; return when its result is there."""

    def outcome(self) -> dict[str, Array]:
        """Return what the steps so far came to, by which competitors are compared; not timed.

        In training the "loss" of the last step, a scalar, and the parameters after it under the names and in the shapes
        that they have in `scratch`; in inference the "output" (N, 10), logits. A library that returns probabilities
        gives their logarithms: logits are compared up to a constant per image.
        """
        ...

    def describe(self) -> dict[str, str | int]:
        """Return versions, threads, and notes on how the library was asked."""
        ...

    def close(self) -> None:
        """Give back what it holds, such as threads."""


class Competitor(NamedTuple):
    """Where a competitor is, and what it needs.

    Parameters
    ----------
    module:
        Import path of the module with `Steps`.
    needs:
        The module that has to be importable.
    models:
        What it can compute.
    """

    module: str
    needs: str
    models: tuple[ModelName, ...] = ("lenet5", "mlp", "conv")


#: `scratch` first; the peers in the order of the tables.
COMPETITORS: Final[dict[str, Competitor]] = {
    "scratch": Competitor("experiments.bench.competitors.scratch_steps", "scratch"),
    "torch": Competitor("experiments.bench.competitors.torch_steps", "torch"),
    "torch-compile": Competitor("experiments.bench.competitors.torch_compile_steps", "torch"),
    "jax": Competitor("experiments.bench.competitors.jax_steps", "jax"),
    "mygrad": Competitor("experiments.bench.competitors.mygrad_steps", "mygrad"),
    "sklearn": Competitor("experiments.bench.competitors.sklearn_steps", "sklearn", ("mlp",)),
}
PEERS: Final = tuple(COMPETITORS)[1:]


def load(name: str) -> type[Steps]:
    """Import a competitor and return its `Steps`."""
    steps: type[Steps] = importlib.import_module(COMPETITORS[name].module).Steps
    return steps
