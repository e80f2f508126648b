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
            end += -(-view.nbytes // _LINE) * _LINE
        body = pickle.dumps((places, body))
        descriptors = self._make_room(end)
        try:
            for (begin, size), view in zip(places, views, strict=True):
                self._out[begin : begin + size] = view
            socket.send_fds(self.connection, [_HEADER.pack(len(body), len(self._out))], descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self.connection.sendall(body)

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
        header, descriptors, _, _ = socket.recv_fds(self.connection, _HEADER.size, 1)
        if not header:
            raise EOFError("the other end of the channel is closed")
        size, room = _HEADER.unpack(header)
        for descriptor in descriptors:
            self._in = mmap.mmap(descriptor, room, prot=mmap.PROT_READ)
            os.close(descriptor)
        places, body = pickle.loads(self._read(size))
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

    def _wait(self) -> None:
        """Return when there is something to read: at once if it comes soon, else after sleeping."""
        end = time.perf_counter() + _SPIN
        while time.perf_counter() < end:
            if self._readable.poll(0):
                return
        self._readable.poll()
