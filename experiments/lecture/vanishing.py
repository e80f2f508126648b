"""反向越深的隐层: how the error signal fades, or grows, on its way back, δ^(l) = f′(z^(l)) ⊙ W^(l+1)ᵀδ^(l+1).

Each hidden layer multiplies it by a slope and by a matrix. Measured before any learning, in a deep network on the
digits: the size of δ^(l) and of ∂J/∂W^(l) by activation, by initial weights, and by the scale of the inputs.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.figure import Figure

import scratch
from experiments import data
from experiments.backend import Array, Labels
from experiments.lecture.activations import HIDDEN, SCALED
from experiments.lecture.error_signals import Sizes, backward, factor, sizes_of, together
from experiments.lecture.lab import WINGS, Claim, Lab, Theme, Wing, worst

STEEPEST: Final = {"logistic": 1 / 4, "tanh": 1.0, SCALED: 1.7159 * 2 / 3, "ReLU": 1.0}
"""The largest f′(v) there is."""
WEIGHTS: Final[Mapping[str, Callable[[np.random.Generator, tuple[int, int]], Array]]] = {
    "small": lambda rng, shape: rng.normal(0, 0.01, shape),
    "LeCun": lambda rng, shape: scratch.init.lecun_uniform(shape, rng=rng, dtype=np.float64),
    "He": lambda rng, shape: rng.normal(0, math.sqrt(2 / shape[1]), shape),
    "large": lambda rng, shape: rng.normal(0, 5 / math.sqrt(shape[1]), shape),
}
SIGMA: Final = {"small": "σ = 0.01", "LeCun": "σ = 1/√F", "He": "σ = √2/√F", "large": "σ = 5/√F"}
"""Standard deviation of the weights; F is the fan-in."""
INPUTS: Final[Mapping[str, Callable[[Array], Array]]] = {
    "pixels 0 to 255": lambda pixels: pixels,
    "pixels 0 to 1": lambda pixels: pixels / 255,
    "standardised": lambda pixels: (pixels - pixels.mean(axis=0)) / np.maximum(pixels.std(axis=0), 1),
}
RAW, _, STANDARD = INPUTS
SIGMOIDS: Final = ("logistic", "tanh", SCALED)


class Case(NamedTuple):
    """One kind of network, by its names in the three tables above."""

    activation: str
    weights: str
    inputs: str = STANDARD


CASES: Final = (
    *(Case(activation, weights) for weights in WEIGHTS for activation in HIDDEN),
    *(Case(activation, "LeCun", inputs) for inputs in INPUTS if inputs != STANDARD for activation in HIDDEN),
)
FITTING: Final = tuple(Case(name, "He" if name == "ReLU" else "LeCun") for name in HIDDEN if name != "logistic")
"""Activations with the weights that were thought out for them."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Hidden layers and units in each, images in the batch, and seeds of weights and images."""

    depth: int = 10
    width: int = 50
    images: int = 200
    seeds: int = 20


FULL: Final = Config()
QUICK: Final = Config(images=50, seeds=4)


Runs = Mapping[str, Mapping[Case, Sizes]]
"""By wing and kind of network."""


def run(lab: Lab, config: Config) -> list[Claim]:
    """Measure both wings over the seeds, draw, judge."""
    found = lab.over_seeds(functools.partial(measure, config), config.seeds)
    runs = {wing.name: {case: together([one[wing.name][case] for one, _ in found]) for case in CASES} for wing in WINGS}
    for wing, cases in runs.items():
        for case, sizes in cases.items():
            for what in ("delta", "weight"):
                lab.curve(wing, f"{what}/{', '.join(case)}", np.median(getattr(sizes, what), axis=0))
    lab.table(
        f"What a hidden layer leaves of δ on its way back: geometric mean over {config.depth - 1} layers, "
        f"median of {config.seeds} seeds (lowest to highest)",
        ("weights", *HIDDEN),
        [
            (
                f"{weights}, {SIGMA[weights]}",
                *(_cell(factor(runs["scratch"][Case(name, weights)])) for name in HIDDEN),
            )
            for weights in WEIGHTS
        ],
    )
    lab.figure(
        "depth",
        lambda figure, theme: draw_depth(figure, theme, runs),
        size=(8, 4.8),
        caption="The error signal of a sample and the weights' gradient in every layer, before any learning; "
        f"{config.depth} hidden layers, median of {config.seeds} seeds. Read it from right to left, as δ travels. "
        "Scratch wide, torch dashed on top of it.",
        alt="Six panels: gradient norms, on a logarithmic axis, by layer; three initial weights, four activations.",
    )
    lab.figure(
        "inputs",
        lambda figure, theme: draw_inputs(figure, theme, runs),
        size=(8, 2.8),
        caption="What the scale of the inputs does to the first hidden layer, with LeCun's weights: median and range "
        f"over {config.seeds} seeds; discs scratch, crosses torch.",
        alt="Dots by activation and input scale: share of flat units; share of the error signal that passes.",
    )
    return judge(runs, worst(apart for _, apart in found))


def measure(config: Config, seed: int) -> tuple[dict[str, dict[Case, Sizes]], float]:
    """All kinds of network with the weights and images of one seed, and how far the wings are apart at most.

    Apart: max|a − b| / max|b| over all δ^(l) and ∂J/∂W^(l).
    """
    pixels, labels = _digits()
    chosen = np.random.default_rng(seed).choice(len(pixels), config.images, replace=False)
    inputs = {name: scale(pixels)[chosen] for name, scale in INPUTS.items()}
    units = (pixels.shape[1], *[config.width] * config.depth, 10)
    params = {name: start(units, name, seed) for name in WEIGHTS}
    # The first layer's matrix carries no error signal back: there is no hidden layer below it.
    norms = {name: np.array([np.linalg.norm(w, 2) for w in list(of.values())[2::2]]) for name, of in params.items()}
    found: dict[str, dict[Case, Sizes]] = {wing.name: {} for wing in WINGS}
    apart = 0.0
    for case in CASES:
        nets = [deep(wing, units, case.activation, params[case.weights]) for wing in WINGS]
        passes = [
            backward(wing, net, inputs[case.inputs], labels[chosen]) for wing, net in zip(WINGS, nets, strict=True)
        ]
        for wing, signals in zip(WINGS, passes, strict=True):
            found[wing.name][case] = sizes_of(signals, STEEPEST[case.activation], norms[case.weights])
        for a, b in zip(*(one.delta + one.weight for one in passes), strict=True):
            apart = float(np.maximum(apart, np.abs(a - b).max() / np.abs(b).max()))  # which keeps a NaN
    return found, apart


def start(units: Sequence[int], weights: str, seed: int) -> dict[str, Array]:
    """Draw the parameters of a network with n^0, n^1, … units: weights from the table, biases 0."""
    rng = np.random.default_rng([seed, 1])
    params = {}
    for i, (below, here) in enumerate(pairwise(units), start=1):
        params[f"fc{i}.weight"] = WEIGHTS[weights](rng, (here, below))
        params[f"fc{i}.bias"] = np.zeros(here)
    return params


def deep(wing: Wing, units: Sequence[int], activation: str, params: Mapping[str, Array]) -> Any:
    """Build a perceptron with these parameters."""
    return wing.build(lambda w, d, rng: w.MLP(units, lambda: HIDDEN[activation](w), dtype=d, rng=rng), params)


def draw_depth(figure: Figure, theme: Theme, runs: Runs) -> None:
    """δ above, ∂J/∂W below; a column for weights too small, fitting and too large, a line for each activation."""
    columns = {
        "small weights, σ = 0.01": [Case(name, "small") for name in HIDDEN],
        "fitting, σ = 1/√F; ReLU √2/√F": [Case("logistic", "LeCun"), *FITTING],
        "large, σ = 5/√F": [Case(name, "large") for name in HIDDEN],
    }
    axes = figure.subplots(2, len(columns), sharex=True, sharey="row", squeeze=False)
    for column, (title, chosen) in enumerate(columns.items()):
        for panel, what in zip(axes[:, column], ("delta", "weight"), strict=True):
            for wing, cases in runs.items():
                for colour, case in zip(theme.colours, chosen, strict=False):
                    values = np.median(getattr(cases[case], what), axis=0)
                    panel.semilogy(range(1, len(values) + 1), values, color=colour, **theme.wing(wing))
            panel.grid(visible=False, axis="x")
        axes[0, column].set_title(title, fontsize=10)
        axes[1, column].set(xlabel="layer l", xticks=(1, len(values) - 1))
    for panel, label in zip(
        axes[:, 0], (r"$‖\delta^{(l)}‖$ of a sample", r"$‖\partial J/\partial W^{(l)}‖$"), strict=True
    ):
        panel.set(ylabel=label, yticks=(1e-15, 1e-10, 1e-5, 1, 1e5))
    lines = axes[0, 0].get_lines()[: len(HIDDEN)]
    figure.legend(lines, HIDDEN, loc="outside upper center", ncols=len(HIDDEN))


def draw_inputs(figure: Figure, theme: Theme, runs: Runs) -> None:
    """The first hidden layer: its flat units at the left, what it leaves of δ at the right."""
    axes = figure.subplots(1, 2, sharey=True)
    for panel, of in zip(axes, (_flat, _passed), strict=True):
        for offset, (colour, inputs) in enumerate(zip(theme.colours, INPUTS, strict=False)):
            places = np.arange(len(HIDDEN)) + 0.22 * (offset - 1)
            for wing, cases in runs.items():
                values = np.array([of(cases[Case(name, "LeCun", inputs)]) for name in HIDDEN])
                look = {"marker": "o", "s": 60, "alpha": 0.5} if wing == "scratch" else {"marker": "x", "s": 25}
                label = inputs if wing == "scratch" else None
                panel.scatter(np.median(values, axis=1), places, color=colour, label=label, **look)
            panel.hlines(places, values.min(axis=1), values.max(axis=1), color=colour, linewidth=1.5)
        panel.set(yticks=range(len(HIDDEN)), yticklabels=HIDDEN)
        panel.grid(visible=False, axis="y")
    axes[0].invert_yaxis()
    axes[0].set(title="units with f′ < peak / 20", xlabel="share of the first layer's units", xticks=(0, 0.5, 1))
    axes[1].set(title="what the layer leaves of δ", xlabel=r"$‖\delta^{(1)}‖\,/\,‖\delta^{(2)}‖$", xscale="log")
    axes[1].set_xticks((0.03, 0.1, 0.3, 1), ("0.03", "0.1", "0.3", "1"))
    axes[1].minorticks_off()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(INPUTS))


def judge(runs: Runs, apart: float) -> list[Claim]:
    """The recursion and its bound; the activations; the weights; the inputs. Each in every seed and both wings."""
    sizes = [one for cases in runs.values() for one in cases.values()]
    seeds, layers = sizes[0].delta.shape

    def over(cases: Iterable[Case], of: Callable[[Sizes], Array]) -> Array:
        return np.stack([of(found[case]) for found in runs.values() for case in cases])

    used = float(np.max([one.delta[:, :-1] / one.delta[:, 1:] / one.bound for one in sizes]))
    logistic = over([Case("logistic", "LeCun")], factor)
    fitting = over(FITTING, lambda one: one.delta[:, 0] / one.delta[:, -2])
    scaled, plain = (over([Case(name, "LeCun")], factor) for name in (SCALED, "tanh"))
    small = over([Case(name, "small") for name in HIDDEN], factor)
    large = over([Case(name, "large") for name in HIDDEN if name != "logistic"], factor)
    raw, standard = ([Case(name, "LeCun", inputs) for name in SIGMOIDS] for inputs in (RAW, STANDARD))
    steep, flat = over(standard, _flat), over(raw, _flat)
    less = over(raw, _passed) / over(standard, _passed)
    return [
        Claim(
            "The slide's recursion and autograd find the same δ and ∂J/∂W: in every layer, to 1e-10 of its largest.",
            f"at most {apart:.1e} apart, in {len(CASES)} kinds of network × {seeds} seeds × {layers} layers",
            apart <= 1e-10,
            {"apart": apart},
        ),
        Claim(
            "No layer leaves more of δ than its steepest slope (1/4 for the logistic function, 1 for tanh) times ‖W‖₂.",
            f"at most {used:.2f} of the bound is used",
            used <= 1 + 1e-12,
            {"used": used},
        ),
        Claim(
            f"Logistic units with LeCun's weights: a layer leaves at most 0.3 of δ on average, in all {seeds} seeds.",
            f"{_words(logistic)}; over {layers - 2} layers {np.median(logistic) ** (layers - 2):.0e}",
            logistic.max() <= 0.3,
            {"highest": logistic.max(), "lowest": logistic.min()},
        ),
        Claim(
            "tanh and 1.7159·tanh(2v/3) with LeCun's weights, ReLU with He's: δ in the first layer is between 1/5 of "
            f"that in hidden layer {layers - 1} and 5 times as much, in all {seeds} seeds.",
            _words(fitting),
            fitting.min() >= 1 / 5 and fitting.max() <= 5,
            {"highest": fitting.max(), "lowest": fitting.min()},
        ),
        Claim(
            "1.7159·tanh(2v/3) leaves 0.95 to 1.05 of δ per layer on average, tanh itself less than 0.95, "
            f"in all {seeds} seeds.",
            f"scaled {_words(scaled)}; tanh {_words(plain)}",
            scaled.min() >= 0.95 and scaled.max() <= 1.05 and plain.max() < 0.95,
            {"scaled_lowest": scaled.min(), "scaled_highest": scaled.max(), "tanh_highest": plain.max()},
        ),
        Claim(
            "With small weights δ fades whatever the activation, to at most 0.1 per layer; with large ones it grows "
            f"in tanh, scaled tanh and ReLU, to at least 1.5 times, in all {seeds} seeds.",
            f"small {_words(small)}; large {_words(large)}",
            small.max() <= 0.1 and large.min() >= 1.5,
            {"small_highest": small.max(), "large_lowest": large.min()},
        ),
        Claim(
            "Raw pixels, 0 to 255, make at least 90% of the first layer's sigmoid units flat, standardised ones at "
            f"most 5%; so the layer leaves at most 1/4 as much of δ, in all {seeds} seeds.",
            f"flat {_words(flat)} against {_words(steep)}; the layer leaves {_words(less)} times as much",
            flat.min() >= 0.9 and steep.max() <= 0.05 and less.max() <= 1 / 4,
            {"raw": flat.min(), "standardised": steep.max(), "less": less.max()},
        ),
    ]


def _digits() -> tuple[Array, Labels]:
    train = data.load("digits").train
    return train.images.reshape(len(train), -1).astype(np.float64), train.labels


def _passed(sizes: Sizes) -> Array:
    return np.asarray(sizes.delta[:, 0] / sizes.delta[:, 1])


def _flat(sizes: Sizes) -> Array:
    return np.asarray(sizes.flat[:, 0])


def _words(values: Array) -> str:
    return f"{values.min():.3g} to {values.max():.3g}"


def _cell(values: Array) -> str:
    return f"{np.median(values):.3f} ({values.min():.3f}–{values.max():.3f})"
