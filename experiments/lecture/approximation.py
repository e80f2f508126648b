"""通用逼近定理: with enough units, F(x) = Σ αᵢ φ(Σ wᵢⱼ xⱼ + bᵢ) is within ε of any continuous f on the cube.

The theorem says that such a sum exists, not how to find one. Two ways are measured by their sup error, the largest
|F(x) − f(x)|: a staircase that is written down and keeps a bound (`approximation_staircase`), and BP. A step, which is
not continuous, shows what the theorem does not promise.
"""

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from experiments.backend import Array
from experiments.lecture.approximation_figures import Series, draw_bump, draw_errors, draw_fits
from experiments.lecture.approximation_staircase import (
    TARGETS,
    Built,
    bound,
    build,
    inputs,
    judge_built,
    output,
    points,
    staircase,
    value,
)
from experiments.lecture.lab import WINGS, Claim, Lab, Make, Wing, epochs, initial, squared_error, worst

NAMES: Final = (*TARGETS, "step")
_POINTS: Final = 161
"""Per curve of a figure: from 128 on matplotlib leaves out those that a straight line does not need."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Units, seeds and updates; over how many points of each side of the cube is trained and measured.

    `rate` is divided by the number of hidden units, for the curvature of J grows with it, and falls to 0 along a
    cosine. `wide` multiplies the hidden layer's initial weights.
    """

    trained: tuple[int, ...] = (2, 4, 8, 16, 32)
    built: tuple[int, ...] = (4, 8, 16, 32, 64, 128, 256)
    epsilons: tuple[float, ...] = (0.1, 0.03, 0.01)
    slopes: tuple[float, ...] = (1e1, 1e2, 1e3, 1e4)
    seeds: int = 10
    updates: int = 800
    rate: float = 1.0
    momentum: float = 0.98
    wide: float = 5.0
    lessons: tuple[int, int] = (65, 13)
    points: tuple[int, int] = (2001, 101)


FULL: Final = Config()
QUICK: Final = Config(
    trained=(2, 8, 32), built=(8, 16, 32, 64), epsilons=(0.1,), seeds=2, updates=400, points=(1001, 41)
)


class Fit(NamedTuple):
    """A trained net: its sup error, and what it says over the cube's grid."""

    sup: float
    output: Array


Fits = Sequence[Mapping[tuple[str, int], Mapping[str, Fit]]]
"""Per seed: (target, units) → wing → fit."""


def run(lab: Lab, config: Config) -> list[Claim]:
    """Build, train, draw, judge."""
    built = {wing.name: build(wing, config.built, config.epsilons, config.slopes, config.points) for wing in WINGS}
    fits = lab.over_seeds(functools.partial(measure_seed, config), config.seeds)
    best = {key: nearest(fits, key) for key in fits[0]}
    errors = {
        "trained": {name: {w: [best[name, h][w].sup for h in config.trained] for w in built} for name in NAMES},
        "built": {name: {w: [built[w].stairs[name, h] for h in config.built] for w in built} for name in TARGETS},
    }
    units = {"trained": config.trained, "built": config.built}
    for kind, targets in errors.items():
        for name, wings in targets.items():
            for wing, curve in wings.items():
                lab.curve(wing, f"sup_error/{kind}/{name}", curve, units[kind])
    bounds = {name: [bound(name, h) for h in config.built] for name in TARGETS}
    tabulate(lab, config, errors, bounds)
    lab.figure(
        "errors",
        lambda figure, theme: draw_errors(figure, theme, units, errors["built"], errors["trained"], bounds),
        size=(8, 2.9),
        caption=f"Sup error against hidden units: the staircase under its bound, and the best of {config.seeds} "
        "trained nets, which do not gain by every doubling; scratch wide, torch dashed. A step is never nearer than "
        "half its jump.",
        alt="Four log-log charts: for a sine, an absolute value and a bump the staircases' errors fall as lines, and "
        "the trained nets' by fits and starts; for a step they do not fall.",
    )
    draw(lab, config, best)
    return judge(config, built, fits)


def draw(lab: Lab, config: Config, best: Mapping[tuple[str, int], Mapping[str, Fit]]) -> None:
    """Draw what the nets say: along the line, and the bump from above."""
    some = [h for h in config.trained if h in (2, 4, 8)]
    most = config.trained[-1]
    x = np.linspace(0, 1, _POINTS)[:, None]

    def said(name: str, units: int) -> list[Array]:
        at = points(name, config.points)[:, 0]
        return [np.interp(x[:, 0], at, fit.output) for fit in best[name, units].values()]

    stairs = {
        f"{h} units": [output(wing, "Threshold", staircase("sin 2πx", h), x)[:, 0] for wing in WINGS]
        for h in config.built[1:4:2]
    }
    panels = {
        "sin 2πx, staircase": (value("sin 2πx", x)[:, 0], stairs),
        "sin 2πx, trained": (value("sin 2πx", x)[:, 0], {f"{h} units": said("sin 2πx", h) for h in some}),
        "step, trained": (value("step", x)[:, 0], {f"{most} units": said("step", most)}),
    }
    lab.figure(
        "fits",
        lambda figure, theme: draw_fits(figure, theme, x[:, 0], panels),
        size=(8, 2.9),
        caption="What the nets say, scratch wide and torch dashed: a staircase, the trained net nearest to the sine, "
        "and the one nearest to a step, which no continuous F can follow at the jump.",
        alt="A sine with staircases of two widths, a sine with trained nets of few units, a step.",
    )
    grid, tiles = points("bump", config.points), config.built[-3]
    bumps = {
        "f": value("bump", grid)[:, 0],
        f"staircase, {tiles}": output(WINGS[0], "Threshold", staircase("bump", tiles), grid)[:, 0],
        **{f"trained, {h}": best["bump", h]["scratch"].output for h in (*some[-2:], most)},
    }
    lab.figure(
        "bump",
        lambda figure, theme: draw_bump(figure, theme, bumps),
        size=(8, 1.9),
        caption="The bump from above, as a sum of four staircases and as trained nets have it, by the number of units.",
        alt="Square maps: a round bump, one made of small tiles, and smooth ones by trained nets.",
    )


def nearest(fits: Fits, key: tuple[str, int]) -> dict[str, Fit]:
    """Per wing, the fit with the smallest sup error."""
    return {
        wing: min((fit[key][wing] for fit in fits), key=lambda fit: np.nan_to_num(fit.sup, nan=np.inf))
        for wing in fits[0][key]
    }


def measure_seed(config: Config, seed: int) -> dict[tuple[str, int], dict[str, Fit]]:
    """Train a net for each target and each number of units, in both wings."""
    return {
        (name, units): {wing.name: train(wing, name, units, seed, config) for wing in WINGS}
        for name, units in itertools.product(NAMES, config.trained)
    }


def train(wing: Wing, name: str, units: int, seed: int, config: Config) -> Fit:
    """Batch learning with momentum, by a net with tanh units and a linear output."""
    make, x = _net(inputs(name), units), points(name, config.lessons)
    target = value(name, x)
    learner = wing.learner(
        make, squared_error, start(make, seed, config.wide), lr=config.rate, momentum=config.momentum
    )
    learning = epochs(learner, x, target, batch_size=len(x), seed=seed)
    for update in range(config.updates):
        learner.lr = config.rate / units * (1 + np.cos(np.pi * update / config.updates)) / 2
        next(learning)
    x = points(name, config.points)
    said = learner.predict(x)
    return Fit(float(np.abs(said - value(name, x)).max()), said[:, 0])


def start(make: Make, seed: int, wide: float) -> dict[str, Array]:
    """Initial parameters with the units strewn over the cube.

    With b = 0 and inputs from 0 to 1, all units would bend at x = 0. Here wᵀx + b = 0 at a point c that is uniform in
    the cube, b = −wᵀc, and w is wider, so that a unit bends within the cube.
    """
    params = initial(make, seed)
    weight = params["fc1.weight"] * wide
    centres = np.random.default_rng([seed, 1]).uniform(size=weight.shape)
    return {**params, "fc1.weight": weight, "fc1.bias": -(weight * centres).sum(axis=1)}


def tabulate(
    lab: Lab, config: Config, errors: Mapping[str, Mapping[str, Series]], bounds: Mapping[str, Sequence[float]]
) -> None:
    """Keep the sup errors, by the number of units."""
    units = sorted({*config.built, *config.trained})
    rows = []
    for name in NAMES:
        found = {"trained": dict(zip(config.trained, errors["trained"][name]["scratch"], strict=True))}
        if name in TARGETS:
            found["staircase"] = dict(zip(config.built, errors["built"][name]["scratch"], strict=True))
            found["its bound"] = dict(zip(config.built, bounds[name], strict=True))
        rows += [
            [f"{name}, {kind}", *(f"{one[h]:.4f}" if h in one else "" for h in units)] for kind, one in found.items()
        ]
    lab.table(
        f"sup |F − f| by hidden units: best of {config.seeds} trained nets, and staircases of hard limits (scratch)",
        ("f", *map(str, units)),
        rows,
    )


def judge(config: Config, built: Mapping[str, Built], fits: Fits) -> list[Claim]:
    """The staircases keep their bounds; BP finds nets that are nearer, up to a point; a step stays out of reach."""
    best = {key: {wing: fit.sup for wing, fit in nearest(fits, key).items()} for key in fits[0]}
    return [*judge_built(built), *judge_trained(config, built, best), *judge_step(config, built, fits)]


def judge_trained(
    config: Config, built: Mapping[str, Built], best: Mapping[tuple[str, int], Mapping[str, float]]
) -> list[Claim]:
    """What BP finds of it."""
    few, *more = config.trained
    least = {
        (name, w): min(more, key=lambda h: np.nan_to_num(best[name, h][w], nan=np.inf))
        for name in TARGETS
        for w in built
    }
    gain = {name: worst(best[name, least[name, w]][w] / best[name, few][w] for w in built) for name in TARGETS}
    ratio = {
        (name, h): [best[name, h][w] / built[w].stairs[name, h] for w in built] for name in TARGETS for h in (8, 32)
    }
    ahead = {name: worst(ratio[name, 8]) for name in ("sin 2πx", "bump")}
    behind = float(np.min(ratio["|2x − 1|", 32]))
    return [
        Claim(
            f"Trained nets come nearer with more than {few} units, though not by every doubling: at the best H up to "
            f"{more[-1]} the best of {config.seeds} seeds has at most three quarters of the sup error that it has with "
            f"{few}, for every continuous target.",
            ", ".join(f"{name} {ratio:.2f} (H = {least[name, 'scratch']})" for name, ratio in gain.items()),
            all(ratio <= 0.75 for ratio in gain.values()),
            gain,
        ),
        Claim(
            "BP bends its units where they are needed: with 8 units the best of "
            f"{config.seeds} trained nets has at most half the sup error of the staircase, for the sine and the bump.",
            "sup error, trained/staircase: " + _each(ahead),
            all(ratio <= 0.5 for ratio in ahead.values()),
            ahead,
        ),
        Claim(
            "The theorem says that good weights exist, not that BP finds them: with 32 units the staircase for |2x − "
            f"1| is nearer than the best of {config.seeds} nets after {config.updates} updates.",
            f"sup error, trained/staircase: {behind:.2f}",
            behind > 1,
            {"behind": behind},
        ),
    ]


def judge_step(config: Config, built: Mapping[str, Built], fits: Fits) -> list[Claim]:
    """What is not promised, and how far the wings are apart."""
    nets = [fit for one in fits for (name, _), wings in one.items() if name == "step" for fit in wings.values()]
    units = [one.steps[slope] for one in built.values() for slope in config.slopes]
    closest = float(np.min([fit.sup for fit in nets] + [sup for sup, _ in units]))
    mean = worst(one.steps[max(config.slopes)][1] for one in built.values())
    hard = worst(one.steps[float("inf")][0] for one in built.values())
    pairs = [(wings["scratch"], wings["torch"]) for one in fits for wings in one.values()]
    apart = worst(float(np.abs(ours.output - theirs.output).max()) for ours, theirs in pairs)
    return [
        Claim(
            "A step is not continuous, and a continuous F is never nearer than half the jump, ½: neither trained nor "
            "as one steep logistic unit, whose mean error falls below 0.01 all the same. One hard limit is exact.",
            f"smallest sup error {closest:.9f} over {len(nets)} nets and {len(units)} units; mean error {mean:.1e}; "
            f"hard limit {hard:g}",
            closest >= 0.5 - 1e-9 and mean < 0.01 and hard == 0,
            {"closest": closest, "mean": mean, "hard": hard},
        ),
        Claim(
            "Both wings learn the same functions: their outputs differ by at most 1e-9 after training, for every "
            "target, number of units and seed.",
            f"largest difference {apart:.1e} over {len(pairs)} pairs of nets",
            apart <= 1e-9,
            {"apart": apart},
        ),
    ]


def _net(width: int, units: int) -> Make:
    return lambda w, d, rng: w.MLP((width, units, 1), w.Tanh, dtype=d, rng=rng)


def _each(ratios: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
