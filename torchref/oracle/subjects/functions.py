"""Function pairs, as courses teach them: out, cache = forward(x, w, b, …); dx, dw, db = backward(dout, cache)."""

from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any, NamedTuple

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.kinds.kind import Kind
from torchref.oracle.subjects.calls import Call, parameters_of, understand
from torchref.oracle.subjects.declared import Declared
from torchref.oracle.subjects.gradients import sort_gradients
from torchref.oracle.subjects.names import plain, synonyms
from torchref.oracle.subjects.sources import Source
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.subjects.theirs import NO_CACHE, Theirs

OUTPUTS = ("y", "a", "h", "s", "o", "out", "output", "outputs", "activation", "activated", "fx", "sig", "t", "act")
"""What the argument of f′ is called where it is written in terms of the output."""


class Run(NamedTuple):
    """What a backward part may ask for: the values of the forward part by role, and its cache."""

    values: Mapping[str, Any]
    cache: Any


class FunctionPair(Theirs):
    """A forward function, and perhaps a backward one or, of an activation, its derivative f′."""

    def __init__(self, source: Source, kind: Kind, title: str, said: Declared) -> None:
        super().__init__(source, kind, title, said)
        forward, backward = source.forward, source.backward
        self.backward = backward is not None
        mask = ["mask"] if self.masked else []
        roles = ["x", *kind.parameters, *mask, *self.roles()]
        own = ["x", *kind.parameters, *mask]
        self.forward_call = understand(forward, roles, said.arguments, first="x", fallback=own)
        self.theirs = {role: name for name, role in self.forward_call.roles.items() if role in ("x", *kind.parameters)}
        self.names = {"dx" if role == "x" else f"grad {role}": f"d{name}" for role, name in self.theirs.items()}
        self.guess(self.forward_call.said)
        self._look_for_absent()
        self.backward_call: Call | None = None
        self.derivative = ""
        if backward is not None:
            self._understand_backward(backward, [role for role in roles if role not in self.settings])

    def _look_for_absent(self) -> None:
        """What need not be asked of a function with these arguments."""
        call, kind = self.forward_call, self.kind
        if self.masked and not call.has("mask"):
            raise ValueError(f"{call.name} takes no mask: dropout is judged on a given one (an argument called mask)")
        if missing := [name for name in kind.parameters if not call.has(name)]:
            bias = "; declare unsupported='bias' if it is to have none" if missing == ["bias"] else ""
            raise ValueError(f"{call.name} takes no {' and no '.join(missing)}, which {kind.name} has{bias}")
        if "connections" in kind.features and not call.has("connections"):
            self.lacks["connections"] = f"{call.name} takes no table of connections"
        if "settings" in kind.features and not any(call.has(name) for name in kind.settings):
            self.lacks["settings"] = f"{call.name} takes no {', '.join(kind.settings)}"
        if "bias" in kind.parameters and "bias-free" in kind.features and not call.optional("bias"):
            self.lacks["bias-free"] = f"{call.name} always takes a bias"

    def _understand_backward(self, backward: Callable[..., Any], roles: list[str]) -> None:
        said = self.said.arguments
        needed = [p for p in parameters_of(backward) or [] if p.default is Parameter.empty and p.kind not in (2, 4)]
        settings = [role for role in self.forward_call.roles.values() if role in self.settings]
        declared = {**self.forward_call.roles, **said}
        if not self.kind.parameters and len(needed) == 1:
            (argument,) = needed
            # Of a layer only if its name says so: a single argument could be the gradient that arrives.
            usual = "x" if self.kind.family == "activation" or plain(argument.name) in synonyms("x") else ""
            role = said.get(argument.name, "y" if plain(argument.name) in OUTPUTS else usual)
            if role in ("x", "y"):
                self.derivative = role
                call = understand(backward, [role, *self.roles()], {argument.name: role}, first=role, fallback=[role])
                self.backward_call = call
                of = "the output" if role == "y" else "the input"
                self.guess(f"{call.name}({argument.name}) is f′ as a function of {of}: dx = dy·f′")
                return
        everything = ["dy", "cache", *roles, *settings, "y", "settings"]
        fallback = ["dy", "cache"] if self.kind.family != "activation" else ["dy", "x"]
        self.backward_call = understand(backward, everything, declared, first="dy", fallback=fallback)
        self.guess(self.backward_call.said)

    def make(self, config: Mapping[str, Any], parameters: Mapping[str, Array]) -> "FunctionCandidate":
        """A candidate with copies of these parameters."""
        self.demand(self.forward_call, config)
        return FunctionCandidate(self, config, self.copies(parameters))


class FunctionCandidate:
    """One configuration of a function pair, in the oracle's contract."""

    def __init__(self, subject: FunctionPair, config: Mapping[str, Any], parameters: Mapping[str, Array]) -> None:
        self.subject = subject
        self._parameters = parameters
        given = {name: subject.give(name, array) for name, array in parameters.items()}
        absent = dict.fromkeys(subject.kind.parameters)
        self._values = subject.values(config) | absent | given

    def parameters(self) -> dict[str, Array]:
        """The live parameters, which the user's code has views of."""
        return dict(self._parameters)

    def forward(self, x: Array, mask: Array | None = None) -> tuple[Array, Run]:
        """y and all that the backward part may ask for."""
        subject = self.subject
        values = self._values | {"x": subject.give("x", x)}
        if mask is not None:
            values["mask"] = subject.give("x", mask)
        y, cache = subject.paired(subject.ask("forward", subject.forward_call, values), "forward")
        return subject.take("y", y, "forward", "the output"), Run(values | {"y": y}, cache)

    def backward(self, dy: Array, run: Run) -> tuple[Array, dict[str, Array]]:
        """dx and the gradients of the parameters by our names."""
        subject = self.subject
        call = subject.backward_call
        assert call is not None
        if subject.derivative:
            slope = subject.take("y", subject.ask("backward", call, run.values), "backward", "f′")
            return times(dy, slope), {}
        values = {**run.values, "dy": subject.give("y", dy)}
        if "cache" in call.roles.values():
            if run.cache is NO_CACHE:
                raise Misbehaviour("forward", f"returns no cache, which {call.name} asks for")
            values["cache"] = run.cache
        wanted = ["x", *self._parameters]
        found = sort_gradients(subject.ask("backward", call, values), list(subject.theirs), wanted, subject.theirs)
        taken = {role: subject.take(role, value, "backward", subject.theirs[role]) for role, value in found.items()}
        if "x" not in taken:
            raise Misbehaviour("backward", f"returns no gradient of {subject.theirs['x']}", missing=True)
        return taken.pop("x"), taken


def times(dy: Array, slope: Array) -> Array:
    """dy · f′ for a slope of dy's shape, dy · J for Jacobians (N, K, K)."""
    if slope.ndim == dy.ndim + 1:
        jacobian: Array = np.einsum("nk,nkj->nj", dy, slope)
        return jacobian
    if slope.shape != dy.shape:
        raise Misbehaviour("backward", f"returns f′ of shape {slope.shape}, expected {dy.shape}")
    # Not NaN where nothing passes: what 0·∞ is here was no choice of the user's.
    return np.where(slope == 0, np.zeros_like(dy), dy * slope)
