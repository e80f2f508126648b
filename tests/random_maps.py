"""Random convolutional networks, with their data: what Hypothesis and the measurements draw from.

A drawing is plain data, so that a failing one can be printed and built again. Everything is chosen through a `Chooser`:
Hypothesis's, which shrinks, or a generator's, which is quick.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from hypothesis import strategies as st

import scratch
import torchref
from tests import harness
from torchref import oracle

MAP_ACTIVATIONS = ("Tanh", "Tanh.lecun", "Logistic", "ReLU", "Identity", "Threshold")
UNIT_ACTIVATIONS = (*MAP_ACTIVATIONS, "Softmax")
Layer = tuple[str, str, tuple[Any, ...], dict[str, Any]]
"""Name, class, arguments, keyword arguments."""


class Chooser(Protocol):
    """Where choices come from."""

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""

    def pick(self, among: Sequence[Any]) -> Any:
        """One of them."""


class Drawn:
    """Choices that Hypothesis makes."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def pick(self, among: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(among))


class Rolled:
    """Choices that a generator makes."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def pick(self, among: Sequence[Any]) -> Any:
        return among[self.integer(0, len(among) - 1)]


@dataclass(frozen=True)
class Architecture:
    """Layers, the shape of one input and how many outputs there are."""

    layers: tuple[Layer, ...]
    inputs: tuple[int, ...]
    outputs: int


def architecture(choose: Chooser) -> Architecture:
    """One to three convolutions over maps or signals, what may stand between them, and one or two Linear on top."""
    axes = choose.pick((1, 2, 2, 2))
    shape = inputs = (choose.integer(1, 3), *(choose.integer(1, 9) for _ in range(axes)))
    layers: list[Layer] = []

    def add(kind: str, *args: Any, **kwargs: Any) -> None:
        nonlocal shape
        layers.append((f"{len(layers)}_{kind.lower().replace('.', '_')}", kind, args, kwargs))
        shape = make(torchref, layers[-1], torch.float64).output_shape(shape)

    def window(least: int = 0) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Kernel, stride and padding that fit the present maps; pooling has no padding."""
        padding = tuple(choose.integer(0, 2) * least for _ in range(axes))
        kernel = tuple(choose.integer(1, min(4, s + 2 * p)) for s, p in zip(shape[1:], padding, strict=True))
        return kernel, tuple(choose.integer(1, 3) for _ in range(axes)), padding

    if axes == 2 and choose.integer(0, 3) == 0:
        add("Canvas2d", tuple(s + 2 * choose.integer(0, 2) for s in shape[1:]), choose.pick((0.0, -0.3, 1.0)))
    for _ in range(choose.integer(1, 3)):
        maps, sizes = choose.integer(1, 4), window(least=1)
        table = [[bool(choose.integer(0, 1)) for _ in range(shape[0])] for _ in range(maps)]
        for row in table:
            row[choose.integer(0, shape[0] - 1)] = True
        connections = choose.pick((None, table))
        flat = sizes if axes == 2 else tuple(of for (of,) in sizes)
        bias = choose.integer(0, 3) > 0
        add(f"Conv{axes}d", shape[0], maps, *flat, bias=bias, connections=connections)
        if choose.integer(0, 3):
            add(choose.pick(MAP_ACTIVATIONS))
        pool = choose.pick((None, "AvgPool2d", "MaxPool2d", "Subsample2d")) if axes == 2 else None
        if pool:
            kernel, stride, _ = window()
            add(pool, *([shape[0]] if pool == "Subsample2d" else []), kernel, choose.pick((None, stride)))
        if choose.integer(0, 3) == 0:
            add("Dropout", choose.pick((0.0, 0.3, 0.5)))
    add("Flatten")
    if choose.integer(0, 1):
        add("Linear", shape[0], choose.integer(1, 6))
        add(choose.pick(UNIT_ACTIVATIONS))
    outputs = choose.integer(1, 4)
    add("Linear", shape[0], outputs)
    return Architecture(tuple(layers), inputs, outputs)


def make(wing: Any, layer: Layer, dtype: Any) -> Any:
    """A layer of either wing, the dtype in that wing's own form."""
    _, kind, args, kwargs = layer
    if kind == "Tanh.lecun":
        return wing.Tanh.lecun()
    typed = {"dtype": dtype} if kind in ("Conv1d", "Conv2d", "Subsample2d", "Linear") else {}
    return getattr(wing, kind)(*args, **kwargs, **typed)


@dataclass(frozen=True)
class Drawing:
    """A network with its data, by a seed."""

    net: Architecture
    loss: str
    reduction: str
    samples: int
    weight_scale: float
    input_scale: float
    dtype: str
    seed: int


def drawing(choose: Chooser) -> Drawing:
    """An architecture, either loss, either precision, weights from small to saturating."""
    return Drawing(
        architecture(choose),
        loss=choose.pick(("CrossEntropy", "SquaredError")),
        reduction=choose.pick(("mean", "sum")),
        samples=choose.integer(1, 5),
        weight_scale=choose.pick((0.1, 0.3, 1.0, 3.0)),
        input_scale=choose.pick((0.1, 1.0, 10.0)),
        dtype=choose.pick(harness.DTYPES),
        seed=choose.integer(0, 2**32 - 1),
    )


def build(drawn: Drawing) -> tuple[Any, ...] | None:
    """Candidate, its loss, twin, its loss, x and labels; drawn again, visibly, while a kink is too close to judge.

    Both nets drop the same units, if there are `Dropout` layers. None if after 20 draws a kink is still too close:
    some networks have ties by construction, such as a max-pooling over a border of zeros.
    """
    rng = np.random.default_rng(drawn.seed)
    losses = [getattr(wing, drawn.loss)(drawn.reduction) for wing in (scratch, torchref)]
    for redrawn in range(20):
        net, twin = harness.pair(
            lambda w, d: w.Sequential({layer[0]: make(w, layer, d) for layer in drawn.net.layers}),
            scratch,
            drawn.dtype,
            lambda shape: harness.normal(rng, shape, drawn.dtype, drawn.weight_scale),
        )
        x = harness.normal(rng, (drawn.samples, *drawn.net.inputs), drawn.dtype, drawn.input_scale)
        labels = rng.integers(0, drawn.net.outputs, drawn.samples)
        masks = net.forward(x, rng)[1].masks
        candidate, thinned = harness.thin(net, twin, masks or None)
        if not oracle.run(thinned, losses[1], x, labels).kinked:
            return candidate, losses[0], thinned, losses[1], x, labels
        print(f"draw {redrawn} is at a kink, drawn again: {drawn}")
    return None
