"""One process per run, since two would mix their rows, checkpoints and events; or several, each in its turn."""

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from experiments.errors import UserError


@contextlib.contextmanager
def exclusive(root: Path, does: str = "is training this run") -> Iterator[None]:
    """Keep every other process from training the run of this folder while the block runs.

    The lock is the system's (`flock` on `train.lock`): it ends with the process, however that ends. Where there is no
    such lock, as on Windows and on some network file systems, nothing is kept out.

    Parameters
    ----------
    root:
        Folder that the backends of the run share; made if it is not there.
    does:
        What another process is said to do.

    Raises
    ------
    UserError
        If another process holds the lock, naming its id, or if the system refuses to make the folder.
    """
    path = root / "train.lock"
    try:
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(f"cannot make the run folder {error.filename}: {error.strerror or error}") from error
    try:
        _lock(descriptor, root, does)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)  # and with it the lock; the file stays, since removing it would let two processes in


@contextlib.contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Begin the block when no other process is in one for the same folder: each sees what those before it have left.

    The lock is the system's, on the folder itself. Where there is none, or no folder, nothing is waited for.
    """
    with contextlib.ExitStack() as stack:
        if importlib.util.find_spec("fcntl") is not None:
            import fcntl

            with contextlib.suppress(OSError):
                descriptor = os.open(folder, os.O_RDONLY)
                stack.callback(os.close, descriptor)  # and with it the lock
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _lock(descriptor: int, root: Path, does: str) -> None:
    if importlib.util.find_spec("fcntl") is None:
        return
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        raise UserError(f"another process (pid {holder}) {does}, {root}") from None
    except OSError:
        return  # a file system without locks
