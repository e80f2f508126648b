"""Losses J(y, t): a value per batch and its gradient with respect to the network's output."""

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scratch.validation import Array, check_array, check_like, check_shape, is_array

Reduction: TypeAlias = Literal["mean", "sum"]


def check_reduction(reduction: Reduction) -> Reduction:
    """Return `reduction`; raise `ValueError` unless it is "mean" or "sum"."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction is {reduction!r}, expected 'mean' or 'sum'")
    return reduction


def check_labels(target: Any, output: Array) -> None:
    """Raise unless `target` is an integer array (N,) of classes 0 … K−1 beside the output (N, K)."""
    if not is_array(target) or target.dtype.kind not in "iu":
        came = target.dtype if is_array(target) else type(target).__name__
        raise TypeError(f"target is {came}, expected an integer array of class labels")
    samples, classes = output.shape
    check_shape("target", target, (samples,))
    if samples and (target.max() >= classes or (target.dtype.kind == "i" and target.min() < 0)):
        first = np.flatnonzero((target < 0) | (target >= classes))[0]
        raise ValueError(f"target[{first}] is {target[first]}, expected a label from 0 to {classes - 1}")


def reduce(losses: Array, divisor: int) -> np.floating[Any]:
    """Σ losses / divisor; the mean over an empty batch is NaN, as in torch."""
    scalar = losses.dtype.type
    value: np.floating[Any] = losses.sum() / scalar(divisor) if divisor else scalar(np.nan)
    return value


def one_hot(labels: NDArray[np.integer[Any]], output: Array) -> Array:
    """The rows of the identity that the labels (N,) stand for, as wide as the output (N, K)."""
    dense = np.zeros_like(output)
    dense[np.arange(len(labels)), labels] = 1
    return dense


def squared_error(output: Array, target: Array) -> Array:
    """½‖y − t‖² per sample: (N, K), (N, K) -> (N,)."""
    residual = output - target
    losses: Array = 0.5 * (residual * residual).sum(axis=1)
    return losses


def cross_entropy(logits: Array, labels: NDArray[np.integer[Any]]) -> tuple[Array, Array]:
    """−ln softmax(z)_t per sample, in nats, and the softmax: (N, K), (N,) -> (N,), (N, K).

    Shifted by the row's maximum: exp never overflows, and −ln p = ln Σ exp(z − max) − (z_t − max) is exact where p
    itself underflows.
    """
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    exp = np.exp(shifted)
    total = exp.sum(axis=1)
    return np.log(total) - shifted[np.arange(len(labels)), labels], exp / total[:, None]


class SquaredErrorCache(NamedTuple):
    """Residual y − t (N, K), and what the sum over samples is divided by."""

    residual: Array
    divisor: int


class SquaredError:
    """Squared error, J = ½‖y − t‖² per sample, with ∂J/∂y = y − t.

    Parameters
    ----------
    reduction:
        "mean" over the N samples (torch's default), or "sum" (the lecture's J = Σ J_i). The sum over the K units is
        never divided, unlike `torch.nn.MSELoss`.

    Raises
    ------
    ValueError
        For another reduction.

    Source: 问题描述, the loss J(W, b; x, y) of one sample and its sum; the slides leave J open, ½‖y − t‖² is Haykin's.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        self.reduction = check_reduction(reduction)

    def forward(self, output: Array, target: NDArray[Any]) -> tuple[np.floating[Any], SquaredErrorCache]:
        """The loss of a batch.

        Parameters
        ----------
        output:
            y, (N, K).
        target:
            Dense (N, K) of the output's dtype, or integer labels (N,), which stand for the rows of the identity.

        Returns
        -------
        value, cache:
            A scalar of the output's dtype (NaN for the mean over no samples), and what `backward` needs.

        Raises
        ------
        TypeError, ValueError
            For another rank or dtype, or a label outside 0 … K−1.
        """
        self.check(output, target)
        return self.unchecked(output, target)

    def check(self, output: Array, target: NDArray[Any]) -> None:
        """Raise what `forward` raises."""
        check_array("output", output)
        check_shape("output", output, ("N", "K"))
        if is_array(target) and target.dtype.kind == "f":
            check_like("target", target, output)
        else:
            check_labels(target, output)

    def unchecked(self, output: Array, target: NDArray[Any]) -> tuple[np.floating[Any], SquaredErrorCache]:
        """As `forward`, for what `check` lets pass."""
        dense = target if target.dtype.kind == "f" else one_hot(target, output)
        divisor = len(output) if self.reduction == "mean" else 1
        return reduce(squared_error(output, dense), divisor), SquaredErrorCache(output - dense, divisor)

    def backward(self, cache: SquaredErrorCache) -> Array:
        """∂J/∂y = (y − t) / divisor, (N, K)."""
        return cache.residual / cache.divisor


class CrossEntropyCache(NamedTuple):
    """Softmax of the logits (N, K), the labels (N,), and what the sum over samples is divided by."""

    softmax: Array
    labels: NDArray[np.integer[Any]]
    divisor: int


class CrossEntropy:
    """Softmax and negative log-likelihood in one, J = −ln softmax(z)_t per sample, with ∂J/∂z = softmax(z) − onehot(t).

    Fused because the two belong together: the Jacobian of the softmax and the 1/p of the logarithm cancel, so nothing
    overflows or divides by 0 even for logits of ±1e4.

    Parameters
    ----------
    reduction:
        "mean" over the N samples (torch's default), or "sum" (the lecture's J = Σ J_i).

    Raises
    ------
    ValueError
        For another reduction.

    Source: 问题描述, as the loss J(W, b; x, y) of one sample. Not on the slides by name.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        self.reduction = check_reduction(reduction)

    def forward(self, output: Array, target: NDArray[np.integer[Any]]) -> tuple[np.floating[Any], CrossEntropyCache]:
        """The loss of a batch, in nats.

        Parameters
        ----------
        output:
            Logits z, (N, K): the network's last layer without an activation.
        target:
            Integer labels (N,), each from 0 to K−1.

        Returns
        -------
        value, cache:
            A scalar of the output's dtype (NaN for the mean over no samples), and what `backward` needs.

        Raises
        ------
        TypeError, ValueError
            For another rank or dtype, or a label outside 0 … K−1.
        """
        self.check(output, target)
        return self.unchecked(output, target)

    def check(self, output: Array, target: NDArray[np.integer[Any]]) -> None:
        """Raise what `forward` raises."""
        check_array("output", output)
        check_shape("output", output, ("N", "K"))
        check_labels(target, output)

    def unchecked(self, output: Array, target: NDArray[np.integer[Any]]) -> tuple[np.floating[Any], CrossEntropyCache]:
        """As `forward`, for what `check` lets pass."""
        losses, softmax = cross_entropy(output, target)
        divisor = len(output) if self.reduction == "mean" else 1
        return reduce(losses, divisor), CrossEntropyCache(softmax, target, divisor)

    def backward(self, cache: CrossEntropyCache) -> Array:
        """∂J/∂z = (softmax(z) − onehot(t)) / divisor, (N, K)."""
        doutput = cache.softmax.copy()
        doutput[np.arange(len(cache.labels)), cache.labels] -= 1
        doutput /= cache.divisor
        return doutput
