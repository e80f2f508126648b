"""Layers as objects: classes, factories and single objects, with explicit caches or with their pass on themselves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.kinds.kind import Case, Kind
from torchref.oracle.subjects.adapter import Adapter
from torchref.oracle.subjects.arrays import is_array
from torchref.oracle.subjects.calls import VARIABLE, Call, named, parameters_of, understand
from torchref.oracle.subjects.configuration import misshapen
from torchref.oracle.subjects.declared import Declared
from torchref.oracle.subjects.names import assign
from torchref.oracle.subjects.object_candidate import ObjectCandidate
from torchref.oracle.subjects.parts import BACKWARD, DERIVATIVE, FORWARD, RESET, bound, find, method
from torchref.oracle.subjects.places import Place, at, find_parameters, read
from torchref.oracle.subjects.sources import Source
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.subjects.theirs import Theirs


class Objects(Theirs):
    """A class or factory of layers, or one layer."""

    def __init__(self, source: Source, kind: Kind, title: str, said: Declared, adapter: Adapter | None = None) -> None:
        super().__init__(source, kind, title, said)
        self.adapter = adapter or Adapter()
        self.make_call = None if source.make is None else self._understand_maker()
        self.stateful = True
        self.forward_call: Call | None = None
        self.backward_call: Call | None = None
        self.derivative = ""
        self.reset = ""
        self.backward = self.adapter.backward is not None
        self.trouble: Misbehaviour | None = None
        if (layer := self._first()) is not None:
            self._understand(layer)

    def _first(self) -> Any:
        """A layer of the first configuration that can be made; None if none can, and why."""
        for case in self.kind.cases:
            config = {**case.config, **({"dtype": np.dtype("float64")} if self.kind.parameters else {})}
            twin = self.kind.twin(**case.config)
            parameters = {name: p.detach().double().numpy() for name, p in twin.named_parameters()}
            try:
                return self.build(config, self.copies(parameters))
            except Misbehaviour as trouble:
                self.trouble = self.trouble or trouble
                if trouble.hangs or trouble.missing:
                    break
        return None

    def _understand_maker(self) -> Call:
        maker = self.source.make
        assert maker is not None
        names = [p.name for p in parameters_of(maker) or []]
        settings = [role for role in self.roles() if role not in ("settings",)]
        arrays = "weight" in assign(names, [*settings, "weight"], self.said.arguments).values()
        flags = [*self.kind.parameters] if arrays else ["use_bias"]
        roles = [*settings, *flags, "dtype", "settings"]
        maker = self._filled(maker, roles)
        # Fewer sizes may be asked for than there are: what is left is found by position.
        try:
            call = understand(maker, roles, self.said.arguments, fallback=[*self.settings])
        except ValueError as error:
            raise ValueError(f"{error}; or pass an object instead of what makes it") from None
        self.guess(call.said)
        if "connections" in self.kind.features and not call.has("connections"):
            self.lacks["connections"] = f"{call.name} takes no table of connections"
        if "settings" in self.kind.features and not any(call.has(name) for name in self.kind.settings):
            self.lacks["settings"] = f"{call.name} takes no {', '.join(self.kind.settings)}"
        if (
            "bias" in self.kind.parameters
            and "bias-free" in self.kind.features
            and not ("use_bias" in call.roles.values() or call.optional("bias"))
        ):
            self.lacks["bias-free"] = f"{call.name} always has a bias"
        return call

    def _filled(self, maker: Callable[..., Any], roles: Sequence[str]) -> Callable[..., Any]:
        """What makes objects, with those sizes given that only a torch module has by these names."""
        if self.settings:
            return maker
        module = self.kind.twin(**self.kind.cases[0].config)
        needed = [p.name for p in parameters_of(maker) or [] if p.default is p.empty and p.kind not in VARIABLE]
        known = assign(needed, roles, self.said.arguments)
        given = {name: read(module, name) for name in needed if name not in known}
        given = {name: value for name, value in given.items() if isinstance(value, int | float | str | tuple)}
        for name, value in given.items():
            self.guess(f"{named(maker)}: {name} is {value}, as the torch module has it")
        return partial(maker, **given) if given else maker

    def _understand(self, layer: Any) -> None:
        """Find the methods, and what they take."""
        forward = find(layer, self.adapter.forward, FORWARD, "forward method")
        said = self.said.arguments
        function = bound(layer, forward)
        mask = ["mask"] if self.masked else []
        self.forward_call = understand(function, ["x", *mask, "training"], said, first="x", fallback=["x"])
        if mask and not self.forward_call.has("mask"):
            raise ValueError(
                f"{named(layer)} takes no mask: dropout is judged on a given one (an argument called mask)"
            )
        self.forward_method = forward
        backward = method(layer, self.adapter.backward, BACKWARD)
        if backward is None and self.kind.family == "activation":
            backward = method(layer, "", DERIVATIVE)
            self.derivative = "x"
        self.backward = backward is not None
        for part, what in ((forward, "forward"), (backward, "backward")):
            self.guess(f"{part} is the {what} part" if isinstance(part, str) and part not in ("__call__", what) else "")
        if backward is not None:
            self._understand_backward(layer, backward)
        self.reset = method(layer, "", RESET) or ""
        if self.reset:
            self.guess(f"{self.reset}() is called before each backward pass")

    def _understand_backward(self, layer: Any, backward: Any) -> None:
        self.backward_method = backward
        function = bound(layer, backward)
        if self.derivative:
            self.backward_call = understand(function, [], {}, first="x", fallback=["x"])
            self.guess(f"{self.backward_call.name} is f′ as a function of the input: dx = dy·f′")
            self.stateful = False
            return
        roles = ["dy", "cache", "lr", "x", "y", *self.kind.parameters]
        fallback = ["dy", "cache"]
        self.backward_call = understand(function, roles, self.said.arguments, first="dy", fallback=fallback)
        self.guess(self.backward_call.said)
        self.stateful = "cache" not in self.backward_call.roles.values()

    def unfit(self, case: Case) -> str:
        """Why a single layer cannot be asked a case: it is configured in another way, or has other sizes."""
        thing = self.source.thing
        return super().unfit(case) or (misshapen(thing, self.kind, case, self.said) if thing is not None else "")

    def build(self, config: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        """A layer of this configuration, as the user's code makes it."""
        if self.make_call is None:
            return self.source.copy(self.maker)
        self.demand(self.make_call, config)
        values = self.values(config) | {"use_bias": config.get("bias", True)}
        values |= {"dtype": config["dtype"]} if "dtype" in config else {}
        values |= dict.fromkeys(self.kind.parameters)
        values |= {name: self.give(name, array, "construction") for name, array in parameters.items()}
        return self.ask("construction", self.make_call, values)

    def make(self, config: Mapping[str, Any], parameters: Mapping[str, Array]) -> ObjectCandidate:
        """A candidate with copies of these parameters."""
        own = self.copies(parameters)
        layer = self.build(config, own)
        if self.forward_call is None:  # the second time it can be made
            assert self.trouble is not None
            raise self.trouble
        given = self.make_call is not None and self.make_call.has("weight")
        places = self._fill(layer, own, given=given)
        forward = replace(self.forward_call, function=bound(layer, self.forward_method))
        backward = self.backward_call
        if backward is not None:
            backward = replace(backward, function=bound(layer, self.backward_method))
        return ObjectCandidate(self, layer, forward, backward, own, places)

    def _fill(self, layer: Any, own: Mapping[str, Array], *, given: bool) -> dict[str, Place]:
        """Put the parameters into a layer; where they are."""
        if not own:
            return {}
        where = self.adapter.parameters
        if callable(where):
            values = {name: self.give(name, array, "construction") for name, array in own.items()}
            self.maker.run("construction", fill, where, layer, values)
            return {name: Place(name, name, partial(where_is, where, layer, name), lambda _: None) for name in own}
        if isinstance(where, Mapping):
            places = {name: self.maker.call("construction", at, layer, path) for name, path in where.items()}
        else:
            places = self.maker.call("construction", find_parameters, layer, self.kind.parameters)
        theirs = {f"grad {name}": f"d{place.name}" for name, place in places.items() if place.name != name}
        self.names = {**self.names, **theirs}
        if given:
            return {name: place for name, place in places.items() if isinstance(place.get(), np.ndarray)}
        if missing := [name for name in own if name not in places]:
            raise Misbehaviour("construction", f"keeps no {' and no '.join(missing)} on the layer, where it can be set")
        load = read(layer, "load_state_dict")
        if load is not None and where is None:
            self.maker.run(
                "construction", load, {name: self.give(name, array, "construction") for name, array in own.items()}
            )
            return {name: places[name] for name in own}
        for name, array in own.items():
            self._put(places[name], name, self.give(name, array, "construction"))
        for name in own:
            self.guess(f"{name} is {places[name].said}" if places[name].said != name else "")
        return {name: places[name] for name in own}

    def _put(self, place: Place, name: str, array: Any) -> None:
        current = self.maker.run("construction", place.get)
        shape, wanted = tuple(np.shape(current)), tuple(np.shape(array))
        if is_array(current) and shape != wanted:
            help_ = f"; declare {name}= if its axes are in another order" if name in self.kind.axes else ""
            raise Misbehaviour("construction", f"makes {place.said} of shape {shape}, expected {wanted}{help_}")
        self.maker.run("construction", place.set, array)


def fill(where: Callable[[Any], Mapping[str, Any]], layer: Any, values: Mapping[str, Any]) -> None:
    """Write values into the arrays that an adapter's function gives."""
    live = where(layer)
    for name, value in values.items():
        np.copyto(live[name], value)


def where_is(where: Callable[[Any], Mapping[str, Any]], layer: Any, name: str) -> Any:
    """One of the arrays that an adapter's function gives."""
    return where(layer)[name]
