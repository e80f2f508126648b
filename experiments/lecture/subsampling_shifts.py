"""What sub-sampling does for digits that have moved, for the experiment `subsampling`: with and without, over seeds."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments import data
from experiments.backend import Array, Backend
from experiments.lecture.lab import WINGS, Claim, Lab, Make, Wing, epochs, initial, worst
from experiments.lecture.small_digits import WAYS, coarse

DISTANCES: Final = (0, 1, 2)
"""By how many pixels digits are moved: never out of their picture, which has a margin."""

POOLINGS: Final = ("average", "max", "sub-sampling")
KINDS: Final = ("stride", *POOLINGS)
"""What makes maps half as wide. "stride": every second place of every second row is taken, and nothing is pooled."""


@dataclasses.dataclass(frozen=True)
class Training:
    """How the networks learn, and how many of them.

    Parameters
    ----------
    seeds, level:
        Initial weights and orders of the digits; the p-value that is asked for.
    asked:
        Poolings of which it is asked that they misread fewer moved digits; the others are measured beside them.
    compared, tested:
        Test digits whose maps are compared, and that the trained networks read.
    digits, epochs, batch_size, momentum:
        Of the training set; how often it is seen; of the updates.
    rates:
        Learning rate by what shrinks the maps: what `subsampling_rates.search` finds, a test of which compares them.
    """

    seeds: int = 12
    level: float = 0.01
    asked: tuple[str, ...] = ("average", "max")
    compared: int = 100
    tested: int = 300
    digits: int = 1297
    epochs: int = 7
    batch_size: int = 32
    momentum: float = 0.9
    rates: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"stride": 0.05, "average": 0.1, "max": 0.05, "sub-sampling": 0.05}
    )


class Seed(NamedTuple):
    """What one wing does from one seed, by what shrinks the maps.

    Parameters
    ----------
    kept:
        Of the relative change of the first layer's maps when the digit moves by a pixel, the share that is left behind.
    losses:
        Of the training, per epoch.
    errors:
        Share of the test digits that are misread, by the distance that they have moved.
    outputs:
        Of the trained network for the test digits in place.
    """

    kept: dict[str, float]
    losses: dict[str, list[float]]
    errors: dict[str, list[float]]
    outputs: dict[str, Array]


def pooling(w: ModuleType, kind: str, maps: int, dtype: Any, *sizes: int) -> Any:
    """The layer that pools in this way: `sizes` are the window and, if it is another, the stride."""
    if kind == "sub-sampling":
        return w.Subsample2d(maps, *sizes, dtype=dtype)
    return w.AvgPool2d(*sizes) if kind == "average" else w.MaxPool2d(*sizes)


def shrinking(w: ModuleType, kind: str, maps: int, dtype: Any) -> dict[str, Any]:
    """What stands behind a convolution to halve its maps; sub-sampling is squashed, as in LeNet-5."""
    if kind == "stride":
        return {}
    squash = {"squash": w.Tanh.lecun()} if kind == "sub-sampling" else {}
    return {"pool": pooling(w, kind, maps, dtype, 2), **squash}


def network(kind: str) -> Make:
    """What builds 14×14 → 6 maps of 6×6 → 12 maps of 2×2 → 10: the same sizes and convolutions for all kinds."""

    def make(w: ModuleType, dtype: Any, rng: Any) -> Any:
        layers: dict[str, Any] = {}
        for name, below, maps in (("c1", 1, 6), ("c3", 6, 12)):
            layers[name] = w.Conv2d(below, maps, 3, stride=2 if kind == "stride" else 1, dtype=dtype, rng=rng)
            layers[f"{name}_f"] = w.Tanh.lecun()
            layers.update({f"{name}_{part}": layer for part, layer in shrinking(w, kind, maps, dtype).items()})
        return w.Sequential({**layers, "flatten": w.Flatten(), "output": w.Linear(48, 10, dtype=dtype, rng=rng)})

    return make


def move(x: Array, down: int, across: int) -> Array:
    """Move pictures by pixels; what leaves on one side comes back on the other, where the margin is."""
    return np.roll(x, (down, across), (2, 3))


def halved(images: NDArray[np.uint8]) -> Array:
    """The digits at half their width, each pixel the mean of four, scaled: (N, 28, 28) -> (N, 1, 14, 14)."""
    return coarse(data.inputs(images, "float64"), 2)[:, None]


def work(training: Training, seed: int) -> dict[str, Seed]:
    """Everything that a seed gives, in both wings."""
    return {wing.name: Seed(kept(wing, training.compared, seed), *trained(wing, training, seed)) for wing in WINGS}


def kept(wing: Wing, count: int, seed: int) -> dict[str, float]:
    """Of the relative change by a pixel's move in the maps of LeNet-5's C1, the share that is left behind each pooling.

    The relative change is ‖a(moved x) − a(x)‖ / ‖a(x) − mean‖, averaged over test digits and four directions; the
    mean is that of these digits: what is the same for all says nothing. The filters are as before any learning.
    """
    x = data.inputs(data.load("digits").test.images[:count], "float64")[:, None]
    c1 = through(wing, first_layer, seed)
    still, *moved = (c1(move(x, *way)) for way in ((0, 0), *WAYS))
    before = relative_change(still, moved)
    ways = {kind: shrink(wing, kind) for kind in KINDS}
    return {kind: relative_change(f(still), [f(maps) for maps in moved]) / before for kind, f in ways.items()}


def pictured(wing: Wing, seed: int) -> dict[str, Array]:
    """A digit, one map that LeNet-5's C1 makes of it, and the map shrunk in each way."""
    x = data.inputs(data.load("digits").test.images[:1], "float64")[:, None]
    maps = through(wing, first_layer, seed)(x)
    liveliest = int(maps[0].var(axis=(1, 2)).argmax())
    shrunk = {kind: shrink(wing, kind)(maps)[0, liveliest] for kind in KINDS}
    return {"digit": x[0, 0], "before": maps[0, liveliest], **shrunk}


def first_layer(w: ModuleType, dtype: Any, rng: Any) -> Any:
    """LeNet-5's C1 with its squashing function, without the canvas: 28×28 -> 6 maps of 24×24."""
    return w.Sequential({"c1": w.Conv2d(1, 6, 5, dtype=dtype, rng=rng), "f": w.Tanh.lecun()})


def shrink(wing: Wing, kind: str) -> Callable[[Array], Array]:
    """What shrinks 6 maps to half their width; "stride" takes every second place of every second row."""
    if kind == "stride":
        return lambda maps: maps[..., ::2, ::2]
    return through(wing, lambda w, dtype, _: w.Sequential(shrinking(w, kind, 6, dtype)), 0)


def through(wing: Wing, make: Make, seed: int) -> Callable[[Array], Array]:
    """What sends arrays through a network with the weights that learning starts from."""
    return wing.learner(make, lambda w: w.CrossEntropy(), initial(make, seed), lr=1.0).predict


def relative_change(still: Array, moved: Sequence[Array]) -> float:
    """See `kept`."""
    own = np.linalg.norm((still - still.mean(axis=0)).reshape(len(still), -1), axis=1)
    changes = [np.linalg.norm((maps - still).reshape(len(still), -1), axis=1) for maps in moved]
    return float(np.mean(np.divide(changes, own)))


def learn(wing: Wing, training: Training, kind: str, rate: float, seed: int) -> tuple[Backend, list[float]]:
    """One network that has learnt, on digits in place, and its losses."""
    make, digits = network(kind), data.load("digits").train
    x, labels = halved(digits.images[: training.digits]), digits.labels[: training.digits]
    net = wing.learner(make, lambda w: w.CrossEntropy(), initial(make, seed), lr=rate, momentum=training.momentum)
    passes = epochs(net, x, labels, batch_size=training.batch_size, seed=seed)
    return net, [next(passes) for _ in range(training.epochs)]


def trained(
    wing: Wing, training: Training, seed: int
) -> tuple[dict[str, list[float]], dict[str, list[float]], dict[str, Array]]:
    """Losses, errors and outputs of a `Seed`: learnt on digits in place, tested on digits that have moved."""
    digits = data.load("digits")
    test, classes = halved(digits.test.images[: training.tested]), digits.test.labels[: training.tested]
    losses, errors, outputs = {}, {}, {}
    for kind, rate in training.rates.items():
        net, losses[kind] = learn(wing, training, kind, rate, seed)
        outputs[kind] = net.predict(test)
        read = [[net.predict(move(test, d * far, a * far)) for d, a in WAYS] for far in DISTANCES[1:]]
        errors[kind] = [float(np.mean(np.argmax(y, -1) != classes)) for y in ([outputs[kind]], *read)]
    return losses, errors, outputs


def measure_shifts(lab: Lab, training: Training) -> dict[str, list[Seed]]:
    """Both wings over all seeds; the curves of the first and the medians of all for TensorBoard."""
    results = lab.over_seeds(functools.partial(work, training), training.seeds)
    found = {wing.name: [result[wing.name] for result in results] for wing in WINGS}
    for wing, seeds in found.items():
        for kind in training.rates:
            lab.curve(wing, f"loss/{kind}", seeds[0].losses[kind])
            medians = np.median([seed.errors[kind] for seed in seeds], axis=0)
            lab.curve(wing, f"error by pixels moved/{kind}", medians.tolist(), DISTANCES)
    return found


def tabulate(lab: Lab, found: Mapping[str, Sequence[Seed]]) -> None:
    """Medians over the seeds, both wings."""
    lab.table(
        f"Moved digits, medians over {len(found['scratch'])} seeds, scratch / torch",
        ("maps shrunk by", "change kept", *(f"test error, {far} px" for far in DISTANCES)),
        (
            (
                kind,
                " / ".join(f"{np.median([s.kept[kind] for s in seeds]):.3f}" for seeds in found.values()),
                *(
                    " / ".join(f"{np.median([s.errors[kind][far] for s in seeds]):.1%}" for seeds in found.values())
                    for far in range(len(DISTANCES))
                ),
            )
            for kind in found["scratch"][0].errors
        ),
    )


def judge_shifts(found: Mapping[str, Sequence[Seed]], training: Training) -> list[Claim]:
    """What sub-sampling does for moved digits, over the seeds of each wing; and how far the wings are apart."""
    count, level = len(found["scratch"]), training.level
    kept = {wing: {kind: [seed.kept[kind] for seed in seeds] for kind in KINDS} for wing, seeds in found.items()}
    error = {wing: {kind: [s.errors[kind][1] for s in seeds] for kind in KINDS} for wing, seeds in found.items()}
    p_kept = {kind: worst(sign_flips([1.0] * count, one[kind]) for one in kept.values()) for kind in POOLINGS}
    p = {kind: worst(sign_flips(one["stride"], one[kind]) for one in error.values()) for kind in POOLINGS}
    fewer = {kind: int(np.sum(np.less(error["scratch"][kind], error["scratch"]["stride"]))) for kind in POOLINGS}
    times = {
        kind: float(
            np.min([np.divide(*np.median([s.errors[kind][1::-1] for s in seeds], axis=0)) for seeds in found.values()])
        )
        for kind in KINDS
    }
    others = [kind for kind in POOLINGS if kind not in training.asked]
    pairs = [(*both, kind) for both in zip(found["scratch"], found["torch"], strict=True) for kind in KINDS]
    first = worst(abs(ours.losses[kind][0] / theirs.losses[kind][0] - 1) for ours, theirs, kind in pairs)
    last = worst(relative(ours.outputs[kind], theirs.outputs[kind]) for ours, theirs, kind in pairs)
    return [
        Claim(
            "Move the digits by a pixel, and their maps change less behind average, maximum and sub-sampling than "
            f"before them: permutation test over {count} seeds, p ≤ {level:g}; taking every second place instead does "
            "not help (median within 5%).",
            "change kept, medians: "
            + ", ".join(f"{k} {np.median(v):.3f}" for k, v in kept["scratch"].items())
            + f"; p ≤ {worst(p_kept.values()):.3g}",
            all(value <= level for value in p_kept.values())
            and all(abs(np.median(one["stride"]) - 1) <= 0.05 for one in kept.values()),
            {f"{kind} {wing}": float(np.median(v)) for wing, one in kept.items() for kind, v in one.items()},
        ),
        Claim(
            f"Trained on digits in place, networks that shrink their maps by {' and by '.join(training.asked)} misread "
            "fewer test digits moved by a pixel than the same network with stride 2: permutation test over "
            f"{count} seeds, p ≤ {level:g}. Measured, and not claimed: {' and '.join(others)}.",
            "medians: "
            + ", ".join(f"{kind} {np.median(v):.1%}" for kind, v in error["scratch"].items())
            + "; fewer than stride in "
            + ", ".join(f"{kind} {fewer[kind]} (p = {p[kind]:.3g})" for kind in POOLINGS)
            + f" of {count}; not shown: "
            + (", ".join(kind for kind in POOLINGS if not p[kind] <= level) or "none"),
            all(p[kind] <= level for kind in training.asked),
            {f"{kind} {wing}": float(np.median(v)) for wing, one in error.items() for kind, v in one.items()},
        ),
        Claim(
            "No network is indifferent to where the digit lies: whatever shrinks its maps, it misreads at least twice "
            f"as many test digits moved by a pixel as in place (medians over {count} seeds).",
            "times as many: " + ", ".join(f"{kind} {value:.1f}" for kind, value in times.items()),
            all(value >= 2 for value in times.values()),
            times,
        ),
        Claim(
            "The wings learn alike: the losses of the first epoch agree to 1e-13, the outputs after the last, when "
            f"training has magnified the rounding, to 1e-6 of the largest: in each of {count} seeds.",
            f"losses {first:.1e}, outputs {last:.1e} at most",
            first <= 1e-13 and last <= 1e-6,
            {"first losses": first, "last outputs": last},
        ),
    ]


def sign_flips(greater: Sequence[float], less: Sequence[float]) -> float:
    """One-sided p-value of the permutation test over pairs: that the first is not greater than the second.

    By chance, each difference might as well have had the other sign; p is the share of all 2ⁿ choices of signs whose
    sum is as large as the true one, or larger. Exact, ties or not. 1 if there is a NaN.
    """
    differences = np.subtract(greater, less)
    sums = np.array(list(itertools.product((1, -1), repeat=len(differences)))) @ differences
    return float((~(sums < differences.sum() - 1e-12)).mean())


def relative(ours: Array, theirs: Array) -> float:
    """The largest difference in units of the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())
