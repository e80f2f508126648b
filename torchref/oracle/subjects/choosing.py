"""Which form somebody's code has: what `check` was given, as a `Subject`."""

import dataclasses
import inspect
from functools import partial
from typing import Any

import numpy as np

from torchref.oracle.kinds.kind import Kind
from torchref.oracle.subjects.adapter import Adapter
from torchref.oracle.subjects.calls import named, parameters_of
from torchref.oracle.subjects.declared import Declared
from torchref.oracle.subjects.functions import FunctionPair
from torchref.oracle.subjects.loading import load
from torchref.oracle.subjects.names import assign, plain, synonyms
from torchref.oracle.subjects.objects import Objects
from torchref.oracle.subjects.theirs import Theirs


def choose(forward: Any, backward: Any, kind: Kind, said: Declared, title: str) -> Theirs:
    """The subject that fits.

    Raises
    ------
    TypeError, ValueError
        If nothing does.
    """
    if isinstance(forward, str):
        if backward is not None:
            raise TypeError(f'backward is {backward!r} beside {forward!r}, expected both in one: "file.py:f,g"')
        title = title or forward
        forward, backward = (*load(forward, said.time_limit), None)[:2]
    title = title or ", ".join(called(part) for part in (forward, backward) if part is not None)
    if isinstance(forward, Adapter):
        return adapted(forward, kind, said, title)
    if backward is not None and not callable(backward):
        raise TypeError(f"backward is {backward!r}, expected a function")
    if forward is None or isinstance(forward, bool | int | float | list | tuple | dict):
        raise TypeError(f"forward is {forward!r}, expected a function, a class, an object or where to find them")
    if backward is not None:
        if isinstance(forward, type) or not callable(forward):
            raise TypeError(f"{title}: a backward function goes with a forward function, not with a class or an object")
        return FunctionPair(forward, backward, kind, title, said)
    if isinstance(forward, type) or not is_function(forward) or makes(forward, kind):
        return Objects(forward, kind, title, said)
    return FunctionPair(forward, None, kind, title, said)


def called(part: Any) -> str:
    """What a part is called in the title."""
    return "Adapter" if isinstance(part, Adapter) else named(part)


def adapted(adapter: Adapter, kind: Kind, said: Declared, title: str) -> Theirs:
    """The subject of an adapter."""
    said = dataclasses.replace(said, arguments={**adapter.arguments, **said.arguments}, array=adapter.array)
    if adapter.make is not None:
        return Objects(adapter.make, kind, title, said, adapter)
    if not callable(adapter.forward) or (isinstance(adapter.backward, str) and adapter.backward != "backward"):
        raise ValueError("an Adapter needs make, or functions as forward and backward")
    backward = None if isinstance(adapter.backward, str) else adapter.backward
    return FunctionPair(adapter.forward, backward, kind, title, said)


def is_function(thing: Any) -> bool:
    """Whether something is a function rather than an object that can be called."""
    return inspect.isroutine(thing) or isinstance(thing, partial | np.ufunc) or hasattr(thing, "__wrapped__")


def makes(function: Any, kind: Kind) -> bool:
    """Whether a function makes layers: it takes nothing, or only what configures one, and no input."""
    parameters = parameters_of(function)
    if parameters is None:
        return False
    names = [p.name for p in parameters if p.default is p.empty]
    if not names:
        return not any(plain(p.name) in synonyms("x") for p in parameters)
    settings = list(dict.fromkeys(name for case in kind.cases for name in case.config))
    taken = assign(names, ["x", *settings], {})
    return kind.family != "activation" and "x" not in taken.values() and len(taken) == len(names)
