"""A channel between two processes: what is small goes through a socket, arrays lie in memory that both see."""

import mmap
import os
import pickle
import select
import socket
import struct
import time
from typing import Any, Final, Self

from scratch.exchange import in_lines, nameless

_SPIN: Final = 0.002  # seconds of asking again and again before going to sleep: waking up takes some 50 microseconds
_HEADER: Final = struct.Struct("<QQ")  # bytes of the pickle, bytes of the memory
_READ: Final = 1 << 16  # bytes that are asked for at once: most messages whole


class Channel:
    """One end of a connection; `send` on the one is `receive` on the other.

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
        self._readable = select.poll()  # unlike select() it does not mind how many files are open
        self._readable.register(connection, select.POLLIN)

    @classmethod
    def from_descriptor(cls, descriptor: int) -> Self:
        """The end whose descriptor was inherited."""
        return cls(socket.socket(fileno=descriptor))

    def send(self, message: Any) -> None:
        """Send an object; the arrays in it are copied into memory that the other end reads them from.

        They stay there until the next `send`: the two ends have to take turns.

        Raises
        ------
        pickle.PicklingError
            If the object cannot be copied; nothing has been sent then.
        ConnectionError
            If the other end is gone.
        """
        buffers: list[pickle.PickleBuffer] = []
        try:
            body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        except Exception as error:  # AttributeError, TypeError, or what a class of somebody else's raises
            raise pickle.PicklingError(str(error)) from error
        views = [buffer.raw() for buffer in buffers]
        places, end = [], 0
        for view in views:
            places.append((end, view.nbytes))
            end += in_lines(view.nbytes)
        body = pickle.dumps((places, body))
        message = _HEADER.pack(len(body), max(end, len(self._out))) + body
        descriptors = self._make_room(end)
        try:
            for (begin, size), view in zip(places, views, strict=True):
                self._out[begin : begin + size] = view
            sent = socket.send_fds(self.connection, [message], descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self.connection.sendall(message[sent:])

    def receive(self) -> Any:
        """Return the next object. Its arrays are read-only, and those of the next one will overwrite them.

        Raises
        ------
        EOFError, ConnectionError
            If the other end is gone.
        pickle.UnpicklingError
            If the object cannot be made here, such as one of a class that cannot be imported; the next one can.
        """
        self._wait()
        message, descriptors, _, _ = socket.recv_fds(self.connection, _READ, 1)
        if not message:
            raise EOFError("the other end of the channel is closed")
        message = self._completed(message, _HEADER.size)
        size, room = _HEADER.unpack_from(message)
        for descriptor in descriptors:
            self._in = mmap.mmap(descriptor, room, prot=mmap.PROT_READ)
            os.close(descriptor)
        message = self._completed(message, _HEADER.size + size)
        places, body = pickle.loads(memoryview(message)[_HEADER.size :])
        memory = memoryview(self._in)
        try:
            return pickle.loads(body, buffers=[memory[begin : begin + length] for begin, length in places])
        except Exception as error:  # AttributeError, ImportError, or what a class of somebody else's raises
            raise pickle.UnpicklingError(str(error)) from error

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
        while len(begun) < size:
            more = self.connection.recv(size - len(begun))
            if not more:
                raise EOFError("the other end of the channel was closed in the middle of a message")
            begun += more
        return begun

    def _wait(self) -> None:
        """Return when there is something to read: at once if it comes soon, else after sleeping."""
        end = time.perf_counter() + _SPIN
        while time.perf_counter() < end:
            if self._readable.poll(0):
                return
        self._readable.poll()
