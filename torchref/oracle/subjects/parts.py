"""The methods of somebody's objects, by the names that are usual for them."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torchref.oracle.subjects.calls import named
from torchref.oracle.subjects.names import plain
from torchref.oracle.subjects.places import attributes, read

FORWARD = "forward forwardpass fprop feedforward forwardpropagation call apply activate propagate predict function fn"
BACKWARD = "backward backwardpass bprop backprop backpropagate backpropagation backwardpropagation back"
DERIVATIVE = "derivative gradient grad prime deriv df slope dfunction fprime dactivation"
LOSS = "forward loss calculate compute cost value call fn"
LOSS_BACKWARD = "backward gradient grad derivative backwardpass backprop dloss lossgradient prime deriv"
STEP = "step update apply applygradients updateparams"
RESET = "zerograd zerograds zerogradient zerogradients cleargrad cleargrads resetgrad resetgrads cleargradients"
"""In plain letters, the most usual first."""


def method(thing: Any, wanted: Any, words: str) -> Any:
    """The name of a method: the wanted one, or one of `words`; what is no name is itself; None if there is none."""
    if callable(wanted) or wanted is None:
        return wanted
    own = attributes(thing)
    for word in (plain(wanted), *words.split()):
        if word and word in own and callable(read(thing, own[word])):
            return own[word]
    return "__call__" if "forward" in words.split() and callable(thing) else None


def bound(thing: Any, part: Any) -> Callable[..., Any]:
    """A method by its name, or a function whose first argument is the object."""
    if callable(part):
        return partial(part, thing)
    found: Callable[..., Any] = getattr(thing, part)
    return found


def methods(thing: Any) -> str:
    """What methods there are, for messages."""
    return ", ".join(n for n in attributes(thing).values() if callable(read(thing, n))) or "no methods"


def find(thing: Any, wanted: Any, words: str, what: str) -> Any:
    """`method`, which must be there.

    Raises
    ------
    ValueError
        If it is not; with what there is.
    """
    found = method(thing, wanted, words)
    if found is None:
        raise ValueError(f"{named(thing)} has no {what}, it has {methods(thing)}")
    return found
