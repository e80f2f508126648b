"""What the training loop sees of an implementation: NumPy arrays on both sides, never a tensor."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]
Target = Array | Labels
"""Classes (N,), or values (N, K), whichever the loss takes."""
Masks = Mapping[str, NDArray[np.bool_]]
"""Which units stay, (N, units), by the names of the layers that drop the others."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One forward and backward pass.

    Parameters
    ----------
    loss:
        The data loss, averaged over the batch; the penalty ½λ‖W‖² is not in it.
    outputs:
        Output of the network, (N, K).
    grads:
        ∂loss/∂p by parameter name; the penalty's λW is not in it, the optimiser adds it. They may be lent: read-only,
        and overwritten by the next call of `gradients`.
    """

    loss: float
    outputs: Array
    grads: dict[str, Array]


class Backend(Protocol):
    """What the training loop needs of an implementation: a network, a loss and an optimiser.

    `lr` is the learning rate of the next update; the loop sets it before each.
    """

    name: str
    lr: float

    def gradients(self, images: Array, labels: Target, masks: Masks | None = None) -> Step:
        """Forward and backward pass over a batch: images as `networks.inputs` gives them, and what they should give.

        Units are dropped by `masks`; without them none is.
        """
        ...

    def update(self, grads: Mapping[str, Array]) -> None:
        """Make one step of the optimiser along these gradients."""
        ...

    def trace(self, images: Array, masks: Masks | None = None) -> dict[str, Array]:
        """Return the output of every layer, by layer name in the order of computation; `masks` as in `gradients`."""
        ...

    def predict(self, images: Array) -> Array:
        """Return the outputs (N, K) of the whole network, computed without gradients."""
        ...

    def loss(self, outputs: Array, labels: Target) -> float:
        """Return the mean data loss of outputs (N, K)."""
        ...

    def num_parameters(self) -> int:
        """Return how many numbers are trained; those of absent links are not."""
        ...

    def connections(self) -> dict[str, NDArray[np.bool_]]:
        """Return the table (O, C) of each layer that is not fully linked, by its name: True where there is a link."""
        ...

    def parameters(self) -> dict[str, Array]:
        """Return the parameters by name. They may be the live ones: copy what must outlast an update."""
        ...

    def load_parameters(self, params: Mapping[str, Array]) -> None:
        """Copy these values into the parameters."""
        ...

    def state(self) -> dict[str, Array]:
        """Return the optimiser's state by parameter name."""
        ...

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Replace the optimiser's state."""
        ...

    def close(self) -> None:
        """End what was started for it: processes."""
        ...
