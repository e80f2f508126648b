"""Bad input is refused by both wings, with what came and what was expected; nothing is changed by the attempt."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import scratch
import torchref
from tests.refusals import REFUSALS, Refusal, Wing


def run_scratch(thing: Any, *arguments: Any) -> Any:
    return thing.forward(*arguments)


WINGS = (
    Wing(
        scratch,
        array=lambda shape, dtype: np.zeros(shape, dtype),
        labels=lambda values: np.array(values),
        run=run_scratch,
        dtype=np.dtype,
        generator=lambda: np.random.default_rng(0),
        foreign=lambda shape, dtype: torch.zeros(shape, dtype=getattr(torch, dtype)),
    ),
    Wing(
        torchref,
        array=lambda shape, dtype: torch.zeros(shape, dtype=getattr(torch, dtype)),
        labels=lambda values: torch.tensor(values),
        run=lambda thing, *arguments: thing(*arguments),
        dtype=lambda name: getattr(torch, name),
        generator=lambda: torch.Generator().manual_seed(0),
        foreign=lambda shape, dtype: np.zeros(shape, dtype),
    ),
)


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.module.__name__)
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.label)
def test_refused(refusal: Refusal, wing: Wing) -> None:
    with pytest.raises(refusal.error) as caught:
        refusal.call(wing)
    for fragment in refusal.says:
        assert fragment in str(caught.value)


def test_upstream_gradients_are_checked_against_the_output() -> None:
    """torch checks its own; scratch's backward passes are called by hand."""
    x = np.zeros((4, 3), np.float32)
    for layer in (
        scratch.Linear(3, 3),
        scratch.Threshold(),
        scratch.Logistic(),
        scratch.Tanh(),
        scratch.ReLU(),
        scratch.Identity(),
        scratch.Softmax(),
    ):
        _, cache = layer.forward(x)
        with pytest.raises(ValueError, match=r"dy has shape \(3, 4\), expected \(4, 3\)"):
            layer.backward(np.zeros((3, 4), np.float32), cache)
        with pytest.raises(TypeError, match="dy has dtype float64, expected float32"):
            layer.backward(np.zeros((4, 3)), cache)
        with pytest.raises(TypeError, match="dy is a list"):
            layer.backward([[0.0]], cache)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (scratch.Conv1d(2, 4, 3), (3, 2, 9)),
        (scratch.Conv2d(2, 4, (3, 2), (2, 1), (1, 0)), (3, 2, 5, 9)),
        (scratch.AvgPool2d(2), (3, 2, 5, 9)),
        (scratch.MaxPool2d(2), (3, 2, 5, 9)),
        (scratch.Subsample2d(2, 2), (3, 2, 5, 9)),
        (scratch.Flatten(), (3, 2, 5, 9)),
        (scratch.Canvas2d(9), (3, 2, 5, 9)),
        (scratch.Dropout(), (3, 2, 5, 9)),
        (scratch.LeNet5(), (3, 1, 28, 28)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_upstream_gradients_of_maps_are_checked_against_the_output(layer: Any, shape: tuple[int, ...]) -> None:
    y, cache = layer.forward(np.zeros(shape, np.float32))
    wrong = [
        np.zeros(y.shape[1:], np.float32),  # the batch axis forgotten
        np.zeros((1, *y.shape[1:]), np.float32),  # would broadcast
        np.zeros((*y.shape[:-1], y.shape[-1] + 1), np.float32),
        np.zeros(y.shape[::-1], np.float32),
    ]
    for dy in wrong:
        with pytest.raises(ValueError, match=re.escape(f"dy has shape {dy.shape}, expected {y.shape}")):
            layer.backward(dy, cache)
    with pytest.raises(TypeError, match="dy has dtype float64, expected float32"):
        layer.backward(np.zeros(y.shape), cache)
    with pytest.raises(TypeError, match="dy is a list"):
        layer.backward([[0.0]], cache)


@pytest.mark.parametrize(("wing", "array"), [(scratch, np.ones), (torchref, torch.ones)])
def test_a_refused_step_changes_nothing(wing: ModuleType, array: Any) -> None:
    optimizer = wing.SGD(0.1, momentum=0.9)
    params = {"a.weight": array(2), "b.weight": array(3)}
    with pytest.raises(ValueError, match=r"grads\['b.weight'\] has shape \(2,\), expected \(3,\)"):
        optimizer.step(params, {"a.weight": array(2), "b.weight": array(2)})
    assert all(bool((value == 1).all()) for value in params.values())
    assert optimizer.state_dict() == {}


def test_a_read_only_parameter_stops_the_step_before_it_begins() -> None:
    first, second = np.ones(2), np.ones(2)
    second.flags.writeable = False
    optimizer = scratch.SGD(0.1, momentum=0.9)
    with pytest.raises(ValueError, match=r"params\['second'\] is read-only"):
        optimizer.step({"first": first, "second": second}, {"first": np.ones(2), "second": np.ones(2)})
    assert (first == 1).all()
    assert optimizer.state_dict() == {}


def test_a_read_only_parameter_keeps_a_state_out_altogether() -> None:
    net = scratch.MLP((4, 3, 2))
    before = net.state_dict()
    net.parameters()["fc2.bias"].flags.writeable = False
    with pytest.raises(ValueError, match=r"fc2.bias is read-only here"):
        net.load_state_dict({name: value + 1 for name, value in before.items()})
    assert all((value == before[name]).all() for name, value in net.parameters().items())


def test_array_subclasses_are_refused_but_for_memory_maps(tmp_path: Path) -> None:
    masked = np.ma.masked_array(np.ones((2, 3), np.float32))
    with pytest.raises(TypeError, match="x is a MaskedArray, expected a NumPy array"):
        scratch.Tanh().forward(masked)
    with pytest.raises(TypeError, match="mask is a MaskedArray, expected a boolean array"):
        scratch.Dropout().forward(np.ones((2, 3), np.float32), masked > 0)
    labels = np.ma.masked_array([0, 1], mask=[True, False])
    for loss in (scratch.CrossEntropy(), scratch.SquaredError()):
        with pytest.raises(TypeError, match="target is MaskedArray, expected an integer array"):
            loss.forward(np.ones((2, 3), np.float32), labels)
    with pytest.raises(ValueError, match="weight is a MaskedArray, expected a NumPy array"):
        scratch.Linear(3, 2, bias=False).load_state_dict({"weight": masked})
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(2, 3))
    assert scratch.Tanh().forward(mapped)[0].shape == (2, 3)


def test_unknown_dtypes_name_the_argument() -> None:
    with pytest.raises(TypeError, match="dtype is foo, expected float32 or float64"):
        scratch.Linear(2, 3, dtype="foo")


@pytest.mark.parametrize(("wing", "array"), [(scratch, np.ones), (torchref, torch.ones)])
def test_strict_false_passes_over_strangers_but_not_over_shapes(wing: ModuleType, array: Any) -> None:
    net = wing.MLP((2, 3))
    one = array((3,)) if wing is torchref else array((3,), np.float32)
    net.load_state_dict({"fc1.bias": one, "fc9.bias": one}, strict=False)
    assert bool((net.state_dict()["fc1.bias"] == 1).all())
    with pytest.raises(ValueError, match=r"fc1.bias has shape \(3, 1\), expected \(3,\)"):
        net.load_state_dict({"fc1.bias": one.reshape(3, 1)}, strict=False)


@pytest.mark.parametrize("wing", [scratch, torchref])
def test_numpy_ints_are_sizes_like_any_other(wing: ModuleType) -> None:
    layer = wing.Conv2d(np.int64(2), np.int32(3), (np.int8(5), np.uint8(4)), np.int64(2), (np.int16(1), 0))
    assert (layer.kernel_size, layer.stride, layer.padding) == ((5, 4), (2, 2), (1, 0))
    assert tuple(layer.weight.shape) == (3, 2, 5, 4)
    assert wing.Conv1d(2, 3, np.int64(5)).output_shape((2, np.int64(9))) == (3, 5)
    assert wing.Subsample2d(np.int64(2), np.int64(2)).output_shape((2, 6, 8)) == (2, 3, 4)
    assert wing.Canvas2d(np.int64(8)).size == (8, 8)
    assert wing.Conv2d(1, 1, [3, 2]).kernel_size == (3, 2)


TABLE = ((True, False), (True, True), (False, True))


def test_a_plain_convolutions_state_loads_into_both_wings_and_its_absent_links_do_not_matter() -> None:
    plain = torch.nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), dtype=torch.float64)
    present = torch.tensor(TABLE)[:, :, None, None].expand(-1, -1, 3, 2)
    assert bool((plain.weight[~present] != 0).all())
    ours, twin = (
        wing.Conv2d(2, 3, (3, 2), (2, 1), (1, 0), connections=TABLE, dtype=dtype)
        for wing, dtype in ((scratch, np.float64), (torchref, torch.float64))
    )
    twin.load_state_dict(plain.state_dict())
    ours.load_state_dict({name: tensor.numpy() for name, tensor in plain.state_dict().items()})
    x = torch.randn(4, 2, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        plain.weight[~present] = 0
        expected = plain(x)
        assert torch.equal(twin(x), expected)
    np.testing.assert_allclose(ours.forward(x.numpy())[0], expected.numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.module.__name__)
def test_a_refused_state_of_a_convolution_is_not_half_loaded(wing: Wing) -> None:
    net = wing.module.LeNet5(rng=wing.generator())
    state = {name: value + 1 for name, value in net.state_dict().items()}
    last = list(state)[-1]
    with pytest.raises(ValueError, match=rf"{last} has shape \(11,\), expected \(10,\)"):
        net.load_state_dict(state | {last: wing.array((11,), "float32")})
    fresh = wing.module.LeNet5(rng=wing.generator()).state_dict()
    assert all(bool((value == fresh[name]).all()) for name, value in net.state_dict().items())


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.module.__name__)
def test_absent_links_start_at_zero_and_the_table_is_a_copy(wing: Wing) -> None:
    table = np.array(TABLE) if wing.module is scratch else torch.tensor(TABLE)
    layer = wing.module.Conv2d(2, 3, 3, connections=table, rng=wing.generator())
    table[0, 1] = True  # not a list's entry: that would be copied in any case
    assert layer.connections.tolist() == [list(row) for row in TABLE]
    absent = ~np.array(TABLE)
    weights = np.array(layer.state_dict()["weight"].tolist())
    assert (weights[absent] == 0).all()
    assert (weights[~absent] != 0).all()
