"""A copy of `scratch` as stateful layers: forward(x), backward(dout), and the gradients on attributes dW and db."""

import inspect
from types import ModuleType
from typing import Any

from tests.users.pairs import CLASSES


class Stateful:
    """What all share: the pass is kept on the layer."""

    kind: Any

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.layer = self.kind(*args, **settings)
        self.cache: Any = None

    def forward(self, x: Any, *mask: Any) -> Any:
        """The output."""
        out, self.cache = self.layer.forward(x, *mask)
        return out

    def backward(self, dout: Any) -> Any:
        """The gradient of the input."""
        return self.layer.backward(dout, self.cache)[0]


class Weighted(Stateful):
    """With W and b."""

    @property
    def W(self) -> Any:
        """The weights."""
        return self.layer.weight

    @W.setter
    def W(self, weight: Any) -> None:
        self.layer.weight = weight

    @property
    def b(self) -> Any:
        """The bias, or None."""
        return self.layer.bias

    @b.setter
    def b(self, bias: Any) -> None:
        self.layer.bias = bias

    def backward(self, dout: Any) -> Any:
        """The gradient of the input; the others on dW and db."""
        dx, grads = self.layer.backward(dout, self.cache)
        self.dW, self.db = grads["weight"], grads.get("bias")
        return dx


class Loss:
    """loss = forward(output, target); dout = backward()."""

    kind: Any

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.loss = self.kind(*args, **settings)
        self.cache: Any = None

    def forward(self, output: Any, target: Any) -> Any:
        """The value."""
        value, self.cache = self.loss.forward(output, target)
        return value

    def backward(self) -> Any:
        """The gradient of the output."""
        return self.loss.backward(self.cache)


class Penalty(Loss):
    """value = forward(params); grads = backward()."""

    def forward(self, params: Any) -> Any:  # type: ignore[override]
        """The value."""
        value, self.cache = self.loss.forward(params)
        return value


class Optimizer:
    """step(params, grads) in place, and the velocities on an attribute."""

    kind: Any

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.rule = self.kind(*args, **settings)

    @property
    def velocity(self) -> Any:
        """The state."""
        return self.rule.velocity

    def step(self, params: Any, grads: Any) -> None:
        """Update in place."""
        self.rule.step(params, grads)


BASES = {
    **dict.fromkeys(("linear", "conv2d", "conv1d", "subsample2d"), Weighted),
    **dict.fromkeys(("cross_entropy", "squared_error"), Loss),
    "l2_penalty": Penalty,
    "sgd": Optimizer,
}


def stateful(wing: ModuleType, kind: str) -> type:
    """A class of the kind, made with the arguments of the copy's."""
    original = getattr(wing, CLASSES[kind])
    made = type(original.__name__, (BASES.get(kind, Stateful),), {"kind": original})
    made.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    return made
