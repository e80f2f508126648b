"""Function pairs, as courses teach them: out, cache = forward(x, w, b, …); dx, dw, db = backward(dout, cache)."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.kinds.kind import Kind
from torchref.oracle.subjects.arrays import describe, is_array, to_numpy
from torchref.oracle.subjects.calls import understand
from torchref.oracle.subjects.guard import Guard
from torchref.oracle.subjects.layouts import Layout
from torchref.oracle.subjects.names import assign, pairs
from torchref.oracle.subjects.subject import Incident, Misbehaviour


@dataclass(frozen=True)
class Declared:
    """What the user said about the code.

    Attributes
    ----------
    layouts:
        By our name of a tensor ("x", "y", "weight", "bias"), where it is not torch's.
    arguments:
        Roles by the user's names.
    time_limit:
        Seconds for each call.
    array:
        Makes the arrays that the user's code takes from NumPy's; None for NumPy's.
    """

    layouts: Mapping[str, Layout] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    time_limit: float = 10.0
    array: Callable[[Array], Any] | None = None

    def give(self, name: str, array: Array) -> Array:
        """Ours as the user has it."""
        return self.layouts[name].give(array) if name in self.layouts else array

    def take(self, name: str, value: Any, during: str, what: str) -> Array:
        """The user's as we have it."""
        array = to_numpy(value, during, what)
        return self.layouts[name].take(array, during, what) if name in self.layouts else array

    def convert(self, array: Array) -> Any:
        """NumPy's as the user's library has it."""
        return array if self.array is None else self.array(array)


class Run(NamedTuple):
    """What a backward part may ask for: the values of the forward part by role, and its cache."""

    values: Mapping[str, Any]
    cache: Any


class FunctionPair:
    """A forward function and perhaps a backward one."""

    stateful = False

    def __init__(
        self, forward: Callable[..., Any], backward: Callable[..., Any] | None, kind: Kind, title: str, said: Declared
    ) -> None:
        self.kind, self.title, self.said = kind, title, said
        self.backward = backward is not None
        self.guard = Guard(said.time_limit)
        config = list(dict.fromkeys(name for case in kind.cases for name in case.config))
        settings = [name for name in (*kind.settings, *config) if name != "bias"]
        self.settings = list(dict.fromkeys(settings))
        mask = ["mask"] if getattr(kind, "masked", False) else []
        roles = ["x", *kind.parameters, *mask, *pairs(self.settings)]
        self.forward_call = understand(forward, roles, said.arguments, fallback=["x", *kind.parameters])
        self.backward_call = None
        if backward is not None:
            declared = dict(self.forward_call.roles) | dict(said.arguments)
            self.backward_call = understand(
                backward, ["dy", "cache", "y", *roles], declared, fallback=["dy", "cache", "x"]
            )
        self.names = {
            ("dx" if role == "x" else f"grad {role}"): f"d{name}"
            for name, role in self.forward_call.roles.items()
            if role in ("x", *kind.parameters)
        }
        self._guesses = [call.said for call in (self.forward_call, self.backward_call) if call is not None]

    @property
    def guesses(self) -> tuple[str, ...]:
        """What was not said and had to be guessed."""
        return tuple(dict.fromkeys(guess for guess in self._guesses if guess))

    def make(self, config: Mapping[str, Any], parameters: Mapping[str, Array]) -> "FunctionCandidate":
        """A candidate with copies of these parameters."""
        for name in self.settings:
            if not self.forward_call.has(name) and name in config and not self._usual(name, config):
                what = f"takes no argument for {name}; declare unsupported={name!r} if it is to have none"
                raise Misbehaviour("construction", what)
        own = {name: np.ascontiguousarray(self.said.give(name, array)) for name, array in parameters.items()}
        own = {name: np.array(array) for name, array in own.items()}
        return FunctionCandidate(self, config, own)

    def _usual(self, name: str, config: Mapping[str, Any]) -> bool:
        """Whether a setting has the value that code without it has, or follows from the parameters."""
        if name in ("kernel_size", "in_channels", "out_channels", "in_features", "out_features", "channels"):
            return bool(self.kind.parameters)
        if name == "stride" and "stride" in self.kind.settings and "padding" not in self.kind.settings:
            return bool(np.array_equal(config["stride"], config["kernel_size"]))
        default = inspect.signature(self.kind.twin).parameters[name].default
        return bool(np.array_equal(config[name], default))

    def arrange(self, name: str, array: Array) -> Array:
        """Contiguous where the user has it."""
        place = "y" if name == "dy" else name
        return self.said.layouts[place].arrange(array) if place in self.said.layouts else array

    def incidents(self) -> tuple[Incident, ...]:
        """What happened beside the answers since the last call."""
        return self.guard.incidents()


class FunctionCandidate:
    """One configuration of a function pair, in the oracle's contract."""

    def __init__(self, subject: FunctionPair, config: Mapping[str, Any], parameters: Mapping[str, Array]) -> None:
        self.subject = subject
        self._parameters = parameters  # as the user has them
        settings = {name: config[name] for name in subject.settings if name in config}
        for name in [name for name in pairs(settings) if name.endswith("]")]:
            pair = settings[name[:-3]]
            settings[name] = pair[int(name[-2])] if isinstance(pair, tuple) else pair
        self._values = settings | {name: parameters.get(name) for name in subject.kind.parameters}

    def parameters(self) -> dict[str, Array]:
        """The live parameters in our layout."""
        said = self.subject.said
        return {name: said.take(name, array, "", name) for name, array in self._parameters.items()}

    def forward(self, x: Array, mask: Array | None = None) -> tuple[Array, Run]:
        """y and all that the backward part may ask for."""
        subject, said = self.subject, self.subject.said
        values = self._values | {"x": said.convert(said.give("x", x))}
        if mask is not None:
            values["mask"] = said.convert(said.give("x", mask))
        positional, keywords = subject.forward_call.arguments(values)
        result = subject.guard.call("forward", subject.forward_call.function, *positional, **keywords)
        cache = None
        if isinstance(result, tuple):
            if len(result) != 2 or not is_array(result[0]):
                raise Misbehaviour("forward", f"returns {describe(result)}, expected out, or out and a cache")
            result, cache = result
        y = said.take("y", result, "forward", "the output")
        return y, Run(values | {"y": result}, cache)

    def backward(self, dy: Array, run: Run) -> tuple[Array, dict[str, Array]]:
        """dx and the gradients of the parameters by our names."""
        subject, said = self.subject, self.subject.said
        call = subject.backward_call
        assert call is not None
        values = {**run.values, "dy": said.convert(said.give("y", dy))}
        if run.cache is not None:
            values["cache"] = run.cache
        elif "cache" in call.roles.values():
            raise Misbehaviour("forward", "returns no cache, which the backward part asks for")
        positional, keywords = call.arguments(values)
        result = subject.guard.call("backward", call.function, *positional, **keywords)
        found = self._sorted(result)
        taken = {name: said.take(name, value, "backward", f"d{name}") for name, value in found.items()}
        return taken.pop("x"), taken

    def _sorted(self, result: Any) -> dict[str, Any]:
        """The gradients by our names: of x and of each parameter there is."""
        subject = self.subject
        asked = [role for role in subject.forward_call.roles.values() if role in ("x", *subject.kind.parameters)]
        wanted = [role for role in asked if role == "x" or role in self._parameters]
        if isinstance(result, Mapping):
            roles = assign([str(key) for key in result], wanted, subject.said.arguments)
            found = {role: result[name] for name, role in roles.items()}
        elif isinstance(result, tuple | list):
            if len(result) not in (len(wanted), len(asked)):
                names = ", ".join(subject.names[r if r == "dx" else f"grad {r}"] for r in wanted if r != "x")
                raise Misbehaviour(
                    "backward", f"returns {describe(result)}, expected {len(wanted)}: {subject.names['dx']}, {names}"
                )
            found = dict(zip(asked if len(result) == len(asked) else wanted, result, strict=True))
        elif len(wanted) == 1:
            found = {"x": result}
        else:
            raise Misbehaviour("backward", f"returns {describe(result)}, expected the gradients of {', '.join(wanted)}")
        return {role: found[role] for role in wanted if role in found}
