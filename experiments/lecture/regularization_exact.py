"""What the penalty does to one step, and to a linear net: what can be said to the last few bits."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from experiments.backend import Array, Labels
from experiments.lecture.lab import Make, Wing, initial


class Step(NamedTuple):
    """One wing's penalty, and one step with it.

    Parameters
    ----------
    gradient_off:
        Largest |∂R/∂W − λW|.
    names:
        Of the parameters that R has a gradient for.
    slope_off:
        |(R(W + V) − R(W − V))/2 − λ⟨W, V⟩| / λ‖W‖‖V‖ for a random V; R is quadratic, so it is rounding alone.
    step_off:
        Largest difference of the optimiser's step from W − α(∂J/∂W + λW), in units of eps(|W| + α|∂J/∂W| + αλ|W|).
    """

    gradient_off: float
    names: tuple[str, ...]
    slope_off: float
    step_off: float


class Ridge(NamedTuple):
    """One λ of the linear problem: W (1, D) and b (1,) as arrays of D + 1, and J at the two ends of learning."""

    closed: Array
    bias_penalised: Array
    least_squares: Array
    learnt: Array
    slide: Array
    learnt_loss: float
    slide_loss: float


def penalty_step(wing: Wing, make: Make, x: Array, labels: Labels, *, lr: float, decay: float, seed: int) -> Step:
    """Hold the penalty's gradient against λW, and the optimiser's step against the formula."""
    rng = np.random.default_rng([seed, 1])
    params = {  # biases start at 0, where no decay of theirs would be seen
        name: value if name.endswith("weight") else rng.normal(size=value.shape)
        for name, value in initial(make, seed).items()
    }
    weights = {name: value for name, value in params.items() if name.endswith("weight")}
    aside = {name: rng.normal(size=value.shape) for name, value in params.items()}

    _, grads = penalty(wing, params, decay)
    ahead, _ = penalty(wing, {name: params[name] + aside[name] for name in params}, decay)
    behind, _ = penalty(wing, {name: params[name] - aside[name] for name in params}, decay)
    product = sum(float(np.sum(value * aside[name])) for name, value in weights.items())
    size = norm(weights) * norm({name: aside[name] for name in weights})

    learner = wing.learner(make, lambda w: w.CrossEntropy("sum"), params, lr=lr, weight_decay=decay)
    slopes = learner.gradients(x, labels).grads
    learner.update(slopes)
    off = []
    for name, after in learner.parameters().items():
        extra = decay * params[name] if name in weights else np.zeros_like(params[name])
        expected = params[name] - lr * (slopes[name] + extra)
        scale = np.abs(params[name]) + lr * np.abs(slopes[name]) + lr * np.abs(extra)
        off.append(np.max(np.abs(after - expected) / (np.finfo(float).eps * scale)))
    return Step(
        float(np.max([np.max(np.abs(grads[name] - decay * weights[name])) for name in weights])),
        tuple(grads),
        abs((ahead - behind) / 2 - decay * product) / (decay * size),
        float(np.max(off)),
    )


def penalty(wing: Wing, params: Mapping[str, Array], decay: float) -> tuple[float, dict[str, Array]]:
    """R = ½λ‖W‖² of a wing, with its gradient for those parameters that it has one for: by hand or by autograd."""
    one = wing.library.L2Penalty(decay)
    if wing.name == "scratch":
        value, cache = one.forward(params)
        return float(value), one.backward(cache)
    given = {name: torch.tensor(array, requires_grad=True) for name, array in params.items()}
    value = one(given)
    grads = torch.autograd.grad(value, list(given.values()), allow_unused=True)
    return float(value.detach()), {name: wing.take(g) for name, g in zip(given, grads, strict=True) if g is not None}


def norm(arrays: Mapping[str, Array]) -> float:
    """‖·‖_F of all weights together; biases do not count."""
    return float(np.sqrt(sum(np.sum(array**2) for name, array in arrays.items() if name.endswith("weight"))))


def linear_problem(points: int, features: int, seed: int) -> tuple[Array, Array]:
    """Noisy values of a linear function at points whose mean is not 0: x (N, D), t (N, 1)."""
    rng = np.random.default_rng([seed, 2])
    x = rng.normal(0.5, 1, (points, features))
    return x, x @ rng.normal(size=(features, 1)) + 2 + rng.normal(0, 0.5, (points, 1))


def closed_form(x: Array, t: Array, decay: float, *, penalise_bias: bool = False) -> Array:
    """Ridge regression, W and b in one row: W = (CᵀC + λI)⁻¹Cᵀt with C = x − x̄, and b = t̄ − Wx̄.

    With the bias penalised too it is the same for x with a column of ones, not centred.
    """
    if penalise_bias:
        wide = np.column_stack([x, np.ones(len(x))])
        return np.asarray(np.linalg.solve(wide.T @ wide + decay * np.eye(wide.shape[1]), wide.T @ t)[:, 0])
    weight: Array
    centred = x - x.mean(axis=0)
    weight = np.linalg.solve(centred.T @ centred + decay * np.eye(x.shape[1]), centred.T @ (t - t.mean()))[:, 0]
    return np.append(weight, t.mean() - x.mean(axis=0) @ weight)


def ridge(wing: Wing, x: Array, t: Array, decay: float, *, steps: int, seed: int) -> Ridge:
    """A linear net by batch learning, with the penalty in the update and, as on the slide, without it."""

    def make(library: Any, dtype: Any, rng: Any) -> Any:
        return library.MLP((x.shape[1], 1), dtype=dtype, rng=rng)

    wide = np.column_stack([x, np.ones(len(x))])
    lr = float(1 / (np.linalg.norm(wide, 2) ** 2 + decay))  # 1/(the largest curvature of J)
    ends, losses = [], []
    for in_update in (decay, 0.0):
        learner = wing.learner(
            make, lambda w: w.SquaredError("sum"), initial(make, seed), lr=lr, weight_decay=in_update
        )
        for _ in range(steps):
            learner.update(learner.gradients(x, t).grads)
        params = learner.parameters()
        ends.append(np.append(params["fc1.weight"][0], params["fc1.bias"]))
        losses.append(learner.loss(learner.predict(x), t) + penalty(wing, params, decay)[0])
    forms = (closed_form(x, t, decay), closed_form(x, t, decay, penalise_bias=True), closed_form(x, t, 0.0))
    return Ridge(*forms, ends[0], ends[1], losses[0], losses[1])


def distance(one: Array, other: Array) -> float:
    """‖a − b‖ / ‖b‖."""
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))
