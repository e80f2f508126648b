"""The network, the initial weights and the images of a cell: the same for every competitor.

Nothing here imports torch: a process that times NumPy has nothing else in it.
"""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import scratch
from experiments.bench.cells import Cell

Array = NDArray[np.floating[Any]]

CLASSES = 10
LEARNING_RATE = 0.01


class Batch(NamedTuple):
    """Images (N, 784) for a perceptron or (N, 1, 28, 28), standard normal, and their labels (N,), uniform in 0 … 9."""

    images: Array
    labels: NDArray[np.int64]


def hidden_sizes(cell: Cell) -> tuple[int, int]:
    """Return the units of the perceptron's two hidden layers."""
    return round(300 * cell.width), round(100 * cell.width)


def network(wing: ModuleType, cell: Cell, **keywords: Any) -> Any:
    """Build a cell's network from the layers of one wing.

    Parameters
    ----------
    wing:
        `scratch` or `torchref`: their layers have the same names and arguments.
    cell:
        Which network.
    keywords:
        `rng` and `dtype`, in the form that the wing takes them in.
    """
    if cell.model == "mlp":
        return wing.MLP((cell.image**2, *hidden_sizes(cell), CLASSES), **keywords)
    if cell.model == "lenet5":
        return wing.LeNet5(**keywords)
    first, second = round(6 * cell.width), round(16 * cell.width)
    side = (cell.image // 2 - 4) // 2
    dtype = {"dtype": keywords["dtype"]}
    return wing.Sequential(
        {
            "c1": wing.Conv2d(1, first, 5, padding=2, **keywords),
            "c1_f": wing.Tanh.lecun(),
            "s2": wing.Subsample2d(first, 2, **dtype),
            "s2_f": wing.Tanh.lecun(),
            "c3": wing.Conv2d(first, second, 5, **keywords),
            "c3_f": wing.Tanh.lecun(),
            "s4": wing.Subsample2d(second, 2, **dtype),
            "s4_f": wing.Tanh.lecun(),
            "flatten": wing.Flatten(),
            "output": wing.Linear(second * side**2, CLASSES, **keywords),
        }
    )


def scratch_network(cell: Cell) -> scratch.Sequential:
    """Build the hand-made network with the initial weights that every competitor starts from."""
    net: scratch.Sequential = network(scratch, cell, dtype=cell.dtype, rng=np.random.default_rng(0))
    return net


def initial_state(cell: Cell) -> dict[str, Array]:
    """Return the initial weights by name, as `scratch` has them: the same keys, order and shapes as in torch."""
    return scratch_network(cell).state_dict()


def batch(cell: Cell) -> Batch:
    """Return the images and labels of which every step is made."""
    rng = np.random.default_rng(1)
    shape = (cell.image**2,) if cell.model == "mlp" else (1, cell.image, cell.image)
    images = rng.standard_normal((cell.batch, *shape)).astype(cell.dtype)
    return Batch(images, rng.integers(0, CLASSES, cell.batch))
