"""`twice eval`: a finished run's checkpoints, measured again."""

import contextlib
import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from rich.text import Text

from experiments import data, metrics, runs
from experiments.backend import Array, Backend
from experiments.backends import build, initial_parameters
from experiments.checkpoint import Checkpoint, CheckpointRefusedError, Checkpoints, load
from experiments.config import TrainConfig
from experiments.data import Dataset, Split
from experiments.description import result
from experiments.errors import UserError
from experiments.invocation import command
from experiments.networks import data_shape, predict
from experiments.resuming import check_data
from experiments.summary import loss_text, print_json, print_table
from experiments.terminal import plain_table, screen


class Evaluation(TypedDict):
    """One checkpoint measured on the validation and the test set: mean loss, and fraction wrong."""

    backend: str
    checkpoint: str
    updates: int
    epochs: int
    validation_loss: float
    validation_error: float
    test_loss: float
    test_error: float


def evaluate_run(run: Path, data_dir: Path | None = None, *, as_json: bool = False) -> int:
    """Measure a finished run's last and best parameters on the validation and the test set, and print the result.

    Parameters
    ----------
    run:
        `runs/<model>-<dataset>-s<seed>`, or the folder of one backend in it.
    data_dir:
        Folder with the data, if it has moved since the run.
    as_json:
        Print one JSON object instead of a table.

    Returns
    -------
    int
        Exit status, 0.

    Raises
    ------
    UserError
        If it is no run, has not finished, has no good checkpoint, or its data are not there or others.
    """
    results, notes = evaluate(run, data_dir)
    if as_json:
        print_json({"run": str(run), "evaluations": results, "notes": notes}, sys.stdout)
        return 0
    table = plain_table("", "checkpoint", "updates", "val. error", "val. loss", "test error", "test loss")
    for measured in results:
        table.add_row(
            measured["backend"],
            measured["checkpoint"],
            f"{measured['updates']:,}",
            f"{measured['validation_error']:.2%}",
            loss_text(measured["validation_loss"]),
            f"{measured['test_error']:.2%}",
            loss_text(measured["test_loss"]),
        )
    console = screen()
    print_table(console, table)
    for note in notes:
        console.print(Text(note), soft_wrap=True)
    return 0


def evaluate(run: Path, data_dir: Path | None = None) -> tuple[list[Evaluation], list[str]]:
    """Measure the last and the best checkpoint of each backend of a finished run; see `evaluate_run`.

    Returns
    -------
    list, list of str
        The measurements, and what is to be said about checkpoints that were missing or damaged.
    """
    members = runs.members(run)
    configs = {name: runs.read_config(folder) for name, folder in members.items()}
    for name, folder in members.items():
        if result(folder, configs[name]) is None:
            raise UserError(
                f"{folder.path} has not finished, and the test set is opened only for a finished run: "
                f"`{command('train', configs[name].model)}` with the same settings and --resume finishes it"
            )
    load_data = functools.cache(data.load)
    results: list[Evaluation] = []
    notes: list[str] = []
    for name, folder in members.items():
        config = configs[name]
        dataset = load_data(config.dataset, data_dir or config.data_dir)
        check_data({name: folder}, dataset)
        params = initial_parameters(config, data_shape(dataset))
        backend = build(name, config, params, data_shape(dataset))
        checkpoints, said = _checkpoints(Checkpoints(folder.checkpoints), config, params)
        notes += said
        with contextlib.closing(backend):
            results += [_evaluate(backend, file, found, dataset, config) for file, found in checkpoints.items()]
    return results, notes


def _checkpoints(
    store: Checkpoints, config: TrainConfig, params: Mapping[str, Array]
) -> tuple[dict[str, Checkpoint], list[str]]:
    """Read the last and the best checkpoint, by file name; the previous one where the last cannot be used."""
    found: dict[str, Checkpoint] = {}
    notes: list[str] = []
    for path in (store.last, store.best):
        try:
            found[path.name] = load(path, config.hash(), params)
        except CheckpointRefusedError as refusal:
            notes.append(str(refusal))
            if path == store.last:
                try:
                    previous = load(store.previous, config.hash(), params)
                except CheckpointRefusedError:
                    raise refusal from None
                found[store.previous.name] = previous
                notes[-1] += f"; previous.npz, after update {previous.update:,}, is measured instead"
    return found, notes


def _evaluate(backend: Backend, file: str, checkpoint: Checkpoint, dataset: Dataset, config: TrainConfig) -> Evaluation:
    def measure(split: Split) -> tuple[float, float]:
        outputs = predict(config, backend, split.images)
        return backend.loss(outputs, split.labels), metrics.error_rate(outputs, split.labels)

    backend.load_parameters(checkpoint.params)
    validation, test = measure(dataset.validation), measure(dataset.test)
    return {
        "backend": backend.name,
        "checkpoint": file,
        "updates": checkpoint.update,
        "epochs": checkpoint.epoch,
        "validation_loss": validation[0],
        "validation_error": validation[1],
        "test_loss": test[0],
        "test_error": test[1],
    }
