"""卷积层, 输出尺度, 参数个数: full, local and shared connections; how large the output is, and how many parameters.

What is checked: that both wings' convolution is the fully connected layer of which most links are absent and the
others share their weights; every example of the slides, counted on real layers; and what sharing is for: a filter finds
the same thing wherever it lies.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from experiments import data
from experiments.backend import Array
from experiments.lecture.convolution_figures import Volume, draw
from experiments.lecture.convolution_sizes import conv, judge_sizes, layer, measure_sizes, tabulate
from experiments.lecture.lab import WINGS, Claim, Lab, Make, Wing, worst
from experiments.lecture.small_digits import WAYS
from scratch.literal_convolution import conv2d, toeplitz1d, toeplitz2d

UNITS, TAPS = 7, 3
"""In one dimension: units of the layer below, and how many of them each of the 5 units above looks at."""


@dataclasses.dataclass(frozen=True)
class Config:
    """The largest input of the grid of sizes; how many digits are moved."""

    largest: int = 12
    digits: int = 40


FULL: Final = Config()
QUICK: Final = Config(largest=5, digits=4)


ROWS: Final = ("0000000", "0111110", "0000010", "0000100", "0001000", "0001000", "0000000")
PICTURE: Final = np.array([list(row) for row in ROWS], dtype=float)[None]
EDGES: Final = np.array([[[[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]]])
"""A 7×7 picture, and a filter that answers to edges between left and right."""


class Measured(NamedTuple):
    """What one wing does; see the functions that measure it."""

    given: dict[str, Array]
    matrices: dict[str, Array]
    from_literal: float
    from_copies: float
    slid: Array
    volume: Volume
    moved: dict[str, Array]


def run(lab: Lab, config: Config) -> list[Claim]:
    """Measure both wings, draw, judge."""
    found = {wing.name: measure(wing, config, lab.seed) for wing in WINGS}
    sizes = {wing.name: measure_sizes(wing, config.largest) for wing in WINGS}
    for wing in found:
        lab.curve(wing, "sliding/output", found[wing].slid.ravel())
        for stride in (1, 2, 3):
            widths = {n: shape[1] for (n, f, s, p), shape in sizes[wing].grid.items() if (f, s, p) == (3, stride, 0)}
            lab.curve(wing, f"output size/3x3, stride {stride}", list(widths.values()), list(widths))
    tabulate(lab, sizes)
    ours = found["scratch"]
    draw(lab, ours.matrices, PICTURE[0], EDGES[0, 0], ours.slid, ours.volume)
    return [*judge(found), *judge_sizes(sizes)]


def measure(wing: Wing, config: Config, seed: int) -> Measured:
    """Everything that one wing has to show; both wings are given the same arrays."""
    rng = np.random.default_rng(seed)
    given = drawn(rng)
    return Measured(
        given,
        matrices(wing, given),
        from_literal(wing, rng),
        from_copies(wing, rng),
        slide(wing),
        volume(wing, rng),
        moved(wing, config.digits, rng),
    )


def conv1d(w: Any, dtype: Any, rng: Any) -> Any:
    """The one-dimensional convolution, its units in a row as a fully connected layer has them."""
    return w.Sequential({"layer": w.Conv1d(1, 1, TAPS, bias=False, dtype=dtype, rng=rng), "flatten": w.Flatten()})


def full(inputs: int, outputs: int) -> Make:
    """What builds a fully connected layer."""
    return lambda w, d, rng: w.Sequential({"layer": w.Linear(inputs, outputs, bias=False, dtype=d, rng=rng)})


def drawn(rng: np.random.Generator) -> dict[str, Array]:
    """The matrix of each kind of connection, drawn link by link: random weights, the near ones of them, one filter."""
    every = rng.normal(size=(UNITS - TAPS + 1, UNITS))
    near, shared = (toeplitz1d([[taps]], UNITS) for taps in ([1.0] * TAPS, every[0, :TAPS].tolist()))
    return {"full": every, "local": every * np.array(near), "shared": np.array(shared)}


def matrices(wing: Wing, given: Mapping[str, Array]) -> dict[str, Array]:
    """The matrix by which each kind of layer multiplies: unit vectors go in, its columns come out."""
    units, linear = np.eye(UNITS), full(UNITS, UNITS - TAPS + 1)
    return {
        "full": layer(wing, linear, weight=given["full"]).predict(units).T,
        "local": layer(wing, linear, weight=given["local"]).predict(units).T,
        "shared": layer(wing, conv1d, weight=given["shared"][:1, None, :TAPS]).predict(units[:, None]).T,
    }


def from_literal(wing: Wing, rng: np.random.Generator) -> float:
    """How far W·x + b is from convolutions of maps: W is drawn link by link in scratch.literal_convolution."""
    apart = []
    for stride, padding in itertools.product((1, 2, 3), (0, 1, 2)):
        x, weight, bias = rng.normal(size=(5, 2, 9, 8)), rng.normal(size=(3, 2, 4, 3)), rng.normal(size=3)
        matrix = toeplitz2d(weight.tolist(), (9, 8), (stride, stride), (padding, padding))
        make = conv(2, 3, (4, 3), stride=stride, padding=padding)
        y = layer(wing, make, weight=weight, bias=bias).predict(x)
        flat = (x.reshape(5, -1) @ np.transpose(matrix)).reshape(y.shape) + bias[:, None, None]
        apart.append(np.abs(y - flat).max() / np.abs(flat).max())
    return worst(apart)


def from_copies(wing: Wing, rng: np.random.Generator) -> float:
    """How far a shared weight's gradient is from the sum of its copies' in the fully connected layer, relative."""
    x, target, weight = rng.normal(size=(5, UNITS)), rng.normal(size=(5, UNITS - TAPS + 1)), rng.normal(size=TAPS)
    shared = layer(wing, conv1d, weight=weight[None, None]).gradients(x[:, None], target).grads
    matrix = np.array(toeplitz1d([[weight.tolist()]], UNITS))
    copies = layer(wing, full(UNITS, len(matrix)), weight=matrix).gradients(x, target).grads["layer.weight"]
    summed = np.array([np.trace(copies, offset=tap) for tap in range(TAPS)])
    return float(np.abs(shared["layer.weight"].ravel() - summed).max() / np.abs(summed).max())


def slide(wing: Wing) -> Array:
    """The map that the filter makes of the picture."""
    found: Array = layer(wing, conv(1, 1, 3, bias=False), weight=EDGES).predict(PICTURE[None])[0, 0]
    return found


def volume(wing: Wing, rng: np.random.Generator) -> Volume:
    """A filter over 5×5×3 in small integers, whose sums are exact; and each channel's share, by a filter of its own."""
    x, weight = rng.integers(0, 3, (3, 5, 5)).astype(float), rng.integers(-1, 2, (3, 3, 3)).astype(float)
    bias = float(rng.integers(1, 4))
    output = layer(wing, conv(3, 1, 3), weight=weight[None], bias=np.array([bias])).predict(x[None])[0, 0]
    parts = [
        layer(wing, conv(1, 1, 3, bias=False), weight=w[None, None]).predict(c[None, None])[0, 0]
        for c, w in zip(x, weight, strict=True)
    ]
    return Volume(x, weight, np.array(parts), bias, output)


def moved(wing: Wing, count: int, rng: np.random.Generator) -> dict[str, Array]:
    """What moving a digit by one pixel changes in a map, beyond moving it: ‖z(moved x) − moved z(x)‖ / ‖z(x)‖.

    For a filter with shared weights, and for units that are linked in the same way, but each with weights of its own.
    (digits, 4 directions); the map's border, into which the digit moves from outside the map, is left out.
    """
    x = data.load("digits").test.images[:count, None] / 255.0
    shared = rng.normal(size=(1, 1, 5, 5))
    linked = np.array(toeplitz2d(np.ones((1, 1, 5, 5)).tolist(), (28, 28)))
    own = layer(wing, full(784, 576), weight=linked * rng.normal(size=linked.shape))
    maps = {
        "shared": layer(wing, conv(1, 1, 5, bias=False), weight=shared).predict,
        "own": lambda images: own.predict(images.reshape(-1, 784)).reshape(-1, 1, 24, 24),
    }
    return {name: np.stack([beyond(z, x, *way) for way in WAYS], axis=1) for name, z in maps.items()}


def beyond(z: Callable[[Array], Array], x: Array, down: int, across: int) -> Array:
    """See `moved`: one direction, one number per digit."""

    def shift(maps: Array) -> Array:
        return np.roll(maps, (down, across), (2, 3))

    expected, got = (maps[..., 1:-1, 1:-1].reshape(len(x), -1) for maps in (shift(z(x)), z(shift(x))))
    ratio: Array = np.linalg.norm(got - expected, axis=1) / np.linalg.norm(expected, axis=1)
    return ratio


def exact(found: Volume) -> int:
    """How many outputs are both what the slide's loops give, and the sum of the channels' shares and the bias."""
    literal = np.array(conv2d(found.x.tolist(), [found.weight.tolist()], [found.bias])[0])
    return int(((found.output == literal) & (found.output == found.parts.sum(axis=0) + found.bias)).sum())


def counts(matrix: Array) -> tuple[int, int]:
    """How many different weights a matrix has, at how many links."""
    return len(np.unique(matrix[matrix != 0])), int(np.count_nonzero(matrix))


def judge(found: Mapping[str, Measured]) -> list[Claim]:
    """The slides' statements, each in both wings."""
    wings, above = list(found.values()), UNITS - TAPS + 1
    every, near = UNITS * above, TAPS * above
    counted = [{name: counts(matrix) for name, matrix in one.matrices.items()} for one in wings]
    expected = {"full": (every, every), "local": (near, near), "shared": (TAPS, near)}
    same_links = all(np.array_equal(one.matrices["local"] != 0, one.matrices["shared"] != 0) for one in wings)
    as_drawn = sum(
        np.array_equal(one.matrices[name], matrix) and bool(np.isfinite(matrix).all())
        for one in wings
        for name, matrix in one.given.items()
    )
    matrix_apart, copies_apart = worst(w.from_literal for w in wings), worst(w.from_copies for w in wings)
    literal = conv2d(PICTURE.tolist(), EDGES.tolist(), [0.0])[0]
    slid = sum(int((one.slid == literal).sum()) for one in wings)
    added = sum(exact(one.volume) for one in wings)
    shared, own = float(np.max([w.moved["shared"] for w in wings])), float(np.min([w.moved["own"] for w in wings]))
    return [
        Claim(
            f"From {UNITS} units to {above}: the full connection has {every} weights at {every} links; the local one, "
            f"a full one whose other weights are 0, {near} at {near}; the convolution {TAPS} at the same {near}. "
            "In both wings the layers multiply by these matrices as they are drawn, exactly.",
            "; ".join(f"{name} {w} at {n}" for name, (w, n) in counted[0].items())
            + f", by the layers' matrices; {as_drawn} of {len(expected) * len(wings)} as drawn",
            all(one == expected for one in counted) and same_links and as_drawn == len(expected) * len(wings),
            {name: weights for name, (weights, _) in counted[0].items()},
        ),
        Claim(
            "A convolution is the fully connected layer whose matrix holds the filter once for each place, moved "
            "along, and zeros: for 9 pairs of stride and padding they agree to 1e-13 of the largest output.",
            f"largest difference {matrix_apart:.1e} in both wings",
            matrix_apart <= 1e-13,
            {"apart": matrix_apart},
        ),
        Claim(
            "The gradient of a shared weight is the sum of the gradients of its copies in that matrix, to 1e-13.",
            f"largest relative difference {copies_apart:.1e} in both wings",
            copies_apart <= 1e-13,
            {"apart": copies_apart},
        ),
        Claim(
            "An output is the window under the filter times the filter, added over all channels, plus the bias: "
            "exactly, at all 25 places of the picture and all 9 of the example with three channels, in both wings.",
            f"{slid} of {25 * len(wings)} and {added} of {9 * len(wings)} outputs",
            slid == 25 * len(wings) and added == 9 * len(wings),
            {"picture": slid, "channels": added},
        ),
        Claim(
            "Move a digit by a pixel, and a filter with shared weights gives the same map, moved, to 1e-12; units with "
            "the same links and weights of their own do not, by at least half its norm: each digit in 4 directions.",
            f"shared at most {shared:.1e}, own at least {own:.2f}, in {wings[0].moved['own'].size} moves in each wing",
            shared <= 1e-12 and own >= 0.5,
            {"shared": shared, "own": own},
        ),
    ]
