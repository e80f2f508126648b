"""What all subjects that run somebody else's code have in common."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.kinds.kind import Case, Kind
from torchref.oracle.subjects.arrays import describe, is_array, to_numpy
from torchref.oracle.subjects.calls import Call
from torchref.oracle.subjects.configuration import same, settings_of
from torchref.oracle.subjects.declared import Declared
from torchref.oracle.subjects.guard import Guard
from torchref.oracle.subjects.names import HALVES, pairs
from torchref.oracle.subjects.settings import Settings, half
from torchref.oracle.subjects.sources import Source
from torchref.oracle.subjects.subject import Incident, Misbehaviour

FOLLOWS = ("kernel_size", "in_channels", "out_channels", "in_features", "out_features", "channels")
"""Settings that follow from the parameters' shapes."""
NO_CACHE = object()
"""Stands for the cache of a forward part that returns its output only; None is a cache like any other."""


class Theirs(ABC):
    """Somebody's code in one of its forms: a `Subject`.

    Attributes
    ----------
    source:
        What was given.
    kind:
        What it is held against.
    said:
        What the user declared.
    lacks:
        Features that it is not asked for as its signature shows that it is without, with the reason.
    forgoes:
        The same of features of input.
    """

    def __init__(self, source: Source, kind: Kind, title: str, said: Declared) -> None:
        self.source, self.kind, self.title, self.said = source, kind, title, said
        self.names: Mapping[str, str] = {}
        self.guesses: tuple[str, ...] = ()
        self.stateful = False
        self.backward = True
        self.lacks: dict[str, str] = {}
        self.forgoes: set[str] = set()
        self.guard = Guard(said.time_limit)
        self.maker = Guard(said.time_limit, may_draw=True)  # initial values are drawn from anywhere
        configs = dict.fromkeys(name for case in kind.cases for name in case.config)
        self.settings = [
            name for name in dict.fromkeys([*kind.settings, *configs]) if name not in (*kind.parameters, "bias")
        ]
        asked = inspect.signature(kind.twin).parameters
        self.defaults: dict[str, Any] = {
            name: asked[name].default
            for name in self.settings
            if name in asked and asked[name].default is not inspect.Parameter.empty
        }
        self.masked: bool = getattr(kind, "masked", False)

    def guess(self, sentence: str) -> None:
        """Keep a guess, once."""
        if sentence and sentence not in self.guesses:
            self.guesses = (*self.guesses, sentence)

    @abstractmethod
    def make(self, config: Mapping[str, Any], parameters: Mapping[str, Array]) -> Any:
        """A candidate with this configuration and copies of these parameters."""

    def unfit(self, case: Case) -> str:
        """Why one object cannot be asked a case: it is configured in another way; "" if it can."""
        if self.source.thing is None:
            return ""
        wanted = self.values(case.config)
        found = settings_of(self.source.thing, self.settings)
        for name in self.settings:
            if name in found and name in wanted and not same(found[name], wanted[name]):
                return f"the object has {name} {found[name]}, not {wanted[name]}"
            if name in case.config and name not in found and not self.usual(name, case.config):
                return f"the object shows no {name}"
        return ""

    def arrange(self, name: str, array: Array) -> Array:
        """Contiguous where the user has it."""
        return self.said.arrange({"dy": "y", "output": "x"}.get(name, name), array)

    def incidents(self) -> tuple[Incident, ...]:
        """What happened beside the answers since the last call."""
        return (*self.maker.incidents(), *self.guard.incidents())

    def give(self, name: str, array: Array, during: str = "forward") -> Any:
        """Ours as the user's code takes it: in its layout, and of its library."""
        theirs = self.said.give(name, array)
        if self.said.array is None:
            return theirs
        # A copy: not every library takes NumPy's odd memory, and what is read-only.
        return self.guard.call(during, self.said.array, np.array(theirs))

    def take(self, name: str, value: Any, during: str, what: str) -> Array:
        """The user's as we have it: NumPy's, in our layout; a view where there can be one."""
        if isinstance(value, np.ma.MaskedArray):
            raise Misbehaviour(during, f"returns a masked array as {what}, expected a plain one")
        plain = isinstance(value, np.ndarray | np.generic)
        array = to_numpy(value, during, what) if plain else self.guard.call(during, to_numpy, value, during, what)
        return self.said.take(name, array, during, what)

    def copies(self, parameters: Mapping[str, Array]) -> dict[str, Array]:
        """Copies of parameters, each contiguous where the user has it."""
        return {name: self.said.arrange(name, np.array(array, order="C")) for name, array in parameters.items()}

    def ask(self, during: str, call: Call, values: Mapping[str, Any], *, silent: bool = False) -> Any:
        """The answer of the user's function to these values by role; None only if it may be `silent`.

        Raises
        ------
        Misbehaviour
            If it does not answer; with what might help.
        """
        guard = self.maker if during == "construction" else self.guard
        positional, keywords = call.arguments(values)
        try:
            return (guard.run if silent else guard.call)(during, call.function, *positional, **keywords)
        except Misbehaviour as trouble:
            help_ = self._advice(trouble.what, values)
            raise Misbehaviour(during, trouble.what + help_, missing=trouble.missing, hangs=trouble.hangs) from trouble

    def _advice(self, what: str, values: Mapping[str, Any]) -> str:
        """What an exception may be about: a batch of no samples, a weight in another layout."""
        if "empty" in self.kind.features and any(0 in getattr(value, "shape", ()) for value in values.values()):
            return " [the batch has no samples; if yours is to do without such, declare unsupported='empty']"
        axes = self.kind.axes.get("weight", "")
        if what.startswith("raises ValueError") and len(axes) > 1 and "weight" not in self.said.layouts:
            return " [if your weights are x @ W or have their axes in another order, declare weight=, such as 'IO']"
        return ""

    def usual(self, name: str, config: Mapping[str, Any]) -> bool:
        """Whether a setting has the value that code without it has, or follows from the parameters."""
        if name in FOLLOWS and self.kind.parameters:
            return name != "kernel_size" or ("weight" in self.kind.parameters and len(self.kind.axes["weight"]) > 1)
        default = self.defaults.get(name, inspect.Parameter.empty)
        if default is None and name == "stride":
            default = config["kernel_size"]
        return bool(np.array_equal(config[name], default))

    def demand(self, call: Call, config: Mapping[str, Any]) -> None:
        """Refuse a configuration for which a function has no argument."""
        for name in self.settings:
            if name in config and not call.has(name) and not self.usual(name, config):
                declare = f"; declare unsupported={name!r} if it is to have none" if name in self.kind.features else ""
                raise Misbehaviour("construction", f"takes no argument for {name} (here {config[name]}){declare}")

    def values(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration by role: the settings, the halves of pairs, and a dict of them all."""
        values = {name: value for name, value in self.defaults.items() if value is not None}
        values |= {name: config[name] for name in self.settings if name in config}
        values |= {"1-p": 1 - values["p"]} if "p" in values else {}
        values |= {f"{n}[{i}]": half(values[n], i) for n in HALVES if n in values for i in (0, 1)}
        return values | {
            "settings": Settings({**values, "mode": "train"}),
            "training": True,
            "rng": np.random.default_rng(0),
            "seed": 0,
        }

    def roles(self) -> list[str]:
        """The roles of what a configuration gives."""
        extra = ["1-p"] if "p" in self.settings else []
        return [*pairs(self.settings), *extra, "settings", "training", "rng", "seed"]

    def paired(self, result: Any, during: str) -> tuple[Any, Any]:
        """An output and its cache, or `NO_CACHE`.

        Raises
        ------
        Misbehaviour
            If it is neither an array nor an array and a cache.
        """
        if not isinstance(result, tuple):
            return result, NO_CACHE
        if len(result) != 2 or not is_array(result[0]):
            raise Misbehaviour(during, f"returns {describe(result)}, expected the output, or (output, cache)")
        return result
