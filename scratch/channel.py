"""A channel between two processes: what is small goes through a socket, arrays lie in memory that both see."""

import mmap
import os
import pickle
import select
import socket
import struct
import tempfile
import time
from typing import Any, Final, Self

_SPIN: Final = 0.002  # seconds of asking again and again before going to sleep: waking up takes some 50 microseconds
_LINE: Final = 64  # bytes of a cache line: where each array begins
_HEADER: Final = struct.Struct("<QQ")  # bytes of the pickle, bytes of the memory


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
        self._out: mmap.mmap | None = None
        self._in: mmap.mmap | None = None

    @classmethod
    def from_descriptor(cls, descriptor: int) -> Self:
        """The end whose descriptor was inherited."""
        return cls(socket.socket(fileno=descriptor))

    def send(self, message: Any) -> None:
        """Send an object; the arrays in it are copied into memory that the other end reads them from.

        They stay there until the next `send`: the two ends have to take turns.
        """
        buffers: list[pickle.PickleBuffer] = []
        body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        places, end = [], 0
        for view in views:
            places.append((end, view.nbytes))
            end += -(-view.nbytes // _LINE) * _LINE
        descriptors = self._make_room(end)
        for (begin, size), view in zip(places, views, strict=True):
            assert self._out is not None
            self._out[begin : begin + size] = view
        body = pickle.dumps((places, body))
        socket.send_fds(self.connection, [_HEADER.pack(len(body), len(self._out or b""))], descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self.connection.sendall(body)

    def receive(self) -> Any:
        """Return the next object. Its arrays are read-only, and those of the next one will overwrite them.

        Raises
        ------
        EOFError
            If the other end is gone.
        """
        _wait(self.connection)
        header, descriptors, _, _ = socket.recv_fds(self.connection, _HEADER.size, 1)
        if not header:
            raise EOFError("the other end of the channel is closed")
        size, room = _HEADER.unpack(header)
        for descriptor in descriptors:
            self._in = mmap.mmap(descriptor, room, prot=mmap.PROT_READ)
            os.close(descriptor)
        places, body = pickle.loads(self._read(size))
        memory = memoryview(self._in or b"")
        return pickle.loads(body, buffers=[memory[begin : begin + length] for begin, length in places])

    def close(self) -> None:
        """Close this end."""
        self.connection.close()

    def _make_room(self, size: int) -> list[int]:
        """Have memory of at least so many bytes; return the descriptor that the other end needs, if it is new."""
        if not size or (self._out is not None and len(self._out) >= size):
            return []
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("twice")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.truncate(descriptor, size)
        self._out = mmap.mmap(descriptor, size)
        return [descriptor]

    def _read(self, size: int) -> bytearray:
        data, got = bytearray(size), 0
        while got < size:
            received = self.connection.recv_into(memoryview(data)[got:])
            if not received:
                raise EOFError("the other end of the channel was closed in the middle of a message")
            got += received
        return data


def _wait(connection: socket.socket) -> None:
    """Return when there is something to read: at once if it comes soon, else after sleeping."""
    end = time.perf_counter() + _SPIN
    while time.perf_counter() < end:
        if select.select([connection], [], [], 0)[0]:
            return
    select.select([connection], [], [])
