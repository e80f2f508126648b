"""`twice data`: fetch a data set, or check the one that is there, and say what it is."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from experiments import data
from experiments.data import NotFoundError, transfer
from experiments.data.download import fetch, fetch_from
from experiments.data.finding import cache_dir
from experiments.errors import USAGE_ERROR, UserError


def fetch_and_show(name: str, origin: str | None, data_dir: Path | None) -> int:
    """Make sure that a data set is there, and print where it lies, its sizes and its sha256.

    Parameters
    ----------
    name:
        One of `experiments.data.DATASETS`.
    origin:
        Folder, archive or address to take it from; None looks for it first, then tries the public mirrors.
    data_dir:
        Where to look and to keep it; None looks in MNIST_DIR and in the user's cache, and keeps it in the cache.

    Returns
    -------
    int
        Exit status 0.

    Raises
    ------
    UserError
        If it cannot be had, or what is there is not what it should be.
    """
    if name == "digits":
        if origin is not None:
            raise UserError(
                f"--from {origin}: digits come with scikit-learn and are taken from nowhere else", USAGE_ERROR
            )
        _show(data.load(name))
        return 0
    destination = cache_dir() if data_dir is None else data_dir
    if origin is not None:
        with _bar() as progress:
            fetch_from(name, origin, destination, progress=progress)
        _show(data.load(name, destination))
        return 0
    try:
        found = data.load(name, data_dir)
    except NotFoundError:  # only then: where something is there that is wrong, another download would only hide it
        with _bar() as progress:
            fetch(name, destination, progress=progress)
        found = data.load(name, destination)
    _show(found)
    return 0


def _show(found: data.Dataset) -> None:
    sizes = " / ".join(f"{len(split):,}" for split in (found.train, found.validation, found.test))
    print(f"data   {found.name} {sizes} (train/validation/test)")
    print(f"from   {found.source}")
    for name, digits in found.sha256.items():
        checked = "  (no published digest to hold it against)" if name in found.unverified else ""
        print(f"sha256 {digits}  {name}{checked}")


@contextlib.contextmanager
def _bar() -> Iterator[transfer.Progress]:
    """Show on stderr, if it is a terminal, how much of each file has come."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        tasks: dict[str, TaskID] = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name)
            bar.update(tasks[name], completed=done, total=total or None)

        yield progress
