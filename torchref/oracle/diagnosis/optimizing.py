"""Mistakes in gradient descent: signs, momentum, decay, state; and in penalties."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.hypothesis import Hypothesis, Seen
from torchref.oracle.inputs import LAYOUTS
from torchref.oracle.kinds.kind import Trial
from torchref.oracle.optimizer import VELOCITY
from torchref.regularization import is_weight

Numbers = tuple[float, float, float]
"""lr, momentum and the decay that applies to one parameter."""


def numbers(trial: Trial, name: str) -> Numbers:
    """As configured."""
    reference = trial.reference
    return reference.lr, reference.momentum, reference.weight_decay if is_weight(name) else 0.0


@dataclass(frozen=True)
class Rule:
    """g ← ∂J/∂p + decay·p, v ← keep·v + gain·g, p ← p − rate·v, and what deviates from it."""

    rate: Callable[[float], float] = lambda lr: lr
    keep: Callable[[float], float] = lambda mu: mu
    gain: Callable[[float], float] = lambda mu: 1.0
    decays: Callable[[Trial, str], float] = lambda t, name: numbers(t, name)[2]
    after: bool = False
    nesterov: bool = False
    forgets: bool = False
    from_zero: bool = False
    reads: Callable[[Array, int], Array] = lambda gradient, step: gradient

    def course(self, trial: Trial, tensor: str) -> Array:
        """The parameter, or the velocity, after each step."""
        name = tensor.removeprefix(VELOCITY)
        lr, mu, _ = numbers(trial, name)
        decay = self.decays(trial, name)
        p = trial.given[f"start {name}"].astype(np.float64)
        v = np.zeros_like(p)
        if not self.from_zero:
            v = trial.given.get(f"start {VELOCITY}{name}", v).astype(np.float64)
        seen: list[Array] = []
        for step, given in enumerate(trial.given[f"grad {name}"]):
            g = (self.reads(given, step) if "odd" in trial.variety else given).astype(np.float64)
            if self.after:
                p = p - lr * decay * p
            else:
                g = g + decay * p
            if mu:
                v = self.keep(mu) * (0 * v if self.forgets else v) + self.gain(mu) * g
                g = g + mu * v if self.nesterov else v
            p = p - self.rate(lr) * g
            seen.append(v if tensor.startswith(VELOCITY) else p)
        return np.stack(seen)


def _in_memory(gradient: Array, step: int) -> Array:
    """A gradient as it lay in memory, read in that order."""
    layouts: list[Callable[[Array], Array]] = [*LAYOUTS.values(), np.asfortranarray]
    read: Array = layouts[step](gradient).ravel(order="K").reshape(gradient.shape)
    return read


def _everything(trial: Trial, name: str) -> float:
    del name
    return float(trial.reference.weight_decay)


RIGHT = Rule()
RULES: dict[str, tuple[str, Rule]] = {
    "optim:sign": ("the step goes along the gradient (p + lr·g), not against it", Rule(rate=lambda lr: -lr)),
    "optim:momentum": ("the momentum has the wrong sign: v ← −μv + g", Rule(keep=lambda mu: -mu)),
    "optim:momentum rest": ("1 − μ is taken for μ", Rule(keep=lambda mu: 1 - mu)),
    "optim:dampened": ("the gradient is dampened by 1 − μ", Rule(gain=lambda mu: 1 - mu)),
    "optim:nesterov": ("Nesterov's step g + μv is taken, not v", Rule(nesterov=True)),
    "optim:state-lost": (
        "the velocity is not kept from step to step, or the momentum not applied at all",
        Rule(forgets=True),
    ),
    "optim:state-lost handed": ("the velocities that were handed over are not used", Rule(from_zero=True)),
    "optim:decay-bias": (
        "it decays, though only what is called weight should (p ← p − lr·λp is for weights, not for biases)",
        Rule(decays=_everything),
    ),
    "optim:decay-missing": ("the weight decay is not applied", Rule(decays=lambda t, name: 0.0)),
    "optim:decay-sign": (
        "the decay has the wrong sign: g − λp",
        replace(RIGHT, decays=lambda t, name: -numbers(t, name)[2]),
    ),
    "optim:decay-after": (
        "the decay is taken from the parameter itself, past the momentum (decoupled), not added to the gradient",
        Rule(after=True),
    ),
    "optim:decay-half": ("the decay is λ/2", replace(RIGHT, decays=lambda t, name: numbers(t, name)[2] / 2)),
    "optim:decay-double": ("the decay is 2λ", replace(RIGHT, decays=lambda t, name: numbers(t, name)[2] * 2)),
    "order:fortran": ("the gradient is read in the order in which it lies in memory", Rule(reads=_in_memory)),
    "optim:rate": ("the learning rate is used twice (lr²)", Rule(rate=lambda lr: lr * lr)),
}
"""By code: what is said of it, and the rule followed."""


def steps(tensor: str, sample: Seen) -> Iterator[Hypothesis]:
    """Another rule for a parameter, or for its velocity: first those that explain the parameter as well."""
    trial, name = sample.trial, tensor.removeprefix(VELOCITY)

    def strange(entry: tuple[str, tuple[str, Rule]]) -> bool:
        return not np.allclose(entry[1][1].course(trial, name), trial.mine.get(name, np.nan), rtol=1e-4, atol=1e-4)

    for code, (says, rule) in sorted(RULES.items(), key=strange):
        yield Hypothesis(code.split(" ")[0], f"{{it}}: {says}", functools.partial(rule.course, tensor=tensor))
    if tensor.startswith(VELOCITY):

        def untouched(trial: Trial) -> Array:
            whole = trial.oracle[tensor]
            return np.broadcast_to(trial.given.get(f"start {tensor}", np.zeros(whole.shape[1:])), whole.shape)

        yield Hypothesis("optim:state-lost", "{it}: the velocity that is shown never changes", untouched)


def _valued(value: Callable[[Trial], float]) -> Callable[[Trial], Array]:
    return lambda trial: np.asarray(value(trial))


def penalties(tensor: str, sample: Seen) -> Iterator[Hypothesis]:
    """½λΣ‖W‖² over weights, and λW."""
    if tensor != "penalty":
        yield Hypothesis("ratio:1/2", "{it}: the gradient is λW/2, not λW", lambda t: t.oracle[tensor] / 2)
        changed = any(c.tensor.endswith("its arguments alone") for c in sample.trial.failures)
        code = "conduct:mutation" if changed else "formula:absolute"
        yield Hypothesis(code, "{it}: it is λ|W|, from weights made positive", lambda t: np.abs(t.oracle[tensor]))
        return

    def squares(trial: Trial, counts: Callable[[str], bool]) -> float:
        return float(sum((a.astype(float) ** 2).sum() for name, a in trial.given.items() if counts(name)))

    def decay(trial: Trial) -> float:
        return float(trial.reference.decay)

    values: dict[str, tuple[str, Callable[[Trial], float]]] = {
        "loss:half": ("the factor ½ is missing", lambda t: decay(t) * squares(t, is_weight)),
        "loss:half twice": ("the factor ½ is there twice", lambda t: 0.25 * decay(t) * squares(t, is_weight)),
        "optim:decay-bias": (
            "it counts all parameters, though only those called weight should count",
            lambda t: 0.5 * decay(t) * squares(t, lambda name: True),
        ),
        "optim:decay-bias names": (
            "it counts everything with weight in its name",
            lambda t: 0.5 * decay(t) * squares(t, lambda name: "weight" in name),
        ),
        "optim:decay-bias axes": (
            "it counts what has more than one axis, not what is called weight",
            lambda t: 0.5 * decay(t) * squares(t, lambda name: t.given[name].ndim > 1),
        ),
        "loss:root": ("the norm ‖W‖ is taken, not its square", lambda t: 0.5 * decay(t) * squares(t, is_weight) ** 0.5),
        "loss:root whole": (
            "the norm ‖W‖ is taken, not half its square",
            lambda t: decay(t) * squares(t, is_weight) ** 0.5,
        ),
        "optim:decay-missing": ("λ is missing", lambda t: 0.5 * squares(t, is_weight)),
        "loss:absolute": (
            "absolute values are added up, not squares",
            lambda t: decay(t) * sum(float(np.abs(a).sum()) for name, a in t.given.items() if is_weight(name)),
        ),
    }
    for code, (says, value) in values.items():
        yield Hypothesis(code.split(" ")[0], f"{{it}}: {says}", _valued(value))
