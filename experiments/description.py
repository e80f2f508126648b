"""`twice show`: what a run was and what it reached, read back."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from rich.text import Text

from experiments import manifest, metrics, runs
from experiments.config import TrainConfig, difference, field_types
from experiments.invocation import command
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
from experiments.terminal import plain_table, screen
from experiments.verdict import recorded


class Description(TypedDict):
    """What a run was and what it reached."""

    run: str
    config: dict[str, Any]
    differences: dict[str, list[Any]]  # setting → its values, where the backends' differ
    manifest: dict[str, Any]
    finished: bool
    backends: dict[str, BackendResult]
    parity: Parity | None


def describe_run(run: Path, *, as_json: bool = False) -> int:
    """Print what a run was and what it reached: settings, versions, machine, results.

    Parameters
    ----------
    run:
        `runs/<model>-<dataset>-s<seed>`, or the folder of one backend in it.
    as_json:
        Print one JSON object instead of tables.

    Returns
    -------
    int
        Exit status, 0.

    Raises
    ------
    UserError
        If it is no run, or its files are damaged.
    """
    description = describe(run)
    if as_json:
        print_json(description, sys.stdout)
        return 0
    console = screen()
    table = plain_table("", "")
    for name, value in _facts(description).items():
        table.add_row(name, value)
    print_table(console, table)
    if description["differences"]:
        console.print(Text("settings that differ between the backends, which were trained apart:"), soft_wrap=True)
        changes = {name: (values[0], values[1]) for name, values in description["differences"].items()}
        console.print(Text(runs.listed(changes)), soft_wrap=True)
    summary = Summary(run, description["backends"], description["parity"])
    console.print()
    print_table(console, results_table(summary))
    if summary.parity is not None:
        console.print()
        print_table(console, parity_table(summary.parity, console.width))
        console.print(verdict(summary.parity))
    if not description["finished"]:
        train = command("train", description["config"]["model"])
        console.print(Text(f"not finished: `{train}` with the same settings and --resume continues it"), soft_wrap=True)
    return 0


def describe(run: Path) -> Description:
    """Read back what a run was and what it reached; see `describe_run`."""
    members = runs.members(run)
    configs = {name: runs.read_config(folder) for name, folder in members.items()}
    results = {name: result(folder, configs[name]) for name, folder in members.items()}
    first, *others = configs.values()
    changes = difference(first, others[0]) if others else {}
    return {
        "run": str(run),
        "config": first.to_dict(),
        "differences": {name: list(pair) for name, pair in changes.items()},
        "manifest": manifest.read(next(iter(members.values())).manifest),
        "finished": all(each is not None for each in results.values()),
        "backends": {name: each or _so_far(members[name]) for name, each in results.items()},
        "parity": _parity(RunFolder(run / "diff"), configs),
    }


def result(folder: RunFolder, config: TrainConfig) -> BackendResult | None:
    """Return the outcome of a finished run; None if it has not finished, or has been continued since."""
    rows = metrics.read_rows(folder.metrics, "summary")
    reached: BackendResult | None = rows[-1].get("result") if rows else None
    return reached if reached and reached["epochs"] == config.epochs else None


def _parity(diff: RunFolder, configs: Mapping[str, TrainConfig]) -> Parity | None:
    """Return the verdict, unless one of the two backends has been trained anew since."""
    if not diff.config.is_file():
        return None
    config = runs.read_config(diff)
    if len(configs) < 2 or any(difference(config, each) for each in configs.values()):
        return None
    return recorded(diff)


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
    code, blas, learned = made.get("code", {}), made.get("blas", []), made.get("data", {})
    versions, unverified = made.get("versions", {}), len(learned.get("unverified", ()))
    own = {name: value for name, value in config.items() if name not in field_types(TrainConfig)}
    own = {name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in own.items()}
    libraries = {f"{lib['internal_api']} {lib['version'] or ''}".strip(): lib["num_threads"] for lib in blas}
    resumed = len(made.get("resumed", []))
    return {
        "run": description["run"],
        "network": f"{config['model']}, {', '.join(f'{name} {value}' for name, value in own.items())}, "
        f"{config['activation']}, {config['loss']}, {config['dtype']}",
        "training": f"{config['epochs']} epochs, batch size {config['batch_size']}, lr {config['lr']} "
        f"({config['schedule']}), momentum {config['momentum']}, weight decay {config['weight_decay']}, "
        f"seed {config['seed']}",
        "data": f"{config['dataset']}, {len(learned.get('sha256', {}))} sha256 in manifest.json"
        f"{f', {unverified} without a published digest' * bool(unverified)}",
        "commit": f"{code.get('commit') or 'unknown'}{' + uncommitted changes' * bool(code.get('dirty'))}",
        "versions": ", ".join(f"{name} {versions[name]}" for name in ("python", "numpy", "torch") if name in versions),
        "machine": f"{made.get('cpu') or 'unknown'}{', ' + made['gpu'] if made.get('gpu') else ''}",
        "threads": ", ".join(f"{name}: {count}" for name, count in libraries.items()) or "unknown",
        "time": f"{made.get('started') or '?'} to {made.get('ended') or 'not finished'}"
        f"{f', resumed {resumed}×' if resumed else ''}",
    }
