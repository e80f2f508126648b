"""The exercises of homework.py, solved: NumPy only, every gradient by the formula on the slide.

A forward function returns its result and a cache, whatever its backward function needs. dout is ∂J/∂out, the gradient
that arrives from above; a backward function turns it into ∂J/∂x, ∂J/∂w and ∂J/∂b.
"""

import numpy as np


def linear_forward(x, w, b):
    """out[n, m] = Σ_d x[n, d] · w[d, m] + b[m]."""
    return x @ w + b, (x, w)


def linear_backward(dout, cache):
    """dx = dout · wᵀ, dw = xᵀ · dout, db = Σ_n dout[n]."""
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


def sigmoid_forward(x):
    """out = 1/(1 + exp(−x)); with exp of negative numbers only, so that it never overflows."""
    exp = np.exp(-np.abs(x))
    out = np.where(x >= 0, 1, exp) / (1 + exp)
    return out, out


def sigmoid_backward(dout, cache):
    """dx = dout · f′, f′ = f(1 − f)."""
    out = cache
    return dout * out * (1 - out)


def tanh_forward(x):
    """out = tanh(x)."""
    out = np.tanh(x)
    return out, out


def tanh_backward(dout, cache):
    """dx = dout · f′, f′ = 1 − f²."""
    out = cache
    return dout * (1 - out * out)


def relu_forward(x):
    """out = max(x, 0)."""
    return np.maximum(x, 0), x


def relu_backward(dout, cache):
    """dx = dout where x > 0, and 0 elsewhere."""
    x = cache
    return np.where(x > 0, dout, 0)


def loss_forward(scores, labels):
    """J = −1/N Σ_n ln p[n, labels[n]], p = softmax(scores); shifted by the maximum, so that exp never overflows."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    exp = np.exp(shifted)
    total = exp.sum(axis=1)
    losses = np.log(total) - shifted[np.arange(len(labels)), labels]
    return losses.mean(), (exp / total[:, None], labels)


def loss_backward(cache):
    """dscores = (p − onehot(labels)) / N."""
    p, labels = cache
    dscores = p.copy()
    dscores[np.arange(len(labels)), labels] -= 1
    return dscores / len(labels)


def taps(x, kernel, stride):
    """For every place (i, j) in the window: (i, j), and the view of x that holds it for all windows at once."""
    (kh, kw), (rows, cols) = kernel, ((x.shape[axis] - kernel[axis - 2]) // stride + 1 for axis in (2, 3))
    for i, j in np.ndindex(kh, kw):
        yield (i, j), x[:, :, i : i + stride * rows : stride, j : j + stride * cols : stride]


def conv_forward(x, w, b, stride=1, padding=0):
    """out[n, o, p, q] = b[o] + Σ_cij w[o, c, i, j] · x[n, c, p·stride + i − padding, q·stride + j − padding]."""
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    out = sum(np.einsum("nchw,oc->nohw", tap, w[:, :, i, j]) for (i, j), tap in taps(padded, w.shape[2:], stride))
    return out + b[:, None, None], (padded, w, stride, padding)


def conv_backward(dout, cache):
    """Each product w · x of the forward pass hands dout · w to its x, and dout · x to its w."""
    padded, w, stride, padding = cache
    dpadded, dw = np.zeros_like(padded), np.zeros_like(w)
    for (i, j), tap in taps(padded, w.shape[2:], stride):
        dw[:, :, i, j] = np.einsum("nohw,nchw->oc", dout, tap)
    for (i, j), dtap in taps(dpadded, w.shape[2:], stride):
        dtap += np.einsum("nohw,oc->nchw", dout, w[:, :, i, j])
    height, width = padded.shape[2] - 2 * padding, padded.shape[3] - 2 * padding
    dx = dpadded[:, :, padding : padding + height, padding : padding + width]
    return dx, dw, dout.sum(axis=(0, 2, 3))


def maxpool_forward(x, size=2, stride=2):
    """out[n, c, p, q] = max_ij x[n, c, p·stride + i, q·stride + j]."""
    out = np.full(1, -np.inf, x.dtype)
    for _, tap in taps(x, (size, size), stride):
        out = np.where(tap > out, tap, out)
    return out, (x, out, size, stride)


def maxpool_backward(dout, cache):
    """dout goes to the entry of its window that won; of equal ones, to the first."""
    x, out, size, stride = cache
    dx, waiting = np.zeros_like(x), np.ones_like(out, dtype=bool)
    for (_, tap), (_, dtap) in zip(taps(x, (size, size), stride), taps(dx, (size, size), stride), strict=True):
        wins = waiting & (tap == out)
        dtap += np.where(wins, dout, 0)
        waiting &= ~wins
    return dx


def subsample_forward(x, w, b, size=2, stride=2):
    """out[n, c, p, q] = w[c] · Σ_ij x[n, c, p·stride + i, q·stride + j] + b[c]."""
    sums = sum(tap for _, tap in taps(x, (size, size), stride))
    return w[:, None, None] * sums + b[:, None, None], (x, w, sums, size, stride)


def subsample_backward(dout, cache):
    """Every entry of a window gets dout · w of that window; dw[c] = Σ dout · sum of the window, db[c] = Σ dout."""
    x, w, sums, size, stride = cache
    dx = np.zeros_like(x)
    for _, dtap in taps(dx, (size, size), stride):
        dtap += w[:, None, None] * dout
    return dx, (dout * sums).sum(axis=(0, 2, 3)), dout.sum(axis=(0, 2, 3))


class SGD:
    """Gradient descent with momentum: v ← momentum · v + g, p ← p − lr · v, with v = 0 before the first step."""

    def __init__(self, lr, momentum=0.0):
        self.lr, self.momentum = lr, momentum
        self.velocity = {}

    def step(self, params, grads):
        """Update the arrays in `params` in place, by the gradients of the same names."""
        for name, parameter in params.items():
            self.velocity[name] = self.momentum * self.velocity.get(name, 0) + grads[name]
            parameter -= self.lr * self.velocity[name]


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
        """J and the gradients of all parameters by name; without labels the scores."""
        p = self.params
        hidden, first = linear_forward(x, p["w1"], p["b1"])
        active, squash = tanh_forward(hidden)
        scores, second = linear_forward(active, p["w2"], p["b2"])
        if labels is None:
            return scores
        value, cache = loss_forward(scores, labels)
        grads = {}
        dscores = loss_backward(cache)
        dactive, grads["w2"], grads["b2"] = linear_backward(dscores, second)
        dhidden = tanh_backward(dactive, squash)
        _, grads["w1"], grads["b1"] = linear_backward(dhidden, first)
        return value, grads
