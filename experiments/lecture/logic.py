"""异或问题: what one hard-limit unit can compute of two bits, what it cannot, and what a hidden layer of two changes.

One unit is decided exactly (`logic_units`). The hidden layer is weighted by hand first; then BP looks for its weights
over many seeds, with each activation at its own best learning rate.
"""

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from experiments.backend import Array
from experiments.lecture.activations import HIDDEN, SCALED
from experiments.lecture.lab import WINGS, Claim, Lab, Make, Rate, Wing, initial, rate, sign_test, squared_error, worst
from experiments.lecture.logic_figures import draw_learnt, draw_network, draw_units
from experiments.lecture.logic_units import (
    CORNERS,
    HAND,
    TARGET,
    Function,
    Hand,
    hard_limits,
    judge_hidden,
    judge_units,
    measure_blocked,
    measure_function,
    measure_hand,
    plane,
)

LEARNT: Final = 1 / 32
"""J = ½·mean (y − t)² below this leaves every |y − t| below ½: all four corners are on their side of ½."""
STUCK: Final = 1e-3
"""‖∇J‖ at which a net gets nowhere: at these rates an update lowers J by about 1e-6, and J has 0.03 to go at least."""
TOGETHER: Final = 50
"""Updates for which rounding has not yet grown in any net."""


@dataclasses.dataclass(frozen=True)
class Config:
    """How long the nets learn, over how many seeds, and among which rates each activation has its choice."""

    seeds: int = 100
    updates: int = 500
    rates: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0, 2.0)
    rate_seeds: int = 40


FULL: Final = Config()
QUICK: Final = Config(seeds=14, updates=250, rates=(1.0, 0.5, 0.25), rate_seeds=12)


class Learnt(NamedTuple):
    """A net after BP: updates until J < 1/32 (one more than allowed if never), J at each, ‖∇J‖ and parameters then."""

    updates: int
    losses: Array
    slope: float
    params: Mapping[str, Array]


Trial = Mapping[str, Mapping[str, Learnt]]
"""What one seed came to: wing → activation → net."""


def run(lab: Lab, config: Config) -> list[Claim]:
    """Decide the sixteen functions, try the hand-weighted net, let others learn; draw, judge."""
    functions = [measure_function(values) for values in itertools.product((0, 1), repeat=4)]
    hand = {wing.name: measure_hand(wing) for wing in WINGS}
    blocked = {wing.name: measure_blocked(wing, range(lab.seed, lab.seed + config.seeds)) for wing in WINGS}
    searched = lab.over_seeds(functools.partial(search, config), config.rate_seeds)
    rates = {name: best_rate([one[name] for one in searched]) for name in HIDDEN}
    trials = lab.over_seeds(functools.partial(measure_seed, config, rates), config.seeds)
    steps = np.unique(np.linspace(0, config.updates, 51).astype(int))
    shares = {wing: share_learnt([trial[wing] for trial in trials], steps) for wing in trials[0]}
    for wing, curves in shares.items():
        for name, curve in curves.items():
            lab.curve(wing, f"learnt/{name}", curve, steps)
    tabulate(lab, config, functions, rates, trials)
    named = {function.name: function.units["scratch"].weights for function in functions}
    lab.figure(
        "units",
        lambda figure, theme: draw_units(figure, theme, named),
        size=(8, 2.4),
        caption="What one hard-limit unit says (shaded: 1), with the weights that the perceptron rule found. "
        "For XOR there are none: each of these lines, and any other, has a corner on the wrong side.",
        alt="The unit square with a line for AND, OR and NOT; for XOR three lines, each wrong at one corner.",
    )
    lab.figure(
        "network",
        lambda figure, theme: draw_network(figure, theme, HAND, plane(WINGS[0], hard_limits, HAND)),
        size=(8, 3.4),
        caption="XOR by two hidden units: one is AND, one is OR; the output is 1 in the band between their lines.",
        alt="A 2-2-1 network with its weights, and beside it the plane with the band between two parallel lines.",
    )
    examples = [_example(trials, *chosen, config.updates) for chosen in ((SCALED, "learnt"), ("ReLU", "stuck"))]
    regions = {title: plane(WINGS[0], _net(name), params) for title, name, params in examples}
    lab.figure(
        "learnt",
        lambda figure, theme: draw_learnt(figure, theme, steps, shares, config.seeds, regions),
        size=(8, 3.4),
        caption=f"Left: share of {config.seeds} seeds that have learnt XOR by BP, with Wilson's 95 % interval at the "
        "end; scratch wide, torch dashed. Right: where the output is above ½, in two of the nets.",
        alt="Rising curves per activation, and two maps of the output over the plane.",
    )
    return judge(config, functions, hand, blocked, trials)


def learn(wing: Wing, name: str, seed: int, lr: float, updates: int) -> Learnt:
    """Batch learning of XOR by a 2-2-1 net with a linear output, until J < 1/32."""
    learner = wing.learner(_net(name), squared_error, initial(_net(name), seed), lr=lr)
    step = learner.gradients(CORNERS, TARGET)
    losses = [step.loss]
    while not losses[-1] < LEARNT and len(losses) <= updates + 1:
        learner.update(step.grads)
        step = learner.gradients(CORNERS, TARGET)
        losses.append(step.loss)
    slope = float(np.sqrt(sum((grad**2).sum() for grad in step.grads.values())))
    params = {key: value.copy() for key, value in learner.parameters().items()}
    return Learnt(len(losses) - 1, np.array(losses), slope, params)


def outcome(net: Learnt, updates: int) -> str:
    """What so many updates have come to: "learnt", "stuck" or "still learning"."""
    if net.updates <= updates:
        return "learnt"
    return "stuck" if net.slope <= STUCK else "still learning"


def search(config: Config, seed: int) -> dict[str, dict[float, int]]:
    """Updates that each activation needs at each rate, in `scratch`, from weights that are used for nothing else."""
    return {
        name: {lr: learn(WINGS[0], name, 1_000_000 + seed, lr, config.updates).updates for lr in config.rates}
        for name in HIDDEN
    }


def best_rate(found: Sequence[Mapping[float, int]]) -> float:
    """The rate with the fewest updates in all; a net that never learns counts as one that needs one too many."""
    return min(found[0], key=lambda lr: sum(one[lr] for one in found))


def measure_seed(config: Config, rates: Mapping[str, float], seed: int) -> Trial:
    """Let a net of each activation learn in each wing, from the same weights."""
    return {
        wing.name: {name: learn(wing, name, seed, rates[name], config.updates) for name in HIDDEN} for wing in WINGS
    }


def share_learnt(nets: Sequence[Mapping[str, Learnt]], steps: Array) -> dict[str, list[float]]:
    """Share of the seeds that have learnt XOR after so many updates, per activation."""
    return {name: [float(np.mean([one[name].updates <= step for one in nets])) for step in steps] for name in HIDDEN}


def tabulate(
    lab: Lab, config: Config, functions: Sequence[Function], rates: Mapping[str, float], trials: Sequence[Trial]
) -> None:
    """Keep the sixteen functions, and the rates of success."""
    lab.table(
        "one hard-limit unit on the 16 functions of two bits, by the perceptron rule",
        ("function", "at 00 01 10 11", "w₁", "w₂", "b", "corrections", "Novikoff's bound"),
        (
            (f.name, " ".join(map(str, f.values)), "–", "–", "–", "impossible (proved)", "–")
            if f.refuted
            else (
                *(f.name, " ".join(map(str, f.values)), *(f"{w:g}" for w in f.units["scratch"].weights)),
                *(f.units["scratch"].corrections, f"{f.bound:.0f}"),
            )
            for f in functions
        ),
    )
    lab.table(
        f"XOR learnt by BP in a 2-2-1 net within {config.updates} updates, {config.seeds} seeds",
        ("activation", "rate", *(f"learnt, {wing.name} (95 %)" for wing in WINGS), "median updates"),
        (
            (
                *(name, f"{rates[name]:g}"),
                *(str(_rate(config, trials, wing.name, name)) for wing in WINGS),
                _median([trial["scratch"][name].updates for trial in trials], config.updates),
            )
            for name in HIDDEN
        ),
    )


def judge(
    config: Config,
    functions: Sequence[Function],
    hand: Mapping[str, Hand],
    blocked: Mapping[str, float],
    trials: Sequence[Trial],
) -> list[Claim]:
    """One unit: what it can, what it cannot; two hidden units: that they are enough, and how often BP finds them."""
    return [*judge_units(functions), *judge_hidden(hand, blocked), *judge_learning(config, trials)]


def judge_learning(config: Config, trials: Sequence[Trial]) -> list[Claim]:
    """How often BP learns XOR depends on the activation; not on the wing."""
    slower, slopes = {}, {}
    for wing in (wing.name for wing in WINGS):
        updates = {name: [trial[wing][name].updates for trial in trials] for name in HIDDEN}
        slower[wing] = sign_test(updates["logistic"], updates[SCALED])
        for name in ("ReLU", "logistic"):
            nets = [trial[wing][name] for trial in trials]
            slopes[wing, name] = [net.slope for net in nets if net.updates > config.updates]
    # Where none fails there is nothing to be said of those that do, and the claim does not hold.
    stuck = min(float(np.mean([slope <= STUCK for slope in slopes[wing, "ReLU"]] or [False])) for wing in slower)
    slow = min(float(np.median(slopes[wing, "logistic"] or [0.0])) for wing in slower)
    pairs = [(trial["scratch"][name], trial["torch"][name]) for trial in trials for name in HIDDEN]
    agree = float(np.mean([(a.updates <= config.updates) == (b.updates <= config.updates) for a, b in pairs]))
    begun = [(a.losses[:TOGETHER], b.losses[:TOGETHER]) for a, b in pairs]
    apart = worst(float((np.abs(a - b) / np.maximum(1, a)).max()) if a.shape == b.shape else np.inf for a, b in begun)
    rates = {name: _rates(config, trials, name) for name in HIDDEN}
    return [
        Claim(
            "In a 2-2-1 net, each at its own best rate, the scaled tanh learns XOR in fewer updates than the logistic: "
            f"sign test over {config.seeds} seeds, p < 0.01.",
            f"learnt within {config.updates} updates (scratch/torch): scaled tanh {rates[SCALED]}, logistic "
            f"{rates['logistic']}; p = {max(slower.values()):.1e}",
            max(slower.values()) < 0.01,
            {f"p_{wing}": p for wing, p in slower.items()},
        ),
        Claim(
            f"ReLU nets that fail are stuck: ‖∇J‖ ≤ {STUCK:g} in at least 9 of 10 of them. Logistic nets that fail are "
            f"slow: their median ‖∇J‖ is above {STUCK:g}.",
            f"learnt (scratch/torch): ReLU {rates['ReLU']}, tanh {rates['tanh']}; {stuck:.0%} of ReLU's failures "
            f"stuck; logistic's median ‖∇J‖ {slow:.1e}",
            stuck >= 0.9 and slow > STUCK,
            {"stuck": stuck, "slow": slow},
        ),
        Claim(
            f"The wings learn alike: over the first {TOGETHER} updates their losses differ by at most 1e-9·max(1, J) "
            "in every pair. Later rounding grows in the few nets whose best rate is at the edge of stability, but at "
            "least 97 of 100 pairs end alike.",
            f"losses {apart:.1e} apart; {agree:.1%} of {len(pairs)} pairs end alike, learnt or not",
            apart <= 1e-9 and agree >= 0.97,
            {"apart": apart, "agree": agree},
        ),
    ]


def _net(name: str) -> Make:
    return lambda w, d, rng: w.MLP((2, 2, 1), HIDDEN[name](w), dtype=d, rng=rng)


def _rate(config: Config, trials: Sequence[Trial], wing: str, name: str) -> Rate:
    return rate(sum(trial[wing][name].updates <= config.updates for trial in trials), len(trials))


def _rates(config: Config, trials: Sequence[Trial], name: str) -> str:
    """Successes of both wings."""
    return "/".join(str(_rate(config, trials, wing.name, name).successes) for wing in WINGS)


def _median(updates: Sequence[int], most: int) -> str:
    middle = float(np.median(updates))
    return f"{middle:g}" if middle <= most else f"> {most}"


def _example(trials: Sequence[Trial], name: str, wanted: str, updates: int) -> tuple[str, str, Mapping[str, Array]]:
    """Title, activation and parameters of the first seed's net that has come to what is wanted; or else of any."""
    nets = [trial["scratch"][name] for trial in trials]
    net = next((net for net in nets if outcome(net, updates) == wanted), nets[0])
    return f"{name}, {outcome(net, updates)}", name, net.params
