"""Where a training step spends its time: seconds, arithmetic and share of the machine's peak, layer by layer.

What is measured: each layer's `forward` and `backward`, called one after the other through their explicit caches, in
one thread, with the whole batch; then the step as training does it, undivided. The two need not agree: the step may
take the batch in parts, on several cores.

What is counted: `num_multiply_adds` for the forward pass. The backward pass takes as many for the gradient of the
weights and as many again for the gradient of the input: twice the forward pass's. The first layer with weights needs no
gradient of its input, and nothing before it is needed; neither is computed. A layer that computes more than is needed,
or multiplies by the zeros of absent links, has the time but not the credit.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

from rich.console import Console
from rich.text import Text
from threadpoolctl import threadpool_limits

import scratch
from experiments.bench import networks, peak
from experiments.bench.cells import Cell
from experiments.bench.competitors import scratch_steps
from experiments.summary import print_table
from experiments.terminal import plain_table
from scratch.module import Module, Shape

#: Passes before the clock starts: the first one meets cold caches and fresh memory.
WARM_UP: Final = 2
_HEADINGS: Final = (
    *("layer", "kind", "forward ms", "GFLOP/s", "of peak", "backward ms", "GFLOP/s", "of peak", "of the sum"),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One layer, the loss or the optimiser.

    Parameters
    ----------
    name, kind:
        Its name in the network, and its class.
    forward, backward:
        Median seconds for the batch. The optimiser's update counts as forward.
    forward_multiply_adds, backward_multiply_adds:
        What the mathematics needs for the batch; 0 where there is no product with a parameter or constant.
    """

    name: str
    kind: str
    forward: float
    backward: float
    forward_multiply_adds: int = 0
    backward_multiply_adds: int = 0

    @property
    def seconds(self) -> float:
        """Both directions."""
        return self.forward + self.backward


@dataclasses.dataclass(frozen=True)
class Profile:
    """A training step taken apart.

    Parameters
    ----------
    cell:
        Which network, batch size and dtype.
    passes:
        How many the medians are of.
    peak:
        Of this machine in the same dtype and in as many threads as BLAS had for the layers.
    rows:
        The layers in the order of computation, the loss, the optimiser.
    step:
        Median seconds of the undivided step, in `threads` threads.
    threads:
        See `step`.
    """

    cell: Cell
    passes: int
    peak: peak.Peak
    rows: tuple[Row, ...]
    step: float
    threads: int

    @property
    def total(self) -> Row:
        """The sum of all rows."""
        return Row(
            "sum",
            "",
            sum(row.forward for row in self.rows),
            sum(row.backward for row in self.rows),
            sum(row.forward_multiply_adds for row in self.rows),
            sum(row.backward_multiply_adds for row in self.rows),
        )

    def gflops(self, multiply_adds: int, seconds: float) -> float:
        """Return thousands of millions of operations per second: a product and a sum are two."""
        return 2 * multiply_adds / seconds / 1e9

    def share(self, multiply_adds: int, seconds: float) -> float:
        """Return the fraction of the peak that is reached, 0 … 1."""
        return self.gflops(multiply_adds, seconds) / self.peak.gflops

    def to_json(self) -> dict[str, Any]:
        """Return it in JSON's types, with what follows from it."""
        total = self.total
        arithmetic = total.forward_multiply_adds + total.backward_multiply_adds
        return {
            **dataclasses.asdict(self),
            "rows": [self._derived(row) for row in self.rows],
            "sum": self._derived(total),
            "step_gflops": self.gflops(arithmetic, self.step),
        }

    def _derived(self, row: Row) -> dict[str, Any]:
        found = dataclasses.asdict(row)
        for way in ("forward", "backward"):
            count, seconds = found[f"{way}_multiply_adds"], found[way]
            if count:
                found[f"{way}_gflops"] = self.gflops(count, seconds)
                found[f"{way}_share_of_peak"] = self.share(count, seconds)
        return found


def measure(cell: Cell, *, threads: int = 1, passes: int = 30, seconds: float = 0.2) -> Profile:
    """Take a training step of `scratch` apart.

    Parameters
    ----------
    cell:
        Which network, batch size and dtype; its mode is not looked at.
    threads:
        Of the undivided step. The layers are measured in one.
    passes:
        How many the medians are of, at least 1.
    seconds:
        How long each size of matrix is repeated for the peak.
    """
    cell = dataclasses.replace(cell, mode="train")
    with threadpool_limits(limits=1):
        rows = _layers(cell, passes)
    steps = scratch_steps.Steps(cell, threads)
    try:
        with threadpool_limits(limits=threads):
            whole = _median(steps.step, passes)
    finally:
        steps.close()
    return Profile(cell, passes, peak.measure(cell.dtype, 1, seconds), rows, whole, threads)


def multiply_adds(net: scratch.Sequential, shape: Shape, batch: int) -> dict[str, tuple[int, int]]:
    """Return what the mathematics needs of each layer for a batch: forward and backward, by the layer's name.

    Parameters
    ----------
    net:
        The network.
    shape:
        Of one sample.
    batch:
        Samples.
    """
    counts: dict[str, tuple[int, int]] = {}
    needed = False  # of this layer's input gradient: only where there are weights below
    for name, layer in net.layers.items():
        count = batch * layer.num_multiply_adds(shape)
        trained = bool(layer.parameters())
        counts[name] = (count, count * (trained + needed))
        needed |= trained
        shape = layer.output_shape(shape)
    return counts


def show(profile: Profile, console: Console) -> None:
    """Print the table, and what it was measured on."""
    console.print(Text(heading(profile), style="bold"), soft_wrap=True)
    table = plain_table(*_HEADINGS)
    for cells in table_rows(profile):
        table.add_row(*cells)
    print_table(console, table)
    console.print(Text(footnote(profile)), soft_wrap=True)


def markdown(profile: Profile) -> str:
    """Return the same as a Markdown table with a heading line and a footnote."""
    rows = [_HEADINGS, ("---", "---", *["--:"] * (len(_HEADINGS) - 2)), *table_rows(profile)]
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join([heading(profile), "", *lines, "", footnote(profile), ""])


def heading(profile: Profile) -> str:
    """Return what was measured, in a line."""
    return f"{profile.cell.name}: layers in one thread, median of {profile.passes} passes"


def footnote(profile: Profile) -> str:
    """Return the peak, and the undivided step beside the sum."""
    total, top = profile.total, profile.peak
    arithmetic = total.forward_multiply_adds + total.backward_multiply_adds
    threads = f"{profile.threads} thread{'s' * (profile.threads != 1)}"
    speed, gflops = profile.cell.batch / profile.step, profile.gflops(arithmetic, profile.step)
    return (
        f"peak {top.gflops:.0f} GFLOP/s: {top.dtype} product of {top.size:,}×{top.size:,} matrices in one thread; the "
        f"step undivided, in {threads}: {profile.step * 1e3:.3f} ms, {speed:,.0f} images/s, {gflops:.1f} GFLOP/s"
    )


def table_rows(profile: Profile) -> list[tuple[str, ...]]:
    """Return the cells of the table, the sum last."""
    whole = profile.total.seconds
    rows = []
    for row in (*profile.rows, profile.total):
        cells = [row.name, row.kind]
        for seconds, count in (
            (row.forward, row.forward_multiply_adds),
            (row.backward, row.backward_multiply_adds),
        ):
            cells.append(f"{seconds * 1e3:.3f}" if seconds else "")
            if count and seconds:
                cells += [f"{profile.gflops(count, seconds):.1f}", f"{profile.share(count, seconds):.0%}"]
            else:
                cells += ["", ""]
        rows.append((*cells, f"{row.seconds / whole:.0%}"))
    return rows


def _layers(cell: Cell, passes: int) -> tuple[Row, ...]:
    net, criterion = networks.scratch_network(cell), scratch.CrossEntropy()
    optimizer = scratch.SGD(networks.LEARNING_RATE)
    images, labels = networks.batch(cell)
    records: dict[tuple[str, str], list[float]] = {}
    names = list(net.layers)
    # As `Sequential.gradients` does: down to the first layer with weights, and not to its input.
    needed = names[next(i for i, layer in enumerate(net.layers.values()) if layer.parameters()) :]

    def timed(name: str, way: str, work: Callable[..., Any], *arguments: Any) -> Any:
        begun = time.perf_counter()
        result = work(*arguments)
        records.setdefault((name, way), []).append(time.perf_counter() - begun)
        return result

    for _ in range(WARM_UP + passes):
        x, caches = images, {}
        for name, layer in net.layers.items():
            x, caches[name] = timed(name, "forward", layer.forward, x)
        _, cache = timed("", "forward", criterion.forward, x, labels)
        dy = timed("", "backward", criterion.backward, cache)
        grads = {}
        for name in reversed(needed):
            layer = net.layers[name]
            if name == needed[0]:
                own = timed(name, "backward", layer.gradients, dy, caches[name])
            else:
                dy, own = timed(name, "backward", layer.backward, dy, caches[name])
            grads.update({f"{name}.{parameter}": grad for parameter, grad in own.items()})
        timed("", "update", optimizer.step, net.parameters(), grads)
    medians = {key: statistics.median(values[WARM_UP:]) for key, values in records.items()}
    counts = multiply_adds(net, images.shape[1:], len(images))
    layers: dict[str, Module] = net.layers
    return (
        *(
            Row(
                name,
                type(layer).__name__,
                medians[name, "forward"],
                medians.get((name, "backward"), 0.0),
                *counts[name],
            )
            for name, layer in layers.items()
        ),
        Row("loss", type(criterion).__name__, medians["", "forward"], medians["", "backward"]),
        Row("update", type(optimizer).__name__, medians["", "update"], 0.0),
    )


def _median(work: Callable[[], None], passes: int) -> float:
    """Return the median seconds of a call."""
    seconds = []
    for _ in range(WARM_UP + passes):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[WARM_UP:])
