"""Another process that computes with a network of its own: the handle on it, and what runs in it."""

import contextlib
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
from typing import Any, Final

import numpy as np

from scratch import batch
from scratch.capture import modules, quickened
from scratch.channel import Channel
from scratch.exchange import Exchange, fit, nameless, put, room
from scratch.memory import keep_memory
from scratch.module import Sequential
from scratch.passes import Pass
from scratch.validation import Array


def gradients(
    net: batch.Network, criterion: Any, x: Array, target: Any, *drops: Any, names: Sequence[str] | None, **keywords: int
) -> Pass:
    """`batch.gradients`, with the masks behind the target and their names by themselves; None for no masks."""
    masks = None if names is None else dict(zip(names, drops, strict=True))
    return batch.gradients(net, criterion, x, target, masks, **keywords)


def predict(net: batch.Network, _: Any, x: Array, **keywords: int) -> Array:
    """`batch.predict`."""
    return batch.predict(net, x, **keywords)


TASKS: Final[Mapping[str, Callable[..., Any]]] = {"gradients": gradients, "predict": predict}
"""What a process can be asked to do, with its network, something that is pickled, and arrays."""


class WorkerEndedError(RuntimeError):
    """A process ended, or was ended, that was to compute a part of a batch."""


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
        self._end = weakref.finalize(self, _end, self._channel, self._process, os.getpid())
        try:
            self._send(net)
            self.answer()
        except BaseException:
            self.close()
            raise

    def fits(self, params: Mapping[str, Array]) -> bool:
        """Whether these are parameters of the network that it has a copy of: names, shapes and dtypes."""
        return fit(params, self._exchange.params)

    def ask(
        self, task: str, params: Mapping[str, Array], criterion: Any, arrays: Sequence[Any], **keywords: Any
    ) -> None:
        """Have one of `TASKS` done with these parameters; `answer` has to be called before the next is asked.

        Parameters
        ----------
        task, params:
            Which, and the parameters by name.
        criterion, arrays, keywords:
            What the task needs: something that can be pickled, arrays of numbers, and what `==` compares.

        Raises
        ------
        TypeError, ValueError, WorkerEndedError
            If something cannot be copied into the process; if the parameters are others than when it was started; if
            the process has ended.
        """
        put(params, self._exchange.params, "the parameters are not those of the network that was given")
        try:
            pickled = pickle.dumps(criterion)  # what has changed within shows in the bytes
        except Exception as error:  # AttributeError, TypeError, or what a class of somebody else's raises
            raise _not_copied(error) from error
        # What is to be called or written to here is a warning there, which is given here.
        reports = {kind: "warn" if how in ("call", "log") else how for kind, how in np.geterr().items()}
        self._send((task, pickled, keywords, reports), arrays)

    def answer(self) -> Any:
        """Return what the task returned, or raise what it raised. Arrays are read-only, until the next `answer`.

        Warnings that the task gave are given here. Raises `TypeError` and `WorkerEndedError` as `ask` does.
        """
        try:
            (kind, error, warned), arrays = self._channel.receive()
        except (EOFError, ConnectionError) as ended:
            raise self._ended() from ended
        except pickle.UnpicklingError as strange:
            raise _not_copied(strange) from strange
        for warning in warned:
            warnings.warn(warning, stacklevel=2)
        if isinstance(error, pickle.UnpicklingError):
            raise _not_copied(error)
        if error is not None:
            raise error
        if kind == "Pass":
            value: Any = arrays[0][()]
            return Pass(value, arrays[1], self._exchange.grads)
        return arrays[0] if arrays else None

    def close(self) -> None:
        """End the process, whatever it is doing; after a fork it is left to the process that started it."""
        self._end()

    def _send(self, message: Any, arrays: Sequence[Array] = ()) -> None:
        try:
            self._channel.send(message, arrays)
        except pickle.PicklingError as error:
            raise _not_copied(error) from error
        except ConnectionError as error:
            raise self._ended() from error

    def _ended(self) -> WorkerEndedError:
        return WorkerEndedError(
            f"the process that computes a part of the batch has ended, status {self._process.wait()}"
        )


def _end(channel: Channel, process: subprocess.Popen[bytes], owner: int) -> None:
    """End a process, if this one has started it; it has nothing to put in order."""
    if os.getpid() == owner:
        process.kill()
        process.wait()
    channel.close()


def _not_copied(error: Exception) -> TypeError:
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
                message, arrays = channel.receive()
            except pickle.UnpicklingError as error:
                channel.send((None, error, ()))
                continue
            if net is None:
                net = message
                exchange = Exchange(net.parameters(), memory)
                move(net, exchange.params)
                quick = quickened(net)
                channel.send((None, None, ()))
            else:
                outcome = _outcome(net, quick, exchange, arrays, *message)
                try:
                    (_, fault, warned), _ = outcome
                    channel.send(*outcome, anew=fault is not None or len(warned) > 0)  # who gave them may change them
                except (TypeError, pickle.PicklingError) as error:  # a loss that is no number, a strange warning
                    channel.send((None, pickle.UnpicklingError(str(error)), ()))


def move(net: Sequential, places: Mapping[str, Array]) -> None:
    """Have the parameters of a network lie in other memory; those that are no attributes of a layer stay."""
    moved = {id(array): places[name] for name, array in net.parameters().items()}
    for module in modules(net):
        vars(module).update({name: moved[id(value)] for name, value in vars(module).items() if id(value) in moved})


def _outcome(
    net: Sequential,
    quick: Any,
    exchange: Exchange,
    arrays: Sequence[Array],
    task: str,
    criterion: bytes,
    keywords: Any,
    reports: Any,
) -> tuple[Any, list[Any]]:
    """What comes of a task: its kind, the error if there was one, warnings; and arrays.

    Floating-point errors are reported as in the process that asks.
    """
    try:
        loss = pickle.loads(criterion)
    except Exception as strange:  # AttributeError, ImportError, or what a class of somebody else's raises
        return (None, pickle.UnpicklingError(str(strange)), ()), []
    for name, array in net.parameters().items():
        if array is not exchange.params[name]:
            np.copyto(array, exchange.params[name])
    with warnings.catch_warnings(record=True) as caught, np.errstate(**reports):
        warnings.simplefilter("always")  # which of them count is for the process that asks to say
        kind, error, results = None, None, []
        try:
            result = TASKS[task](quick, loss, *arrays, **keywords)
            if isinstance(result, Pass):
                put(result.grads, exchange.grads, "gradients do not fit the parameters")
                kind, results = "Pass", [np.asarray(result.value), result.output]
            else:
                results = [np.asarray(result)]
        except Exception as raised:
            error = _sendable(raised)
    return (kind, error, tuple(one.message for one in caught if isinstance(one.message, Warning))), results


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
