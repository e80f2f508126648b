"""What the catalogue asks: of code that is right but for one size or setting, just those cases fail that have it."""

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from torchref import oracle
from torchref.oracle.verdict import Verdict


def failing(verdict: Verdict) -> set[str]:
    return {row.slug for row in verdict.rows if any(not cell.passed for cell in row.cells.values())}


def fixed_rate(w: Any, dw: Any, lr: float) -> Any:  # noqa: ARG001
    return w - 0.1 * dw


def fixed_rate_with_momentum(w: Any, dw: Any, v: Any, lr: float, momentum: float) -> Any:  # noqa: ARG001
    v = momentum * v + dw
    return w - 0.1 * v, v


def fixed_momentum(w: Any, dw: Any, v: Any, lr: float, momentum: float) -> Any:  # noqa: ARG001
    v = 0.9 * v + dw
    return w - lr * v, v


@pytest.mark.parametrize(
    ("wrong", "cases"),
    [
        (fixed_rate, {"rate"}),
        (fixed_rate_with_momentum, {"rate", "slower"}),
        (fixed_momentum, {"plain", "rate", "slower"}),
    ],
)
def test_a_setting_that_an_optimiser_ignores_is_seen(wrong: Any, cases: set[str]) -> None:
    verdict = oracle.check(wrong, like="sgd", unsupported="decay", dtypes="float64")
    assert failing(verdict) == cases


def windows(x: Any, kernel: int, stride: int) -> Any:
    """The windows of maps that are a kernel wide and high, (…, rows, columns, kernel, kernel)."""
    return sliding_window_view(x, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]


def pool_from(smallest: float) -> Any:
    def pool(x: Any, kernel_size: int, stride: int) -> Any:
        return np.maximum(windows(x, kernel_size, stride).max(axis=(-1, -2)), x.dtype.type(smallest))

    return pool


@pytest.mark.parametrize("smallest", [-10.0, -100.0, -1e5])
def test_a_largest_that_is_sought_from_a_number_is_seen(smallest: float) -> None:
    options: dict[str, Any] = {"like": "maxpool2d", "cases": "plain negative", "dtypes": "float64"}
    assert oracle.check(pool_from(-np.inf), **options).passed
    verdict = oracle.check(pool_from(smallest), **options)
    assert failing(verdict) == {"negative"}


def average(x: Any, kernel_size: int, stride: int) -> Any:
    return windows(x, kernel_size, stride).mean(axis=(-1, -2))


def conv(x: Any, w: Any, b: Any, stride: int = 1, padding: int = 0) -> Any:
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    seen = sliding_window_view(padded, w.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("ncpqij,ocij->nopq", seen, w) + b[:, None, None]


def in_blocks(x: Any, w: Any, b: Any) -> Any:
    y = x @ w.T + b
    y[128:] = 0  # the last block is left out
    return y


@pytest.mark.parametrize(
    ("right", "wrong", "like", "cases"),
    [
        (average, lambda x, kernel_size, stride: average(x, kernel_size, min(stride, kernel_size)),
         "avgpool2d", {"k2s3"}),
        (average, lambda x, kernel_size, stride: average(x, kernel_size, 2 if (kernel_size, stride) == (3, 1)
         else stride), "avgpool2d", {"k3s1"}),
        (conv, lambda x, w, b, stride=1, padding=0: conv(x, w, b, min(stride, 2), padding),
         "conv2d", {"s3p0", "s3p2"}),
        (conv, lambda x, w, b, stride=1, padding=0: conv(x, w, b, stride, min(padding, 2)),
         "conv2d", {"s1p3", "large"}),
        (lambda x, w, b: x @ w.T + b, in_blocks, "linear", {"long"}),
    ],
)  # fmt: skip
def test_sizes_that_are_seldom_asked_of_code_that_takes_one_number(
    right: Any, wrong: Any, like: str, cases: set[str]
) -> None:
    without = {"avgpool2d": "rectangular", "conv2d": "pairs bias-free", "linear": "bias-free"}[like]
    options: dict[str, Any] = {"like": like, "unsupported": without, "dtypes": "float64"}
    assert oracle.check(right, **options).passed
    verdict = oracle.check(wrong, **options)
    assert failing(verdict) == cases
