"""Mistakes in losses: labels, the reduction, the base, one softmax too many."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from torchref.loss import CrossEntropy, SquaredError
from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.hypothesis import Hypothesis, ImpossibleError, Seen
from torchref.oracle.diagnosis.reducing import averaged, divisor, reductions, units
from torchref.oracle.diagnosis.slopes import jacobian, softmax
from torchref.oracle.kinds.kind import Trial

Terms = Callable[[Trial], Array]
"""The losses of the samples, or the gradient before it is divided."""


def losses(tensor: str, sample: Seen) -> Iterator[Hypothesis]:
    """All that fits the loss."""
    reference = sample.trial.reference
    if isinstance(reference, CrossEntropy):
        yield from (cross_entropy_values() if tensor == "loss" else cross_entropy_gradients())
    if isinstance(reference, SquaredError):
        yield from squared_errors(tensor)
        yield from averaged(tensor)
    yield from reductions(tensor)


def reduced(trial: Trial, terms: Array) -> Array:
    """Σ over the samples, divided as asked."""
    return np.asarray(terms.sum() / terms.dtype.type(divisor(trial)))


def _reduced(terms: Terms, most: int | None = None) -> Terms:
    return lambda trial: reduced(trial, terms(trial)[:most])


def _divided(terms: Terms) -> Terms:
    return lambda trial: terms(trial) / divisor(trial)


def labels(trial: Trial) -> Array:
    """Class labels. Raises `ImpossibleError` if the target is dense."""
    target = trial.given["target"]
    if np.issubdtype(target.dtype, np.floating):
        raise ImpossibleError("dense target")
    return target.astype(int)


def one_hot(chosen: Array, like: Array) -> Array:
    """Rows of the identity."""
    return np.eye(like.shape[1], dtype=like.dtype)[chosen]


CHOSEN: dict[str, tuple[str, Callable[[Array, int], Array]]] = {
    "loss:label-shifted": ("the label is taken one too high", lambda c, k: (c + 1) % k),
    "loss:label-shifted down": ("the label is taken one too low", lambda c, k: (c - 1) % k),
    "loss:label-narrowed": (
        "labels are narrowed to 8 bits, where those from 128 on become negative",
        lambda c, k: c.astype(np.int8).astype(int) % k,
    ),
}
"""By code: what is said of it, and which class is taken for the label, of K."""


def _nll(z: Array, chosen: Array) -> Array:
    shifted = z - z.max(1, keepdims=True)
    each: Array = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(z)), chosen]
    return each


def _of_softmax(trial: Trial) -> Array:
    z = trial.given["output"]
    return -np.log(softmax(z, 1)[np.arange(len(z)), labels(trial)])


def _unshifted(trial: Trial) -> Array:
    z = trial.given["output"]
    each: Array = np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), labels(trial)]
    return each


def _right(trial: Trial) -> Array:
    return _nll(trial.given["output"], labels(trial))


def cross_entropy_values() -> Iterator[Hypothesis]:
    """Of the value."""
    for code, (says, choose) in CHOSEN.items():

        def predict(trial: Trial, choose: Callable[[Array, int], Array] = choose) -> Array:
            z = trial.given["output"]
            return reduced(trial, _nll(z, choose(labels(trial), z.shape[1])))

        yield Hypothesis(code.split(" ")[0], f"{{it}}: {says}", predict)
    yield Hypothesis("loss:base", "{it}: in bits (log₂), not in nats (ln)", lambda t: t.oracle["loss"] / np.log(2))
    yield Hypothesis(
        "loss:base", "{it}: with the logarithm of base 10, not with ln", lambda t: t.oracle["loss"] / np.log(10)
    )
    yield Hypothesis(
        "loss:softmax-twice",
        "{it}: softmax is applied to probabilities, once more than it should be",
        lambda t: reduced(t, _nll(softmax(t.given["output"], 1), labels(t))),
    )
    for says, terms in (
        ("the softmax is computed first and its logarithm then: ln 0 = −∞ where it underflows", _of_softmax),
        ("exp overflows, as the row's maximum is not subtracted first", _unshifted),
    ):
        yield Hypothesis("loss:unshifted", f"{{it}}: {says}", _reduced(terms), strict=True)
    for eps in EPSILONS:
        for says, least in (
            (f"{eps:g} is added to the probabilities before the logarithm is taken", _plus),
            (f"probabilities below {eps:g} are taken for {eps:g}", np.maximum),
        ):
            yield Hypothesis("loss:epsilon", f"{{it}}: {says}", _reduced(_guarded(eps, least)))
    yield from partial(_right)


EPSILONS = (1e-15, 1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5)
"""What people put under a logarithm."""


def _plus(p: Array, eps: float) -> Array:
    return p + eps


def _guarded(eps: float, least: Callable[[Array, Any], Array]) -> Terms:
    def terms(trial: Trial) -> Array:
        z = trial.given["output"]
        each: Array = -np.log(least(softmax(z, 1)[np.arange(len(z)), labels(trial)], z.dtype.type(eps)))
        return each

    return terms


def partial(terms: Terms) -> Iterator[Hypothesis]:
    """Only some samples' losses, or those that are not NaN."""
    for most in (1, 8, 10, 16, 32, 64):
        says = f"only the first {most} samples' losses are added up"
        yield Hypothesis(
            "samples:some" if most > 1 else "samples:first",
            f"{{it}}: {says}",
            _reduced(terms, most),
        )
    yield Hypothesis("samples:all-but-last", "{it}: the last sample's loss is left out", _reduced(terms, -1))

    def skipping(trial: Trial) -> Array:
        each = terms(trial)
        return np.asarray(np.nansum(each) / each.dtype.type(divisor(trial)))

    yield Hypothesis("nonfinite:swallowed", "{it}: NaN is left out of the sum", skipping, strict=True)


def cross_entropy_gradients() -> Iterator[Hypothesis]:
    """Of the gradient, (softmax − onehot)/N."""

    def probabilities(trial: Trial) -> Array:
        return softmax(trial.given["output"], 1)

    def right(trial: Trial) -> Array:
        return probabilities(trial) - one_hot(labels(trial), trial.given["output"])

    for code, (says, choose) in CHOSEN.items():

        def predict(trial: Trial, choose: Callable[[Array, int], Array] = choose) -> Array:
            z = trial.given["output"]
            return (probabilities(trial) - one_hot(choose(labels(trial), z.shape[1]), z)) / divisor(trial)

        yield Hypothesis(code.split(" ")[0], f"{{it}}: {says}", predict)
    formulas: dict[str, tuple[str, Terms]] = {
        "loss:onehot-missing": ("the softmax is returned; 1 was not subtracted at the label", probabilities),
        "softmax:jacobian-twice": (
            "softmax's Jacobian is applied on top of softmax − onehot, which has it in it already",
            lambda t: jacobian(right(t), probabilities(t)),
        ),
        "softmax:diagonal": (
            "the result is multiplied by y(1 − y), the diagonal of softmax's Jacobian, on top",
            lambda t: right(t) * probabilities(t) * (1 - probabilities(t)),
        ),
        "loss:onehot-only": ("only −onehot is returned", lambda t: -one_hot(labels(t), t.given["output"])),
        "loss:onehot-over": (
            "−onehot/softmax is returned, the gradient with respect to probabilities, not to logits",
            lambda t: -one_hot(labels(t), t.given["output"]) / probabilities(t),
        ),
        "softmax:axis": (
            "softmax runs over the batch, not over the units",
            lambda t: softmax(t.given["output"], 0) - one_hot(labels(t), t.given["output"]),
        ),
    }
    for code, (says, formula) in formulas.items():
        yield Hypothesis(code, f"{{it}}: {says}", _divided(formula))
    yield Hypothesis(
        "loss:unshifted",
        "{it}: exp overflows, as the row's maximum is not subtracted first",
        lambda t: (softmax(t.given["output"], 1, shift=False) - one_hot(labels(t), t.given["output"])) / divisor(t),
        strict=True,
    )


def dense(trial: Trial) -> Array:
    """The target as (N, K)."""
    target = trial.given["target"]
    if np.issubdtype(target.dtype, np.floating):
        return target
    return one_hot(target.astype(int), trial.given["output"])


def _signed(trial: Trial) -> Array:
    if np.issubdtype(trial.given["target"].dtype, np.floating):
        return dense(trial)
    return 2 * dense(trial) - 1


def _misread(trial: Trial) -> Array:
    target = dense(trial)
    if trial.variety != "Fortran order" or not np.issubdtype(trial.given["target"].dtype, np.floating):
        return target
    return target.ravel(order="F").reshape(target.shape)


TARGETS: dict[str, tuple[str, Terms]] = {
    "loss:targets": ("labels become rows of −1 and 1, not of 0 and 1", _signed),
    "order:fortran": ("the target is read in the order in which it lies in memory", _misread),
    "loss:label-shifted": (
        "the label is taken one too high",
        lambda t: one_hot((labels(t) + 1) % units(t), t.given["output"]),
    ),
    "loss:label-shifted down": (
        "the label is taken one too low",
        lambda t: one_hot((labels(t) - 1) % units(t), t.given["output"]),
    ),
    "loss:onehot-missing": ("the target is left out", lambda t: np.zeros_like(t.given["output"])),
}
"""Of the squared error, by code: what is said of it, and what the target becomes."""


def squared_errors(tensor: str) -> Iterator[Hypothesis]:
    """Of value and gradient."""

    def half_square(trial: Trial, target: Array) -> Array:
        residual = trial.given["output"] - target
        each: Array = 0.5 * (residual * residual).sum(1)
        return each

    for code, (says, other) in TARGETS.items():

        def predict(trial: Trial, other: Terms = other) -> Array:
            if tensor == "loss":
                return reduced(trial, half_square(trial, other(trial)))
            return (trial.given["output"] - other(trial)) / divisor(trial)

        yield Hypothesis(code.split(" ")[0], f"{{it}}: {says}", predict)
    if tensor == "loss":
        yield Hypothesis("loss:half", "{it}: the factor ½ is missing", lambda t: 2 * t.oracle["loss"])
        yield Hypothesis("loss:half", "{it}: the factor ½ is there twice", lambda t: t.oracle["loss"] / 2)
        yield Hypothesis(
            "loss:root",
            "{it}: the norm ‖y − t‖ is taken, not half its square",
            lambda t: reduced(t, np.sqrt(2 * half_square(t, dense(t)))),
        )
        yield Hypothesis(
            "loss:absolute",
            "{it}: the absolute values are added up, not half the squares",
            lambda t: reduced(t, np.abs(t.given["output"] - dense(t)).sum(1)),
        )
        yield from partial(lambda t: half_square(t, dense(t)))

        def skipping(trial: Trial) -> Array:
            residual = trial.given["output"] - dense(trial)
            return reduced(trial, 0.5 * np.nansum(residual * residual, axis=1).astype(residual.dtype))

        yield Hypothesis(
            "nonfinite:swallowed", "{it}: NaN is left out of the sum over the units", skipping, strict=True
        )
