"""Clearing the gradients that somebody's layers add up."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from torchref.oracle.networks.slots import Slot, needed
from torchref.oracle.subjects.guard import Guard
from torchref.oracle.subjects.parts import RESET, bound, method
from torchref.oracle.subjects.subject import Misbehaviour


class Clearing:
    """How gradients are cleared: by the network's own method or its layers', or by hand before one is called alone.

    Nothing is cleared by hand before a whole pass: gradients that nobody ever clears are a mistake.
    """

    def __init__(self, net: Any, layers: Mapping[str, Any], guard: Guard) -> None:
        self._guard = guard
        self._net = _reset(net)
        self._layers = {name: clear for name, layer in layers.items() if (clear := _reset(layer)) is not None}
        self._begun = False
        self.guesses: list[str] = []
        if self._net is not None:
            self.guesses = [f"{self._net.__name__} clears the gradients before each pass"]
        elif self._layers:
            clears = next(iter(self._layers.values())).__name__
            self.guesses = [f"{clears} of the layers {', '.join(self._layers)} clears the gradients before each pass"]
        elif layers:
            self.guesses = ["gradients are set to 0 before a layer is called alone"]

    def before_pass(self) -> None:
        """By what there is; before the first pass there may be nothing to clear yet.

        Raises
        ------
        Misbehaviour
            If it does not work later.
        """
        try:
            if self._net is not None:
                self._guard.run(self._net.__name__, self._net)
            else:
                for name, clear in self._layers.items():
                    self._guard.run(f"{name}'s {clear.__name__}", clear)
        except Misbehaviour:
            if self._begun:
                raise
        self._begun = True

    def before_alone(self, name: str, own: Iterable[Slot]) -> None:
        """The layer's own method, or the network's, or else by hand.

        Raises
        ------
        Misbehaviour
            If it does not work.
        """
        clear = self._layers.get(name, self._net)
        if clear is not None:
            self._guard.run(f"{name}'s {clear.__name__}", clear)
            return
        for slot in own:
            held = slot.gradient() if slot.gradient is not None else None
            if isinstance(held, np.ndarray) and held.flags.writeable:
                held[...] = 0


def _reset(thing: Any) -> Callable[[], Any] | None:
    """What clears an object's gradients, and needs nothing for that."""
    name = method(thing, "zero_grad", RESET)
    found = None if name is None else bound(thing, name)
    return found if found is not None and needed(found) == 0 else None
