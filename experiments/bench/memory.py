"""Peak memory of one training epoch of LeNet-5, in NumPy and in PyTorch.

Each epoch is trained in a process of its own, which loads one of the two libraries only; the wings take turns. Both
have the same images in memory before, begin with the same weights and see the same batches. What counts is the peak of
the resident memory above its level just before the epoch, when the library, the images and the network are there and
one step with 32 images has been made: a library's size is no merit or fault of the epoch. The whole is shown too. Where
a wing computes in several processes, it is their sum.
"""

import dataclasses
import math
import statistics
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.text import Text

import scratch
from experiments import data
from experiments.batches import epoch_order
from experiments.bench import images, isolated
from experiments.bench.alternating import rotated
from experiments.errors import UserError
from experiments.summary import print_table
from experiments.terminal import plain_table

WINGS: Final = ("scratch", "torch")
#: What a wing's process loads, and nothing else.
_LOADED: Final = {"scratch": ["scratch"], "torch": ["torch", "torchref"]}
#: Mean losses that differ by more than this share are not of the same computation.
SAME_LOSS: Final = 1e-3
_MEGA: Final = 2**20
_HEADINGS: Final = ("wing", "", "before MiB", "peak MiB", "epoch's own MiB", "least to most")


@dataclasses.dataclass(frozen=True)
class Usage:
    """Resident memory in bytes: just before an epoch, and the most during it."""

    before: int
    peak: int

    @property
    def above(self) -> int:
        """What the epoch took beyond what was there before."""
        return self.peak - self.before


@dataclasses.dataclass(frozen=True)
class Memory:
    """What epochs took.

    Parameters
    ----------
    dataset, images, batch, threads:
        What was trained on, images per epoch and per update, and threads allowed to both.
    counter:
        What the system was asked for: "VmHWM" is reset before the epoch, "ru_maxrss" cannot be.
    usage:
        One per repeat, by wing.
    losses:
        Mean loss of the epoch, by wing.
    """

    dataset: str
    images: int
    batch: int
    threads: int
    counter: str
    usage: dict[str, tuple[Usage, ...]]
    losses: dict[str, float]

    def above(self, wing: str) -> float:
        """Return the median of what an epoch took in a wing, in bytes."""
        return statistics.median(usage.above for usage in self.usage[wing])

    @property
    def ratio(self) -> float:
        """What an epoch takes in `scratch`, as a share of what it takes in torch."""
        return self.above("scratch") / self.above("torch")

    @property
    def met(self) -> bool:
        """Whether `scratch` takes no more."""
        return self.ratio <= 1

    def to_json(self) -> dict[str, Any]:
        """Return it in JSON's types, bytes throughout, with what follows from it."""
        return {**dataclasses.asdict(self), "ratio": self.ratio, "met": self.met}


def measure(*, threads: int = 1, repeats: int = 5, batch: int = 256, dataset: str = "", most: int = 0) -> Memory:
    """Measure both wings in turn.

    Parameters
    ----------
    threads:
        That each wing may compute in.
    repeats:
        Epochs per wing.
    batch:
        Images per update.
    dataset:
        By name; without one MNIST, or the embedded digits where it is not found.
    most:
        Images of an epoch at most; 0 for all.

    Raises
    ------
    UserError
        If the data set is not there, a process fails or has loaded both libraries, or the two did not compute the same.
    """
    found = images.available(dataset)
    pixels, labels = found.train.images[: most or None], found.train.labels[: most or None]
    usage: dict[str, list[Usage]] = {wing: [] for wing in WINGS}
    losses: dict[str, float] = {}
    counter = ""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "images.npy", data.inputs(pixels)[:, None])
        np.save(folder / "labels.npy", labels)
        np.save(folder / "order.npy", epoch_order(0, 1, len(labels)))
        state: dict[str, Any] = scratch.LeNet5(rng=np.random.default_rng(0)).state_dict()
        np.savez(folder / "init.npz", **state)
        for turn in range(repeats):
            for wing in rotated(WINGS, turn):
                words = (wing, name, str(batch), str(threads))
                answer = isolated.run("experiments.bench.memory_worker", *words, threads=threads)
                if answer["loaded"] != _LOADED[wing]:
                    raise UserError(f"the process of {wing} has loaded {answer['loaded']}: its memory is not its own")
                usage[wing].append(Usage(answer["before"], answer["peak"]))
                losses[wing], counter = answer["loss"], answer["counter"]
    if not math.isclose(losses["scratch"], losses["torch"], rel_tol=SAME_LOSS):
        raise UserError(f"the two wings did not train the same: mean losses {losses}")
    repeated = {wing: tuple(values) for wing, values in usage.items()}
    return Memory(found.name, len(labels), batch, threads, counter, repeated, losses)


def show(memory: Memory, console: Console) -> None:
    """Print the table, and what it was measured on."""
    console.print(Text(heading(memory), style="bold"), soft_wrap=True)
    table = plain_table(*_HEADINGS)
    for cells in table_rows(memory):
        table.add_row(*cells)
    print_table(console, table)
    console.print(Text(verdict(memory)), soft_wrap=True)


def markdown(memory: Memory) -> str:
    """Return the same as a Markdown table."""
    headings = [name for name in _HEADINGS if name]
    rows = [headings, ["---", *["--:"] * 4], *([name, *cells] for name, _, *cells in table_rows(memory))]
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join([heading(memory), "", *lines, "", verdict(memory), ""])


def heading(memory: Memory) -> str:
    """Return what was measured, in a line."""
    return (
        f"LeNet-5, one epoch of {memory.images:,} images of {images.described(memory.dataset)}, batch {memory.batch}, "
        f"{memory.threads} thread{'s' * (memory.threads != 1)}, float32: {memory.counter}, median of "
        f"{len(memory.usage['scratch'])}"
    )


def verdict(memory: Memory) -> str:
    """Return the ratio, and whether the target is met."""
    outcome = "met" if memory.met else "missed"
    return f"scratch takes {memory.ratio:.2f} times what torch takes for the epoch; target at most 1: {outcome}"


def table_rows(memory: Memory) -> list[tuple[str, ...]]:
    """Return the cells of the table: one row per wing, medians over the repeats."""
    rows: list[tuple[str, ...]] = []
    for wing, repeats in memory.usage.items():
        own = [usage.above / _MEGA for usage in repeats]
        before, most = (statistics.median(getattr(usage, name) for usage in repeats) for name in ("before", "peak"))
        cells = (f"{before / _MEGA:.1f}", f"{most / _MEGA:.1f}", f"{statistics.median(own):.1f}")
        rows.append((wing, "", *cells, f"{min(own):.1f} to {max(own):.1f}"))
    return rows
