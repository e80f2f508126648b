"""The configuration of a single layer object, read from its attributes."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from torchref.oracle.kinds.kind import Case, Kind
from torchref.oracle.subjects.declared import Declared
from torchref.oracle.subjects.names import assign
from torchref.oracle.subjects.places import attributes, find_parameters, read


def settings_of(layer: Any, names: Iterable[str]) -> dict[str, Any]:
    """Those of the settings that an object shows in attributes of a usual name."""
    values = {name: read(layer, name) for name in attributes(layer).values()}
    plain = {name: value for name, value in values.items() if isinstance(value, int | float | str | tuple | list)}
    wanted = [name for name in names if name != "bias"]
    return {role: plain[name] for name, role in assign(plain, wanted, {}).items()}


def misshapen(layer: Any, kind: Kind, case: Case, said: Declared) -> str:
    """In what a layer's parameters have other shapes than a case asks for; "" in nothing."""
    twin = kind.twin(**case.config)
    shapes = {name: tuple(p.shape) for name, p in twin.named_parameters()}
    places = find_parameters(layer, kind.parameters)
    for name, shape in shapes.items():
        wanted = np.shape(said.layouts[name].give(np.empty(shape)) if name in said.layouts else np.empty(shape))
        if name not in places:
            return f"the object has no {name}"
        if np.shape(places[name].get()) != wanted:
            return f"the object's {name} has shape {np.shape(places[name].get())}, not {wanted}"
    if extra := [name for name in places if name not in shapes]:
        return f"the object has a {extra[0]}"
    return ""


def same(mine: Any, wanted: Any) -> bool:
    """Whether two settings are the same; one number stands for a pair of it."""
    a, b = (np.asarray(value) for value in (mine, wanted))
    try:
        return bool((a == b).all()) and (a.ndim == 0 or b.ndim == 0 or a.shape == b.shape)
    except ValueError:
        return False
