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
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from scratch.loss import CrossEntropy, SquaredError
from scratch.module import Module, Sequential
from scratch.passes import Masks, Pass, through
from scratch.recording import Arrays, Calls, drawn, form, is_plain, recorded
from scratch.traced import NotTraceableError, Tape
from scratch.validation import Array

_MOST: Final = 8
"""Passes that are kept, of different shapes: each holds the memory that it runs through."""

_WORTH: Final = 1 << 20
"""Parameters of the largest network that is captured: memory for their gradients is held for each shape."""

_SMALL: Final = 1 << 17
"""Numbers in the largest inputs that are: they are copied, which takes longer than what lies between a few calls."""

_LOSSES: Final = (CrossEntropy, SquaredError)

_VALUE: Final = "value"  # beside the gradients, by the parameters' names, which have a dot
_OUTPUT: Final = "output"

_METHODS: Final = ("forward", "predict", "backward", "gradients", "parameters", "check", "unchecked")
"""Of a layer, network or loss, that a pass consists of."""


def quickened(net: Sequential) -> "Sequential | Captured":
    """What makes the passes of a network fastest: its recording, or itself if its parameters are many."""
    return Captured(net, patience=1) if net.num_parameters <= _WORTH else net


class Captured:
    """A network whose passes are recorded.

    A pass is recorded when its shapes come for the first time, and compared with a plain one, both on numbers drawn for
    that. Should one bit differ, or have the layers asked for something that depends on numbers, passes are made plainly
    ever after. Layers and losses that are not of this package are not recorded at all: they may do more than call
    NumPy. Threads wait for each other. A copy, or what has been pickled, records anew.

    Parameters
    ----------
    net:
        What it holds may change: in place, or by assignment, after which passes are recorded anew. That code has been
        replaced, a function of a module say, is not noticed.
    patience:
        How many passes of a form are made plainly before one is recorded. What comes once, as the rest of an epoch that
        is no whole batch, is not worth the memory.
    """

    def __init__(self, net: Sequential, patience: int = 0) -> None:
        self.net = net
        self.patience = patience
        self._met: Counter[Any] = Counter()
        self._changes: Counter[Any] = Counter()
        self._recordings: dict[Any, _Recording] = {}
        self._traceable = True
        self._turns = threading.Lock()

    def __reduce__(self) -> tuple[type["Captured"], tuple[Sequential, int]]:
        return Captured, (self.net, self.patience)

    def through(self, criterion: Any, x: Array, target: Any, masks: Masks = None, *, share: float = 1) -> Pass:
        """As `passes.through`; the gradients may be lent: read-only, and overwritten by the next pass of this form."""
        bare = type(criterion) in _LOSSES and list(vars(criterion)) == ["reduction"]  # nothing that was added to it
        if not bare or not isinstance(masks, Mapping | None):
            return through(self.net, criterion, x, target, masks, share=share)
        names, drops = (None, ()) if masks is None else (tuple(masks), masks.values())

        def make(net: Sequential, x: Array, target: Any, *drops: Any, unchecked: bool) -> Arrays:
            masks = None if names is None else dict(zip(names, drops, strict=True))
            value, output, grads = through(net, criterion, x, target, masks, share=share, unchecked=unchecked)
            return {_VALUE: np.asanyarray(value), _OUTPUT: output, **grads}

        inputs = (x, target, *drops)
        with self._turns:
            try:
                key = (type(criterion), criterion.reduction, names, share)
                if found := self._find(key, make, inputs, criterion):
                    criterion.check(found.calls.outputs[_OUTPUT], target)
                    grads = found.calls.lent(*inputs)
                    value: Any = grads.pop(_VALUE)[()]
                    return Pass(value, grads.pop(_OUTPUT).copy("K"), grads)
            except NotTraceableError:
                self._traceable = False
        return through(self.net, criterion, x, target, masks, share=share)

    def predict(self, x: Array) -> Array:
        """As of `Sequential`."""
        with self._turns:
            try:
                if found := self._find((), lambda net, x, **_: {_OUTPUT: net.predict(x)}, (x,)):
                    return found.calls(x)[_OUTPUT]
            except NotTraceableError:
                self._traceable = False
        return self.net.predict(x)

    def _find(
        self, key: tuple[Any, ...], make: Callable[..., Arrays], inputs: Sequence[Any], *criterion: Any
    ) -> "_Recording | None":
        """What is recorded for inputs of this form; None if they are for the network itself."""
        if not self._traceable or not all(is_plain(array) and 0 < array.size <= _SMALL for array in inputs):
            return None
        key = (*key, *map(form, inputs))
        found = self._recordings.get(key)
        # A parameter that has become another array, a slope or a layer that was changed: not what the calls compute.
        if found and changed(found.held):
            del self._recordings[key]
            found = None
            self._met[key] = 0
            self._changes[key] += 1
        if found is None:
            self._met[key] += 1
            # Who assigns parameters instead of updating them would have each pass recorded and none replayed.
            if self._met[key] <= self.patience * 8 ** self._changes[key]:
                return None
            if len(self._recordings) == _MOST:
                return None  # more shapes than are kept: to record them again and again takes longer than a plain pass
            if not all(map(is_own, [*modules(self.net), *criterion])):
                raise NotTraceableError("a layer or loss is not of this package")
            found = recorded(lambda: _Recording.of(self.net, make, inputs), inputs)
            if found:
                self._recordings[key] = found
        return found


class _Recording(NamedTuple):
    """The calls of a pass, and what the network held when they were recorded."""

    held: "Held"
    calls: Calls

    @classmethod
    def of(cls, net: Sequential, make: Callable[..., Arrays], inputs: Sequence[Array]) -> "_Recording":
        """Record what is made of the network and such inputs, and compare it with a plain pass."""
        make(net, *drawn(inputs, seed=0), unchecked=False)  # what is refused is refused before anything is traced
        then, tape = held(net), Tape()
        twin = shadow(net, tape)
        calls = Calls(tape, lambda *arrays: make(twin, *arrays, unchecked=True), inputs)
        calls.check(lambda *arrays: make(net, *arrays, unchecked=False))
        return cls(then, calls)


def modules(net: Module) -> Iterator[Module]:
    """A network, its layers, and the networks within it with theirs."""
    yield net
    for layer in net.layers.values() if isinstance(net, Sequential) else ():
        yield from modules(layer)


def is_own(module: Any) -> bool:
    """Whether a layer, network or loss is of this package, with all methods that a pass consists of."""
    sources = [type(module), *(getattr(module, name) for name in _METHODS if hasattr(module, name))]
    return all(str(source.__module__).partition(".")[0] == __package__ for source in sources)


class Held(NamedTuple):
    """What a network and its layers hold at a time.

    Attributes
    ----------
    values:
        What is held where, by name: parameters, slopes, sizes, tables, layers.
    orders:
        The names of the layers of each network, in their order.
    tables:
        The arrays that are no parameters, and what is in them: what is made of it is not made again.
    """

    values: list[tuple[Mapping[str, Any], str, Any]]
    orders: list[tuple[Mapping[str, Any], list[str]]]
    tables: list[tuple[Array, bytes]]


def held(net: Module, *, fixed: bool = False) -> Held:
    """What a network holds; `fixed` without parameters, and without what layers of your own hold: they may count."""
    params = {id(array) for array in net.parameters().values()}
    own: list[Mapping[str, Any]] = [vars(module) for module in modules(net) if is_own(module) or not fixed]
    layers: list[Mapping[str, Any]] = [module.layers for module in modules(net) if isinstance(module, Sequential)]
    values = [(place, name, value) for place in [*own, *layers] for name, value in place.items()]
    others = [(place, name, value) for place, name, value in values if id(value) not in params]
    arrays = [value for _, _, value in others if isinstance(value, np.ndarray)]
    return Held(
        others if fixed else values,
        [(place, list(place)) for place in layers],
        [(array, array.tobytes()) for array in arrays],
    )


def changed(then: Held) -> bool:
    """Whether something else is there now."""
    try:
        for place, name, value in then.values:  # a loop, not any(): this runs at every pass
            if place[name] is not value:
                return True
    except KeyError:
        return True
    return any(list(place) != names for place, names in then.orders) or any(
        array.tobytes() != table for array, table in then.tables
    )


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
