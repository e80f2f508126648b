"""Where objects keep their parameters and gradients: attributes, dicts, lists, or what a method gives."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from torchref.oracle.subjects.arrays import is_array
from torchref.oracle.subjects.gradients import find_gradient, words
from torchref.oracle.subjects.names import assign, plain, synonyms

PARAMETERS = ("params", "parameters", "weights", "param", "variables", "theta", "p")
GRADIENTS = ("grads", "gradients", "grad", "gradient", "dparams", "derivatives", "deltas")
"""What dicts, lists and methods that hold them are called, in plain letters."""
READERS = ("parameters", "params", "getparams", "getparameters", "namedparameters")


@dataclass(frozen=True)
class Place:
    """Where an array is.

    Attributes
    ----------
    name:
        What the user calls it: "W".
    said:
        Where it is, in Python: "params['W']".
    get, set:
        Read and replace it.
    owner:
        The object that has it as its `data`, and perhaps a `grad`; None for others.
    """

    name: str
    said: str
    get: Callable[[], Any]
    set: Callable[[Any], None]
    owner: Any = None


def attributes(thing: Any) -> dict[str, str]:
    """The names of an object's attributes by their plain letters."""
    try:
        names = dir(thing)
    except Exception:  # its own __dir__ raises
        names = []
    return {plain(name): name for name in reversed(names) if not name.startswith("__")}


def read(thing: Any, name: str) -> Any:
    """An attribute of somebody's object; None where reading it raises, as a property may."""
    try:
        return getattr(thing, name)
    except Exception:
        return None


def find_parameters(layer: Any, parameters: Sequence[str]) -> dict[str, Place]:
    """Where an object keeps its parameters, by our names; of those that were found."""
    own = attributes(layer)
    words = {word for role in parameters for word in synonyms(role)}
    held = {own[word]: read(layer, own[word]) for word in words & own.keys()}
    held = {name: value for name, value in held.items() if is_array(value) or _is_wrapper(value)}
    found = {role: _attribute(layer, name, held[name]) for name, role in assign(sorted(held), parameters, {}).items()}
    for container in (own[word] for word in PARAMETERS if word in own):
        value = read(layer, container)
        if isinstance(value, MutableMapping):
            for key, role in assign([str(key) for key in value], parameters, {}).items():
                found.setdefault(role, _key(value, key, container))
        elif isinstance(value, list) and len(value) == len(parameters):
            for place, role in enumerate(parameters):
                found.setdefault(role, replace(_key(value, place, container), name=role))
    for method in (own[word] for word in READERS if word in own):
        given = read(layer, method)
        if callable(given) and isinstance(arrays := given(), Mapping):
            for key, role in assign([str(key) for key in arrays], parameters, {}).items():
                found.setdefault(role, _read(arrays[key], key, f"{method}()"))
    return found


def _is_wrapper(value: Any) -> bool:
    return isinstance(getattr(value, "data", None), np.ndarray)


def _attribute(layer: Any, name: str, value: Any) -> Place:
    if not isinstance(value, np.ndarray) and _is_wrapper(value):
        return Place(name, f"{name}.data", lambda: value.data, lambda array: setattr(value, "data", array), value)
    return Place(name, name, lambda: getattr(layer, name), lambda array: setattr(layer, name, array))


def _key(container: Any, key: Any, said: str) -> Place:
    value = container[key]
    if not isinstance(value, np.ndarray) and _is_wrapper(value):
        return Place(
            str(key), f"{said}[{key!r}].data", lambda: value.data, lambda array: setattr(value, "data", array), value
        )
    return Place(str(key), f"{said}[{key!r}]", lambda: container[key], lambda array: container.__setitem__(key, array))


def _read(array: Any, key: str, said: str) -> Place:
    """What a method gives is written in place."""
    return Place(key, f"{said}[{key!r}]", lambda: array, lambda values: np.copyto(array, values, casting="unsafe"))


def at(layer: Any, path: str) -> Place:
    """The place of a declared path, such as "W" or "params.W": attributes, or keys of dicts."""
    *way, last = path.split(".")
    for step in way:
        layer = layer[step] if isinstance(layer, Mapping) else getattr(layer, step)
    if isinstance(layer, MutableMapping):
        return _key(layer, last, path.rpartition(".")[0])
    return Place(last, path, lambda: getattr(layer, last), lambda array: setattr(layer, last, array))


def find_gradients(
    layer: Any, theirs: Mapping[str, Place], roles: Iterable[str], *, methods: bool = True
) -> dict[str, Any]:
    """The gradients that a backward pass left, by our names: on attributes, in dicts or lists, beside the parameters.

    `theirs` are the places of the parameters; `methods` says whether those that give gradients may be called.
    """
    found: dict[str, Any] = {}
    own = attributes(layer)
    containers = [read(layer, own[word]) for word in GRADIENTS if word in own]
    containers = [value() if methods and callable(value) else value for value in containers]
    for role in roles:
        place = theirs.get(role)
        name = role if place is None else place.name
        if place is not None and is_array(grad := getattr(place.owner, "grad", None)):
            found[role] = grad
            continue
        for word in words([name, *synonyms(role)]):
            if word in own and is_array(value := read(layer, own[word])):
                found[role] = value
                break
        else:
            for container in containers:
                key = find_gradient(map(str, container), role, name) if isinstance(container, Mapping) else None
                if key is not None:
                    found[role] = container[key]
                    break
                if isinstance(container, list) and len(container) == len(theirs) and role in theirs:
                    found[role] = container[list(theirs).index(role)]
                    break
    return found
