"""A copy of `scratch` in somebody's whole network: one layer, loss or optimiser of it is the copy's, the rest is right.

Of the bugs that are about networks, the copy's own networks are what is compared.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import scratch
import torchref
from torchref import oracle
from torchref.oracle.verdict import Verdict

IT = "it"
"""The name of the layer that is the copy's."""
TABLE = ((True, False, True), (False, True, False), (True, True, False), (False, False, True))
Layers = dict[str, Any]


class Network:
    """Layers by name, one after the other, with explicit caches."""

    def __init__(self, layers: Layers) -> None:
        self.layers = layers

    def forward(self, x: Any) -> tuple[Any, Any]:
        """The output, and the caches by layer."""
        caches = {}
        for name, layer in self.layers.items():
            x, caches[name] = layer.forward(x)
        return x, caches

    def backward(self, dy: Any, caches: Any) -> tuple[Any, dict[str, Any]]:
        """The gradients of the input, and of the parameters by joined name."""
        grads: dict[str, Any] = {}
        for name, layer in reversed(self.layers.items()):
            dy, own = layer.backward(dy, caches[name])
            grads = {f"{name}.{parameter}": grad for parameter, grad in own.items()} | grads
        return dy, grads

    def parameters(self) -> dict[str, Any]:
        """The live arrays by joined name."""
        return {f"{name}.{p}": a for name, layer in self.layers.items() for p, a in layer.parameters().items()}

    def trace(self, x: Any) -> dict[str, Any]:
        """The output of each layer."""
        outputs = {}
        for name, layer in self.layers.items():
            x, _ = layer.forward(x)
            outputs[name] = x
        return outputs


class Setting(NamedTuple):
    """A network: its layers from the modules w (right) and own (the copy), what it is given, and how many classes."""

    layers: Callable[[Any, Any, Any], Layers]
    shape: tuple[int, ...]
    classes: int = 3
    scale: float = 1.0
    dtype: str = "float64"
    given: Callable[[np.ndarray], np.ndarray] = np.asarray
    loss: str = "CrossEntropy"
    reduction: str = "mean"
    dense: bool = False
    ended: bool = True
    """Whether flattening, a linear layer and a loss stand on top."""


def _units(own: Callable[[Any], Any], shape: tuple[int, int] = (7, 5), **more: Any) -> Setting:
    """An activation of 6 units between two linear layers."""
    return Setting(lambda w, o, d: {"below": w.Linear(5, 6, dtype=d), IT: own(o)}, shape, **more)


def _linear(samples: int = 7, **more: Any) -> Setting:
    def layers(w: Any, o: Any, d: Any) -> Layers:
        return {"below": w.Linear(5, 6, dtype=d), "squash": w.Tanh(), IT: o.Linear(6, 6, dtype=d), "f": w.Tanh()}

    return Setting(layers, (samples, 5), **more)


def _maps(own: Callable[[Any, Any], Any], channels: int = 3, samples: int = 4, **more: Any) -> Setting:
    """A layer of maps behind a convolution and a squashing function: (N, channels, 8, 7)."""
    return Setting(
        lambda w, o, d: {"below": w.Conv2d(2, channels, 2, dtype=d), "squash": w.Tanh(), IT: own(o, d)},
        (samples, 2, 9, 8),
        **more,
    )


def _conv(*arguments: Any, channels: int = 3, samples: int = 4, **more: Any) -> Setting:
    """By default with all that there is: other sizes and steps on each axis, strides that leave a rest, padding."""
    out, *steps = arguments or (4, (3, 2), (2, 1), (2, 1))
    table = more.pop("connections", None)
    return _maps(lambda o, d: o.Conv2d(channels, out, *steps, connections=table, dtype=d), channels, samples, **more)


def _alone(own: Callable[[Any, Any], Any], shape: tuple[int, ...], **more: Any) -> Setting:
    """The layer is the first."""
    return Setting(lambda w, o, d: {IT: own(o, d)}, shape, **more)


def _top(**more: Any) -> Setting:
    """What matters is the loss."""
    return Setting(lambda w, o, d: {"fc": w.Linear(5, 6, dtype=d), "f": w.Tanh()}, more.pop("shape", (7, 5)), **more)


def _small(w: Any, o: Any, d: Any) -> Layers:  # noqa: ARG001
    """With weights of one axis, as sub-sampling has."""
    return {"s": w.Subsample2d(2, 2, dtype=d), "f": w.Tanh()}


POOL, LARGER = ((2, 3), (1, 2)), ((2, 4), (1, 2))
SETTINGS: Mapping[str, Setting] = {
    "linear": _linear(),
    "linear float32": _linear(dtype="float32"),
    "linear one": _linear(1),
    "linear two": _linear(2),
    "linear equal": _linear(6),
    "linear first": _alone(lambda o, d: o.Linear(5, 6, dtype=d), (7, 5)),
    "linear reversed": _alone(lambda o, d: o.Linear(5, 6, dtype=d), (7, 5), given=lambda x: x[:, ::-1]),
    "tanh": _units(lambda o: o.Tanh()),
    "tanh first": _alone(lambda o, _: o.Tanh(), (7, 5)),
    "tanh lecun": _units(lambda o: o.Tanh.lecun()),
    "logistic": _units(lambda o: o.Logistic()),
    "logistic steep": _units(lambda o: o.Logistic(3.0)),
    "logistic big": _units(lambda o: o.Logistic(), scale=1e3),
    "relu": _units(lambda o: o.ReLU()),
    "relu first": _alone(lambda o, d: o.ReLU(), (7, 5)),
    "threshold": _units(lambda o: o.Threshold()),
    "identity": _units(lambda o: o.Identity()),
    "softmax": _units(lambda o: o.Softmax()),
    "softmax big": _units(lambda o: o.Softmax(), scale=1e3),
    "conv2d": _conv(),
    "conv2d equal": _conv(3, 3, 1, 1),
    "conv2d rest": _conv(),
    "conv2d float32": _conv(dtype="float32"),
    "conv2d table": _conv(4, (3, 2), (2, 1), (2, 1), connections=TABLE),
    "conv2d square-table": _conv(3, 2, connections=TABLE[:3]),
    "conv2d samples": _conv(samples=40),
    "conv2d channels": _conv(channels=17),
    "conv2d large": _conv(4, (7, 6), 1, 3),
    "conv2d wide": _conv(4, 2, 1, (3, 4)),
    "conv2d place": _conv(4, (8, 7)),
    "conv2d padded-place": _conv(4, (8, 7), 1, 1),
    "conv2d first": _alone(lambda o, d: o.Conv2d(2, 3, 3, dtype=d), (4, 2, 6, 5)),
    "conv2d last": _conv(ended=False),
    "conv1d": _alone(lambda o, d: o.Conv1d(2, 3, 4, 3, 2, dtype=d), (5, 2, 9)),
    "avgpool2d": _maps(lambda o, d: o.AvgPool2d(*LARGER)),
    "avgpool2d default": _maps(lambda o, d: o.AvgPool2d(2)),
    "avgpool2d tiles": _maps(lambda o, d: o.AvgPool2d((2, 3))),
    "avgpool2d first": _alone(lambda o, d: o.AvgPool2d(*POOL), (4, 2, 7, 6)),
    "maxpool2d": _maps(lambda o, d: o.MaxPool2d(*POOL)),
    "maxpool2d zeros": _alone(lambda o, d: o.MaxPool2d(*POOL), (4, 2, 7, 6), given=lambda x: np.maximum(x, 0)),
    "maxpool2d many": _alone(lambda o, d: o.MaxPool2d((16, 9), 1), (4, 3, 18, 10)),
    "subsample2d": _maps(lambda o, d: o.Subsample2d(3, (2, 3), (1, 2), dtype=d)),
    "flatten": _maps(lambda o, d: o.Flatten()),
    "canvas2d": _alone(lambda o, d: o.Canvas2d((9, 12), -0.3), (4, 2, 7, 6)),
    "canvas2d float32": _alone(lambda o, d: o.Canvas2d((9, 12), -0.3), (4, 2, 7, 6), dtype="float32"),
    "cross_entropy": _top(),
    "cross_entropy sum": _top(reduction="sum"),
    "cross_entropy big": Setting(lambda w, o, d: {"f": w.Identity()}, (7, 5), scale=1e4),
    "cross_entropy classes": _top(classes=300, shape=(40, 5)),
    "cross_entropy samples": _top(shape=(40, 5)),
    "squared_error": _top(loss="SquaredError"),
    "squared_error dense": _top(loss="SquaredError", dense=True),
    "sgd": Setting(_small, (6, 2, 6, 4)),
}


def compared(wing: ModuleType, name: str, seed: int, dtype: str = "") -> Verdict:
    """Hold a network with something of the copy's in it against torch's; `name` is a kind and perhaps a setting.

    In the setting's precision, or in another `dtype`.
    """
    rng = np.random.default_rng(seed)
    if name in WHOLE:
        return _whole(wing, name, rng, seed, dtype or "float64")
    setting = SETTINGS[name]._replace(dtype=dtype or SETTINGS[name].dtype)
    kind = name.split()[0]
    x = setting.given((setting.scale * rng.normal(size=setting.shape)).astype(setting.dtype))
    target = _target(setting, rng)
    own = scratch if kind in ("cross_entropy", "squared_error", "sgd") else wing
    twin = nn.Sequential()
    for name, layer in setting.layers(torchref, torchref, getattr(torch, setting.dtype)).items():
        twin.add_module(name, layer)
    layers = setting.layers(scratch, own, np.dtype(setting.dtype))
    if setting.ended:
        with torch.no_grad():
            features = twin(torch.tensor(np.array(x))).flatten(1).shape[1]
        if x.ndim > 2 and kind != "flatten":
            twin.add_module("flat", torchref.Flatten())
            layers["flat"] = scratch.Flatten()
        twin.add_module("top", torchref.Linear(features, setting.classes, dtype=getattr(torch, setting.dtype)))
        layers["top"] = scratch.Linear(features, setting.classes, dtype=np.dtype(setting.dtype))
    mine = Network(layers)
    same_weights(mine, twin, rng)
    if not setting.ended:
        return oracle.compare(mine, twin, x, seed=seed)
    reduction = setting.reduction
    loss, my_loss = getattr(torchref, setting.loss)(reduction), getattr(scratch, setting.loss)(reduction)
    if kind == "sgd":
        return _training(wing, mine, twin, x, target, seed)
    if own is scratch:
        my_loss = getattr(wing, setting.loss)(reduction)
    return oracle.compare(mine, twin, x, target, loss=loss, my_loss=my_loss, seed=seed)


def _target(setting: Setting, rng: np.random.Generator) -> np.ndarray:
    samples = setting.shape[0]
    if setting.dense:
        return np.asfortranarray(rng.normal(size=(samples, setting.classes)).astype(setting.dtype))
    return rng.integers(0, setting.classes, samples)


def same_weights(mine: Any, twin: nn.Module, rng: np.random.Generator) -> None:
    """Draw the twin's parameters, biases too, and copy them to whatever parameters of these names there are."""
    state = {
        name: torch.from_numpy(rng.normal(0, 0.5, tensor.shape)).to(tensor.dtype)
        for name, tensor in twin.state_dict().items()
    }
    twin.load_state_dict(state)
    for name, array in mine.parameters().items():
        if name in state:
            array[...] = state[name].numpy()


def _training(wing: ModuleType, mine: Network, twin: nn.Module, x: Any, target: Any, seed: int) -> Verdict:
    """Steps with momentum and decay on batches of two; gradients come in Fortran order, as (xᵀδ)ᵀ does."""
    rule, loss = wing.SGD(0.1, 0.8, 0.02), scratch.CrossEntropy()

    def step(x: Any, target: Any) -> dict[str, Any]:
        output, caches = mine.forward(x)
        _, kept = loss.forward(output, target)
        _, grads = mine.backward(loss.backward(kept), caches)
        rule.step(mine.parameters(), {name: np.asfortranarray(grad) for name, grad in grads.items()})
        return mine.parameters()

    batches = [(x[i : i + 2], target[i : i + 2]) for i in range(0, len(x), 2)]
    optimizer = torchref.SGD(0.1, 0.8, 0.02)
    return oracle.compare_training(step, twin, optimizer, batches, steps=4, seed=seed)


def _whole(wing: ModuleType, kind: str, rng: np.random.Generator, seed: int, dtype: str) -> Verdict:
    """One of the copy's own networks against torchref's."""
    build, shape, scale = WHOLE[kind]
    mine, twin = build(wing, np.dtype(dtype)), build(torchref, getattr(torch, dtype))
    same_weights(mine, twin, rng)
    for array in twin.parameters():
        array.data *= scale
    for name, array in mine.parameters().items():
        array *= scale if name in twin.state_dict() else 1
    x = rng.normal(size=shape).astype(dtype)
    with torch.no_grad():
        classes = twin(torch.from_numpy(x)).shape[1]
    target = rng.integers(0, classes, shape[0])
    losses = {"loss": torchref.CrossEntropy(), "my_loss": scratch.CrossEntropy()}
    shapes = MASKS.get(kind, {})
    masks = {layer: rng.random((shape[0], *units)) < 0.5 for layer, units in shapes.items()} or None
    return oracle.compare(mine, twin, x, target, **losses, masks=masks, seed=seed)


def _dropping(w: Any, d: Any) -> Any:
    layers = {"fc": w.Linear(5, 6, dtype=d), "f": w.Tanh(), IT: w.Dropout(0.3), "top": w.Linear(6, 3, dtype=d)}
    return w.Sequential(layers)


def _nested(w: Any, d: Any) -> Any:
    block = {"fc": w.Linear(6, 6, dtype=d), "f": w.Tanh(), "drop": w.Dropout()}
    layers = {"fc": w.Linear(5, 6, dtype=d), "drop": w.Dropout(0.3), "again": w.Dropout(0.2)}
    return w.Sequential({**layers, "block": w.Sequential(block), "top": w.Linear(6, 3, dtype=d)})


def _squashed(w: Any, d: Any) -> Any:
    return w.Sequential({"linear": w.Linear(84, 7, dtype=d), "squash": w.Tanh()})


DIGITS = (2, 1, 28, 28)
WHOLE: Mapping[str, tuple[Callable[[Any, Any], Any], tuple[int, ...], float]] = {
    "chain": (lambda w, d: w.MLP((5, 5, 5, 5), dtype=d), (7, 5), 1.0),
    "mlp": (lambda w, d: w.MLP((7, 6, 5, 4), dtype=d), (9, 7), 1.0),
    "mlp several": (lambda w, d: w.MLP((6, 5, 7, 3), [w.Tanh.lecun, w.Logistic], dtype=d), (9, 6), 1.0),
    "mlp dropout": (lambda w, d: w.MLP((6, 7, 5, 4), dropout=0.3, dtype=d), (9, 6), 1.0),
    "dropout": (_dropping, (7, 5), 1.0),
    "dropout off": (_dropping, (7, 5), 1.0),
    "nested": (_nested, (7, 5), 1.0),
    "lenet5": (lambda w, d: w.LeNet5(dtype=d), DIGITS, 0.4),
    "lenet5 average": (lambda w, d: w.LeNet5(pooling="average", dtype=d), DIGITS, 0.4),
    "lenet5 max": (lambda w, d: w.LeNet5(pooling="max", dtype=d), DIGITS, 0.4),
    "lenet5 dense": (lambda w, d: w.LeNet5(dense_c3=True, dtype=d), DIGITS, 0.4),
    "lenet5 output": (lambda w, d: w.LeNet5(output=_squashed(w, d), dtype=d), DIGITS, 0.4),
}
MASKS: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "mlp dropout": {"d1": (7,), "d2": (5,)},
    "dropout": {IT: (6,)},
    "nested": {"drop": (6,), "again": (6,), "block.drop": (6,)},
}
"""The units of the layers that drop some, where masks are given."""
