"""Criterion 5 for a whole network: what it changes, shares or remembers; and the layer that does."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from torchref.oracle.comparison import Array, Comparison, to_array
from torchref.oracle.diagnosis.conduct import GROWS
from torchref.oracle.networks.localising import layer_of
from torchref.oracle.networks.mine import Explicit
from torchref.oracle.networks.session import Passed, Session
from torchref.oracle.purity import check_purity, same_bits, verdict
from torchref.oracle.subjects.guard import Guard
from torchref.oracle.subjects.subject import Misbehaviour

NO_PASS_BETWEEN = 2
"""How often the first pass is run again, one right after the other."""


class Conduct(NamedTuple):
    """How one layer behaves; "" for the network."""

    layer: str
    comparisons: tuple[Comparison, ...]

    @property
    def failures(self) -> tuple[Comparison, ...]:
        """What is wrong."""
        return tuple(c for c in self.comparisons if not c.passed)


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
    own = tuple(comparison for passed in passes for comparison in passed.conduct)
    if any(passed.troubles for passed in passes):
        return [Conduct("", own)] if own else []
    layer, rerun = again(session, passes[0])
    alone = layers_alone(session, passes[0], guard) if isinstance(session.mine, Explicit) else []
    found = [c for c in alone if c.failures]
    if found:  # the network's own behaviour follows from theirs
        return [*found, Conduct("", tuple(c for c in own if c.passed))]
    if layer:
        return [Conduct(layer, (rerun,)), Conduct("", own)]
    whole: list[Comparison] = []
    if isinstance(session.mine, Explicit):
        session.load(passes[0].draw.parameters)
        dy = to_array(passes[0].signals.tensors["doutput"])
        whole = purity(session.mine.net, guard, passes[0].draw.x, dy)
    return [Conduct("", (*own, rerun, *whole))]


def again(session: Session, first: Passed) -> tuple[str, Comparison]:
    """The first pass run again, to the bit; and what each run adds the same to, where that is the right gradient."""
    one, two = (session.run(first.draw, look=False) for _ in range(NO_PASS_BETWEEN))
    before, now, last = ({k: np.asarray(v) for k, v in passed.mine.items()} for passed in (first, one, two))
    names = [name for name in first.signals.tensors if name in before and name in now and name in last]
    differ = [name for name in names if not same_bits(before[name], last[name])]
    grown = [name for name in differ if grows(now[name], last[name], to_array(first.signals.tensors[name]))]
    if grown:
        return layer_of(grown[0]), verdict("rerun", f"{GROWS} {', '.join(grown)}")
    fault = f"{', '.join(differ)} differ in a rerun, after another pass" if differ else ""
    return layer_of(differ[0]) if differ else "", verdict("rerun", fault)


def grows(before: Array, now: Array, right: Array) -> bool:
    """Whether one more pass added just what is right."""
    if before.shape != right.shape or now.shape != right.shape:
        return False
    largest = max(float(np.abs(right).max(initial=0.0)), float(np.abs(now).max(initial=0.0)))
    return bool(right.any()) and np.allclose(now - before, right, 0, 1e3 * np.finfo(right.dtype).eps * largest)


def layers_alone(session: Session, passed: Passed, guard: Guard) -> list[Conduct]:
    """Criterion 5 for each layer on what the oracle gave it."""
    found = []
    for name, layer in session.mine.layers.items():
        if name in session.blocks.layers:
            session.load(passed.draw.parameters)
            block = session.blocks.layers[name]
            x, dy = passed.signals.seen[block[0]].x, passed.signals.seen[block[-1]].dy
            found.append(Conduct(block[-1], tuple(purity(layer, guard, to_array(x), to_array(dy)))))
    return found


def purity(thing: Any, guard: Guard, x: Array, dy: Array) -> list[Comparison]:
    """`check_purity`; what does not answer on another batch is a fault as well."""
    try:
        return check_purity(Guarded(thing, guard), np.array(x), np.array(dy))
    except Misbehaviour as trouble:
        what = f"{trouble.what}, when called again or on another batch size"
        return [Comparison(trouble.during, "5 conduct", np.inf, what)]
