"""Code as courses and books have it: layers, losses and optimisers by hand, each in a style of its own."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


# --- Function pairs, with explicit caches. ---
def linear_forward(x: Any, w: Any, b: Any) -> Any:
    return x @ w.T + b, (x, w)


def linear_backward(dout: Any, cache: Any) -> Any:
    x, w = cache
    return dout @ w, dout.T @ x, dout.sum(axis=0)


def affine_forward(x: Any, W: Any, b: Any) -> Any:
    """As x @ W."""
    return x @ W + b, (x, W)


def affine_backward(dout: Any, cache: Any) -> Any:
    x, w = cache
    return {"dx": dout @ w.T, "dW": x.T @ dout, "db": dout.sum(axis=0)}


def pair_of(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def windows(x: Any, size: tuple[int, int], stride: Any) -> Any:
    down, right = pair_of(stride)
    return sliding_window_view(x, size, axis=(2, 3))[:, :, ::down, ::right]


def conv_forward(x: Any, w: Any, b: Any = None, stride: Any = 1, pad: Any = 0) -> Any:
    (above, left), padding = pair_of(pad), ((0, 0), (0, 0))
    padded = np.pad(x, (*padding, (above, above), (left, left)))
    out = np.einsum("nchwij,ocij->nohw", windows(padded, w.shape[2:], stride), w)
    return (out if b is None else out + b[:, None, None]), (padded, w, b, stride, pad)


def conv_backward(dout: Any, cache: Any) -> Any:
    padded, w, b, stride, pad = cache
    (above, left), (down, right) = pair_of(pad), pair_of(stride)
    dw = np.einsum("nchwij,nohw->ocij", windows(padded, w.shape[2:], stride), dout)
    dpadded = np.zeros_like(padded)
    rows, columns = dout.shape[2:]
    for i, j in np.ndindex(w.shape[2:]):
        view = dpadded[:, :, i : i + down * rows : down, j : j + right * columns : right]
        view += np.einsum("nohw,oc->nchw", dout, w[:, :, i, j])
    height, width = padded.shape[2] - 2 * above, padded.shape[3] - 2 * left
    dx = dpadded[:, :, above : above + height, left : left + width]
    return dx, dw, (None if b is None else dout.sum(axis=(0, 2, 3)))


def conv_forward_nhwc(a_prev: Any, kernel: Any, biases: Any, conv_param: Any) -> Any:
    """Channels last, the settings in a dict."""
    stride, pad = conv_param["stride"], conv_param["pad"]
    out, cache = conv_forward(a_prev.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1), biases[0], stride, pad)
    return out.transpose(0, 2, 3, 1), cache


def conv_backward_nhwc(dZ: Any, cache: Any) -> Any:
    dx, dw, db = conv_backward(dZ.transpose(0, 3, 1, 2), cache)
    return dx.transpose(0, 2, 3, 1), dw.transpose(2, 3, 1, 0), db[None]


def avgpool_forward(x: Any, pool_param: Any) -> Any:
    """As cs231n has it."""
    size = pool_param["pool_height"], pool_param["pool_width"]
    return windows(x, size, pool_param["stride"]).mean(axis=(4, 5), dtype=x.dtype), (x, pool_param)


def avgpool_backward(dout: Any, cache: Any) -> Any:
    x, pool_param = cache
    size = height, width = pool_param["pool_height"], pool_param["pool_width"]
    (down, right), (rows, columns) = pair_of(pool_param.get("stride")), dout.shape[2:]
    dx = np.zeros_like(x)
    for i, j in np.ndindex(size):
        dx[:, :, i : i + down * rows : down, j : j + right * columns : right] += dout / (height * width)
    return dx


# --- Activations. ---
def sigmoid(z: Any) -> Any:
    exp = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, exp) / (1 + exp)


def sigmoid_prime(a: Any) -> Any:
    """By the output."""
    return a * (1 - a)


def sigmoid_slope(z: Any) -> Any:
    """By the input."""
    return sigmoid(z) * (1 - sigmoid(z))


def tanh_backward(dA: Any, Z: Any) -> Any:
    return dA * (1 - np.tanh(Z) ** 2)


def softmax(z: Any) -> Any:
    exp = np.exp(z - z.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def softmax_jacobian(s: Any) -> Any:
    """(N, K, K)."""
    return np.einsum("nk,kj->nkj", s, np.eye(s.shape[1], dtype=s.dtype)) - np.einsum("nk,nj->nkj", s, s)


class Sigmoid:
    """As an object to be called, with its derivative."""

    def __call__(self, x: Any) -> Any:
        return sigmoid(x)

    def gradient(self, x: Any) -> Any:
        return sigmoid_slope(x)


# --- Layers as objects. ---
class Affine:
    """Made of its parameters; gradients on attributes."""

    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b, self.x = W, b, None

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        assert self.x is not None
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T


class Dense:
    """Returns nothing: results on attributes; the bias has one row."""

    def __init__(self, n_inputs: int, n_neurons: int) -> None:
        self.weights = np.random.randn(n_inputs, n_neurons)  # noqa: NPY002
        self.biases = np.zeros((1, n_neurons))

    def forward(self, inputs: Any) -> None:
        self.inputs = inputs
        self.output = inputs @ self.weights + self.biases

    def backward(self, dvalues: Any) -> None:
        self.dweights, self.dbiases = self.inputs.T @ dvalues, dvalues.sum(axis=0, keepdims=True)
        self.dinputs = dvalues @ self.weights.T


class Updating:
    """Its backward part takes a learning rate and updates the parameters."""

    def __init__(self, input_size: int, output_size: int) -> None:
        self.weights, self.bias = np.ones((input_size, output_size)), np.ones((1, output_size))

    def forward_propagation(self, input_data: Any) -> Any:
        self.input = input_data
        return input_data @ self.weights + self.bias

    def backward_propagation(self, output_error: Any, learning_rate: float) -> Any:
        input_error = output_error @ self.weights.T
        self.weights -= learning_rate * (self.input.T @ output_error)
        self.bias -= learning_rate * output_error.sum(axis=0, keepdims=True)
        return input_error


class Listed:
    """Parameters and gradients in lists; the gradients' arrays are filled again and again."""

    def __init__(self, W: Any, b: Any) -> None:
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.params[0] + self.params[1]

    def backward(self, dout: Any) -> Any:
        self.grads[0][...], self.grads[1][...] = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.params[0].T


class InDicts:
    """Parameters and gradients in dicts, gradients added up until they are set to zero."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.params = {"W": np.zeros((out_features, in_features))} | ({"b": np.zeros(out_features)} if bias else {})
        self.grads: dict[str, Any] = {}

    def zero_grad(self) -> None:
        self.grads = {name: np.zeros_like(array) for name, array in self.params.items()}

    def __call__(self, x: Any) -> Any:
        self._x = x
        return x @ self.params["W"].T + self.params.get("b", x.dtype.type(0))

    def backward(self, g: Any) -> Any:
        self.grads["W"] += g.T @ self._x
        if "b" in self.grads:
            self.grads["b"] += g.sum(axis=0)
        return g @ self.params["W"]


class Parameter:
    """An array with its gradient."""

    def __init__(self, data: Any) -> None:
        self.data, self.grad = data, None


class Wrapped:
    """Parameters as objects with data and grad, in attributes; explicit caches."""

    def __init__(self, nin: int, nout: int) -> None:
        self.w, self.b = Parameter(np.zeros((nout, nin))), Parameter(np.zeros(nout))

    def forward(self, x: Any) -> Any:
        return x @ self.w.data.T + self.b.data, x

    def backward(self, grad_output: Any, ctx: Any) -> Any:
        self.w.grad, self.b.grad = grad_output.T @ ctx, grad_output.sum(axis=0)
        return grad_output @ self.w.data


class Given:
    """Its parameters are to be had from a method, to be written in place; it gives its gradients by a method too."""

    def __init__(self, fan_in: int, fan_out: int, dtype: Any = None) -> None:
        self._store = (np.zeros((fan_out, fan_in), dtype), np.zeros(fan_out, dtype))

    def get_params(self) -> dict[str, Any]:
        return dict(zip(("w", "b"), self._store, strict=True))

    def forward(self, x: Any) -> Any:
        self._input = x
        return x @ self._store[0].T + self._store[1]

    def backward(self, delta: Any) -> Any:
        self._found = {"w": delta.T @ self._input, "b": delta.sum(axis=0)}
        return delta @ self._store[0]

    def gradients(self) -> dict[str, Any]:
        return self._found


# --- Losses. ---
def softmax_loss(x: Any, y: Any) -> Any:
    """The loss and its gradient at once; labels."""
    shifted, rows = x - x.max(axis=1, keepdims=True), np.arange(len(x))
    logsumexp = np.log(np.exp(shifted).sum(axis=1))
    dx = np.exp(shifted - logsumexp[:, None])
    dx[rows, y] -= 1
    return (logsumexp - shifted[rows, y]).mean(), dx / len(x)


class SoftmaxWithLoss:
    """One-hot targets."""

    def forward(self, x: Any, t_onehot: Any) -> Any:
        self.t, self.y = t_onehot, softmax(x)
        shifted = x - x.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return -(t_onehot * logs).sum() / len(x)

    def backward(self, dout: int = 1) -> Any:
        return dout * (self.y - self.t) / len(self.t)


class Leaving:
    """Half the squared error; leaves its gradient on the object."""

    def calculate(self, y_pred: Any, y_true: Any) -> Any:
        return ((y_pred - y_true) ** 2).sum() / 2 / len(y_pred)

    def backward(self, dvalues: Any, y_true: Any) -> None:
        self.dinputs = (dvalues - y_true) / len(dvalues)


def half_squared(y_hat: Any, y: Any) -> Any:
    return ((y_hat - y) ** 2).sum() / 2 / len(y_hat)


def half_squared_prime(y_hat: Any, y: Any) -> Any:
    return (y_hat - y) / len(y_hat)


# --- Penalties and optimisers. ---
def l2(w: Any, lam: float) -> Any:
    return 0.5 * lam * np.sum(w * w)


def l2_grad(w: Any, lam: float) -> Any:
    return lam * w


def sgd(w: Any, dw: Any, config: Any = None) -> Any:
    """As cs231n has it."""
    config.setdefault("learning_rate", 1e-2)
    return w - config["learning_rate"] * dw, config


def sgd_momentum(w: Any, dw: Any, config: Any = None) -> Any:
    v = config.get("velocity", np.zeros_like(w))
    v = config["momentum"] * v - config["learning_rate"] * dw
    config["velocity"] = v
    return w + v, config


def with_velocity(w: Any, g: Any, v: Any, lr: float, mu: float) -> Any:
    """The velocity goes in and out."""
    v = mu * v + g
    return w - lr * v, v


def all_at_once(params: Any, grads: Any, lr: float) -> Any:
    """New arrays by name."""
    return {name: array - lr * grads[name] for name, array in params.items()}


class Momentum:
    """In place, by name."""

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr, self.momentum, self.v = lr, momentum, {}  # type: ignore[var-annotated]

    def update(self, params: Any, grads: Any) -> None:
        for name, array in params.items():
            self.v[name] = self.momentum * self.v.get(name, 0) - self.lr * grads[name]
            array += self.v[name]
