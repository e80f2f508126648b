"""Small training runs that several test files look at."""

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.checkpoint import Array
from experiments.config import LeNet5Config, MlpConfig, TrainConfig
from experiments.metrics import read_rows
from experiments.summary import Summary
from experiments.training import train

# What depends on the clock, in rows that are otherwise the same in every run.
TIMES = ("images_per_s", "seconds", "result")


class Recorder:
    """A reporter that keeps what it is told; `at` is called with the number of images done in each progress report."""

    def __init__(self, at: Callable[[int, int], None] | None = None) -> None:
        self.lines: list[str] = []
        self.summary: Summary | None = None
        self.at = at

    def header(self, lines: Sequence[str]) -> None:
        self.lines += lines

    def progress(
        self, epoch: int, epochs: int, images_done: int, images_total: int, loss: float, images_per_s: float
    ) -> None:
        assert 1 <= epoch <= epochs
        assert 0 < images_done <= images_total
        assert loss >= 0
        assert images_per_s > 0
        if self.at:
            self.at(epoch, images_done)

    def epoch_line(self, text: str) -> None:
        self.lines.append(text)

    def finish(self, summary: Summary) -> None:
        self.summary = summary


def small(**settings: Any) -> TrainConfig:
    """Return settings of a run that takes about a second: 21 updates per epoch, 2 epochs."""
    defaults = {"hidden": (12, 8), "epochs": 2, "log_every": 5, "checkpoint_every": 4, "threads": 1}
    return MlpConfig(**{**defaults, **settings})


def small_lenet5(**settings: Any) -> TrainConfig:
    """Return settings of a LeNet-5's run that takes seconds: 21 updates per epoch, 2 epochs, few comparisons."""
    defaults = {"epochs": 2, "log_every": 20, "checkpoint_every": 4, "threads": 1}
    return LeNet5Config(**{**defaults, **settings})


def run(
    config: TrainConfig,
    runs_dir: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    report: Recorder | None = None,
) -> Summary:
    return train(config, runs_dir=runs_dir, resume=resume, overwrite=overwrite, report=report or Recorder())


@functools.cache
def finished(**settings: Any) -> Path:
    """Train once per session with these settings, and return the runs folder. Look, don't touch."""
    runs_dir = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, runs_dir)
    run(small(**settings), runs_dir)
    return runs_dir


def arrays(path: Path) -> dict[str, Array]:
    """Read the arrays of a checkpoint, its head left out."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files if name != "head"}


def assert_same_bits(ours: Path, theirs: Path) -> None:
    """Parameters and optimiser state of two checkpoints are equal bit for bit."""
    a, b = arrays(ours), arrays(theirs)
    assert list(a) == list(b)
    assert len(a) >= 4
    for name in a:
        assert a[name].dtype == b[name].dtype
        assert a[name].tobytes() == b[name].tobytes(), f"{name} differs by {np.abs(a[name] - b[name]).max()}"


def rows_without_times(path: Path) -> list[dict[str, Any]]:
    """Read a metrics file without what depends on the clock."""
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_rows(path)]


def at_a_kink(images: np.ndarray, backend: Any) -> np.ndarray:
    """The images without what the first unit sees of them: without a bias it adds up to 0, as rounding will have it."""
    weight = backend.parameters()["fc1.weight"][0]
    return images - np.outer(images @ weight, weight) / (weight @ weight)
