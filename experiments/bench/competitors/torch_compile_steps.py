"""PyTorch with `torch.compile`: the same network, compiled by Inductor before the clock starts."""

import torch

from experiments.bench.cells import Cell
from experiments.bench.competitors import torch_steps


class Steps(torch_steps.Steps):
    """See `competitors.Steps`. One graph holds network and loss; the optimiser's step is compiled as well.

    The first steps, which compile, are not timed: `worker` takes several before it measures.
    """

    def __init__(self, cell: Cell, threads: int) -> None:
        super().__init__(cell, threads)
        self.forward = torch.compile(self.net)

    def describe(self) -> dict[str, str | int]:
        """See `competitors.Steps`."""
        return {**super().describe(), "mode": "torch.compile"}
