"""The one table of the harness: for each public class, constructor arguments × inputs.

The good ones stand here, the bad ones, with what each has to say, in refusals.py; test_mirror.py asks for both.

A case is built in either wing from the same row: `make` gets the wing (the module `scratch` or `torchref`) and the
dtype in that wing's own form, and spells the constructor call out. Adding a class to `scratch` without a row here is a
red test (test_mirror.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

Make = Callable[[ModuleType, Any], Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerCase:
    """A layer with one constructor call, and the shapes of the inputs it is run on (the first also in odd layouts).

    `values` are what special inputs are made of, so few that many are equal; `masked` gives each input a mask.
    """

    name: str
    label: str
    make: Make
    shapes: tuple[Shape, ...]
    values: tuple[float, ...] = ()
    masked: bool = False


@dataclass(frozen=True)
class NetworkCase:
    """A network, the loss on top of it, the batch size, the shape of one input and the number of outputs.

    `scale` is the weights' standard deviation; `entries` how many entries of each tensor finite differences look at
    (None: all); `own_size` whether so little cancels that errors can be held to the size of the result too.
    """

    name: str
    label: str
    make: Make
    loss: Callable[[ModuleType], Any]
    samples: int
    inputs: Shape
    outputs: int
    dense_target: bool = False
    scale: float = 1.0
    entries: int | None = None
    own_size: bool = False


@dataclass(frozen=True)
class LossCase:
    """A loss, the shapes of the outputs it is run on, and the kind of target."""

    name: str
    label: str
    make: Callable[[ModuleType], Any]
    shapes: tuple[Shape, ...]
    dense_target: bool = False
    scale: float = 1.0


@dataclass(frozen=True)
class OptimizerCase:
    """An optimiser with its settings; `large` adds a parameter that is moved some rows at a time."""

    name: str
    label: str
    make: Callable[[ModuleType], Any]
    large: bool = False


@dataclass(frozen=True)
class StandardizerCase:
    """A standardizer, and the inputs it learns from: samples that vary in `rank` directions about an offset.

    `spread` is the largest standard deviation over the smallest, of the directions drawn; `constant` how many features
    are the same number in all samples; `kept` how many directions count, if the tolerance leaves out some of them.
    """

    name: str
    label: str
    make: Make
    samples: int
    rank: int
    spread: float = 3.0
    offset: float = 1.0
    constant: int = 0
    kept: int | None = None


# Batches of 3, of 1 and of none; and a case with all axes equal, where a transposition changes only values.
UNITS = ((3, 5), (1, 5), (0, 5), (4, 4), (7,), (2, 3, 1, 4))

# (N, C, H, W) with every size another, a batch of one and of none; padding and strides are of the rows' own.
MAPS = ((4, 2, 7, 6), (1, 2, 5, 8), (0, 2, 7, 6))
TABLE = ((True, False, True), (False, True, False), (True, True, False), (False, False, True))
INFINITY = float("inf")

LAYERS = (
    LayerCase("Linear", "5->4", lambda w, d: w.Linear(5, 4, dtype=d), ((3, 5), (1, 5), (0, 5))),
    LayerCase("Linear", "5->4 without bias", lambda w, d: w.Linear(5, 4, bias=False, dtype=d), ((3, 5),)),
    LayerCase("Linear", "all equal", lambda w, d: w.Linear(4, 4, dtype=d), ((4, 4),)),
    LayerCase("Linear", "one input", lambda w, d: w.Linear(1, 3, dtype=d), ((2, 1),)),
    LayerCase("Linear", "one output", lambda w, d: w.Linear(6, 1, dtype=d), ((2, 6),)),
    LayerCase("Linear", "long sums", lambda w, d: w.Linear(257, 31, dtype=d), ((67, 257),)),
    LayerCase("Threshold", "", lambda w, _: w.Threshold(), UNITS),
    LayerCase("Logistic", "", lambda w, _: w.Logistic(), UNITS),
    LayerCase("Logistic", "a=3", lambda w, _: w.Logistic(3.0), UNITS[:1]),
    LayerCase("Logistic", "a=0.3", lambda w, _: w.Logistic(a=0.3), UNITS[:1]),
    LayerCase("Tanh", "", lambda w, _: w.Tanh(), UNITS),
    LayerCase("Tanh", "lecun", lambda w, _: w.Tanh.lecun(), UNITS[:1]),
    LayerCase("Tanh", "a=0.7 b=2", lambda w, _: w.Tanh(a=0.7, b=2.0), UNITS[:1]),
    LayerCase("ReLU", "", lambda w, _: w.ReLU(), UNITS),
    LayerCase("Identity", "", lambda w, _: w.Identity(), UNITS),
    LayerCase("Softmax", "", lambda w, _: w.Softmax(), ((3, 5), (1, 5), (0, 5), (4, 4), (3, 1))),
    LayerCase(
        "Conv2d",
        "2->3, 5x4, strides that leave a rest, padded",
        lambda w, d: w.Conv2d(2, 3, (5, 4), (2, 3), (1, 2), dtype=d),
        ((6, 2, 8, 7), (1, 2, 9, 10), (0, 2, 8, 7), (2, 2, 3, 4)),
    ),
    LayerCase("Conv2d", "all equal", lambda w, d: w.Conv2d(3, 3, 3, 1, 1, dtype=d), ((3, 3, 3, 3),)),
    LayerCase("Conv2d", "square", lambda w, d: w.Conv2d(2, 2, 2, 2, dtype=d), ((2, 2, 4, 4), (2, 2, 5, 5))),
    LayerCase("Conv2d", "1x1", lambda w, d: w.Conv2d(3, 2, 1, dtype=d), ((4, 3, 5, 6),)),
    LayerCase("Conv2d", "as large as its one map", lambda w, d: w.Conv2d(1, 4, (3, 5), dtype=d), ((2, 1, 3, 5),)),
    LayerCase(
        "Conv2d",
        "as large as its maps",
        lambda w, d: w.Conv2d(3, 2, (2, 4), (2, 3), dtype=d),
        ((4, 3, 2, 4), (1, 3, 2, 4), (0, 3, 2, 4)),
    ),
    LayerCase(
        "Conv2d",
        "many samples and channels, large filter",
        lambda w, d: w.Conv2d(17, 2, (7, 6), 1, 3, dtype=d),
        ((2, 17, 5, 4), (33, 17, 5, 4)),  # the first also broadcast: 33 equal samples would round alike, not at random
    ),
    LayerCase(
        "Conv2d", "padded beyond the kernel", lambda w, d: w.Conv2d(1, 2, 2, 1, (3, 4), dtype=d), ((3, 1, 4, 5),)
    ),
    LayerCase(
        "Conv2d",
        "strides beyond the kernel, without bias",
        lambda w, d: w.Conv2d(2, 3, (1, 2), (3, 4), bias=False, dtype=d),
        ((4, 2, 8, 9),),
    ),
    LayerCase(
        "Conv2d",
        "table, padded on one axis",
        lambda w, d: w.Conv2d(3, 4, (2, 3), 1, (0, 1), connections=TABLE, dtype=d),
        ((5, 3, 4, 6), (0, 3, 4, 6)),
    ),
    LayerCase(
        "Conv2d",
        "square table, strided, without bias",
        lambda w, d: w.Conv2d(3, 3, 2, 2, 1, bias=False, connections=TABLE[:3], dtype=d),
        ((3, 3, 3, 3),),
    ),
    LayerCase(
        "Conv1d",
        "2->3, 4, stride that leaves a rest, padded",
        lambda w, d: w.Conv1d(2, 3, 4, 3, 2, dtype=d),
        ((5, 2, 9), (1, 2, 6), (0, 2, 9)),
    ),
    LayerCase("Conv1d", "all equal", lambda w, d: w.Conv1d(3, 3, 3, 1, 1, dtype=d), ((3, 3, 3),)),
    LayerCase(
        "Conv1d",
        "table, as long as the signal, without bias",
        lambda w, d: w.Conv1d(3, 4, 5, bias=False, connections=TABLE, dtype=d),
        ((2, 3, 5),),
    ),
    LayerCase("AvgPool2d", "2x4, overlapping", lambda w, _: w.AvgPool2d((2, 4), (1, 3)), MAPS),
    LayerCase("AvgPool2d", "1x1", lambda w, _: w.AvgPool2d(1), MAPS[:1]),
    LayerCase("AvgPool2d", "3x2", lambda w, _: w.AvgPool2d((3, 2)), MAPS[:1]),
    LayerCase("AvgPool2d", "gaps", lambda w, _: w.AvgPool2d((1, 2), (3, 4)), MAPS[:1]),
    LayerCase("AvgPool2d", "all equal", lambda w, _: w.AvgPool2d(2), ((2, 2, 2, 2), (2, 2, 4, 4))),
    LayerCase("MaxPool2d", "3x2, overlapping", lambda w, _: w.MaxPool2d((3, 2), (2, 1)), MAPS),
    LayerCase("MaxPool2d", "1x1", lambda w, _: w.MaxPool2d(1), MAPS[:1]),
    LayerCase("MaxPool2d", "2x3", lambda w, _: w.MaxPool2d((2, 3)), MAPS[:1]),
    LayerCase("MaxPool2d", "16x9", lambda w, _: w.MaxPool2d((16, 9), 1), ((4, 3, 18, 10),)),  # 144 entries
    LayerCase("MaxPool2d", "gaps", lambda w, _: w.MaxPool2d((2, 1), (4, 3)), MAPS[:1]),
    LayerCase("MaxPool2d", "all equal", lambda w, _: w.MaxPool2d(3, 1), ((3, 3, 3, 3), (3, 3, 4, 4))),
    LayerCase("MaxPool2d", "ties", lambda w, _: w.MaxPool2d((2, 3), (1, 2)), MAPS[:1], values=(2.0, 2.0, -1.0)),
    LayerCase("MaxPool2d", "ties of zeros", lambda w, _: w.MaxPool2d(2, 1), MAPS[:1], values=(0.0, -0.0)),
    LayerCase("MaxPool2d", "minus infinity only", lambda w, _: w.MaxPool2d(2, 1), MAPS[:1], values=(-INFINITY,)),
    LayerCase(
        "MaxPool2d",
        "NaN and infinity",
        lambda w, _: w.MaxPool2d((2, 3), (1, 2)),
        MAPS[:1],
        values=(float("nan"), INFINITY, -INFINITY, -INFINITY, 1.0),
    ),
    LayerCase("Subsample2d", "2x3, overlapping", lambda w, d: w.Subsample2d(2, (2, 3), (1, 2), dtype=d), MAPS),
    LayerCase("Subsample2d", "3x2", lambda w, d: w.Subsample2d(2, (3, 2), dtype=d), MAPS[:1]),
    LayerCase("Subsample2d", "gaps", lambda w, d: w.Subsample2d(2, (1, 2), (3, 4), dtype=d), MAPS[:1]),
    LayerCase("Subsample2d", "all equal", lambda w, d: w.Subsample2d(2, 2, dtype=d), ((2, 2, 2, 2), (2, 2, 4, 4))),
    LayerCase("Flatten", "", lambda w, _: w.Flatten(), (*MAPS, (3, 3, 3, 3), (2, 5), (3, 2, 4))),
    LayerCase("Canvas2d", "9x12, filled with -0.3", lambda w, _: w.Canvas2d((9, 12), -0.3), (*MAPS, (2, 3, 9, 12))),
    LayerCase("Canvas2d", "all equal", lambda w, _: w.Canvas2d(3), ((3, 3, 3, 3), (3, 3, 1, 1))),
    LayerCase("Dropout", "off", lambda w, _: w.Dropout(), ((3, 5), (0, 5), (4, 4), (7,))),
    LayerCase("Dropout", "p=0.5", lambda w, _: w.Dropout(), ((3, 5), (1, 5), (0, 5), (4, 4), (7,)), masked=True),
    LayerCase("Dropout", "p=0.3", lambda w, _: w.Dropout(0.3), MAPS, masked=True),
    LayerCase("Dropout", "p=0", lambda w, _: w.Dropout(p=0), ((3, 5),), masked=True),
)

NETWORKS = (
    NetworkCase(
        "MLP",
        "tanh, cross-entropy",
        lambda w, d: w.MLP((7, 6, 5, 4), dtype=d),
        lambda w: w.CrossEntropy(),
        samples=9,
        inputs=(7,),
        outputs=4,
    ),
    NetworkCase(
        "MLP",
        "another f_l per layer, squared error",
        lambda w, d: w.MLP((6, 5, 7, 4, 3), [w.Tanh.lecun, w.ReLU(), w.Logistic(2.0), w.Logistic], dtype=d),
        lambda w: w.SquaredError("sum"),
        samples=8,
        inputs=(6,),
        outputs=3,
    ),
    NetworkCase(
        "MLP",
        "all equal, relu",
        lambda w, d: w.MLP((5, 5, 5, 5), w.ReLU, dtype=d),
        lambda w: w.CrossEntropy("sum"),
        samples=5,
        inputs=(5,),
        outputs=5,
    ),
    NetworkCase(
        "MLP",
        "bottleneck, softmax output, dense target",
        lambda w, d: w.MLP((4, 1, 3), [w.Tanh(), w.Softmax()], dtype=d),
        lambda w: w.SquaredError(),
        samples=6,
        inputs=(4,),
        outputs=3,
        dense_target=True,
    ),
    NetworkCase(
        "MLP",
        "one layer",
        lambda w, d: w.MLP((3, 2), dtype=d),
        lambda w: w.SquaredError(),
        samples=1,
        inputs=(3,),
        outputs=2,
    ),
    NetworkCase(
        "MLP",
        "dropout behind the hidden layers, all squashed",
        lambda w, d: w.MLP((6, 7, 5, 4), [w.Tanh.lecun, w.Logistic(2.0), w.Tanh], dropout=0.3, dtype=d),
        lambda w: w.SquaredError(),
        samples=8,
        inputs=(6,),
        outputs=4,
    ),
    NetworkCase(
        "MLP",
        "an empty batch",
        lambda w, d: w.MLP((3, 4, 2), dtype=d),
        lambda w: w.CrossEntropy("sum"),
        samples=0,
        inputs=(3,),
        outputs=2,
    ),
    NetworkCase(
        "Sequential",
        "softmax and threshold inside",
        lambda w, d: w.Sequential(
            {
                "first": w.Linear(5, 4, dtype=d),
                "soft": w.Softmax(),
                "second": w.Linear(4, 6, bias=False, dtype=d),
                "same": w.Identity(),
                "third": w.Linear(6, 3, dtype=d),
            }
        ),
        lambda w: w.CrossEntropy(),
        samples=7,
        inputs=(5,),
        outputs=3,
    ),
    NetworkCase(
        "Sequential",
        "every kind of map",
        lambda w, d: w.Sequential(
            {
                "canvas": w.Canvas2d((9, 8), -0.2),
                "conv": w.Conv2d(1, 3, (3, 2), 1, (1, 0), dtype=d),
                "squash": w.Tanh.lecun(),
                "average": w.AvgPool2d((2, 3), (2, 1)),
                "table": w.Conv2d(3, 4, 2, connections=TABLE, bias=False, dtype=d),
                "sample": w.Subsample2d(4, (2, 1), (1, 2), dtype=d),
                "max": w.MaxPool2d((1, 2), 1),
                "relu": w.ReLU(),  # not before the maximum: its zeros are ties, and most draws would be at a kink
                "flat": w.Flatten(),
                "top": w.Linear(8, 3, dtype=d),
            }
        ),
        lambda w: w.CrossEntropy(),
        samples=5,
        inputs=(1, 7, 6),
        outputs=3,
        entries=12,
    ),
    NetworkCase(
        "Sequential",
        "signals, dropout, a network within",
        lambda w, d: w.Sequential(
            {
                "conv": w.Conv1d(2, 3, 4, 2, 1, dtype=d),
                "drop": w.Dropout(0.3),
                "again": w.Dropout(0.2),
                "block": w.Sequential(
                    {"table": w.Conv1d(3, 4, 2, connections=TABLE, dtype=d), "squash": w.Tanh(), "drop": w.Dropout()}
                ),
                "flat": w.Flatten(),
                "top": w.Linear(12, 5, dtype=d),
            }
        ),
        lambda w: w.SquaredError(),
        samples=6,
        inputs=(2, 9),
        outputs=5,
        entries=12,
    ),
    NetworkCase(
        "LeNet5",
        "as the paper has it",
        lambda w, d: w.LeNet5(dtype=d),
        lambda w: w.CrossEntropy(),
        samples=2,
        inputs=(1, 28, 28),
        outputs=10,
        scale=0.2,
        entries=3,
        own_size=True,
    ),
    NetworkCase(
        "LeNet5",
        "average pooling, dense C3, logistic",
        lambda w, d: w.LeNet5(w.Logistic, pooling="average", dense_c3=True, background=0.0, dtype=d),
        lambda w: w.CrossEntropy(),
        samples=2,
        inputs=(1, 32, 32),
        outputs=10,
        scale=0.4,
        entries=3,
        own_size=True,
    ),
    NetworkCase(
        "LeNet5",
        "max pooling, relu, 7 outputs squashed",
        lambda w, d: w.LeNet5(
            w.ReLU(),
            pooling="max",
            output=w.Sequential({"linear": w.Linear(84, 7, dtype=d), "squash": w.Tanh()}),
            dtype=d,
        ),
        lambda w: w.SquaredError(),
        samples=1,
        inputs=(1, 28, 28),
        outputs=7,
        scale=0.1,
        entries=3,
        own_size=True,
    ),
    NetworkCase(
        "Sequential",
        "threshold stops the error signal",
        lambda w, d: w.Sequential(
            {"below": w.Linear(5, 4, dtype=d), "hard": w.Threshold(), "above": w.Linear(4, 3, dtype=d)}
        ),
        lambda w: w.CrossEntropy(),
        samples=7,
        inputs=(5,),
        outputs=3,
    ),
)

LOSSES = (
    LossCase("SquaredError", "mean, labels", lambda w: w.SquaredError(), ((6, 4), (1, 4), (0, 4), (4, 4), (70, 5))),
    LossCase("SquaredError", "sum, labels", lambda w: w.SquaredError("sum"), ((6, 4), (0, 4))),
    LossCase("SquaredError", "mean, dense", lambda w: w.SquaredError(), ((6, 4), (1, 1)), dense_target=True),
    LossCase("SquaredError", "sum, dense", lambda w: w.SquaredError(reduction="sum"), ((6, 4),), dense_target=True),
    LossCase(
        "CrossEntropy", "mean", lambda w: w.CrossEntropy(), ((6, 4), (1, 4), (0, 4), (4, 4), (3, 1), (70, 5), (5, 300))
    ),
    LossCase("CrossEntropy", "sum", lambda w: w.CrossEntropy(reduction="sum"), ((6, 4), (0, 4))),
    LossCase("CrossEntropy", "logits of 1e4", lambda w: w.CrossEntropy(), ((6, 4),), scale=1e4),
)

PENALTIES = (
    LossCase("L2Penalty", "decay 0.3", lambda w: w.L2Penalty(0.3), ()),
    LossCase("L2Penalty", "decay 0", lambda w: w.L2Penalty(decay=0.0), ()),
)

OPTIMIZERS = (
    OptimizerCase("SGD", "plain", lambda w: w.SGD(0.1), large=True),
    OptimizerCase("SGD", "momentum", lambda w: w.SGD(0.1, momentum=0.9)),
    OptimizerCase("SGD", "decay", lambda w: w.SGD(0.1, weight_decay=0.05)),
    OptimizerCase("SGD", "momentum and decay", lambda w: w.SGD(0.03, 0.8, 0.02)),
)

STANDARDIZERS = (
    StandardizerCase("Standardizer", "centered", lambda w, d: w.Standardizer(5, "centered", dtype=d), 12, 5),
    StandardizerCase("Standardizer", "decorrelated", lambda w, d: w.Standardizer(6, "decorrelated", dtype=d), 17, 6),
    StandardizerCase("Standardizer", "equalized", lambda w, d: w.Standardizer(6, dtype=d), 40, 6),
    StandardizerCase(
        "Standardizer", "all directions alike", lambda w, d: w.Standardizer(4, dtype=d), 25, 4, spread=1.0
    ),
    StandardizerCase("Standardizer", "one feature", lambda w, d: w.Standardizer(1, dtype=d), 7, 1),
    StandardizerCase("Standardizer", "long sums", lambda w, d: w.Standardizer(21, dtype=d), 500, 21, spread=100.0),
    StandardizerCase("Standardizer", "far from 0", lambda w, d: w.Standardizer(4, dtype=d), 60, 4, offset=1e4),
    StandardizerCase(
        "Standardizer",
        "constant features, decorrelated",
        lambda w, d: w.Standardizer(8, stage="decorrelated", dtype=d),
        30,
        4,
        constant=2,
    ),
    StandardizerCase("Standardizer", "constant features", lambda w, d: w.Standardizer(8, dtype=d), 30, 4, constant=2),
    StandardizerCase("Standardizer", "fewer samples than features", lambda w, d: w.Standardizer(9, dtype=d), 5, 4),
    StandardizerCase("Standardizer", "one sample", lambda w, d: w.Standardizer(3, dtype=d), 1, 0),
    StandardizerCase("Standardizer", "nothing varies", lambda w, d: w.Standardizer(3, dtype=d), 9, 0, constant=3),
    StandardizerCase(
        "Standardizer",
        "what hardly varies is left out",
        lambda w, d: w.Standardizer(5, tolerance=1e-2, dtype=d),
        50,
        5,
        spread=200.0,
        kept=2,
    ),
)

ABSTRACT = ("Module",)
"""Public, but nothing to run: bases. test_mirror.py holds what they do refuse."""

TABLES: tuple[tuple[Any, ...], ...] = (LAYERS, NETWORKS, LOSSES, PENALTIES, OPTIMIZERS, STANDARDIZERS)
NAMES = {case.name for table in TABLES for case in table} | set(ABSTRACT)
