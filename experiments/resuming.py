"""Where a run that was stopped, or killed, continues."""

from collections.abc import Callable, Mapping
from pathlib import Path

from experiments import manifest, runs
from experiments.backend import Array
from experiments.checkpoint import Checkpoint, Checkpoints
from experiments.config import TrainConfig, difference
from experiments.data import Dataset
from experiments.errors import UserError
from experiments.metrics import read_rows
from experiments.runs import RunFolder
from experiments.summary import BackendResult, Summary
from experiments.verdict import missing_updates, recorded


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
            say("there is no checkpoint to continue from yet: the run starts at its beginning")
            return None
        positions = "; ".join(f"{name} after updates {sorted(found)}" for name, found in usable.items())
        raise UserError(f"--resume: the backends have no checkpoint in common ({positions}); --overwrite starts anew")
    start = {}
    for name, found in usable.items():
        path, start[name] = found[max(common)]
        stores[name].continue_from(path)
    return start


def check_data(folders: Mapping[str, RunFolder], dataset: Dataset) -> None:
    """Refuse other data than those that a run began with: `UserError` naming what differs."""
    for folder in folders.values():
        recorded = manifest.read(folder.manifest).get("data", {}).get("sha256")
        if recorded is not None and recorded != dict(dataset.sha256):
            changed = sorted(name for name in recorded if recorded[name] != dataset.sha256.get(name))
            raise UserError(
                f"the data are not those that {folder.path} began with: "
                f"{', '.join(changed) or 'other files'} (sha256, see manifest.json); give the --data-dir of then"
            )


def check_comparison(folder: RunFolder, config: TrainConfig, done: int) -> None:
    """Refuse to continue a lockstep run whose comparisons up to the update `done` are not all there: `UserError`."""
    gaps = missing_updates(read_rows(folder.metrics, "parity"), config.log_every, done)
    if gaps:
        raise UserError(
            f"--resume: {folder.metrics} lacks the comparisons of {len(gaps):,} updates, the first of them "
            f"{gaps[0]:,}: without them the run cannot be judged; --overwrite starts it anew"
        )


def finished(folders: Mapping[str, RunFolder], config: TrainConfig, root: Path, updates: int) -> Summary | None:
    """Return the outcome of a run that has finished with these settings: its test set is not opened again.

    Where the data lie is no setting. A run that is continued with more epochs is another matter: it has a new end, and
    is tested there, once.

    Raises
    ------
    UserError
        If a lockstep run has finished and its comparison is not there: training cannot make it again.
    """
    names = runs.backend_names(config)
    results: dict[str, BackendResult] = {}
    for name in names:
        if folders[name].config.is_file() and not difference(runs.read_config(folders[name]), config):
            rows = [row for row in read_rows(folders[name].metrics, "summary") if row["update"] == updates]
            results |= {name: rows[-1]["result"]} if rows else {}
    if len(results) < len(names):
        return None
    if "diff" not in folders:
        return Summary(root, results)
    diff = folders["diff"]
    same = diff.config.is_file() and not difference(runs.read_config(diff), config)
    parity = recorded(diff, updates) if same else None
    if parity is None:
        raise UserError(
            f"--resume: {root} has finished, but its comparison {diff.path} is missing or another run's, and training "
            "cannot make it again; --overwrite starts the run anew"
        )
    return Summary(root, results, parity)
