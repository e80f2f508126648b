"""One layer object in the oracle's contract."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.subjects.arrays import describe, is_array
from torchref.oracle.subjects.calls import Call
from torchref.oracle.subjects.functions import Run, times
from torchref.oracle.subjects.gradients import sort_gradients
from torchref.oracle.subjects.places import Place, at, attributes, find_gradients, read
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.subjects.theirs import NO_CACHE

if TYPE_CHECKING:
    from torchref.oracle.subjects.objects import Objects

RATE = 2.0**40
"""The learning rate where a backward pass updates the parameters: so large that the old values leave no trace in the
difference, and a power of two, so that dividing by it is exact."""
RESULTS = ("output", "out", "y", "outputs", "result", "activation", "a")
"""Attributes that hold the output where the forward part returns nothing."""


class ObjectCandidate:
    """One layer of the user's with its parameters."""

    def __init__(
        self,
        subject: "Objects",
        layer: Any,
        forward: Call,
        backward: Call | None,
        own: Mapping[str, Array],
        places: Mapping[str, Place],
    ) -> None:
        self.subject, self.layer = subject, layer
        self._forward, self._backward = forward, backward
        self._own, self._places = own, places

    def parameters(self) -> dict[str, Array]:
        """The live parameters in our layout, where the layer keeps NumPy's arrays; else what it was given."""
        subject = self.subject
        live = {}
        for name, place in self._places.items():
            try:
                live[name] = place.get()
            except Exception as error:  # a property of theirs may raise anything
                raise Misbehaviour("backward", f"does away with its {place.said}") from error
        return {
            name: subject.take(name, live[name], "construction", name)
            if isinstance(live.get(name), np.ndarray)
            else array
            for name, array in self._own.items()
        }

    def forward(self, x: Array, mask: Array | None = None) -> tuple[Array, Run]:
        """y and all that the backward part may ask for."""
        subject = self.subject
        values: dict[str, Any] = {"x": subject.give("x", x), "training": True}
        if mask is not None:
            values["mask"] = subject.give("x", mask)
        result = subject.ask("forward", self._forward, values, silent=True)
        if result is None:
            result = self._kept()
        y, cache = subject.paired(result, "forward")
        return subject.take("y", y, "forward", "the output"), Run(values | {"y": y}, cache)

    def _kept(self) -> Any:
        """The output that the forward part left on an attribute."""
        own = attributes(self.layer)
        for word in RESULTS:
            if word in own and is_array(value := read(self.layer, own[word])):
                self.subject.guess(f"the output is what the forward part leaves in {own[word]}")
                return value
        raise Misbehaviour("forward", "returns None", missing=True)

    def backward(self, dy: Array, run: Run) -> tuple[Array, dict[str, Array]]:
        """dx and the gradients of the parameters by our names."""
        subject = self.subject
        call = self._backward
        assert call is not None
        if subject.derivative:
            return times(dy, subject.take("y", subject.ask("backward", call, run.values), "backward", "f′")), {}
        values = {**({} if run is None else run.values), "dy": subject.give("y", dy, "backward"), "lr": RATE}
        if not subject.stateful:
            if run.cache is NO_CACHE:
                raise Misbehaviour("forward", f"returns no cache, which {call.name} asks for")
            values["cache"] = run.cache
        if subject.reset:
            subject.guard.run("backward", getattr(self.layer, subject.reset))
        before = {name: np.array(array) for name, array in self.parameters().items()}
        buffers = self._left(methods=False)
        result = subject.ask("backward", call, values, silent=True)
        found = self._gradients(result, buffers)
        taken = {role: subject.take(role, value, "backward", self._called(role)) for role, value in found.items()}
        if "lr" in call.roles.values():
            taken = self._updates(before) | taken
        if "x" not in taken:
            raise Misbehaviour("backward", f"returns {describe(result)}, and leaves no gradient of x", missing=True)
        return taken.pop("x"), taken

    def _called(self, role: str) -> str:
        return self._places[role].name if role in self._places else role

    def _left(self, *, methods: bool = True) -> dict[str, Any]:
        """What gradients are on the layer."""
        subject = self.subject
        where = subject.adapter.gradients
        if callable(where):
            return dict(subject.guard.call("backward", where, self.layer)) if methods else {}
        if isinstance(where, Mapping):
            if not methods:
                return {}
            return {r: subject.guard.call("backward", lambda p=p: at(self.layer, p).get()) for r, p in where.items()}
        roles = ["x", *self._own]
        found: dict[str, Any] = subject.guard.call(
            "backward", find_gradients, self.layer, self._places, roles, methods=methods
        )
        return found

    def _gradients(self, result: Any, buffers: Mapping[str, Any]) -> dict[str, Any]:
        """What was returned, and of what was not, what is on the layer."""
        wanted = ["x", *self._own]
        found: dict[str, Any] = {}
        if is_array(result):
            found = {"x": result}
        elif result is not None:
            found = sort_gradients(result, wanted, wanted, {role: self._called(role) for role in wanted})
        if len(found) < len(wanted):
            left = {role: value for role, value in self._left().items() if role not in found and value is not None}
            # A buffer that the layer writes to again and again is the way of such layers, and no fault.
            copied = {role: np.array(v) if v is buffers.get(role) else v for role, v in left.items()}
            found |= copied
            for role in left:
                self.subject.guess(
                    f"the gradient of {self._called(role)} is what the backward part leaves on the layer"
                )
        return found

    def _updates(self, before: Mapping[str, Array]) -> dict[str, Array]:
        """The gradients by which a backward pass has changed the parameters, which are put back."""
        found = {}
        for name, now in self.parameters().items():
            if not np.array_equal(now, before[name], equal_nan=True):
                found[name] = (before[name] - now) / now.dtype.type(RATE)
                self._places[name].set(self.subject.give(name, np.array(before[name])))
        if found:
            self.subject.guess("the backward part updates the parameters: their gradients are read off that update")
        return found | {name: np.zeros_like(a) for name, a in before.items() if name not in found}
