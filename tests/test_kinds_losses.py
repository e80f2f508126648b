"""Losses and penalties as kinds: what theirs may look like, and how each verdict on them can fail."""

from collections.abc import Callable
from typing import Any

import numpy as np

import scratch
from tests.judged import FreeSubject, failures
from torchref.oracle.kinds import find
from torchref.oracle.subjects.subject import Misbehaviour

# losses


class Loss:
    """Half the squared error with dense targets, over which tests put their own parts."""

    def __init__(self, reduction: str = "mean") -> None:
        self.mean = reduction == "mean"

    def forward(self, y: Any, t: Any) -> Any:
        divisor = len(y) if self.mean else 1
        residual = (y - t) / np.float32(divisor)
        return (0.5 * np.square(y - t).sum() / np.float32(divisor)).astype(y.dtype), residual.astype(y.dtype)

    def backward(self, cache: Any) -> Any:
        return cache.copy()


def dense(make: Callable[..., Any], **how: Any) -> dict[str, str]:
    return failures(find("squared_error"), FreeSubject(make, **how), cases="mean n1 equal sum")


def test_a_loss_may_be_a_python_number() -> None:
    class Number(Loss):
        def forward(self, y: Any, t: Any) -> Any:
            value, cache = super().forward(y, t)
            return float(value), cache

    assert not dense(Number)


def test_a_loss_of_another_precision_is_told_so() -> None:
    class Wide(Loss):
        def forward(self, y: Any, t: Any) -> Any:
            value, cache = super().forward(y, t)
            return np.float64(value), cache

    assert "dtype float64, oracle float32" in dense(Wide)["loss"]


def test_a_loss_that_writes_once_into_its_argument_is_seen() -> None:
    class Clipping(Loss):
        def forward(self, y: Any, t: Any) -> Any:
            if y.flags.writeable:
                np.clip(y, -0.5, 0.5, out=y)
            return super().forward(y, t)

    found = dense(Clipping)
    assert "mutates output" in found["the first pass leaves its arguments alone"]
    assert "mutates" in dense(Clipping, stateful=True)["the first pass leaves its arguments alone"]


def test_a_stateful_loss_that_remembers_is_seen() -> None:
    class Remembering(Loss):
        kept = None

        def forward(self, y: Any, t: Any) -> Any:
            value, _ = super().forward(y, t)
            return value, None

        def backward(self, cache: Any) -> Any:  # noqa: ARG002
            return np.zeros((1, 1))

    class Buffer(Loss):
        buffer = None

        def backward(self, cache: Any) -> Any:
            if self.buffer is None or self.buffer.shape != cache.shape:
                self.buffer = np.empty_like(cache)
            self.buffer[...] = cache
            return self.buffer

    class Growing(Loss):
        calls = 0

        def forward(self, y: Any, t: Any) -> Any:
            value, cache = super().forward(y, t)
            self.calls += 1
            return value, cache * self.calls

    assert "shape" in dense(Remembering, stateful=True)["doutput"]
    assert list(dense(Buffer, stateful=True)) == ["results are returned anew"]
    assert "rerun" in dense(Growing, stateful=True)


def test_a_loss_that_fails_when_called_again_is_seen() -> None:
    class Once(Loss):
        def __init__(self, reduction: str = "mean") -> None:
            super().__init__(reduction)
            self.calls = 0

        def backward(self, cache: Any) -> Any:
            self.calls += 1
            if self.calls > 1:
                raise Misbehaviour("backward", "raises KeyError: 'cache'")
            return cache.copy()

    assert "raises KeyError: 'cache', when called again" in dense(Once)["backward"]


# penalties


def test_a_penalty_on_biases_is_told_so() -> None:
    class All(scratch.L2Penalty):
        def backward(self, cache: Any) -> Any:
            return super().backward(cache) | {"bias": np.zeros(1)}

    assert (
        "are given for bias, fc1.weight, by the oracle for fc1.weight"
        in failures(find("l2_penalty"), FreeSubject(All))["gradients"]
    )


def test_a_penalty_may_be_a_python_number_and_a_stateful_one_is_rerun() -> None:
    class Number(scratch.L2Penalty):
        def forward(self, params: Any) -> Any:
            value, cache = super().forward(params)
            return float(value), cache

    class Growing(scratch.L2Penalty):
        calls = 0.0

        def forward(self, params: Any) -> Any:
            self.calls += 1
            value, cache = super().forward(params)
            return value * value.dtype.type(self.calls), cache

    assert not failures(find("l2_penalty"), FreeSubject(Number))
    assert "rerun" in failures(find("l2_penalty"), FreeSubject(Growing, stateful=True))


def test_a_penalty_that_fails_when_called_again_is_seen() -> None:
    class Once(scratch.L2Penalty):
        calls = 0

        def forward(self, params: Any) -> Any:
            self.calls += 1
            if self.calls > 1:
                raise Misbehaviour("forward", "raises KeyError")
            return super().forward(params)

    assert "raises KeyError, when called again" in failures(find("l2_penalty"), FreeSubject(Once))["forward"]
