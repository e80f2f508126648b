"""Losses, penalties, optimisers and initialisers in the forms that courses have them."""

import time
from typing import Any

import numpy as np
import pytest

import scratch
from tests import handwritten as hand
from tests.test_subjects import plain
from torchref import oracle

__all__ = ["plain"]


def both(x: Any, y: Any) -> Any:
    return (*hand.softmax_loss(x, y), 1)


class Uncached:
    def forward(self, x: Any, y: Any) -> Any:
        return hand.softmax_loss(x, y)[0]

    def backward(self, cache: Any) -> Any:
        return cache


def test_losses_that_do_not_answer(plain: Any) -> None:
    options = {"like": "cross_entropy", "cases": "mean"}
    assert "returns a tuple of 3" in plain(both, **options)
    assert "returns no cache, which backward asks for" in plain(Uncached, **options)
    assert "returns None" in plain(
        hand.half_squared, lambda y_hat, y: None if len(y_hat) == len(y) else y, like="squared_error", cases="mean"
    )
    assert "loss" in plain(lambda x, y: (float(x[y > 9].sum()), "cache"), **options)


def test_losses_with_settings_dicts_and_features_first() -> None:
    def loss(scores: Any, labels: Any, reduction: str) -> Any:
        value, gradient = hand.softmax_loss(scores.T, labels)
        scale = scores.dtype.type(len(labels) if reduction == "sum" else 1)
        return value * scale, gradient.T * scale

    options: dict[str, Any] = {"like": "cross_entropy", "unsupported": "empty", "layout": "KN"}
    verdict = oracle.check(loss, **options)
    assert verdict.passed, str(verdict)
    assert {row.slug for row in verdict.rows if row.cells} >= {"sum", "mean"}
    half = oracle.check(scratch.SquaredError("sum"), like="squared_error")
    assert {row.slug: bool(row.skipped) for row in half.rows}["mean"]
    assert half.passed


class Decay:
    def __init__(self, lam: float) -> None:
        self.lam = lam

    def loss(self, w: Any) -> Any:
        self.w = w
        return 0.5 * self.lam * np.sum(w * w)

    def gradient(self) -> Any:
        return (self.lam * self.w,)


def test_penalties_of_several_forms(plain: Any) -> None:
    assert oracle.check(Decay, like="l2").passed
    assert oracle.check(hand.l2, like="l2").passed
    assert oracle.check(Decay(0.3), like="l2", cases="one").passed

    def named(params: Any, decay: float) -> Any:
        weights = [array for name, array in params.items() if name.rpartition(".")[2] == "weight"]
        return sum(0.5 * decay * np.sum(w * w) for w in weights), (params, decay)

    def wrong(cache: Any) -> Any:
        params, decay = cache
        return decay * params["fc1.weight"]

    assert "expected gradients by name" in plain(named, wrong, like="l2", cases="names")
    assert oracle.check(named, wrong, like="l2", cases="one").passed


def test_optimisers_of_several_forms(plain: Any) -> None:
    def with_state(params: Any, grads: Any, velocities: Any, lr: float, momentum: float) -> Any:
        new = {k: momentum * velocities.get(k, 0) + g for k, g in grads.items()}
        return {k: p - lr * new[k] for k, p in params.items()}, new

    assert oracle.check(with_state, like="sgd").passed

    def copying(w: Any, dw: Any, config: Any) -> Any:
        w, config = hand.sgd_momentum(w, dw, config)
        return w, dict(config)

    assert oracle.check(copying, like="sgd").passed

    def in_place(w: Any, dw: Any, lr: float) -> None:
        w -= lr * dw

    assert oracle.check(in_place, like="sgd").passed
    options = {"like": "sgd"}
    assert "returns a tuple of 3" in plain(lambda w, dw, lr: (w, dw, lr), **options)
    assert "raises KeyError" in plain(lambda w, dw, config: w - config["speed"] * dw, **options)

    class Single:
        def __init__(self, lr: float, momentum: float = 0.0) -> None:
            self.lr, self.momentum, self.v = lr, momentum, 0.0

        def step(self, w: Any, dw: Any) -> Any:
            self.v = self.momentum * self.v + dw
            return w - self.lr * self.v

    assert oracle.check(Single, like="sgd").passed
    assert oracle.check(
        lambda params, grads, lr: ({k: p - lr * grads[k] for k, p in params.items()}, None), like="sgd"
    ).passed


class Holding:
    """An optimiser that is made with the parameters."""

    def __init__(self, params: Any, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        self.params, self.lr, self.momentum, self.weight_decay = params, lr, momentum, weight_decay
        self.v: dict[Any, Any] = {}

    def step(self, grads: Any) -> None:
        keys = self.params if isinstance(self.params, dict) else range(len(self.params))
        for key in keys:
            decayed = grads[key] + self.weight_decay * self.params[key]
            self.v[key] = self.momentum * self.v.get(key, 0) + decayed
            self.params[key] = self.params[key] - self.lr * self.v[key]


class HoldingAList(Holding):
    def __init__(self, params: Any, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        assert isinstance(params, list)
        super().__init__(params, lr, momentum, weight_decay)


class Heedless(Holding):
    def step(self, grads: Any) -> None:
        for key in self.params:
            self.params[key] -= grads[key]


def renamed(parameters: Any, grads: Any, learning_rate: float) -> Any:
    return {name: value - learning_rate * grads[f"d{name}"] for name, value in parameters.items()}


def numbered(parameters: Any, grads: Any, learning_rate: float) -> Any:
    for name in [f"{letter}{i + 1}" for i in range(len(parameters) // 2) for letter in "Wb"]:
        parameters[name] = parameters[name] - learning_rate * grads[f"d{name}"]
    return parameters


def in_place(params: Any, grads: Any, lr: float) -> None:
    for p, g in zip(params, grads, strict=True):
        p -= lr * g


def anew(params: Any, grads: Any, lr: float) -> Any:
    return [p - lr * g for p, g in zip(params, grads, strict=True)]


@pytest.mark.parametrize(
    ("form", "guess"),
    [
        (Holding, "grads is gradients"),
        (HoldingAList, "come in lists"),
        (renamed, "the gradient of W is called dW"),
        (numbered, "parameters are called W1, b1, …, and gradients dW1, db1, …"),
        (in_place, "come in lists"),
        (anew, "come in lists"),
    ],
)
def test_optimisers_are_handed_arrays_as_they_take_them(form: Any, guess: str) -> None:
    verdict = oracle.check(form, like="sgd", unsupported="names", dtypes="float64")
    assert verdict.passed, str(verdict)
    assert guess in "; ".join(verdict.guesses)


def test_wrong_optimisers_of_these_forms_fail(plain: Any) -> None:
    assert "fc1.weight" in plain(Heedless, like="sgd", cases="plain")
    assert "fc1.weight" in plain(lambda params, grads, lr: anew(params, grads, -lr), like="sgd", cases="plain")

    class Unmade(Holding):
        def __init__(self, params: Any, lr: float) -> None:
            raise RuntimeError(f"not with {len(params)} at {lr}")

    assert "raises RuntimeError: not with 2 at 0.1" in plain(Unmade, like="sgd", cases="plain")

    def nothing(params: Any, grads: Any, lr: float) -> Any:  # noqa: ARG001
        return []

    assert "fc1.weight" in plain(nothing, like="sgd", cases="plain")

    def failing(params: Any, grads: Any, lr: float) -> Any:
        raise RuntimeError(f"{len(params)} {len(grads)} {lr}")

    assert "raises RuntimeError: 3 3 0.1" in plain(failing, like="sgd", cases="plain")

    def for_long(params: Any, grads: Any, lr: float) -> None:  # noqa: ARG001
        time.sleep(1)

    assert "runs longer than" in plain(for_long, like="sgd", cases="plain", time_limit=0.1)


def test_optimisers_whose_gradients_are_attributes_are_refused() -> None:
    class Torchlike(Holding):
        def step(self) -> None: ...  # type: ignore[override]

    with pytest.raises(ValueError, match="Torchlike is made with the parameters and steps without being given grad"):
        oracle.check(Torchlike, like="sgd")

    class Stepless:
        def __init__(self, params: Any, lr: float) -> None: ...

    with pytest.raises(ValueError, match="Stepless has no step method"):
        oracle.check(Stepless, like="sgd")


def test_initialisers(plain: Any) -> None:
    def lecun(size: Any, rng: Any, dtype: Any) -> Any:
        bound = np.sqrt(3 / np.prod(size[1:]))
        return rng.uniform(-bound, bound, size).astype(dtype)

    verdict = oracle.check(lecun, like="lecun_uniform")
    assert {row.slug: row.skipped for row in verdict.rows}["table"] == "lecun takes no fan_in"
    assert verdict.passed
    assert "weights" in plain(lambda shape, rng: rng.normal(size=shape), like="lecun_uniform", cases="units")


class Unready(hand.Momentum):
    def __init__(self, lr: float) -> None:
        raise RuntimeError(f"not at {lr}")


def test_what_cannot_be_made_at_all(plain: Any) -> None:
    assert "raises RuntimeError: not at 0.1" in plain(Unready, like="sgd")


def test_one_hot_targets_are_declared() -> None:
    def forward(x: Any, t: Any) -> Any:
        loss = hand.SoftmaxWithLoss()
        return loss.forward(x, t), loss

    def backward(dout: Any, cache: Any) -> Any:
        return cache.backward(dout)

    options: dict[str, Any] = {"like": "cross_entropy", "unsupported": "empty"}
    verdict = oracle.check(forward, backward, arguments={"t": "onehot"}, **options)
    assert verdict.passed, str(verdict)
    assert "it is not asked about NaN and infinity" in "; ".join(verdict.guesses)
