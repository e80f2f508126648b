"""A batch in pieces, one after the other in this process: losses and gradients add up to those of the batch."""

from typing import Any

import numpy as np
import pytest

import scratch
from scratch import batch
from scratch.capture import Captured
from scratch.passes import Pass
from tests import cases, harness
from tests.passes import Drawn, same


@pytest.mark.parametrize("dtype", harness.DTYPES)
@pytest.mark.parametrize("case", cases.NETWORKS, ids=lambda case: f"{case.name} {case.label}")
def test_pieces_add_up_to_what_the_whole_batch_has(case: cases.NetworkCase, dtype: str) -> None:
    drawn = Drawn(case, dtype, case.samples)
    for pieces in {1, 2, 3, case.samples + 1}:
        found = batch.gradients(drawn.net, drawn.loss, drawn.x, drawn.target, drawn.masks, pieces=pieces)
        if case.samples:
            drawn.judge(found).require()
        assert list(found.grads) == list(drawn.net.parameters())
        assert found.output.dtype == found.value.dtype == np.dtype(dtype)
        again = batch.gradients(drawn.net, drawn.loss, drawn.x, drawn.target, drawn.masks, pieces=pieces)
        assert same(found, again)
        if drawn.masks is None:
            whole = drawn.net.forward(drawn.x)[0]
            assert np.allclose(batch.predict(drawn.net, drawn.x, pieces=pieces), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dense", [True, False], ids=["dense", "labels"])
def test_parts_of_one_sample_each_add_up_whatever_the_loss_divides_by(reduction: Any, dense: bool) -> None:
    """On whole numbers, where nothing is rounded but by the division by 8 samples: equal bit for bit."""
    rng = np.random.default_rng(3)
    net = scratch.MLP((5, 4, 3), scratch.Identity, dtype=np.float64, rng=rng)
    for parameter in net.parameters().values():
        parameter[...] = rng.integers(-4, 5, parameter.shape)
    x = rng.integers(-4, 5, (8, 5)).astype(np.float64)
    target = rng.integers(-4, 5, (8, 3)).astype(np.float64) if dense else rng.integers(0, 3, 8)
    loss = scratch.SquaredError(reduction)
    whole = batch.gradients(net, loss, x, target)
    for pieces in (2, 3, 8):
        parts = batch.gradients(net, loss, x, target, pieces=pieces)
        assert parts.value == whole.value
        assert np.array_equal(parts.output, whole.output)
        assert all(np.array_equal(parts.grads[name], grad) for name, grad in whole.grads.items())


@pytest.mark.parametrize("samples", range(8))
@pytest.mark.parametrize("parts", [1, 2, 3, 7, 9])
def test_each_sample_is_in_one_part_and_no_part_is_empty(samples: int, parts: int) -> None:
    cut = batch.cut(samples, parts)
    assert [i for part in cut for i in range(samples)[part]] == list(range(samples))
    sizes = [part.stop - part.start for part in cut]
    assert len(sizes) == max(1, min(samples, parts))
    assert max(sizes) - min(sizes) <= 1


def test_passes_are_added_without_writing_into_any_of_them() -> None:
    """A layer may return a gradient that is read-only, or an array of its own."""
    passes = []
    for i in range(3):
        grad = np.broadcast_to(np.float64(i + 1), (2, 2))
        passes.append(Pass(np.float64(i), np.full((1, 2), i, np.float64), {"weight": grad}))
    found = batch.add(passes)
    assert found.value == 3
    assert np.array_equal(found.output, [[0, 0], [1, 1], [2, 2]])
    assert np.array_equal(found.grads["weight"], np.full((2, 2), 6))
    assert [one.grads["weight"][0, 0] for one in passes] == [1, 2, 3]


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_pieces_of_a_recording_do_not_overwrite_each_other(pieces: int) -> None:
    """Its gradients are lent: what the first piece came to has to outlive the others."""
    net, loss = scratch.MLP((5, 4, 3), rng=np.random.default_rng(0)), scratch.CrossEntropy()
    rng, recorded = np.random.default_rng(1), Captured(net)
    for _ in range(3):
        x, target = rng.standard_normal((6, 5)).astype(np.float32), rng.integers(0, 3, 6)
        found = batch.gradients(recorded, loss, x, target, pieces=pieces)
        assert same(found, batch.gradients(net, loss, x, target, pieces=pieces))
        assert all(grad.flags.writeable == (pieces > 1) for grad in found.grads.values())
        assert same(batch.kept(found), found)
        assert all(grad.flags.writeable for grad in batch.kept(found).grads.values())
