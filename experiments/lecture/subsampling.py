"""子采样层: each map shrunk by one number per window; what it costs, and what it does for digits that have moved.

What is checked: the slide's sizes, its zero parameters against the two per map that LeNet-5 trains, that every map is
shrunk on its own; and whether maps, and what is read from them, then depend less on where the digit lies.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np

from experiments.backend import Array, Backend
from experiments.lecture.lab import WINGS, Claim, Lab, Wing, initial, worst
from experiments.lecture.subsampling_figures import draw
from experiments.lecture.subsampling_shifts import (
    POOLINGS,
    Training,
    judge_shifts,
    measure_shifts,
    pictured,
    pooling,
    tabulate,
)
from scratch import literal_subsampling as literal
from scratch.module import Shape


@dataclasses.dataclass(frozen=True)
class Config:
    """The largest input of the grid of sizes, and the training."""

    largest: int = 12
    training: Training = dataclasses.field(default_factory=Training)


FULL: Final = Config()
QUICK: Final = Config(
    largest=6,
    training=Training(seeds=3, level=0.125, asked=("average",), compared=30, tested=100, digits=480, epochs=5),
)


class Example(NamedTuple):
    """A volume W₁×H₁×D₁ = N×N×D, the window F and stride S, and how wide the output is."""

    source: str
    size: int
    depth: int
    extent: int
    stride: int
    output: int


EXAMPLES: Final = (
    Example("LeNet-5, S2", 28, 6, 2, 2, 14),
    Example("LeNet-5, S4", 10, 16, 2, 2, 5),
    Example("CS231n", 224, 64, 2, 2, 112),
    Example("overlapping", 13, 4, 3, 2, 6),
)


class Measured(NamedTuple):
    """What one wing's layers do, by kind; see the functions that measure it."""

    examples: dict[tuple[Example, str], tuple[Shape, int]]
    grid: dict[tuple[str, int, int, int], Shape]
    across: dict[str, tuple[int, int]]
    from_literal: dict[str, float]


def run(lab: Lab, config: Config) -> list[Claim]:
    """Measure both wings, draw, judge."""
    found = {wing.name: measure(wing, config, lab.seed) for wing in WINGS}
    shifts = measure_shifts(lab, config.training)
    lab.table(
        "Sizes (W₁ − F)/S + 1 and parameters of real layers, scratch / torch",
        ("", "input", "F", "S", "formula", "output", *POOLINGS),
        (row(example, list(found.values())) for example in EXAMPLES),
    )
    tabulate(lab, shifts)
    draw(lab, pictured(WINGS[0], lab.seed), shifts)
    return [*judge(found), *judge_shifts(shifts, config.training)]


def measure(wing: Wing, config: Config, seed: int) -> Measured:
    """Everything that one wing's layers have to show; both wings are given the same arrays."""
    rng = np.random.default_rng(seed)
    return Measured(
        {(example, kind): example_layer(wing, example, kind) for example in EXAMPLES for kind in POOLINGS},
        grid(wing, config.largest),
        {kind: across(wing, kind, rng) for kind in POOLINGS},
        from_literal(wing, rng),
    )


def layer(wing: Wing, kind: str, maps: int, *sizes: int, **params: Array) -> Backend:
    """One layer on its own, with these parameters or those that it starts from."""

    def make(w: ModuleType, dtype: Any, _: Any) -> Any:
        return w.Sequential({"pool": pooling(w, kind, maps, dtype, *sizes)})

    named = {f"pool.{name}": value for name, value in params.items()} or initial(make, 0)
    return wing.learner(make, lambda w: w.SquaredError("sum"), named, lr=1.0)


def example_layer(wing: Wing, example: Example, kind: str) -> tuple[Shape, int]:
    """The shape (D, H, W) that a real layer gives for a real array, and how many parameters it has."""
    net = layer(wing, kind, example.depth, example.extent, example.stride)
    return net.predict(np.ones((1, example.depth, example.size, example.size))).shape[1:], net.num_parameters()


def grid(wing: Wing, largest: int) -> dict[tuple[str, int, int, int], Shape]:
    """The shape of 3 maps' output for every N, F ≤ 4 and S ≤ 3 where the window fits."""
    cases = itertools.product(POOLINGS, range(1, largest + 1), range(1, 5), (1, 2, 3))
    return {
        (kind, n, f, s): layer(wing, kind, 3, f, s).predict(np.ones((1, 3, n, n))).shape[1:]
        for kind, n, f, s in cases
        if f <= n
    }


def across(wing: Wing, kind: str, rng: np.random.Generator) -> tuple[int, int]:
    """How many outputs of other maps change when one map is made brighter, and how many of its own."""
    x, net = rng.normal(size=(1, 4, 6, 6)), layer(wing, kind, 4, 2)
    changed = np.array(
        [(net.predict(x + bright) != net.predict(x)).sum((0, 2, 3)) for bright in np.eye(4)[:, :, None, None]]
    )
    return int(changed.sum() - np.trace(changed)), int(np.trace(changed))


def from_literal(wing: Wing, rng: np.random.Generator) -> dict[str, float]:
    """How far each kind is from the slide's loops, relative to the largest; "start": sub-sampling from the average."""
    apart: dict[str, list[float]] = {name: [] for name in (*POOLINGS, "start")}
    for extent, stride in ((2, 2), (3, 2), (2, 3)):
        x, weight, bias = rng.normal(size=(3, 8, 7)), rng.normal(size=3), rng.normal(size=3)
        maps, window, step = x.tolist(), (extent, extent), (stride, stride)
        average = literal.average(maps, window, step)
        cases = {
            "average": (average, {}),
            "max": (literal.maximum(maps, window, step), {}),
            "sub-sampling": (
                literal.subsample(maps, weight.tolist(), bias.tolist(), window, step),
                {"weight": weight, "bias": bias},
            ),
            "start": (average, {}),
        }
        for name, (expected, params) in cases.items():
            kind = "sub-sampling" if name == "start" else name
            y = layer(wing, kind, 3, extent, stride, **params).predict(x[None])[0]
            apart[name].append(float(np.abs(y - expected).max() / np.abs(expected).max()))
    return {name: worst(cases) for name, cases in apart.items()}


def row(example: Example, wings: Sequence[Measured]) -> tuple[object, ...]:
    """An example as a row of the table; volumes as the slide writes them, W×H×D."""
    source, size, depth, extent, stride, _ = example
    shapes = ["×".join(map(str, (*one.examples[example, "max"][0][1:], depth))) for one in wings]
    counts = [" / ".join(str(one.examples[example, kind][1]) for one in wings) for kind in POOLINGS]
    by_formula = f"{(size - extent) / stride + 1:.3g}"
    return (source, f"{size}×{size}×{depth}", extent, stride, by_formula, " / ".join(shapes), *counts)


def judge(found: Mapping[str, Measured]) -> list[Claim]:
    """The slide's statements on the layer itself, each in both wings."""
    wings = list(found.values())
    right = sum(
        shape == (example.depth, example.output, example.output)
        for one in wings
        for (example, _), (shape, _) in one.examples.items()
    )
    cases = [((n - f) // s + 1, shape) for one in wings for (_, n, f, s), shape in one.grid.items()]
    wrong = sum(shape != (3, by_formula, by_formula) for by_formula, shape in cases)
    total = len(wings) * len(EXAMPLES) * len(POOLINGS)
    fixed = {count for one in wings for (_, kind), (_, count) in one.examples.items() if kind != "sub-sampling"}
    trained = [[one.examples[example, "sub-sampling"][1] for example in EXAMPLES[:2]] for one in wings]
    others = sum(count for one in wings for count, _ in one.across.values())
    own = min(count for one in wings for _, count in one.across.values())
    apart = {kind: worst(one.from_literal[kind] for one in wings) for kind in wings[0].from_literal}
    return [
        Claim(
            "The output is (W₁ − F)/S + 1 wide and as deep as the input, rounded down where it does not divide: for "
            "all three kinds, in every example and for every N, F ≤ 4, S ≤ 3 of a grid, in both wings.",
            f"{right} of {total} examples as stated; {wrong} of {len(cases)} layers otherwise",
            right == total and wrong == 0,
            {"examples": right, "layers": len(cases), "wrong": wrong},
        ),
        Claim(
            "Average and maximum introduce zero parameters; LeNet-5's sub-sampling has two per map to train, 12 in S2 "
            "and 32 in S4, in both wings.",
            f"average and max: {sorted(fixed)}; S2 and S4: {' and '.join(str(counts) for counts in trained)}",
            fixed == {0} and all(counts == [12, 32] for counts in trained),
            {"S2": trained[0][0], "S4": trained[0][1]},
        ),
        Claim(
            "Every map is shrunk on its own: brighten one, and all outputs of this map change and none of another, "
            "not by a bit, for all three kinds in both wings.",
            f"{others} outputs of other maps changed; at least {own} of 36 of its own",
            others == 0 and own == 36,
            {"others": others, "own": own},
        ),
        Claim(
            "Both wings take the mean, the maximum or coefficient · sum + bias of each window, as the loops over "
            "windows do, and sub-sampling starts as the average: all to 1e-14, the maximum exactly.",
            ", ".join(f"{kind} {value:.1e}" for kind, value in apart.items()),
            all(value <= 1e-14 for value in apart.values()) and apart["max"] == 0,
            apart,
        ),
    ]
