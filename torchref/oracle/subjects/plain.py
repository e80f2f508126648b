"""Objects that already keep the oracle's contract, as `scratch`'s do."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.subjects.subject import Incident, Misbehaviour


class PlainSubject:
    """A factory of objects of our own contract, trusted not to misbehave.

    Parameters
    ----------
    make:
        Gives an object from the constructor arguments of torchref's class, `dtype` (NumPy's) among them.
    title:
        What the report calls it.
    """

    stateful = False
    backward = True

    def __init__(self, make: Callable[..., Any], title: str) -> None:
        self._make = make
        self.title = title
        self.guesses: tuple[str, ...] = ()
        self.names: Mapping[str, str] = {}

    def make(self, config: Mapping[str, Any], parameters: Mapping[str, Array]) -> Any:
        """A candidate with copies of these parameters."""
        try:
            candidate = self._make(**config)
        except (TypeError, ValueError) as error:
            raise Misbehaviour("construction", f"raises {type(error).__name__}: {error}") from error
        if parameters:
            candidate.load_state_dict({name: np.array(array) for name, array in parameters.items()})
        return candidate

    def arrange(self, name: str, array: Array) -> Array:  # noqa: ARG002
        """As it is: our layouts are torch's."""
        return array

    def incidents(self) -> tuple[Incident, ...]:
        """None."""
        return ()
