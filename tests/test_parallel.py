"""A batch shared out to processes: as in one go, the same each time, and memory that does not grow."""

import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratch
from scratch import batch
from scratch.parallel import DataParallel
from scratch.passes import Pass
from tests import cases
from tests.passes import Drawn, copied, images, pids, same

SAMPLES = 33  # so many that sharing them out is worth it
LENET5 = next(case for case in cases.NETWORKS if case.label == "as the paper has it")
DROPPED = next(case for case in cases.NETWORKS if case.label == "signals, dropout, a network within")


X, LABELS = images(10)


@pytest.mark.parametrize(
    ("x", "target", "masks", "message"),
    [
        (X, np.concatenate([LABELS, LABELS]), None, r"^target has shape \(20,\), expected the 10 samples of x$"),
        (X, LABELS[:9], None, r"^target has shape \(9,\), expected the 10 samples of x$"),
        (X, LABELS[0], None, "^target is a int64, expected a NumPy array$"),
        (X, LABELS.astype(object), None, "^target has dtype object, expected numbers$"),
        (X, LABELS, {"drop": np.full((10, 2), None)}, "^drop has dtype object, expected numbers$"),
        (X, list(LABELS), None, "^target is a list, expected a NumPy array$"),
        (X, LABELS, {"drop": np.ones((12, 2), bool)}, r"^drop has shape \(12, 2\), expected the 10 samples of x$"),
        (X, LABELS, np.random.default_rng(0), "^masks is a Generator, expected a mapping of names to arrays$"),
        (X.tolist(), LABELS, None, "^x is a list, expected a NumPy array$"),
        (X.astype(np.float64), LABELS, None, "^x has dtype float64, expected float32"),
        (X, LABELS + 9, None, r"expected a label from 0 to 9$"),
        (X[:, :, 1:], LABELS, None, r"expected \(1, 28, 28\) or \(1, 32, 32\)$|expected \(N, 1, 28, 28\)"),
    ],
)
def test_what_the_whole_would_refuse_is_refused_in_parts(x: Any, target: Any, masks: Any, message: str) -> None:
    """A target too long among them, of which each part would find as many as it wants."""
    net = scratch.LeNet5(rng=np.random.default_rng(0))
    with pytest.raises((TypeError, ValueError), match=message):
        batch.gradients(net, scratch.CrossEntropy(), x, target, masks, pieces=2)
    threads = 2 if "expected the" in message else 1  # what is said before a process is started
    with (
        DataParallel(net, scratch.CrossEntropy(), threads) as parts,
        pytest.raises((TypeError, ValueError), match=message),
    ):
        parts.gradients(x, target, masks)


def test_what_it_is_made_of_is_checked() -> None:
    net = scratch.MLP((3, 2), rng=np.random.default_rng(0))
    with pytest.raises(TypeError, match=r"^net is a Linear, expected a Sequential$"):
        DataParallel(net.layers["fc1"], scratch.CrossEntropy())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^threads is 0, expected at least 1$"):
        DataParallel(net, scratch.CrossEntropy(), 0)


def test_a_network_of_more_parameters_than_outputs_starts_no_process() -> None:
    net = scratch.MLP((784, 300, 10), rng=np.random.default_rng(0))
    x, target = np.random.default_rng(0).standard_normal((8, 784)).astype(np.float32), np.arange(8)
    with DataParallel(net, scratch.CrossEntropy(), 2) as parts:
        assert same(parts.gradients(x, target), parts.gradients(x, target))
        assert same(parts.gradients(x[:0], target[:0]), batch.gradients(net, scratch.CrossEntropy(), x[:0], target[:0]))
        assert not pids(parts)


@pytest.fixture(scope="module")
def lenet5() -> Iterator[tuple[Drawn, DataParallel]]:
    """LeNet-5 and an odd number of images, in two processes."""
    drawn = Drawn(LENET5, "float32", SAMPLES)
    with DataParallel(drawn.net, drawn.loss, threads=2) as parts:
        yield drawn, parts
    assert not pids(parts)


def test_two_processes_compute_what_one_does_and_the_same_each_time(lenet5: tuple[Drawn, DataParallel]) -> None:
    drawn, parts = lenet5
    found = parts.gradients(drawn.x, drawn.target)
    (pid,) = pids(parts)
    drawn.judge(found).require()
    for _ in range(3):
        assert same(parts.gradients(drawn.x, drawn.target), found)
        assert np.array_equal(parts.predict(drawn.x), parts.predict(drawn.x))
    assert pids(parts) == [pid]
    assert same(found, batch.add(_by_hand(drawn, parts)))


def _by_hand(drawn: Drawn, parts: DataParallel) -> list[Pass]:
    return [
        batch.gradients(drawn.net, drawn.loss, drawn.x[part], drawn.target[part], of=len(drawn.x))
        for part in batch.cut(len(drawn.x), parts.threads)
    ]


def test_the_plan_says_what_is_computed_in_one_go(
    lenet5: tuple[Drawn, DataParallel], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, parts = lenet5
    monkeypatch.setattr("scratch.parallel._CACHED", 40_000)  # numbers: of two images
    plan = parts.plan(drawn.x)
    assert [sample for pieces in plan for piece in pieces for sample in range(SAMPLES)[piece]] == list(range(SAMPLES))
    sizes = [[piece.stop - piece.start for piece in pieces] for pieces in plan]
    assert len(sizes) == 2
    assert all(1 <= size <= 3 for of_part in sizes for size in of_part)
    assert all(abs(sum(of_part) - SAMPLES / 2) < 1 for of_part in sizes)
    found = parts.gradients(drawn.x, drawn.target)
    with parts.limited(drawn.x):
        passes = [
            [batch.whole(drawn.net, drawn.loss, drawn.x[piece], drawn.target[piece], of=SAMPLES) for piece in pieces]
            for pieces in plan
        ]
    assert same(found, batch.add(batch.add(of_part) for of_part in passes))
    drawn.judge(found).require()


def test_the_processes_follow_the_parameters(lenet5: tuple[Drawn, DataParallel]) -> None:
    drawn, parts = lenet5
    before = drawn.net.state_dict()
    optimizer = scratch.SGD(0.01, 0.9)
    for _ in range(3):
        found = parts.gradients(drawn.x, drawn.target)
        assert same(found, batch.add(_by_hand(drawn, parts)))
        optimizer.step(drawn.net.parameters(), found.grads)
    drawn.net.load_state_dict(before)
    drawn.judge(parts.gradients(drawn.x, drawn.target)).require()


def test_batches_of_any_size_one_after_the_other(lenet5: tuple[Drawn, DataParallel]) -> None:
    """Growing, shrinking and empty; fewer samples than processes."""
    drawn, parts = lenet5
    for samples in (1, 2, 0, 3, 40, 5, 1, 64):
        x, target = images(samples, samples)
        whole = batch.gradients(drawn.net, drawn.loss, x, target)
        found = parts.gradients(x, target)
        assert np.allclose(found.output, whole.output, rtol=1e-4, atol=1e-4)
        assert found.output.shape == (samples, 10)
        assert np.allclose(found.value, whole.value, rtol=1e-4, equal_nan=True)
        for name, grad in whole.grads.items():
            assert np.allclose(found.grads[name], grad, rtol=1e-3, atol=1e-3 * abs(grad).max(initial=0)), name
        assert np.allclose(parts.predict(x), whole.output, rtol=1e-4, atol=1e-4)


def test_nan_stays_with_its_image_and_reaches_all_gradients(lenet5: tuple[Drawn, DataParallel]) -> None:
    drawn, parts = lenet5
    x = drawn.x.copy()
    x[-1, 0, 14, 14] = np.nan  # the other process's
    with np.errstate(invalid="ignore"):
        found = parts.gradients(x, drawn.target)
    assert np.isnan(found.value)
    assert np.array_equal(np.isnan(found.output), np.arange(SAMPLES)[:, None].repeat(10, 1) == SAMPLES - 1)
    assert all(np.isnan(grad).any() for grad in found.grads.values())
    drawn.judge(parts.gradients(drawn.x, drawn.target)).require()


def test_what_a_call_returned_stays_as_it_is_and_may_be_written_to(lenet5: tuple[Drawn, DataParallel]) -> None:
    drawn, parts = lenet5
    for samples in (1, SAMPLES):
        first, output = parts.gradients(drawn.x[:samples], drawn.target[:samples]), parts.predict(drawn.x[:samples])
        kept, kept_output = copied(first), output.copy()
        x, target = images(samples, 9)
        parts.gradients(x, target)
        parts.predict(x)
        assert same(first, kept)
        assert np.array_equal(output, kept_output)
        for array in (first.output, output, *first.grads.values()):
            array += 1
        assert same(parts.gradients(drawn.x[:samples], drawn.target[:samples]), kept)


@pytest.mark.parametrize("lends", [False, True])
@pytest.mark.parametrize("pieces", [1, 2])
def test_one_process_lends_gradients_only_if_it_may(lends: bool, pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read-only then, though what pieces add up to is not overwritten. The output is always the caller's."""
    monkeypatch.setattr("scratch.parallel._CACHED", 40_000 if pieces > 1 else 1 << 62)
    net, loss = scratch.LeNet5(rng=np.random.default_rng(0)), scratch.CrossEntropy()
    batches = [images(4, seed) for seed in range(3)]
    expected = [batch.gradients(net, loss, *one, pieces=pieces) for one in batches]
    with DataParallel(net, loss, lends=lends) as parts:
        for _ in range(2):
            parts.gradients(*batches[0])  # recorded
        first = parts.gradients(*batches[1])
        assert same(first, expected[1])
        kept = copied(first)
        assert same(parts.gradients(*batches[2]), expected[2])
        lent = lends and pieces == 1
        assert same(first, expected[2]._replace(value=kept.value, output=kept.output) if lent else kept)
        assert all(grad.flags.writeable != lends for grad in first.grads.values())
        assert first.output.flags.writeable
        assert not any(np.may_share_memory(grad, array) for grad in first.grads.values() for array in expected[1])


def test_two_processes_see_a_loss_that_was_changed_and_parameters_that_became_others(
    lenet5: tuple[Drawn, DataParallel],
) -> None:
    drawn, parts = lenet5
    layer: Any = drawn.net.layers["output"]
    weight, divided = layer.weight, parts.gradients(drawn.x, drawn.target)
    parts.criterion.reduction = "sum"
    summed = parts.gradients(drawn.x, drawn.target)
    parts.criterion.reduction = "mean"
    assert np.allclose(summed.value, divided.value * SAMPLES, rtol=1e-4)
    assert same(parts.gradients(drawn.x, drawn.target), divided)
    (pid,) = pids(parts)
    layer.weight = weight * 2
    expected = batch.gradients(drawn.net, drawn.loss, drawn.x, drawn.target)
    assert np.allclose(parts.gradients(drawn.x, drawn.target).value, expected.value, rtol=1e-5)
    layer.weight = weight.astype(np.float64)
    try:
        with pytest.raises(TypeError, match=r"^x has dtype float32, expected float64"):
            parts.gradients(drawn.x, drawn.target)
        assert not pids(parts)  # an answer might be due
    finally:
        layer.weight = weight
    assert same(parts.gradients(drawn.x, drawn.target), divided)
    assert pids(parts) != [pid]


def test_two_processes_have_the_layers_as_they_are_now(lenet5: tuple[Drawn, DataParallel]) -> None:
    """A slope, and a table in place, that were changed after the processes were started."""
    drawn, parts = lenet5
    before = parts.gradients(drawn.x, drawn.target)
    layers: Any = drawn.net.layers
    slope, table = layers["c1_f"].a, layers["c3"].connections.copy()
    try:
        for change in (
            lambda: setattr(layers["c1_f"], "a", 1.0),
            lambda: layers["c3"].connections.__setitem__((slice(None), slice(3)), True),
        ):
            change()
            for _ in range(2):
                found = parts.gradients(drawn.x, drawn.target)
                expected = batch.gradients(drawn.net, drawn.loss, drawn.x, drawn.target)
                assert np.allclose(found.output, expected.output, rtol=1e-4, atol=1e-4)
                assert not np.allclose(found.output[-5:], before.output[-5:], rtol=1e-4, atol=1e-4)  # the other's part
    finally:
        layers["c1_f"].a = slope
        layers["c3"].connections[...] = table
    assert same(parts.gradients(drawn.x, drawn.target), before)


@pytest.mark.parametrize("layout", ["F", "backwards", "batch last", "every second"])
def test_the_layout_of_a_batch_changes_no_more_than_rounding(lenet5: tuple[Drawn, DataParallel], layout: str) -> None:
    drawn, parts = lenet5
    x, target = drawn.x, drawn.target
    if layout == "F":
        x = np.asfortranarray(x)
    elif layout == "backwards":
        x, target = np.ascontiguousarray(x[::-1])[::-1], np.ascontiguousarray(target[::-1])[::-1]
    elif layout == "batch last":
        x = np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    else:
        x, target = np.repeat(x, 2, axis=0)[::2], np.repeat(target, 2)[::2]
    assert np.array_equal(x, drawn.x)
    found = parts.gradients(x, target)
    drawn.judge(found).require()
    assert same(parts.gradients(x, target), found)


@pytest.mark.parametrize("begun", [0, 1, 4])
def test_one_layout_after_another_leaves_nothing_of_the_first(begun: int) -> None:
    """What was kept of earlier passes is of other images."""
    net, loss = scratch.LeNet5(rng=np.random.default_rng(0)), scratch.CrossEntropy()
    x, target = images(6)
    other = np.asfortranarray(images(6, 1)[0])
    with DataParallel(net, loss, threads=1) as parts:
        for _ in range(begun):
            parts.gradients(x, target)
        for one in (other, x, other):
            assert same(parts.gradients(one, target), batch.gradients(net, loss, one, target))
            assert np.array_equal(parts.predict(one), net.predict(one))


def test_its_memory_does_not_grow_and_no_descriptor_is_left(lenet5: tuple[Drawn, DataParallel]) -> None:
    if not Path("/proc/self/maps").exists():
        return
    _, parts = lenet5
    x, target = images(128)

    def held() -> tuple[int, int]:
        gc.collect()
        maps = Path("/proc/self/maps").read_text().count("/memfd:twice")
        return len(list(Path("/proc/self/fd").iterdir())), maps

    parts.gradients(x[:64], target[:64])
    before = held()
    assert before[1] >= 2  # one for each direction
    for samples in (64, 3, 128, 17):
        parts.gradients(x[:samples], target[:samples])
    assert held() == before


def test_three_processes_drop_the_units_that_the_masks_say_beside_another_network(
    lenet5: tuple[Drawn, DataParallel],
) -> None:
    """More processes than cores, parts of unequal size, float64, masks within masks; two networks in turn."""
    others, other_parts = lenet5
    drawn = Drawn(DROPPED, "float64", 20)
    assert drawn.masks is not None
    assert len(drawn.masks) == 3
    with DataParallel(drawn.net, drawn.loss, threads=3) as parts:
        for _ in range(2):
            found = parts.gradients(drawn.x, drawn.target, drawn.masks)
            drawn.judge(found).require()
            others.judge(other_parts.gradients(others.x, others.target)).require()
        assert same(parts.gradients(drawn.x, drawn.target, drawn.masks), found)
        assert len(pids(parts)) == 2
        wrong = {name: np.roll(mask, 1, axis=0) for name, mask in drawn.masks.items()}
        assert not drawn.judge(parts.gradients(drawn.x, drawn.target, wrong)).passed


@pytest.mark.parametrize("samples", [2, SAMPLES])
def test_threads_take_turns_with_it(lenet5: tuple[Drawn, DataParallel], samples: int) -> None:
    """So few that one process has them, and replays them, and more. What was lent is copied before the next turn."""
    _, parts = lenet5
    batches = [images(samples, seed) for seed in range(6)]
    expected = [parts.gradients(*one) for one in batches]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(3) as pool:
            for _ in range(40 // samples + 1):
                assert all(map(same, pool.map(lambda one: parts.gradients(*one), batches), expected))
    finally:
        sys.setswitchinterval(interval)
