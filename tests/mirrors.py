"""Mirrors on the loopback that fail in every way mirrors fail."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirrors(ThreadingHTTPServer):
    """Serves `files` under ``/good/``, and under other names what can go wrong; notes all requests."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.requests: list[str] = []
        self.over = threading.Event()

    def url(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{behaviour}/"

    def asked(self, behaviour: str) -> list[str]:
        return [name for part, name in (path.strip("/").split("/") for path in self.requests) if part == behaviour]


class _Handler(BaseHTTPRequestHandler):
    server: Mirrors

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        _, behaviour, name = self.path.split("/", 2)
        body = self.server.files.get(name)
        if behaviour == "missing" or body is None:
            self.send_error(404, "Not Found")
        elif behaviour == "broken":
            self.send_error(503, "Service Unavailable")
        elif behaviour == "silent":
            self.server.over.wait(20)
        elif behaviour == "portal":
            self._begin(len(b"<html>Log in</html>"))
            self.wfile.write(b"<html>Log in</html>")
        elif behaviour == "loop":
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
        elif behaviour == "garbled":
            self._begin(len(body))
            self.wfile.write(body[:-20] + bytes(byte ^ 0xFF for byte in body[-20:]))
        elif behaviour == "shorter":
            # Complete by its own account: only the content tells.
            self._begin(len(body) // 2)
            self.wfile.write(body[: len(body) // 2])
        else:
            self._begin(len(body))
            if behaviour == "good":
                self.wfile.write(body)
                return
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if behaviour == "stalled":
                self.server.over.wait(20)
            elif behaviour == "reset":
                # Linger 0: the close becomes a reset instead of an orderly end.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.wfile.flush()
                self.connection.close()
            else:
                assert behaviour == "cut", behaviour

    def _begin(self, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Mirrors]:
    server = Mirrors(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
