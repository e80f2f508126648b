"""Layers as objects: classes, factories and single objects, with explicit caches or with their pass on themselves."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.kinds.kind import Case, Kind
from torchref.oracle.subjects.adapter import Adapter
from torchref.oracle.subjects.arrays import is_array
from torchref.oracle.subjects.calls import Call, named, parameters_of, understand
from torchref.oracle.subjects.configuration import misshapen, same, settings_of
from torchref.oracle.subjects.declared import Declared
from torchref.oracle.subjects.names import assign, plain
from torchref.oracle.subjects.object_candidate import ObjectCandidate
from torchref.oracle.subjects.places import Place, at, attributes, find_parameters
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.subjects.theirs import Theirs

FORWARD = "forward forwardpass fprop feedforward forwardpropagation call apply activate propagate predict function fn"
BACKWARD = "backward backwardpass bprop backprop backpropagate backpropagation backwardpropagation back"
DERIVATIVE = "derivative gradient grad prime deriv df slope dfunction fprime dactivation"
"""What methods are called, in plain letters."""
RESET = "zerograd zerograds zerogradient zerogradients cleargrad cleargrads resetgrad resetgrads cleargradients"


class Objects(Theirs):
    """A class or factory of layers, or one layer."""

    def __init__(self, source: Any, kind: Kind, title: str, said: Declared, adapter: Adapter | None = None) -> None:
        super().__init__(kind, title, said)
        self.source, self.adapter = source, adapter or Adapter()
        self.single = adapter is None and not is_maker(source)
        self.make_call = None if self.single else self._understand_maker()
        self.stateful = True
        self.forward_call: Call | None = None
        self.backward_call: Call | None = None
        self.derivative = ""
        self.reset = ""
        self.backward = self.adapter.backward is not None
        try:
            config = {**kind.cases[0].config, **({"dtype": np.dtype("float64")} if kind.parameters else {})}
            layer = self.build(config, dict.fromkeys(kind.parameters), probe=True)
        except Misbehaviour:  # which every case will show
            layer = None
        if layer is not None:
            self._understand(layer)

    def _understand_maker(self) -> Call:
        maker = self.source
        names = [p.name for p in parameters_of(maker) or []]
        settings = [role for role in self.roles() if role not in ("settings",)]
        arrays = "weight" in assign(names, [*settings, "weight"], self.said.arguments).values()
        flags = [*self.kind.parameters] if arrays else ["use_bias"]
        roles = [*settings, *flags, "dtype", "settings"]
        # Fewer sizes may be asked for than there are: what is left is found by position.
        call = understand(maker, roles, self.said.arguments, fallback=[*self.settings])
        self.guess(call.said)
        if "connections" in self.kind.features and not call.has("connections"):
            self.lacks["connections"] = f"{call.name} takes no table of connections"
        if "settings" in self.kind.features and not any(call.has(name) for name in self.kind.settings):
            self.lacks["settings"] = f"{call.name} takes no {', '.join(self.kind.settings)}"
        if "bias-free" in self.kind.features and not ("use_bias" in call.roles.values() or call.optional("bias")):
            self.lacks["bias-free"] = f"{call.name} always has a bias"
        return call

    def _understand(self, layer: Any) -> None:
        """Find the methods, and what they take."""
        forward = self._method(layer, self.adapter.forward, FORWARD)
        if forward is None and callable(layer):
            forward = "__call__"
        if forward is None:
            raise ValueError(f"{named(layer)} has no forward method, it has {_methods(layer)}")
        said = self.said.arguments
        bound = self._bound(layer, forward)
        mask = ["mask"] if self.masked else []
        self.forward_call = understand(bound, ["x", *mask, "training"], said, first="x", fallback=["x"])
        if mask and not self.forward_call.has("mask"):
            raise ValueError(
                f"{named(layer)} takes no mask: dropout is judged on a given one (an argument called mask)"
            )
        self.forward_method = forward
        backward = self._method(layer, self.adapter.backward, BACKWARD)
        if backward is None and self.kind.family == "activation":
            backward = self._method(layer, "", DERIVATIVE)
            self.derivative = "x"
        self.backward = backward is not None
        if backward is not None:
            self._understand_backward(layer, backward)
        own = attributes(layer)
        self.reset = next((own[word] for word in RESET.split() if word in own), "")
        if self.reset:
            self.guess(f"{self.reset}() is called before each backward pass")

    def _understand_backward(self, layer: Any, backward: Any) -> None:
        self.backward_method = backward
        bound = self._bound(layer, backward)
        if self.derivative:
            self.backward_call = understand(bound, [], {}, first="x", fallback=["x"])
            self.guess(f"{self.backward_call.name} is f′ as a function of the input: dx = dy·f′")
            self.stateful = False
            return
        roles = ["dy", "cache", "lr", "x", "y", *self.kind.parameters]
        fallback = ["dy", "cache"]
        self.backward_call = understand(bound, roles, self.said.arguments, first="dy", fallback=fallback)
        self.guess(self.backward_call.said)
        self.stateful = "cache" not in self.backward_call.roles.values()

    def _method(self, layer: Any, wanted: Any, words: str) -> Any:
        """The name of a method by one of these words, or what the adapter has in its place."""
        if callable(wanted) or wanted is None:
            return wanted
        own = attributes(layer)
        for word in (plain(wanted), *words.split()):
            if word and word in own and callable(getattr(layer, own[word])):
                if own[word] not in ("forward", "backward"):
                    self.guess(f"{named(layer)}.{own[word]} is the {words.split()[0]} part")
                return own[word]
        return None

    def _bound(self, layer: Any, method: Any) -> Callable[..., Any]:
        if callable(method):
            return partial(method, layer)
        found: Callable[..., Any] = getattr(layer, method)
        return found

    def unfit(self, case: Case) -> str:
        """Why a single layer cannot be asked a case: it is configured in another way."""
        if not self.single:
            return ""
        found = settings_of(self.source, case.config)
        for name, wanted in case.config.items():
            if name in found and not same(found[name], wanted):
                return f"the object has {name} {found[name]}, not {wanted}"
            if name in self.settings and name not in found and not self.usual(name, case.config):
                return f"the object shows no {name}"
        return misshapen(self.source, self.kind, case, self.said)

    def build(self, config: Mapping[str, Any], parameters: Mapping[str, Any], *, probe: bool = False) -> Any:
        """A layer of this configuration, as the user's code makes it."""
        if self.make_call is None:
            return self.maker.call("construction", copy.deepcopy, self.source)
        self.demand(self.make_call, config)
        values = self.values(config) | {"use_bias": config.get("bias", True)}
        values |= {"dtype": config["dtype"]} if "dtype" in config else {}
        if probe:
            twin = self.kind.twin(**{k: v for k, v in config.items() if k != "dtype"})
            parameters = {name: p.detach().numpy().astype("float64") for name, p in twin.named_parameters()}
            parameters = self.copies(parameters)
        values |= dict.fromkeys(self.kind.parameters)
        values |= {name: self.give(name, array, "construction") for name, array in parameters.items()}
        return self.ask("construction", self.make_call, values)

    def make(self, config: Mapping[str, Any], parameters: Mapping[str, Array]) -> ObjectCandidate:
        """A candidate with copies of these parameters."""
        own = self.copies(parameters)
        layer = self.build(config, own)
        if self.forward_call is None:
            self._understand(layer)
        assert self.forward_call is not None
        given = self.make_call is not None and self.make_call.has("weight")
        places = self._fill(layer, own, given=given)
        forward = replace(self.forward_call, function=self._bound(layer, self.forward_method))
        backward = self.backward_call
        if backward is not None:
            backward = replace(backward, function=self._bound(layer, self.backward_method))
        return ObjectCandidate(self, layer, forward, backward, own, places)

    def _fill(self, layer: Any, own: Mapping[str, Array], *, given: bool) -> dict[str, Place]:
        """Put the parameters into a layer; where they are."""
        if not own:
            return {}
        where = self.adapter.parameters
        if callable(where):
            live = self.maker.call("construction", where, layer)
            for name, array in own.items():
                np.copyto(live[name], self.give(name, array, "construction"))
            return {name: Place(name, name, partial(where_is, where, layer, name), lambda _: None) for name in own}
        if isinstance(where, Mapping):
            places = {name: at(layer, path) for name, path in where.items()}
        else:
            places = self.maker.call("construction", find_parameters, layer, self.kind.parameters)
        self.names |= {f"grad {name}": f"d{place.name}" for name, place in places.items() if place.name != name}
        if given:
            return {name: place for name, place in places.items() if isinstance(place.get(), np.ndarray)}
        if missing := [name for name in own if name not in places]:
            raise Misbehaviour("construction", f"keeps no {' and no '.join(missing)} on the layer, where it can be set")
        load = getattr(layer, "load_state_dict", None)
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
        current = place.get()
        shape, wanted = tuple(np.shape(current)), tuple(np.shape(array))
        if is_array(current) and shape != wanted:
            help_ = f"; declare {name}= if its axes are in another order" if name in self.kind.axes else ""
            raise Misbehaviour("construction", f"makes {place.said} of shape {shape}, expected {wanted}{help_}")
        place.set(array)


def where_is(where: Callable[[Any], Mapping[str, Any]], layer: Any, name: str) -> Any:
    """One of the arrays that an adapter's function gives."""
    return where(layer)[name]


def is_maker(source: Any) -> bool:
    """Whether something makes layers rather than being one: a class, or a function."""
    return isinstance(source, type) or hasattr(source, "__code__") or isinstance(source, partial)


def _methods(layer: Any) -> str:
    return ", ".join(name for name in attributes(layer).values() if callable(getattr(layer, name))) or "no methods"
