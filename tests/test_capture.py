"""Recorded passes are the plain ones, bit for bit, for whatever numbers come, and refuse what those refuse."""

import copy
import functools
import gc
import pickle
import sys
import threading
import tracemalloc
import warnings
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.lib.array_utils import byte_bounds

import scratch
from scratch import capture, recording
from scratch.capture import Captured, quickened
from scratch.module import Module, Sequential
from scratch.passes import Pass, through
from scratch.traced import NotTraceableError
from tests import cases
from tests.harness import generator

DTYPES = {"float32": (1, 7, 33), "float64": (2,)}
"""With the batch sizes that are run in them."""


def normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, scale: float = 1.0) -> np.ndarray:
    return (scale * rng.standard_normal(shape)).astype(dtype)


LOSSES = {1: ("mean", True), 2: ("sum", False), 7: ("sum", True), 33: ("mean", False)}
"""By the number of samples: the reduction, and whether targets are dense."""


def under_training(case: cases.LayerCase, dtype: Any) -> Sequential:
    """The layer in a network, above parameters, if it has none, so that its way back counts; below, what is flat."""
    layer = case.make(scratch, np.dtype(dtype))
    shape = case.shapes[0][1:]
    below: Module = scratch.Identity()
    if not layer.parameters() and len(shape) in (1, 3):
        size = shape[0]
        below = (
            scratch.Linear(size, size, dtype=dtype) if len(shape) == 1 else scratch.Subsample2d(size, 1, dtype=dtype)
        )
    return scratch.Sequential({"below": below, "layer": layer, "flat": scratch.Flatten()})


def refill(net: Sequential, rng: np.random.Generator, scale: float = 1.0) -> None:
    for array in net.parameters().values():
        array[...] = normal(rng, array.shape, array.dtype, scale)


def draw_masks(net: Sequential, x: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray] | None:
    return net.forward(x, rng)[1].masks if net.dropouts() else None


def same(one: np.ndarray, other: np.ndarray) -> None:
    """Bit for bit, in the same memory order."""
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    assert one.tobytes() == other.tobytes()
    assert order(one) == order(other)


def order(array: np.ndarray) -> list[int]:
    """Steps along the axes that have more than one place."""
    return [step for length, step in zip(array.shape, np.empty_like(array).strides, strict=True) if length > 1]


def same_grads(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> None:
    assert list(one) == list(other)
    for name, grad in one.items():
        same(grad, other[name])


def same_pass(one: Pass, other: Pass) -> None:
    same(np.asarray(one.value), np.asarray(other.value))
    assert isinstance(one.value, np.floating)
    same(one.output, other.output)
    same_grads(one.grads, other.grads)


def draw_target(rng: np.random.Generator, output: np.ndarray, dense: bool) -> np.ndarray:
    dense = dense or output.shape[1] == 1
    return normal(rng, output.shape, output.dtype) if dense else rng.integers(0, output.shape[1], len(output))


def compare(captured: Captured, x: np.ndarray, masks: Any = None, loss: Any = None, seed: int = 5) -> None:
    """A pass and a prediction, against those of the network itself."""
    net, given = captured.net, x.copy()
    rng = np.random.default_rng(seed)
    reduction, dense = LOSSES.get(len(x), ("mean", False))
    loss = loss or (scratch.CrossEntropy if not dense and seed % 2 else scratch.SquaredError)(reduction)
    with np.errstate(all="ignore"):
        output = net.predict(x)
        target = draw_target(rng, output, dense or output.shape[1] == 1)
        if target.dtype.kind == "f":
            loss = scratch.SquaredError(loss.reduction)
        for share in (1, 0.375):
            expected = through(net, loss, x, target, masks, share=share)
            found = captured.through(loss, x, target, masks, share=share)
            same_pass(found, expected)
            target = target[::-1].copy()
        same(captured.predict(x), output)
    assert x.tobytes() == given.tobytes()
    assert not any(np.may_share_memory(found.output, array) for array in (x, target, *found.grads.values()))
    assert not any(
        np.may_share_memory(array, own) for array in found.grads.values() for own in net.parameters().values()
    )


def draws(
    net: Sequential, inputs: tuple[int, ...], samples: int, dtype: str, scale: float, values: Any = ()
) -> Captured:
    captured = Captured(net)
    rng = generator(3, str(inputs), dtype, str(samples))
    for draw in range(4):
        refill(net, rng, scale)
        x = rng.choice(values, (samples, *inputs)).astype(dtype) if values else normal(rng, (samples, *inputs), dtype)
        compare(captured, x, draw_masks(net, x, rng), (scratch.SquaredError, scratch.CrossEntropy)[samples % 2](), draw)
    return captured


def passes(captured: Captured) -> list[Any]:
    return list(captured._recordings.values())


def is_replayed(captured: Captured) -> bool:
    """There and back, whole and as a share of more, and the prediction."""
    return captured._traceable and len(passes(captured)) == 3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", cases.LAYERS, ids=lambda case: f"{case.name} {case.label}")
def test_each_layer_is_replayed_as_it_computes(case: cases.LayerCase, dtype: str) -> None:
    long = np.prod(case.shapes[0]) > 1000
    for samples in DTYPES[dtype][: 2 if long else 3]:
        captured = draws(under_training(case, dtype), case.shapes[0][1:], samples, dtype, 1.0, case.values)
        assert is_replayed(captured)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", cases.NETWORKS, ids=lambda case: f"{case.name} {case.label}")
def test_each_network_is_replayed_as_it_computes(case: cases.NetworkCase, dtype: str) -> None:
    for samples in DTYPES[dtype][: 2 if case.own_size else 3]:
        net = case.make(scratch, np.dtype(dtype))
        assert is_replayed(draws(net, case.inputs, samples, dtype, case.scale))


def small(dtype: Any = np.float32) -> Sequential:
    """A convolution, a table, trained sub-sampling, dropout in a network within, and what squashes."""
    net = scratch.Sequential(
        {
            "conv": scratch.Conv2d(1, 3, 3, padding=1, dtype=dtype),
            "squash": scratch.Tanh.lecun(),
            "sample": scratch.Subsample2d(3, 2, dtype=dtype),
            "table": scratch.Conv2d(3, 4, 2, connections=cases.TABLE, dtype=dtype),
            "x": scratch.Dropout(0.4),  # named as the input is
            "inner": scratch.Sequential({"flat": scratch.Flatten(), "drop": scratch.Dropout(0.3)}),
            "top": scratch.Linear(16, 5, dtype=dtype),
        }
    )
    refill(net, np.random.default_rng(0), 0.5)
    return net


def images(samples: int = 4, seed: int = 1, dtype: Any = np.float32) -> np.ndarray:
    return normal(np.random.default_rng(seed), (samples, 1, 6, 6), dtype)


def test_masks_that_change_are_not_the_recorded_ones() -> None:
    captured, rng = Captured(small()), np.random.default_rng(2)
    for draw in range(4):
        x = images(4, draw)
        compare(captured, x, draw_masks(captured.net, x, rng))
        compare(captured, x)
    assert len(passes(captured)) == 5


@pytest.mark.parametrize(
    "strange",
    [np.nan, np.inf, -np.inf, 1e30, 3e38, -0.0, 1e-45],
)
def test_numbers_out_of_the_ordinary_give_what_they_give(strange: float) -> None:
    for activation in (scratch.Tanh.lecun, scratch.Logistic, scratch.ReLU, scratch.Softmax):
        net = scratch.MLP((6, 5, 4), [activation(), scratch.Identity()], rng=np.random.default_rng(0))
        captured = Captured(net)
        compare(captured, normal(np.random.default_rng(1), (3, 6), np.float32))
        x = normal(np.random.default_rng(2), (3, 6), np.float32)
        x[1, ::2] = strange
        compare(captured, x)
        net.parameters()["fc2.weight"][0, 1] = strange
        compare(captured, x)
        assert is_replayed(captured)


@pytest.mark.parametrize("recorded_under", ["ignore", "raise", "warn"])
@pytest.mark.parametrize("steps", ["there", "predict", "loss"])
def test_floating_point_errors_are_reported_as_without_a_recording(recorded_under: Any, steps: str) -> None:
    """Whatever was asked for when it was recorded; what a layer ignores stays ignored."""
    net = scratch.Sequential({"fc": scratch.Linear(3, 3, rng=np.random.default_rng(0)), "f": scratch.Logistic(2.0)})
    net.layers["steep"] = scratch.Tanh(100.0, 1.0)
    net.parameters()["fc.weight"][...] = np.eye(3) * 4
    captured = Captured(net)
    fine, high, ignored = (np.full((2, 3), value, np.float32) for value in (0.1, 3e38, -80))

    def run(one: Any, x: np.ndarray) -> None:
        if steps == "predict":
            one.predict(x)
        elif steps == "there":
            one.through(scratch.SquaredError(), x, np.zeros((2, 3), np.float32))
        else:
            one.through(scratch.SquaredError(), fine, np.full((2, 3), x.max()))

    class Plain:
        """The network itself, asked as its recording is."""

        predict = net.predict
        through = staticmethod(functools.partial(through, net))

    def said(one: Any, x: np.ndarray, how: Any) -> list[str]:
        with warnings.catch_warnings(record=True) as caught, np.errstate(all=how):
            warnings.simplefilter("always")
            try:
                run(one, x)
            except FloatingPointError as error:
                return [f"raised {error}"]
        return [str(warning.message) for warning in caught]

    with np.errstate(all=recorded_under):
        run(captured, fine)
    for how in ("warn", "raise", "ignore"):
        for x in (high, ignored, fine):
            assert said(captured, x, how) == said(Plain(), x, how)
    assert "overflow" in str(said(captured, high, "warn"))
    assert not said(captured, ignored, "raise")
    assert captured._traceable
    compare(captured, normal(np.random.default_rng(1), (2, 3), np.float32))


def test_what_has_gaps_is_not_recorded() -> None:
    captured = Captured(small())
    for x in (images(4)[::-1], images(4)[::2], np.broadcast_to(images(1), (4, 1, 6, 6))):
        compare(captured, x)
    assert not passes(captured)
    x, net, masks = images(4), captured.net, draw_masks(captured.net, images(4), np.random.default_rng(0))
    assert masks is not None
    dense, labels = normal(np.random.default_rng(0), (8, 5), np.float32), np.arange(8) % 5
    for loss, target, some in (
        (scratch.SquaredError(), dense[::2], None),
        (scratch.SquaredError(), np.broadcast_to(dense[0], (4, 5)), None),
        (scratch.CrossEntropy(), labels[::2], None),
        (scratch.CrossEntropy(), labels[:4], {name: mask[::-1] for name, mask in masks.items()}),
    ):
        same_pass(captured.through(loss, x, target, some), through(net, loss, x, target, some))
    assert not passes(captured)
    turned = np.asfortranarray(dense[:4])
    same_pass(captured.through(scratch.SquaredError(), x, turned), through(net, scratch.SquaredError(), x, turned))
    assert len(passes(captured)) == 1


def elementwise() -> Sequential:
    """What comes out lies in memory as what goes in, and sums are taken in that order."""
    return scratch.Sequential(
        {
            "scale": scratch.Subsample2d(1, 1),
            "squash": scratch.Tanh(),
            "same": scratch.Identity(),
            "flat": scratch.Flatten(),
        }
    )


@pytest.mark.parametrize("make", [small, elementwise])
def test_other_memory_orders_are_computed_as_they_are(make: Callable[[], Sequential], tmp_path: Any) -> None:
    captured, x = Captured(make()), images(4)
    stored = np.memmap(tmp_path / "x", np.float32, "w+", shape=x.shape)
    stored[...] = x
    layouts: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda x: x,
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=0)[::2],
        lambda x: np.repeat(x, 2, axis=3)[..., ::2],
        lambda x: x[::-1, :, ::-1],
        lambda x: x.transpose(0, 1, 3, 2),
        lambda x: np.broadcast_to(x[:1], x.shape),
        lambda _: stored,
        lambda x: np.frombuffer(x.tobytes(), np.float32).reshape(x.shape),  # read-only
        lambda x: np.frombuffer(b"_" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape),  # not aligned
    ]
    for round_ in range(2):
        for layout in layouts:
            compare(captured, layout(images(4, round_)))
            compare(captured, x)
    assert captured._traceable


def test_outputs_are_nobody_elses_and_gradients_are_lent_until_the_next_pass_of_the_form() -> None:
    captured, loss, labels = Captured(small()), scratch.CrossEntropy(), np.arange(4)
    found = [captured.through(loss, images(4, seed), labels) for seed in range(3)]
    outputs = [one.output for one in found] + [captured.predict(images(4, seed)) for seed in range(3)]
    kept = [array.copy("K") for array in outputs]
    last = {name: grad.copy("K") for name, grad in found[2].grads.items()}
    for grad in found[0].grads.values():
        assert not grad.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            grad += 1
    for one in found:
        same_grads(one.grads, last)
    found[0].grads.clear()  # the mapping is the caller's
    captured.predict(images(4, 8))  # in other memory, as what follows
    captured.through(loss, images(3), labels[:3])
    captured.through(scratch.SquaredError(), images(4, 7), labels)
    captured.through(loss, images(4, 7), labels, share=0.5)
    same_grads(found[2].grads, last)
    for array in outputs[::2]:
        array[...] = np.nan
    compare(captured, images(4, 8))
    same_pass(captured.through(loss, images(4, 2), labels), through(captured.net, loss, images(4, 2), labels))
    for array, copied in list(zip(outputs, kept, strict=True))[1::2]:
        same(array, copied)
    assert all(array.flags.writeable and type(array) is np.ndarray for array in outputs)
    assert not any(np.may_share_memory(a, b) for i, a in enumerate(outputs) for b in outputs[:i])


BAD: dict[str, Any] = {
    "dtype": images().astype(np.float64),
    "whole numbers": images().astype(int),
    "byte order": images().astype(">f4"),
    "rank": images()[0],
    "a number": np.float32(1.0),
    "no axis": np.array(1.0, np.float32),
    "width": images()[..., :1],
    "channels": np.concatenate([images(), images()], axis=1),
    "masked array": np.ma.ones((4, 1, 6, 6), np.float32),
    "list": images().tolist(),
    "None": None,
    "string": "x",
}
BAD_MASKS: dict[str, Any] = {
    "generator's seed": 3,
    "list": [("x", None)],
    "none of the names": {},
    "one of the names": {"x": np.ones((4, 4, 2, 2), bool)},
    "another name": {"": np.ones(1, bool), "x": np.ones((4, 4, 2, 2), bool), "inner.drop": np.ones((4, 16), bool)},
    "dtype": {"x": np.ones((4, 4, 2, 2)), "inner.drop": np.ones((4, 16), bool)},
    "shape": {"x": np.ones((4, 4, 1, 2), bool), "inner.drop": np.ones((4, 16), bool)},
    "list as a mask": {"x": [True], "inner.drop": np.ones((4, 16), bool)},
}


GOOD_TARGETS: dict[str, np.ndarray] = {
    "labels": np.array([0, 4, 2, 2]),
    "unsigned": np.array([0, 4, 2, 2], np.uint8),
    "dense": np.eye(4, 5, dtype=np.float32),
}
BAD_TARGETS: dict[str, Any] = {
    "label of none": np.array([0, 4, 5, 2]),
    "label of none, unsigned": np.array([0, 4, 5, 2], np.uint8),
    "far label, unsigned": np.array([0, 255, 5, 2], np.uint8),
    "negative label": np.array([0, 4, 2, -1]),
    "the first of several": np.array([-5, 9, 9, -1]),
    "too few": np.arange(3),
    "too many": np.zeros(5, int),
    "one": np.int64(1),
    "truth values": np.ones(4, bool),
    "rank": np.zeros((4, 1), int),
    "dense of another dtype": np.eye(4, 5),
    "dense of another width": np.eye(4, 4, dtype=np.float32),
    "dense of too few": np.eye(3, 5, dtype=np.float32),
    "list": [0, 1, 2, 3],
    "None": None,
    "masked array": np.ma.zeros(4, int),
    "objects": np.array([0, 1, 2, 3], object),
    "words": np.array(list("abcd")),
}


def refusal(function: Callable[..., Any], *arguments: Any) -> tuple[type, str]:
    with pytest.raises((TypeError, ValueError, AttributeError)) as caught:
        function(*arguments)
    return caught.type, str(caught.value)


@pytest.mark.parametrize("recorded", [False, True])
def test_what_the_network_refuses_is_refused_in_its_words(recorded: bool) -> None:
    captured = Captured(small())
    net, masks = captured.net, draw_masks(captured.net, images(), np.random.default_rng(0))
    if recorded:
        compare(captured, images())
        compare(captured, images(), masks)
    kept, labels = passes(captured), np.arange(4)

    def refused(*arguments: Any) -> tuple[type, str]:
        found = refusal(captured.through, *arguments)
        assert found == refusal(through, net, *arguments)
        return found

    for loss in (scratch.CrossEntropy(), scratch.SquaredError()):
        for x in BAD.values():
            refused(loss, x, labels)
            refused(loss, x, labels, masks)
            assert refusal(captured.predict, x) == refusal(net.predict, x)
        for bad in BAD_MASKS.values():
            refused(loss, images(), labels, bad)
    assert captured._traceable
    assert [one for one in kept if one not in passes(captured)] == []
    compare(captured, images(4, 9))
    compare(captured, images(4, 9), masks)
    drawn = captured.through(scratch.CrossEntropy(), images(), labels, np.random.default_rng(0))  # as the network does
    same_pass(drawn, through(net, scratch.CrossEntropy(), images(), labels, np.random.default_rng(0)))  # type: ignore[arg-type]


@pytest.mark.parametrize("recorded", [0, 1, 3], ids=lambda times: f"after {times} passes")
@pytest.mark.parametrize("loss", [scratch.CrossEntropy, scratch.SquaredError])
def test_a_target_out_of_range_is_refused_of_a_replayed_pass_in_the_same_words(loss: Any, recorded: int) -> None:
    captured, criterion, x = Captured(small()), loss(), images()
    good = [target for target in GOOD_TARGETS.values() if loss is scratch.SquaredError or target.dtype.kind != "f"]
    for target in good * recorded:
        captured.through(criterion, x, target)
    assert len(passes(captured)) == (len(good) if recorded else 0)
    said = []
    for bad in BAD_TARGETS.values():
        found = refusal(captured.through, criterion, x, bad)
        assert found == refusal(through, captured.net, criterion, x, bad)
        said.append(found[1])
        for target in good[:recorded]:
            same_pass(captured.through(criterion, x, target), through(captured.net, criterion, x, target))
    assert said[:4] == [
        "target[2] is 5, expected a label from 0 to 4",
        "target[2] is 5, expected a label from 0 to 4",
        "target[1] is 255, expected a label from 0 to 4",
        "target[3] is -1, expected a label from 0 to 4",
    ]
    assert captured._traceable
    for target in good:
        same_pass(captured.through(criterion, x, target), through(captured.net, criterion, x, target))


def test_a_loss_whose_reduction_was_changed_is_another() -> None:
    captured, loss = Captured(small()), scratch.CrossEntropy()
    for seed, reduction in enumerate(["mean", "sum", "sum", "mean", "mean", "sum"]):
        loss.reduction = reduction  # type: ignore[assignment]
        for one in (loss, scratch.CrossEntropy(reduction), scratch.SquaredError(reduction)):  # type: ignore[arg-type]
            x, labels = images(4, seed), np.arange(4)
            same_pass(captured.through(one, x, labels), through(captured.net, one, x, labels))
    assert len(passes(captured)) == 4


class Doubled(scratch.CrossEntropy):
    """Of another package: what it adds is no call of NumPy."""

    seen = 0

    def forward(self, output: Any, target: Any) -> Any:
        Doubled.seen += 1
        value, cache = super().forward(output, target)
        return 2 * value, cache


def test_only_the_losses_themselves_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    captured, x, labels = Captured(small()), images(), np.arange(4)
    plain = through(captured.net, scratch.CrossEntropy(), x, labels)
    for count in range(1, 4):
        assert captured.through(Doubled(), x, labels).value == 2 * plain.value
        assert Doubled.seen == count
    watched, calls, forward = scratch.CrossEntropy(), [], scratch.CrossEntropy().forward
    watched.forward = lambda *given: calls.append(given) or forward(*given)  # type: ignore[method-assign]
    for _ in range(3):
        same_pass(captured.through(watched, x, labels), plain)
    assert len(calls) == 3
    noted = scratch.CrossEntropy()
    noted.history = []  # type: ignore[attr-defined]  # which is no key of a mapping
    same_pass(captured.through(noted, x, labels), plain)
    assert not passes(captured)
    assert captured._traceable
    compare(captured, x)
    unchecked = scratch.CrossEntropy.unchecked
    monkeypatch.setattr(scratch.CrossEntropy, "unchecked", lambda *given: calls.append(given) or unchecked(*given))
    patched = Captured(small())
    same_pass(patched.through(scratch.CrossEntropy(), x, labels), plain)
    assert not patched._traceable


def test_what_is_too_large_to_be_worth_a_copy_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_SMALL", 4 * 36)
    captured = Captured(small())
    compare(captured, images(5))
    assert not passes(captured)
    compare(captured, images(4))
    assert is_replayed(captured)


def test_an_empty_batch_is_the_networks() -> None:
    captured = Captured(small())
    compare(captured, images(0))
    assert not passes(captured)


def test_shapes_in_turn_and_more_than_are_kept() -> None:
    captured = Captured(small())
    compare(captured, images(1))
    first = passes(captured)
    for samples in (*range(2, capture._MOST + 4), 2, 3, 2, 3):
        compare(captured, images(samples))
        assert len(passes(captured)) <= capture._MOST
    assert len(passes(captured)) == capture._MOST
    assert passes(captured)[: len(first)] == first
    assert is_replayed_again(captured, images(1))


def test_a_form_that_comes_once_is_not_recorded() -> None:
    captured = copy.copy(Captured(small(), patience=1))
    for samples, recorded in ((4, 0), (3, 0), (4, 3), (3, 6)):  # whole, a share, and the prediction
        compare(captured, images(samples))
        assert len(passes(captured)) == recorded
    assert isinstance(pickle.loads(pickle.dumps(captured)), Captured)


def test_what_is_assigned_to_a_layer_counts_at_the_next_pass() -> None:
    net = scratch.LeNet5(rng=np.random.default_rng(0))
    captured, x = Captured(net), np.random.default_rng(1).standard_normal((2, 1, 28, 28)).astype(np.float32)
    compare(captured, x)
    layers: Any = net.layers
    for assign in (
        lambda: setattr(layers["c1_f"], "a", 2.0),
        lambda: setattr(layers["canvas"], "value", 0.5),
        lambda: setattr(layers["c3"], "connections", layers["c3"].connections & (np.arange(6) < 3)),
        lambda: layers["c3"].connections.__setitem__((slice(None), slice(2)), False),  # in place
        lambda: setattr(layers["f6"], "weight", layers["f6"].weight * 2),
        lambda: layers.update(s2_f=scratch.ReLU()),
        lambda: layers.update(c1_f=layers.pop("c1_f")),  # behind all others
        lambda: layers.update(more=scratch.Logistic()),
    ):
        before = captured.predict(x)
        assign()
        compare(captured, x)
        compare(captured, x)
        assert not np.array_equal(captured.predict(x), before)
    assert captured._traceable
    layers.update(f6_f=Elsewhere())
    compare(captured, x)
    assert not captured._traceable


def test_who_assigns_parameters_at_every_pass_does_not_have_every_pass_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    captured, made, recorded = Captured(small(), patience=1), [], capture.recorded
    monkeypatch.setattr(capture, "recorded", lambda *given: made.append(0) or recorded(*given))
    layer: Any = captured.net.layers["top"]
    for seed in range(40):
        layer.weight = layer.weight * np.float32(0.99)
        x, labels = images(4, seed), np.arange(4)
        expected = through(captured.net, scratch.CrossEntropy(), x, labels)
        same_pass(captured.through(scratch.CrossEntropy(), x, labels), expected)
    assert 1 < len(made) <= 3
    for _ in range(600):  # it does come to that, if they stay
        captured.through(scratch.CrossEntropy(), x, labels)
    same_pass(captured.through(scratch.CrossEntropy(), x, labels), expected)
    assert len(passes(captured)) == 1


class Elsewhere(scratch.Tanh):
    """A layer that is not of the package."""


def is_replayed_again(captured: Captured, x: np.ndarray) -> bool:
    compare(captured, x)
    before = passes(captured)
    compare(captured, x)
    return captured._traceable and passes(captured) == before


def test_parameters_may_be_other_arrays() -> None:
    captured = Captured(small())
    layer: Any = captured.net.layers["top"]
    layer.stale = 1
    compare(captured, images())
    layer.weight = layer.weight * 2
    compare(captured, images())
    layer.bias = None
    compare(captured, images())
    del layer.stale
    compare(captured, images())
    with pytest.raises(ValueError, match="cannot resize"):
        layer.weight.resize((1, 1))


def own(*classes: type) -> None:
    """Pretend that classes are of the package, with their methods."""
    for one in classes:
        one.__module__ = "scratch.pretended"
        for member in vars(one).values():
            if callable(member):
                member.__module__ = "scratch.pretended"


class Outside(scratch.Linear):
    """Of another package, though it changes nothing."""


class Counting(scratch.MLP):
    """Does more than call NumPy."""

    passes = 0

    def forward(self, x: Any, dropout: Any = None) -> Any:
        self.passes += 1
        return super().forward(x, dropout)


def test_only_what_is_of_the_package_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)

    def untouched(net: Sequential) -> bool:
        captured = Captured(net)
        for seed in range(3):
            compare_outputs(captured, normal(np.random.default_rng(seed), (4, 3), np.float32))
        return not passes(captured)

    assert untouched(scratch.Sequential({"fc": Outside(3, 2, rng=rng)}))
    assert untouched(scratch.Sequential({"in": scratch.Sequential({"fc": Outside(3, 2, rng=rng)})}))
    counting = Counting((3, 2), rng=rng)
    assert untouched(counting)
    assert counting.passes == 6  # three of them to compare with
    assert untouched(scratch.Sequential({"in": counting}))
    patched = scratch.Linear(3, 2, rng=rng)
    forward = patched.forward
    monkeypatch.setattr(patched, "forward", lambda x: forward(-x))
    assert untouched(scratch.Sequential({"fc": patched}))
    assert not untouched(scratch.Sequential({"fc": scratch.Linear(3, 2, rng=rng)}))
    plain_forward = scratch.Linear.forward
    monkeypatch.setattr(scratch.Linear, "forward", lambda self, x: plain_forward(self, -x))
    assert untouched(scratch.Sequential({"fc": scratch.Linear(3, 2, rng=rng)}))


def compare_outputs(captured: Captured, x: np.ndarray) -> None:
    target = normal(np.random.default_rng(len(x)), captured.net.predict(x).shape, x.dtype)
    expected = through(captured.net, scratch.SquaredError(), x, target)
    same_pass(captured.through(scratch.SquaredError(), x, target), expected)
    same(captured.predict(x), expected.output)


class Scaled(Module):
    """y = s·x with one number to train; how, is for those below to say."""

    def __init__(self) -> None:
        self.scale = np.full(1, 2.0)

    def parameters(self) -> dict[str, Any]:
        return {"scale": self.scale}

    def forward(self, x: Any) -> Any:
        return x * self.scale, x

    def backward(self, dy: Any, cache: Any) -> Any:
        return dy * self.scale, {"scale": (dy * cache).sum(keepdims=True).reshape(1)}


class Deciding(Scaled):
    def forward(self, x: Any) -> Any:
        return (x if x.sum() > 0 else -x) * self.scale, x


class Escaping(Scaled):
    def forward(self, x: Any) -> Any:
        return np.array(x) * np.array(self.scale) + x * 0, x


class DecidingBack(Scaled):
    def backward(self, dy: Any, cache: Any) -> Any:
        return dy, {"scale": np.zeros_like(self.scale) + float(dy[0, 0]) * cache[0, 0]}


class EscapingBack(Scaled):
    def backward(self, dy: Any, cache: Any) -> Any:
        return dy, {"scale": self.scale * np.array(cache)[0, 0]}


class Hidden(Scaled):
    """The parameter is a view made anew; products with it would be those of the numbers that were there."""

    def parameters(self) -> dict[str, Any]:
        return {"scale": self.scale[:]}


class Dependent(Scaled):
    """As many numbers as are different: the same number each time, until it is another."""

    def forward(self, x: Any) -> Any:
        return x * self.scale * np.unique(np.where(x > 90, 1.0, 0.0)).sum(), x


class Failing(Scaled):
    """NumPy is asked in a way that a tape does not know of."""

    def forward(self, x: Any) -> Any:
        return x.transpose(axes=(0, 1)) * self.scale if type(x) is not np.ndarray else x * self.scale, x


own(Scaled, Deciding, Escaping, DecidingBack, EscapingBack, Hidden, Dependent, Failing)


@pytest.mark.parametrize("kind", [Scaled, Deciding, Escaping, DecidingBack, EscapingBack, Hidden, Dependent, Failing])
def test_a_layer_that_no_recording_does_justice_to_is_computed_plainly(kind: Any) -> None:
    """From the first call on, though the same numbers come twice before others do."""
    net = scratch.Sequential({"layer": kind()})
    captured = Captured(net)
    for seed in (1, 1, 1, 2, 3, 4):
        compare_outputs(captured, normal(np.random.default_rng(seed), (2, 3), np.float64))
        net.layers["layer"].scale[...] = seed  # type: ignore[attr-defined]
    assert captured._traceable == (kind in (Scaled, Dependent, Failing))
    assert bool(passes(captured)) == (kind in (Scaled, Dependent))
    for values in (np.full((2, 3), 91.0), np.linspace(80, 100, 6).reshape(2, 3)):
        compare_outputs(captured, values)
    assert captured._traceable == (kind in (Scaled, Failing))


def test_a_prediction_that_no_recording_does_justice_to_is_made_plainly() -> None:
    net = scratch.Sequential({"layer": Dependent()})
    captured, other = Captured(net), np.linspace(80, 100, 6).reshape(2, 3)
    for x in (np.ones((2, 3)), np.zeros((2, 3)), other, np.ones((2, 3)), other):
        same(captured.predict(x), net.predict(x))
    assert not captured._traceable
    assert len(passes(captured)) == 1


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("at", [1, 9, 40])
def test_a_recording_that_is_broken_off_leaves_nothing(error: type, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    captured, broken = Captured(small()), []
    place = capture.Tape.place

    def failing(self: Any, like: Any) -> Any:
        broken.append(0)
        if len(broken) == at:
            raise error
        return place(self, like)

    monkeypatch.setattr(capture.Tape, "place", failing)
    try:
        compare(captured, images())
    except KeyboardInterrupt:
        assert error is KeyboardInterrupt
    else:
        assert error is MemoryError  # the plain pass needs less, and was made
    monkeypatch.undo()
    assert len(broken) >= at
    assert captured._traceable
    assert not captured._turns.locked()
    for seed in range(3):
        compare(captured, images(4, seed))
    assert is_replayed(captured)


def test_threads_wait_for_each_other() -> None:
    """Losses, outputs and predictions are each thread's own; gradients are lent until another's pass."""
    captured, loss = Captured(small()), scratch.CrossEntropy()
    labels = [np.full(4, seed) for seed in range(4)]
    expected = [through(small(), loss, images(4, seed), labels[seed]) for seed in range(4)]
    faults: list[object] = []

    def work(seed: int) -> None:
        for _ in range(60):
            if captured.predict(images(4, seed)).tobytes() != expected[seed].output.tobytes():
                faults.append(seed)
            found = captured.through(loss, images(4, seed), labels[seed])
            if found.output.tobytes() != expected[seed].output.tobytes() or found.value != expected[seed].value:
                faults.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert faults == []


def test_one_thread_at_a_time_uses_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    captured, lent, locked = Captured(small()), recording.Calls.lent, []

    def watched(self: Any, *inputs: Any) -> Any:
        locked.append(captured._turns.locked())
        return lent(self, *inputs)

    monkeypatch.setattr(recording.Calls, "lent", watched)
    for _ in range(2):
        captured.through(scratch.CrossEntropy(), images(), np.arange(4))
        captured.predict(images())
    assert len(locked) == 6  # two of them to be compared
    assert all(locked)
    with pytest.raises(ValueError, match="label"):
        captured.through(scratch.CrossEntropy(), images(), np.arange(4) + 4)
    assert not captured._turns.locked()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_has_its_own_network_and_records_anew(duplicate: Callable[[Captured], Captured]) -> None:
    captured = Captured(small())
    compare(captured, images())
    twin = duplicate(captured)
    refill(twin.net, np.random.default_rng(9))
    for seed in range(3):
        compare(twin, images(4, seed))
        compare(captured, images(4, seed))
    assert twin.predict(images()).tobytes() != captured.predict(images()).tobytes()
    shared = copy.copy(captured)
    assert shared.net is captured.net
    compare(shared, images())


def test_nothing_keeps_what_is_forgotten() -> None:
    """Memory is given back at once, not when cycles are looked for."""
    captured = Captured(small())
    compare(captured, images(), draw_masks(captured.net, images(), np.random.default_rng(0)))
    kept = [weakref.ref(captured), *(weakref.ref(one.calls) for one in passes(captured))]
    kept += [weakref.ref(one.calls._inputs[0].tape) for one in passes(captured)]
    gc.disable()
    try:
        del captured
        assert [one() for one in kept] == [None] * len(kept)
    finally:
        gc.enable()


def held(one: Any, net: Sequential) -> int:
    """Bytes from the first to the last that a recording runs through, of the arrays that are not the network's."""
    arrays = one.calls._places + [array for call in one.calls._calls for array in in_call(call)]
    values = [value for module in capture.modules(net) for value in vars(module).values()]
    params = {id(root(value)) for value in values if isinstance(value, np.ndarray)}
    own = [array for array in arrays if id(root(array)) not in params]
    roots = {id(root(array)): root(array) for array in own}
    spans = []
    for key, array in roots.items():
        bounds = [byte_bounds(one) for one in own if id(root(one)) == key]
        spans.append(min(array.nbytes, max(end for _, end in bounds) - min(begin for begin, _ in bounds)))
    return sum(spans)


def in_call(call: Any) -> list[np.ndarray]:
    """The arrays that a call reads and writes, one with its own way to report errors among them."""
    within = [array for value in call.args if hasattr(value, "args") for array in in_call(value)]
    return [*within, *(value for value in call.args if isinstance(value, np.ndarray))]


def root(array: Any) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_a_recording_holds_about_what_a_plain_pass_needs() -> None:
    """At its peak, measured. More by what is copied in and out, and by memory that serves what needs less."""
    net = scratch.LeNet5(rng=np.random.default_rng(0))
    captured = Captured(net)
    x = normal(np.random.default_rng(1), (16, 1, 28, 28), np.float32)
    loss, labels = scratch.CrossEntropy(), np.arange(16) % 10
    captured.through(loss, x, labels)
    captured.predict(x)

    def peak(function: Callable[[], Any]) -> int:
        tracemalloc.start()
        try:
            function()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    there_and_back, there = passes(captured)
    assert held(there_and_back, net) <= 1.5 * peak(lambda: through(net, loss, x, labels))
    assert held(there, net) <= 2.2 * peak(lambda: net.predict(x))


def test_large_networks_are_left_as_they_are() -> None:
    net = small()
    assert isinstance(quickened(net), Captured)
    large = scratch.Sequential({"fc": scratch.Linear(capture._WORTH, 1, bias=False)})
    assert isinstance(quickened(large), Captured)
    larger = scratch.Sequential({"fc": scratch.Linear(capture._WORTH, 1)})
    assert quickened(larger) is larger


def test_lots_that_differ_are_not_the_same() -> None:
    one = {"a": np.zeros((2, 3)), "b": np.ones(2)}
    others: list[dict[str, np.ndarray]] = [
        {"b": one["b"], "a": one["a"]},
        {"a": one["a"]},
        {"a": one["a"], "b": np.ones(2, np.float32)},
        {"a": -one["a"], "b": one["b"]},
        {"a": one["a"].reshape(3, 2), "b": one["b"]},
        {"a": np.asfortranarray(one["a"]), "b": one["b"]},
    ]
    assert recording.same_bits(one, dict(one))
    assert not any(recording.same_bits(one, other) for other in others)


def test_a_network_whose_parameters_are_not_attributes_has_no_shadow() -> None:
    with pytest.raises(NotTraceableError, match="parameters of Hidden"):
        capture.shadow(scratch.Sequential({"layer": Hidden()}), capture.Tape())
