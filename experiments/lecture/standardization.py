"""标准化输入: remove the mean, decorrelate, equalise the covariance (figure 4.11), and what each step gains in epochs.

A linear unit's loss is a bowl whose curvatures are the eigenvalues λ of H = Σ (x, 1)(x, 1)ᵀ / N: batch learning goes
down it in a number of epochs that grows with λmax / λmin. H has the covariance in it, and the mean besides. Measured
on clouds of points, where H and the best rate, 2 / (λmax + λmin), are known, and on the digits with a multilayer
perceptron, where rates are tried with weights that are used for nothing else.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from experiments.backend import Array, Labels
from experiments.lecture.lab import WINGS, Claim, Lab, Wing, epochs, initial, sign_test, squared_error, worst
from experiments.lecture.standardization_digits import Whitened, digits, judge_whitened, whiten, wings_apart
from experiments.lecture.standardization_figures import draw_clouds, draw_epochs
from experiments.lecture.standardization_trials import (
    STAGES,
    Shape,
    Trial,
    curvatures,
    drift,
    shape,
    spread,
    stages,
    trial,
    until,
)


@dataclasses.dataclass(frozen=True)
class Config:
    """The clouds and the linear unit; the digits and the perceptron; the digits of which some pixels are constant.

    Parameters
    ----------
    points, clouds:
        Samples in a cloud, and how many clouds.
    unexplained:
        Share of the target's variance that may be left above the least-squares solution's.
    images, hidden, seeds:
        Digits, of 7 × 7 pixels, hidden tanh units, and seeds of the weights.
    loss:
        The cross-entropy to be reached, in nats.
    rates, rate_seeds, limit:
        Learning rates tried for the perceptron, over how many other seeds, and epochs after which one is given up.
    sides, batch:
        Pixels along a side of the digits that are whitened, and images of a batch in the streaming fit.
    """

    points: int = 200
    clouds: int = 20
    unexplained: float = 1e-3
    images: int = 1297
    hidden: int = 20
    seeds: int = 8
    loss: float = 0.3
    rates: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
    rate_seeds: int = 4
    limit: int = 300
    sides: tuple[int, ...] = (14, 28)
    batch: int = 200


FULL: Final = Config()
QUICK: Final = Config(
    clouds=11, unexplained=3e-3, images=200, seeds=3, rates=(2.0, 4.0, 8.0), rate_seeds=3, limit=120, sides=(14,)
)


def run(lab: Lab, config: Config) -> list[Claim]:
    """Measure both wings, draw, judge."""
    clouds = [cloud(config.points, seed)[0] for seed in range(lab.seed, lab.seed + config.clouds)]
    shapes = {wing.name: [{stage: shape(z) for stage, z in stages(wing, x).items()} for x in clouds] for wing in WINGS}
    linear = lab.over_seeds(functools.partial(linear_unit, config), config.clouds)
    searched = lab.over_seeds(functools.partial(search, config), config.rate_seeds)
    rates = {stage: min(config.rates, key=lambda rate: sum(one[stage, rate] for one in searched)) for stage in STAGES}
    mlp = lab.over_seeds(functools.partial(perceptron, config, rates), config.seeds)
    pixels = digits(7)[0][: config.images]
    kept = stages(WINGS[0], pixels)["equalized"].shape[1]
    spreads = {wing.name: {stage: spread(z, kept) for stage, z in stages(wing, pixels).items()} for wing in WINGS}
    whitened = {wing.name: [whiten(wing, digits(side)[0], config.batch) for side in config.sides] for wing in WINGS}
    for what, trials in (("linear unit", linear), ("perceptron", mlp)):
        for wing, learnt in trials[0].learnt.items():
            for stage, one in learnt.items():
                lab.curve(wing, f"{what}/{stage}", one.losses, range(len(one.losses)))
                lab.curve(wing, f"epochs of {what}/{stage}", _epochs(trials, wing, stage))
    ours = shapes["scratch"]
    lab.table(
        f"λmax / λmin of the covariance and of H, and epochs to the goal: medians of {config.clouds} clouds and "
        f"{config.seeds} seeds; digits in the {kept} directions in which they vary",
        ("inputs", "clouds: cov", "H", "linear unit", "digits: cov", "perceptron", "its rate"),
        [
            (
                stage,
                f"{np.median([one[stage].spread for one in ours]):.4g}",
                f"{np.median([one[stage].condition for one in ours]):.4g}",
                f"{np.median(_epochs(linear, 'scratch', stage)):g}",
                f"{spreads['scratch'][stage]:.4g}",
                f"{np.median(_epochs(mlp, 'scratch', stage)):g}",
                f"{rates[stage]:g}",
            )
            for stage in STAGES
        ],
    )
    lab.figure(
        "clouds",
        lambda figure, theme: draw_clouds(figure, theme, {wing.name: stages(wing, clouds[0]) for wing in WINGS}),
        size=(8, 2.4),
        caption="The slide's figure 4.11: the same points after each step, all on one scale, with their principal axes "
        "(two standard deviations long). Discs scratch, crosses torch (every tenth point).",
        alt="Four scatter plots: a tilted ellipse off the origin; moved to the origin; turned upright; made round.",
    )
    lab.figure(
        "epochs",
        lambda figure, theme: draw_epochs(figure, theme, linear[0].learnt, mlp[0].learnt, config.loss),
        size=(8, 3.4),
        caption="Loss by epochs, down to the goal, each stage at its best rate; scratch wide, torch dashed on top "
        "(logarithmic from epoch 1 on). "
        "Decorrelating alone changes nothing for a linear unit: the curves of the two stages coincide.",
        alt="Two panels of falling loss curves: equalised inputs learn fastest, the original ones slowest.",
    )
    return judge(shapes, spreads, linear, mlp, whitened)


def cloud(points: int, seed: int) -> tuple[Array, Array]:
    """Draw points (N, 2), off the origin and correlated, and the targets (N, 1) of a noisy linear unit."""
    rng = np.random.default_rng(seed)
    angle = math.radians(35)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    x = np.array([3.0, 2.0]) + rng.normal(size=(points, 2)) * (1.5, 0.4) @ turn
    weights, bias = rng.normal(size=(2, 1)), rng.normal()
    return x, x @ weights + bias + 0.1 * rng.normal(size=(points, 1))


def linear_unit(config: Config, seed: int) -> Trial:
    """One cloud: from weights 0 to within `unexplained` of the least-squares solution."""
    x, target = cloud(config.points, seed)
    with_one = np.column_stack([x, np.ones(len(x))])
    residual = target - with_one @ np.linalg.lstsq(with_one, target)[0]
    goal = 0.5 * float(np.mean(residual**2) + config.unexplained * target.var())

    def learn(wing: Wing, inputs: Array, rate: float) -> Iterator[float]:
        learner = wing.learner(
            lambda w, d, rng: w.MLP((2, 1), dtype=d, rng=rng),
            squared_error,
            {"fc1.weight": np.zeros((1, 2)), "fc1.bias": np.zeros(1)},
            lr=rate,
        )
        return epochs(learner, inputs, target, batch_size=len(inputs), seed=seed)

    def best(_: str, inputs: Array) -> float:
        spectrum = curvatures(inputs)
        return 2 / float(spectrum[0] + spectrum[-1])

    return trial(x, learn, best, goal, limit=10_000)


def search(config: Config, seed: int) -> dict[tuple[str, float], float]:
    """Epochs that the perceptron needs at each stage and rate, in `scratch`; one too many where it never learns."""
    pixels, labels = digits(7)
    found = {}
    for stage, inputs in stages(WINGS[0], pixels[: config.images]).items():
        for rate in config.rates:
            losses = descend(config, WINGS[0], inputs, labels[: config.images], rate, 1_000_000 + seed)
            found[stage, rate] = min(until(losses, rate, config.loss, config.limit).epochs, config.limit + 1)
    return found


def perceptron(config: Config, rates: Mapping[str, float], seed: int) -> Trial:
    """The digits, 7 × 7: from LeCun's weights to a cross-entropy of `loss`, by batch learning."""
    pixels, labels = digits(7)

    def learn(wing: Wing, inputs: Array, rate: float) -> Iterator[float]:
        return descend(config, wing, inputs, labels[: config.images], rate, seed)

    return trial(pixels[: config.images], learn, lambda stage, _: rates[stage], config.loss, config.limit)


def descend(config: Config, wing: Wing, inputs: Array, labels: Labels, rate: float, seed: int) -> Iterator[float]:
    """Batch learning by a perceptron, with the weights that belong to the seed."""

    def make(w: Any, d: Any, rng: Any) -> Any:
        return w.MLP((inputs.shape[1], config.hidden, 10), dtype=d, rng=rng)

    learner = wing.learner(make, lambda w: w.CrossEntropy(), initial(make, seed), lr=rate)
    return epochs(learner, inputs, labels, batch_size=len(inputs), seed=seed)


def judge(
    shapes: Mapping[str, Sequence[Mapping[str, Shape]]],
    spreads: Mapping[str, Mapping[str, float]],
    linear: Sequence[Trial],
    mlp: Sequence[Trial],
    whitened: Mapping[str, Sequence[Whitened]],
) -> list[Claim]:
    """The three steps, what they do to the curvatures, what that gains, and inputs of which some never vary."""
    found = [one for clouds in shapes.values() for one in clouds]
    clouds, seeds = len(linear), len(mlp)
    moved = worst(one["centered"].offset for one in found)
    turned = worst(value for one in found for value in one["decorrelated"][:2])
    rounded = worst(value for one in found for value in one["equalized"][:3])
    thin = [{stage: one[stage].spread for stage in STAGES} for one in found] + [dict(one) for one in spreads.values()]
    kept = worst(abs(one[stage] / one["original"] - 1) for one in thin for stage in STAGES[1:3])
    level = worst(abs(one["equalized"] - 1) for one in thin)
    before = float(np.median([one["original"] for one in thin[: len(found)]]))
    kappa = {stage: np.array([one[stage].condition for one in found]) for stage in STAGES}
    gain = kappa["original"] / kappa["centered"]
    same = float(np.abs(kappa["decorrelated"] / kappa["centered"] - 1).max())
    one = float(np.abs(kappa["equalized"] - 1).max())
    counts = {stage: np.array([_epochs(linear, wing.name, stage) for wing in WINGS]) for stage in STAGES}
    coincide = worst(drift(*(t.learnt[w.name][s].losses for s in STAGES[1:3])) for t in linear for w in WINGS)
    # Now and then a target happens to lie along the steep direction, where one step does it even with the mean.
    p = worst(sign_test(*pair) for pair in zip(counts["original"], counts["centered"], strict=True))
    fewer, as_many = counts["original"] / counts["centered"], counts["decorrelated"] == counts["centered"]
    typical = float(np.median(fewer, axis=1).min())
    deep = {stage: np.array([_epochs(mlp, wing.name, stage) for wing in WINGS]) for stage in STAGES}
    first, last = deep["original"] / deep["centered"], deep["centered"] / deep["equalized"]
    drifts = worst(t.drift for t in [*linear, *mlp])
    runs = [[_epochs([t], wing.name, stage) for t in [*linear, *mlp] for stage in STAGES] for wing in WINGS]
    alike = sum(a == b for a, b in zip(*runs, strict=True))
    apart = worst([wings_apart(whitened), *(t.apart for t in [*linear, *mlp])])
    return [
        Claim(
            f"The steps make the means 0, then the covariances, then the variances 1: to 1e-12, on {clouds} clouds.",
            f"mean {moved:.1e}; covariance {turned:.1e}; covariance − I {rounded:.1e}",
            worst([moved, turned, rounded]) <= 1e-12,
            {"centered": moved, "decorrelated": turned, "equalized": rounded},
        ),
        Claim(
            "Removing the mean and decorrelating leave the covariance's λmax / λmin as it is, and equalising makes it "
            f"1: to 1e-9, in all {clouds} clouds, and for the digits in the directions in which they vary.",
            f"clouds {before:.4g} in the median, digits {thin[-1]['original']:.4g}; changed by {kept:.1e}; "
            f"1 to {level:.1e}",
            kept <= 1e-9 and level <= 1e-9,
            {"clouds": before, "digits": thin[-1]["original"], "changed": kept, "one": level},
        ),
        Claim(
            "A linear unit's loss has the mean in its H too: without it λmax / λmin is at least 3 times smaller; "
            f"decorrelating leaves it, equalising makes it 1, both to 1e-9; in all {clouds} clouds.",
            f"{gain.min():.3g} to {gain.max():.3g} times smaller; then changed by {same:.1e}; 1 to {one:.1e}",
            gain.min() >= 3 and same <= 1e-9 and one <= 1e-9,
            {"gain": gain.min(), "same": same, "one": one},
        ),
        Claim(
            "So a linear unit, at its best rate 2 / (λmax + λmin), needs fewer epochs without the mean (in the median "
            f"at most 1/3; sign test over {clouds} clouds, p < 0.01), as many decorrelated (the same losses, to "
            "1e-9), 1 equalised.",
            f"{typical:.3g} times fewer ({fewer.min():.3g} to {fewer.max():.3g}), p = {p:.1e}; "
            f"losses {coincide:.1e} apart; {counts['equalized'].min():g} to {counts['equalized'].max():g}",
            typical >= 3 and p < 0.01 and as_many.all() and coincide <= 1e-9 and (counts["equalized"] == 1).all(),
            {"fewer": typical, "p": p, "coincide": coincide, "equalized": counts["equalized"].max()},
        ),
        Claim(
            "A perceptron on the digits, at each stage at the rate that is best in other seeds, needs fewer epochs "
            f"without the mean, and at most half of those when equalised, in all {seeds} seeds.",
            f"{first.min():.3g} to {first.max():.3g} times fewer; then {last.min():.3g} to {last.max():.3g} times",
            first.min() > 1 and last.min() >= 2,
            {"centered": first.min(), "equalized": last.min()},
        ),
        *judge_whitened(whitened),
        Claim(
            "Both wings have the same standardised inputs, and the same losses for as long as these fall, to 1e-9.",
            f"inputs {apart:.1e}; losses {drifts:.1e}; {alike} of {len(runs[0])} runs end alike",
            apart <= 1e-9 and drifts <= 1e-9,
            {"inputs": apart, "losses": drifts},
        ),
    ]


def _epochs(trials: Sequence[Trial], wing: str, stage: str) -> list[float]:
    return [one.learnt[wing][stage].epochs for one in trials]
