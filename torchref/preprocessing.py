"""Inputs made easy to learn from: mean removed, components decorrelated, their variances made equal."""

from collections.abc import Mapping
from typing import Literal, Self, TypeAlias, get_args

import torch
from torch import Tensor

from torchref.moments import Moments, add_samples, no_moments, principal_axes, rounding
from torchref.validation import (
    check_count,
    check_dtype,
    check_finite,
    check_mapping,
    check_number,
    check_shape,
    check_tensor,
    state_faults,
)

Stage: TypeAlias = Literal["centered", "decorrelated", "equalized"]
"""How far to go; each stage includes those before it."""

LARGEST = 1e140
"""Of an input's absolute values: sums of their squares are within float64."""
SMALLEST = 1e-280
"""Of a variance that counts: below it squares lose their digits."""
SLACK = 1e-6
"""By how much, relatively, rounding may have taken a state beyond what is exact."""


def check_spectrum(mean: Tensor, variances: Tensor, axes: Tensor) -> None:
    """Raise `ValueError` unless there are inputs with this mean (D,) and the covariance Aᵀ diag(σ²) A."""
    check_number("the least of state['variances']", float(variances.min()), least=0)
    rises = (variances.diff() > 0).nonzero()
    if len(rises):
        raise ValueError(f"state['variances'] rise after entry {int(rises[0])}, expected them from the largest down")
    for name, value, most in (("mean", mean, LARGEST), ("variances", variances, len(mean) * LARGEST**2)):
        largest = float(value.abs().max())
        if largest > most * (1 + SLACK):
            raise ValueError(f"state[{name!r}] has values of size {largest:g}, expected at most {most:g}")
    off = float((axes @ axes.T - torch.eye(len(axes), dtype=axes.dtype, device=axes.device)).abs().max())
    if not off <= SLACK:
        raise ValueError(f"state['axes'] are orthogonal unit vectors only up to {off:g}, expected {SLACK:g}")


class Standardizer:
    """Inputs with mean 0, and on request uncorrelated and of variance 1: z = (x − m)Aᵀ diag(σ)⁻¹, for rows.

    Not an `nn.Module`: it learns from inputs, not from a loss. `transform` can be differentiated all the same.

    Parameters
    ----------
    num_features:
        D, at least 1.
    stage:
        The last step taken: "centered" (x − m), "decorrelated" (times Aᵀ, the principal axes) or "equalized" (over σ,
        without the directions in which nothing varies).
    tolerance:
        A variance counts as 0 unless it is greater than this part of the largest, from 0 to below 1. None asks of each
        that it is greater than what rounding alone can put there (`rounding`). One of at most 1e-280 is 0 in any case.
    dtype:
        torch.float32 or torch.float64, of what comes and goes; statistics and arithmetic are in float64.
    device:
        Where the statistics live; None is the CPU.

    Attributes
    ----------
    count:
        N, how many samples it has learnt from; 0 before the first.
    mean:
        m (D,), float64; a copy, as are the following.
    axes:
        A (D, D), float64: orthogonal unit vectors in rows, in the order of `variances`.
    variances:
        σ² (D,), float64, from the largest down; over N, not N − 1.
    kept:
        Which variances count as greater than 0 (D,), booleans; they need not be the first.
    rank:
        How many they are.
    out_features:
        How many components `transform` gives: D, or `rank` when equalized.

    Raises
    ------
    TypeError, ValueError
        Where an argument is of another kind or out of its range.
    RuntimeError
        From all attributes but `count`, and all methods but those that learn, before anything has been learnt.

    Source: 改善性能的试探法 / 标准化输入, figure 4.11.
    """

    def __init__(
        self,
        num_features: int,
        stage: Stage = "equalized",
        *,
        tolerance: float | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        self.num_features = check_count("num_features", num_features)
        if stage not in get_args(Stage):
            raise ValueError(f"stage is {stage!r}, expected 'centered', 'decorrelated' or 'equalized'")
        self.stage = stage
        self.tolerance = None if tolerance is None else check_number("tolerance", tolerance, least=0, below=1)
        self.dtype = check_dtype("dtype", dtype)
        self._moments = no_moments(self.num_features, device)
        self._spectrum: tuple[Tensor, Tensor] | None = None

    def fit(self, x: Tensor) -> Self:
        """Forget everything and learn from x (N, num_features), N at least 1; return self.

        Raises
        ------
        TypeError, ValueError
            If x has another dtype or shape, no rows, or a value that is not finite or beyond ±1e140; nothing is
            forgotten or learnt then.
        """
        return self._learn(no_moments(self.num_features, self._moments.mean.device), x)

    def partial_fit(self, x: Tensor) -> Self:
        """Learn from one more batch, of any size N from 1 on; return self.

        Raises
        ------
        TypeError, ValueError
            As `fit` does; nothing of the batch is learnt then.
        """
        return self._learn(self._moments, x)

    def transform(self, x: Tensor) -> Tensor:
        """(N, num_features) -> (N, out_features).

        Raises
        ------
        TypeError, ValueError
            If x has another dtype or shape, or a value that is not finite.
        RuntimeError
            Before anything has been learnt.
        """
        mean = self.mean
        self._check("x", x, self.num_features)
        z = x - mean
        if self.stage != "centered":
            axes, spread = self._components()
            z = z @ axes.T / spread
        return z.to(self.dtype)

    def inverse_transform(self, z: Tensor) -> Tensor:
        """(N, out_features) -> (N, num_features): what `transform` made z of, in the directions it has kept.

        Raises
        ------
        TypeError, ValueError
            If z has another dtype or shape, or a value that is not finite.
        RuntimeError
            Before anything has been learnt.
        """
        mean = self.mean
        self._check("z", z, self.out_features)
        x = z.double()
        if self.stage != "centered":
            axes, spread = self._components()
            x = x * spread @ axes
        return (x + mean).to(self.dtype)

    @property
    def count(self) -> int:
        """How many samples it has learnt from."""
        return self._moments.samples

    @property
    def mean(self) -> Tensor:
        """The samples' mean (D,), float64."""
        self._check_fitted()
        return self._moments.mean.clone()

    @property
    def variances(self) -> Tensor:
        """The variance along each axis (D,), float64, from the largest down."""
        return self._principal()[0].clone()

    @property
    def axes(self) -> Tensor:
        """Orthogonal unit vectors in rows (D, D), float64, in the order of `variances`."""
        return self._principal()[1].clone()

    @property
    def kept(self) -> Tensor:
        """Along which axes the samples vary, by the tolerance (D,)."""
        variances, axes = self._principal()
        if self.tolerance is None:
            noise = rounding(self._moments, variances, axes, torch.finfo(self.dtype).eps)
        else:
            noise = self.tolerance * variances[:1]
        return variances > noise.clamp(min=SMALLEST)

    @property
    def rank(self) -> int:
        """In how many directions the samples vary, by the tolerance."""
        return int(self.kept.sum())

    @property
    def out_features(self) -> int:
        """How many components a transformed sample has."""
        self._check_fitted()
        return self.rank if self.stage == "equalized" else self.num_features

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of `count`, `mean`, `variances` and `axes`: same names, shapes and dtypes as in `scratch`."""
        # What is read of it is a copy already.
        mean, variances, axes = self.mean, self.variances, self.axes
        return {"count": torch.tensor(self.count), "mean": mean, "variances": variances, "axes": axes}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what another one, of either wing, has learnt.

        Where stage, tolerance and dtype are equal too, `transform` does the same then, sign by sign.

        Raises
        ------
        TypeError
            If `state` is no mapping.
        ValueError
            Listing every missing, unexpected, misshapen or mistyped entry, or naming a value that none can have;
            nothing has been loaded then.
        """
        check_mapping("state", state)
        mean = self._moments.mean
        own = {"count": torch.tensor(0), "mean": mean, "variances": mean, "axes": mean.diag()}
        if faults := state_faults(state, own, strict=True):
            raise ValueError("state does not fit Standardizer: " + "; ".join(faults))
        for name, value in state.items():
            check_finite(f"state[{name!r}]", value)
        count = check_count("state['count']", int(state["count"]))
        check_spectrum(state["mean"], state["variances"], state["axes"])
        mean, variances, axes = (state[name].to(mean.device, copy=True) for name in ("mean", "variances", "axes"))
        # Not the factor of whoever learnt it, but one whose RᵀR is the same.
        self._moments = Moments(count, mean, (count * variances).sqrt()[:, None] * axes)
        self._spectrum = variances, axes

    @torch.no_grad()
    def _learn(self, before: Moments, x: Tensor) -> Self:
        self._check("x", x, self.num_features)
        if not len(x):
            raise ValueError(f"x has shape {tuple(x.shape)}, expected at least one row to learn from")
        if (largest := float(x.abs().max())) > LARGEST:
            raise ValueError(f"x has values of size {largest:g}, expected at most {LARGEST:g}: squares would overflow")
        self._moments = add_samples(before, x)
        self._spectrum = None
        return self

    def _check(self, name: str, x: Tensor, width: int) -> None:
        check_tensor(name, x, self.dtype)
        check_shape(name, x, ("N", width))
        check_finite(name, x)

    def _check_fitted(self) -> None:
        if not self.count:
            raise RuntimeError("Standardizer has learnt from no samples yet, expected fit or partial_fit before")

    def _components(self) -> tuple[Tensor, Tensor]:
        """The axes (out_features, D) of what is given out, and what each component is divided by (out_features,)."""
        if self.stage == "decorrelated":
            return self.axes, torch.ones_like(self.variances)
        kept = self.kept
        return self.axes[kept], self.variances[kept].sqrt()

    def _principal(self) -> tuple[Tensor, Tensor]:
        """Variances and axes: worked out when first asked for, so that batches can follow one another at less cost."""
        self._check_fitted()
        if self._spectrum is None:
            self._spectrum = principal_axes(self._moments)
        return self._spectrum
