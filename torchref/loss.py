"""Losses J(y, t): a value per batch; the gradients are autograd's."""

from typing import Any, Literal, TypeAlias

from torch import Tensor
from torch.nn import functional

from torchref.module import Module
from torchref.validation import INTEGER, check_like, check_shape, check_tensor

Reduction: TypeAlias = Literal["mean", "sum"]


def check_reduction(reduction: Reduction) -> Reduction:
    """Return `reduction`; raise `ValueError` unless it is "mean" or "sum"."""
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction is {reduction!r}, expected 'mean' or 'sum'")
    return reduction


def check_labels(target: Any, output: Tensor) -> Tensor:
    """Return `target` as int64; raise unless it holds integers (N,) of classes 0 … K−1 beside the output (N, K)."""
    if not isinstance(target, Tensor) or target.dtype not in INTEGER:
        came = target.dtype if isinstance(target, Tensor) else type(target).__name__
        raise TypeError(f"target is {came}, expected an integer tensor of class labels")
    samples, classes = output.shape
    check_shape("target", target, (samples,))
    labels = target.long()
    wrong = ((labels < 0) | (labels >= classes)).nonzero()
    if len(wrong):
        first = int(wrong[0])
        raise ValueError(f"target[{first}] is {int(labels[first])}, expected a label from 0 to {classes - 1}")
    return labels


class SquaredError(Module):
    """Squared error, J = ½‖y − t‖² per sample.

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
        super().__init__()
        self.reduction = check_reduction(reduction)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch: y (N, K), and t dense (N, K) or labels (N,) -> a scalar.

        Raises
        ------
        TypeError, ValueError
            For another rank or dtype, or a label outside 0 … K−1.
        """
        check_tensor("output", output)
        check_shape("output", output, ("N", "K"))
        samples, classes = output.shape
        if isinstance(target, Tensor) and target.is_floating_point():
            check_like("target", target, output)
            dense = target
        else:
            dense = functional.one_hot(check_labels(target, output), classes).to(output.dtype)
        total = 0.5 * (output - dense).square().sum()
        return total / samples if self.reduction == "mean" else total


class CrossEntropy(Module):
    """Softmax and negative log-likelihood in one, J = −ln softmax(z)_t per sample.

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
        super().__init__()
        self.reduction = check_reduction(reduction)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch, in nats: logits (N, K), labels (N,) -> a scalar.

        Raises
        ------
        TypeError, ValueError
            For another rank or dtype, or a label outside 0 … K−1.
        """
        check_tensor("output", output)
        check_shape("output", output, ("N", "K"))
        return functional.cross_entropy(output, check_labels(target, output), reduction=self.reduction)
