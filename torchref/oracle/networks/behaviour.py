"""Criterion 5 for a whole network: what it changes, shares or remembers; and the layer that does."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from torchref.oracle.comparison import Array, Comparison, to_array
from torchref.oracle.networks.localising import layer_of
from torchref.oracle.networks.mine import Explicit
from torchref.oracle.networks.session import Passed, Session
from torchref.oracle.purity import check_purity, same_bits, verdict
from torchref.oracle.subjects.guard import Guard
from torchref.oracle.subjects.subject import Misbehaviour


class Conduct(NamedTuple):
    """A verdict on behaviour, and the layer it is about; "" for the network."""

    layer: str
    comparison: Comparison


class Guarded:
    """A layer or network with explicit caches, each call of which is guarded."""

    def __init__(self, thing: Any, guard: Guard) -> None:
        self._thing = thing
        self._guard = guard

    def forward(self, x: Array) -> Any:
        """y and a cache."""
        return self._guard.call("forward", self._thing.forward, x)

    def backward(self, dy: Array, cache: Any) -> Any:
        """dx and gradients."""
        return self._guard.call("backward", self._thing.backward, dy, cache)

    def parameters(self) -> dict[str, Array]:
        """The live arrays."""
        return dict(getattr(self._thing, "parameters", dict)())


def conduct(session: Session, passes: Sequence[Passed], guard: Guard) -> list[Conduct]:
    """How it behaves: in the passes, when the first is run again, and with two passes in flight where it has caches."""
    found = [Conduct("", comparison) for passed in passes for comparison in passed.conduct]
    if any(passed.troubles for passed in passes):
        return found
    again = session.run(passes[0].draw, look=False)
    before, now = ({k: np.asarray(v) for k, v in passed.mine.items()} for passed in (passes[0], again))
    names = [name for name in passes[0].signals.tensors if name in before and name in now]
    differ = [name for name in names if not same_bits(before[name], now[name])]
    fault = f"{', '.join(differ)} differ in a rerun, after another pass" if differ else ""
    found.append(Conduct(layer_of(differ[0]) if differ else "", verdict("rerun", fault)))
    if not isinstance(session.mine, Explicit):
        return found
    x, dy = passes[0].draw.x, to_array(passes[0].signals.tensors["doutput"])
    session.load(passes[0].draw.parameters)
    whole = purity(session.mine.net, guard, x, dy)
    if all(comparison.passed for comparison in whole):
        return [*found, *(Conduct("", comparison) for comparison in whole)]
    for name, layer in session.mine.layers.items():
        if name in session.blocks.layers:
            block = session.blocks.layers[name]
            own = purity(layer, guard, *(np.array(to_array(t)) for t in ends(passes[0], block)))
            found += [Conduct(block[-1], comparison) for comparison in own if not comparison.passed]
    located = any(c.layer for c in found)
    return found if located else [*found, *(Conduct("", comparison) for comparison in whole)]


def ends(passed: Passed, block: Sequence[str]) -> tuple[Any, Any]:
    """What the oracle gave the first and what arrived at the last of some layers."""
    return passed.signals.seen[block[0]].x, passed.signals.seen[block[-1]].dy


def purity(thing: Any, guard: Guard, x: Array, dy: Array) -> list[Comparison]:
    """`check_purity`; what does not answer on another batch is a fault as well."""
    try:
        return check_purity(Guarded(thing, guard), np.array(x), np.array(dy))
    except Misbehaviour as trouble:
        return [
            Comparison(trouble.during, "5 conduct", np.inf, f"{trouble.what}, when called again or on another batch")
        ]
