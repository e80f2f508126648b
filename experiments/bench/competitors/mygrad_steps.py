"""MyGrad: NumPy with automatic differentiation; its own convolution, and what else is needed from its operations."""

from typing import Any

import mygrad as mg
import numpy as np
from mygrad.nnet.layers import conv_nd
from mygrad.nnet.losses import softmax_crossentropy

from experiments.bench import networks
from experiments.bench.cells import Cell
from experiments.bench.competitors import Array
from scratch.models import s2_c3_table


def subsample(x: Any, weight: Any, bias: Any) -> Any:
    """Sum windows of 2×2, times a coefficient, plus a bias, in maps (N, C, H, W); faster than a sum over two axes."""
    sums = x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
    return sums * weight.reshape(-1, 1, 1) + bias.reshape(-1, 1, 1)


class Steps:
    """See `competitors.Steps`. Memory is not guarded, as MyGrad advises for speed."""

    def __init__(self, cell: Cell, threads: int) -> None:
        mg.turn_memory_guarding_off()
        self.cell = cell
        self.threads = threads
        self.images, self.labels = networks.batch(cell)
        self.params = {name: mg.tensor(value) for name, value in networks.initial_state(cell).items()}
        number = self.images.dtype.type  # Python's would turn float32 into float64
        self._slope, self._amplitude = number(2 / 3), number(1.7159)
        self._table = s2_c3_table()[:, :, None, None].astype(cell.dtype)
        self._result: Array = np.empty(0)
        self.step = self._train if cell.mode == "train" else self._infer

    def _linear(self, layer: str, x: Any) -> Any:
        weight = self.params[f"{layer}.weight"]
        return mg.matmul(x, weight.reshape(len(weight), -1).T) + self.params[f"{layer}.bias"]

    def _squash(self, x: Any) -> Any:
        return self._amplitude * mg.tanh(self._slope * x)

    def _forward(self) -> Any:
        """Compute the logits (N, 10) of the cell's network."""
        lenet5 = self.cell.model == "lenet5"
        if self.cell.model == "mlp":
            hidden = mg.tanh(self._linear("fc2", mg.tanh(self._linear("fc1", self.images))))
            return self._linear("fc3", hidden)

        around = ((0, 0), (0, 0), (2, 2), (2, 2))
        x: Any = np.pad(self.images, around, constant_values=-0.1 if lenet5 else 0.0)
        for convolution, pooling in (("c1", "s2"), ("c3", "s4")):
            weight = self.params[f"{convolution}.weight"]
            if lenet5 and convolution == "c3":
                weight = weight * self._table
            x = conv_nd(x, weight, stride=1) + self.params[f"{convolution}.bias"].reshape(-1, 1, 1)
            x = subsample(self._squash(x), self.params[f"{pooling}.weight"], self.params[f"{pooling}.bias"])
            x = self._squash(x)
        x = x.reshape(len(x), -1)
        for layer in ("c5", "f6") * lenet5:
            x = self._squash(self._linear(layer, x))
        return self._linear("output", x)

    def _train(self) -> None:
        loss = softmax_crossentropy(self._forward(), self.labels)
        loss.backward()
        for parameter in self.params.values():
            parameter.data -= networks.LEARNING_RATE * parameter.grad
        self._result = loss.data

    def _infer(self) -> None:
        with mg.no_autodiff:
            self._result = self._forward().data

    def outcome(self) -> dict[str, Array]:
        """See `competitors.Steps`."""
        if self.cell.mode == "infer":
            return {"output": np.array(self._result)}
        return {"loss": np.array(self._result), **{name: value.data.copy() for name, value in self.params.items()}}

    def describe(self) -> dict[str, str | int]:
        """See `competitors.Steps`."""
        return {"mygrad": mg.__version__, "numpy": np.__version__, "threads": self.threads}

    def close(self) -> None:
        """See `competitors.Steps`."""
