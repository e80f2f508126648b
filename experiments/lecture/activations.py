"""Activations: those whose curves `neuron` draws, in the slide's terms too, and those compared in hidden layers."""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final, NamedTuple

from scratch import literal


class Activation(NamedTuple):
    """One f: how it is built in either wing, and how the slide writes f and f′ in terms of v."""

    family: str
    label: str
    build: Callable[[ModuleType], Any]
    slide: literal.Function
    rate: float = 0.0
    """Where f saturates, f′(v) falls as exp(−rate·|v|)."""
    steepest: float = 0.0
    """f′(0), where f saturates."""

    @property
    def name(self) -> str:
        """Family and parameters."""
        return f"{self.family}, {self.label}" if self.label else self.family


def _logistic(a: float) -> Activation:
    return Activation("logistic", f"a = {a:g}", lambda w: w.Logistic(a), literal.logistic(a), a, a / 4)


def _tanh(a: float, b: float, label: str) -> Activation:
    return Activation("a·tanh(bv)", label, lambda w: w.Tanh(a, b), literal.tanh(a, b), 2 * b, a * b)


ACTIVATIONS: Final = (
    *(_logistic(a) for a in (0.5, 1.0, 2.0, 4.0)),
    _tanh(1.0, 1.0, "a = 1, b = 1"),
    _tanh(1.0, 2.0, "a = 1, b = 2"),
    _tanh(1.7159, 2 / 3, "a = 1.7159, b = 2/3"),
    Activation("hard limit", "", lambda w: w.Threshold(), literal.threshold()),
    Activation("ReLU", "", lambda w: w.ReLU(), literal.relu()),
)

SCALED: Final = "scaled tanh"
"""1.7159·tanh(2v/3)."""
HIDDEN: Final[Mapping[str, Callable[[ModuleType], Any]]] = {
    "logistic": lambda w: w.Logistic(),
    "tanh": lambda w: w.Tanh(),
    SCALED: lambda w: w.Tanh.lecun(),
    "ReLU": lambda w: w.ReLU(),
}
"""What hidden layers are compared with: name → how either wing builds it."""
