"""Networks as people write them: stateful layers, attributes with gradients beside them, loss(x, y) and params."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Dense:
    """x @ W + b, with W (in, out) and b (1, out); keeps its pass on itself."""

    def __init__(self, n: int, m: int, dtype: Any = np.float64) -> None:
        self.W = np.zeros((n, m), dtype)
        self.b = np.zeros((1, m), dtype)
        self.dW = self.db = None

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy: Any) -> Any:
        self.dW = self.x.T @ dy
        self.db = dy.sum(axis=0, keepdims=True)
        return dy @ self.W.T


class Relu:
    def forward(self, x: Any) -> Any:
        self.on = x > 0
        return np.where(self.on, x, 0)

    def backward(self, dy: Any) -> Any:
        return np.where(self.on, dy, 0)


class Squash:
    def forward(self, x: Any) -> Any:
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy: Any) -> Any:
        return dy * (1 - self.y**2)


class Stack:
    """Stateful layers in a list."""

    def __init__(self, layers: list[Any]) -> None:
        self.layers = layers

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy: Any) -> Any:
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy


class Joined:
    """Layers as attributes; what stands between them is done on the way."""

    def __init__(self, dtype: Any = np.float64) -> None:
        self.first = Dense(5, 6, dtype)
        self.second = Dense(6, 3, dtype)

    def forward(self, x: Any) -> Any:
        self.h = np.tanh(self.first.forward(x))
        return self.second.forward(self.h)

    def backward(self, dy: Any) -> Any:
        return self.first.backward(self.second.backward(dy) * (1 - self.h**2))


class Flat:
    """Everything in attributes of one object; no layer can be seen, and no dx is returned."""

    def __init__(self, dtype: Any = np.float64, *, scale: float = 1.0) -> None:
        self.W1, self.b1 = np.zeros((5, 6), dtype), np.zeros(6, dtype)
        self.W2, self.b2 = np.zeros((6, 3), dtype), np.zeros(3, dtype)
        self.grad: dict[str, Any] = {}
        self.scale = np.dtype(dtype).type(scale)

    def forward(self, x: Any) -> Any:
        self.x = x
        self.h = np.tanh(x @ self.W1 + self.b1)
        return self.h @ self.W2 + self.b2

    def backward(self, dy: Any) -> None:
        dh = (dy @ self.W2.T) * (1 - self.h**2)
        self.dW2, self.db2 = self.h.T @ dy * self.scale, dy.sum(axis=0) * self.scale
        self.dW1, self.db1 = self.x.T @ dh, dh.sum(axis=0)


class TwoLayerNet:
    """As cs231n has it: loss(x, y) -> loss, grads; loss(x) -> scores; params."""

    def __init__(self, dtype: Any = np.float64) -> None:
        self.params = {
            "W1": np.zeros((5, 6), dtype),
            "W2": np.zeros((6, 3), dtype),
            "b1": np.zeros(6, dtype),
            "b2": np.zeros(3, dtype),
        }
        self.averaged = True
        self.squash = True
        self.masked = True

    def loss(self, x: Any, y: Any = None) -> Any:
        p = self.params
        z = x @ p["W1"] + p["b1"]
        h = np.maximum(z, 0) if self.squash else z
        scores = h @ p["W2"] + p["b2"]
        if y is None:
            return scores
        shifted = scores - scores.max(axis=1, keepdims=True)
        exp = np.exp(shifted)
        total = exp.sum(axis=1, keepdims=True)
        rows = np.arange(len(x))
        loss = (np.log(total[:, 0]) - shifted[rows, y]).mean()
        d = exp / total
        d[rows, y] -= 1
        if self.averaged:
            d /= len(x)
        dh = d @ p["W2"].T * ((h > 0) if self.squash and self.masked else 1)
        return loss, {"W2": h.T @ d, "b2": d.sum(axis=0), "W1": x.T @ dh, "b1": dh.sum(axis=0)}


def softmax_loss(scores: Any, y: Any) -> tuple[Any, Any]:
    """Value and gradient in one function."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    exp = np.exp(shifted)
    total = exp.sum(axis=1, keepdims=True)
    rows = np.arange(len(y))
    d = exp / total
    d[rows, y] -= 1
    return (np.log(total[:, 0]) - shifted[rows, y]).mean(), d / scores.dtype.type(len(y))


class SoftmaxLoss:
    """A loss that keeps its pass on itself."""

    def forward(self, scores: Any, y: Any) -> Any:
        value, self.d = softmax_loss(scores, y)
        return value

    def backward(self) -> Any:
        return self.d


class Custom(nn.Module):
    """A torch module with functions between its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.fc = nn.Linear(18, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.max_pool2d(torch.relu(self.conv(x)), 2)
        return self.fc(x.flatten(1))


class Residual(nn.Module):
    """No chain: the input is added again."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) + x
