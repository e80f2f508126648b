"""Writing a file so that a crash at any moment leaves either the old content or the new one, never a part."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from experiments.errors import UserError


def write_atomically(
    path: Path, write: Callable[[BinaryIO], object], before_rename: Callable[[], None] | None = None
) -> None:
    """Write a temporary file beside `path`, force it to the disk, rename it, and force the folder's entry to the disk.

    Parameters
    ----------
    path:
        The file to create or replace; its folder exists.
    write:
        Writes the content to the binary file that it is given.
    before_rename:
        Called when the new content is safe on the disk and the old one still in place.

    Raises
    ------
    UserError
        If the system refuses (disk full, no permission); `path` is as it was.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if before_rename is not None:
            before_rename()
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; what was there before is untouched"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; `UserError` if the system refuses."""
    write_atomically(path, lambda file: file.write(text.encode()))


def sync_folder(folder: Path) -> None:
    """Force the entries of a folder to the disk: without it, a rename may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
