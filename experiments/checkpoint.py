"""Checkpoints from which a run continues bit for bit: `last.npz`, `previous.npz` and `best.npz`.

The format is `np.savez`, read with `allow_pickle=False`: a checkpoint from a stranger cannot run code. Every file is
complete or absent (`experiments.atomic`), and it is checked as a whole before anything of it is used.
"""

import dataclasses
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from experiments.atomic import sync_folder, write_atomically
from experiments.errors import UserError

Array = NDArray[np.floating[Any]]
FORMAT: Final = 1


class CheckpointRefusedError(UserError):
    """A checkpoint that is damaged, or belongs to another run; the message says which file and why."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The whole state of one backend's training after an update.

    Parameters
    ----------
    update:
        Number of updates made so far.
    epoch, batch:
        The same position as complete epochs, and batches done of the one begun.
    config_hash:
        `TrainConfig.hash()` of the run.
    params:
        Parameters by name.
    optimizer:
        State of the optimiser by name (velocities); empty if it has none.
    progress:
        Sums over the epoch begun and the best validation error, so that they too survive a crash.
    """

    update: int
    epoch: int
    batch: int
    config_hash: str
    params: Mapping[str, Array]
    optimizer: Mapping[str, Array]
    progress: Mapping[str, float]


def save(path: Path, checkpoint: Checkpoint, *, keep: Path | None = None) -> None:
    """Write one checkpoint atomically.

    Parameters
    ----------
    path:
        The file to create or replace.
    checkpoint:
        What to write.
    keep:
        Where the file replaced is moved first, if there is one.

    Raises
    ------
    UserError
        If the system refuses; the file of this name is untouched.
    """
    head = {
        "format": FORMAT,
        "update": checkpoint.update,
        "epoch": checkpoint.epoch,
        "batch": checkpoint.batch,
        "config_hash": checkpoint.config_hash,
        "progress": dict(checkpoint.progress),
    }
    arrays: dict[str, Any] = {"head": np.array(json.dumps(head))}
    arrays |= {f"param/{name}": value for name, value in checkpoint.params.items()}
    arrays |= {f"optim/{name}": value for name, value in checkpoint.optimizer.items()}

    def keep_old() -> None:
        if keep is not None and path.exists():
            path.replace(keep)

    write_atomically(path, lambda file: np.savez(file, allow_pickle=False, **arrays), keep_old)


def load(path: Path, config_hash: str, params: Mapping[str, Array]) -> Checkpoint:
    """Read and check one checkpoint; it is returned whole or not at all.

    Parameters
    ----------
    path:
        The file.
    config_hash:
        Hash that the run's configuration has.
    params:
        Parameters of the network to be continued: names, shapes and dtypes that the file must have.

    Raises
    ------
    CheckpointRefusedError
        If the file is missing, cut off, damaged, of another configuration, or its arrays are not those of the network.
    """
    try:
        # The archive keeps a CRC-32 of each array: reading them all finds every flipped byte.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        head = json.loads(str(arrays.pop("head")))
        checkpoint = Checkpoint(
            update=int(head["update"]),
            epoch=int(head["epoch"]),
            batch=int(head["batch"]),
            config_hash=str(head["config_hash"]),
            params={name[6:]: value for name, value in arrays.items() if name.startswith("param/")},
            optimizer={name[6:]: value for name, value in arrays.items() if name.startswith("optim/")},
            progress={str(name): float(value) for name, value in head["progress"].items()},
        )
        found_format = head["format"]
    except FileNotFoundError:
        raise CheckpointRefusedError(f"checkpoint {path} does not exist") from None
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise CheckpointRefusedError(f"checkpoint {path} is refused: it is cut off or damaged ({error})") from None
    if found_format != FORMAT:
        raise CheckpointRefusedError(f"checkpoint {path} is refused: its format is {found_format}, expected {FORMAT}")
    if checkpoint.config_hash != config_hash:
        raise CheckpointRefusedError(
            f"checkpoint {path} is refused: it was written with other settings (configuration "
            f"{checkpoint.config_hash[:12]}, this run has {config_hash[:12]})"
        )
    _check_arrays(path, "parameters", checkpoint.params, params)
    if checkpoint.optimizer:
        _check_arrays(path, "optimiser state", checkpoint.optimizer, params)
    return checkpoint


class Checkpoints:
    """The checkpoints of one backend's run.

    Parameters
    ----------
    folder:
        `checkpoints/` of the run; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self.last = folder / "last.npz"
        self.previous = folder / "previous.npz"
        self.best = folder / "best.npz"

    def save(self, checkpoint: Checkpoint, *, best: bool = False) -> None:
        """Make this the last checkpoint, keep the one before as previous; if it is the best so far, as best too."""
        if best:
            save(self.best, checkpoint)
        save(self.last, checkpoint, keep=self.previous)

    def usable(
        self, config_hash: str, params: Mapping[str, Array]
    ) -> tuple[dict[int, tuple[Path, Checkpoint]], list[str]]:
        """Read what there is to continue from.

        Returns
        -------
        dict, list of str
            Number of updates → (file, checkpoint), for the last and the previous one; and the refusals of those that
            exist but cannot be used.
        """
        found: dict[int, tuple[Path, Checkpoint]] = {}
        refusals = []
        for path in (self.previous, self.last):
            if not path.exists():
                continue
            try:
                checkpoint = load(path, config_hash, params)
            except CheckpointRefusedError as refusal:
                refusals.append(str(refusal))
            else:
                found[checkpoint.update] = (path, checkpoint)
        return found, refusals

    def continue_from(self, path: Path) -> None:
        """Make the file from which the run continues the last one.

        A damaged last checkpoint, or one that is ahead of the position from which the run continues, must not become
        the previous one at the next save.
        """
        if path != self.last:
            path.replace(self.last)
            sync_folder(self.last.parent)


def _check_arrays(path: Path, what: str, found: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} is unexpected" for name in found if name not in expected]
    for name, value in expected.items():
        if name in found and (found[name].shape, found[name].dtype) != (value.shape, value.dtype):
            problems.append(f"{name} is {found[name].dtype} {found[name].shape}, expected {value.dtype} {value.shape}")
    if problems:
        raise CheckpointRefusedError(f"checkpoint {path} is refused: {what}: {'; '.join(problems)}")
