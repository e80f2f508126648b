"""Where somebody's network keeps its parameters, their gradients, and its layers."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.thinning import ThinnedCandidate

PARAMETERS = ("params", "parameters", "weights")
GRADIENTS = ("grads", "gradients", "grad", "dparams")
SIGNALS = frozenset(
    [
        "x",
        "inp",
        "inputs",
        "input",
        "out",
        "output",
        "outputs",
        "y",
        "z",
        "a",
        "h",
        "s",
        "act",
        "mask",
        "cache",
        "last_input",
        "last_output",
    ]
)
"""Attributes that layers keep their pass in: not parameters, even where there is a gradient by a fitting name."""


@dataclass(frozen=True)
class Slot:
    """One parameter: how it is read and written, and how its gradient is read (None: `backward` returns it)."""

    name: str
    get: Callable[[], Any]
    replace: Callable[[Array], None]
    gradient: Callable[[], Any] | None = None
    live: bool = True
    """Whether what `get` gives is the parameter itself, and no copy."""

    def set(self, value: Array) -> None:
        """In place where that is possible, as others may hold the same array.

        Raises
        ------
        Misbehaviour
            If the parameter cannot be written.
        """
        now = self.get()
        try:
            if self.live and isinstance(now, np.ndarray) and now.flags.writeable and now.shape == value.shape:
                now[...] = value
            else:
                self.replace(value)
            kept = np.array_equal(np.asarray(self.get()), value.astype(str(self.get().dtype)))
        except (AttributeError, TypeError, ValueError) as error:
            raise Misbehaviour("construction", f"does not let its parameter {self.name} be set: {error}") from error
        if not kept:
            raise Misbehaviour("construction", f"does not keep what its parameter {self.name} is set to")


def layers_of(thing: Any) -> dict[str, Any]:
    """The layers by name, those of networks within it by joined names: of `layers`, or attributes that can do both."""
    held = contained(thing)
    if isinstance(held, Mapping):
        own = {str(name): layer for name, layer in held.items()}
    elif isinstance(held, list | tuple):
        own = {str(place): layer for place, layer in enumerate(held)}
    else:
        own = dict(getattr(thing, "__dict__", {}))
    found: dict[str, Any] = {}
    for name, layer in own.items():
        if _both(layer) and needed(layer.forward) == 1:
            within = layers_of(layer) if contained(layer) is not None else {}
            found |= {f"{name}.{inner}": part for inner, part in within.items()} or {name: layer}
    return found


def contained(thing: Any) -> Any:
    """What a network calls its layers; None if it is none, as a layer with its own mask."""
    if isinstance(thing, ThinnedCandidate) and not isinstance(thing.masks, Mapping):
        return None
    return getattr(thing, "layers", None)


def _both(thing: Any) -> bool:
    return callable(getattr(thing, "forward", None)) and callable(getattr(thing, "backward", None))


def needed(function: Callable[..., Any]) -> int:
    """How many arguments it has to be given; 1 if that cannot be told."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in plain and p.default is inspect.Parameter.empty for p in parameters)


def slots(thing: Any, layers: Mapping[str, Any]) -> list[Slot]:
    """The parameters of a network: its own, then its layers', each array once."""
    found: list[Slot] = []
    seen: set[int] = set()
    for prefix, part in (("", thing), *((f"{name}.", layer) for name, layer in layers.items())):
        for slot in _own(part, prefix):
            if id(slot.get()) not in seen:
                seen.add(id(slot.get()))
                found.append(slot)
    return found


def _own(thing: Any, prefix: str) -> Iterator[Slot]:
    """The parameters of one object: from `parameters()`, a dict or list of them, or attributes that have gradients."""
    asked = getattr(thing, "parameters", None)
    if callable(asked) and needed(asked) == 0 and isinstance(held := asked(), Mapping):
        for name in held:
            yield Slot(f"{prefix}{name}", _item(asked, name), _putter(asked, name), _gradient(thing, name))
        return
    for attribute in PARAMETERS:
        held = getattr(thing, attribute, None)
        if isinstance(held, Mapping | list) and held and all(map(_floating, _values(held))):
            for key in held if isinstance(held, Mapping) else range(len(held)):
                get = _attribute(thing, attribute)
                yield Slot(f"{prefix}{key}", _item(get, key), _putter(get, key), _gradient(thing, key))
            return
    for name, value in getattr(thing, "__dict__", {}).items():
        gradient = _gradient(thing, name) if _floating(value) and name.strip("_").lower() not in SIGNALS else None
        if gradient is not None:
            yield Slot(f"{prefix}{name}", _attribute(thing, name), _setter(thing, name), gradient)


def _values(held: Any) -> list[Any]:
    return list(held.values() if isinstance(held, Mapping) else held)


def _floating(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and "float" in str(value.dtype) and value.shape != ()


def _attribute(thing: Any, name: str) -> Callable[[], Any]:
    return lambda: getattr(thing, name)


def _setter(thing: Any, name: str) -> Callable[[Array], None]:
    return lambda value: setattr(thing, name, value)


def _item(get: Callable[[], Any], key: Any) -> Callable[[], Any]:
    return lambda: get()[key]


def _putter(get: Callable[[], Any], key: Any) -> Callable[[Array], None]:
    def put(value: Array) -> None:
        get()[key] = value

    return put


def spellings(name: str) -> list[str]:
    """What people call the gradient of a parameter of that name, the likeliest first."""
    plain = name.strip("_")
    letter = plain[:1]
    own = [
        f"d{plain}",
        f"d_{plain}",
        f"grad_{plain}",
        f"{plain}_grad",
        f"grad{plain}",
        f"g{plain}",
        f"d{plain.lower()}",
    ]
    short = [f"d{letter}", f"d{letter.upper()}", f"d{letter.lower()}"]
    return list(dict.fromkeys(spelling for s in own + short for spelling in (s, f"_{s}")))


def _gradient(thing: Any, key: Any) -> Callable[[], Any] | None:
    """Reads the gradient of a parameter; None if it is nowhere on the object."""
    for attribute in GRADIENTS:
        held = getattr(thing, attribute, None)
        if isinstance(held, list) and isinstance(key, int) and key < len(held):
            return _item(_attribute(thing, attribute), key)
        if isinstance(held, Mapping):
            for name in (key, *spellings(str(key))):
                if name in held:
                    return _item(_attribute(thing, attribute), name)
    if isinstance(key, str):
        for name in spellings(key):
            if _floating(getattr(thing, name, None)):
                return _attribute(thing, name)
    return None
