"""正则项: ½λ‖W‖²_F in J, and what it does to the gradient, to a linear net, to a net that would learn by heart.

J is the slide's sum over the samples, so λ stands beside N losses; for a J that is their mean it would be λ/N. The
penalty is over W alone. The slide adds the term to J, but its update leaves the term's gradient λW out.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from experiments import data
from experiments.backend import Array, Labels
from experiments.lecture.lab import WINGS, Claim, Lab, epochs, initial, worst
from experiments.lecture.regularization_exact import Ridge, Step, distance, linear_problem, norm, penalty_step, ridge
from experiments.lecture.regularization_figures import record
from experiments.lecture.small_digits import network, rows


@dataclasses.dataclass(frozen=True)
class Config:
    """The linear problem (points, features, λ), and the digits that are few and partly mislabelled."""

    points: int = 60
    features: int = 5
    ridge_steps: int = 1500
    ridge_lambdas: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
    samples: int = 60
    mislabelled: float = 0.2
    hidden: int = 20
    lambdas: tuple[float, ...] = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    rate: float = 0.2
    momentum: float = 0.9
    epochs: int = 300
    seeds: int = 10


FULL: Final = Config()
QUICK: Final = Config(
    ridge_lambdas=(1.0, 100.0), ridge_steps=600, mislabelled=0.3, hidden=10, lambdas=(0.0, 0.1, 1.0, 10.0),
    epochs=200, seeds=3,
)  # fmt: skip


class Learnt(NamedTuple):
    """Of one seed and wing, at the end of learning, by λ: ‖W‖, mean losses in nats, share of wrong test labels."""

    norm: Array
    train: Array
    test: Array
    error: Array

    @property
    def gap(self) -> Array:
        """The generalisation gap: test loss − training loss."""
        return self.test - self.train


Ridges = Mapping[str, Mapping[float, Ridge]]
"""By wing and λ."""
Found = Sequence[Mapping[str, Learnt]]
"""By seed and wing."""


def run(lab: Lab, config: Config) -> list[Claim]:
    """Measure both wings, draw, judge."""
    x, labels, *_ = digits(config, lab.seed)
    make, lr = functools.partial(network, config.hidden), config.rate / len(x)
    steps = {w.name: penalty_step(w, make, x, labels, lr=lr, decay=0.3, seed=lab.seed) for w in WINGS}
    points, values = linear_problem(config.points, config.features, lab.seed)
    fit = functools.partial(ridge, x=points, t=values, steps=config.ridge_steps, seed=lab.seed)
    ridges = {wing.name: {decay: fit(wing, decay=decay) for decay in config.ridge_lambdas} for wing in WINGS}
    found = lab.over_seeds(functools.partial(learn, config), config.seeds)
    record(lab, config.lambdas, points, values, ridges, found)
    return judge(config, steps, ridges, found)


def digits(config: Config, seed: int) -> tuple[Array, Labels, Array, Labels]:
    """Few of the embedded digits with some labels wrong, and 500 others to test on; images as rows of 49."""
    found = data.load("digits")
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(found.train))[: config.samples]
    labels = found.train.labels[chosen].copy()
    wrong = rng.permutation(len(chosen))[: round(config.mislabelled * len(chosen))]
    labels[wrong] = (labels[wrong] + rng.integers(1, 10, len(wrong))) % 10
    others = np.concatenate([found.validation.images, found.test.images])
    return (
        rows(found.train.images[chosen]),
        labels,
        rows(others),
        np.concatenate([found.validation.labels, found.test.labels]),
    )


def learn(config: Config, seed: int) -> dict[str, Learnt]:
    """Learn the mislabelled digits with each λ, in both wings, from the same weights."""
    x, labels, other_x, other_labels = digits(config, seed)
    make = functools.partial(network, config.hidden)
    found = {}
    for wing in WINGS:
        ends = []
        for decay in config.lambdas:
            learner = wing.learner(
                make, lambda w: w.CrossEntropy("sum"), initial(make, seed),
                lr=config.rate / len(x), momentum=config.momentum, weight_decay=decay,
            )  # fmt: skip
            losses = epochs(learner, x, labels, batch_size=len(x), seed=seed)
            for _ in range(config.epochs):
                next(losses)
            outputs = learner.predict(other_x)
            ends.append(
                (
                    norm(learner.parameters()),
                    learner.loss(learner.predict(x), labels) / len(x),
                    learner.loss(outputs, other_labels) / len(other_x),
                    float(np.mean(outputs.argmax(axis=1) != other_labels)),
                )
            )
        found[wing.name] = Learnt(*np.array(ends).T)
    return found


def judge(config: Config, steps: Mapping[str, Step], ridges: Ridges, found: Found) -> list[Claim]:
    """What the slide's term does; every number is the worst of both wings."""
    seeds = f"in all {len(found)} seeds"
    weights = ("fc1.weight", "fc2.weight")
    gradient, slope, step = (
        worst(getattr(one, name) for one in steps.values()) for name in Step._fields if name != "names"
    )
    every = [one for values in ridges.values() for one in values.values()]
    met = worst(distance(one.learnt, one.closed) for one in every)
    other = -worst(-distance(one.bias_penalised, one.closed) for one in every)
    least = worst(distance(one.slide, one.least_squares) for one in every)
    excess = np.array([one.slide_loss / one.learnt_loss - 1 for one in every])
    runs = [one for wings in found for one in wings.values()]
    norms, gaps = (np.array([getattr(one, name) for one in runs]) for name in ("norm", "gap"))
    medians = np.median(gaps.reshape(len(found), len(WINGS), -1), axis=0)
    shrunk = gaps[:, -1] / gaps[:, 0]
    tests = np.array([one.test for one in runs])
    best = tests.argmin(axis=1)
    gain = tests[:, 0] / tests.min(axis=1)
    apart = worst(
        float(np.max(np.abs(a - b) / np.abs(b)))
        for one in found
        for a, b in zip(one["scratch"][:3], one["torch"][:3], strict=True)
    )
    return [
        Claim(
            "The gradient of ½λ‖W‖² is λW, bit for bit, for the weights and nothing for the biases; along a random "
            "direction V, (R(W+V) − R(W−V))/2 is λ⟨W, V⟩ to 1e-13 of λ‖W‖‖V‖.",
            f"largest |∂R/∂W − λW| {gradient:g}; along V {slope:.1e}; gradients for {', '.join(steps['torch'].names)}",
            gradient == 0 and slope <= 1e-13 and all(one.names == weights for one in steps.values()),
            {"gradient_off": gradient, "slope_off": slope},
        ),
        Claim(
            "A step of SGD with weight decay λ is W − α(∂J/∂W + λW), and b − α∂J/∂b: every number to 4 roundings, "
            "4 eps (|W| + α|∂J/∂W| + αλ|W|).",
            f"largest difference {step:.2f} eps of that sum",
            step <= 4,
            {"step_off": step},
        ),
        Claim(
            "A linear net trained with λ ends at ridge regression's closed form W = (CᵀC + λI)⁻¹Cᵀt, C the centred "
            f"inputs, to 1e-10 for {len(config.ridge_lambdas)} λ; the form that penalises b too is 0.1 % away.",
            f"at most {met:.1e} away, relative; the other form at least {other:.2%}",
            met <= 1e-10 and other >= 0.001,
            {"learnt": met, "bias_penalised": other},
        ),
        Claim(
            "The slide's update leaves λW out, and so ends at the least squares of λ = 0 whatever λ is, to 1e-10; its "
            "J with the penalty is above the minimum for every λ, at the largest by half or more.",
            f"at most {least:.1e} from least squares; J above the minimum by {excess.min():.2%} to {excess.max():.0%}",
            least <= 1e-10
            and excess.min() > 0
            and all(
                values[max(values)].slide_loss >= 1.5 * values[max(values)].learnt_loss for values in ridges.values()
            ),
            {"slide": least, "excess_least": excess.min(), "excess_most": excess.max()},
        ),
        Claim(
            f"The greater λ, the smaller ‖W‖: from each λ of {len(config.lambdas)} to the next, {seeds}.",
            f"medians {' > '.join(f'{value:.3g}' for value in np.median(norms, axis=0))}",
            bool((np.diff(norms) < 0).all()),
            {"least_step": float(-np.diff(norms).max())},
        ),
        Claim(
            "The generalisation gap, test loss − training loss, shrinks with every step of λ in the median of "
            f"{len(found)} seeds, and over the whole grid to less than a third of what it was, {seeds}.",
            f"medians {' > '.join(f'{value:.3g}' for value in medians[0])} nats; over the grid to "
            f"{shrunk.min():.1%} to {shrunk.max():.1%}",
            bool((np.diff(medians) < 0).all()) and shrunk.max() < 1 / 3,
            {"least_step": float(-np.diff(medians).max()), "shrunk_most": shrunk.max()},
        ),
        Claim(
            f"The test loss is least at a λ between the ends of the grid, {seeds}, and there less than three quarters "
            "of that without the penalty.",
            f"best λ {', '.join(f'{config.lambdas[i]:g} in {(best == i).sum() // len(WINGS)}' for i in set(best))}"
            f" seeds; without the penalty {gain.min():.2f} to {gain.max():.2f} times the loss",
            bool(((best > 0) & (best < len(config.lambdas) - 1)).all()) and gain.min() > 4 / 3,
            {"gain_least": gain.min(), "gain_most": gain.max()},
        ),
        Claim(
            "Both wings end with the same ‖W‖ and the same losses for every λ and seed, to 1e-9.",
            f"at most {apart:.1e} apart, relative",
            apart <= 1e-9,
            {"apart": apart},
        ),
    ]
