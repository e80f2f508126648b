"""批量学习, 在线学习: the gradient of all N samples, of B of them, or of one, before each update.

The same digits, the same initial weights, the same code: the modes differ in nothing but the batch size. Each learns
at its own best rate, the one of the grid with which the worst of the tuning seeds is through in the fewest epochs;
those are other digits and other weights than the ones judged, and scratch does the tuning.

An epoch is N samples. The loss of all samples is measured after every update; a run ends when it is at the threshold.
J is the mean over the samples here; the lecture's J is their sum, whose α is that of the mean divided by N.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from experiments import data
from experiments.backend import Array, Backend, Labels
from experiments.batches import batches
from experiments.errors import UserError
from experiments.lecture.lab import WINGS, Claim, Lab, Wing, alternately, initial, worst
from experiments.lecture.learning_modes_descent import (
    Found,
    Measured,
    descend,
    gradient_spread,
    held_bytes,
    pooled,
)
from experiments.lecture.learning_modes_figures import record
from experiments.lecture.small_digits import network, rows

MODES: Final = ("batch", "mini-batch", "online")
TUNING: Final = 10_000
"""Added to a seed, it gives the one that rates are tuned on."""
SHARED: Final = 50
"""Updates over which the wings' losses are compared; later, chaos may have made a rounding large."""


@dataclasses.dataclass(frozen=True)
class Config:
    """The digits and their copies, the network, the rates, and when learning ends."""

    samples: int = 200
    copies: int = 10
    hidden: int = 16
    mini: int = 16
    threshold: float = 0.1
    rates: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0)
    batch_patience: int = 300
    online_patience: int = 25
    seeds: int = 10
    tuning_seeds: int = 3
    draws: int = 60
    rounds: int = 7

    def batch_size(self, mode: str) -> int:
        """Samples per update, as long as there are no copies."""
        return {"batch": self.samples, "mini-batch": self.mini, "online": 1}[mode]

    def patience(self, mode: str) -> int:
        """Epochs after which a run is given up."""
        return self.batch_patience if mode == "batch" else self.online_patience

    def sizes(self) -> tuple[int, ...]:
        """1, 2, 4, … and N: the batches whose gradients and memory are compared."""
        return (*(2**k for k in range(self.samples.bit_length()) if 2**k < self.samples), self.samples)


FULL: Final = Config()
QUICK: Final = Config(
    samples=40, hidden=8, mini=8, threshold=0.5, rates=(1 / 8, 1 / 2, 2.0), batch_patience=120, online_patience=15,
    seeds=3, tuning_seeds=2, draws=40, rounds=3,
)  # fmt: skip


def run(lab: Lab, config: Config) -> list[Claim]:
    """Tune, measure both wings over the seeds, draw, judge."""
    tuned = lab.over_seeds(functools.partial(tune, config), config.tuning_seeds)
    rates = {mode: best_rate(config, mode, [one[mode] for one in tuned]) for mode in MODES}
    found = lab.over_seeds(functools.partial(measure, config, rates), config.seeds)
    times = {wing.name: epoch_seconds(wing, config, lab.seed) for wing in WINGS}
    record(lab, found, rates, {mode: config.batch_size(mode) for mode in MODES}, config.threshold, config.copies)
    return judge(config, found, times)


def samples(config: Config, seed: int) -> tuple[Array, Labels]:
    """Draw N of the embedded digits: (N, 49) and (N,)."""
    train = _digits()
    chosen = np.random.default_rng(seed).permutation(len(train))[: config.samples]
    return rows(train.images[chosen]), train.labels[chosen]


@functools.cache
def _digits() -> data.Split:
    return data.load("digits").train  # which takes as long as hundreds of updates


def learner(wing: Wing, config: Config, seed: int, lr: float, reduction: str = "mean") -> Backend:
    """The network with the seed's initial weights, cross-entropy and SGD."""
    make = functools.partial(network, config.hidden)
    return wing.learner(make, lambda w: w.CrossEntropy(reduction), initial(make, seed), lr=lr)


def tune(config: Config, seed: int) -> dict[str, list[float]]:
    """Epochs to the threshold by mode and rate of the grid, infinite where the patience was not enough."""
    seed += TUNING
    x, labels = samples(config, seed)
    epochs: dict[str, list[float]] = {}
    for mode in MODES:
        go = functools.partial(
            descend,
            x=x,
            labels=labels,
            batch_size=config.batch_size(mode),
            seed=seed,
            threshold=config.threshold,
            patience=config.patience(mode),
        )
        runs = [go(learner(WINGS[0], config, seed, lr)) for lr in config.rates]
        epochs[mode] = [float(one.epochs[-1]) if one.reached else np.inf for one in runs]
    return epochs


def best_rate(config: Config, mode: str, epochs: Sequence[Sequence[float]]) -> float:
    """Of the grid, the rate that takes the fewest epochs in the worst of the seeds; `UserError` if none arrives."""
    most = np.max(epochs, axis=0)
    if not np.isfinite(most).any():
        raise UserError(
            f"no rate of {_listed(config.rates)} brings {mode} learning to a loss of {config.threshold:g} within "
            f"{config.patience(mode)} epochs in all {len(epochs)} tuning seeds: no mode can be compared at its best"
        )
    return config.rates[int(most.argmin())]


def measure(config: Config, rates: Mapping[str, float], seed: int) -> dict[str, Measured]:
    """All that is measured with one seed, in both wings."""
    x, labels = samples(config, seed)
    sizes = {mode: config.batch_size(mode) for mode in MODES}
    found = {}
    for wing in WINGS:
        fresh = functools.partial(learner, wing, config, seed)
        go = functools.partial(descend, x=x, labels=labels, seed=seed, threshold=config.threshold)
        until = {mode: 4.0 * config.patience(mode) for mode in MODES}  # the tuning's is for good rates alone
        once = {mode: go(fresh(rates[mode]), batch_size=size, patience=until[mode]) for mode, size in sizes.items()}
        again = functools.partial(go, copies=config.copies)
        everything = config.copies * config.samples
        copied = {
            mode: again(fresh(rates[mode]), batch_size=everything if mode == "batch" else size, patience=until[mode])
            for mode, size in sizes.items()
        }
        patience = 2 * float(once["batch"].epochs[-1])
        summed = {
            name: again(fresh(rates["batch"] / n, "sum"), batch_size=everything, patience=patience, summed=True)
            for name, n in (("kept", config.samples), ("divided", everything))
        }
        spread = gradient_spread(fresh(1.0), x, labels, sizes=config.sizes(), draws=config.draws, seed=seed)
        make = functools.partial(network, config.hidden)
        held = {size: held_bytes(wing, make, x[:size], labels[:size]) for size in config.sizes()}
        found[wing.name] = Measured(once, copied, summed, *spread, held)
    return found


def epoch_seconds(wing: Wing, config: Config, seed: int) -> dict[str, float]:
    """Seconds for the gradients of one epoch by mode."""
    x, labels = samples(config, seed)
    one = learner(wing, config, seed, 1.0)

    def epoch(size: int) -> None:
        for chosen in batches(np.arange(len(x)), size):
            one.gradients(x[chosen], labels[chosen])

    actions = [functools.partial(epoch, config.batch_size(mode)) for mode in MODES]
    return dict(zip(MODES, alternately(actions, config.rounds), strict=True))


def judge(config: Config, found: Found, times: Mapping[str, Mapping[str, float]]) -> list[Claim]:
    """What the slides say of the modes; every number is the worst of both wings."""
    seeds = f"in all {len(found)} seeds"
    every = [one for wings in found for one in wings.values()]

    def of(mode: str, get: Callable[..., float]) -> Array:
        return np.array([get(one.once[mode]) for one in every])

    epochs, updates, rises = (
        {mode: of(mode, get) for mode in MODES}
        for get in (lambda run: run.epochs[-1], lambda run: run.updates, lambda run: run.rises)
    )
    named = [one.once[mode].reached for one in every for mode in ("batch", "online")]
    missed = "" if all(named) else f"; {sum(named)} of {len(named)} runs reached it"
    fewer, more = (epochs["batch"] / epochs["online"]).min(), (updates["online"] / updates["batch"]).min()
    slower = {wing: some["online"] / some["batch"] for wing, some in times.items()}
    spreads = pooled(found).values()
    off = worst(abs(a / b - 1) for some in spreads for size, (a, b) in some.items() if size < config.samples)
    whole = worst(some[config.samples][0] for some in spreads)
    held = [found[0][wing.name].held for wing in WINGS]
    uneven = worst(abs(value / (size * some[1]) - 1) for some in held for size, value in some.items())
    return [
        Claim(
            f"Each at its own best rate of {_listed(config.rates)}, online learning reaches a loss of "
            f"{config.threshold:g} in at most a third of batch learning's epochs, and with at least three times its "
            f"updates, {seeds}.",
            f"at least {fewer:.1f} times fewer epochs (medians {np.median(epochs['online']):.1f} and "
            f"{np.median(epochs['batch']):.0f}), {more:.1f} times more updates{missed}",
            all(named) and fewer >= 3 and more >= 3,
            {"fewer_epochs": fewer, "more_updates": more},
        ),
        Claim(
            f"Batch learning works on {config.samples} samples side by side: the gradients of an epoch take online "
            f"learning at least 5 times as long (CPU time, medians of {config.rounds} rounds in turns).",
            ", ".join(f"{wing} {value:.0f} times" for wing, value in slower.items()),
            all(value >= 5 for value in slower.values()),
            slower,
        ),
        Claim(
            "The gradient of B of N samples strays from that of all by σ√((N−B)/(B(N−1))), about σ/√B, where σ is that "
            f"of one sample: to 10 % for each B (rms of {config.draws} batches in each of {len(found)} seeds), and "
            "for B = N to 1e-12 of its length.",
            f"at most {off:.1%} off; B = N: {whole:.1e}; one sample: {next(iter(spreads))[1][0]:.1f} times its length",
            off <= 0.1 and whole <= 1e-12,
            {"off": off, "whole": whole},
        ),
        Claim(
            "Online learning is unsteady: after more than a third of its updates the loss of all samples is greater "
            f"than before, and after a greater share of them than of batch learning's, {seeds}.",
            "; ".join(f"{mode} {some.min():.0%} to {some.max():.0%}" for mode, some in rises.items()),
            rises["online"].min() > 1 / 3 and bool((rises["online"] > rises["batch"]).all()),
            {f"{mode}_{name}": f(some) for mode, some in rises.items() for name, f in (("least", min), ("most", max))},
        ),
        Claim(
            "What the forward pass holds for the backward pass is proportional to the batch size, to 2 %: batch "
            f"learning needs {config.samples} times the memory of online learning.",
            f"at most {uneven:.2%} off; bytes per sample: {held[0][1]:,} in scratch, {held[1][1]:,} in torch",
            uneven <= 0.02 and min(some[1] for some in held) > 0,
            {"off": uneven, "scratch": held[0][1], "torch": held[1][1]},
        ),
        *_copies(config, every, seeds),
        _wings(found),
    ]


def _copies(config: Config, every: Sequence[Measured], seeds: str) -> list[Claim]:
    share = {
        mode: np.array([one.copied[mode].epochs[-1] / one.once[mode].epochs[-1] for one in every]) for mode in MODES
    }
    low, high = 0.75 / config.copies, 1.33 / config.copies
    medians, batch = np.median(share["online"].reshape(-1, len(WINGS)), axis=0), share["batch"]
    same = worst(gap(one.once["batch"].losses, one.copied["batch"].losses) for one in every)
    through = sum(one.summed["kept"].reached for one in every)
    divided = worst(gap(one.once["batch"].losses, one.summed["divided"].losses) for one in every)
    return [
        Claim(
            f"With the data {config.copies} times over, online learning needs about a tenth of the epochs, {low:.3f} "
            f"to {high:.3f} in the median of {len(every) // 2} seeds; batch learning as many as before, {seeds}, with "
            "the same losses to 1e-9.",
            f"online {medians.max():.3f} ({share['online'].min():.3f} to {share['online'].max():.3f}); "
            f"batch {batch.min():g} to {batch.max():g}, losses {same:.1e} apart",
            low <= medians.min() <= medians.max() <= high and bool((batch == 1).all()) and same <= 1e-9,
            {"online": medians.max(), "batch_least": batch.min(), "batch_most": batch.max(), "apart": same},
        ),
        Claim(
            f"The lecture's J is a sum, so {config.copies} copies of the data make its gradient {config.copies} times "
            f"as long. If α is kept, batch learning is not through in twice the epochs, {seeds}; with "
            f"α/{config.copies} its losses are those without copies, to 1e-9.",
            f"α kept: {through} of {len(every)} runs through; α/{config.copies}: losses {divided:.1e} apart",
            through == 0 and divided <= 1e-9,
            {"through": through, "apart": divided},
        ),
    ]


def _wings(found: Found) -> Claim:
    apart = worst(
        gap(ours[mode].losses[: SHARED + 1], theirs[mode].losses[: SHARED + 1])
        for scratch, torch in ((one["scratch"], one["torch"]) for one in found)
        for ours, theirs in ((scratch.once, torch.once), (scratch.copied, torch.copied))
        for mode in MODES
    )
    return Claim(
        f"Both wings learn alike: in every run of every mode their losses are the same to 1e-9 over the first {SHARED} "
        "updates. (The best rate may be at the edge of stability, where roundings grow from update to update.)",
        f"at most {apart:.1e} apart, relative to the loss",
        apart <= 1e-9,
        {"apart": apart},
    )


def _listed(rates: Sequence[float]) -> str:
    return ", ".join(f"{rate:g}" for rate in rates)


def gap(first: Array, second: Array) -> float:
    """Largest relative difference of two descents' losses; infinite if one is longer."""
    return float(np.max(np.abs(first - second) / second)) if len(first) == len(second) else np.inf
