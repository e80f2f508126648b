"""Case Study: LeNet-5. Its sizes and counts, the S2-C3 table as on the slide, and a digit followed through all layers.

What is checked: both wings' own LeNet-5 against the numbers of the 1998 paper; that a link which the table leaves out
has no effect and learns nothing; and that both learn to read the digits, together.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments import data
from experiments.backend import Array, Labels
from experiments.lecture import lenet5_figures as figures
from experiments.lecture.lab import WINGS, Claim, Lab, Wing, epochs, initial, most_apart, worst
from experiments.lecture.lenet5_counts import PAPER, Count, count, dense, make, rows, table

SAME: Final = 1e-9
"""How far the wings may drift apart in float64 over some hundred updates of numbers of order 1."""
WELL: Final = 0.08
"""Test error below which the digits count as learnt; guessing has 0.9."""
FOREIGN: Final = 1e3
"""What is written into absent links, to see that it does not matter."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How LeNet-5 learns.

    Parameters
    ----------
    images, epochs, batch:
        Training images, of the 1,297; passes; images per update.
    lr, momentum:
        Of SGD; the rate falls linearly towards 0.
    seeds:
        How many initial weights and orders of the images.
    digit:
        The class whose first test image is followed through the layers.
    error:
        Test error that no seed may exceed.
    """

    images: int = 1297
    epochs: int = 5
    batch: int = 16
    lr: float = 0.005
    momentum: float = 0.9
    seeds: int = 3
    digit: int = 3
    error: float = WELL


FULL: Final = Config()
QUICK: Final = Config(images=320, epochs=3, batch=16, lr=0.005, seeds=1, error=0.3)


class Absent(NamedTuple):
    """What becomes of the links that the table leaves out: all three should be 0.

    `gradient` is the largest on them, `weight` the largest value that is stored for them after learning, `effect` the
    largest change of an output when each of them holds `FOREIGN`. `present` is the smallest of the gradients that
    the links of the table have, each link's largest.
    """

    gradient: float
    weight: float
    effect: float
    present: float


class Learnt(NamedTuple):
    """One wing with one seed: loss and test error by epoch, absent links, and the digit's maps by layer."""

    loss: tuple[float, ...]
    error: tuple[float, ...]
    absent: Absent
    maps: Mapping[str, Array]


class Found(NamedTuple):
    """Both wings with one seed: what they learnt, and how far their parameters and the digit's maps are apart."""

    learnt: Mapping[str, Learnt]
    apart: float
    maps_apart: Mapping[str, float]


def run(lab: Lab, config: Config) -> list[Claim]:
    """Count, learn, follow a digit; draw, judge."""
    counts = {wing.name: count(wing) for wing in WINGS}
    tables = {wing.name: table(wing) for wing in WINGS}
    found = lab.over_seeds(functools.partial(work, config), config.seeds)
    for wing in WINGS:
        for seed, one in enumerate(found, start=lab.seed):
            lab.curve(wing.name, f"loss/seed_{seed}", one.learnt[wing.name].loss)
            lab.curve(wing.name, f"test_error/seed_{seed}", one.learnt[wing.name].error)
    lab.table(
        "LeNet-5, in both wings and in the paper",
        ("layer", "maps", "parameters", "paper", "connections", "paper"),
        rows(counts["scratch"]),
    )
    ours = counts["scratch"]
    lab.figure(
        "architecture",
        functools.partial(
            figures.architecture,
            shapes={name: one.shape for name, one in ours.items()},
            parameters={name: one.parameters for name, one in ours.items()},
        ),
        size=(8, 2.9),
        caption="LeNet-5: maps grow smaller and more numerous, until a vector is left. Below each step, its trainable "
        "parameters.",
        alt="Stacks of squares from the input, 32×32, to C5, F6 and the output, with their sizes.",
    )
    lab.figure(
        "table",
        functools.partial(figures.table, connections=tables["scratch"]),
        size=(8, 3.0),
        caption="Which maps of S2 (rows) each map of C3 (columns) sees: 60 links of 96. Each column is another choice: "
        "three neighbours, four neighbours, four others, all six.",
        alt="A grid of 6 rows and 16 columns with an X at each of 60 links, and the sums of rows and columns.",
    )
    lab.figure(
        "digit",
        functools.partial(figures.digit, maps=found[0].learnt["scratch"].maps, apart=found[0].maps_apart),
        size=(8, 5.6),
        caption=f"A {config.digit} on its way through a LeNet-5 that has learnt: every map of every layer, orange "
        "positive, blue negative. To the right, how far torch's numbers are from these at most.",
        alt="Rows of small pictures: the input, the maps of C1, S2, C3, S4, the units of C5 and F6, ten outputs.",
    )
    return judge(counts, tables, dense(), found, config)


def images(config: Config) -> tuple[Array, Labels, Array, Labels]:
    """Training images (N, 1, 28, 28) and test images with their classes."""
    digits = data.load("digits")
    train, test = (data.inputs(part.images, "float64")[:, None] for part in (digits.train, digits.test))
    return train[: config.images], digits.train.labels[: config.images], test, digits.test.labels


def work(config: Config, seed: int) -> Found:
    """Both wings with one seed."""
    (ours, own), (twin, theirs) = (learn(wing, config, seed) for wing in WINGS)
    maps_apart = {name: float(np.abs(ours.maps[name] - twin.maps[name]).max()) for name in ours.maps}
    return Found({"scratch": ours, "torch": twin}, most_apart(own, theirs), maps_apart)


def learn(wing: Wing, config: Config, seed: int) -> tuple[Learnt, dict[str, Array]]:
    """Let one wing learn; follow a digit through it; try its absent links. Also return its parameters."""
    x, labels, test, classes = images(config)
    learner = wing.learner(
        make, lambda w: w.CrossEntropy(), initial(make, seed), lr=config.lr, momentum=config.momentum
    )
    passes, loss, error = epochs(learner, x, labels, batch_size=config.batch, seed=seed), [], []
    for epoch in range(config.epochs):
        learner.lr = config.lr * (1 - epoch / config.epochs)
        loss.append(next(passes))
        error.append(float((learner.predict(test).argmax(axis=1) != classes).mean()))
    params = {name: value.copy() for name, value in learner.parameters().items()}
    shown = test[[int(np.flatnonzero(classes == config.digit)[0])]]
    traced = {name: output[0] for name, output in learner.trace(shown).items() if name in figures.LAYERS}
    links = learner.connections()["c3"]
    absent = absent_links(wing, params, links, x[: config.batch], labels[: config.batch])
    return Learnt(tuple(loss), tuple(error), absent, traced), params


def absent_links(wing: Wing, params: Mapping[str, Array], links: NDArray[np.bool_], x: Array, labels: Labels) -> Absent:
    """Gradient, stored weight and effect of the links that the table (O, C) leaves out."""
    foreign = {**params, "c3.weight": np.where(links[:, :, None, None], params["c3.weight"], FOREIGN)}
    as_learnt, overwritten = (
        wing.learner(make, lambda w: w.CrossEntropy(), state, lr=1.0) for state in (params, foreign)
    )
    # Each link's largest, with the foreign weights in place, which must not come into it either.
    gradients = np.abs(overwritten.gradients(x, labels).grads["c3.weight"]).max(axis=(2, 3))
    return Absent(
        gradient=float(gradients[~links].max()),
        weight=float(np.abs(params["c3.weight"][~links]).max()),
        effect=float(np.abs(overwritten.predict(x) - as_learnt.predict(x)).max()),
        present=float(gradients[links].min()),
    )


def judge(
    counts: Mapping[str, Mapping[str, Count]],
    tables: Mapping[str, NDArray[np.bool_]],
    dense_c3: Mapping[str, int],
    found: Sequence[Found],
    config: Config,
) -> list[Claim]:
    """The paper's counts, the table, absent links, learning, and whether the wings agree."""
    right = {wing: all(of.get(name) == Count(*one) for name, one in PAPER.items()) for wing, of in counts.items()}
    totals = [
        total
        for of in counts.values()
        for total in (sum(of[name].parameters for name in PAPER), sum(of[name].connections for name in PAPER))
    ]
    ours, theirs = tables["scratch"], tables["torch"]
    sums = np.bincount(ours.sum(axis=1), minlength=7).tolist()
    kinds = len(np.unique(ours, axis=0))
    saved = {wing: of - counts[wing]["c3"].parameters for wing, of in dense_c3.items()}
    absent = [one.learnt[wing.name].absent for one in found for wing in WINGS]
    largest = [worst(of) for of in zip(*((a.gradient, a.weight, a.effect) for a in absent), strict=True)]
    least = float(np.min([one.present for one in absent]))
    errors = [[one.learnt[wing.name].error[-1] for one in found] for wing in WINGS]
    apart = worst(one.apart for one in found)
    maps_apart = worst(value for one in found for value in one.maps_apart.values())
    most = worst(error for of in errors for error in of)
    courses = min(len({one.learnt[wing.name].loss for one in found}) for wing in WINGS)
    alike = "; no two seeds learn alike" if len(found) > 1 else ""
    seeds = f"in all {len(found)} seeds" if len(found) > 1 else "with one seed"
    return [
        Claim(
            "Sizes, parameters and connections of C1 to F6 are the paper's in both wings, in total 60,000 parameters "
            "and 340,068 connections.",
            f"scratch {totals[0]:,} and {totals[1]:,}, torch {totals[2]:,} and {totals[3]:,}; layers as in the paper: "
            f"{' and '.join(wing for wing, good in right.items() if good) or 'neither'}",
            all(right.values()) and totals == [60_000, 340_068] * 2,
            dict(zip(("scratch", "connections", "torch", "torch_connections"), totals, strict=True)),
        ),
        Claim(
            "The wings hold the S2–C3 table each in a form of its own, grid and lists, and they are one: 60 links of "
            "96; 6 maps see 3 others, 9 see 4, 1 sees all 6; no two see the same.",
            f"{int(ours.sum())} and {int(theirs.sum())} links of {ours.size}; {sums[3]}, {sums[4]} and {sums[6]} maps; "
            f"{kinds} different; {int((ours != theirs).sum())} places differ between the wings",
            np.array_equal(ours, theirs) and sums == [0, 0, 0, 6, 9, 0, 1] and kinds == ours.shape[0] == 16,
            {"links": ours.sum(), "different": kinds},
        ),
        Claim(
            "The table saves 36 filters of 25 weights each: 900 parameters of C3.",
            f"scratch {dense_c3['scratch']:,} − {saved['scratch']:,}, torch {dense_c3['torch']:,} − {saved['torch']:,}",
            set(saved.values()) == {900},
            saved,
        ),
        Claim(
            "A link that is not in the table is not there: its gradient and what it stores after learning are exactly "
            f"0, and {FOREIGN:g} in its place changes no output in a bit; every link of the table has a gradient.",
            f"gradient {largest[0]:g}, weight {largest[1]:g}, change {largest[2]:g}; the table's smallest {least:.1e}",
            largest == [0, 0, 0] and least > 0,
            {"gradient": largest[0], "weight": largest[1], "effect": largest[2], "present": least},
        ),
        Claim(
            f"LeNet-5 learns to read the digits in {config.epochs} epochs: {seeds} it misreads fewer than "
            f"{config.error:.0%} of the {len(data.load('digits').test)} test images.",
            "; ".join(
                f"{wing.name} {', '.join(f'{e:.1%}' for e in of)}" for wing, of in zip(WINGS, errors, strict=True)
            ),
            most < config.error,
            {"worst": most},
        ),
        Claim(
            f"Both wings learn the same: {seeds} their parameters end within {SAME:g}, and so do all maps of the "
            f"digit, layer by layer{alike}.",
            f"parameters at most {apart:.1e} apart, maps {maps_apart:.1e}; {courses} different courses of learning",
            apart <= SAME and maps_apart <= SAME and courses == len(found),
            {"parameters": apart, "maps": maps_apart, "courses": courses},
        ),
    ]
