"""A network whose passes are recorded once and replayed: the same NumPy calls on the same memory, and nothing else.

A layer's pass is a handful of NumPy calls between checks, views and fresh arrays; for a small batch those take longer
than the arithmetic. For inputs of one shape all of them come out the same each time. So the calls of a pass are written
down with the arrays that they read and write. To repeat it on other numbers, those are put where the first ones were,
and the calls are made again. The layers know nothing of it, and the results are the same to the last bit.
"""

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scratch.module import Mask, Module, Sequential
from scratch.traced import NotTraceableError, Tape, plain
from scratch.validation import Array

_MOST: Final = 8
"""Passes that are kept, of different shapes: each holds the memory that it runs through."""

_WORTH: Final = 1 << 17
"""Parameters of the largest network that is captured: gradients are copied, which takes longer than a few calls."""

Arrays: TypeAlias = Mapping[str, NDArray[Any]]


def quickened(net: Sequential) -> "Sequential | Captured":
    """What makes the passes of a network fastest: its recording, or itself if its parameters are many."""
    return Captured(net) if net.num_parameters <= _WORTH else net


class Calls:
    """A function of arrays, recorded at its first call.

    Parameters
    ----------
    tape:
        What is recorded on; functions that use each other's results share one.
    function:
        Takes arrays by name and returns arrays by name. It is called once.
    inputs:
        For the first call.

    Raises
    ------
    NotTraceableError
        If what it computes depends on numbers in more than NumPy's calls.
    """

    def __init__(self, tape: Tape, function: Callable[[dict[str, Any]], Arrays], inputs: Arrays) -> None:
        self._inputs = {name: tape.place(array) for name, array in inputs.items()}
        self._outputs = dict(function(dict(self._inputs)))
        self._calls = tape.cut()

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """The results for other arrays of the same form."""
        for name, place in self._inputs.items():
            np.copyto(plain(place), inputs[name])
        for call in self._calls:
            call()
        return self.results()

    def results(self) -> dict[str, NDArray[Any]]:
        """Copies of what the last call has computed, in the same memory order: sums over them are taken in it."""
        return {name: plain(array).copy("K") for name, array in self._outputs.items()}

    def fits(self, inputs: Arrays) -> bool:
        """Whether arrays have the memory order of the first ones, on which the order of sums depends."""
        return all(inputs[name].strides == place.strides for name, place in self._inputs.items())


class CapturedCache(NamedTuple):
    """Stands for what a pass keeps for its way back: which pass it is, and the number of its repetition."""

    captured: "_Pass"
    turn: int


class Captured:
    """A network that can stand for the one that it is made of, in `forward`, `gradients` and `predict`.

    A pass is recorded when its shapes come for the first time. The second time it is replayed and made plainly too;
    should one bit differ, or have the layers asked for something that depends on numbers, it is made plainly ever
    after. Layers that are not of this package are not recorded at all: they may do more than call NumPy.

    Parameters
    ----------
    net:
        Its layers may not change, its parameters may.
    """

    def __init__(self, net: Sequential) -> None:
        self.net = net
        self._passes: dict[Any, _Pass] = {}
        self._known = all(type(layer).__module__.partition(".")[0] == __package__ for layer in leaves(net))

    def forward(self, x: Array, masks: Mapping[str, Mask] | None = None) -> tuple[Array, Any]:
        """As of `Sequential`; the way back has to be taken before the next pass over an input of this shape."""
        if not self._known or not len(x):
            return self.net.forward(x, masks)
        one = self._find("forward", x, masks or {})
        return one.forward(x, masks), CapturedCache(one, one.turn)

    def gradients(self, doutput: Array, cache: Any) -> dict[str, Array]:
        """As of `Sequential`; raises `RuntimeError` if another pass over an input of this shape has come between."""
        if not isinstance(cache, CapturedCache):
            return self.net.gradients(doutput, cache)
        if cache.turn != cache.captured.turn:
            raise RuntimeError("another pass over an input of this shape has overwritten what this one left behind")
        return cache.captured.gradients(doutput)

    def predict(self, x: Array) -> Array:
        """As of `Sequential`."""
        if not self._known or not len(x):
            return self.net.predict(x)
        return self._find("predict", x, {}).predict(x)

    def _find(self, what: str, x: Array, masks: Arrays) -> "_Pass":
        """The pass over inputs of this form."""
        key = (what, x.shape, x.dtype, *((name, mask.shape) for name, mask in masks.items()))
        params = list(self.net.parameters().values())
        found = self._passes.get(key)
        # A parameter that has become another array is not the one whose memory the calls read.
        if found is None or any(now is not then for now, then in zip(params, found.params, strict=True)):
            self._passes.pop(key, None)
            if len(self._passes) == _MOST:
                del self._passes[next(iter(self._passes))]
            found = self._passes[key] = _Pass(self.net, params)
        return found


class _Pass:
    """The way of inputs of one form through a network, and back."""

    def __init__(self, net: Sequential, params: list[Array]) -> None:
        self.net = net
        self.params = params
        self.turn = 0
        self._tape = Tape()
        self._shadow = shadow(net, self._tape)
        self._calls: dict[str, Calls] = {}
        self._checked: set[str] = set()
        self._plainly = False
        self._on_tape = True
        self._plain: Callable[[], tuple[Array, Any]]
        self._cache: Any = None
        self._traced_cache: Any = None

    def forward(self, x: Array, masks: Mapping[str, Mask] | None) -> Array:
        """The output; what the way back needs is kept here."""
        self.turn += 1
        self._on_tape = True
        self._cache = None
        self._plain = functools.partial(self.net.forward, x, masks)

        def traced(inputs: dict[str, Any]) -> Arrays:
            x = inputs.pop("x")
            output, self._traced_cache = self._shadow.forward(x, inputs or None)
            return {"output": output}

        def made_plainly() -> Arrays:
            output, self._cache = self._plain()
            return {"output": output}

        return self._run("forward", traced, {"x": x, **(masks or {})}, made_plainly)["output"]

    def gradients(self, doutput: Array) -> dict[str, Array]:
        """The parameters' gradients."""

        def traced(inputs: dict[str, Any]) -> Arrays:
            grads: Arrays = self._shadow.gradients(inputs["doutput"], self._traced_cache)
            return grads

        def made_plainly() -> Arrays:
            cache = self._plain()[1] if self._cache is None else self._cache
            return self.net.gradients(doutput, cache)

        return self._run("gradients", traced, {"doutput": doutput}, made_plainly)

    def predict(self, x: Array) -> Array:
        """The output."""
        self._on_tape = True

        def traced(inputs: dict[str, Any]) -> Arrays:
            return {"output": self._shadow.predict(inputs["x"])}

        return self._run("predict", traced, {"x": x}, lambda: {"output": self.net.predict(x)})["output"]

    def _run(
        self, what: str, traced: Callable[[dict[str, Any]], Arrays], inputs: Arrays, made_plainly: Callable[[], Arrays]
    ) -> dict[str, Array]:
        """Record at first; then replay and check; then replay."""
        dense = what in self._calls or all(np.empty_like(array).strides == array.strides for array in inputs.values())
        fits = dense and (what not in self._calls or self._calls[what].fits(inputs))
        # A way back can read only what its own way there has left on the tape.
        self._on_tape = self._on_tape and fits
        if self._plainly or not self._on_tape:
            return dict(made_plainly())
        if what not in self._calls:
            try:
                self._calls[what] = Calls(self._tape, traced, inputs)
            except NotTraceableError:
                self._plainly = True
                return dict(made_plainly())
            return self._calls[what].results()
        found = self._calls[what](inputs)
        if what not in self._checked:
            expected = made_plainly()
            self._plainly = not same_bits(found, expected)
            self._checked.add(what)
            return dict(expected)
        return found


def same_bits(one: Arrays, other: Arrays) -> bool:
    """Whether two lots of arrays have the same names in the same order, shapes, dtypes and bits."""

    def form(array: NDArray[Any]) -> object:
        return array.shape, array.dtype, array.tobytes()

    return list(one) == list(other) and all(form(array) == form(other[name]) for name, array in one.items())


def leaves(net: Module) -> Iterator[Module]:
    """The layers of a network and of the networks within it."""
    if not isinstance(net, Sequential):
        yield net
        return
    for layer in net.layers.values():
        yield from leaves(layer)


def shadow(net: Any, tape: Tape) -> Any:
    """A copy of a network or layer whose parameters are the same memory, traced; the original is left as it is."""
    twin = copy.copy(net)
    if isinstance(net, Sequential):
        twin.layers = {name: shadow(layer, tape) for name, layer in net.layers.items()}
        return twin
    params = {id(array) for array in net.parameters().values()}
    for name, value in vars(net).items():
        if id(value) in params:
            setattr(twin, name, tape.view(value))
    return twin
