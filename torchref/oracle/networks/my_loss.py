"""Somebody's loss, however it is written."""

from typing import Any

from torchref.oracle.comparison import Array
from torchref.oracle.networks.slots import needed
from torchref.oracle.subjects.arrays import describe, to_numpy
from torchref.oracle.subjects.guard import Guard
from torchref.oracle.subjects.subject import Misbehaviour


class MyLoss:
    """A loss: an object with both parts, explicit or stateful, or a function that gives value and gradient."""

    def __init__(self, loss: Any, guard: Guard) -> None:
        self._loss = loss
        self._guard = guard

    def run(self, output: Array, target: Array) -> tuple[Any, Any]:
        """Value and ∂J/∂output.

        Raises
        ------
        Misbehaviour
            If it does not give both.
        """
        call = self._guard.call
        if not hasattr(self._loss, "forward"):
            return self._pair(call("loss", self._loss, output, target))
        value = call("loss", self._loss.forward, output, target)
        if needed(self._loss.backward):
            value, cache = self._pair(value)
            return value, call("loss backward", self._loss.backward, cache)
        return value, call("loss backward", self._loss.backward)

    @staticmethod
    def _pair(result: Any) -> tuple[Any, Any]:
        if not isinstance(result, tuple) or len(result) != 2:
            raise Misbehaviour("loss", f"returns {describe(result)}, expected a value, and a gradient or cache")
        return result


def number(value: Any) -> Any:
    """A loss's value: an array of no axes, or a plain number as it is."""
    return value if isinstance(value, float | int) else to_numpy(value, "loss", "its value")
