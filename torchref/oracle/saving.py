"""The arrays of what failed, kept on disk."""

import os
import tempfile
from pathlib import Path

import numpy as np

from torchref.oracle.kinds.kind import Trial

LONGEST_NAME = 100
"""Characters of a title that go into a file's name."""


def save_trial(folder: Path | None, title: str, trial: Trial, tensor: str) -> str:
    """Write a trial's arrays, the given ones and both sides' results; return where they lie.

    Without a folder they go to one of the system's for temporary files, and if that is not possible, nowhere: then ""
    is returned. Arrays of Python's objects are left out: only code that is trusted may be asked to read them.

    Raises
    ------
    OSError
        If the folder that was asked for cannot be written to.
    """
    plain = "".join(c if c.isalnum() else "-" for c in f"{title} {tensor}".split("/")[-1])[-LONGEST_NAME:]
    path = (folder or temporary_folder()) / f"{plain}-{trial.case.slug}-{trial.seed}.npz"
    arrays = {f"given {k}": v for k, v in trial.given.items()} | {f"oracle {k}": v for k, v in trial.oracle.items()}
    arrays |= {f"mine {k}": np.asarray(v) for k, v in trial.mine.items()}
    arrays = {name: array for name, array in arrays.items() if not array.dtype.hasobject}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
    except OSError:
        if folder is not None:
            raise
        return ""
    return str(path)


def temporary_folder() -> Path:
    """A folder of this user's: another's on the same machine could not be written to."""
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
    return Path(tempfile.gettempdir()) / f"twice-oracle{user}"
