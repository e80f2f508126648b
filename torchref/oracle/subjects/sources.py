"""What was given to be checked: functions, what makes objects, or one object."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torchref.oracle.subjects.guard import Guard
from torchref.oracle.subjects.subject import Misbehaviour


@dataclass(frozen=True)
class Source:
    """Functions, what makes objects, or one object.

    Attributes
    ----------
    forward, backward:
        Functions; of objects the names of their methods ("" for any usual one), or functions of the object.
    make:
        Makes objects; None if there are none, or one.
    thing:
        The one object.
    """

    forward: Any = ""
    backward: Any = ""
    make: Callable[..., Any] | None = None
    thing: Any = None

    def copy(self, guard: Guard) -> Any:
        """A copy of the one object, or itself if it cannot be copied; None if there is none."""
        if self.thing is None:
            return None
        try:
            return guard.call("construction", copy.deepcopy, self.thing)
        except Misbehaviour:
            return self.thing
