"""What the oracle asks of the code it judges: NumPy arrays in, NumPy arrays out, explicit caches."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from torchref.oracle.comparison import Array


class LayerCandidate(Protocol):
    """A layer or network: y, cache = forward(x); dx, grads = backward(dy, cache); live arrays in parameters()."""

    def forward(self, x: Any, /) -> tuple[Any, Any]:
        """The output and a cache."""

    def backward(self, dy: Any, cache: Any, /) -> tuple[Any, dict[str, Any]]:
        """The input gradient, and the parameter gradients by name."""

    def parameters(self) -> dict[str, Any]:
        """The live parameter arrays by name."""


class NetworkCandidate(LayerCandidate, Protocol):
    """A network that can be taken apart: its layers by name, in order, and the output of each."""

    @property
    def layers(self) -> Mapping[str, LayerCandidate]:
        """The layers by name."""

    def trace(self, x: Any, /) -> dict[str, Any]:
        """The output of every layer by name."""


class LossCandidate(Protocol):
    """A loss: value, cache = forward(output, target); doutput = backward(cache)."""

    def forward(self, output: Any, target: Any, /) -> tuple[Any, Any]:
        """The loss of a batch and a cache."""

    def backward(self, cache: Any, /) -> Any:
        """The gradient with respect to the output."""


class PenaltyCandidate(Protocol):
    """A penalty on named parameters: value, cache = forward(params); grads = backward(cache)."""

    def forward(self, params: Any, /) -> tuple[Any, Any]:
        """The penalty and a cache."""

    def backward(self, cache: Any, /) -> dict[str, Any]:
        """The gradients by parameter name."""


class StatefulCandidate(LayerCandidate, Protocol):
    """A layer or network whose parameters can be taken out and put back by name."""

    def state_dict(self) -> dict[str, Any]:
        """Copies of the parameters by name."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Copy all of a state in, or refuse it whole with a ValueError."""


class OptimizerCandidate(Protocol):
    """An optimiser that updates named arrays in place and shows its state by the same names."""

    def step(self, params: Any, grads: Any, /) -> None:
        """Update in place."""

    def state_dict(self) -> dict[str, Any]:
        """Copies of the state by parameter name."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Take copies of a state."""


def to_tensor(array: Array) -> Tensor:
    """A tensor of the same values; always a copy, so that neither side can change the other's."""
    return torch.from_numpy(np.array(array, order="C", subok=False))
