"""Another process that computes with a network of its own: the handle on it, and what runs in it."""

import contextlib
import copy
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from scratch import batch
from scratch.channel import Channel
from scratch.memory import keep_memory
from scratch.module import Sequential
from scratch.validation import Array

TASKS: Final[Mapping[str, Callable[..., Any]]] = {"gradients": batch.gradients, "predict": batch.predict}
"""What a process can be asked to do; the first argument is its network."""


class Worker:
    """A process with a copy of a network.

    It ends when it is closed, and when the process that made it ends, however that comes about.

    Parameters
    ----------
    net:
        Is copied; `ask` brings the copy's parameters up to date.

    Raises
    ------
    TypeError
        If the network cannot be copied into a new process, because that cannot import the class of a layer.
    """

    def __init__(self, net: Sequential) -> None:
        ours, theirs = socket.socketpair()
        paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        threads = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "MKL", "OMP", "VECLIB")}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "scratch.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=os.environ | paths | threads,
                start_new_session=True,  # Ctrl-C is for the process that shares out the work
            )
        self._channel = Channel(ours)
        try:
            self._channel.send(net)
            self.answer()
        except (AttributeError, ImportError, TypeError) as error:
            self.close()
            raise TypeError(
                f"net cannot be copied into another process: {error}; define its layers in a module that can be "
                "imported, or use threads=1"
            ) from error

    def ask(self, task: str, params: Mapping[str, Array], *arguments: Any, **keywords: Any) -> None:
        """Have one of `TASKS` done with these parameters; `answer` has to be called before the next is asked."""
        self._channel.send((task, params, arguments, keywords, np.geterr()))

    def answer(self) -> Any:
        """Return what the task returned, or raise what it raised. Arrays are read-only, until the next `answer`."""
        result = self._channel.receive()
        if isinstance(result, Exception):
            raise result
        return result

    def close(self) -> None:
        """End the process."""
        self._channel.close()
        self._process.wait()


def serve(channel: Channel) -> None:
    """Take a network from the channel, and do what is asked until the other end is closed."""
    with contextlib.suppress(EOFError, ConnectionError):
        try:
            net: Sequential = copy.deepcopy(channel.receive())  # what was received lies in the channel's memory
        except (AttributeError, ImportError, TypeError) as error:
            channel.send(error)
            return
        channel.send(None)
        while True:
            channel.send(_outcome(net, *channel.receive()))


def _outcome(
    net: Sequential, task: str, params: Mapping[str, Array], arguments: Any, keywords: Any, reports: Any
) -> Any:
    """What the task returns or raises, with floating-point errors reported as in the process that asks."""
    for name, parameter in net.parameters().items():
        parameter[...] = params[name]
    try:
        with np.errstate(**reports):
            return TASKS[task](net, *arguments, **keywords)
    except Exception as error:
        return error


if __name__ == "__main__":
    keep_memory()
    serve(Channel.from_descriptor(int(sys.argv[1])))
