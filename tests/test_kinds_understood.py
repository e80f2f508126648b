"""Torch's own layers translated to what the analytic criteria know."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import scratch
import torchref
from torchref import oracle
from torchref.oracle.kinds.understood import agrees, understood
from torchref.oracle.layer import gradients

KNOWN = {
    "linear": (nn.Linear(5, 4), (3, 5)),
    "linear on sequences": (nn.Linear(5, 4, bias=False), (2, 3, 5)),
    "grouped": (nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), (2, 4, 9, 8)),
    "reflecting": (nn.Conv1d(2, 3, 3, padding=2, padding_mode="reflect"), (2, 2, 7)),
    "tanh": (nn.Tanh(), (3, 5)),
    "sigmoid": (nn.Sigmoid(), (3, 5)),
    "relu": (nn.ReLU(inplace=True), (3, 5)),
    "identity": (nn.Identity(), (3, 5)),
    "softmax": (nn.Softmax(dim=1), (3, 5)),
    "softmax from behind": (nn.Softmax(dim=-1), (3, 5)),
    "flatten": (nn.Flatten(), (3, 2, 4)),
    "max": (nn.MaxPool2d(2), (2, 3, 5, 4)),
    "average": (nn.AvgPool2d((2, 3), stride=1), (2, 3, 5, 4)),
    "dropout in evaluation": (nn.Dropout(0.4).eval(), (3, 5)),
    "dropout of nothing": (nn.Dropout(0.0), (3, 5)),
    "torchref's": (torchref.Tanh.lecun(), (3, 5)),
    "network": (nn.Sequential(OrderedDict(a=nn.Linear(5, 4), b=nn.Sequential(nn.Tanh(), nn.Linear(4, 2)))), (3, 5)),
}
UNKNOWN = {
    "other layer": nn.GELU(),
    "softmax over rows": nn.Softmax(dim=0),
    "flatten of all": nn.Flatten(0),
    "padded maximum": nn.MaxPool2d(2, padding=1),
    "dilated maximum": nn.MaxPool2d(2, dilation=2),
    "padded average": nn.AvgPool2d(2, padding=1),
    "average by another divisor": nn.AvgPool2d(2, divisor_override=3),
    "dropout in training": nn.Dropout(0.4),
    "smoothed labels": nn.CrossEntropyLoss(label_smoothing=0.1),
    "weighted classes": nn.CrossEntropyLoss(torch.ones(3)),
    "a loss by sample": nn.MSELoss(reduction="none"),
    "network with another layer": nn.Sequential(nn.Linear(5, 4), nn.GELU()),
    "subclass": type("Twice", (nn.Tanh,), {"forward": lambda _, x: torch.tanh(x) * 2})(),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_understood_computes_the_same(name: str) -> None:
    module, shape = KNOWN[name]
    module = module.double()
    known = understood(module)
    assert known is not None
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert agrees(module, known, x)
    dy = torch.randn(known(x).shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    if name != "relu":  # in place, autograd refuses a leaf
        theirs, mine = gradients(module, x, dy), gradients(known, x, dy)
        assert list(theirs) == list(mine)
        assert all(theirs[key].equal(mine[key]) for key in theirs)
    assert [(k, id(p)) for k, p in known.named_parameters()] == [(k, id(p)) for k, p in module.named_parameters()]


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_computes_something_else_is_not_understood(name: str) -> None:
    assert understood(UNKNOWN[name]) is None


def test_hooks_are_not_understood() -> None:
    layer = nn.Linear(3, 2)
    layer.register_forward_hook(lambda *_: None)
    assert understood(layer) is None


def test_a_softmax_over_maps_is_told_apart() -> None:
    module = nn.Softmax(dim=1)
    known = understood(module)
    assert known is not None
    assert not agrees(module, known, torch.ones(2, 3, 4, 4))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_torch_losses_have_criteria(reduction: str, dtype: str) -> None:
    rng = np.random.default_rng(3)
    output, labels = rng.normal(size=(6, 4)).astype(dtype), rng.integers(0, 4, 6)
    known = understood(nn.CrossEntropyLoss(reduction=reduction))
    assert known is not None
    oracle.check_loss("", scratch.CrossEntropy(reduction), known, output, labels).require()

    class MeanSquare:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        def forward(self, output: np.ndarray, target: np.ndarray) -> tuple[np.floating, np.ndarray]:
            residual = output - target
            divisor = output.size if reduction == "mean" else 1
            return self.factor * np.square(residual).sum() / divisor, residual / divisor

        def backward(self, cache: np.ndarray) -> np.ndarray:
            return 2 * cache

    known = understood(nn.MSELoss(reduction=reduction))
    assert known is not None
    target = rng.normal(size=(6, 4)).astype(dtype)
    oracle.check_loss("", MeanSquare(1), known, output, target).require()
    wrong = oracle.check_loss("", MeanSquare(1 + 1e-5), known, output, target)
    assert [c.tensor for c in wrong.failures] == ["loss"]
