"""Penalties on weights: functions of one weight or of all parameters by name, or objects."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torchref.oracle.comparison import Array
from torchref.oracle.kinds.kind import Kind
from torchref.oracle.subjects.arrays import describe
from torchref.oracle.subjects.calls import Call, parameters_of, understand
from torchref.oracle.subjects.declared import Declared
from torchref.oracle.subjects.functions import Run
from torchref.oracle.subjects.names import assign
from torchref.oracle.subjects.parts import LOSS, LOSS_BACKWARD, bound, find, method
from torchref.oracle.subjects.sources import Source
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.subjects.theirs import Theirs


class Penalties(Theirs):
    """A penalty in any of its forms."""

    def __init__(self, source: Source, kind: Kind, title: str, said: Declared) -> None:
        super().__init__(source, kind, title, said)
        self.make_call = None
        if source.make is not None:
            self.make_call = understand(source.make, self.roles(), said.arguments, fallback=self.settings)
        thing = self.build(kind.cases[0].config)
        forward, backward = source.forward, source.backward
        if thing is not None:
            forward, backward = find(thing, forward, LOSS, "forward method"), method(thing, backward, LOSS_BACKWARD)
        self.parts = forward, backward
        self.backward = backward is not None
        settings = [role for role in self.roles() if role != "settings"]
        roles = ["params", "w", *settings, "settings"]
        function = forward if thing is None else bound(thing, forward)
        names = [p.name for p in parameters_of(function) or []]
        self.single = "params" not in assign(names, roles, said.arguments).values()
        self.forward_call = understand(function, roles, said.arguments, first="w" if self.single else "params")
        self.guess(self.forward_call.said)
        if self.single:
            self.lacks["names"] = f"{self.forward_call.name} takes one weight"
        self.backward_call: Call | None = None
        if backward is not None:
            function = backward if thing is None else bound(thing, backward)
            declared = {**self.forward_call.roles, **said.arguments}
            self.backward_call = understand(function, ["cache", *roles, "dy"], declared, fallback=["cache"])
            self.guess(self.backward_call.said)
            asked = self.backward_call.roles.values()
            self.stateful = thing is not None and not {"cache", "params", "w"} & set(asked)

    def build(self, config: Mapping[str, Any]) -> Any:
        """The object of a configuration; None for functions."""
        if self.make_call is None:
            return self.source.copy(self.maker)
        return self.ask("construction", self.make_call, self.values(config))

    def make(self, config: Mapping[str, Any], parameters: Mapping[str, Array]) -> "Penalty":  # noqa: ARG002
        """A penalty of this configuration."""
        if self.make_call is None and self.source.thing is None:
            self.demand(self.forward_call, config)
        return Penalty(self, config)


@dataclass
class Penalty:
    """One penalty in the oracle's contract."""

    subject: Penalties
    config: Mapping[str, Any]

    def __post_init__(self) -> None:
        subject = self.subject
        thing = subject.build(self.config)
        self._calls = [
            call and (call if thing is None else replace(call, function=bound(thing, part)))
            for call, part in zip((subject.forward_call, subject.backward_call), subject.parts, strict=True)
        ]

    def forward(self, params: Mapping[str, Array]) -> tuple[Any, Run]:
        """The value and all that the backward part may ask for."""
        subject = self.subject
        given = {name: subject.give("", array) for name, array in params.items()}
        values = subject.values(self.config) | {"params": given, "w": next(iter(given.values())), "dy": 1.0}
        assert self._calls[0] is not None
        result = subject.ask("forward", self._calls[0], values)
        result, cache = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
        value = result if type(result) in (float, int) else subject.take("", result, "forward", "the penalty")
        return value, Run(values | {"names": tuple(params)}, cache)

    def backward(self, run: Run) -> dict[str, Array]:
        """The gradients by name."""
        subject, call = self.subject, self._calls[1]
        assert call is not None
        values = dict(run.values) | ({} if run.cache is None else {"cache": run.cache})
        result = subject.ask("backward", call, values)
        if isinstance(result, tuple) and len(result) == 1:
            (result,) = result
        if not isinstance(result, Mapping):
            if len(run.values["names"]) != 1:
                raise Misbehaviour("backward", f"returns {describe(result)}, expected gradients by name")
            result = {run.values["names"][0]: result}
        return {str(name): subject.take("", grad, "backward", str(name)) for name, grad in result.items()}
