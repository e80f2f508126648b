"""Optimisers: functions of one array or of all by name, with their state given or kept, or objects."""

from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.kinds.kind import Kind
from torchref.oracle.subjects.arrays import describe, is_array
from torchref.oracle.subjects.calls import Call, parameters_of, understand
from torchref.oracle.subjects.declared import Declared
from torchref.oracle.subjects.names import assign
from torchref.oracle.subjects.optimizer_forms import FORMS, PLAIN, Form, holds
from torchref.oracle.subjects.parts import STEP, bound, find
from torchref.oracle.subjects.places import read
from torchref.oracle.subjects.settings import Settings
from torchref.oracle.subjects.sources import Source
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.subjects.theirs import Theirs

PROBE = {"fc1.weight": np.ones((2, 2)), "fc1.bias": np.ones(2)}
"""On which it is found out what an optimiser takes."""
ALL, ONE = ["params", "gradients", "state"], ["w", "dw", "v"]


class Optimizers(Theirs):
    """An optimiser in any of its forms."""

    def __init__(self, source: Source, kind: Kind, title: str, said: Declared) -> None:
        super().__init__(source, kind, title, said)
        self.make_call, self.holds, self.form = None, False, PLAIN
        if source.make is not None:
            self.make_call = understand(source.make, self.roles(), said.arguments, fallback=self.settings)
            if holds(source.make, self.make_call, source.forward):
                self.holds = True
                self.make_call = understand(source.make, ["params", *self.roles()], said.arguments, first="params")
            self.guess(self.make_call.said)
        thing = self._sample()
        self.part = source.forward if thing is None else find(thing, source.forward, STEP, "step method")
        function = self.part if thing is None else bound(thing, self.part)
        self.step_call = self._understand_step(function)
        takes = self.make_call or self.step_call
        self.form = self._form()
        self.guess(f"{self.step_call.name}: {self.form.said}" if self.form.said else "")
        self.shows = not self.holds and callable(read(thing, "state_dict")) and callable(read(thing, "load_state_dict"))
        known = self._read()
        for feature, setting in (("momentum", "momentum"), ("decay", "weight_decay")):
            if source.thing is None and (not takes.has(setting) or setting not in known):
                self.lacks[feature] = f"{takes.name} takes no {setting}"
        if self.single:
            self.lacks["names"] = f"{self.step_call.name} takes one array"
        if self.form.listed or self.form.numbered:
            self.lacks["names"] = f"{self.step_call.name} takes parameters by number"
        if not self.shows:
            self.lacks["state"] = "its velocities are its own"

    def _sample(self) -> Any:
        """An object, to look at its step."""
        config = self.kind.cases[0].config
        for form in FORMS if self.holds else ():
            with suppress(Misbehaviour):
                return self.build(config, form.give(PROBE))
        return self.build(config, PROBE)

    def _understand_step(self, function: Any) -> Call:
        said, settings = self.said.arguments, self.roles()
        names = [p.name for p in parameters_of(function) or []]
        self.single = not self.holds and not {"params", "gradients"} <= set(assign(names, ALL, said).values())
        own = ONE if self.single else ["gradients"] if self.holds else ALL
        call = understand(function, [*own, *settings], said, first=own[0], fallback=own)
        self.guess(call.said)
        return call

    def _form(self) -> Form:
        """The first form in which it takes two arrays; ours if it takes none, or one object would remember them."""
        if self.single or self.source.thing is not None:
            return PLAIN
        for form in FORMS:
            self.form = form
            params, gradients = ({name: array.copy() for name, array in PROBE.items()} for _ in range(2))
            try:
                Optimizer(self, self.kind.cases[0].config).step(params, gradients)
            except Misbehaviour as trouble:
                if trouble.hangs:
                    break
            else:
                return form
        return PLAIN

    def _read(self) -> set[str]:
        """The settings that it may know: all, or those that it reads from a dict."""
        if not self.single or "settings" not in self.step_call.roles.values():
            return set(self.settings)
        probe = Optimizer(self, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1})
        with suppress(Misbehaviour):  # which every case will show
            probe.step({"weight": np.ones(2)}, {"weight": np.ones(2)})
        self.incidents()
        return probe.read

    def build(self, config: Mapping[str, Any], params: Any = None) -> Any:
        """The object of a configuration, with the parameters if it holds them; None for functions."""
        if self.make_call is None:
            return self.source.copy(self.maker)
        self.demand(self.make_call, config)
        return self.ask("construction", self.make_call, self.values(config) | {"params": params})

    def make(self, config: Mapping[str, Any], parameters: Mapping[str, Array]) -> "Optimizer":  # noqa: ARG002
        """An optimiser of this configuration."""
        if self.make_call is None and self.source.thing is None:
            self.demand(self.step_call, config)
        return ShownOptimizer(self, config) if self.shows else Optimizer(self, config)


class Optimizer:
    """One optimiser in the oracle's contract."""

    def __init__(self, subject: Optimizers, config: Mapping[str, Any]) -> None:
        self.subject, self.config = subject, config
        self.thing: Any = subject.build(config) if not subject.single and not subject.holds else None
        self._held: Any = None
        self._things: dict[str, Any] = {}
        self._state: dict[str, Any] = {}
        self._settings: dict[str, Settings] = {}
        self.read: set[str] = set()

    def _call(self, name: str) -> Call:
        """The step, of an object of its own for each array if it takes one at a time."""
        subject = self.subject
        thing = self.thing
        if subject.single:
            if name not in self._things:
                self._things[name] = subject.build(self.config)
            thing = self._things[name]
        return subject.step_call if thing is None else replace(subject.step_call, function=bound(thing, subject.part))

    def step(self, params: MutableMapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Update in place."""
        if self.subject.single:
            for name in params:
                self._step_one(params, name, grads[name])
            return
        subject, form = self.subject, self.subject.form
        if self._held is None or not subject.holds:
            self._held = params if form is PLAIN else form.give(params)
        if subject.holds and self.thing is None:
            self.thing = subject.build(self.config, self._held)
        gradients = form.give(grads, form.prefix)
        values = subject.values(self.config) | {"params": self._held, "gradients": gradients, "state": self._state}
        result = subject.ask("step", self._call(""), values, silent=True)
        new = result[0] if isinstance(result, tuple) and result else result
        for theirs in (self._held, new):
            form.take(theirs, params, lambda name, value: subject.take("", value, "step", name))
        if isinstance(result, tuple) and len(result) > 1 and isinstance(result[1], dict):
            self._state = result[1]

    def _step_one(self, params: MutableMapping[str, Array], name: str, grad: Array) -> None:
        subject = self.subject
        settings = self._settings.setdefault(name, subject.values(self.config)["settings"])
        velocity = self._state.setdefault(name, np.zeros_like(params[name]))
        given = {"w": params[name], "dw": grad, "v": velocity, "settings": settings}
        try:
            result = subject.ask("step", self._call(name), subject.values(self.config) | given, silent=True)
        finally:
            self.read |= settings.read
        if isinstance(result, tuple):
            if len(result) != 2:
                raise Misbehaviour("step", f"returns {describe(result)}, expected the array, or it and its state")
            result, state = result
            if is_array(state):
                self._state[name] = state
            elif isinstance(state, Mapping):
                self._settings[name] = state if isinstance(state, Settings) else Settings(state)
        if result is not None:
            params[name] = subject.take("", result, "step", name)


class ShownOptimizer(Optimizer):
    """One that shows its state, as ours does."""

    def state_dict(self) -> dict[str, Array]:
        """Copies of the state by parameter name."""
        state: dict[str, Array] = self.subject.guard.call("state_dict", self.thing.state_dict)
        return state

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take copies of a state."""
        self.subject.guard.run("load_state_dict", self.thing.load_state_dict, state)
