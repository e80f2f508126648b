"""Digits of 7×7 pixels, and the network that learns them: small enough for thousands of updates in a second."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from experiments import data
from experiments.backend import Array

WAYS: Final = ((0, 1), (0, -1), (1, 0), (-1, 0))
"""One pixel right, left, down and up: how digits are moved."""


def coarse(images: Array, factor: int) -> Array:
    """Mean of each factor × factor pixels: (N, h, w) -> (N, h / factor, w / factor)."""
    n, height, width = images.shape
    means: Array = images.reshape(n, height // factor, factor, width // factor, factor).mean(axis=(2, 4))
    return means


def rows(images: NDArray[np.uint8]) -> Array:
    """Images (N, 28, 28) as the networks take them, each 4×4 pixels by their mean: (N, 49)."""
    return coarse(data.inputs(images, "float64"), 4).reshape(-1, 49)


def network(hidden: int, library: Any, dtype: Any, rng: Any) -> Any:
    """49 pixels, one hidden layer, 10 classes."""
    return library.MLP((49, hidden, 10), library.Tanh.lecun, dtype=dtype, rng=rng)
