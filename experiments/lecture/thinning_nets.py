"""The networks of `thinning`: what they are, what they learn from, and what came of it with one seed."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments import data
from experiments.backend import Array, Labels
from experiments.batches import batches, epoch_order
from experiments.config import MlpConfig
from experiments.dropout import draw_masks
from experiments.lecture.lab import WINGS, Make, Wing, initial, most_apart, worst
from experiments.lecture.small_digits import coarse

FORMS: Final = ("full", "dropout", "small", "shared")
"""The full network; the same, learnt with dropout; one of few hidden units; one with shared weights."""


@dataclasses.dataclass(frozen=True)
class Config:
    """The images, the networks, and how they learn.

    Parameters
    ----------
    images, shift:
        Training images of each seed, of the 1,297; and how far each image is moved at most, in pixels of the 28×28.
    hidden, dropout:
        Units of the full network, 196-hidden-10, and the probability with which an update drops each of them.
    small:
        Hidden units of the network that has no more parameters than the one with shared weights.
    maps:
        Of the two convolutions, 3×3, each with 2×2 max-pooling behind it.
    rates, epochs, batch:
        Learning rates to choose from, which fall linearly towards 0 (at 0.05 and at 1.6 no network does its best);
        passes; images per update.
    shares, draws:
        Shares of the hidden units that are crossed out after learning, 0 first; and how often each is drawn.
    seeds, level:
        How many, and the p-value below which the sign test over them counts.
    """

    images: int = 400
    shift: int = 3
    hidden: int = 200
    dropout: float = 0.5
    small: int = 9
    maps: tuple[int, int] = (8, 16)
    rates: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8)
    epochs: int = 60
    batch: int = 20
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)
    draws: int = 10
    seeds: int = 11
    level: float = 0.01


class Part(NamedTuple):
    """Images (N, 14, 14) and their classes (N,)."""

    x: Array
    labels: Labels


class Learnt(NamedTuple):
    """One network after learning.

    `error` (shares) and `loss` (nats) are by part: train, validation, test. `curve` has the loss of each epoch as it
    was while learning, `crossed` the mean test error with each of `Config.shares` of the hidden units crossed out.
    """

    rate: float
    parameters: int
    curve: tuple[float, ...]
    error: Mapping[str, float]
    loss: Mapping[str, float]
    crossed: tuple[float, ...]

    @property
    def gap(self) -> float:
        """How far the test loss lies above the training loss, in nats."""
        return self.loss["test"] - self.loss["train"]


class Found(NamedTuple):
    """What one seed gave: the networks by form and wing, and how far the wings' parameters are apart."""

    learnt: Mapping[str, Mapping[str, Learnt]]
    apart: float


def make(form: str, config: Config) -> Make:
    """Build a network by its name in `FORMS`."""
    if form == "shared":
        return functools.partial(_shared, maps=config.maps)
    units = config.small if form == "small" else config.hidden
    return functools.partial(_perceptron, units=units, dropout=config.dropout if form == "dropout" else 0.0)


def _perceptron(w: Any, dtype: Any, rng: Any, *, units: int, dropout: float) -> Any:
    return w.MLP((196, units, 10), w.ReLU, dropout=dropout, dtype=dtype, rng=rng)


def _shared(w: Any, dtype: Any, rng: Any, *, maps: tuple[int, int]) -> Any:
    """1@14×14 → maps@12×12 → 6×6 → maps@4×4 → 2×2 → 10."""
    first, second = maps
    return w.Sequential(
        {
            "c1": w.Conv2d(1, first, 3, dtype=dtype, rng=rng),
            "f1": w.ReLU(),
            "s2": w.MaxPool2d(2),
            "c3": w.Conv2d(first, second, 3, dtype=dtype, rng=rng),
            "f3": w.ReLU(),
            "s4": w.MaxPool2d(2),
            "flatten": w.Flatten(),
            "output": w.Linear(second * 4, 10, dtype=dtype, rng=rng),
        }
    )


def parts(config: Config, seed: int) -> dict[str, Part]:
    """Draw a seed's training images; move and halve all images."""
    digits, rng = data.load("digits"), np.random.default_rng([seed, 0])
    chosen = rng.permutation(len(digits.train))[: config.images]
    pictures = {
        "train": (digits.train.images[chosen], digits.train.labels[chosen]),
        "validation": (digits.validation.images, digits.validation.labels),
        "test": (digits.test.images, digits.test.labels),
    }
    return {
        name: Part(coarse(data.inputs(move(images, config.shift, rng), "float64"), 2), labels)
        for name, (images, labels) in pictures.items()
    }


def move(images: NDArray[Any], most: int, rng: np.random.Generator) -> NDArray[Any]:
    """Move each image (N, H, W) by up to `most` pixels, down or up and right or left; what leaves returns opposite."""
    steps = rng.integers(-most, most + 1, (len(images), 2))
    return np.stack([np.roll(image, step, (0, 1)) for image, step in zip(images, steps, strict=True)])


def trainer(form: str, config: Config, seed: int) -> MlpConfig:
    """Settings by which the trainer's `draw_masks` drops a network's units: the same ones in both wings."""
    p = config.dropout if form == "dropout" else 0.0
    return MlpConfig(hidden=(config.hidden,), dropout=p, seed=seed)


def work(config: Config, seed: int) -> Found:
    """One seed: each network at every rate in scratch, and in torch at the rate that did best in validation."""
    images, (scratch, torch) = parts(config, seed), WINGS
    learnt, apart = {}, []
    for form in FORMS:
        tried = [learn(scratch, form, rate, images, config, seed) for rate in config.rates]
        best, params = min(tried, key=lambda one: one[0].loss["validation"])
        twin, theirs = learn(torch, form, best.rate, images, config, seed)
        learnt[form] = {"scratch": best, "torch": twin}
        apart.append(most_apart(params, theirs))
    return Found(learnt, worst(apart))


def learn(
    wing: Wing, form: str, rate: float, images: Mapping[str, Part], config: Config, seed: int
) -> tuple[Learnt, dict[str, Array]]:
    """Let one network learn; return how well it does, and its parameters."""
    given = {name: part.x[:, None] if form == "shared" else _flat(part.x) for name, part in images.items()}
    builder, drops = make(form, config), trainer(form, config, seed)
    learner = wing.learner(builder, lambda w: w.CrossEntropy(), initial(builder, seed), lr=rate)
    x, labels = given["train"], images["train"].labels
    curve, update = [], 0
    for epoch in range(1, config.epochs + 1):
        learner.lr = rate * (1 - (epoch - 1) / config.epochs)
        total = 0.0
        for chosen in batches(epoch_order(seed, epoch, len(x)), config.batch):
            update += 1
            step = learner.gradients(x[chosen], labels[chosen], draw_masks(drops, update, len(chosen)))
            learner.update(step.grads)
            total += step.loss * len(chosen)
        curve.append(total / len(x))
    outputs = {name: learner.predict(pictures) for name, pictures in given.items()}
    error = {name: wrong(y, images[name].labels) for name, y in outputs.items()}
    loss = {name: learner.loss(y, images[name].labels) for name, y in outputs.items()}
    params = {name: value.copy() for name, value in learner.parameters().items()}
    crossed = (
        tuple(cross_out(wing, params, share, images["test"], config.draws, seed) for share in config.shares)
        if form in ("full", "dropout")
        else ()
    )
    return Learnt(rate, learner.num_parameters(), tuple(curve), error, loss, crossed), params


def _flat(images: Array) -> Array:
    return images.reshape(len(images), -1)


def wrong(outputs: Array, labels: Labels) -> float:
    """Share of the images that are not read as what they are."""
    return float((outputs.argmax(axis=1) != labels).mean())


def cross_out(wing: Wing, params: Mapping[str, Array], share: float, test: Part, draws: int, seed: int) -> float:
    """Mean test error with this share of a perceptron's hidden units crossed out, the others enlarged as in dropout."""
    units, x = len(params["fc1.bias"]), wing.give(_flat(test.x))
    thinned = wing.build(functools.partial(_perceptron, units=units, dropout=share), params)
    rng, errors = np.random.default_rng([seed, 1]), []
    for _ in range(draws if share else 1):
        stays = rng.permutation(units) >= round(share * units)
        # The same units for all images: a thinner network.
        chosen = {"d1": wing.give(np.tile(stays, (len(x), 1)))} if share else None
        errors.append(wrong(wing.take(thinned.trace(x, chosen)["fc2"]), test.labels))
    return float(np.mean(errors))
