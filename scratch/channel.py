"""A channel between two processes: what is small goes through a socket, arrays lie in memory that both see."""

import mmap
import os
import pickle
import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from scratch.exchange import in_lines, nameless
from scratch.recording import form

_SPIN: Final = 0.002  # seconds of asking again and again before going to sleep: waking up takes some 50 microseconds
_HEADER: Final = struct.Struct("<QQ")  # bytes of the pickle, bytes of the memory
_AGAIN: Final = _HEADER.pack(0, 0)  # the same message and arrays of the same form, with other numbers in them
_READ: Final = 1 << 16  # bytes that are asked for at once: most messages whole


class Place(NamedTuple):
    """Where an array lies in the memory."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    begin: int
    strides: tuple[int, ...]

    def within(self, memory: Any) -> NDArray[Any]:
        """The array."""
        return np.ndarray(self.shape, self.dtype, memory, self.begin, self.strides)


class Channel:
    """One end of a connection; `send` on the one is `receive` on the other, and the two take turns.

    A training step says the same again and again, with other numbers. So a message that equals the last one, with
    arrays of the same form, is not pickled: the arrays are copied to where the last ones were, and the other end is
    told to look there. For that, both ends remember the last message of each direction: nobody else may use an end.

    Parameters
    ----------
    connection:
        One end of a `socket.socketpair()` of the family AF_UNIX.

    Attributes
    ----------
    connection:
        The same; its closing ends the other end's `receive` with `EOFError`.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._out: mmap.mmap | bytearray = bytearray()
        self._in: mmap.mmap | bytes = b""
        self._said: Any = None
        self._places: list[NDArray[Any]] = []
        self._body = b""
        self._heard: tuple[Any, list[NDArray[Any]]] | None = None
        self._readable = select.poll()  # unlike select() it does not mind how many files are open
        self._readable.register(connection, select.POLLIN)

    @classmethod
    def from_descriptor(cls, descriptor: int) -> Self:
        """The end whose descriptor was inherited."""
        return cls(socket.socket(fileno=descriptor))

    def send(self, message: Any, arrays: Sequence[NDArray[Any]] = (), *, anew: bool = False) -> None:
        """Send an object and arrays.

        Parameters
        ----------
        message:
            What can be pickled. If `==` says that it is the last one, it is not sent again.
        arrays:
            Of numbers, in any memory order, in which they arrive; without gaps.
        anew:
            Send it even if it is.

        Raises
        ------
        TypeError
            If an array holds Python objects, that is addresses, which are another's memory there.
        pickle.PicklingError
            If the object cannot be copied; nothing has been sent then, nor after a `TypeError`.
        ConnectionError
            If the other end is gone.
        """
        said = message, [form(array) for array in arrays]
        if said == self._said and not anew:
            for place, array in zip(self._places, arrays, strict=True):
                np.copyto(place, array)
            self.connection.sendall(_AGAIN)
            return
        self._said = None  # until it has been said
        places, end = [], 0
        for array in arrays:
            if array.dtype.hasobject:
                raise TypeError(f"an array has dtype {array.dtype}, expected numbers")
            places.append(Place(array.shape, array.dtype, end, np.empty_like(array).strides))
            end += in_lines(array.nbytes)
        try:
            body = pickle.dumps((message, places), protocol=5)
        except Exception as error:  # AttributeError, TypeError, or what a class of somebody else's raises
            raise pickle.PicklingError(str(error)) from error
        descriptors = self._make_room(end)
        try:
            self._places = [place.within(self._out) for place in places]
            for place, array in zip(self._places, arrays, strict=True):
                np.copyto(place, array)
            head = _HEADER.pack(len(body), len(self._out)) + body
            sent = socket.send_fds(self.connection, [head], descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self.connection.sendall(head[sent:])
        self._said = said

    def receive(self) -> tuple[Any, list[NDArray[Any]]]:
        """Return the next object and its arrays, which are read-only; those of the next one will overwrite them.

        Raises
        ------
        EOFError, ConnectionError
            If the other end is gone.
        pickle.UnpicklingError
            If the object cannot be made here, such as one of a class that cannot be imported; the next one can.
        """
        self._wait()
        head, descriptors, _, _ = socket.recv_fds(self.connection, _READ, 1)
        if not head:
            raise EOFError("the other end of the channel is closed")
        if head != _AGAIN:
            head = self._completed(head, _HEADER.size)
            size, room = _HEADER.unpack_from(head)
            for descriptor in descriptors:
                self._in = mmap.mmap(descriptor, room, prot=mmap.PROT_READ)
                os.close(descriptor)
            self._heard, self._body = None, self._completed(head, _HEADER.size + size)[_HEADER.size :]
        if self._heard is None:
            try:
                message, places = pickle.loads(self._body)
            except Exception as error:  # AttributeError, ImportError, or what a class of somebody else's raises
                raise pickle.UnpicklingError(str(error)) from error
            self._heard = message, [place.within(self._in) for place in places]
        return self._heard

    def close(self) -> None:
        """Close this end."""
        self.connection.close()

    def _make_room(self, size: int) -> list[int]:
        """Have memory of at least so many bytes; return the descriptor that the other end needs, if it is new."""
        if size <= len(self._out):
            return []
        descriptor = nameless(size)
        self._out = mmap.mmap(descriptor, size)
        return [descriptor]

    def _completed(self, begun: bytes, size: int) -> bytes:
        """A message of which something has come, read on until so many bytes are there."""
        parts, missing = [begun], size - len(begun)
        while missing > 0:
            parts.append(self.connection.recv(missing))
            if not parts[-1]:
                raise EOFError("the other end of the channel was closed in the middle of a message")
            missing -= len(parts[-1])
        return b"".join(parts)

    def _wait(self) -> None:
        """Return when there is something to read: at once if it comes soon, else after sleeping."""
        end = time.perf_counter() + _SPIN
        while time.perf_counter() < end:
            if self._readable.poll(0):
                return
        self._readable.poll()
