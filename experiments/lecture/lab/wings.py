"""The two wings as the experiments see them: the same network built in each, with arrays on both sides."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

import scratch
import torchref
from experiments.backend import Array, Backend, Target
from experiments.backends import ScratchBackend, TorchBackend
from experiments.batches import batches, epoch_order

Make = Callable[[ModuleType, Any, Any], Any]
"""What builds a network in either wing, from its library, its form of the dtype, and its form of a generator:
`lambda w, d, rng: w.MLP((2, 2, 1), w.Tanh, dtype=d, rng=rng)`."""


@dataclasses.dataclass(frozen=True)
class Wing:
    """`scratch` or `torchref`.

    Parameters
    ----------
    name:
        "scratch" or "torch", as the run folders are called.
    library:
        The package.
    """

    name: str
    library: ModuleType

    def dtype(self, name: str = "float64") -> Any:
        """The wing's own form of "float32" or "float64"."""
        return getattr(np if self.name == "scratch" else torch, name)

    def give(self, array: NDArray[Any]) -> Any:
        """An array in the form that the wing takes: itself, or a tensor with a copy of it."""
        return array if self.name == "scratch" else torch.tensor(array)

    def take(self, result: Any) -> NDArray[Any]:
        """What the wing gave, as an array."""
        array: NDArray[Any] = np.asarray(result) if self.name == "scratch" else result.detach().cpu().numpy()
        return array

    def build(self, make: Make, params: Mapping[str, Array] | None = None, dtype: str = "float64") -> Any:
        """Build a network, with these parameters if there are any; no global generator is moved."""
        if self.name == "scratch":
            net = make(scratch, self.dtype(dtype), np.random.default_rng(0))
        else:
            net = make(torchref, self.dtype(dtype), torch.Generator().manual_seed(0))
        if params is not None:
            net.load_state_dict({name: self.give(value) for name, value in params.items()})
        return net

    def learner(
        self,
        make: Make,
        loss: Callable[[ModuleType], Any],
        params: Mapping[str, Array],
        *,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        dtype: str = "float64",
    ) -> Backend:
        """Build a network that learns: with these parameters, this loss and SGD.

        Parameters
        ----------
        make:
            Builds the network.
        loss:
            Builds the loss: `lambda w: w.SquaredError("sum")`.
        params:
            Where learning starts, by name; copied.
        lr, momentum, weight_decay, dtype:
            As `SGD` and the networks take them.
        """
        net = self.build(make, params, dtype)
        optimizer = self.library.SGD(lr, momentum, weight_decay)
        backend = ScratchBackend if self.name == "scratch" else TorchBackend
        learner: Backend = backend(net, loss(self.library), optimizer)
        return learner


WINGS: Final = (Wing("scratch", scratch), Wing("torch", torchref))


def initial(make: Make, seed: int, dtype: str = "float64") -> dict[str, Array]:
    """Draw the parameters that a network starts from in both wings; they depend on nothing but the arguments."""
    state: dict[str, Array] = make(scratch, np.dtype(dtype), np.random.default_rng(seed)).state_dict()
    return state


def epochs(learner: Backend, x: Array, target: Target, *, batch_size: int, seed: int) -> Iterator[float]:
    """Train epoch by epoch, for as long as the caller asks for one more.

    Parameters
    ----------
    learner:
        From `Wing.learner`.
    x, target:
        The training set; the first axis counts the samples.
    batch_size:
        Samples per update: N is the lecture's batch learning, 1 its online learning.
    seed:
        Decides the order of the samples, which is another in each epoch; the same in both wings.

    Yields
    ------
    float
        Mean of the samples' losses, each as it was when the network saw it, before the update.
    """
    epoch = 0
    while True:
        epoch += 1
        order = epoch_order(seed, epoch, len(x)) if batch_size < len(x) else np.arange(len(x))
        total = 0.0
        for chosen in batches(order, batch_size):
            step = learner.gradients(x[chosen], target[chosen])
            learner.update(step.grads)
            total += step.loss * len(chosen)
        yield total / len(x)


def squared_error(library: ModuleType) -> Any:
    """The loss ½(y − t)², averaged over the samples."""
    return library.SquaredError("mean")


def most_apart(first: Mapping[str, Array], second: Mapping[str, Array]) -> float:
    """Largest |a − b| over all arrays of the same names; NaN if there is one."""
    return float(np.max([np.max(np.abs(first[name] - second[name]), initial=0.0) for name in first]))
