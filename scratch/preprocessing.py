"""Inputs made easy to learn from: mean removed, components decorrelated, their variances made equal."""

from collections.abc import Mapping
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scratch.moments import Moments, add_samples, no_moments, principal_axes, rounding
from scratch.validation import (
    Array,
    check_array,
    check_count,
    check_dtype,
    check_finite,
    check_mapping,
    check_number,
    check_shape,
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


def check_spectrum(mean: Array, variances: Array, axes: Array) -> None:
    """Raise `ValueError` unless there are inputs with this mean (D,) and the covariance Aᵀ diag(σ²) A."""
    check_number("the least of state['variances']", float(variances.min()), least=0)
    if (rises := np.flatnonzero(variances[1:] > variances[:-1])).size:
        raise ValueError(f"state['variances'] rise after entry {rises[0]}, expected them from the largest down")
    for name, largest, most in (
        ("mean", float(np.abs(mean).max()), LARGEST),
        ("variances", float(variances[0]), len(mean) * LARGEST**2),
    ):
        if largest > most * (1 + SLACK):
            raise ValueError(f"state[{name!r}] has values of size {largest:g}, expected at most {most:g}")
    with np.errstate(over="ignore", invalid="ignore"):
        off = float(np.abs(axes @ axes.T - np.eye(len(axes))).max())
    if not off <= SLACK:
        raise ValueError(f"state['axes'] are orthogonal unit vectors only up to {off:g}, expected {SLACK:g}")


def read_only(x: Array) -> Array:
    """The same numbers, not to be written to: what has been learnt changes by learning alone."""
    view = x.view()
    view.flags.writeable = False
    return view


class Standardizer:
    """Inputs with mean 0, and on request uncorrelated and of variance 1: z = (x − m)Aᵀ diag(σ)⁻¹, for rows.

    stage            z                          components
    "centered"       x − m                      D
    "decorrelated"   (x − m)Aᵀ                  D, along the axes of the data's covariance (its principal components)
    "equalized"      (x − m)Aᵀ diag(σ)⁻¹        rank: directions in which nothing varies are left out

    It learns m, A and σ from inputs, not from a loss: it is no layer and has no gradient. The covariance is Σ(…)(…)ᵀ/N;
    with N − 1 all variances would be larger by one factor. Statistics and arithmetic are in float64 whatever the dtype,
    and the result is rounded to the dtype once.

    Parameters
    ----------
    num_features:
        D, at least 1.
    stage:
        The last step taken, "centered", "decorrelated" or "equalized"; each includes those before it.
    tolerance:
        A variance counts as 0 unless it is greater than this part of the largest, from 0 to below 1. None asks of each
        that it is greater than what rounding alone can put there (`rounding`): then neither a feature's unit nor its
        distance from 0 decides, but whether it varies by more than its own last digits. One of at most 1e-280 is 0 in
        any case: the squares of spreads below 1e-140 are too close to the least float64.
    dtype:
        float32 or float64, of what comes and goes.

    Attributes
    ----------
    count:
        N, how many samples it has learnt from; 0 before the first.
    mean:
        m (D,), float64; read-only, as are the following.
    axes:
        A (D, D), float64: orthogonal unit vectors in rows, in the order of `variances`, each with its largest entry
        positive. Axes of equal variance are any that span their plane.
    variances:
        σ² (D,), float64, from the largest down.
    kept:
        Which variances count as greater than 0 (D,), booleans: their axes are what "equalized" keeps. Rounding of a
        large feature can exceed all there is to a small one: they need not be the first.
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

    Source: 改善性能的试探法 / 标准化输入, figure 4.11: 消除均值, 去相关性, 协方差均衡.
    """

    def __init__(
        self,
        num_features: int,
        stage: Stage = "equalized",
        *,
        tolerance: float | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.num_features = check_count("num_features", num_features)
        if stage not in get_args(Stage):
            raise ValueError(f"stage is {stage!r}, expected 'centered', 'decorrelated' or 'equalized'")
        self.stage = stage
        self.tolerance = None if tolerance is None else check_number("tolerance", tolerance, least=0, below=1)
        self.dtype = check_dtype("dtype", dtype)
        self._moments = no_moments(self.num_features)
        self._spectrum: tuple[Array, Array] | None = None

    def fit(self, x: Array) -> Self:
        """Forget everything and learn from x (N, num_features), N at least 1; return self.

        Raises
        ------
        TypeError, ValueError
            If x has another dtype or shape, no rows, or a value that is not finite or beyond ±1e140; nothing is
            forgotten or learnt then.
        """
        return self._learn(no_moments(self.num_features), x)

    def partial_fit(self, x: Array) -> Self:
        """Learn from one more batch, of any size N from 1 on; return self.

        Any split of the same data gives the same result, up to rounding. Each call factorises a matrix with D + N + 1
        rows: batches of D or more cost the least.

        Raises
        ------
        TypeError, ValueError
            As `fit` does; nothing of the batch is learnt then.
        """
        return self._learn(self._moments, x)

    def transform(self, x: Array) -> Array:
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
        return z.astype(self.dtype)

    def inverse_transform(self, z: Array) -> Array:
        """(N, out_features) -> (N, num_features): what `transform` made z of.

        When equalized, of x only what lies in the directions that vary comes back; for samples learnt from that is all.

        Raises
        ------
        TypeError, ValueError
            If z has another dtype or shape, or a value that is not finite.
        RuntimeError
            Before anything has been learnt.
        """
        mean = self.mean
        self._check("z", z, self.out_features)
        x = z.astype(np.float64)
        if self.stage != "centered":
            axes, spread = self._components()
            x = x * spread @ axes
        return (x + mean).astype(self.dtype)

    @property
    def count(self) -> int:
        """How many samples it has learnt from."""
        return self._moments.samples

    @property
    def mean(self) -> Array:
        """The samples' mean (D,), float64."""
        self._check_fitted()
        return read_only(self._moments.mean)

    @property
    def variances(self) -> Array:
        """The variance along each axis (D,), float64, from the largest down."""
        return read_only(self._principal()[0])

    @property
    def axes(self) -> Array:
        """Orthogonal unit vectors in rows (D, D), float64, in the order of `variances`."""
        return read_only(self._principal()[1])

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Along which axes the samples vary, by the tolerance (D,)."""
        variances, axes = self._principal()
        if self.tolerance is None:
            noise = rounding(self._moments, variances, axes, float(np.finfo(self.dtype).eps))
        else:
            noise = self.tolerance * variances[:1]
        return np.asarray(variances > np.maximum(noise, SMALLEST))

    @property
    def rank(self) -> int:
        """In how many directions the samples vary, by the tolerance."""
        return int(np.count_nonzero(self.kept))

    @property
    def out_features(self) -> int:
        """How many components a transformed sample has."""
        self._check_fitted()
        return self.rank if self.stage == "equalized" else self.num_features

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Copies of `count`, `mean`, `variances` and `axes`: same names, shapes and dtypes as the torch twin's."""
        variances, axes = self._principal()
        count = np.array(self.count, np.int64)
        return {"count": count, "mean": self.mean.copy(), "variances": variances.copy(), "axes": axes.copy()}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
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
        zeros = np.zeros(self.num_features)
        own: dict[str, NDArray[Any]] = {"count": np.array(0), "mean": zeros, "variances": zeros, "axes": np.diag(zeros)}
        if faults := state_faults(state, own, strict=True):
            raise ValueError("state does not fit Standardizer: " + "; ".join(faults))
        for name, value in state.items():
            check_finite(f"state[{name!r}]", value)
        count = check_count("state['count']", int(state["count"]))
        check_spectrum(state["mean"], state["variances"], state["axes"])
        mean, variances, axes = (state[name].copy() for name in ("mean", "variances", "axes"))
        # Not the factor of whoever learnt it, but one whose RᵀR is the same.
        self._moments = Moments(count, mean, np.sqrt(count * variances)[:, None] * axes)
        self._spectrum = variances, axes

    def _learn(self, before: Moments, x: Array) -> Self:
        self._check("x", x, self.num_features)
        if not len(x):
            raise ValueError(f"x has shape {x.shape}, expected at least one row to learn from")
        if (largest := float(np.abs(x).max())) > LARGEST:
            raise ValueError(f"x has values of size {largest:g}, expected at most {LARGEST:g}: squares would overflow")
        self._moments = add_samples(before, x)
        self._spectrum = None
        return self

    def _check(self, name: str, x: Array, width: int) -> None:
        check_array(name, x, self.dtype)
        check_shape(name, x, ("N", width))
        check_finite(name, x)

    def _check_fitted(self) -> None:
        if not self.count:
            raise RuntimeError("Standardizer has learnt from no samples yet, expected fit or partial_fit before")

    def _components(self) -> tuple[Array, Array]:
        """The axes (out_features, D) of what is given out, and what each component is divided by (out_features,)."""
        if self.stage == "decorrelated":
            return self.axes, np.ones(self.num_features)
        kept = self.kept
        return self.axes[kept], np.sqrt(self.variances[kept])

    def _principal(self) -> tuple[Array, Array]:
        """Variances and axes: worked out when first asked for, so that batches can follow one another at less cost."""
        self._check_fitted()
        if self._spectrum is None:
            self._spectrum = principal_axes(self._moments)
        return self._spectrum
