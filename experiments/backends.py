"""The two implementations behind one small interface, `Backend`, so that the training loop is written once."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

import scratch
import torchref
from experiments.backend import Array, Backend, Masks, Step, Target
from experiments.config import TrainConfig
from experiments.errors import USAGE_ERROR, UserError
from experiments.networks import DataShape, scratch_network, torch_network
from experiments.threads import cores
from scratch.batch import join, take
from scratch.parallel import DataParallel
from scratch.worker import WorkerEndedError

_CPU: Final = torch.device("cpu")
_BLOCK: Final = 1000  # images per forward pass without gradients: bounds the memory, changes no result that is compared


class ScratchBackend:
    """A hand-made network with its loss and optimiser.

    Parameters
    ----------
    net, criterion, optimizer:
        All of `scratch`.
    threads:
        On how many cores; each part of a batch that is computed in a process of its own.
    """

    name = "scratch"

    def __init__(self, net: scratch.Sequential, criterion: Any, optimizer: scratch.SGD, threads: int = 1) -> None:
        self.net = net
        self.criterion = criterion
        self.optimizer = optimizer
        self._parallel = DataParallel(net, criterion, threads, lends=True)

    @classmethod
    def configured(cls, config: TrainConfig, shape: DataShape, rng: np.random.Generator | None = None) -> Self:
        """Build what a configuration means, for data of this shape; `rng` draws the initial parameters."""
        criterion = scratch.CrossEntropy() if config.loss == "cross-entropy" else scratch.SquaredError()
        optimizer = scratch.SGD(config.lr, config.momentum, config.weight_decay)
        return cls(scratch_network(config, shape, rng), criterion, optimizer, cores(config.threads))

    @property
    def lr(self) -> float:
        """See `Backend`."""
        return self.optimizer.lr

    @lr.setter
    def lr(self, rate: float) -> None:
        self.optimizer.lr = rate

    def gradients(self, images: Array, labels: Target, masks: Masks | None = None) -> Step:
        """See `Backend`."""
        # Overflow is reported by the loop, with the tensor in which it began; NumPy's warning would only say less.
        with np.errstate(over="ignore", invalid="ignore"), _processes():
            value, output, grads = self._parallel.gradients(images, labels, masks)
        return Step(float(value), output, grads)

    def update(self, grads: Mapping[str, Array]) -> None:
        """See `Backend`."""
        with np.errstate(over="ignore", invalid="ignore"):
            self.optimizer.step(self.net.parameters(), grads)

    def trace(self, images: Array, masks: Masks | None = None) -> dict[str, Array]:
        """See `Backend`."""
        pieces = [piece for part in self.plan(images) for piece in part]
        with np.errstate(over="ignore", invalid="ignore"), self.limited(images):
            traces = [self.net.trace(images[piece], take(masks, piece)) for piece in pieces]
        return {name: join([trace[name] for trace in traces]) for name in traces[0]}

    def plan(self, images: Array) -> list[list[slice]]:
        """Return which images of a batch go through the network at once: for each part its pieces."""
        return self._parallel.plan(images)

    def limited(self, images: Array) -> contextlib.AbstractContextManager[Any]:
        """Return what has BLAS compute in as many threads as it does for these images."""
        return self._parallel.limited(images)

    def predict(self, images: Array) -> Array:
        """See `Backend`."""
        blocks = [images[i : i + _BLOCK] for i in range(0, len(images), _BLOCK)]
        with np.errstate(over="ignore", invalid="ignore"), _processes():
            return np.concatenate([self._parallel.predict(block) for block in blocks])

    def loss(self, outputs: Array, labels: Target) -> float:
        """See `Backend`."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(self.criterion.forward(outputs, labels)[0])

    def num_parameters(self) -> int:
        """See `Backend`."""
        return self.net.num_parameters

    def connections(self) -> dict[str, NDArray[np.bool_]]:
        """See `Backend`."""
        tables = {name: getattr(layer, "connections", None) for name, layer in self.net.layers.items()}
        return {name: table for name, table in tables.items() if table is not None}

    def parameters(self) -> dict[str, Array]:
        """See `Backend`."""
        return self.net.parameters()

    def load_parameters(self, params: Mapping[str, Array]) -> None:
        """See `Backend`."""
        self.net.load_state_dict(params)

    def state(self) -> dict[str, Array]:
        """See `Backend`."""
        return self.optimizer.state_dict()

    def load_state(self, state: Mapping[str, Array]) -> None:
        """See `Backend`."""
        self.optimizer.load_state_dict(state)

    def close(self) -> None:
        """See `Backend`."""
        self._parallel.close()


class TorchBackend:
    """The twin in torch.nn, with autograd, on the CPU or on a GPU.

    Parameters
    ----------
    net, criterion, optimizer:
        All of `torchref`.
    device:
        Where the network is.
    """

    name = "torch"

    def __init__(
        self,
        net: torchref.Sequential,
        criterion: torch.nn.Module,
        optimizer: torchref.SGD,
        device: torch.device = _CPU,
    ) -> None:
        self.net = net
        self.criterion = criterion
        self.optimizer = optimizer
        self.device = device
        self._params = dict(self.net.named_parameters())

    @classmethod
    def configured(cls, config: TrainConfig, shape: DataShape) -> Self:
        """Build what a configuration means, for data of this shape; `UserError` if its device is not there."""
        device = find_device(config.device)
        criterion = torchref.CrossEntropy() if config.loss == "cross-entropy" else torchref.SquaredError()
        optimizer = torchref.SGD(config.lr, config.momentum, config.weight_decay)
        return cls(torch_network(config, shape, device), criterion, optimizer, device)

    @property
    def lr(self) -> float:
        """See `Backend`."""
        return self.optimizer.lr

    @lr.setter
    def lr(self, rate: float) -> None:
        self.optimizer.lr = rate

    def gradients(self, images: Array, labels: Target, masks: Masks | None = None) -> Step:
        """See `Backend`."""
        outputs = self.net(self._tensor(images), self._masks(masks))
        loss = self.criterion(outputs, self._tensor(labels))
        grads = torch.autograd.grad(loss, list(self._params.values()))
        return Step(
            float(loss.detach()),
            _array(outputs),
            {name: _array(g) for name, g in zip(self._params, grads, strict=True)},
        )

    def update(self, grads: Mapping[str, Array]) -> None:
        """See `Backend`."""
        self.optimizer.step(self._params, {name: self._tensor(grad) for name, grad in grads.items()})

    def trace(self, images: Array, masks: Masks | None = None) -> dict[str, Array]:
        """See `Backend`."""
        with torch.no_grad():
            outputs = self.net.trace(self._tensor(images), self._masks(masks))
        return {name: _array(output) for name, output in outputs.items()}

    def predict(self, images: Array) -> Array:
        """See `Backend`."""
        blocks = [images[i : i + _BLOCK] for i in range(0, len(images), _BLOCK)]
        with torch.no_grad():
            return np.concatenate([_array(self.net(self._tensor(block))) for block in blocks])

    def loss(self, outputs: Array, labels: Target) -> float:
        """See `Backend`."""
        with torch.no_grad():
            return float(self.criterion(self._tensor(outputs), self._tensor(labels)))

    def num_parameters(self) -> int:
        """See `Backend`."""
        return self.net.num_parameters

    def connections(self) -> dict[str, NDArray[np.bool_]]:
        """See `Backend`."""
        tables = {name: getattr(layer, "connections", None) for name, layer in self.net.named_children()}
        return {name: table.cpu().numpy() for name, table in tables.items() if table is not None}

    def parameters(self) -> dict[str, Array]:
        """See `Backend`."""
        return {name: _array(parameter) for name, parameter in self._params.items()}

    def load_parameters(self, params: Mapping[str, Array]) -> None:
        """See `Backend`."""
        self.net.load_state_dict({name: self._tensor(value) for name, value in params.items()})

    def state(self) -> dict[str, Array]:
        """See `Backend`."""
        return {name: _array(value) for name, value in self.optimizer.state_dict().items()}

    def load_state(self, state: Mapping[str, Array]) -> None:
        """See `Backend`."""
        # Copies: from_numpy shares its memory, and the optimiser updates the velocities in place.
        self.optimizer.load_state_dict({name: self._tensor(value.copy()) for name, value in state.items()})

    def close(self) -> None:
        """See `Backend`."""

    def _masks(self, masks: Masks | None) -> dict[str, torch.Tensor] | None:
        return None if masks is None else {name: self._tensor(mask) for name, mask in masks.items()}

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        # A data set's arrays are read-only, which torch has no notion of: those are copied.
        return torch.from_numpy(np.require(array, requirements="W")).to(self.device)


def initial_parameters(config: TrainConfig, shape: DataShape) -> dict[str, Array]:
    """Draw the weights that every backend starts from: they depend on network, dtype and seed, not on the backend."""
    return scratch_network(config, shape, np.random.default_rng(config.seed)).state_dict()


def build(name: str, config: TrainConfig, params: Mapping[str, Array], shape: DataShape) -> Backend:
    """Build one backend with these parameters.

    Parameters
    ----------
    name:
        "scratch" or "torch".
    config:
        Settings of the run.
    params:
        Initial parameters by name; copied.
    shape:
        Of the data.
    """
    kind = ScratchBackend if name == "scratch" else TorchBackend
    backend: Backend = kind.configured(config, shape)
    backend.load_parameters(params)
    return backend


def find_device(name: str) -> torch.device:
    """Return torch's device of this name.

    Raises
    ------
    UserError
        With exit status 2, if torch does not see it; the message says what it sees.
    """
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise UserError(
                f"--device: {name!r} is not there: torch {torch.__version__} sees {count} CUDA devices; use cpu",
                USAGE_ERROR,
            )
    return device


def _array(tensor: torch.Tensor) -> Array:
    array: Array = tensor.detach().cpu().numpy()
    return array


@contextlib.contextmanager
def _processes() -> Iterator[None]:
    """Say what to do when a process that computes a part of a batch has ended: the system ends one to get memory."""
    try:
        yield
    except WorkerEndedError as ended:
        raise UserError(
            f"{ended}; has the memory run out? The last checkpoint is there: continue with --resume"
        ) from ended
