"""`scratch`: NumPy and the gradients derived by hand."""

import numpy as np

import scratch
from experiments.bench import networks
from experiments.bench.cells import Cell
from experiments.bench.competitors import Array


class Steps:
    """See `competitors.Steps`."""

    def __init__(self, cell: Cell, threads: int) -> None:
        self.cell = cell
        self.threads = threads
        self.images, self.labels = networks.batch(cell)
        self.net = networks.scratch_network(cell)
        self.criterion = scratch.CrossEntropy()
        self.optimizer = scratch.SGD(networks.LEARNING_RATE)
        self._result: float | Array = np.nan
        self.step = self._train if cell.mode == "train" else self._infer

    def _train(self) -> None:
        output, cache = self.net.forward(self.images)
        loss, loss_cache = self.criterion.forward(output, self.labels)
        _, grads = self.net.backward(self.criterion.backward(loss_cache), cache)
        self.optimizer.step(self.net.parameters(), grads)
        self._result = float(loss)

    def _infer(self) -> None:
        self._result = self.net.forward(self.images)[0]

    def outcome(self) -> dict[str, Array]:
        """See `competitors.Steps`."""
        if self.cell.mode == "infer":
            return {"output": np.asarray(self._result)}
        return {"loss": np.array(self._result), **self.net.state_dict()}

    def describe(self) -> dict[str, str | int]:
        """See `competitors.Steps`."""
        return {"numpy": np.__version__, "threads": self.threads}

    def close(self) -> None:
        """See `competitors.Steps`."""
