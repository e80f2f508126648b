"""The catalogue of losses."""

import torchref
from torchref.oracle.kinds.kind import Case
from torchref.oracle.kinds.layers import COMMON
from torchref.oracle.kinds.loss_kind import LABELS, LossKind

FEATURES = COMMON | {"sum": "the sum over the samples instead of the mean", "narrow": "labels of type uint8"}


def _case(slug: str, shape: tuple[int, int], needs: str = "", *, thorough: bool = False) -> Case:
    reduction = "sum" if "sum" in needs.split() else "mean"
    labels = "  labels" if LABELS in needs.split() else ""
    label = f"{reduction}  N{shape[0]} K{shape[1]}{labels}"
    return Case(slug, label, {"reduction": reduction}, shape, frozenset(needs.split()), thorough=thorough)


SQUARED_ERROR = LossKind(
    name="squared_error",
    aliases=("half_squared_error", "quadratic_cost"),
    twin=torchref.SquaredError,
    features=FEATURES | {LABELS: "class labels as targets, instead of dense ones"},
    cases=(
        _case("mean", (6, 4), thorough=True),
        _case("n1", (1, 4), "single"),
        _case("n0", (0, 4), "empty"),
        _case("equal", (4, 4)),
        _case("one-unit", (1, 1), "single"),
        _case("long", (70, 5)),
        _case("sum", (6, 4), "sum"),
        _case("sum-n0", (0, 4), "sum empty"),
        _case("labels", (6, 4), "labels", thorough=True),
        _case("sum-labels", (6, 4), "sum labels"),
    ),
)

CROSS_ENTROPY = LossKind(
    name="cross_entropy",
    aliases=("softmax_loss", "softmax_cross_entropy", "softmax_with_loss", "cross_entropy_loss"),
    twin=torchref.CrossEntropy,
    features=FEATURES,
    dense=False,
    cases=(
        _case("mean", (6, 4), thorough=True),
        _case("n1", (1, 4), "single"),
        _case("n0", (0, 4), "empty"),
        _case("equal", (4, 4)),
        _case("one-class", (3, 1)),
        _case("long", (70, 5)),
        _case("wide", (5, 300)),
        _case("sum", (6, 4), "sum"),
        _case("sum-n0", (0, 4), "sum empty"),
    ),
)

LOSSES = (SQUARED_ERROR, CROSS_ENTROPY)
