"""What `twice train` adds to the steps it is made of: one epoch of LeNet-5, with everything, beside the bare steps.

The epoch is that of `twice train lenet5 --backend scratch --epochs 1`, by the clock on the wall: reading each batch,
the steps, watching for numbers that are not finite, TensorBoard, metrics, checkpoints, and at its end the validation
with its histograms and pictures, up to the last checkpoint. What a run does once is not in it: loading Python and the
data before, the test set after. The bare steps are the same on batches that lie ready, in the same order: the
parameters after both must be the same to the last bit. Each has a process of its own; they take turns.
"""

import dataclasses
import statistics
import tempfile
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from experiments.bench import images, isolated
from experiments.bench.alternating import ratios, rotated, spread
from experiments.errors import UserError
from experiments.summary import print_table
from experiments.terminal import plain_table

TARGET: Final = 1.15
"""How many times as long as the bare steps the epoch may take."""
WAYS: Final = ("train", "steps")
_HEADINGS: Final = ("what", "", "seconds", "quartiles", "images/s")
_NAMES: Final = ("epoch of twice train", "of it in its steps", "bare steps")


@dataclasses.dataclass(frozen=True)
class Epoch:
    """What epochs took.

    Parameters
    ----------
    dataset, images, batch, threads:
        What was trained on, images per epoch and per update, and threads.
    seconds:
        One per round, by way: "train" is the epoch of the command, "steps" the bare steps.
    inside:
        Of the seconds of "train" those in which gradients were computed and updates made, by the run's own clock.
    """

    dataset: str
    images: int
    batch: int
    threads: int
    seconds: dict[str, tuple[float, ...]]
    inside: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """Epoch : bare steps, of each round."""
        return ratios(self.seconds["train"], self.seconds["steps"])

    @property
    def ratio(self) -> float:
        """Their median."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool | None:
        """Whether it is at most `TARGET`; None on other data than MNIST, for whose 860 updates the target is meant."""
        return self.ratio <= TARGET if self.dataset == "mnist" else None

    def to_json(self) -> dict[str, Any]:
        """Return it in JSON's types, with what follows from it."""
        derived = {"ratios": self.ratios, "ratio": self.ratio, "target": TARGET, "met": self.met}
        return {**dataclasses.asdict(self), **derived}


def measure(*, threads: int = 1, rounds: int = 5, batch: int = 64, dataset: str = "") -> Epoch:
    """Measure both ways in turn.

    Parameters
    ----------
    threads:
        Of the steps; `twice train` has 1 unless told otherwise.
    rounds:
        Epochs per way.
    batch:
        Images per update.
    dataset:
        By name; without one MNIST, or the embedded digits where it is not found.

    Raises
    ------
    UserError
        If the data set is not there, a process fails, or the two ways did not end with the same parameters.
    """
    found = images.available(dataset)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    inside: list[float] = []
    digests: set[str] = set()
    for turn in range(rounds):
        for way in rotated(WAYS, turn):
            with tempfile.TemporaryDirectory() as folder:
                runs_dir = str(Path(folder) / "runs")
                words = (way, found.name, str(batch), str(threads), runs_dir)
                answer = isolated.run("experiments.bench.epoch_worker", *words, threads=threads)
            seconds[way].append(answer["seconds"])
            inside += [answer["inside"]] * (way == "train")
            digests.add(answer["sha256"])
    if len(digests) > 1:
        raise UserError("the bare steps and twice train did not end with the same parameters: other work was timed")
    taken = {way: tuple(values) for way, values in seconds.items()}
    return Epoch(found.name, len(found.train), batch, threads, taken, tuple(inside))


def show(epoch: Epoch, console: Console) -> None:
    """Print the table, and what it was measured on."""
    console.print(Text(heading(epoch), style="bold"), soft_wrap=True)
    table = plain_table(*_HEADINGS)
    for cells in table_rows(epoch):
        table.add_row(*cells)
    print_table(console, table)
    console.print(Text(verdict(epoch)), soft_wrap=True)


def markdown(epoch: Epoch) -> str:
    """Return the same as a Markdown table."""
    headings = [name for name in _HEADINGS if name]
    rows = [headings, ["---", "--:", "--:", "--:"], *([name, *cells] for name, _, *cells in table_rows(epoch))]
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join([heading(epoch), "", *lines, "", verdict(epoch), ""])


def heading(epoch: Epoch) -> str:
    """Return what was measured, in a line."""
    rounds = len(epoch.seconds["train"])
    return (
        f"LeNet-5 in scratch, one epoch of {epoch.images:,} images of {images.described(epoch.dataset)}, batch "
        f"{epoch.batch}, {epoch.threads} thread{'s' * (epoch.threads != 1)}, float32: median of {rounds}"
    )


def verdict(epoch: Epoch) -> str:
    """Return the ratio, and whether the target is met."""
    middle, low, high = spread(epoch.ratios)
    outcome = {True: "met", False: "missed", None: "not judged, an epoch of MNIST is meant"}[epoch.met]
    return (
        f"the epoch of twice train, logging and validation included, takes {middle:.3f} times as long as its bare "
        f"steps (quartiles {low:.3f} and {high:.3f}); target at most {TARGET}: {outcome}"
    )


def table_rows(epoch: Epoch) -> list[tuple[str, ...]]:
    """Return the cells of the table: the epoch, the steps in it, the bare steps."""
    rows: list[tuple[str, ...]] = []
    for name, taken in zip(_NAMES, (epoch.seconds["train"], epoch.inside, epoch.seconds["steps"]), strict=True):
        middle, low, high = spread(taken)
        rows.append((name, "", f"{middle:.3f}", f"{low:.3f} to {high:.3f}", f"{epoch.images / middle:,.0f}"))
    return rows
