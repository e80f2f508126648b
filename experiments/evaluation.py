"""`twice eval` and `twice show`: what a run reached, measured again or read back."""

import sys
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments import data, manifest, metrics, runs
from experiments.backends import Backend, build, layer_sizes
from experiments.checkpoint import Checkpoint, Checkpoints, load
from experiments.config import TrainConfig
from experiments.data import Dataset, Split
from experiments.errors import UserError
from experiments.parity import recorded
from experiments.resuming import check_data
from experiments.runs import RunFolder
from experiments.summary import (
    BackendResult,
    Parity,
    Summary,
    parity_table,
    print_json,
    print_table,
    results_table,
    verdict,
)


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


class Description(TypedDict):
    """What a run was and what it reached."""

    run: str
    config: dict[str, Any]
    manifest: dict[str, Any]
    finished: bool
    backends: dict[str, BackendResult]
    parity: Parity | None


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
        If it is no run, has not finished, its checkpoints are damaged, or its data are not there or others.
    """
    results = evaluate(run, data_dir)
    if as_json:
        print_json({"run": str(run), "evaluations": results}, sys.stdout)
        return 0
    table = _table("", "checkpoint", "updates", "val. error", "val. loss", "test error", "test loss")
    for result in results:
        table.add_row(
            result["backend"],
            result["checkpoint"],
            f"{result['updates']:,}",
            f"{result['validation_error']:.2%}",
            f"{result['validation_loss']:.4f}",
            f"{result['test_error']:.2%}",
            f"{result['test_loss']:.4f}",
        )
    print_table(_console(), table)
    return 0


def describe_run(run: Path, *, as_json: bool = False) -> int:
    """Print what a run was and what it reached: settings, versions, machine, results.

    Parameters
    ----------
    run:
        As in `evaluate_run`.
    as_json:
        Print one JSON object instead of tables.

    Returns
    -------
    int
        Exit status, 0.

    Raises
    ------
    UserError
        If it is no run, or its files cannot be read.
    """
    description = describe(run)
    if as_json:
        print_json(description, sys.stdout)
        return 0
    console = _console()
    table = _table("", "")
    for name, value in _facts(description).items():
        table.add_row(name, value)
    print_table(console, table)
    summary = Summary(run, description["backends"], description["parity"])
    console.print()
    print_table(console, results_table(summary))
    if summary.parity is not None:
        console.print()
        print_table(console, parity_table(summary.parity))
        console.print(verdict(summary.parity))
    if not description["finished"]:
        console.print("not finished: `twice train` with the same settings and --resume continues it", soft_wrap=True)
    return 0


def evaluate(run: Path, data_dir: Path | None = None) -> list[Evaluation]:
    """Measure the last and the best checkpoint of each backend of a finished run; see `evaluate_run`."""
    members = _members(run)
    configs = {name: runs.read_config(folder) for name, folder in members.items()}
    for name, folder in members.items():
        if _result(folder, configs[name]) is None:
            raise UserError(
                f"{folder.path} has not finished, and the test set is opened only for a finished run: "
                "`twice train` with the same settings and --resume finishes it"
            )
    first = next(iter(configs.values()))
    dataset = data.load(first.dataset, data_dir or first.data_dir)
    check_data(members, dataset)
    sizes = layer_sizes(first, dataset.train.images[0].size, dataset.num_classes)
    results = []
    for name, folder in members.items():
        config, store = configs[name], Checkpoints(folder.checkpoints)
        params = {key: value.copy() for key, value in np.load(folder.init, allow_pickle=False).items()}
        backend = build(name, config, params, sizes)
        for path in (store.last, store.best):
            checkpoint = load(path, config.hash(), params)
            results.append(_evaluate(backend, path.name, checkpoint, config, dataset))
    return results


def describe(run: Path) -> Description:
    """Read back what a run was and what it reached; see `describe_run`."""
    members = _members(run)
    configs = {name: runs.read_config(folder) for name, folder in members.items()}
    results = {name: _result(folder, configs[name]) for name, folder in members.items()}
    first, config = next(iter(members.items()))
    return {
        "run": str(run),
        "config": configs[first].to_dict(),
        "manifest": manifest.read(config.manifest),
        "finished": all(result is not None for result in results.values()),
        "backends": {name: result or _so_far(members[name]) for name, result in results.items()},
        "parity": recorded(RunFolder(run / "diff")),
    }


def _evaluate(backend: Backend, name: str, checkpoint: Checkpoint, config: TrainConfig, dataset: Dataset) -> Evaluation:
    def measure(split: Split) -> tuple[float, float]:
        inputs = data.inputs(split.images, config.dtype).reshape(len(split.labels), -1)
        outputs = backend.predict(inputs)
        return backend.loss(outputs, split.labels), metrics.error_rate(outputs, split.labels)

    backend.load_parameters(checkpoint.params)
    validation, test = measure(dataset.validation), measure(dataset.test)
    return {
        "backend": backend.name,
        "checkpoint": name,
        "updates": checkpoint.update,
        "epochs": checkpoint.epoch,
        "validation_loss": validation[0],
        "validation_error": validation[1],
        "test_loss": test[0],
        "test_error": test[1],
    }


def _members(run: Path) -> dict[str, RunFolder]:
    """Return the backends' folders of a run, or the one folder if it is a backend's itself."""
    folders = [run, *(run / name for name in ("scratch", "torch"))]
    members = {folder.resolve().name: RunFolder(folder) for folder in folders if (folder / "config.json").is_file()}
    members.pop("diff", None)
    if not members:
        raise UserError(f"{run} is not a run: neither it nor its folders scratch and torch have a config.json")
    return members


def _result(folder: RunFolder, config: TrainConfig) -> BackendResult | None:
    """Return the outcome of a finished run; None if it has not finished, or has been continued since."""
    rows = metrics.read_rows(folder.metrics, "summary")
    result: BackendResult | None = rows[-1]["result"] if rows else None
    return result if result and result["epochs"] == config.epochs else None


def _so_far(folder: RunFolder) -> BackendResult:
    """Return what an unfinished run has reached by its last complete epoch."""
    rows = metrics.read_rows(folder.metrics, "epoch")
    seconds = sum(row["seconds"] for row in rows)
    images = sum(row["seconds"] * row["images_per_s"] for row in rows)
    return {
        "test_error": None,
        "test_loss": None,
        "validation_error": min((row["validation"]["error"] for row in rows), default=None),
        "train_loss": rows[-1]["train"]["loss"] if rows else None,
        "seconds": seconds,
        "images_per_s": images / seconds if seconds else 0.0,
        "updates": rows[-1]["update"] if rows else 0,
        "epochs": rows[-1]["epoch"] if rows else 0,
    }


def _facts(description: Description) -> dict[str, str]:
    config, made = description["config"], description["manifest"]
    code, blas = made.get("code", {}), made.get("blas", [])
    versions = made.get("versions", {})
    hidden = ",".join(map(str, config["hidden"]))
    libraries = {f"{lib['internal_api']} {lib['version'] or ''}".strip(): lib["num_threads"] for lib in blas}
    return {
        "run": description["run"],
        "network": f"{config['model']}, hidden {hidden}, {config['activation']}, {config['loss']}, {config['dtype']}",
        "training": f"{config['epochs']} epochs, batch size {config['batch_size']}, lr {config['lr']}, "
        f"momentum {config['momentum']}, weight decay {config['weight_decay']}, seed {config['seed']}",
        "data": f"{config['dataset']}, {len(made.get('data', {}).get('sha256', {}))} sha256 in manifest.json",
        "commit": f"{code.get('commit') or 'unknown'}{' + uncommitted changes' * bool(code.get('dirty'))}",
        "versions": ", ".join(f"{name} {versions[name]}" for name in ("python", "numpy", "torch") if name in versions),
        "machine": f"{made.get('cpu', 'unknown')}{', ' + made['gpu'] if made.get('gpu') else ''}",
        "threads": ", ".join(f"{name}: {count}" for name, count in libraries.items()) or "unknown",
        "time": f"{made.get('started') or '?'} to {made.get('ended') or 'not finished'}"
        f"{', resumed ' + str(len(made['resumed'])) + ' times' if made.get('resumed') else ''}",
    }


def _console() -> Console:
    # A log has no window to fit: a fixed width keeps its tables whole.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=any(headings))
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if heading and number > 1 else "left", style="" if number else "bold")
    return table
