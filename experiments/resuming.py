"""Where a run that was stopped, or killed, continues."""

from collections.abc import Callable, Mapping
from pathlib import Path

from experiments import manifest, runs
from experiments.backends import Array
from experiments.checkpoint import Checkpoint, Checkpoints
from experiments.config import TrainConfig
from experiments.data import Dataset
from experiments.errors import UserError
from experiments.metrics import read_rows
from experiments.parity import recorded
from experiments.runs import RunFolder
from experiments.summary import BackendResult, Parity, Summary


def find_start(
    folders: Mapping[str, RunFolder], config: TrainConfig, params: Mapping[str, Array], say: Callable[[str], None]
) -> dict[str, Checkpoint] | None:
    """Find the latest position of which every backend has a good checkpoint, and make those the last ones.

    A process killed between the checkpoints of two backends leaves them one checkpoint apart; the previous ones, which
    are kept for that, have a position in common.

    Parameters
    ----------
    folders:
        Of the run.
    config:
        Its settings.
    params:
        Parameters of the network: names, shapes and dtypes.
    say:
        Told about every checkpoint that is refused.

    Returns
    -------
    dict or None
        One checkpoint per backend, all after the same update; None if the run was killed before it had begun.

    Raises
    ------
    UserError
        If there are checkpoints, but none that can be used, or none common to both backends.
    """
    stores = {name: Checkpoints(folders[name].checkpoints) for name in runs.backend_names(config)}
    usable = {}
    for name, store in stores.items():
        found, refusals = store.usable(config.hash(), params)
        if not found and (refusals or store.best.exists()):
            raise UserError(
                f"--resume: {folders[name].path} has no checkpoint to continue from: "
                f"{'; '.join(refusals) or 'neither last.npz nor previous.npz exists'}; --overwrite starts the run anew"
            )
        for refusal in refusals:
            say(f"{refusal}; the other one, after update {next(iter(found)):,}, is used")
        usable[name] = found
    common = set.intersection(*(set(found) for found in usable.values()))
    if not common:
        if all(set(found) <= {0} for found in usable.values()):
            return None
        positions = "; ".join(f"{name} after updates {sorted(found)}" for name, found in usable.items())
        raise UserError(f"--resume: the backends have no checkpoint in common ({positions}); --overwrite starts anew")
    start = {}
    for name, found in usable.items():
        path, start[name] = found[max(common)]
        stores[name].continue_from(path)
    return start


def check_data(folders: Mapping[str, RunFolder], dataset: Dataset) -> None:
    """Refuse to continue a run on other data than it began with: `UserError` naming what differs."""
    for folder in folders.values():
        recorded = manifest.read(folder.manifest).get("data", {}).get("sha256")
        if recorded is not None and recorded != dict(dataset.sha256):
            changed = sorted(name for name in recorded if recorded[name] != dataset.sha256.get(name))
            raise UserError(
                f"--resume: the data are not those that {folder.path} began with: "
                f"{', '.join(changed) or 'other files'} (sha256, see manifest.json); give the --data-dir of then"
            )


def finished(folders: Mapping[str, RunFolder], config: TrainConfig, root: Path, updates: int) -> Summary | None:
    """Return the outcome of a run that has finished with these very settings: its test set is not opened again."""
    if not all(folder.config.is_file() and runs.read_config(folder) == config for folder in folders.values()):
        return None
    results: dict[str, BackendResult] = {}
    parity: Parity | None = None
    for name, folder in folders.items():
        if name == "diff":
            parity = recorded(folder, updates)
        elif rows := [row for row in read_rows(folder.metrics, "summary") if row["update"] == updates]:
            results[name] = rows[-1]["result"]
    if set(results) != set(runs.backend_names(config)) or ("diff" in folders and parity is None):
        return None
    return Summary(root, results, parity)
