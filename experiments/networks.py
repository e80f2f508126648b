"""Which network a configuration means, in either implementation, and the form in which it takes the images."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import scratch
import torchref
from experiments import data
from experiments.backend import Backend
from experiments.batches import batches
from experiments.config import LeNet5Config, MlpConfig, TrainConfig
from experiments.data import Dataset, Split

Array = NDArray[np.floating[Any]]

_BLOCK: Final = 512  # images that are scaled at once: what two processes have of them stays in the cache

_SCRATCH: Final[Mapping[str, Callable[[], scratch.Module]]] = {
    "tanh": scratch.Tanh,
    "lecun-tanh": scratch.Tanh.lecun,
    "logistic": scratch.Logistic,
    "relu": scratch.ReLU,
    "identity": scratch.Identity,
}
_TORCH: Final[Mapping[str, Callable[[], torch.nn.Module]]] = {
    "tanh": torchref.Tanh,
    "lecun-tanh": torchref.Tanh.lecun,
    "logistic": torchref.Logistic,
    "relu": torchref.ReLU,
    "identity": torchref.Identity,
}


class DataShape(NamedTuple):
    """What a network has to know of the data: (height, width) of an image in pixels, and the number of classes."""

    image: tuple[int, ...]
    classes: int


def data_shape(dataset: Dataset) -> DataShape:
    """Return the shape of a data set."""
    return DataShape(dataset.train.images.shape[1:], dataset.num_classes)


def input_shape(config: TrainConfig, image: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in which the network takes an image (h, w): (h·w,) for mlp, (1, h, w) for lenet5."""
    return (1, *image) if isinstance(config, LeNet5Config) else (int(np.prod(image)),)


def inputs(config: TrainConfig, images: NDArray[np.uint8], out: Array | None = None) -> Array:
    """Return images (N, h, w) as the network takes them: (N, h·w) or (N, 1, h, w), scaled, in the run's dtype.

    It is in the memory of `out` (N, h, w), if that is given.
    """
    scaled: Array = data.inputs(images, config.dtype, out)
    return scaled.reshape(len(images), *input_shape(config, images.shape[1:]))


def read(
    config: TrainConfig, split: Split, order: NDArray[np.int64], start: int = 0
) -> Iterator[tuple[Array, NDArray[np.int64]]]:
    """Yield the images of each update as the network takes them, and their labels.

    They are scaled batch by batch, to save memory, and each batch lies where the one before lay: finding room for it
    may take longer than the scaling.

    Parameters
    ----------
    config:
        The settings of the run.
    split:
        What to take the images from.
    order, start:
        As for `batches`.
    """
    memory = np.empty((config.batch_size, *split.images.shape[1:]), config.dtype)
    for chosen in batches(order, config.batch_size, start):
        pixels = split.images.take(chosen, axis=0)
        yield inputs(config, pixels, memory[: len(chosen)]), split.labels[chosen]


def predict(config: TrainConfig, backend: Backend, images: NDArray[np.uint8]) -> Array:
    """Return the outputs (N, K) of a backend for images (N, h, w).

    These too are scaled some at a time: to find room for all of them took longer than to scale them in every epoch.
    """
    memory = np.empty((_BLOCK, *images.shape[1:]), config.dtype)
    blocks = [images[first : first + _BLOCK] for first in range(0, len(images), _BLOCK)]
    return np.concatenate([backend.predict(inputs(config, block, memory[: len(block)])) for block in blocks])


def layer_sizes(config: MlpConfig, shape: DataShape) -> tuple[int, ...]:
    """Return the units of every layer of a perceptron, n^0 … n^L."""
    return (*input_shape(config, shape.image), *config.hidden, shape.classes)


def scratch_network(
    config: TrainConfig, shape: DataShape, rng: np.random.Generator | None = None
) -> scratch.Sequential:
    """Build the hand-made network; `rng` draws its parameters."""
    activation = _SCRATCH[config.activation]
    if isinstance(config, LeNet5Config):
        return scratch.LeNet5(activation, **_form(config), dtype=config.dtype, rng=rng)
    assert isinstance(config, MlpConfig)
    sizes = layer_sizes(config, shape)
    return scratch.MLP(sizes, activation, dropout=config.dropout, dtype=config.dtype, rng=rng)


def torch_network(config: TrainConfig, shape: DataShape, device: torch.device) -> torchref.Sequential:
    """Build the twin on a device; its parameters are meant to be replaced."""
    dtype = getattr(torch, config.dtype)
    # A generator of its own, on the CPU as `torchref.init` wants it: weights that are replaced at once must not move
    # torch's global one.
    rng = torch.Generator().manual_seed(0)
    activation = _TORCH[config.activation]
    if isinstance(config, LeNet5Config):
        return torchref.LeNet5(activation, **_form(config), dtype=dtype, rng=rng, device=device)
    assert isinstance(config, MlpConfig)
    sizes = layer_sizes(config, shape)
    return torchref.MLP(sizes, activation, dropout=config.dropout, dtype=dtype, rng=rng, device=device)


def title(config: TrainConfig, shape: DataShape, parameters: int) -> str:
    """Return what the header of a run calls its network: its layers or its form, its size, and what it drops.

    Such as "784-300-100-10 266,610 parameters" or "lenet5, pooling subsample, c3 table, 60,850 parameters".
    """
    if isinstance(config, LeNet5Config):
        return f"{config.model}, pooling {config.pooling}, c3 {config.c3}, {parameters:,} parameters"
    assert isinstance(config, MlpConfig)
    name = "-".join(map(str, layer_sizes(config, shape)))
    drops = config.dropout
    thinned = f", dropout {drops} (training losses are the thinned network's)" if drops else ""
    return f"{name} {parameters:,} parameters{thinned}"


def _form(config: LeNet5Config) -> dict[str, Any]:
    """Return which LeNet-5 it is, in the keywords that both wings share."""
    return {"pooling": config.pooling, "dense_c3": config.c3 == "dense"}
