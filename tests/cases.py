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
    """A layer with one constructor call, and the shapes of the inputs it is run on (the first also in odd layouts)."""

    name: str
    label: str
    make: Make
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class NetworkCase:
    """A network, the loss on top of it, the batch size and the number of inputs and of outputs."""

    name: str
    label: str
    make: Make
    loss: Callable[[ModuleType], Any]
    samples: int
    inputs: int
    outputs: int
    dense_target: bool = False


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
    """An optimiser with its settings."""

    name: str
    label: str
    make: Callable[[ModuleType], Any]


# Batches of 3, of 1 and of none; and a case with all axes equal, where a transposition changes only values.
UNITS = ((3, 5), (1, 5), (0, 5), (4, 4), (7,), (2, 3, 1, 4))

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
)

NETWORKS = (
    NetworkCase(
        "MLP",
        "tanh, cross-entropy",
        lambda w, d: w.MLP((7, 6, 5, 4), dtype=d),
        lambda w: w.CrossEntropy(),
        samples=9,
        inputs=7,
        outputs=4,
    ),
    NetworkCase(
        "MLP",
        "another f_l per layer, squared error",
        lambda w, d: w.MLP((6, 5, 7, 4, 3), [w.Tanh.lecun, w.ReLU(), w.Logistic(2.0), w.Logistic], dtype=d),
        lambda w: w.SquaredError("sum"),
        samples=8,
        inputs=6,
        outputs=3,
    ),
    NetworkCase(
        "MLP",
        "all equal, relu",
        lambda w, d: w.MLP((5, 5, 5, 5), w.ReLU, dtype=d),
        lambda w: w.CrossEntropy("sum"),
        samples=5,
        inputs=5,
        outputs=5,
    ),
    NetworkCase(
        "MLP",
        "bottleneck, softmax output, dense target",
        lambda w, d: w.MLP((4, 1, 3), [w.Tanh(), w.Softmax()], dtype=d),
        lambda w: w.SquaredError(),
        samples=6,
        inputs=4,
        outputs=3,
        dense_target=True,
    ),
    NetworkCase(
        "MLP",
        "one layer",
        lambda w, d: w.MLP((3, 2), dtype=d),
        lambda w: w.SquaredError(),
        samples=1,
        inputs=3,
        outputs=2,
    ),
    NetworkCase(
        "MLP",
        "an empty batch",
        lambda w, d: w.MLP((3, 4, 2), dtype=d),
        lambda w: w.CrossEntropy("sum"),
        samples=0,
        inputs=3,
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
        inputs=5,
        outputs=3,
    ),
    NetworkCase(
        "Sequential",
        "threshold stops the error signal",
        lambda w, d: w.Sequential(
            {"below": w.Linear(5, 4, dtype=d), "hard": w.Threshold(), "above": w.Linear(4, 3, dtype=d)}
        ),
        lambda w: w.CrossEntropy(),
        samples=7,
        inputs=5,
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
    OptimizerCase("SGD", "plain", lambda w: w.SGD(0.1)),
    OptimizerCase("SGD", "momentum", lambda w: w.SGD(0.1, momentum=0.9)),
    OptimizerCase("SGD", "decay", lambda w: w.SGD(0.1, weight_decay=0.05)),
    OptimizerCase("SGD", "momentum and decay", lambda w: w.SGD(0.03, 0.8, 0.02)),
)

ABSTRACT = ("Module",)
"""Public, but nothing to run: bases. test_mirror.py holds what they do refuse."""

NAMES = {case.name for table in (LAYERS, NETWORKS, LOSSES, PENALTIES, OPTIMIZERS) for case in table} | set(ABSTRACT)
