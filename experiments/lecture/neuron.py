"""神经元的运算: z = wᵀx + b, a = f(z), and the activation curves with their derivatives.

What is checked: that both wings compute the slide's sum; that each derivative, which they have from the output y alone
or from autograd, is the slide's first form and the slope of its curve; where the slope is large, and where it dies; and
that a hard limit, whose slope is 0, learns nothing.
"""

import dataclasses
from collections.abc import Mapping
from decimal import Decimal, localcontext
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.backend import Array
from experiments.lecture.activations import ACTIVATIONS, Activation
from experiments.lecture.lab import WINGS, Claim, Lab, Make, Wing, epochs, initial, most_apart
from experiments.lecture.neuron_figures import draw_curves, draw_neuron
from scratch import literal

WEIGHTS, INPUTS, BIAS = ("0.8", "0.3", "1.4"), ("1", "-2", "0.5"), "-0.1"
AND_INPUTS: Final = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
AND_OUTPUTS: Final = np.array([[0.0], [0.0], [0.0], [1.0]])


WORKED: Final = tuple(f for f in ACTIVATIONS if f.label in ("a = 1", "a = 1.7159, b = 2/3", ""))
ROWS: Final = ("z = wᵀx + b", "logistic, a = 1", "1.7159·tanh(2z/3)", "hard limit", "ReLU")


@dataclasses.dataclass(frozen=True)
class Config:
    """How finely the curves are measured and over which v; the step of the differences; how long a unit learns."""

    reach: int = 6
    per_unit: int = 20
    step: float = 1e-5
    seeds: int = 5
    epochs: int = 200
    lr: float = 5.0


FULL: Final = Config()
QUICK: Final = Config(per_unit=5, seeds=2)


class Curve(NamedTuple):
    """f(v), f′(v) as the wing has it, and the central difference of f, over the grid of v."""

    value: Array
    slope: Array
    difference: Array


class Learning(NamedTuple):
    """How one unit learnt AND: the loss of each epoch, how far a parameter has moved, cases right in the end."""

    losses: list[float]
    moved: float
    right: int


Curves = Mapping[str, Mapping[str, Curve]]
"""By wing and activation."""


def run(lab: Lab, config: Config) -> list[Claim]:
    """Measure both wings, draw, judge."""
    worked = {"by hand": by_hand(), "literal": by_loop(), **{wing.name: by_wing(wing) for wing in WINGS}}
    lab.table(
        f"one neuron: w = ({', '.join(WEIGHTS)}), x = ({', '.join(INPUTS)}), b = {BIAS}",
        ("", *worked),
        ((row, *(f"{found[row]:.16f}" for found in worked.values())) for row in ROWS),
    )
    v = np.arange(-config.reach * config.per_unit, config.reach * config.per_unit + 1) / config.per_unit
    curves = {wing.name: {f.name: curve(wing, f, v, config.step) for f in ACTIVATIONS} for wing in WINGS}
    learnt = {
        wing.name: {
            f.name: [learn_and(wing, f, lab.seed + i, config) for i in range(config.seeds)]
            for f in ACTIVATIONS
            if f.name in ("hard limit", "logistic, a = 1")
        }
        for wing in WINGS
    }
    _record(lab, v, curves, learnt)
    lab.figure(
        "neuron",
        lambda figure, theme: draw_neuron(figure, theme, WEIGHTS, INPUTS, BIAS, *list(worked["literal"].values())[:2]),
        size=(8, 2.6),
        caption="One neuron with its numbers: the sum z = wᵀx + b, and a = f(z) for the logistic function.",
        alt="Three inputs and a bias, each with its weight on its way into a sum z, which passes f and leaves as a.",
    )
    families = {f.family: [(g.label, g.name) for g in ACTIVATIONS if g.family == f.family] for f in ACTIVATIONS}
    lab.figure(
        "curves",
        lambda figure, theme: draw_curves(figure, theme, v, families, curves),
        size=(8, 4.4),
        caption="Activations f(v), above, and their derivatives f′(v), below: scratch wide, torch dashed on top of it. "
        "A steeper curve has its slope on a narrower strip; the hard limit has none at all.",
        alt="Four columns: logistic for four a, a·tanh(bv) for three pairs, the hard limit, ReLU; curves above slopes.",
    )
    return judge(worked, v, curves, learnt)


def by_hand() -> dict[str, float]:
    """The slide's sum in decimals of 40 digits, and four activations of it."""
    with localcontext() as context:
        context.prec = 40
        z = sum((Decimal(w) * Decimal(x) for w, x in zip(WEIGHTS, INPUTS, strict=True)), Decimal(BIAS))
        up, down = (2 * z * 2 / 3).exp(), Decimal(1)  # tanh u = (e^2u − 1) / (e^2u + 1)
        squashed = 1 / (1 + (-z).exp()), Decimal("1.7159") * (up - down) / (up + down)
        values = [float(value) for value in (z, *squashed, Decimal(z >= 0), max(z, Decimal(0)))]
    return dict(zip(ROWS, values, strict=True))


def by_loop() -> dict[str, float]:
    """The same by the slide's loop."""
    numbers = [float(w) for w in WEIGHTS], [float(x) for x in INPUTS], float(BIAS)
    pairs = [literal.neuron(*numbers, f.slide.f) for f in WORKED]
    return dict(zip(ROWS, (pairs[0][0], *(a for _, a in pairs)), strict=True))


def by_wing(wing: Wing) -> dict[str, float]:
    """The same by a wing's network of one unit."""
    state = {"fc1.weight": np.array([WEIGHTS], np.float64), "fc1.bias": np.array([BIAS], np.float64)}
    found = []
    for f in WORKED:
        net = wing.build(unit(f, len(INPUTS)), state)
        trace = net.trace(wing.give(np.array([INPUTS], np.float64)))
        found.append([float(wing.take(output)[0, 0]) for output in trace.values()])
    return dict(zip(ROWS, (found[0][0], *(a for _, a in found)), strict=True))


def curve(wing: Wing, activation: Activation, v: Array, step: float) -> Curve:
    """One activation with its derivative: the gradient of Σ f(v), by hand or by autograd; and central differences."""
    f = activation.build(wing.library)
    rise = values(wing, f, v + step) - values(wing, f, v - step)
    if wing.name == "scratch":
        value, cache = f.forward(v)
        slope, _ = f.backward(np.ones_like(value), cache)
    else:
        x = torch.tensor(v, requires_grad=True)
        (gradient,) = torch.autograd.grad(f(x).sum(), x)
        value, slope = values(wing, f, v), wing.take(gradient)
    return Curve(value, slope, rise / (2 * step))


def values(wing: Wing, f: Any, v: Array) -> NDArray[Any]:
    """f(v)."""
    return wing.take(f.forward(v)[0] if wing.name == "scratch" else f(wing.give(v)))


def learn_and(wing: Wing, activation: Activation, seed: int, config: Config) -> Learning:
    """Train one unit on AND by back-propagation, from weights that the seed decides."""
    make = unit(activation, AND_INPUTS.shape[1])
    start = initial(make, seed)
    learner = wing.learner(make, lambda w: w.SquaredError(), start, lr=config.lr)
    passes = epochs(learner, AND_INPUTS, AND_OUTPUTS, batch_size=len(AND_INPUTS), seed=seed)
    losses = [next(passes) for _ in range(config.epochs)]
    moved = most_apart(start, learner.parameters())
    right = int(((learner.predict(AND_INPUTS) > 0.5) == AND_OUTPUTS).sum())
    return Learning(losses, moved, right)


def unit(activation: Activation, inputs: int) -> Make:
    """What builds a network that is one unit."""
    return lambda w, d, rng: w.MLP((inputs, 1), [activation.build(w)], dtype=d, rng=rng)


def judge(
    worked: Mapping[str, Mapping[str, float]],
    v: Array,
    curves: Curves,
    learnt: Mapping[str, Mapping[str, list[Learning]]],
) -> list[Claim]:
    """The sum, the derivatives, where they are large and where they die, and what a slope of 0 means for learning."""
    of_curves = (_derivatives, _differences, _steepest, _saturated)
    return [_sum(worked), *(claim(v, curves) for claim in of_curves), _untrainable(learnt)]


def _sum(worked: Mapping[str, Mapping[str, float]]) -> Claim:
    truth = np.array([worked["by hand"][row] for row in ROWS])
    off = {way: float(np.abs(truth - [found[row] for row in ROWS]).max()) for way, found in worked.items()}
    return Claim(
        "z = wᵀx + b and a = f(z) of the worked neuron are the same by hand, by the slide's loop and in both wings, "
        "to 2e-15 (a few roundings of sums of size 2).",
        "off by " + ", ".join(f"{way} {value:.1e}" for way, value in off.items() if way != "by hand"),
        all(value <= 2e-15 for value in off.values()),
        off,
    )


def _derivatives(v: Array, curves: Curves) -> Claim:
    apart = {}
    for wing, found in curves.items():
        values = [(found[f.name].value, f.slide.f) for f in ACTIVATIONS]
        slopes = [(found[f.name].slope, f.slide.derivative) for f in ACTIVATIONS]
        apart[wing] = float(np.max([np.abs(ours - [g(x) for x in v.tolist()]) for ours, g in values + slopes]))
    return Claim(
        "f(v) is the slide's, and f′ from the output alone, a·y(1 − y) and (b/a)(a − y)(a + y), as scratch has it, is "
        "the slide's first form in v, and autograd's: to 2e-15 (slopes are up to 2).",
        f"{apart['scratch']:.1e} and {apart['torch']:.1e} from the first form, scratch and torch; "
        f"{len(ACTIVATIONS)} curves, {len(v)} points",
        all(value <= 2e-15 for value in apart.values()),
        apart,
    )


def _differences(v: Array, curves: Curves) -> Claim:
    apart = {}
    for wing, found in curves.items():
        gaps = {name: np.abs(one.slope - one.difference) for name, one in found.items()}
        # Every point but 0 is further from the kinks of the hard limit and of ReLU than the step of the differences.
        apart[wing] = float(np.max([gaps[f.name][(v != 0) | (f.rate > 0)].max() for f in ACTIVATIONS]))
    return Claim(
        "f′ is the slope of the curve: [f(v + h) − f(v − h)] / 2h to 1e-9, but for the kinks of hard limit and ReLU.",
        f"largest gap {apart['scratch']:.1e} in scratch, {apart['torch']:.1e} in torch",
        all(value <= 1e-9 for value in apart.values()),
        apart,
    )


def _steepest(v: Array, curves: Curves) -> Claim:
    sigmoids = [(f, found[f.name].slope) for found in curves.values() for f in ACTIVATIONS if f.rate]
    off = float(np.max([np.abs(slope[v == 0] - f.steepest) for f, slope in sigmoids]))
    share = float(np.max([slope[v != 0].max() / slope[v == 0] for _, slope in sigmoids]))
    return Claim(
        "The logistic function is steepest at v = 0, with f′(0) = a/4, and a·tanh(bv) with f′(0) = ab: to 1e-15, and "
        "no other point of the grid is as steep.",
        f"f′(0) off by {off:.1e} at most; the next steepest point has {share:.4f} of it; both wings",
        off <= 1e-15 and share < 1,
        {"off": off, "next": share},
    )


def _saturated(v: Array, curves: Curves) -> Claim:
    shares, ends = [], {}
    for f in (f for f in ACTIVATIONS if f.rate):
        tail = 4 * f.steepest * np.exp(-f.rate * np.abs(v))
        far = f.rate * np.abs(v) >= 5
        for found in curves.values():
            shares.append(found[f.name].slope[far] / tail[far])
            ends[f.name] = float(found[f.name].slope[-1] / f.steepest)
    low, high = float(np.concatenate(shares).min()), float(np.concatenate(shares).max())
    return Claim(
        "Saturation: far from 0 the slope dies exponentially. Where a|v| ≥ 5 the logistic's is 0.98 to 1.00 times "
        "a·exp(−a|v|), and where 2b|v| ≥ 5 that of a·tanh(bv) is as much of 4ab·exp(−2b|v|).",
        f"{low:.4f} to {high:.4f} of it in both wings; at v = {v[-1]:g} the logistic with a = 1 has "
        f"{ends['logistic, a = 1']:.1%} of its slope at 0 left, with a = 4 {ends['logistic, a = 4']:.0e}",
        low >= 0.98 and high <= 1 + 1e-4,
        {"low": low, "high": high},
    )


def _untrainable(learnt: Mapping[str, Mapping[str, list[Learning]]]) -> Claim:
    limit = [one for found in learnt.values() for one in found["hard limit"]]
    smooth = [one for found in learnt.values() for one in found["logistic, a = 1"]]
    moved, learned = float(np.max([one.moved for one in limit])), sum(one.right == len(AND_INPUTS) for one in smooth)
    losses = {wing: np.array([one.losses for runs in found.values() for one in runs]) for wing, found in learnt.items()}
    apart = float(np.abs(losses["scratch"] - losses["torch"]).max())
    seeds, count = len(learnt["scratch"]["hard limit"]), len(smooth[0].losses)
    return Claim(
        "Back-propagation cannot train a hard limit: its slope is 0, so on AND no parameter moves, in all "
        f"{seeds} seeds, while a logistic unit from the same weights learns all four cases; the wings within 1e-12.",
        f"{count} epochs: hard limit moved {moved:g}; logistic right in {learned} of {len(smooth)} runs; wings "
        f"{apart:.1e} apart",
        moved == 0 and learned == len(smooth) and apart <= 1e-12,
        {"moved": moved, "learned": learned, "apart": apart},
    )


def _record(lab: Lab, v: Array, curves: Curves, learnt: Mapping[str, Mapping[str, list[Learning]]]) -> None:
    """Write the curves, x = 100·v, and the losses of the first seed to TensorBoard."""
    steps = np.rint(100 * v).astype(int).tolist()
    for wing, found in curves.items():
        for name, one in found.items():
            lab.curve(wing, f"value/{name}", one.value, steps)
            lab.curve(wing, f"slope/{name}", one.slope, steps)
        for name, runs in learnt[wing].items():
            lab.curve(wing, f"AND loss/{name}", runs[0].losses)
