"""Bring one file over the network, within bounded time, and say in plain words why it failed."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.errors import UserError

if TYPE_CHECKING:
    import requests

TIMEOUT = 30.0
"""Default time-out in seconds: for connecting, and for each wait for the next bytes."""

Progress = Callable[[str, int, int], None]
"""Called as progress(file name, bytes so far, bytes in all or 0 if unknown) while a file arrives."""

_CHUNK = 1 << 14
# A server that drips keeps every single wait short. Below this many bytes per second, on average, it counts as dead.
_SLOWEST = 1024


class MirrorError(Exception):
    """What one mirror answered that was of no use."""


def download(url: str, path: Path, timeout: float, progress: Progress | None) -> None:
    """Download one file, whatever it turns out to be.

    Parameters
    ----------
    url:
        http or https address.
    path:
        Where to write; an existing file is replaced.
    timeout:
        Seconds, for connecting and for each wait.
    progress:
        Called while the file arrives.

    Raises
    ------
    MirrorError
        If anything goes wrong on the way.
    UserError
        If the file cannot be written.
    """
    import pooch
    import requests
    import urllib3

    downloader = pooch.HTTPDownloader(
        progressbar=_Meter(path.name, timeout, progress),
        chunk_size=_CHUNK,
        timeout=timeout,
        # Else a server may pack the .gz once more, or send it unpacked.
        headers={"Accept-Encoding": "identity"},
    )
    try:
        downloader(url, str(path), None)
    except requests.HTTPError as error:
        raise MirrorError(f"answered {_status(error.response)}") from error
    except requests.Timeout as error:
        raise MirrorError(f"no answer within {timeout:g} s") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, TimeoutError) as error:
        raise MirrorError(_plainly(error, timeout)) from error
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}. Free some space or check permissions."
        ) from error


def _status(response: "requests.Response | None") -> str:
    return "an error" if response is None else f"{response.status_code} {response.reason}"


def _plainly(error: Exception, timeout: float) -> str:
    """Say in a few words what an error of the network library means."""
    text = str(error)
    for mark, meaning in (
        ("Read timed out", f"stalled: no byte within {timeout:g} s"),
        ("IncompleteRead", "the connection ended before the file was complete"),
        ("Connection reset", "the connection was reset"),
        ("Connection refused", "the connection was refused"),
        ("Name or service not known", "no such host"),
        ("Temporary failure in name resolution", "no such host, or no network"),
        ("NameResolutionError", "no such host, or no network"),
    ):
        if mark in text:
            return meaning
    return f"{type(error).__name__}: {text}"


class _Meter:
    """The progress bar that pooch reports to: passes the numbers on, and gives up on a server that only drips."""

    def __init__(self, name: str, timeout: float, progress: Progress | None) -> None:
        self.total = 0
        self._name = name
        self._timeout = timeout
        self._progress = progress
        self._bytes = 0
        self._start = time.monotonic()

    def update(self, count: int) -> None:
        self._bytes += count
        seconds = time.monotonic() - self._start
        if seconds > self._timeout and self._bytes < _SLOWEST * seconds:
            raise TimeoutError(f"too slow: {self._bytes:,} bytes in {seconds:.0f} s")
        if self._progress is not None:
            self._progress(self._name, min(self._bytes, self.total or self._bytes), self.total)

    def reset(self) -> None:
        self._bytes = 0
        self._start = time.monotonic()

    def close(self) -> None:
        """Nothing to close."""
