"""卷积层的输出尺度, 卷积层的参数个数, for the experiment `convolution`: the slides' examples, on real layers."""

import itertools
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from experiments.backend import Array, Backend
from experiments.lecture.lab import Claim, Lab, Make, Wing, initial
from scratch.module import Shape


class Example(NamedTuple):
    """A layer that the slides work out: its N, D, K, F, S, P, and what they say of its output and parameters."""

    source: str
    sizes: tuple[int, int, int, int, int, int]
    output: int
    parameters: int


EXAMPLES: Final = (
    Example("slide", (7, 1, 1, 3, 1, 0), 5, 10),
    Example("slide", (7, 1, 1, 3, 1, 1), 7, 10),
    Example("CS231n", (7, 1, 1, 3, 2, 0), 3, 10),
    Example("slide", (32, 3, 1, 5, 1, 2), 32, 76),
    Example("slide", (32, 3, 10, 5, 1, 2), 32, 760),
)
"""卷积层的输出尺度, 卷积层的参数个数. Strides 2 and 3 are how CS231n, the source of these slides, goes on."""
MISFIT: Final = Example("CS231n", (7, 1, 1, 3, 3, 0), 2, 10)
"""It "doesn't fit", says CS231n: 2.33. The 2 that fit are ours."""


class Sizes(NamedTuple):
    """What one wing's layers give and hold; see the functions that measure it."""

    examples: dict[Example, tuple[Shape, int]]
    grid: dict[tuple[int, int, int, int], Shape]
    unseen: int


def conv(*sizes: Any, **options: Any) -> Make:
    """What builds a two-dimensional convolution."""
    return lambda w, dtype, rng: w.Sequential({"layer": w.Conv2d(*sizes, **options, dtype=dtype, rng=rng)})


def layer(wing: Wing, make: Make, **params: Array) -> Backend:
    """One layer with these parameters, or those that it draws itself; it can be used and differentiated."""
    named = {f"layer.{name}": value for name, value in params.items()} or initial(make, 0)
    return wing.learner(make, lambda w: w.SquaredError("sum"), named, lr=1.0)


def measure_sizes(wing: Wing, largest: int) -> Sizes:
    """The examples, the grid up to the largest N, and the pixels that a filter by 3 leaves out."""
    examples = {example: example_layer(wing, example) for example in (*EXAMPLES, MISFIT)}
    return Sizes(examples, grid(wing, largest), unseen(wing))


def example_layer(wing: Wing, example: Example) -> tuple[Shape, int]:
    """The shape (K, H, W) that a real layer gives for a real array, and how many parameters it has."""
    size, depth, filters, extent, stride, padding = example.sizes
    net = layer(wing, conv(depth, filters, extent, stride, padding))
    return net.predict(np.ones((1, depth, size, size))).shape[1:], net.num_parameters()


def grid(wing: Wing, largest: int) -> dict[tuple[int, int, int, int], Shape]:
    """The shape of 3 filters' output for every N, F ≤ 5, S ≤ 3, P ≤ 2 where the filter fits."""
    cases = itertools.product(range(1, largest + 1), range(1, 6), (1, 2, 3), (0, 1, 2))
    return {
        (n, f, s, p): layer(wing, conv(2, 3, f, s, p)).predict(np.ones((1, 2, n, n))).shape[1:]
        for n, f, s, p in cases
        if f <= n + 2 * p
    }


def unseen(wing: Wing) -> int:
    """How many pixels of 7×7 no unit looks at when a 3×3 filter goes by 3: each is lit alone, and nothing answers."""
    net = layer(wing, conv(1, 1, 3, 3, bias=False), weight=np.ones((1, 1, 3, 3)))
    answers = net.predict(np.eye(49).reshape(49, 1, 7, 7))
    return int((answers == 0).all(axis=(1, 2, 3)).sum())


def tabulate(lab: Lab, found: Mapping[str, Sizes]) -> None:
    """The examples, by the slides and as they were measured."""
    lab.table(
        "Output size (N + 2P − F)/S + 1 and parameters (F·F·D + 1)·K, stated and measured",
        ("", "input", "filters", "S", "P", "formula", "scratch", "torch", "parameters", "scratch", "torch"),
        (
            row(example, [found[wing].examples[example] for wing in ("scratch", "torch")])
            for example in (*EXAMPLES, MISFIT)
        ),
    )


def row(example: Example, of_layers: list[tuple[Shape, int]]) -> tuple[object, ...]:
    """An example as a row of the table; volumes as the slides write them, W×H×D."""
    size, depth, filters, extent, stride, padding = example.sizes
    outputs = ["×".join(map(str, (*shape[1:], shape[0]))) for shape, _ in of_layers]
    return (
        *(example.source, f"{size}×{size}×{depth}", f"{filters} of {extent}×{extent}", stride, padding),
        *(f"{(size + 2 * padding - extent) / stride + 1:.3g}", *outputs),
        *(example.parameters, *(parameters for _, parameters in of_layers)),
    )


def judge_sizes(found: Mapping[str, Sizes]) -> list[Claim]:
    """The slides' formulas for size and number, each in both wings."""
    wings = list(found.values())
    right = sum(one.examples[e][0] == (e.sizes[2], e.output, e.output) for one in wings for e in EXAMPLES)
    cases = [((n + 2 * p - f) // s + 1, shape) for one in wings for (n, f, s, p), shape in one.grid.items()]
    wrong = sum(shape != (3, by_formula, by_formula) for by_formula, shape in cases)
    held = [[one.examples[e][1] for e in EXAMPLES] for one in wings]
    return [
        Claim(
            "The output is (N + 2P − F)/S + 1 wide and high and K deep: in every example of the table but the last, "
            "and, rounded down, for every N, F ≤ 5, S ≤ 3, P ≤ 2 of a grid: for real layers of both wings.",
            f"{right} of {len(wings) * len(EXAMPLES)} examples as stated; {wrong} of {len(cases)} layers otherwise",
            right == len(wings) * len(EXAMPLES) and wrong == 0,
            {"examples": right, "layers": len(cases), "wrong": wrong},
        ),
        Claim(
            "A 3×3 filter at stride 3 does not fit 7×7: 2.33. Both wings place it twice each way, as often as it fits; "
            "no unit sees the last row and the last column, 13 pixels.",
            "; ".join(f"{wing}: {one.examples[MISFIT][0]}, {one.unseen} pixels" for wing, one in found.items()),
            all(one.examples[MISFIT][0] == (1, 2, 2) and one.unseen == 13 for one in wings),
            {wing: one.unseen for wing, one in found.items()},
        ),
        Claim(
            "A filter has F·F·D + 1 parameters, 5·5·3 + 1 = 76, and ten of them 760: so many do the layers hold.",
            "; ".join(f"{wing}: {numbers}" for wing, numbers in zip(found, held, strict=True)),
            all(numbers == [example.parameters for example in EXAMPLES] for numbers in held),
            {wing: numbers[-1] for wing, numbers in zip(found, held, strict=True)},
        ),
    ]
