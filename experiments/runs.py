"""The folder of a run: where it lies, what it holds, and when an existing one may be continued or replaced."""

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.atomic import write_atomically, write_text
from experiments.config import TrainConfig, difference, flag
from experiments.config_files import from_json
from experiments.errors import UserError
from experiments.records import read_text

Array = NDArray[np.floating[Any]]


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Names of what one backend's run has in its folder.

    Parameters
    ----------
    path:
        `runs/<model>-<dataset>-s<seed>/<backend>`.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The settings: `TrainConfig.to_json`."""
        return self.path / "config.json"

    @property
    def manifest(self) -> Path:
        """What the run was made with."""
        return self.path / "manifest.json"

    @property
    def metrics(self) -> Path:
        """Every number measured, exact, one JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def init(self) -> Path:
        """The initial parameters."""
        return self.path / "init.npz"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def figures(self) -> Path:
        """Folder of the figures, as PNG."""
        return self.path / "figures"


def run_root(runs_dir: Path, config: TrainConfig) -> Path:
    """Return the folder that the backends of a run share."""
    return runs_dir / f"{config.model}-{config.dataset}-s{config.seed}"


def backend_names(config: TrainConfig) -> tuple[str, ...]:
    """Return the backends that a run trains."""
    return ("scratch", "torch") if config.backend == "both" else (config.backend,)


def folders(runs_dir: Path, config: TrainConfig) -> dict[str, RunFolder]:
    """Return the folders that a run writes, by name; in lockstep `diff` is one of them."""
    names = (*backend_names(config), "diff") if config.backend == "both" else backend_names(config)
    return {name: RunFolder(run_root(runs_dir, config) / name) for name in names}


def read_config(folder: RunFolder) -> TrainConfig:
    """Read the settings of a run.

    Raises
    ------
    UserError
        If the folder is no run, or its configuration cannot be read.
    """
    if not folder.config.is_file():
        raise UserError(f"{folder.path} is not a run: it has no config.json")
    return from_json(read_text(folder.config), str(folder.config))


def members(run: Path) -> dict[str, RunFolder]:
    """Return the backends' folders of a run, or the one folder if it is a backend's itself; `UserError` if neither."""
    found = {
        folder.resolve().name: RunFolder(folder)
        for folder in (run, *(run / name for name in ("scratch", "torch")))
        if (folder / "config.json").is_file()
    }
    found.pop("diff", None)
    if not found:
        raise UserError(f"{run} is not a run: neither it nor its folders scratch and torch have a config.json")
    return found


def create(run: Mapping[str, RunFolder], config: TrainConfig, *, overwrite: bool) -> None:
    """Make the folders of a new run, and record its settings.

    Parameters
    ----------
    run:
        From `folders`.
    config:
        The settings.
    overwrite:
        Replace runs that exist, and the comparison (`diff/`) that a replaced one was part of. Only a folder that has a
        config.json is ever removed.

    Raises
    ------
    UserError
        If a run exists and `overwrite` is not given, if something else lies there, if the other backend's run beside it
        has other settings, or if the system refuses.
    """
    existing = [folder for folder in run.values() if _occupied(folder.path)]
    strangers = [folder.path for folder in existing if not folder.config.is_file()]
    if strangers:
        raise UserError(
            f"{strangers[0]} is not a run (it has no config.json), so it is not removed; move it away, or choose "
            "another --seed or --runs-dir"
        )
    if existing and not overwrite:
        raise UserError(
            f"the run {existing[0].path} exists: --resume continues it, --overwrite replaces it, "
            "another --seed or --runs-dir leaves it alone"
        )
    _check_siblings(run, config)
    comparison = RunFolder(next(iter(run.values())).path.parent / "diff")
    if existing and comparison not in existing and comparison.config.is_file():
        existing.append(comparison)
    try:
        for folder in existing:
            shutil.rmtree(folder.path)
    except OSError as error:
        raise UserError(f"--overwrite: cannot remove {error.filename}: {error.strerror or error}") from error
    record(run, config)


def record(run: Mapping[str, RunFolder], config: TrainConfig) -> None:
    """Write the settings into every folder of a run, and make those that are not there.

    A process that was killed while it made the folders may have left some out.

    Raises
    ------
    UserError
        If the system refuses.
    """
    try:
        for folder in run.values():
            folder.path.mkdir(parents=True, exist_ok=True)
            write_text(folder.config, config.to_json())
    except OSError as error:
        raise UserError(f"cannot make the run folder {error.filename}: {error.strerror or error}") from error


def check_resumable(run: Mapping[str, RunFolder], config: TrainConfig) -> None:
    """Check that a run may be continued with these settings.

    Raises
    ------
    UserError
        If there is no such run, or a setting differs; only the number of epochs may differ, and only grow, and not
        even that where the learning rate's schedule depends on it.
    """
    olds = {folder.path: read_config(folder) for folder in run.values() if folder.config.is_file()}
    if not olds:
        raise UserError(f"--resume: there is no run {next(iter(run.values())).path}; leave --resume out to start it")
    for path, old in olds.items():
        changes = difference(old, config)
        if config.epochs > old.epochs and old.may_grow:
            changes.pop("epochs", None)
        if changes:
            allowed = "; only --epochs may change, and only grow" if old.may_grow else ""
            if not old.may_grow and "epochs" in changes:
                allowed = (
                    f"; --epochs may not change either: --schedule {old.schedule} spans the whole run, and the updates "
                    "already made would have had other learning rates; --overwrite starts a longer run"
                )
            raise UserError(
                f"--resume: the settings differ from those of {path}:\n{listed(changes)}\n"
                f"a run continues with its own settings{allowed}"
            )


def listed(changes: Mapping[str, tuple[Any, Any]]) -> str:
    """Return one line per setting that differs, from `config.difference`."""
    return "\n".join(f"  {flag(name)}: {was!r} -> {now!r}" for name, (was, now) in changes.items())


def make_subfolders(folder: RunFolder) -> None:
    """Make the folders for checkpoints and figures; `UserError` if the system refuses."""
    try:
        folder.checkpoints.mkdir(exist_ok=True)
        folder.figures.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {error.filename}: {error.strerror or error}") from error


def write_init(folder: RunFolder, params: Mapping[str, Array]) -> str:
    """Write the initial parameters, and return the sha256 (hex) of the file.

    NumPy dates the archive's entries 1980, so equal parameters give equal files: `sha256sum */init.npz` shows that two
    backends started from the same weights.
    """
    arrays: dict[str, Any] = dict(params)
    write_atomically(folder.init, lambda file: np.savez(file, allow_pickle=False, **arrays))
    return hashlib.sha256(folder.init.read_bytes()).hexdigest()


def _check_siblings(run: Mapping[str, RunFolder], config: TrainConfig) -> None:
    """Refuse settings other than those of the other backend's run: under one root, their curves are compared."""
    root = next(iter(run.values())).path.parent
    for name in ("scratch", "torch"):
        sibling = RunFolder(root / name)
        if name in run or not sibling.config.is_file():
            continue
        changes = difference(read_config(sibling), config)
        changes = {key: pair for key, pair in changes.items() if key not in ("backend", "device")}
        if changes:
            raise UserError(
                f"{sibling.path} has other settings, and the runs in one folder are compared:\n{listed(changes)}\n"
                "--overwrite with --backend both replaces the two, another --seed or --runs-dir leaves it alone"
            )


def _occupied(path: Path) -> bool:
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))
