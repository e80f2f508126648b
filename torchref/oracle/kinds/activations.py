"""The catalogue of activations."""

from collections.abc import Callable
from typing import Any

import torchref
from torchref.oracle.kinds.kind import Case
from torchref.oracle.kinds.layer_kind import LayerKind
from torchref.oracle.kinds.layers import COMMON

SHAPES = {
    "plain": ((3, 5), ""),
    "n1": ((1, 5), "single"),
    "n0": ((0, 5), "empty"),
    "equal": ((4, 4), ""),
    "units": ((7,), "shapes"),
    "maps": ((2, 3, 1, 4), "shapes"),
}


def _activation(
    name: str,
    twin: Callable[..., Any],
    *settings: dict[str, float],
    aliases: tuple[str, ...] = (),
    skip: str = "",
) -> LayerKind:
    """An activation on every shape with its defaults, and on the first with other settings."""
    plain, *others = settings or ({},)
    shapes = {slug: entry for slug, entry in SHAPES.items() if slug not in skip.split()}
    cases = [
        Case(slug, _label(plain, shape), plain, shape, frozenset(needs.split()), thorough=slug == "plain")
        for slug, (shape, needs) in shapes.items()
    ]
    for setting in others:
        slug = "-".join(f"{key}{value:g}" for key, value in setting.items())
        cases.append(Case(slug, _label(setting, (3, 5)), setting, (3, 5), frozenset({"settings"}), thorough=True))
    features = COMMON | ({"settings": f"other {', '.join(plain)} than the usual"} if others else {})
    return LayerKind(
        name=name,
        aliases=aliases,
        twin=twin,
        family="activation",
        settings=tuple(plain),
        axes={"x": "", "y": ""} if "maps" in shapes else {"x": "NC", "y": "NC"},
        features=features | ({"shapes": "other shapes than (N, units)"} if "maps" in shapes else {}),
        cases=tuple(cases),
    )


def _label(settings: dict[str, float], shape: tuple[int, ...]) -> str:
    said = " ".join(f"{key}={value:.4g}" for key, value in settings.items())
    return f"{said}  {'x'.join(map(str, shape))}".strip()


ACTIVATIONS = (
    _activation("threshold", torchref.Threshold, aliases=("hard_limit", "step", "heaviside")),
    _activation("logistic", torchref.Logistic, {"a": 1.0}, {"a": 3.0}, {"a": 0.3}, aliases=("sigmoid",)),
    _activation("tanh", torchref.Tanh, {"a": 1.0, "b": 1.0}, {"a": 1.7159, "b": 2 / 3}, {"a": 0.7, "b": 2.0}),
    _activation("relu", torchref.ReLU, aliases=("rectifier",)),
    _activation("identity", torchref.Identity, aliases=("purelin",)),
    _activation("softmax", torchref.Softmax, skip="units maps"),
)
