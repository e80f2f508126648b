"""A network whose passes are recorded once and replayed: the same NumPy calls on the same memory, and nothing else.

A layer's pass is a handful of NumPy calls between checks, views and fresh arrays; for a small batch those take longer
than the arithmetic. For inputs of one shape all of them come out the same each time. So the calls of a pass are written
down with the arrays that they read and write. To repeat it on other numbers, those are put where the first ones were,
and the calls are made again. The layers know nothing of it, and the results are the same to the last bit.

Both the recording and its comparison with a plain pass are made on numbers drawn for them: what does not follow the
input shows at once, even if the same input comes again and again.
"""

import copy
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from scratch.module import Mask, Module, Sequential
from scratch.recording import Arrays, Calls, drawn, form, is_plain, recorded
from scratch.traced import NotTraceableError, Tape
from scratch.validation import Array

_MOST: Final = 8
"""Passes that are kept, of different shapes: each holds the memory that it runs through."""

_WORTH: Final = 1 << 17
"""Parameters of the largest network that is captured: gradients are copied, which takes longer than a few calls."""

_METHODS: Final = ("forward", "predict", "backward", "gradients", "parameters")
"""Of a layer or network, that a pass consists of."""


def quickened(net: Sequential) -> "Sequential | Captured":
    """What makes the passes of a network fastest: its recording, or itself if its parameters are many."""
    return Captured(net, patience=1, lends=True) if net.num_parameters <= _WORTH else net


class CapturedCache(NamedTuple):
    """Stands for what a pass keeps for its way back: which pass it is, and the number of its repetition."""

    captured: "_Pass"
    turn: int


class Captured:
    """A network that can stand for the one that it is made of, in `forward`, `gradients` and `predict`.

    A pass is recorded when its shapes come for the first time, and compared with a plain one, both on numbers drawn for
    that. Should one bit differ, or have the layers asked for something that depends on numbers, passes are made plainly
    ever after. Layers that are not of this package are not recorded at all: they may do more than call NumPy.

    Threads wait for each other; but the way back is refused if another thread's pass has come between. A copy, or what
    has been pickled, records anew.

    Parameters
    ----------
    net:
        What it holds may change: in place, or by assignment, after which passes are recorded anew.
    patience:
        How many passes of a form are made plainly before one is recorded. What comes once, as the rest of an epoch that
        is no whole batch, is not worth the memory.
    lends:
        Whether gradients are not copied: they are read-only then, and overwritten by the next pass over an input of
        this shape.
    """

    def __init__(self, net: Sequential, patience: int = 0, lends: bool = False) -> None:
        self.net = net
        self.patience = patience
        self.lends = lends
        self._met: Counter[Any] = Counter()
        self._passes: dict[Any, _Pass | _Prediction] = {}
        self._traceable = True
        self._turns = threading.Lock()

    def __reduce__(self) -> tuple[type["Captured"], tuple[Sequential, int, bool]]:
        return Captured, (self.net, self.patience, self.lends)

    def forward(self, x: Array, masks: Mapping[str, Mask] | None = None) -> tuple[Array, Any]:
        """As of `Sequential`; the way back has to be taken before the next pass over an input of this shape."""
        with self._turns:
            try:
                if found := self._find(_Pass, x, masks):
                    return found.forward(x, *(masks or {}).values()), CapturedCache(found, found.turn)
            except NotTraceableError:
                self._traceable = False
        return self.net.forward(x, masks)

    def gradients(self, doutput: Array, cache: Any) -> dict[str, Array]:
        """As of `Sequential`; raises `RuntimeError` if another pass over an input of this shape has come between."""
        if not isinstance(cache, CapturedCache):
            return self.net.gradients(doutput, cache)
        with self._turns:
            if cache.turn != cache.captured.turn:
                raise RuntimeError("another pass over an input of this shape has overwritten what this one left behind")
            try:
                if self._traceable and (back := cache.captured.back(doutput)):
                    return back.lent(doutput) if self.lends else back(doutput)
            except NotTraceableError:
                self._traceable = False
            return cache.captured.gradients_plainly(doutput)

    def predict(self, x: Array) -> Array:
        """As of `Sequential`."""
        with self._turns:
            try:
                if found := self._find(_Prediction, x, None):
                    output: Array = found.predict(x)
                    return output
            except NotTraceableError:
                self._traceable = False
        return self.net.predict(x)

    def _find(self, kind: Any, x: Any, masks: Any) -> Any:
        """What is recorded for inputs of this form; None if they are for the network itself."""
        if not self._traceable or not isinstance(masks, Mapping | None):
            return None
        inputs = (x, *masks.values()) if masks else (x,)
        if not all(is_plain(array) and array.size for array in inputs):
            return None
        names = None if masks is None else tuple(masks)
        key = (kind, names, *map(form, inputs))
        found = self._passes.get(key)
        # A parameter that has become another array, a slope or a layer that was changed: not what the calls compute.
        if found is None or changed(found.settings):
            self._met[key] += 1
            if self._met[key] <= self.patience:
                return None
            if found is None and len(self._passes) == _MOST:
                return None  # more shapes than are kept: to record them again and again takes longer than a plain pass
            if not all(map(is_own, modules(self.net))):
                raise NotTraceableError("a layer is not of this package")
            found = recorded(lambda: kind(self.net, names, inputs), inputs)
            if found:
                self._passes[key] = found
        return found


class _Prediction:
    """The way of inputs of one form through a network."""

    def __init__(self, net: Sequential, _: None, inputs: Sequence[Array]) -> None:
        self.settings = settings(net)
        tape = Tape()
        twin = shadow(net, tape)
        self._calls = Calls(tape, lambda x: {"output": twin.predict(x)}, inputs)
        self._calls.check(lambda x: {"output": net.predict(x)})

    def predict(self, x: Array) -> Array:
        """The output."""
        return self._calls(x)["output"]


class _Pass:
    """The way of inputs of one form through a network, and back."""

    def __init__(self, net: Sequential, names: Sequence[str] | None, inputs: Sequence[Array]) -> None:
        self.settings = settings(net)
        self.turn = 0
        self._net, self._names, self._inputs = net, names, inputs
        self._tape = Tape()
        self._twin = shadow(net, self._tape)
        self._traced_cache: Any = None
        self._back: Calls | None = None

        def traced(*inputs: Array) -> Arrays:
            output, self._traced_cache = self._through(self._twin, inputs)
            return {"output": output}

        self._there = Calls(self._tape, traced, inputs)
        self._there.check(lambda *inputs: {"output": self._through(net, inputs)[0]})

    def forward(self, *inputs: Array) -> Array:
        """The output; what the way back needs is kept here."""
        self.turn += 1
        self._inputs = inputs
        return self._there(*inputs)["output"]

    def back(self, doutput: Any) -> Calls | None:
        """The way back, if it is recorded for what has this form; it is for the first that comes."""
        if self._back is None:
            self._back = recorded(lambda: self._recorded_back(doutput), (doutput,))
        return self._back if self._back and self._back.fits(doutput) else None

    def gradients_plainly(self, doutput: Array) -> dict[str, Array]:
        """The parameters' gradients, after another way there."""
        with np.errstate(all="ignore"):  # what there is to report has been reported
            cache = self._through(self._net, self._inputs)[1]
        return self._net.gradients(doutput, cache)

    def _through(self, net: Any, inputs: Sequence[Array]) -> tuple[Array, Any]:
        x, *masks = inputs
        output, cache = net.forward(x, None if self._names is None else dict(zip(self._names, masks, strict=True)))
        return output, cache

    def _recorded_back(self, doutput: Array) -> Calls:
        """The way back, compared with the plain one after inputs that are drawn."""
        calls = Calls(self._tape, lambda dy: self._twin.gradients(dy, self._traced_cache), (doutput,))
        inputs = drawn(self._inputs, seed=2)
        try:
            self._there(*inputs)
            cache = self._through(self._net, inputs)[1]
            calls.check(lambda dy: self._net.gradients(dy, cache))
        finally:
            self._there(*self._inputs)
        return calls


def modules(net: Module) -> Iterator[Module]:
    """A network, its layers, and the networks within it with theirs."""
    yield net
    for layer in net.layers.values() if isinstance(net, Sequential) else ():
        yield from modules(layer)


def is_own(module: Module) -> bool:
    """Whether a layer or network is of this package, with all methods that a pass consists of."""
    sources = [type(module), *(getattr(module, name) for name in _METHODS if hasattr(module, name))]
    return all(str(source.__module__).partition(".")[0] == __package__ for source in sources)


Settings: TypeAlias = list[tuple[Mapping[str, Any], str, Any]]


def settings(net: Module) -> Settings:
    """All that a network and its layers hold, and where: parameters, layers, slopes, sizes, a table."""
    places: list[Mapping[str, Any]] = [vars(module) for module in modules(net)]
    places += [module.layers for module in modules(net) if isinstance(module, Sequential)]
    return [(place, name, value) for place in places for name, value in place.items()]


def changed(held: Settings) -> bool:
    """Whether something else is there now."""
    try:
        for place, name, value in held:  # a loop, not any(): this runs at every pass
            if place[name] is not value:
                return True
    except KeyError:
        return True
    return False


def shadow(net: Any, tape: Tape) -> Any:
    """A copy of a network or layer whose parameters are the same memory, traced; the original is left as it is.

    Raises `NotTraceableError` if a layer does not have its parameters as attributes.
    """
    twin = copy.copy(net)
    if isinstance(net, Sequential):
        twin.layers = {name: shadow(layer, tape) for name, layer in net.layers.items()}
        return twin
    params = {id(array) for array in net.parameters().values()}
    held = {name: value for name, value in vars(net).items() if id(value) in params}
    if len(held) != len(params):
        raise NotTraceableError(f"the parameters of {type(net).__name__} are not its attributes")
    vars(twin).update({name: tape.trace(value) for name, value in held.items()})
    return twin
