"""PyTorch in eager mode: plain modules, torch's own loss and optimiser."""

from collections.abc import Callable

import numpy as np
import torch

from experiments.bench import networks
from experiments.bench.cells import Cell
from experiments.bench.competitors import Array
from experiments.bench.competitors.torch_modules import torch_network


class Steps:
    """See `competitors.Steps`. The images are a tensor before the clock starts; gradients are dropped, not zeroed."""

    def __init__(self, cell: Cell, threads: int) -> None:
        torch.set_num_threads(threads)
        self.cell = cell
        self.images, self.labels = map(torch.from_numpy, networks.batch(cell))
        self.net = torch_network(cell)
        self.forward: Callable[[torch.Tensor], torch.Tensor] = self.net
        self.criterion = torch.nn.CrossEntropyLoss()
        self.loss: Callable[[], torch.Tensor] = self._loss
        self.optimizer = torch.optim.SGD(self.net.parameters(), networks.LEARNING_RATE)
        self._result = torch.tensor(torch.nan)
        self.step = self._train if cell.mode == "train" else self._infer

    def _train(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._result = loss

    def _loss(self) -> torch.Tensor:
        loss: torch.Tensor = self.criterion(self.net(self.images), self.labels)
        return loss

    def _infer(self) -> None:
        with torch.inference_mode():
            self._result = self.forward(self.images)

    def outcome(self) -> dict[str, Array]:
        """See `competitors.Steps`."""
        result = np.asarray(self._result.detach().numpy())
        if self.cell.mode == "infer":
            return {"output": result}
        return {"loss": result, **{name: value.numpy().copy() for name, value in self.net.state_dict().items()}}

    def describe(self) -> dict[str, str | int]:
        """See `competitors.Steps`."""
        return {"torch": torch.__version__, "threads": torch.get_num_threads(), "mode": "eager"}

    def close(self) -> None:
        """See `competitors.Steps`."""
