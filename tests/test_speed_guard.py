"""What makes training fast stays in: counted in calls and in bytes, which are the same on every machine. No seconds.

Each bound is about a tenth above what was counted when it was set; under it stands what the code had cost without the
idea that it guards, which has to break the bound. Counts are of one training step in one process: forward and
backward pass and SGD's update. docs/speed.md has what each idea is worth in seconds.
"""

import gc
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import scratch
from scratch import batch, convolution, optim, unfolding, validation
from scratch.capture import Captured
from scratch.parallel import DataParallel

RNG = np.random.default_rng(0)
LOSS = scratch.CrossEntropy()
NETWORKS = {
    "lenet5": (scratch.LeNet5(rng=RNG), (1, 28, 28)),
    "mlp": (scratch.MLP((784, 300, 100, 10), rng=RNG), (784,)),
}
KIB = 1024


def step(model: str, samples: int, *, pieces: int = 1) -> Callable[[], object]:
    """A training step, done once already so that nothing happens for the first time when it is counted."""
    net, shape = NETWORKS[model]
    x, target = RNG.standard_normal((samples, *shape)).astype(np.float32), RNG.integers(0, 10, samples)
    optimizer = scratch.SGD(1e-6)

    def train() -> None:
        found = batch.gradients(net, LOSS, x, target, pieces=pieces)
        optimizer.step(net.parameters(), found.grads)

    train()
    return train


def calls(function: Callable[[], object]) -> int:
    """How many functions are called, in Python and in C; operators of arrays do not count as calls."""
    counted = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    gc.collect()
    gc.disable()  # other libraries have functions called when garbage is collected
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(before)
        gc.enable()
    return counted


def traced(function: Callable[[], object]) -> tuple[int, int]:
    """Bytes allocated in a call: at most at once, and those that what it returned still holds."""
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = function()
        after, peak = tracemalloc.get_traced_memory()
        del kept
    finally:
        tracemalloc.stop()
    return peak - before, after - before


# ---- calls: what a step of a few samples consists of, at some 0.1 microseconds each in C and more in Python

CALLS = {("lenet5", 1): 806, ("lenet5", 64): 783, ("mlp", 1): 258, ("mlp", 64): 237}
PLANNING = 43


@pytest.mark.parametrize(("model", "samples"), CALLS)
def test_a_step_takes_few_calls(model: str, samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    train = step(model, samples)
    assert calls(train) <= CALLS[model, samples]

    def fits(shape: Any, expected: Any) -> bool:  # shorter to write; a generator for every tensor of every layer
        return len(shape) == len(expected) and all(
            have == want or isinstance(want, str) for have, want in zip(shape, expected, strict=True)
        )

    monkeypatch.setattr(validation, "fits", fits)
    monkeypatch.setattr(optim, "alike", lambda *_: False)  # every gradient through all checks
    assert calls(train) > CALLS[model, samples]


def test_a_replayed_step_takes_a_fraction_of_the_calls() -> None:
    net, shape = NETWORKS["lenet5"]
    x, target = RNG.standard_normal((2, *shape)).astype(np.float32), RNG.integers(0, 10, 2)
    replayed = Captured(net)

    def train(net: scratch.Sequential | Captured) -> int:
        return calls(lambda: batch.gradients(net, LOSS, x, target))

    recorded, *later = (train(replayed) for _ in range(5))
    assert max(later) <= 128 < train(net)  # 116 when this was set, 696 plainly
    assert len(set(later)) == 1
    assert recorded > train(net)  # made plainly too


def test_a_replayed_step_copies_no_gradient() -> None:
    """They are lent. What is left is the output, which is the caller's, and what NumPy copies within a product."""
    net, shape = NETWORKS["lenet5"]
    x, target = RNG.standard_normal((16, *shape)).astype(np.float32), RNG.integers(0, 10, 16)
    replayed = Captured(net)
    replayed.through(LOSS, x, target)
    bound = 112 * KIB
    assert traced(lambda: replayed.through(LOSS, x, target))[0] <= bound
    assert traced(lambda: batch.kept(replayed.through(LOSS, x, target)))[0] > 2 * bound


def test_planning_a_step_takes_few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    net, shape = NETWORKS["lenet5"]
    x, target = RNG.standard_normal((1, *shape)).astype(np.float32), RNG.integers(0, 10, 1)
    computed = batch.gradients(net, LOSS, x, target)
    with DataParallel(net, LOSS, threads=1, lends=True) as parts:
        monkeypatch.setattr(parts, "_share", lambda *_, **__: [computed])  # all but the passes themselves
        parts.gradients(x, target)
        assert calls(lambda: parts.gradients(x, target)) <= PLANNING
        planned = parts._parts

        def recounted(x: Any) -> Any:  # the parameters, at every step
            return net.num_parameters and planned(x)

        monkeypatch.setattr(parts, "_parts", recounted)
        assert calls(lambda: parts.gradients(x, target)) > PLANNING


def test_the_gradient_of_the_image_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    net, shape = NETWORKS["lenet5"]
    x, target = RNG.standard_normal((2, *shape)).astype(np.float32), RNG.integers(0, 10, 2)
    computed: list[int] = []
    compute = convolution.conv2d_dx

    def counting(dy: Any, weight: Any, *rest: Any) -> Any:
        computed.append(weight.shape[1])  # channels of the input
        return compute(dy, weight, *rest)

    monkeypatch.setattr(convolution, "conv2d_dx", counting)
    batch.gradients(net, LOSS, x, target)
    assert computed == [16, 6]
    output, cache = net.forward(x)
    net.backward(output, cache)
    assert computed[2:] == [16, 6, 1]  # as it was


# ---- bytes: what has to be fetched from the system, written and read


@pytest.mark.parametrize("samples", [128, 256])
def test_a_step_has_no_more_memory_at_once_for_a_large_batch(samples: int) -> None:
    net, shape = NETWORKS["lenet5"]
    x, target = RNG.standard_normal((samples, *shape)).astype(np.float32), RNG.integers(0, 10, samples)
    bound = 5.3e6
    with DataParallel(net, LOSS, threads=1) as parts:
        (plan,) = parts.plan(x)
    peak, _ = traced(lambda: batch.gradients(net, LOSS, x, target, pieces=len(plan)))
    assert peak <= bound
    whole, _ = traced(lambda: batch.gradients(net, LOSS, x, target))
    assert whole > 1.5 * bound


def test_an_answer_without_gradients_keeps_no_layer_s_output() -> None:
    net, shape = NETWORKS["lenet5"]
    x = RNG.standard_normal((64, *shape)).astype(np.float32)
    bound = 2.9e6
    assert traced(lambda: batch.predict(net, x))[0] <= bound
    assert traced(lambda: net.forward(x)[0])[0] > 1.5 * bound  # with the caches


def test_a_forward_pass_copies_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    net, shape = NETWORKS["lenet5"]
    x = RNG.standard_normal((64, *shape)).astype(np.float32)
    bound = 5.65e6
    assert traced(lambda: net.forward(x))[0] <= bound
    windows = unfolding.windows
    monkeypatch.setattr(unfolding, "windows", lambda *arguments: windows(*arguments).copy())
    assert traced(lambda: net.forward(x))[0] > 1.25 * bound


def batch_last(*shape: int) -> np.ndarray:
    """Maps (N, C, H, W) in the memory order of a layer's output, (H, C, W, N)."""
    return RNG.standard_normal(shape).astype(np.float32).transpose(2, 1, 3, 0).copy().transpose(3, 1, 0, 2)


def test_a_pixel_is_copied_once_for_each_column_of_the_filter_not_for_each_weight() -> None:
    """14×14 pixels under a filter of 5×5, which has 10 places in a row."""
    x = batch_last(64, 6, 14, 14)
    bound = 5 * 10 / 14 * x.nbytes + 64 * KIB
    peak, kept = traced(lambda: unfolding.unfold(x, 5, 1, (0, 0)))
    assert kept <= peak <= bound
    columns = unfolding.unfold(x, 5, 1, (0, 0))
    assert traced(lambda: unfolding.windows(columns, 5, 1))[0] <= 64 * KIB
    assert np.shares_memory(unfolding.windows(columns, 5, 1), columns)
    every = np.lib.stride_tricks.sliding_window_view(x, (5, 5), (2, 3))
    assert traced(every.copy)[1] > 3 * bound  # the usual way, a column for each place


def test_the_way_back_through_a_convolution_has_columns_for_a_row_once_not_for_each_row_of_the_filter() -> None:
    dy, weight = batch_last(64, 16, 10, 10), RNG.standard_normal((16, 6, 5, 5)).astype(np.float32)
    bound = 1.62e6
    assert traced(lambda: convolution.conv2d_dx(dy, weight, (14, 14), (1, 1), (0, 0)))[0] <= bound
    assert traced(lambda: weight.reshape(16, -1).T @ unfolding.rows_of(dy))[0] > 1.5 * bound  # all rows at once


def test_labels_are_not_made_vectors_of_zeros_and_a_one() -> None:
    """Three arrays of the size of the logits: shifted, their exponentials, the softmax."""
    logits, labels = RNG.standard_normal((64, 1000)).astype(np.float32), RNG.integers(0, 1000, 64)
    bound = 3.3 * logits.nbytes
    assert traced(lambda: LOSS.forward(logits, labels))[0] <= bound

    def with_vectors() -> Any:
        onehot = np.zeros_like(logits)
        onehot[np.arange(64), labels] = 1
        shifted = logits - logits.max(axis=1, keepdims=True)
        exp = np.exp(shifted)
        softmax = exp / exp.sum(axis=1, keepdims=True)
        return -(np.log(exp.sum(axis=1)) - (onehot * shifted).sum(axis=1)).mean(), softmax

    assert traced(with_vectors)[0] > 1.25 * bound


def test_an_update_makes_no_array_as_large_as_the_weights() -> None:
    weight, grad = RNG.standard_normal((2, 1000, 1000)).astype(np.float32)
    bound = 160 * KIB
    assert traced(lambda: optim.descend(weight, grad, 0.1))[0] <= bound
    assert traced(lambda: weight - 0.1 * grad)[0] > 10 * bound
