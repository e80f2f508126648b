"""多层感知机如何约简网络？ Two ways to thin a perceptron, dropout and shared weights, held against the full one.

The images are the embedded digits at 14×14 pixels, each moved by up to 3 pixels of the original 28×28, so that a weight
that sits at one pixel learns little about the next. What is counted: parameters, training and test error, over seeds;
each network learns at its own rate, the one of the configuration's with the smallest loss on the validation images.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.dropout import draw_masks
from experiments.lecture import thinning_figures as figures
from experiments.lecture.lab import WINGS, Claim, Lab, sign_test, spread, worst
from experiments.lecture.thinning_nets import FORMS, Config, Found, Learnt, trainer, work

FULL: Final = Config()
QUICK: Final = Config(images=120, epochs=24, batch=10, rates=(0.3,), seeds=3, draws=6, level=0.2)

SAME: Final = 1e-8
"""How far parameters (float64, of order 1) may drift apart between the wings over some hundred updates: rounding
errors of 1e-16 are there from the first on, and a kink of ReLU or a maximum that is met may enlarge them."""
CLOSE: Final = 0.03
"""Difference of test errors below which dropout has cost nothing: 9 of the 300 test images."""

Pick = Callable[[Learnt], float]


def run(lab: Lab, config: Config) -> list[Claim]:
    """Let each network learn with every seed in both wings, draw, judge."""
    found = lab.over_seeds(functools.partial(work, config), config.seeds)
    for form in FORMS:
        for wing in WINGS:
            lab.curve(wing.name, f"loss/{form}", found[0].learnt[form][wing.name].curve)
            lab.curve(wing.name, f"test_error_by_seed/{form}", each(found, form, wing.name, _test_error))
    half = config.shares.index(0.5)
    lab.table(
        f"medians over {config.seeds} seeds, in scratch",
        ("network", "parameters", "rate", "training error", "test error", "test − training loss", "half crossed out"),
        [_row(form, found, half) for form in FORMS],
    )
    lab.figure(
        "networks",
        functools.partial(figures.networks, found=found, stays=_first_mask(config, lab.seed)),
        size=(8, 2.9),
        caption="Two ways to thin a perceptron. Dropout crosses out other hidden units in every update; here those of "
        "the first update's first image. With shared weights, all units of a map have the same few weights, one colour "
        "each, at other places of the image.",
        alt="Three networks: fully linked; with some hidden units crossed out; with local links in three colours.",
    )
    lab.figure(
        "errors",
        functools.partial(figures.errors, found=found),
        size=(8, 3.3),
        caption=f"Left: parameters against test error, a dot per seed ({config.seeds}; torch: rings), a bar at the "
        "median; for two networks of (nearly) as many parameters, a tenth to the left and right of their number. "
        "Right: training and test error, medians and quartiles. Fewer weights do better if they are shared, and worse "
        "if there are merely fewer.",
        alt="Scatter of parameters against test error, and bars of training and test error, for four networks.",
    )
    lab.figure(
        "dropout",
        functools.partial(figures.dropout, found=found, shares=config.shares),
        size=(8, 3.2),
        caption="What dropout does. Left: how far the test loss lies above the training loss, a line for each seed. "
        "Right: test error with hidden units crossed out after learning, medians and quartiles over the seeds: the "
        "network that learnt with dropout misses them less.",
        alt="Loss gaps with and without dropout, and test error against the share of hidden units crossed out.",
    )
    return judge(found, config)


def each(found: Sequence[Found], form: str, wing: str, pick: Pick) -> list[float]:
    """One number of each seed."""
    return [pick(one.learnt[form][wing]) for one in found]


def _test_error(one: Learnt) -> float:
    return one.error["test"]


def _gap(one: Learnt) -> float:
    return one.gap


def _row(form: str, found: Sequence[Found], half: int) -> tuple[str, ...]:
    def median(pick: Pick) -> float:
        return spread(each(found, form, "scratch", pick)).median

    return (
        figures.NAMES[form],
        f"{found[0].learnt[form]['scratch'].parameters:,}",
        f"{median(lambda one: one.rate):g}",
        f"{median(lambda one: one.error['train']):.1%}",
        f"{median(_test_error):.1%}",
        f"{median(_gap):.2f}",
        f"{median(lambda one: one.crossed[half]):.1%}" if found[0].learnt[form]["scratch"].crossed else "",
    )


def _first_mask(config: Config, seed: int) -> NDArray[np.bool_]:
    """Hidden units that stay in the first update, for its first image."""
    drawn = draw_masks(trainer("dropout", config, seed), 1, config.batch)
    assert drawn is not None
    stays: NDArray[np.bool_] = drawn["d1"][0]
    return stays


class Compared(NamedTuple):
    """Two networks over seeds: medians in scratch, in how many seeds the first is smaller, and the sign test's p.

    `wins` and `p` are the worse wing's.
    """

    smaller: float
    larger: float
    wins: int
    p: float


def compare(found: Sequence[Found], smaller: str, larger: str, pick: Pick) -> Compared:
    """Whether one network's number is smaller than another's: the sign test over paired seeds."""
    pairs = [(each(found, smaller, wing.name, pick), each(found, larger, wing.name, pick)) for wing in WINGS]
    return Compared(
        spread(pairs[0][0]).median,
        spread(pairs[0][1]).median,
        min(sum(a < b for a, b in zip(*pair, strict=True)) for pair in pairs),
        worst(sign_test(b, a) for a, b in pairs),
    )


def judge(found: Sequence[Found], config: Config) -> list[Claim]:
    """Shared weights, fewer weights, dropout; and whether the wings agree."""
    seeds, half = len(found), config.shares.index(0.5)
    test = f"sign test over {seeds} seeds, p < {config.level:g}"
    full, small, shared = (found[0].learnt[form]["scratch"].parameters for form in ("full", "small", "shared"))
    same_counts = all(
        one.learnt[f]["torch"].parameters == one.learnt[f]["scratch"].parameters for one in found for f in FORMS
    )
    sharing = compare(found, "shared", "full", _test_error)
    fewer = compare(found, "full", "small", _test_error)
    gap = compare(found, "dropout", "full", _gap)
    crossed = compare(found, "dropout", "full", lambda one: one.crossed[half])
    cost = [
        float(
            np.mean(each(found, "dropout", wing.name, _test_error))
            - np.mean(each(found, "full", wing.name, _test_error))
        )
        for wing in WINGS
    ]
    apart = worst(one.apart for one in found)
    courses = min(len({one.learnt[form][wing.name].curve for one in found}) for form in FORMS for wing in WINGS)
    differ = sum(nets["scratch"].error != nets["torch"].error for one in found for nets in one.learnt.values())

    rates = "each at its own best rate" if len(config.rates) > 1 else f"all at the rate {config.rates[0]:g}"

    def percent(what: Compared, first: str, second: str) -> str:
        return f"{first} {what.smaller:.1%}, {second} {what.larger:.1%}, {_wins(what, seeds)}"

    return [
        Claim(
            f"With at most a tenth of the parameters, shared weights read more test images than the full network "
            f"({test}).",
            f"{shared:,} of {full:,} parameters; {percent(sharing, 'shared', 'full')}",
            10 * shared <= full and same_counts and sharing.p < config.level,
            {"full": full, "shared": shared, **sharing._asdict()},
        ),
        Claim(
            f"It is the sharing: a perceptron with no more weights than that reads fewer than the full one ({test}).",
            f"{small:,} parameters; {percent(fewer, 'full', 'small')}",
            small <= shared and same_counts and fewer.p < config.level,
            {"small": small, **fewer._asdict()},
        ),
        Claim(
            f"Dropout narrows the gap between test loss and training loss ({test}).",
            f"dropout {gap.smaller:.2f}, full {gap.larger:.2f} nats, {_wins(gap, seeds)}",
            gap.p < config.level,
            gap._asdict(),
        ),
        Claim(
            f"A network that learnt with dropout can be thinned: with half of its hidden units crossed out at random, "
            f"it reads more test images than the full one with half of its own ({test}).",
            percent(crossed, "dropout", "full"),
            crossed.p < config.level,
            crossed._asdict(),
        ),
        Claim(
            f"On these images, {rates}, dropout neither costs nor gains much: the mean test errors over {seeds} seeds "
            f"differ by less than {100 * CLOSE:g} percentage points.",
            f"dropout − full {100 * cost[0]:+.1f} points in scratch, {100 * cost[1]:+.1f} in torch",
            worst(map(abs, cost)) < CLOSE,
            dict(zip(("scratch", "torch"), cost, strict=True)),
        ),
        Claim(
            f"From the same weights, batches and masks both wings learn the same: in all {seeds} seeds parameters "
            f"within {SAME:g}, and the very same training, validation and test errors; no two seeds learn alike.",
            f"parameters at most {apart:.1e} apart; {differ} of {len(FORMS) * seeds} networks with another error; "
            f"{courses} different courses of learning in {seeds} seeds",
            apart <= SAME and differ == 0 and courses == seeds,
            {"apart": apart, "differ": differ, "courses": courses},
        ),
    ]


def _wins(what: Compared, seeds: int) -> str:
    return f"in {what.wins} of {seeds} seeds, p = {what.p:.2g}"
