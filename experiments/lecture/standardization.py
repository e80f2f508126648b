"""标准化输入: remove the mean, decorrelate, equalise the covariance (figure 4.11), and what each step gains in epochs.

A linear unit's loss is a bowl whose curvatures are the eigenvalues λ of H = Σ (x, 1)(x, 1)ᵀ / N: batch learning goes
down it in a number of epochs that grows with λmax / λmin. Measured on clouds of points, where H and the best rate,
2 / (λmax + λmin), are known, and on the digits with a multilayer perceptron, where rates are tried.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from experiments import data
from experiments.backend import Array, Labels
from experiments.lecture.lab import WINGS, Claim, Lab, Wing, epochs, initial, sign_test
from experiments.lecture.standardization_figures import draw_clouds, draw_epochs
from experiments.lecture.standardization_trials import (
    STAGES,
    Shape,
    Trial,
    Whitened,
    curvatures,
    drift,
    largest,
    shape,
    stages,
    trial,
    whiten,
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
    shares:
        Rates tried for the linear unit, in units of the theory's best.
    images, hidden, seeds:
        Digits, of 7 × 7 pixels, hidden tanh units, and seeds of the weights.
    loss:
        The cross-entropy to be reached, in nats.
    rates, limit:
        Learning rates tried for the perceptron, and epochs after which one is given up.
    side, batch:
        Pixels along a side of the digits that are whitened, and images of a batch in the streaming fit.
    """

    points: int = 200
    clouds: int = 20
    unexplained: float = 1e-3
    shares: tuple[float, ...] = (1.0, 0.9, 0.75, 0.5)
    images: int = 1297
    hidden: int = 20
    seeds: int = 8
    loss: float = 0.3
    rates: tuple[float, ...] = (4.0, 2.0, 1.0, 0.5, 8.0, 16.0)
    limit: int = 300
    side: int = 28
    batch: int = 200


FULL: Final = Config()
QUICK: Final = Config(
    clouds=11, unexplained=3e-3, shares=(1.0, 0.9), images=200, seeds=3, rates=(4.0, 2.0, 8.0), side=14
)


def run(lab: Lab, config: Config) -> list[Claim]:
    """Measure both wings, draw, judge."""
    clouds = [cloud(config.points, seed)[0] for seed in range(lab.seed, lab.seed + config.clouds)]
    shapes = {wing.name: [{stage: shape(z) for stage, z in stages(wing, x).items()} for x in clouds] for wing in WINGS}
    linear = lab.over_seeds(functools.partial(linear_unit, config), config.clouds)
    mlp = lab.over_seeds(functools.partial(perceptron, config), config.seeds)
    whitened = {wing.name: whiten(wing, digits(config.side)[0], config.batch) for wing in WINGS}
    for what, trials in (("linear unit", linear), ("perceptron", mlp)):
        for wing, learnt in trials[0].learnt.items():
            for stage, one in learnt.items():
                lab.curve(wing, f"{what}/{stage}", one.losses, range(len(one.losses)))
                lab.curve(wing, f"epochs of {what}/{stage}", _epochs(trials, wing, stage))
    lab.table(
        f"Epochs to the goal, each at its own best rate: median of {config.clouds} clouds, of {config.seeds} seeds",
        ("inputs", "λmax / λmin of H", "linear unit", "perceptron", "its rate"),
        [
            (
                stage,
                f"{np.median([found[stage].condition for found in shapes['scratch']]):.4g}",
                f"{np.median(_epochs(linear, 'scratch', stage)):g}",
                f"{np.median(_epochs(mlp, 'scratch', stage)):g}",
                f"{np.median([trial.learnt['scratch'][stage].rate for trial in mlp]):g}",
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
        caption="Loss by epochs, down to the goal, at each stage's own best rate; scratch wide, torch dashed on top "
        "(logarithmic from epoch 1 on). "
        "Decorrelating alone changes nothing for a linear unit: the curves of the two stages coincide.",
        alt="Two panels of falling loss curves: equalised inputs learn fastest, the original ones slowest.",
    )
    return judge(shapes, linear, mlp, whitened)


def cloud(points: int, seed: int) -> tuple[Array, Array]:
    """Draw points (N, 2), off the origin and correlated, and the targets (N, 1) of a noisy linear unit."""
    rng = np.random.default_rng(seed)
    angle = math.radians(35)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    x = np.array([3.0, 2.0]) + rng.normal(size=(points, 2)) * (1.5, 0.4) @ turn
    weights, bias = rng.normal(size=(2, 1)), rng.normal()
    return x, x @ weights + bias + 0.1 * rng.normal(size=(points, 1))


@functools.cache
def digits(side: int) -> tuple[Array, Labels]:
    """The training digits as rows of side² pixels, 0 to 1: means over squares of the 28 × 28."""
    train = data.load("digits").train
    tiles = train.images.reshape(len(train), side, 28 // side, side, 28 // side)
    return tiles.mean(axis=(2, 4)).reshape(len(train), -1) / 255, train.labels


def linear_unit(config: Config, seed: int) -> Trial:
    """One cloud: from weights 0 to within `unexplained` of the least-squares solution."""
    x, target = cloud(config.points, seed)
    with_one = np.column_stack([x, np.ones(len(x))])
    residual = target - with_one @ np.linalg.lstsq(with_one, target)[0]
    goal = 0.5 * float(np.mean(residual**2) + config.unexplained * target.var())

    def learn(wing: Wing, inputs: Array, rate: float) -> Iterator[float]:
        learner = wing.learner(
            lambda w, d, rng: w.MLP((2, 1), dtype=d, rng=rng),
            lambda w: w.SquaredError(),
            {"fc1.weight": np.zeros((1, 2)), "fc1.bias": np.zeros(1)},
            lr=rate,
        )
        return epochs(learner, inputs, target, batch_size=len(inputs), seed=seed)

    def rates(inputs: Array) -> list[float]:
        spectrum = curvatures(inputs)
        return [share * 2 / float(spectrum[0] + spectrum[-1]) for share in config.shares]

    return trial(x, learn, rates, goal, limit=10_000)


def perceptron(config: Config, seed: int) -> Trial:
    """The digits, 7 × 7: from LeCun's weights to a cross-entropy of `loss`, by batch learning."""
    pixels, labels = digits(7)

    def learn(wing: Wing, inputs: Array, rate: float) -> Iterator[float]:
        def make(w: Any, d: Any, rng: Any) -> Any:
            return w.MLP((inputs.shape[1], config.hidden, 10), dtype=d, rng=rng)

        learner = wing.learner(make, lambda w: w.CrossEntropy(), initial(make, seed), lr=rate)
        return epochs(learner, inputs, labels[: config.images], batch_size=len(inputs), seed=seed)

    return trial(pixels[: config.images], learn, lambda _: config.rates, config.loss, config.limit)


def judge(
    shapes: Mapping[str, Sequence[Mapping[str, Shape]]],
    linear: Sequence[Trial],
    mlp: Sequence[Trial],
    whitened: Mapping[str, Whitened],
) -> list[Claim]:
    """The three steps, what they do to the curvatures, what that gains, and inputs of which some never vary."""
    found = [one for clouds in shapes.values() for one in clouds]
    clouds, seeds = len(linear), len(mlp)
    moved = largest(one["centered"].offset for one in found)
    turned = largest(value for one in found for value in one["decorrelated"][:2])
    rounded = largest(value for one in found for value in one["equalized"][:3])
    kappa = {stage: np.array([one[stage].condition for one in found]) for stage in STAGES}
    gain = kappa["original"] / kappa["centered"]
    same = float(np.abs(kappa["decorrelated"] / kappa["centered"] - 1).max())
    one = float(np.abs(kappa["equalized"] - 1).max())
    counts = {stage: np.array([_epochs(linear, wing.name, stage) for wing in WINGS]) for stage in STAGES}
    coincide = largest(drift(*(t.learnt[w.name][s].losses for s in STAGES[1:3])) for t in linear for w in WINGS)
    # Now and then a target happens to lie along the steep direction, where one step does it even with the mean.
    p = largest(sign_test(*pair) for pair in zip(counts["original"], counts["centered"], strict=True))
    fewer, as_many = counts["original"] / counts["centered"], counts["decorrelated"] == counts["centered"]
    typical = float(np.median(fewer, axis=1).min())
    deep = {stage: np.array([_epochs(mlp, wing.name, stage) for wing in WINGS]) for stage in STAGES}
    first, last = deep["original"] / deep["centered"], deep["centered"] / deep["equalized"]
    drifts = largest(t.drift for t in [*linear, *mlp])
    runs = [[_epochs([t], wing.name, stage) for t in [*linear, *mlp] for stage in STAGES] for wing in WINGS]
    alike = sum(a == b for a, b in zip(*runs, strict=True))
    pixels = list(whitened.values())
    ours, twin = (one.values for one in pixels)
    between = float(np.abs(ours - twin).max()) if ours.shape == twin.shape else math.inf
    apart = largest([between, *(t.apart for t in [*linear, *mlp])])
    # 1e-11 for the identity: rounding an input by eps moves the component that varies least by eps·σmax/σmin.
    identity, inverse, stream = (largest(values) for values in zip(*(one[4:7] for one in pixels), strict=True))
    return [
        Claim(
            f"The steps make the means 0, then the covariances, then the variances 1: to 1e-12, on {clouds} clouds.",
            f"mean {moved:.1e}; covariance {turned:.1e}; covariance − I {rounded:.1e}",
            largest([moved, turned, rounded]) <= 1e-12,
            {"centered": moved, "decorrelated": turned, "equalized": rounded},
        ),
        Claim(
            "Removing the mean makes λmax / λmin of a linear unit's loss at least 3 times smaller; decorrelating "
            f"leaves it as it is, and equalising makes it 1, both to 1e-9; in all {clouds} clouds.",
            f"{gain.min():.3g} to {gain.max():.3g} times smaller; then changed by {same:.1e}; 1 to {one:.1e}",
            gain.min() >= 3 and same <= 1e-9 and one <= 1e-9,
            {"gain": gain.min(), "same": same, "one": one},
        ),
        Claim(
            "So a linear unit, at its own best rate, needs fewer epochs without the mean (in the median at most 1/3; "
            f"sign test over {clouds} clouds, p < 0.01), as many decorrelated (the same losses, to 1e-9), 1 equalised.",
            f"{typical:.3g} times fewer ({fewer.min():.3g} to {fewer.max():.3g}), p = {p:.1e}; "
            f"losses {coincide:.1e} apart; {counts['equalized'].min():g} to {counts['equalized'].max():g}",
            typical >= 3 and p < 0.01 and as_many.all() and coincide <= 1e-9 and (counts["equalized"] == 1).all(),
            {"fewer": typical, "p": p, "coincide": coincide, "equalized": counts["equalized"].max()},
        ),
        Claim(
            "A perceptron on the digits, at its own best rate, needs fewer epochs without the mean, and at most half "
            f"of those when equalised, in all {seeds} seeds.",
            f"{first.min():.3g} to {first.max():.3g} times fewer; then {last.min():.3g} to {last.max():.3g} times",
            first.min() > 1 and last.min() >= 2,
            {"centered": first.min(), "equalized": last.min()},
        ),
        Claim(
            "Constant pixels do no harm: the equalised digits have as many components as the digits have rank and the "
            "covariance I to 1e-11, nothing is non-finite, and the way back gives every pixel to 1e-9 of white.",
            f"{pixels[0].constant} are constant, rank {pixels[0].rank}; cov − I {identity:.1e}; back {inverse:.1e}",
            identity <= 1e-11
            and inverse <= 1e-9
            and all(w.finite and w.constant and w.rank == w.true_rank for w in pixels),
            {"identity": identity, "inverse": inverse},
        ),
        Claim(
            "Learnt batch by batch, the standardiser does the same to the digits as learnt in one go, to 1e-9.",
            f"{stream:.1e} apart",
            stream <= 1e-9,
            {"stream": stream},
        ),
        Claim(
            "Both wings have the same standardised inputs, and the same losses for as long as these fall, to 1e-9.",
            f"inputs {apart:.1e}; losses {drifts:.1e}; {alike} of {len(runs[0])} runs end alike",
            apart <= 1e-9 and drifts <= 1e-9,
            {"inputs": apart, "losses": drifts},
        ),
    ]


def _epochs(trials: Sequence[Trial], wing: str, stage: str) -> list[float]:
    return [one.learnt[wing][stage].epochs for one in trials]
