"""The arrays of what failed, kept on disk."""

import tempfile
from pathlib import Path

import numpy as np

from torchref.oracle.kinds.kind import Trial


def save_trial(folder: Path | None, title: str, trial: Trial, tensor: str) -> str:
    """Write a trial's arrays, the given ones and both sides' results; return where they lie.

    Without a folder they go to one of the system's for temporary files.
    """
    folder = folder or Path(tempfile.gettempdir()) / "twice-oracle"
    plain = "".join(c if c.isalnum() else "-" for c in f"{title} {tensor}".split("/")[-1])
    path = folder / f"{plain}-{trial.case.slug}-{trial.seed}.npz"
    arrays = {f"given {k}": v for k, v in trial.given.items()} | {f"oracle {k}": v for k, v in trial.oracle.items()}
    arrays |= {f"mine {k}": np.asarray(v) for k, v in trial.mine.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    return str(path)
