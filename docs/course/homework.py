"""Back-propagation by hand: replace every `raise NotImplementedError`, then run `pytest`.

A forward function returns its result and a cache: whatever its backward function will need. A backward function gets
dout = ∂J/∂out, the gradient that arrives from above, and the cache; it returns the gradients of the forward function's
arrays, in their order. NumPy only. No function changes its arguments, and results have the dtype of x.

Shapes: N samples, D inputs, M outputs; C channels of H×W pixels, O output channels.
"""

import numpy as np


def linear_forward(x, w, b):
    """out[n, m] = Σ_d x[n, d] · w[d, m] + b[m]: x (N, D), w (D, M), b (M,) -> out (N, M), cache."""
    raise NotImplementedError


def linear_backward(dout, cache):
    """dout (N, M) -> dx (N, D), dw (D, M), db (M,)."""
    raise NotImplementedError


def sigmoid_forward(x):
    """out = 1/(1 + exp(−x)), of any shape -> out, cache. exp must not overflow: try x = −1000."""
    raise NotImplementedError


def sigmoid_backward(dout, cache):
    """dout -> dx. Write f′ in terms of f."""
    raise NotImplementedError


def tanh_forward(x):
    """out = tanh(x), of any shape -> out, cache."""
    raise NotImplementedError


def tanh_backward(dout, cache):
    """dout -> dx. Write f′ in terms of f."""
    raise NotImplementedError


def relu_forward(x):
    """out = max(x, 0), of any shape -> out, cache."""
    raise NotImplementedError


def relu_backward(dout, cache):
    """dout -> dx. At x = 0 the derivative is taken to be 0."""
    raise NotImplementedError


def loss_forward(scores, labels):
    """J = −1/N Σ_n ln softmax(scores[n])[labels[n]]: scores (N, K), labels (N,) of ints -> J, cache.

    exp must not overflow: try scores of 1000.
    """
    raise NotImplementedError


def loss_backward(cache):
    """-> dscores (N, K). Simplify on paper first: neither a logarithm nor a Jacobian is left."""
    raise NotImplementedError


def conv_forward(x, w, b, stride=1, padding=0):
    """out[n, o, p, q] = b[o] + Σ_cij w[o, c, i, j] · x[n, c, p·stride + i − padding, q·stride + j − padding].

    x (N, C, H, W), w (O, C, kh, kw), b (O,) -> out (N, O, H′, W′), cache, with H′ = ⌊(H + 2·padding − kh)/stride⌋ + 1
    and W′ likewise; x is 0 where it ends.
    """
    raise NotImplementedError


def conv_backward(dout, cache):
    """dout (N, O, H′, W′) -> dx (N, C, H, W), dw (O, C, kh, kw), db (O,)."""
    raise NotImplementedError


def maxpool_forward(x, size=2, stride=2):
    """out[n, c, p, q] = max_ij x[n, c, p·stride + i, q·stride + j], i and j from 0 to size − 1.

    x (N, C, H, W) -> out (N, C, H′, W′), cache; rows and columns that do not fill a window are left out.
    """
    raise NotImplementedError


def maxpool_backward(dout, cache):
    """dout (N, C, H′, W′) -> dx (N, C, H, W). Of equal entries in a window the first one has won."""
    raise NotImplementedError


def subsample_forward(x, w, b, size=2, stride=2):
    """LeNet-5's sub-sampling: out[n, c, p, q] = w[c] · Σ_ij x[n, c, p·stride + i, q·stride + j] + b[c].

    x (N, C, H, W), w (C,), b (C,) -> out (N, C, H′, W′), cache.
    """
    raise NotImplementedError


def subsample_backward(dout, cache):
    """dout (N, C, H′, W′) -> dx (N, C, H, W), dw (C,), db (C,)."""
    raise NotImplementedError


class SGD:
    """Gradient descent with momentum: v ← momentum · v + g, p ← p − lr · v, with v = 0 before the first step."""

    def __init__(self, lr, momentum=0.0):
        self.lr, self.momentum = lr, momentum
        self.velocity = {}

    def step(self, params, grads):
        """Update the arrays in `params` in place, by the gradients of the same names."""
        raise NotImplementedError


class TwoLayerNet:
    """Scores = linear(tanh(linear(x))), with the softmax loss behind it."""

    def __init__(self, inputs, hidden, classes, rng):
        self.params = {
            "w1": rng.normal(size=(inputs, hidden)) / np.sqrt(inputs),
            "b1": np.zeros(hidden),
            "w2": rng.normal(size=(hidden, classes)) / np.sqrt(hidden),
            "b2": np.zeros(classes),
        }

    def loss(self, x, labels=None):
        """J and the gradients of all parameters by name: x (N, inputs), labels (N,) -> J, {"w1": …, "b1": …, …}.

        Without labels, the scores (N, classes) alone.
        """
        raise NotImplementedError
