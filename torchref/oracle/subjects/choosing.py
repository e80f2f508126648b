"""Which form somebody's code has: what `check` was given, as a `Subject`."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.kinds.kind import Kind
from torchref.oracle.subjects.adapter import Adapter
from torchref.oracle.subjects.calls import named, parameters_of
from torchref.oracle.subjects.declared import Declared
from torchref.oracle.subjects.functions import FunctionPair
from torchref.oracle.subjects.initializers import Initializers
from torchref.oracle.subjects.loading import load
from torchref.oracle.subjects.losses import Losses
from torchref.oracle.subjects.names import assign, plain, synonyms
from torchref.oracle.subjects.objects import Objects
from torchref.oracle.subjects.optimizers import Optimizers
from torchref.oracle.subjects.penalties import Penalties
from torchref.oracle.subjects.sources import Source
from torchref.oracle.subjects.subject import Misbehaviour
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
    title = title or ", ".join(named(part) for part in (forward, backward) if part is not None)
    if isinstance(forward, Adapter):
        return adapted(forward, kind, said, title)
    if backward is not None and not callable(backward):
        raise TypeError(f"backward is {backward!r}, expected a function")
    if forward is None or isinstance(forward, bool | int | float | list | tuple | dict):
        raise TypeError(f"forward is {forward!r}, expected a function, a class, an object or where to find them")
    if backward is not None and (isinstance(forward, type) or not callable(forward)):
        raise TypeError(f"{title}: a backward function goes with a forward function, not with a class or an object")
    if backward is not None or (is_function(forward) and not makes(forward, kind)):
        source = Source(forward, backward)
    elif isinstance(forward, type) or is_function(forward):
        source = Source(make=forward)
    else:
        source = Source(thing=forward)
    return subject(source, kind, said, title)


class Broken(Theirs):
    """Code that cannot even be looked at, as making an object of it raises."""

    def __init__(self, source: Source, kind: Kind, title: str, said: Declared, trouble: Misbehaviour) -> None:
        super().__init__(source, kind, title, said)
        self.trouble = trouble

    def make(self, config: Mapping[str, Any], parameters: Mapping[str, Array]) -> NoReturn:  # noqa: ARG002
        """Raises what was raised."""
        raise Misbehaviour("construction", self.trouble.what, missing=self.trouble.missing, hangs=self.trouble.hangs)


def subject(source: Source, kind: Kind, said: Declared, title: str, adapter: Adapter | None = None) -> Theirs:
    """The subject for what was given, by the kind's family."""
    try:
        return fitting(source, kind, said, title, adapter)
    except Misbehaviour as trouble:
        return Broken(source, kind, title, said, trouble)


def fitting(source: Source, kind: Kind, said: Declared, title: str, adapter: Adapter | None) -> Theirs:
    """The subject of the kind's family.

    Raises
    ------
    Misbehaviour
        If the code raises when it is looked at.
    """
    if (family := FAMILIES.get(kind.family)) is not None:
        return family(source, kind, title, said)
    if source.make is None and source.thing is None:
        return FunctionPair(source, kind, title, said)
    return Objects(source, kind, title, said, adapter)


FAMILIES: dict[str, Callable[[Source, Kind, str, Declared], Theirs]] = {
    "loss": Losses,
    "penalty": Penalties,
    "optimizer": Optimizers,
    "initializer": Initializers,
}
"""Of what is called in other ways than a layer."""


def adapted(adapter: Adapter, kind: Kind, said: Declared, title: str) -> Theirs:
    """The subject of an adapter."""
    said = dataclasses.replace(said, arguments={**adapter.arguments, **said.arguments}, array=adapter.array)
    if adapter.make is None and not (callable(adapter.forward) and not isinstance(adapter.backward, str)):
        raise ValueError("an Adapter without make needs functions as forward and backward (None if there is none)")
    return subject(Source(adapter.forward, adapter.backward, adapter.make), kind, said, title, adapter)


def is_function(thing: Any) -> bool:
    """Whether something is a function rather than an object that can be called."""
    return (
        inspect.isroutine(thing)
        or isinstance(thing, partial | np.ufunc)
        or inspect.getattr_static(thing, "__wrapped__", None) is not None
    )


def makes(function: Any, kind: Kind) -> bool:
    """Whether a function makes objects: it takes nothing, or only what configures one, and no input."""
    parameters = parameters_of(function)
    if parameters is None or kind.family == "initializer":
        return False
    names = [p.name for p in parameters if p.default is p.empty]
    inputs = {word for role in INPUTS.get(kind.family, ("x",)) for word in synonyms(role)}
    if not names:
        return not any(plain(p.name) in inputs for p in parameters)
    settings = list(dict.fromkeys(name for case in kind.cases for name in case.config))
    taken = assign(names, settings, {})
    return kind.family != "activation" and len(taken) == len(names) and not any(plain(n) in inputs for n in names)


INPUTS = {"loss": ("output", "target", "onehot"), "penalty": ("params", "w"), "optimizer": ("params", "w", "dw")}
"""Roles of what functions are applied to, by the family; of layers it is x."""
