"""Bad input is refused by both wings, with what came and what was expected; nothing is changed by the attempt."""

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
    ),
    Wing(
        torchref,
        array=lambda shape, dtype: torch.zeros(shape, dtype=getattr(torch, dtype)),
        labels=lambda values: torch.tensor(values),
        run=lambda thing, *arguments: thing(*arguments),
        dtype=lambda name: getattr(torch, name),
        generator=lambda: torch.Generator().manual_seed(0),
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
