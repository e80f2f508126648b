"""The gradients of a network on several cores."""

import contextlib
import math
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from threadpoolctl import ThreadpoolController

from scratch import batch
from scratch.capture import Held, changed, held, quickened
from scratch.memory import keep_memory
from scratch.module import Sequential, Shape
from scratch.passes import Masks, Pass
from scratch.validation import Array, check_array, check_count
from scratch.worker import TASKS, Worker

_CACHED: Final = 9 << 16
"""Numbers in the layers' outputs for one piece of a batch: of more, too few are in the cache when they are used."""

_WORTH: Final = 2
"""Numbers in the outputs of a part for each parameter: with fewer, carrying gradients about takes what parts save."""


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
        A network, and a loss of `scratch.loss`. Both may change from call to call; if more of the network changes than
        its parameters' numbers, processes are started anew. What layers of your own hold beside parameters may not.
    threads:
        How many cores, at least 1. With 1, or on a system without Unix sockets, no process is started.
    lends:
        Whether gradients may be lent instead of copied: read-only, and overwritten by the next call.

    Raises
    ------
    TypeError, ValueError
        If `net` is no `Sequential` or `threads` no int of at least 1; and from a call, if the network cannot be copied
        into another process.
    WorkerEndedError
        From a call, if a process has ended, killed for want of memory perhaps. The next call starts another.

    Source: 批量学习. The name is torch's; a twin there is not, for torch's operations have threads of their own.
    """

    def __init__(self, net: Sequential, criterion: Any, threads: int = 1, *, lends: bool = False) -> None:
        if not isinstance(net, Sequential):
            raise TypeError(f"net is a {type(net).__name__}, expected a Sequential")
        self.net = net
        self.criterion = criterion
        self._quick = quickened(net)
        self.threads = check_count("threads", threads)
        self.lends = lends
        self._workers: list[Worker] = []
        self._owner = os.getpid()  # after a fork they are another's
        self._held: Held | None = None
        self._turns = threading.Lock()  # until the answers, which the next ones overwrite, have been added up
        self._blas = ThreadpoolController().select(user_api="blas")
        self._numbers: dict[Shape, int] = {}
        self._num_parameters = net.num_parameters  # counting them takes longer than some layer of a small network
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
        parts, pieces = self._parts(x)
        batch.check_samples(x, target, masks)
        arrays = [x, target, *(masks or {}).values()]
        names = None if masks is None else tuple(masks)
        with self._turns:
            passes = self._share("gradients", parts, arrays, names=names, of=len(x), pieces=pieces)
            return batch.lent(batch.add(passes)) if self.lends else batch.kept(batch.add(passes))

    def predict(self, x: Array) -> Array:
        """The output of the network (N, …)."""
        parts, pieces = self._parts(x)
        with self._turns:
            return batch.join(self._share("predict", parts, [x], pieces=pieces))

    def plan(self, x: Array) -> list[list[slice]]:
        """Which samples go through the network at once: for each part of the batch its pieces, in their order."""
        parts, pieces = self._parts(x)
        cuts = [(part.start, batch.cut(part.stop - part.start, pieces)) for part in parts]
        return [[slice(first + piece.start, first + piece.stop) for piece in cut] for first, cut in cuts]

    def limited(self, x: Array) -> contextlib.AbstractContextManager[Any]:
        """BLAS in as many threads as it has for this batch: the same products in more threads have other last bits."""
        return self._limited(1 if len(self._parts(x)[0]) > 1 else self.threads)

    def close(self) -> None:
        """End the processes; another call starts them anew."""
        workers, self._workers, self._held = self._workers, [], None
        for worker in workers:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _parts(self, x: Array) -> tuple[list[slice], int]:
        """The samples of each process, and in how many pieces it takes them."""
        check_array("x", x)
        numbers = len(x) * self._outputs(x)
        worth_it = numbers > _WORTH * self.threads * self._num_parameters and hasattr(socket, "send_fds")
        parts = batch.cut(len(x), self.threads if worth_it else 1)
        return parts, max(1, -(-numbers // (len(parts) * _CACHED)))

    def _outputs(self, x: Array) -> int:
        """How many numbers there are in the outputs of all layers for one sample."""
        shape = x.shape[1:]
        if shape not in self._numbers:
            self._numbers[shape] = sum(map(math.prod, self.net.shapes(shape).values()))
        return self._numbers[shape]

    def _share(self, task: str, parts: Sequence[slice], arrays: Sequence[Array], **keywords: Any) -> list[Any]:
        """What the task returns for each part; the first is done in this process, while the others do theirs."""
        first, *others = [[array[part] for array in arrays] for part in parts]
        try:
            params = self.net.parameters()
            self._start(len(others), params)
            for worker, own in zip(self._workers, others, strict=False):
                worker.ask(task, params, self.criterion, own, **keywords)
            with self._limited(1 if others else self.threads):
                result = TASKS[task](self._quick, self.criterion, *first, **keywords)
            return [result, *(worker.answer() for worker, _ in zip(self._workers, others, strict=False))]
        except BaseException:
            self.close()  # an answer that nobody has taken would be the next one's
            raise

    def _start(self, count: int, params: Mapping[str, Array]) -> None:
        """Have so many processes, none of them another's or with a copy of what the network no longer is."""
        if self._held and (self._owner != os.getpid() or changed(self._held) or not self._workers[0].fits(params)):
            self.close()
        while len(self._workers) < count:
            self._owner, self._held = os.getpid(), held(self.net, fixed=True)
            self._workers.append(Worker(self.net))

    def _limited(self, threads: int) -> contextlib.AbstractContextManager[Any]:
        """BLAS in so many threads; nothing to do, and no time to lose, where it already is."""
        if all(library.num_threads == threads for library in self._blas.lib_controllers):
            return contextlib.nullcontext()
        limiter: contextlib.AbstractContextManager[Any] = self._blas.limit(limits=threads)
        return limiter
