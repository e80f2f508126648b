"""`scratch`: NumPy and the gradients derived by hand."""

from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

import scratch
from experiments.bench import networks
from experiments.bench.cells import Cell
from experiments.bench.competitors import Array
from scratch.parallel import DataParallel


class Steps:
    """See `competitors.Steps`."""

    def __init__(self, cell: Cell, threads: int) -> None:
        self.cell = cell
        self.threads = threads
        self.images, self.labels = networks.batch(cell)
        self.net = networks.scratch_network(cell)
        self.parts = DataParallel(self.net, scratch.CrossEntropy(), threads, lends=True)  # as `twice train` does
        self.optimizer = scratch.SGD(networks.LEARNING_RATE)
        self._result: Any = np.nan
        self.step = self._train if cell.mode == "train" else self._infer

    def _train(self) -> None:
        self._result, _, grads = self.parts.gradients(self.images, self.labels)
        self.optimizer.step(self.net.parameters(), grads)

    def _infer(self) -> None:
        self._result = self.parts.predict(self.images)

    def outcome(self) -> dict[str, Array]:
        """See `competitors.Steps`."""
        result = np.array(self._result)
        return {"output": result} if self.cell.mode == "infer" else {"loss": result, **self.net.state_dict()}

    def describe(self) -> dict[str, str | int]:
        """See `competitors.Steps`."""
        blas = [f"{one['internal_api']} {one['version']}" for one in threadpool_info() if one["user_api"] == "blas"]
        return {"numpy": np.__version__, "blas": ", ".join(blas), "threads": self.threads}

    def close(self) -> None:
        """See `competitors.Steps`."""
        self.parts.close()
