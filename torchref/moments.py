"""Samples that come in batches: their mean and scatter, and the axes along which they vary by more than rounding."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

TIE = 1e-6
"""Entries of an axis whose sizes differ by less than this, relatively, are equal: rounding must not choose a sign."""


class Moments(NamedTuple):
    """How many samples, their mean (D,), and R (at most D rows, D) with RᵀR = Σ(x − mean)(x − mean)ᵀ; float64."""

    samples: int
    mean: Tensor
    factor: Tensor


def no_moments(num_features: int, device: torch.device | str | None = None) -> Moments:
    """Of no samples."""
    mean = torch.zeros(num_features, dtype=torch.float64, device=device)
    return Moments(0, mean, mean.new_zeros(0, num_features))


def add_samples(before: Moments, x: Tensor) -> Moments:
    """The moments of the samples so far and those in x (N, D), by the merge of Chan et al. on the scatter's root."""
    x = x.double()
    mean = x.mean(dim=0)
    mean = mean + (x - mean).mean(dim=0)
    total = before.samples + len(x)
    between = mean - before.mean
    rows = torch.vstack([before.factor, x - mean, between * math.sqrt(before.samples * len(x) / total)])
    return Moments(total, before.mean.lerp(mean, len(x) / total), torch.linalg.qr(rows, mode="r").R)


def principal_axes(moments: Moments) -> tuple[Tensor, Tensor]:
    """Variances (D,) from the largest down, and the axes (D, D), in rows; the largest entry of each is positive."""
    _, singular, axes = torch.linalg.svd(moments.factor)
    variances = torch.zeros_like(moments.mean)
    variances[: len(singular)] = singular.square() / moments.samples
    size = axes.abs()
    # Of entries that are equal, the first: argmax takes that of the largest, which is 1 here.
    largest = (size >= (1 - TIE) * size.amax(dim=1, keepdim=True)).int().argmax(dim=1, keepdim=True)
    return variances, axes * axes.gather(1, largest).sign()


def rounding(moments: Moments, variances: Tensor, axes: Tensor, eps: float) -> Tensor:
    """The variance (D,) that rounding alone can put along each axis, for N samples of a dtype with this eps.

    (max(N, D)·eps(float64))²·σ_1² + (D·eps² + N·eps(float64)²)·Σ_j A_kj²·mean(x_j²)
    """
    samples, features, double = moments.samples, len(moments.mean), torch.finfo(torch.float64).eps
    decomposed = (max(samples, features) * double) ** 2 * variances[0]
    shares = axes.square()
    mean_square = shares.T @ variances + moments.mean.square()
    return decomposed + shares @ mean_square * (features * eps**2 + samples * double**2)
