"""The gradients of a network on several cores."""

import math
import socket
from collections.abc import Sequence
from typing import Any, Final, Self

from threadpoolctl import ThreadpoolController

from scratch import batch
from scratch.batch import Masks, Pass
from scratch.memory import keep_memory
from scratch.module import Sequential, Shape
from scratch.validation import Array, check_count
from scratch.worker import TASKS, Worker

_CACHED: Final = (
    1 << 20
)  # numbers in the layers' outputs for one piece: more do not stay in the cache until they are used


class DataParallel:
    """Passes of a network on several cores.

    Where the outputs of the layers outnumber the parameters, as in a convolutional network, processes compute one part
    of the batch each, and the gradients are added up. In a perceptron it is the other way round: there BLAS shares out
    the products. Parts and pieces depend on the shapes and on `threads` alone, and so do the results, to the last bit.

    Processes, not threads: two threads that hand Python's lock to each other at every NumPy call took as long for a
    step of LeNet-5 as one (docs/speed.md has the figures).

    Parameters
    ----------
    net, criterion:
        A network, and a loss of `scratch.loss`. The parameters may change from call to call, the layers may not.
    threads:
        How many cores, at least 1. With 1, or on a system without Unix sockets, no process is started.

    Raises
    ------
    TypeError, ValueError
        If `threads` is no int of at least 1; and from a call, if a network cannot be copied into another process.

    Source: 批量学习. The name is torch's; a twin there is not, for torch's operations have threads of their own.
    """

    def __init__(self, net: Sequential, criterion: Any, threads: int = 1) -> None:
        self.net = net
        self.criterion = criterion
        self.threads = check_count("threads", threads)
        self._workers: list[Worker] = []
        self._blas = ThreadpoolController().select(user_api="blas")
        self._numbers: dict[Shape, int] = {}
        keep_memory()

    def gradients(self, x: Array, target: Any, masks: Masks = None) -> Pass:
        """Forward and backward pass over a batch.

        Parameters
        ----------
        x, target, masks:
            Input of the network (N, …), what the loss takes (N, …), and what drops units, by `Dropout` layers' names.

        Raises
        ------
        TypeError, ValueError
            As the network and the loss.
        """
        parts = self._parts(x)
        calls = [(self.criterion, x[part], target[part], batch.take(masks, part)) for part in parts]
        return batch.add(self._share("gradients", calls, of=len(x), pieces=self._pieces(x, parts)))

    def predict(self, x: Array) -> Array:
        """The output of the network (N, …)."""
        parts = self._parts(x)
        return batch.join(self._share("predict", [(x[part],) for part in parts], pieces=self._pieces(x, parts)))

    def close(self) -> None:
        """End the processes; another call starts them anew."""
        for worker in self._workers:
            worker.close()
        self._workers = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _parts(self, x: Array) -> list[slice]:
        """The samples of each process."""
        worth_it = len(x) * self._outputs(x) > self.threads * self.net.num_parameters
        return batch.cut(len(x), self.threads if worth_it and hasattr(socket, "send_fds") else 1)

    def _pieces(self, x: Array, parts: Sequence[slice]) -> int:
        """In how many pieces a process takes its part."""
        return -(-len(x) * self._outputs(x) // (len(parts) * _CACHED))

    def _outputs(self, x: Array) -> int:
        """How many numbers there are in the outputs of all layers for one sample."""
        shape = x.shape[1:]
        if shape not in self._numbers:
            self._numbers[shape] = sum(map(math.prod, self.net.shapes(shape).values()))
        return self._numbers[shape]

    def _share(self, task: str, calls: Sequence[tuple[Any, ...]], **keywords: Any) -> list[Any]:
        """What the task returns for each call; the first is done in this process, while the others do theirs."""
        others = calls[1:]
        while len(self._workers) < len(others):
            self._workers.append(Worker(self.net))
        try:
            for worker, arguments in zip(self._workers, others, strict=False):
                worker.ask(task, self.net.parameters(), *arguments, **keywords)
            with self._blas.limit(limits=1 if others else self.threads):
                first = TASKS[task](self.net, *calls[0], **keywords)
            return [first, *(worker.answer() for worker, _ in zip(self._workers, others, strict=False))]
        except BaseException:
            self.close()  # an answer that nobody has taken would be the next one's
            raise
