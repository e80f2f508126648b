"""Put a verified file in its place in one step: a temporary folder beside the destination, then a rename."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from experiments.data.verify import Verified
from experiments.errors import UserError

TEMPORARY: Final = ".twice-download-"


@dataclass(frozen=True)
class Fetched:
    """One file that is now in its place.

    Parameters
    ----------
    name:
        Name of the unpacked file.
    path:
        Where it lies.
    origin:
        Address or path it came from; "already there" if nothing was done.
    sha256:
        Of the unpacked bytes, in hexadecimal.
    pinned:
        Whether a published digest covers it.
    """

    name: str
    path: Path
    origin: str
    sha256: str
    pinned: bool


def place(item: Verified, folder: Path, origin: str) -> Fetched:
    """Rename a verified file into its folder; raises `UserError` if something has come to lie there meanwhile."""
    # Not the name it came under: some servers unpack on the way.
    path = folder / (f"{item.file.name}.gz" if item.packed else item.file.name)
    if path.exists():
        raise UserError(f"{path} appeared while it was being fetched; it was left as it is. Repeat the command.")
    item.path.rename(path)
    return Fetched(item.file.name, path, origin, item.sha256, item.pinned)


@contextmanager
def workshop(folder: Path, timeout: float) -> Iterator[Path]:
    """Provide a temporary folder on the same file system as `folder`, removed at the end, and remove left-over ones."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{TEMPORARY}*"):
            # One that is still at work writes at least once per time-out.
            if time.time() - _last_touched(left) > max(60.0, 2 * timeout):
                shutil.rmtree(left, ignore_errors=True)
        made: Any = tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder)
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror or error}. Choose another folder with --data-dir."
        ) from error
    with made as temporary:
        try:
            yield Path(temporary)
        except OSError as error:
            raise UserError(f"cannot write to {folder}: {error.strerror or error}.") from error


def _last_touched(folder: Path) -> float:
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except FileNotFoundError:
        # Its owner is just removing it.
        return time.time()
