"""PyTorch with `torch.compile`: the same network, compiled by Inductor before the clock starts."""

import torch

from experiments.bench.cells import Cell
from experiments.bench.competitors import torch_steps


class Steps(torch_steps.Steps):
    """See `competitors.Steps`. Network and loss are one graph, compiled for this batch size.

    The first steps, which compile, come before the measures. The optimiser is torch's own: its step compiled as well
    makes the whole 1 to 4 % slower.
    """

    def __init__(self, cell: Cell, threads: int) -> None:
        # Without it, what was compiled for the cells before would count: after eight of them torch compiles no more.
        torch.compiler.reset()
        super().__init__(cell, threads)
        self.forward = torch.compile(self.net, dynamic=False)
        self.loss = torch.compile(self._loss, dynamic=False)

    def describe(self) -> dict[str, str | int]:
        """See `competitors.Steps`."""
        return {**super().describe(), "mode": "torch.compile"}
