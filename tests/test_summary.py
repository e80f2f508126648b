"""The summary: LeNet-5's counts as the paper prints them, small networks counted by hand, and what does not fit."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import scratch
import torchref.summary
from scratch import literal_convolution as loops
from scratch.summary import LayerSummary, Summary

WINGS = pytest.mark.parametrize("wing", [scratch, torchref], ids=["scratch", "torchref"])
TABLE = [[True, False], [True, True], [False, True]]

# lenet5-1998: parameters and connections; multiply-adds are the connections without the biases, but for sub-sampling,
# which adds first and multiplies once per unit.
LENET5 = {
    "c1": ("Conv2d", (6, 28, 28), 156, 122_304, 122_304 - 6 * 784),
    "s2": ("Subsample2d", (6, 14, 14), 12, 5_880, 6 * 196),
    "c3": ("Conv2d", (16, 10, 10), 1_516, 151_600, 60 * 25 * 100),
    "s4": ("Subsample2d", (16, 5, 5), 32, 2_000, 16 * 25),
    "c5": ("Conv2d", (120, 1, 1), 48_120, 48_120, 48_000),
    "f6": ("Linear", (84,), 10_164, 10_164, 10_080),
    "output": ("Linear", (10,), 850, 850, 840),
}


def small(wing: ModuleType) -> Any:
    """Two maps of 5×4 through each kind of layer, nested."""
    return wing.Sequential(
        {
            "block": wing.Sequential(
                {"c1": wing.Conv2d(2, 3, (3, 2), (2, 1), (1, 0), connections=TABLE), "f": wing.ReLU()}
            ),
            "s2": wing.AvgPool2d((2, 1), 1),
            "flatten": wing.Flatten(),
            "drop": wing.Dropout(0.25),
            "fc": wing.Linear(18, 4),
        }
    )


SMALL = Summary(
    (2, 5, 4),
    (
        # Filters stand at ⌊(5 + 2 − 3)/2⌋ + 1 = 3 places down and 4 − 2 + 1 = 3 across; 4 links of 6 taps, 3 biases.
        LayerSummary("block.c1", "Conv2d", (3, 3, 3), 27, 243, 216),
        LayerSummary("block.f", "ReLU", (3, 3, 3), 0, 0, 0),
        # 3·2·3 units of 2 inputs each, every one multiplied by 1/2 once.
        LayerSummary("s2", "AvgPool2d", (3, 2, 3), 0, 36, 18),
        LayerSummary("flatten", "Flatten", (18,), 0, 0, 0),
        LayerSummary("drop", "Dropout", (18,), 0, 0, 0),
        LayerSummary("fc", "Linear", (4,), 76, 76, 72),
    ),
)

SMALL_TABLE = """\
layer     kind       output  parameters  connections  multiply-adds
-------------------------------------------------------------------
input                 2×5×4
block.c1  Conv2d      3×3×3          27          243            216
block.f   ReLU        3×3×3           0            0              0
s2        AvgPool2d   3×2×3           0           36             18
flatten   Flatten        18           0            0              0
drop      Dropout        18           0            0              0
fc        Linear          4          76           76             72
-------------------------------------------------------------------
total                               103          355            306"""


@WINGS
@pytest.mark.parametrize("size", [28, 32])
def test_lenet5_counts_as_the_paper(wing: ModuleType, size: int) -> None:
    summary = wing.summary.summarize(wing.LeNet5(), (1, size, size))
    rows = {row.name: tuple(row)[1:] for row in summary.layers}
    assert {name: rows[name] for name in LENET5} == LENET5
    assert all(row[2:] == (0, 0, 0) for name, row in rows.items() if name not in LENET5)
    # 60,000 and 340,908 in the paper, whose output layer has 840 links and nothing to train.
    assert (summary.parameters, summary.connections) == (60_850, 340_918)
    assert summary.parameters - 850 == 60_000
    assert summary.connections - 850 + 840 == 340_908
    assert summary.multiply_adds == sum(row[4] for row in LENET5.values())
    assert str(summary).splitlines()[-1].split() == ["total", "60,850", "340,918", f"{summary.multiply_adds:,}"]


@WINGS
def test_lenet5_with_its_options(wing: ModuleType) -> None:
    for net, parameters in (
        (wing.LeNet5(pooling="average"), 60_850 - 44),
        (wing.LeNet5(pooling="max"), 60_850 - 44),
        (wing.LeNet5(dense_c3=True), 60_850 + 36 * 25),
        (wing.LeNet5(output=wing.Linear(84, 7, bias=False)), 60_000 + 84 * 7),
    ):
        assert wing.summary.summarize(net, (1, 28, 28)).parameters == parameters


@WINGS
def test_a_small_network_counted_by_hand(wing: ModuleType) -> None:
    summary = wing.summary.summarize(small(wing), [2, 5, 4])
    assert tuple(summary) == tuple(SMALL)
    assert (summary.parameters, summary.connections, summary.multiply_adds) == (103, 355, 306)
    assert str(summary) == SMALL_TABLE


@WINGS
def test_a_perceptron_and_a_single_layer(wing: ModuleType) -> None:
    summary = wing.summary.summarize(wing.MLP((784, 300, 10)), (784,))
    assert [tuple(row) for row in summary.layers] == [
        ("fc1", "Linear", (300,), 235_500, 235_500, 235_200),
        ("f1", "Tanh", (300,), 0, 0, 0),
        ("fc2", "Linear", (10,), 3_010, 3_010, 3_000),
    ]
    assert summary.parameters == 238_510
    alone = wing.summary.summarize(wing.Conv1d(2, 3, 4, stride=2, bias=False), (2, 9))
    assert [tuple(row) for row in alone.layers] == [("", "Conv1d", (3, 3), 24, 72, 72)]


@WINGS
def test_one_activation_in_several_places_is_listed_at_each(wing: ModuleType) -> None:
    relu = wing.ReLU()
    net = wing.Sequential({"f1": relu, "fc": wing.Linear(3, 2), "f2": relu})
    assert [row.name for row in wing.summary.summarize(net, (3,)).layers] == ["f1", "fc", "f2"]


@pytest.mark.parametrize(
    ("make", "input_shape", "absent"),
    [
        (small, (2, 5, 4), 2 * 6),
        (lambda w: w.MLP((5, 4, 3)), (5,), 0),
        (lambda w: w.LeNet5(), (1, 28, 28), 36 * 25),
        (lambda w: w.LeNet5(pooling="max", dense_c3=True), (1, 32, 32), 0),
        (lambda w: w.Sequential({"c": w.Conv1d(3, 2, 4, 3, 2), "flatten": w.Flatten()}), (3, 10), 0),
    ],
)
def test_shapes_and_counts_are_those_of_the_network_at_work(
    make: Any, input_shape: tuple[int, ...], absent: int
) -> None:
    """The weights are stored dense: those of absent links are there, and counted nowhere."""
    net, twin = make(scratch), make(torchref)
    summary = scratch.summary.summarize(net, input_shape)
    assert tuple(torchref.summary.summarize(twin, input_shape)) == tuple(summary)
    y, _ = net.forward(np.zeros((2, *input_shape), np.float32))
    assert summary.layers[-1].output_shape == y.shape[1:]
    assert summary.layers[-1].output_shape == twin(torch.zeros(2, *input_shape)).shape[1:]
    traced = {name: array.shape[1:] for name, array in net.trace(np.zeros((2, *input_shape), np.float32)).items()}
    assert all(row.output_shape == traced[row.name] for row in summary.layers if row.name in traced)
    assert summary.parameters == sum(array.size for array in net.parameters().values()) - absent
    assert summary.parameters == net.num_parameters == twin.num_parameters
    assert summary.connections == net.num_connections(input_shape) == twin.num_connections(input_shape)
    assert summary.multiply_adds == net.num_multiply_adds(input_shape) == twin.num_multiply_adds(input_shape)


class Counted(float):
    """A weight that counts the products it enters."""

    products = 0

    def __mul__(self, other: float) -> float:
        Counted.products += 1
        return float(self) * other


@WINGS
@pytest.mark.parametrize(
    ("stride", "padding", "table"), [((1, 1), (0, 0), None), ((2, 1), (1, 2), None), ((1, 3), (0, 1), TABLE)]
)
def test_multiply_adds_are_the_products_of_the_sliding_filter(
    wing: ModuleType, stride: Any, padding: Any, table: Any
) -> None:
    """Products with the border's zeros among them: they are taken as any other."""
    layer = wing.Conv2d(2, 3, (3, 2), stride, padding, connections=table)
    weight = [[[[Counted(1.0)] * 2 for _ in range(3)] for _ in range(2)] for _ in range(3)]
    Counted.products = 0
    loops.conv2d([[[1.0] * 6 for _ in range(7)]] * 2, weight, [0.0] * 3, stride, padding, table)
    assert layer.num_multiply_adds((2, 7, 6)) == Counted.products > 0


@WINGS
@pytest.mark.parametrize(
    ("make", "input_shape", "error", "says"),
    [
        (lambda w: small(w), (3, 5, 4), ValueError, ("block.c1", "input_shape is (3, 5, 4)", "(2, H, W)")),
        (lambda w: small(w), (2, 7, 4), ValueError, ("fc", "input_shape is (27,)", "(18,)")),
        (lambda w: small(w), (2, 5), ValueError, ("block.c1", "(2, 5)")),
        (lambda w: small(w), (7, 2, 5, 4), ValueError, ("block.c1", "(7, 2, 5, 4)", "without the batch axis")),
        (lambda w: small(w), (2, 5, 1), ValueError, ("block.c1", "kernel_size", "expected at most")),
        (lambda w: w.LeNet5(), (1, 27, 27), ValueError, ("canvas", "27×27")),
        (lambda w: w.LeNet5(), (1, 30, 30), ValueError, ("(1, 30, 30)", "(1, 28, 28) or (1, 32, 32)")),
        (lambda w: w.MLP((4, 3)), (5,), ValueError, ("fc1", "(5,)", "(4,)")),
        (lambda w: w.Linear(4, 3), (5,), ValueError, ("Linear: ", "(5,)", "(4,)")),
        (lambda w: w.Linear(4, 3), 4, TypeError, ("input_shape is 4", "(1, 28, 28)")),
        (lambda w: w.Linear(4, 3), "4", TypeError, ("input_shape is '4'",)),
        (lambda w: w.Linear(4, 3), (4.0,), TypeError, ("input_shape[0] is 4.0", "int")),
        (lambda w: w.Linear(4, 3), (0,), ValueError, ("input_shape[0] is 0", "at least 1")),
        (lambda w: w.Linear, (4,), TypeError, ("net is a type", "Module")),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    wing: ModuleType, make: Any, input_shape: Any, error: type[Exception], says: tuple[str, ...]
) -> None:
    with pytest.raises(error) as caught:
        wing.summary.summarize(make(wing), input_shape)
    assert [word for word in says if word not in str(caught.value)] == [], str(caught.value)


def test_torchs_own_layers_cannot_be_asked() -> None:
    net = torchref.Sequential({"fc": torchref.Linear(3, 2), "gelu": torch.nn.GELU()})
    with pytest.raises(TypeError, match=r"gelu is a GELU of torch's own, expected a Module of torchref"):
        torchref.summary.summarize(net, (3,))


@pytest.mark.parametrize("wing", [scratch, torchref])
@pytest.mark.parametrize("count", ["output_shape", "num_connections", "num_multiply_adds"])
def test_a_network_asked_itself_names_the_layer_that_does_not_fit(wing: ModuleType, count: str) -> None:
    with pytest.raises(ValueError, match=r"^block: c1: input_shape is \(3, 5, 4\), expected \(2, H, W\)"):
        getattr(small(wing), count)((3, 5, 4))


@pytest.mark.parametrize("wing", [scratch, torchref])
def test_softmax_is_for_the_units_of_one_layer(wing: ModuleType) -> None:
    net = wing.Sequential({"fc": wing.Linear(5, 3), "soft": wing.Softmax()})
    assert net.output_shape((5,)) == (3,)
    with pytest.raises(ValueError, match=r"soft: input_shape is \(2, 3, 4\), expected \(K,\)"):
        wing.Sequential({"soft": wing.Softmax()}).output_shape((2, 3, 4))


def test_torchs_own_layers_cannot_be_counted_by_a_network() -> None:
    net = torchref.Sequential({"fc": torchref.Linear(3, 2), "gelu": torch.nn.GELU()})
    with pytest.raises(TypeError, match="gelu is a GELU, expected a Module of torchref to count on"):
        net.num_connections((3,))
