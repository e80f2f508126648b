"""Somebody's whole network, however it is written, as something that can be loaded, run and looked into."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torchref.oracle.comparison import Array
from torchref.oracle.networks.clearing import Clearing
from torchref.oracle.networks.my_loss import MyLoss, number
from torchref.oracle.networks.recording import Observation, copied, recorded
from torchref.oracle.networks.slots import Slot, layers_of, needed, slots
from torchref.oracle.subjects.arrays import describe, to_numpy
from torchref.oracle.subjects.guard import Guard
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.thinning import Masks, ThinnedCandidate


@dataclass(frozen=True)
class NetworkAdapter:
    """A network as functions, where guessing fails.

    Attributes
    ----------
    parameters:
        Gives the parameters by name.
    load:
        Takes new values for all of them.
    forward:
        x -> output.
    backward:
        ∂J/∂output -> ∂J/∂x, or None if it is not computed. Comes after `forward`.
    gradients:
        Gives the parameters' gradients by the same names, after `backward`.
    trace:
        x -> the output of each layer by name, in order; None if the layers cannot be seen.
    layers:
        Objects with `forward` and `backward` that can be called alone, by name.
    """

    parameters: Callable[[], Mapping[str, Any]]
    load: Callable[[Mapping[str, Any]], object]
    forward: Callable[[Any], Any]
    backward: Callable[[Any], Any]
    gradients: Callable[[], Mapping[str, Any]]
    trace: Callable[[Any], Mapping[str, Any]] | None = None
    layers: Mapping[str, Any] = field(default_factory=dict)


class Mine(Protocol):
    """What the oracle asks of a network."""

    title: str
    guesses: list[str]
    stateful: bool
    layers: dict[str, Any]
    """What can be called alone, by the user's names."""
    loss: MyLoss | None
    """The loss, if it is a thing of its own."""

    def slots(self) -> list[Slot]:
        """The parameters."""

    def run(self, x: Array, target: Array, dy: Array | None, seen: Observation) -> None:
        """One free pass, noted in `seen` as far as it comes; without `dy`, through the candidate's own loss."""

    def alone(self, name: str, x: Array, dy: Array, seen: dict[str, Any]) -> None:
        """One layer: "y", "dx" and "grad <parameter>", the parameters by the network's names, as far as it comes."""


def adapt(mine: Any, guard: Guard, my_loss: Any = None, masks: Masks | None = None) -> Mine:
    """A network in the form the oracle drives, by what it has.

    Raises
    ------
    TypeError
        If it is written in none of the known ways.
    """
    loss = None if my_loss is None else MyLoss(my_loss, guard)
    if isinstance(mine, NetworkAdapter):
        return Adapted(mine, guard, loss)
    if callable(getattr(mine, "forward", None)) and callable(getattr(mine, "backward", None)):
        if needed(mine.backward) == 2:
            return Explicit(mine, guard, loss, masks)
        if needed(mine.backward) == 1:
            return Stateful(mine, guard, loss)
    elif callable(getattr(mine, "loss", None)) and hasattr(mine, "params"):
        return WithLoss(mine, guard)
    raise TypeError(
        f"mine is a {type(mine).__name__}, expected forward(x) and backward(dy) or backward(dy, cache), "
        "loss(x, y) with params, or a NetworkAdapter"
    )


def _two(during: str, expected: str, result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise Misbehaviour(during, f"returns {describe(result)}, expected {expected}")
    return result


def _through(loss: MyLoss | None, seen: Observation, output: Any, target: Array, dy: Array | None) -> Any:
    """The gradient of the output: what is given, or what the candidate's own loss makes of its own output."""
    if loss is None or dy is not None:
        return dy
    value, doutput = loss.run(output, target)
    seen.tensors |= {"loss": number(value), "doutput": to_numpy(doutput, "loss backward", "the gradient")}
    return doutput


def _with_gradients(seen: Observation, grads: Any) -> None:
    if not isinstance(grads, Mapping):
        raise Misbehaviour("backward", f"returns {describe(grads)} for the gradients, expected a dict by name")
    seen.tensors |= {f"grad/{name}": to_numpy(grad, "backward", f"d{name}") for name, grad in grads.items()}


class Explicit:
    """A network whose forward returns (y, cache) and whose backward takes it back."""

    stateful = False

    def __init__(self, net: Any, guard: Guard, loss: MyLoss | None, masks: Masks | None = None) -> None:
        self.net = net if masks is None else ThinnedCandidate(net, masks)
        self._guard = guard
        self.loss = loss
        self.title = type(net).__name__
        self.guesses = ["forward returns (y, cache), backward takes (dy, cache)"]
        self._watched = layers_of(net)
        self.layers = layers_of(self.net)

    def slots(self) -> list[Slot]:
        """From `parameters()`, or wherever they are."""
        return slots(self.net, {} if callable(getattr(self.net, "parameters", None)) else self.layers)

    def run(self, x: Array, target: Array, dy: Array | None, seen: Observation) -> None:
        """One free pass."""
        with recorded(self._watched, seen, pairs=True):
            output, cache = _two("forward", "y and a cache", self._guard.call("forward", self.net.forward, x))
            seen.tensors["output"] = to_numpy(output, "forward", "the output")
            doutput = _through(self.loss, seen, output, target, dy)
            dx, grads = _two(
                "backward", "dx and gradients", self._guard.call("backward", self.net.backward, doutput, cache)
            )
        seen.tensors["dx"] = to_numpy(dx, "backward", "dx")
        _with_gradients(seen, grads)

    def alone(self, name: str, x: Array, dy: Array, seen: dict[str, Any]) -> None:
        """One layer on what it is given."""
        layer = self.layers[name]
        y, cache = _two(f"{name}'s forward", "y and a cache", self._guard.call(f"{name}'s forward", layer.forward, x))
        seen["y"] = y
        result = self._guard.call(f"{name}'s backward", layer.backward, dy, cache)
        dx, grads = _two(f"{name}'s backward", "dx and gradients", result)
        seen |= {"dx": dx} | {f"grad {name}.{key}": grad for key, grad in grads.items()}


def called_alone(guard: Guard, name: str, layer: Any, x: Array, dy: Array, seen: dict[str, Any]) -> None:
    """A layer that keeps its pass on itself, on what it is given."""
    seen["y"] = guard.call(f"{name}'s forward", layer.forward, x)
    seen["dx"] = guard.call(f"{name}'s backward", layer.backward, dy)


class Stateful:
    """A network that keeps its pass on itself: forward(x) -> y, backward(dy) -> dx, gradients beside the parameters."""

    stateful = True

    def __init__(self, net: Any, guard: Guard, loss: MyLoss | None) -> None:
        self._net = net
        self._guard = guard
        self.loss = loss
        self.title = type(net).__name__
        self.layers = layers_of(net)
        self._clearing = Clearing(net, self.layers, guard)
        self.guesses = ["forward(x) and backward(dy) keep their pass on the network", *self._clearing.guesses]

    def slots(self) -> list[Slot]:
        """Attributes with gradients beside them, its own and its layers'; complete only after a pass."""
        return [slot for slot in slots(self._net, self.layers) if slot.gradient is not None]

    def run(self, x: Array, target: Array, dy: Array | None, seen: Observation) -> None:
        """One free pass."""
        self._clearing.before_pass()
        with recorded(self.layers, seen, pairs=False):
            output = self._guard.call("forward", self._net.forward, x)
            seen.tensors["output"] = to_numpy(output, "forward", "the output")
            dx = self._guard.run("backward", self._net.backward, _through(self.loss, seen, output, target, dy))
        if dx is not None and not isinstance(dx, Mapping):
            seen.tensors["dx"] = to_numpy(dx, "backward", "dx")
        _with_gradients(seen, {slot.name: slot.gradient() for slot in self.slots() if slot.gradient})

    def alone(self, name: str, x: Array, dy: Array, seen: dict[str, Any]) -> None:
        """One layer on what it is given."""
        self._clearing.before_alone(name, self._slots_of(name))
        called_alone(self._guard, name, self.layers[name], x, dy, seen)
        seen |= {f"grad {s.name}": copied(s.gradient()) for s in self._slots_of(name) if s.gradient}

    def _slots_of(self, name: str) -> list[Slot]:
        return [slot for slot in self.slots() if slot.name.startswith(f"{name}.")]


class WithLoss:
    """A network of which one sees loss(x, y) -> (loss, grads), loss(x) -> scores, and `params`."""

    stateful = True

    def __init__(self, net: Any, guard: Guard) -> None:
        self._net = net
        self._guard = guard
        self.loss: MyLoss | None = None
        self.title = type(net).__name__
        self.guesses = ["loss(x, y) gives (loss, grads) and loss(x) the scores"]
        self.layers: dict[str, Any] = {}

    def slots(self) -> list[Slot]:
        """Of `params`."""
        return slots(self._net, {})

    def run(self, x: Array, target: Array, dy: Array | None, seen: Observation) -> None:  # noqa: ARG002 - has its own loss
        """Scores, loss and gradients."""
        seen.tensors["output"] = to_numpy(self._guard.call("loss(x)", self._net.loss, x), "loss(x)", "the scores")
        result = self._guard.call("loss(x, y)", self._net.loss, x, target)
        value, grads = _two("loss(x, y)", "the loss and gradients", result)
        seen.tensors["loss"] = number(value)
        _with_gradients(seen, grads)

    def alone(self, name: str, x: Array, dy: Array, seen: dict[str, Any]) -> None:
        """Nothing: there are no layers to be seen."""


class Adapted:
    """A network as the functions of a `NetworkAdapter`."""

    stateful = True

    def __init__(self, adapter: NetworkAdapter, guard: Guard, loss: MyLoss | None) -> None:
        self._adapter = adapter
        self._guard = guard
        self.loss = loss
        self.title = "the adapted network"
        self.guesses: list[str] = []
        self.layers = dict(adapter.layers)

    def slots(self) -> list[Slot]:
        """As the adapter has them."""

        def put(name: str) -> Callable[[Array], None]:
            def load(value: Array) -> None:
                self._guard.run("load", self._adapter.load, {**self._adapter.parameters(), name: value})

            return load

        def get(name: str) -> Callable[[], Any]:
            return lambda: self._adapter.parameters()[name]

        names = self._guard.call("parameters", self._adapter.parameters)
        return [Slot(name, get(name), put(name), live=False) for name in names]

    def run(self, x: Array, target: Array, dy: Array | None, seen: Observation) -> None:
        """One free pass."""
        if self._adapter.trace is not None:
            for name, y in self._guard.call("trace", self._adapter.trace, x).items():
                seen.tensors[f"output/{name}"] = to_numpy(y, "trace", f"the output of {name}")
        with recorded(self.layers, seen, pairs=False):
            output = self._guard.call("forward", self._adapter.forward, x)
            seen.tensors["output"] = to_numpy(output, "forward", "the output")
            doutput = _through(self.loss, seen, output, target, dy)
            dx = self._guard.run("backward", self._adapter.backward, doutput)
        if dx is not None:
            seen.tensors["dx"] = to_numpy(dx, "backward", "dx")
        _with_gradients(seen, self._guard.call("gradients", self._adapter.gradients))

    def alone(self, name: str, x: Array, dy: Array, seen: dict[str, Any]) -> None:
        """One layer on what it is given; its parameters' gradients cannot be seen."""
        called_alone(self._guard, name, self.layers[name], x, dy, seen)
