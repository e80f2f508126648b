"""`twice tb`: TensorBoard on the loopback interface, for one run or for all of them."""

import contextlib
import io
import logging
import os
import signal
import socket
import threading
import warnings
from pathlib import Path
from typing import Final

from experiments.errors import USAGE_ERROR, UserError
from experiments.invocation import command

HOST: Final = "127.0.0.1"  # event files may show private data: never the whole network
FIRST_PORT: Final = 6006
PORTS_TRIED: Final = 100


def serve(folder: Path, port: int | None = None) -> int:
    """Run TensorBoard until SIGINT (Ctrl-C) or SIGTERM.

    Parameters
    ----------
    folder:
        Folder with event files, at any depth.
    port:
        Port on the loopback interface; None takes the first free one from 6006.

    Returns
    -------
    int
        Exit status 0: a signal is the ordinary end of a server.

    Raises
    ------
    UserError
        If the folder is missing or has no event files, or the port is no port or taken.
    """
    files = find_events(folder)
    chosen = free_port() if port is None else check_port(port)
    print(f"TensorBoard is starting on {len(files)} event file{'s' * (len(files) != 1)} in {folder} ...", flush=True)
    with warnings.catch_warnings():
        # Deprecations within TensorBoard and what it imports are not the reader's concern.
        warnings.simplefilter("ignore")
        from tensorboard import program
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # else it reports that TensorFlow is absent
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server = program.TensorBoard()
    # By default 10 images and 1,000 points of each tag would be kept: a sample, without saying so.
    samples = "scalars=100000,images=1000,histograms=1000,text=100"
    server.configure(
        argv=[
            "tensorboard",
            *("--logdir", str(folder)),
            *("--host", HOST),
            *("--port", str(chosen)),
            *("--samples_per_plugin", samples),
        ]
    )
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # a note on how it reads files, and a link to where to complain
            server.launch()
    except program.TensorBoardServerException as error:
        raise UserError(f"TensorBoard did not start: {error.msg}") from None
    print(f"http://{HOST}:{chosen}/   Ctrl-C ends it", flush=True)
    stop.wait()
    print("\nTensorBoard ended", flush=True)
    return 0


def find_events(folder: Path) -> list[Path]:
    """Return TensorBoard's event files under a folder.

    Raises
    ------
    UserError
        If the folder is missing or has none.
    """
    if not folder.exists():
        raise UserError(f"no folder {folder}; `{command('train', 'mlp')}` makes runs/")
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; expected the folder of a run, or of several")
    # os.walk, because rglob does not follow links to folders, as TensorBoard does.
    found = [
        Path(place) / name
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if "tfevents" in name
    ]
    if not found:
        raise UserError(
            f"no event files in {folder}, so there is nothing to show; `{command('train', 'mlp')}` writes some"
        )
    return sorted(found)


def free_port() -> int:
    """Return the first port from 6006 that nothing on the loopback interface listens to."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        if _is_free(port):
            return port
    raise UserError(f"no free port from {FIRST_PORT} to {FIRST_PORT + PORTS_TRIED - 1}; choose one with --port")


def check_port(port: int) -> int:
    """Return the port if it can be listened to; else `UserError`."""
    if not 1 <= port <= 65535:
        raise UserError(f"--port: expected a number from 1 to 65535, got {port}", USAGE_ERROR)
    if not _is_free(port):
        raise UserError(f"--port: {port} is taken or not allowed; without --port the first free one is found")
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Without this a port that was left a moment ago would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
