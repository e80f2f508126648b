"""Torch's training beside a candidate's: each step from the candidate's own parameters, and how far it may be off."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from torchref.oracle import criteria
from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array, Comparison, compare_arrays, to_array
from torchref.oracle.networks.chain import calmed, chain_of, prepared
from torchref.oracle.networks.passes import run
from torchref.oracle.optimizer import VELOCITY

DISTURBED = 4
"""Twins whose gradients are off by what rounding may do: they show what that makes of the parameters."""
SLACK = 2
"""Of the largest effect seen in the twins."""


class Follower:
    """Torch's module and optimiser; the gradients of one that is `disturbed` are off by ±32·eps·max S."""

    optimizer: Any
    """One of torch's, or one of torchref's interface."""

    def __init__(
        self, module: nn.Module, optimizer: Any, dtype: torch.dtype, disturbed: np.random.Generator | None
    ) -> None:
        if isinstance(optimizer, torch.optim.Optimizer):
            # The two are tied: what is copied together stays together. `to` keeps the parameters' identity.
            self.module, self.optimizer = copy.deepcopy((module, optimizer))
            calmed(self.module.to("cpu", dtype))
            for state in self.optimizer.state.values():  # which `to` knows nothing of
                for name, value in state.items():
                    if isinstance(value, Tensor) and value.is_floating_point() and value.ndim:
                        state[name] = value.to("cpu", dtype)
        else:
            self.module = prepared(module, dtype)
            made = optimizer if hasattr(optimizer, "step") else optimizer(list(self.module.parameters()))
            self.optimizer = copy.deepcopy(made) if made is optimizer else made
        self._disturbed = disturbed

    def parameters(self) -> dict[str, Tensor]:
        """By name."""
        return dict(self.module.named_parameters())

    def load(self, values: Mapping[str, Array]) -> None:
        """Take these parameters; the optimiser's state stays."""
        with torch.no_grad():
            for name, parameter in self.parameters().items():
                parameter.copy_(to_tensor(values[name]))

    def step(self, grads: Mapping[str, Tensor], sizes: Mapping[str, float]) -> dict[str, Array]:
        """One step along these gradients: the parameters and, with "velocity " in front, what the optimiser keeps."""
        given = {name: gradient.clone() for name, gradient in grads.items()}
        if self._disturbed is not None:
            for name, gradient in given.items():
                signs = torch.from_numpy(self._disturbed.choice((-1.0, 1.0), tuple(gradient.shape)))
                gradient += (signs * criteria.NETWORK * criteria.unit(gradient) * sizes[name]).to(gradient.dtype)
        own = self.parameters()
        if isinstance(self.optimizer, torch.optim.Optimizer):
            for name, parameter in own.items():
                parameter.grad = given[name]
            self.optimizer.step()
        else:
            self.optimizer.step({name: p.data for name, p in own.items()}, given)
        values = {name: np.array(to_array(p)) for name, p in own.items()}
        return values | {f"{VELOCITY}{name}": np.array(to_array(v)) for name, v in self.velocities().items()}

    def velocities(self) -> dict[str, Tensor]:
        """The momentum buffers by parameter name."""
        if not isinstance(self.optimizer, torch.optim.Optimizer):
            return dict(self.optimizer.state_dict())
        state = self.optimizer.state
        buffers = {name: state.get(p, {}).get("momentum_buffer") for name, p in self.parameters().items()}
        return {name: buffer for name, buffer in buffers.items() if buffer is not None}


class Gradient(NamedTuple):
    """The oracle's loss and gradients of one batch, and S of each, the largest entry of a tensor's."""

    loss: Tensor
    s_loss: Tensor
    grads: dict[str, Tensor]
    sizes: dict[str, float]
    kinks: tuple[str, ...]


def gradient(module: nn.Module, loss: nn.Module, x: Array, target: Array) -> Gradient:
    """What one batch gives with the module's parameters."""
    signals = run(chain_of(module, to_tensor(x)).layers, loss, x, target)
    names = {n.removeprefix("grad/"): n for n in signals.tensors if n.startswith("grad/")}
    return Gradient(
        signals.tensors["loss"],
        signals.magnitudes["loss"],
        {short: signals.tensors[n] for short, n in names.items()},
        {short: float(signals.magnitudes[n].max()) for short, n in names.items()},
        signals.kinks,
    )


class Lockstep:
    """A follower that goes where the candidate goes, and its disturbed twins."""

    def __init__(self, make: Callable[[np.random.Generator | None], Follower], seed: int) -> None:
        self.exact = make(None)
        self._twins = [make(np.random.default_rng([seed, place])) for place in range(DISTURBED)]

    def step(self, before: Mapping[str, Array], found: Gradient, mine: Mapping[str, Any]) -> dict[str, Comparison]:
        """One step from the candidate's parameters; what it has after its own is judged.

        |a − t| ≤ 2·D + 8·eps·(|p| + |Δp|), D being how far the disturbed twins are off.
        """
        ends = []
        for follower in (self.exact, *self._twins):
            follower.load(before)
            ends.append(follower.step(found.grads, found.sizes))
        right, *disturbed = ends
        verdicts = {}
        for name, value in right.items():
            if name in mine:
                largest = max(
                    float(np.abs(other[name].astype(np.float64) - value).max(initial=0.0)) for other in disturbed
                )
                start = before.get(name, np.zeros_like(value)).astype(np.float64)
                moved = np.abs(start) + np.abs(value - start)
                bound = SLACK * largest + criteria.ROUNDINGS * criteria.unit(value) * moved + criteria.smallest(value)
                verdicts[name] = compare_arrays(name, mine[name], value, bound, "2 linear operation")
        return verdicts
