"""Mistakes in activations: another formula, another derivative, the kink, NaN."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from torchref.activation import Identity, Logistic, ReLU, Softmax, Tanh, Threshold
from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.hypothesis import Hypothesis, Seen
from torchref.oracle.diagnosis.ingredients import batch, upstream
from torchref.oracle.kinds.kind import Trial

Settings = Mapping[str, float]
Formula = Callable[[Array, Settings], Array]
Slope = Callable[[Array, Array, Settings], Array]
"""From x, y and the settings to what dy is multiplied by."""

TANH_SLOPE = "{it}: the derivative is taken as "
FORMULAS: dict[type, dict[str, tuple[str, Formula]]] = {
    Tanh: {
        "formula:settings b": ("tanh is computed without b: a·tanh(x)", lambda x, s: s["a"] * np.tanh(x)),
        "formula:settings a": ("tanh is computed without a: tanh(b·x)", lambda x, s: np.tanh(s["b"] * x)),
        "formula:settings": ("tanh is computed without a and b", lambda x, s: np.tanh(x)),
        "formula:settings swapped": ("a and b are exchanged: b·tanh(a·x)", lambda x, s: s["b"] * np.tanh(s["a"] * x)),
    },
    Logistic: {
        "formula:settings": ("the logistic function is computed without a", lambda x, s: 1 / (1 + np.exp(-x))),
        "formula:settings times": (
            "the logistic function is multiplied by a, not x",
            lambda x, s: s["a"] / (1 + np.exp(-x)),
        ),
        "formula:sign": ("the exponent has the wrong sign", lambda x, s: 1 / (1 + np.exp(s["a"] * x))),
        "nonfinite:overflow": (
            "exp(x)/(1 + exp(x)) becomes ∞/∞ for large x; 1/(1 + exp(−x)) does not",
            lambda x, s: np.exp(s["a"] * x) / (1 + np.exp(s["a"] * x)),
        ),
    },
    ReLU: {
        "nonfinite:swallowed": ("NaN comes out as 0", lambda x, s: np.fmax(x, 0)),
        "nonfinite:spread": ("x is multiplied by 0 or 1, and 0·∞ is NaN", lambda x, s: x * (x > 0)),
        "formula:absolute": ("the absolute value is taken", lambda x, s: np.abs(x)),
        "formula:sign": ("the negative part is kept, not the positive", lambda x, s: np.minimum(x, 0)),
        "slope:missing": ("nothing is cut off: {it} is x", lambda x, s: x),
    },
    Threshold: {
        "kink:0": ("0 comes out as 0, where the hard limit of 0 is 1", lambda x, s: np.heaviside(x, 0)),
        "kink:0 half": ("0 comes out as ½, where the hard limit of 0 is 1", lambda x, s: np.heaviside(x, 0.5)),
        "formula:sign": ("the sign of x is returned, −1 or 1, not 0 or 1", lambda x, s: np.where(x >= 0, 1.0, -1.0)),
        "nonfinite:swallowed": ("NaN comes out as a number", lambda x, s: (x >= 0).astype(x.dtype)),
    },
}
"""Of y, by type and code."""


def tanh_slope(y: Array, s: Settings) -> Array:
    """(b/a)(a − y)(a + y)."""
    slope: Array = s["b"] / s["a"] * (s["a"] - y) * (s["a"] + y)
    return slope


def logistic_slope(y: Array, s: Settings) -> Array:
    """a·y(1 − y)."""
    slope: Array = s["a"] * y * (1 - y)
    return slope


SLOPES: dict[type, dict[str, tuple[str, Slope]]] = {
    Tanh: {
        "slope:missing": ("f′ is missing: dy is passed on as it is", lambda x, y, s: np.ones_like(y)),
        "slope:twice": ("f′ is applied twice", lambda x, y, s: tanh_slope(y, s) ** 2),
        "slope:of-input": (
            "f′ is computed from the input x in place of the output y",
            lambda x, y, s: tanh_slope(x, s),
        ),
        "slope:of-input plain": ("the derivative is taken as 1 − x², of the input", lambda x, y, s: 1 - x * x),
        "slope:other plain": ("the derivative is taken as 1 − y² whatever a and b are", lambda x, y, s: 1 - y * y),
        "slope:other inverse": (
            "the derivative has the factor a/b where it should have b/a",
            lambda x, y, s: (s["a"] / s["b"]) ** 2 * tanh_slope(y, s),
        ),
        "slope:other b": ("the derivative lacks the factor b", lambda x, y, s: tanh_slope(y, s) / s["b"]),
        "slope:other a": ("the derivative lacks the factor 1/a", lambda x, y, s: tanh_slope(y, s) * s["a"]),
        "slope:other b/a": ("the derivative lacks the factor b/a", lambda x, y, s: tanh_slope(y, s) * s["a"] / s["b"]),
        "slope:other product": (
            "the derivative is taken as a·b(1 − y²)",
            lambda x, y, s: s["a"] * s["b"] * (1 - y * y),
        ),
        "slope:other y": ("the derivative is taken as 1 − y", lambda x, y, s: 1 - y),
        "slope:other sum": ("the derivative is taken as 1 + y²", lambda x, y, s: 1 + y * y),
        "slope:of-output": (
            "f′ is computed of f(y), of the output as if it were the input",
            lambda x, y, s: tanh_slope(s["a"] * np.tanh(s["b"] * y), s),
        ),
        "slope:other logistic": ("the derivative is the logistic function's, y(1 − y)", lambda x, y, s: y * (1 - y)),
    },
    Logistic: {
        "slope:missing": ("f′ is missing: dy is passed on as it is", lambda x, y, s: np.ones_like(y)),
        "slope:twice": ("f′ is applied twice", lambda x, y, s: logistic_slope(y, s) ** 2),
        "slope:of-input": (
            "f′ is computed from the input x in place of the output y",
            lambda x, y, s: logistic_slope(x, s),
        ),
        "slope:other a": ("the derivative is taken as y(1 − y), without a", lambda x, y, s: y * (1 - y)),
        "slope:other sign": ("the derivative is taken as a·y(1 + y)", lambda x, y, s: s["a"] * y * (1 + y)),
        "slope:other sign a": ("the derivative is taken as y(1 + y)", lambda x, y, s: y * (1 + y)),
        "slope:other y": ("the derivative is taken as a·y", lambda x, y, s: s["a"] * y),
        "slope:other rest": ("the derivative is taken as a·(1 − y)", lambda x, y, s: s["a"] * (1 - y)),
        "slope:of-output": (
            "f′ is computed of f(y), of the output as if it were the input",
            lambda x, y, s: logistic_slope(1 / (1 + np.exp(-s["a"] * y)), s),
        ),
        "slope:other tanh": ("the derivative is tanh's, 1 − y²", lambda x, y, s: 1 - y * y),
    },
    ReLU: {
        "kink:0": ("the derivative at 0 is taken as 1, where torch's is 0", lambda x, y, s: np.where(x < 0, 0, 1)),
        "kink:0 half": ("the derivative at 0 is taken as ½, where torch's is 0", lambda x, y, s: np.heaviside(x, 0.5)),
        "slope:missing": (
            "f′ is missing: dy is passed on as it is (to ask y < 0 of the output is no use: it is never below 0; "
            "δ stops where y <= 0)",
            lambda x, y, s: np.ones_like(y),
        ),
        "slope:of-input": ("dy is multiplied by the output in place of its sign", lambda x, y, s: y),
        "slope:other": ("the negative side is let through, not the positive", lambda x, y, s: (x < 0).astype(y.dtype)),
    },
    Identity: {"slope:other": ("dy is multiplied by x", lambda x, y, s: x)},
    Threshold: {
        "slope:missing": ("dy is passed on as it is, where the derivative is 0", lambda x, y, s: np.ones_like(y)),
        "slope:other": ("dy is passed on where |x| ≤ 1 (straight-through)", lambda x, y, s: np.abs(x) <= 1),
        "slope:other on": ("dy is passed on where the output is 1", lambda x, y, s: y),
    },
}
"""Of dx, by type and code."""


def settings(trial: Trial) -> Settings:
    """The activation's a and b."""
    return {name: getattr(trial.reference, name) for name in ("a", "b") if hasattr(trial.reference, name)}


def activations(tensor: str, sample: Seen) -> Iterator[Hypothesis]:
    """All that fits the function."""
    kind = type(sample.trial.reference)
    if tensor == "y":
        for code, (says, formula) in FORMULAS.get(kind, {}).items():
            strict = code.startswith("nonfinite")
            text = says if "{it}" in says else f"{{it}}: {says}"
            yield Hypothesis(code.split(" ")[0], text, _formula(formula), strict)
    if tensor == "dx":
        for code, (says, slope) in SLOPES.get(kind, {}).items():
            yield Hypothesis(code.split(" ")[0], f"{{it}}: {says}", _times(slope))
        yield from _inherited(kind)
        yield from _rectified(sample)
        if kind is Threshold:
            says = "{it}: dy is multiplied by 0, and 0·∞ and 0·NaN are NaN; zeros do not depend on dy"
            yield Hypothesis("nonfinite:spread", says, lambda t: 0 * upstream(t), strict=True)
    if kind is Softmax:
        yield from softmaxes(tensor)


RIGHT: dict[type, Slope] = {
    Tanh: lambda x, y, s: tanh_slope(y, s),
    Logistic: lambda x, y, s: logistic_slope(y, s),
    ReLU: lambda x, y, s: y > 0,
}
"""The derivative, computed from the output."""


def _inherited(kind: type) -> Iterator[Hypothesis]:
    """The right formula on the candidate's own output, where that is wrong."""

    def predict(trial: Trial) -> Array | None:
        y = np.asarray(trial.mine["y"])
        if np.array_equal(y, trial.oracle["y"], equal_nan=True):
            return None
        dy = upstream(trial)
        return jacobian(dy, y) if kind is Softmax else dy * RIGHT[kind](batch(trial), y, settings(trial))

    if kind is Softmax or kind in RIGHT:
        says = "{it}: its formula is right, but it is computed from the wrong output"
        yield Hypothesis("inherited:y", says, predict, strict=True)


def _formula(formula: Formula) -> Callable[[Trial], Array]:
    return lambda t: formula(batch(t), settings(t))


def _times(slope: Slope) -> Callable[[Trial], Array]:
    return lambda t: upstream(t) * slope(batch(t), t.oracle["y"], settings(t))


def _rectified(sample: Seen) -> Iterator[Hypothesis]:
    """What a rectifier does to δ, beside slopes that are a formula of x."""
    if not isinstance(sample.trial.reference, ReLU):
        return
    says = "{it}: δ is cut off by its own sign, not by the output's"
    yield Hypothesis("slope:other", says, lambda t: np.where(upstream(t) <= 0, 0, upstream(t)))
    says = "{it}: dy is multiplied by 0 or 1, and 0·∞ and 0·NaN are NaN; use np.where"
    yield Hypothesis("nonfinite:spread", says, lambda t: upstream(t) * (t.oracle["y"] > 0), strict=True)
    says = "{it}: where the output is NaN, δ does not pass; torch lets it pass"
    yield Hypothesis("nonfinite:swallowed", says, lambda t: np.where(t.oracle["y"] > 0, upstream(t), 0), strict=True)
    off = (sample.oracle == 0) & (upstream(sample.trial) != 0)
    if off.any() and sample.mine.shape == sample.oracle.shape:
        leak = float(np.median((sample.mine / np.where(off, upstream(sample.trial), 1))[off]))
        says = f"{{it}}: {leak:.3g} times dy passes where the output is 0"
        yield Hypothesis("slope:leak", says, lambda t: upstream(t) * np.where(t.oracle["y"] > 0, 1, leak))


def softmax(x: Array, axis: int, *, shift: bool = True) -> Array:
    """exp(x)/Σexp(x) along an axis."""
    exp: Array = np.exp(x - x.max(axis, keepdims=True)) if shift else np.exp(x)
    y: Array = exp / exp.sum(axis, keepdims=True)
    return y


def jacobian(dy: Array, y: Array, axis: int = 1) -> Array:
    """Jᵀ dy of softmax; with another axis, the mistake of summing along it."""
    product: Array = y * (dy - (dy * y).sum(axis, keepdims=True))
    return product


def softmaxes(tensor: str) -> Iterator[Hypothesis]:
    """Softmax over the wrong axis, unshifted; its Jacobian's diagonal, twice, not at all."""
    if tensor == "y":
        yield Hypothesis(
            "softmax:axis", "{it}: softmax runs over the batch, not over the units", lambda t: softmax(batch(t), 0)
        )
        yield Hypothesis("softmax:axis", "{it}: the sum runs over the whole batch", _over_all)
        yield Hypothesis(
            "loss:unshifted",
            "{it}: exp overflows, as the row's maximum is not subtracted first",
            lambda t: softmax(batch(t), 1, shift=False),
            strict=True,
        )
        return
    backward: dict[str, tuple[str, Callable[[Array, Array], Array]]] = {
        "softmax:diagonal": (
            "only the Jacobian's diagonal y(1 − y) is used",
            lambda dy, y: dy * y * (1 - y),
        ),
        "softmax:diagonal y": ("dy is only multiplied by y", lambda dy, y: dy * y),
        "softmax:axis": ("the sum in the Jacobian runs over the batch", lambda dy, y: jacobian(dy, y, 0)),
        "softmax:jacobian-twice": ("the Jacobian is applied twice", lambda dy, y: jacobian(jacobian(dy, y), y)),
        "slope:missing": ("the Jacobian is missing: dy is passed on as it is", lambda dy, y: dy),
        "softmax:jacobian-part": ("the factor y is missing", lambda dy, y: dy - (dy * y).sum(1, keepdims=True)),
    }
    for code, (says, formula) in backward.items():
        yield Hypothesis(code.split(" ")[0], f"{{it}}: {says}", _backward(formula))


def _backward(formula: Callable[[Array, Array], Array]) -> Callable[[Trial], Array]:
    return lambda t: formula(upstream(t), t.oracle["y"])


def _over_all(trial: Trial) -> Array:
    exp: Array = np.exp(batch(trial) - batch(trial).max())
    y: Array = exp / exp.sum()
    return y
