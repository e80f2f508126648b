"""卷积层的输出尺度 and 卷积层的参数个数: the examples of the slides by their headings, and torch's own layers."""

from itertools import product
from types import ModuleType

import numpy as np
import pytest
import torch

import scratch
import torchref
from scratch import sizes
from torchref import sizes as torch_sizes

BOTH = pytest.mark.parametrize("module", [sizes, torch_sizes], ids=["scratch", "torchref"])
WINGS = pytest.mark.parametrize("wing", [scratch, torchref], ids=["scratch", "torchref"])


@BOTH
@pytest.mark.parametrize(
    ("stride", "padding", "expected"),
    [
        (1, 0, 5),  # 卷积层的输出尺度: "=> 5x5 output"
        (2, 0, 3),  # (7 − 3)/2 + 1
        (3, 0, 2),  # (7 − 3)/3 + 1 = 2.33: it does not divide, and is floored as torch does
        (1, 1, 7),  # 卷积层的输出尺度: "pad with 1 pixel border => 7x7 output!"
    ],
)
def test_7x7_with_3x3(module: ModuleType, stride: int, padding: int, expected: int) -> None:
    assert module.output_size(7, 3, stride, padding) == expected
    assert torch.nn.Conv2d(1, 1, 3, stride, padding)(torch.zeros(1, 1, 7, 7)).shape == (1, 1, expected, expected)


@WINGS
def test_examples_time(wing: ModuleType) -> None:
    """卷积层的输出尺度, 卷积层的参数个数. Input volume 32x32x3, 10 5x5 filters with stride 1, pad 2."""
    assert wing.sizes.output_size(32, 5, 1, 2) == 32  # (32+2*2-5)/1+1
    assert wing.sizes.convolution_parameters(3, 1, (5, 5)) == 76  # each filter: 5*5*3 + 1
    assert wing.sizes.convolution_parameters(3, 10, (5, 5)) == 760  # 76*10
    layer = wing.Conv2d(3, 10, 5, stride=1, padding=2)
    assert layer.output_shape((3, 32, 32)) == (10, 32, 32)
    assert layer.num_parameters == 760
    assert layer.num_connections((3, 32, 32)) == 760 * 32 * 32


@WINGS
def test_the_summary_of_the_slides(wing: ModuleType) -> None:
    """操作流程: (F·F·D1)·K weights and K biases; with a table, only the links that are there."""
    count = wing.sizes.convolution_parameters
    assert count(4, 6, (5, 3)) == 5 * 3 * 4 * 6 + 6
    assert count(4, 6, (5, 3), bias=False) == 5 * 3 * 4 * 6
    assert count(4, 6, (7,)) == 7 * 4 * 6 + 6
    table = np.array([[True, False], [True, True], [False, True]])
    connections = table if wing is scratch else torch.from_numpy(table)
    assert count(2, 3, (5, 3), connections=connections) == 4 * 15 + 3
    assert count(2, 3, (5, 3), False, connections) == 4 * 15
    for value in (count(2, 3, (5, 3), connections=connections), wing.sizes.output_size(7, 3)):
        assert type(value) is int


@WINGS
@pytest.mark.parametrize(
    ("size", "kernel_size", "stride", "expected"),
    [(28, 2, 2, 14), (10, 2, 2, 5), (7, 3, 2, 3), (7, 2, 2, 3), (6, 1, 4, 2), (5, 5, 1, 1)],
)
def test_pooling(wing: ModuleType, size: int, kernel_size: int, stride: int, expected: int) -> None:
    """子采样层 / 操作流程: (W1 − F)/S + 1, and D2 = D1."""
    assert wing.sizes.output_size(size, kernel_size, stride) == expected
    for pool in (wing.AvgPool2d, wing.MaxPool2d):
        layer = pool((kernel_size, 3), (stride, 1))
        assert layer.output_shape((4, size, 8)) == (4, expected, 6)
        assert layer.num_parameters == 0  # "Introduces zero parameters since it computes a fixed function of the input"
    assert wing.Subsample2d(4, (kernel_size, 3), (stride, 1)).output_shape((4, size, 8)) == (4, expected, 6)
    assert wing.Subsample2d(4, (kernel_size, 3), (stride, 1)).num_parameters == 8


def test_every_size_is_torchs() -> None:
    """All of a sweep, by the layers torch itself brings."""
    for size, kernel_size, stride, padding in product(range(1, 10), range(1, 6), range(1, 5), range(3)):
        if kernel_size > size + 2 * padding:
            for module in (sizes, torch_sizes):
                with pytest.raises(ValueError, match=f"kernel_size is {kernel_size}, expected at most .*{size}"):
                    module.output_size(size, kernel_size, stride, padding)
            continue
        expected = torch.nn.functional.conv1d(
            torch.zeros(1, 1, size), torch.zeros(1, 1, kernel_size), stride=stride, padding=padding
        ).shape[2]
        case = (size, kernel_size, stride, padding)
        assert sizes.output_size(*case) == torch_sizes.output_size(*case) == expected, case
        if padding == 0:
            assert torch.nn.functional.max_pool1d(torch.zeros(1, 1, size), kernel_size, stride).shape[2] == expected


@WINGS
def test_every_parameter_is_torchs(wing: ModuleType) -> None:
    for inputs, outputs, height, width, bias in product((1, 2, 3), (1, 4), (1, 3), (2, 5), (True, False)):
        torchs = sum(p.numel() for p in torch.nn.Conv2d(inputs, outputs, (height, width), bias=bias).parameters())
        assert wing.sizes.convolution_parameters(inputs, outputs, (height, width), bias) == torchs
