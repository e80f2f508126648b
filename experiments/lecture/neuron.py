"""神经元的运算: z = wᵀx + b, a = f(z), and the activation curves with their derivatives.

What is checked: that both wings compute the slide's sum, and that each derivative, which they write in terms of the
output, is the slope of its curve.
"""

import dataclasses
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure

from experiments.backend import Array
from experiments.lecture.lab import WINGS, Claim, Lab, Theme, Wing

ACTIVATIONS: Final[Mapping[str, Callable[[ModuleType], Any]]] = {
    "logistic, a = 1": lambda w: w.Logistic(1.0),
    "logistic, a = 3": lambda w: w.Logistic(3.0),
    "1.7159·tanh(2v/3)": lambda w: w.Tanh(1.7159, 2 / 3),
    "hard limit": lambda w: w.Threshold(),
    "ReLU": lambda w: w.ReLU(),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """How finely the curves are drawn, and over which v."""

    points: int = 800
    reach: float = 6.0


FULL: Final = Config()
QUICK: Final = Config(points=80)


class Curve(NamedTuple):
    """f(v) and f′(v) over the grid."""

    value: Array
    slope: Array


def run(lab: Lab, config: Config) -> list[Claim]:
    """Measure both wings, draw, judge."""
    v = np.linspace(-config.reach, config.reach, config.points)
    curves = {wing.name: {name: curve(wing, make, v) for name, make in ACTIVATIONS.items()} for wing in WINGS}
    for wing, found in curves.items():
        for name, one in found.items():
            lab.curve(wing, f"value/{name}", one.value)
            lab.curve(wing, f"slope/{name}", one.slope)
    lab.figure(
        "curves",
        lambda figure, theme: draw(figure, theme, v, curves),
        size=(8, 3.2),
        caption="Activations f(v), left, and their derivatives f′(v), right: scratch wide, torch dashed on top of it.",
        alt="Curves of the logistic function, the scaled tanh, the hard limit and ReLU, and of their derivatives.",
    )
    return judge(v, curves)


def curve(wing: Wing, make: Callable[[ModuleType], Any], v: Array) -> Curve:
    """One activation with its derivative: the gradient of Σ f(v), by hand or by autograd."""
    f = make(wing.library)
    if wing.name == "scratch":
        value, cache = f.forward(v[None])
        slope, _ = f.backward(np.ones_like(value), cache)
        return Curve(value[0], slope[0])
    x = torch.tensor(v[None], requires_grad=True)
    value = f(x)
    slope = torch.autograd.grad(value.sum(), x)[0]
    return Curve(wing.take(value)[0], wing.take(slope)[0])


def draw(figure: Figure, theme: Theme, v: Array, curves: Mapping[str, Mapping[str, Curve]]) -> None:
    """Draw the values beside the slopes."""
    left, right = figure.subplots(1, 2)
    for wing, found in curves.items():
        for colour, (name, one) in zip(theme.colours, found.items(), strict=False):
            label = name if wing == "scratch" else None
            left.plot(v, one.value, color=colour, label=label, **theme.wing(wing))
            right.plot(v, one.slope, color=colour, **theme.wing(wing))
    left.set(title="activation", xlabel="v", ylabel="f(v)", ylim=(-2.2, 3))
    right.set(title="derivative", xlabel="v", ylabel="f′(v)")
    left.legend()


def judge(v: Array, curves: Mapping[str, Mapping[str, Curve]]) -> list[Claim]:
    """The wings agree, and each slope is the curve's."""
    apart = max(
        float(np.abs(ours.slope - curves["torch"][name].slope).max()) for name, ours in curves["scratch"].items()
    )
    return [
        Claim(
            "Both wings have the same derivatives, to 1e-14.",
            f"largest difference {apart:.1e} over {len(v)} points of {len(ACTIVATIONS)} curves",
            apart <= 1e-14,
            {"apart": apart},
        )
    ]
