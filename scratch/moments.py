"""Samples that come in batches: their mean and scatter, and the axes along which they vary by more than rounding."""

import math
from typing import Any, NamedTuple

import numpy as np

from scratch.validation import Array

TIE = 1e-6
"""Entries of an axis whose sizes differ by less than this, relatively, are equal: rounding must not choose a sign."""


class Moments(NamedTuple):
    """What a standardizer has to remember of any number of samples.

    samples: how many, N. mean: m, (D,). factor: R with RᵀR = Σ(x − m)(x − m)ᵀ, at most D rows (·, D). All float64.
    """

    samples: int
    mean: Array
    factor: Array


def no_moments(num_features: int) -> Moments:
    """Of no samples."""
    return Moments(0, np.zeros(num_features), np.zeros((0, num_features)))


def add_samples(before: Moments, x: Array) -> Moments:
    """The moments of the samples so far and those in x (N, D): what Chan et al. merge, with the scatter's root for it.

    With δ = mean(x) − m, n samples before, N in x:
    m        ← m + δ N/(n + N)
    Σ(…)(…)ᵀ ← Σ(…)(…)ᵀ + Σ(x − mean(x))(x − mean(x))ᵀ + δδᵀ nN/(n + N)

    Each of the three terms is a product RᵀR. One below the other their R make the new one, which QR brings back to D
    rows. Summing the products themselves would lose half of the digits: variances below eps of the largest.
    """
    x = x.astype(np.float64, copy=False)
    mean = x.mean(axis=0)
    mean += (x - mean).mean(axis=0)  # takes away what the first sum lost to an offset; exact for a constant pixel
    total = before.samples + len(x)
    delta = mean - before.mean
    correction = math.sqrt(before.samples * len(x) / total) * delta
    # R alone is a plain array, which NumPy's annotations do not say.
    factor: Any = np.linalg.qr(np.vstack([before.factor, x - mean, correction]), mode="r")
    return Moments(total, before.mean + delta * (len(x) / total), factor)


def principal_axes(moments: Moments) -> tuple[Array, Array]:
    """Variances (D,) from the largest down, and the unit vectors (D, D), in rows, along which they are measured.

    R = U diag(s) A gives the covariance RᵀR/N = Aᵀ diag(s²/N) A. Of an axis and its opposite the one counts whose
    largest entry is positive; of several largest, the first.
    """
    _, singular, axes = np.linalg.svd(moments.factor)
    variances = np.zeros(len(moments.mean))
    variances[: len(singular)] = singular * singular / moments.samples
    size = np.abs(axes)
    largest = (size >= (1 - TIE) * size.max(axis=1, keepdims=True)).argmax(axis=1)
    axes *= np.sign(axes[np.arange(len(axes)), largest])[:, None]
    return variances, axes


def rounding(moments: Moments, variances: Array, axes: Array, eps: float) -> Array:
    """The variance (D,) that rounding alone can put along each axis, for N samples of a dtype with this eps.

    (max(N, D)·eps(float64))²·σ_1² + (D·eps² + N·eps(float64)²)·Σ_j A_kj²·mean(x_j²)

    First the decomposition, by `numpy.linalg.matrix_rank`'s rule, squared, as a variance is. Then the inputs: each is
    rounded relatively to itself, by eps/2, whatever stands in other features; along an axis the errors of D features
    add up to √D times their root sum of squares at most. The mean drifts by some √N roundings over N batches of one.
    """
    samples, features, double = moments.samples, len(moments.mean), float(np.finfo(np.float64).eps)
    squares = variances @ axes**2 + moments.mean**2
    inputs = (features * eps**2 + samples * double**2) * (axes**2 @ squares)
    total: Array = inputs + (max(samples, features) * double) ** 2 * variances[0]
    return total
