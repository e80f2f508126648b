"""Another process that computes with a network of its own: the handle on it, and what runs in it."""

import contextlib
import copy
import os
import pickle
import socket
import subprocess
import sys
import traceback
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from scratch import batch
from scratch.capture import modules, quickened
from scratch.channel import Channel
from scratch.exchange import Exchange, nameless, put, room
from scratch.memory import keep_memory
from scratch.module import Sequential
from scratch.passes import Pass
from scratch.validation import Array

TASKS: Final[Mapping[str, Callable[..., Any]]] = {"gradients": batch.gradients, "predict": batch.predict}
"""What a process can be asked to do; the first argument is its network."""


class WorkerEndedError(RuntimeError):
    """A process ended, or was ended, that was to compute a part of a batch."""


class Outcome(NamedTuple):
    """What a task returned, or the error that it raised, and the warnings that it gave."""

    result: Any = None
    error: Exception | None = None
    warned: Sequence[Warning] = ()


class Worker:
    """A process with a copy of a network.

    It ends when it is closed or forgotten, and when the process that made it ends, however that comes about.

    Parameters
    ----------
    net:
        Is copied; `ask` brings the copy's parameters up to date.

    Raises
    ------
    TypeError
        If the network cannot be copied into a new process, because that cannot import the class of a layer.
    WorkerEndedError
        If the process has ended.
    """

    def __init__(self, net: Sequential) -> None:
        ours, theirs = socket.socketpair()
        paths = {"PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path)}  # "" is here
        threads = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "MKL", "OMP", "VECLIB")}
        memory = nameless(room(net.parameters()))
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", f"from scratch.worker import main; main({theirs.fileno()}, {memory})"],
                    pass_fds=[theirs.fileno(), memory],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=os.environ | paths | threads,
                    start_new_session=True,  # Ctrl-C is for the process that shares out the work
                )
            self._exchange = Exchange(net.parameters(), memory)
        finally:
            os.close(memory)
        self._channel = Channel(ours)
        self._end = weakref.finalize(self, _end, self._channel, self._process)
        try:
            self._send(net)
            self.answer()
        except BaseException:
            self.close()
            raise

    def ask(self, task: str, params: Mapping[str, Array], *arguments: Any, **keywords: Any) -> None:
        """Have one of `TASKS` done with these parameters; `answer` has to be called before the next is asked.

        Raises
        ------
        TypeError, WorkerEndedError
            If an argument cannot be copied into the process; if the process has ended.
        """
        put(params, self._exchange.params, "the parameters are not those of the network that was given")
        self._send((task, arguments, keywords, np.geterr()))

    def answer(self) -> Any:
        """Return what the task returned, or raise what it raised. Arrays are read-only, until the next `answer`.

        Warnings that the task gave are given here. Raises `TypeError` and `WorkerEndedError` as `ask` does.
        """
        try:
            outcome: Outcome = self._channel.receive()
        except (EOFError, ConnectionError) as error:
            raise self._ended() from error
        except pickle.UnpicklingError as error:
            raise _not_copied(error) from error
        for warned in outcome.warned:
            warnings.warn(warned, stacklevel=2)
        if isinstance(outcome.error, pickle.UnpicklingError):
            raise _not_copied(outcome.error)
        if outcome.error is not None:
            raise outcome.error
        if isinstance(outcome.result, Pass):
            return outcome.result._replace(grads=self._exchange.grads)
        return outcome.result

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._end()

    def _send(self, message: Any) -> None:
        try:
            self._channel.send(message)
        except pickle.PicklingError as error:
            raise _not_copied(error) from error
        except ConnectionError as error:
            raise self._ended() from error

    def _ended(self) -> WorkerEndedError:
        return WorkerEndedError(
            f"the process that computes a part of the batch has ended, status {self._process.wait()}"
        )


def _end(channel: Channel, process: subprocess.Popen[bytes]) -> None:
    """End a process; it has nothing to put in order."""
    process.kill()
    process.wait()
    channel.close()


def _not_copied(error: pickle.PickleError) -> TypeError:
    return TypeError(
        f"the network, the loss or what they get cannot be copied into another process: {error}; define their classes "
        "in a module that can be imported, or use threads=1"
    )


def serve(channel: Channel, memory: int) -> None:
    """Take a network from the channel, and do what is asked until the other end is closed."""
    net: Sequential | None = None
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            try:
                message = channel.receive()
            except pickle.UnpicklingError as error:
                channel.send(Outcome(error=error))
                continue
            if net is None:
                net = copy.deepcopy(message)  # what was received lies in the channel's memory
                exchange = Exchange(net.parameters(), memory)
                move(net, exchange.params)
                quick = quickened(net)
                channel.send(Outcome())
            else:
                channel.send(_outcome(net, quick, exchange, *message))


def move(net: Sequential, places: Mapping[str, Array]) -> None:
    """Have the parameters of a network lie in other memory; those that are no attributes of a layer stay."""
    moved = {id(array): places[name] for name, array in net.parameters().items()}
    for module in modules(net):
        vars(module).update({name: moved[id(value)] for name, value in vars(module).items() if id(value) in moved})


def _outcome(
    net: Sequential, quick: Any, exchange: Exchange, task: str, arguments: Any, keywords: Any, reports: Any
) -> Outcome:
    """What comes of a task, with floating-point errors reported as in the process that asks."""
    for name, array in net.parameters().items():
        if array is not exchange.params[name]:
            np.copyto(array, exchange.params[name])
    with warnings.catch_warnings(record=True) as caught, np.errstate(**reports):
        warnings.simplefilter("always")  # which of them count is for the process that asks to say
        try:
            result, error = TASKS[task](quick, *arguments, **keywords), None
        except Exception as raised:
            result, error = None, _sendable(raised)
        if isinstance(result, Pass):
            try:
                put(result.grads, exchange.grads, "gradients do not fit the parameters")
                result = result._replace(grads={})
            except ValueError as raised:
                result, error = None, _sendable(raised)
    return Outcome(result, error, [warning.message for warning in caught if isinstance(warning.message, Warning)])


def _sendable(error: Exception) -> Exception:
    """The error with a note of where it was raised; one that says the same, if it cannot be copied."""
    place = f"raised in the process of a part of the batch:\n{''.join(traceback.format_tb(error.__traceback__))}"
    try:
        error.add_note(place)
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
        error.add_note(place)
    return error


def main(descriptor: int, memory: int) -> None:
    """Serve the channel whose end was inherited, beside memory for parameters and gradients."""
    keep_memory()
    with contextlib.closing(Channel.from_descriptor(descriptor)) as channel:
        serve(channel, memory)
