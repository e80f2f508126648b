"""Losses: one function that returns (loss, gradient), a pair, or objects."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.kinds.kind import Kind
from torchref.oracle.subjects.arrays import describe, is_array
from torchref.oracle.subjects.calls import Call, named, understand
from torchref.oracle.subjects.declared import Declared
from torchref.oracle.subjects.functions import Run
from torchref.oracle.subjects.parts import LOSS, LOSS_BACKWARD, bound, find, method
from torchref.oracle.subjects.places import find_gradients
from torchref.oracle.subjects.sources import Source
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.subjects.theirs import Theirs

TARGETS = ["onehot", "target"]


class Losses(Theirs):
    """A loss in any of its forms."""

    def __init__(self, source: Source, kind: Kind, title: str, said: Declared) -> None:
        super().__init__(source, kind, title, said)
        self.stateful = False
        self.make_call = None if source.make is None else self._understand_maker(source.make)
        thing = self.build(kind.cases[0].config)
        forward, backward = source.forward, source.backward
        if thing is not None:
            forward, backward = find(thing, forward, LOSS, "forward method"), method(thing, backward, LOSS_BACKWARD)
        self.parts = forward, backward
        function = forward if thing is None else bound(thing, forward)
        roles = [*TARGETS, "output", *self.roles()]
        self.forward_call = understand(function, roles, said.arguments, fallback=["output", *TARGETS[1:]])
        self.guess(self.forward_call.said)
        self.onehot = "onehot" in self.forward_call.roles.values()
        if self.onehot and "nonfinite" in kind.features:
            self.forgoes.add("nonfinite")
            self.guess("the target is one-hot, so that 0·∞ is NaN: it is not asked about NaN and infinity")
        self.backward_call: Call | None = None
        if backward is not None:
            self.backward_call = self._understand_backward(backward if thing is None else bound(thing, backward))
            asked = self.backward_call.roles.values()
            self.stateful = thing is not None and "cache" not in asked and "output" not in asked
        takes = self.make_call or self.forward_call
        if source.thing is None and not (takes.has("reduction") or self.forward_call.has("reduction")):
            self.lacks["sum"] = f"{takes.name} takes no reduction"
        self._try()

    def _understand_maker(self, make: Any) -> Call:
        call = understand(make, self.roles(), self.said.arguments, fallback=self.settings)
        self.guess(call.said)
        return call

    def _understand_backward(self, function: Any) -> Call:
        declared = {**self.forward_call.roles, **self.said.arguments}
        roles = ["cache", *TARGETS, "dy", "output", *self.roles()]
        call = understand(function, roles, declared, fallback=["cache", "output", "target"])
        asked = call.roles.values()
        if "dy" in asked and "output" not in asked and ("target" in asked or "onehot" in asked):
            # With the target beside it, it is the loss's input: dvalues, y_true.
            call = replace(call, roles={name: "output" if r == "dy" else r for name, r in call.roles.items()})
        self.guess(call.said)
        return call

    def _try(self) -> None:
        """One call of a function to see what it returns, and whether it takes labels where dense targets will do."""
        output = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]])
        dense = getattr(self.kind, "dense", False) and not self.onehot
        loss = Loss(self, {**self.kind.cases[0].config})
        target = np.array([[1.0, 0.0, 0.5], [0.0, 2.0, 1.0]]) if dense else np.array([2, 0])
        if self.backward_call is None:
            self.backward = False
            try:
                _, run = loss.forward(output, target)
            except Misbehaviour:
                return
            if is_array(run.cache) and np.shape(run.cache) == np.shape(self.said.give("x", output)):
                self.backward = True
                self.guess(f"{self.forward_call.name} returns the loss and its gradient")
        if dense and "labels" in self.kind.features:
            try:
                loss.forward(output, np.array([2, 0]))
            except Misbehaviour:
                self.lacks["labels"] = f"{self.forward_call.name} takes no class labels"
        self.incidents()

    def build(self, config: Mapping[str, Any]) -> Any:
        """The object of a configuration; None for functions."""
        if self.make_call is None:
            return self.source.copy(self.maker)
        self.demand(self.make_call, config)
        return self.ask("construction", self.make_call, self.values(config))

    def make(self, config: Mapping[str, Any], parameters: Mapping[str, Array]) -> "Loss":  # noqa: ARG002
        """A loss of this configuration."""
        return Loss(self, config)

    def help_for(self, trouble: Misbehaviour) -> Misbehaviour:
        """What an exception may be about: the form of the target."""
        if self.onehot or getattr(self.kind, "dense", False) or not trouble.what.startswith("raises"):
            return trouble
        help_ = " [the target are class labels: if yours is one-hot, say arguments={'its name': 'onehot'}]"
        return Misbehaviour(trouble.during, trouble.what + help_, missing=trouble.missing, hangs=trouble.hangs)


@dataclass
class Loss:
    """One loss in the oracle's contract."""

    subject: Losses
    config: Mapping[str, Any]

    def __post_init__(self) -> None:
        subject = self.subject
        self._thing = subject.build(self.config)
        if self._thing is None:
            subject.demand(subject.forward_call, self.config)
        self._calls = [
            call and (call if self._thing is None else replace(call, function=bound(self._thing, part)))
            for call, part in zip((subject.forward_call, subject.backward_call), subject.parts, strict=True)
        ]

    def forward(self, output: Array, target: Array) -> tuple[Any, Run]:
        """The value and all that the backward part may ask for."""
        subject = self.subject
        values = subject.values(self.config) | {"output": subject.give("x", output), "dy": output.dtype.type(1)}
        if subject.onehot:
            dense = target if target.ndim == 2 else np.eye(output.shape[1], dtype=output.dtype)[target]
            values["onehot"] = subject.give("x", dense)
        else:
            values["target"] = subject.give("x" if target.ndim == 2 else "", target)
        assert self._calls[0] is not None
        try:
            result = subject.ask("forward", self._calls[0], values)
        except Misbehaviour as trouble:
            raise subject.help_for(trouble) from trouble
        cache = None
        if isinstance(result, tuple):
            if len(result) != 2:
                raise Misbehaviour("forward", f"returns {describe(result)}, expected the loss, or (loss, cache)")
            result, cache = result
        value = result if type(result) in (float, int) else subject.take("", result, "forward", "the loss")
        return value, Run(values, cache)

    def backward(self, run: Run) -> Array:
        """The gradient with respect to the output."""
        subject, call = self.subject, self._calls[1]
        if call is None:
            return subject.take("x", run.cache, "forward", "the gradient")
        values = dict(run.values)
        if run.cache is not None:
            values["cache"] = run.cache
        elif "cache" in call.roles.values():
            raise Misbehaviour("forward", f"returns no cache, which {call.name} asks for")
        result = subject.ask("backward", call, values, silent=True)
        if result is None:
            left = subject.guard.call("backward", find_gradients, self._thing, {}, ["x"])
            if "x" not in left:
                raise Misbehaviour("backward", "returns None", missing=True)
            subject.guess(f"{named(self._thing)} leaves its gradient on the object")
            result = left["x"]
        return subject.take("x", result, "backward", "the gradient")
