"""scikit-learn's multilayer perceptron: the gradient that its own optimisers get, of the whole network at once.

Its activations and their derivatives, which work in place on a unit's output, make function pairs beside.
"""

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier
from sklearn.neural_network._base import ACTIVATIONS, DERIVATIVES


def pair(name: str) -> tuple[Any, Any]:
    """An activation."""

    def forward(x: Any) -> Any:
        out = np.array(x)
        ACTIVATIONS[name](out)
        return out, out

    def backward(dout: Any, cache: Any) -> Any:
        delta = np.array(dout)
        DERIVATIVES[name](cache, delta)
        return delta

    return forward, backward


PAIRS = {name: pair(name) for name in ("tanh", "logistic", "relu", "identity")}
WITHOUT: dict[str, dict[str, str]] = {}


class Perceptron:
    """`loss(x, y)` and `params`, as courses have them; weights are (in, out)."""

    def __init__(self, sizes: tuple[int, ...], activation: str, dtype: str) -> None:
        inputs, *hidden, classes = sizes
        self.net = MLPClassifier(tuple(hidden), activation=activation, alpha=0.0, random_state=0)
        self.classes = classes
        some = np.arange(classes * inputs).reshape(classes, inputs).astype(dtype)
        self.net.partial_fit(
            some, np.arange(classes), classes=np.arange(classes)
        )  # makes the parameters; they are replaced
        layers = zip(self.net.coefs_, self.net.intercepts_, strict=True)
        self.params = {f"{p}{i}": a for i, both in enumerate(layers, 1) for p, a in zip("Wb", both, strict=True)}

    def loss(self, x: Any, y: Any = None) -> Any:
        """The mean of −ln softmax at the labels, and its gradients by parameter; without labels the logits."""
        depth = self.net.n_layers_ - 1
        self.net.coefs_ = [self.params[f"W{i}"] for i in range(1, depth + 1)]
        self.net.intercepts_ = [self.params[f"b{i}"] for i in range(1, depth + 1)]
        activations: list[Any] = [x, *[None] * depth]
        self.net.out_activation_ = "identity" if y is None else "softmax"
        if y is None:
            return self.net._forward_pass(activations)[-1]
        rows = np.eye(self.classes, dtype=x.dtype)[y]
        lists = ([None] * depth for _ in range(3))
        value, weights, biases = self.net._backprop(x, rows, None, activations, *lists)
        grads = {f"W{i}": dw for i, dw in enumerate(weights, 1)} | {f"b{i}": db for i, db in enumerate(biases, 1)}
        return value, grads
