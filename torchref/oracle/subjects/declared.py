"""What the user said about the code: layouts, what arguments are, the time limit, the arrays it takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torchref.oracle.comparison import Array
from torchref.oracle.kinds.kind import Kind
from torchref.oracle.subjects.guard import TIME_LIMIT
from torchref.oracle.subjects.layouts import Layout, parse

THEIRS = str.maketrans("CIJ", "IHW")
"""Our letters of a weight's axes (O out, C in, I and J kernel) as users have them: O out, I in, H and W kernel."""


@dataclass(frozen=True)
class Declared:
    """What the user said about the code.

    Attributes
    ----------
    layouts:
        By our name of a tensor ("x", "y", "weight", "bias"), where it is not torch's.
    arguments:
        Roles by the user's names.
    time_limit:
        Seconds for each call.
    array:
        Makes the arrays that the user's code takes from NumPy's; None for NumPy's.
    """

    layouts: Mapping[str, Layout] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    time_limit: float = TIME_LIMIT
    array: Callable[[Array], Any] | None = None

    def give(self, name: str, array: Array) -> Array:
        """Ours as the user has it; a view."""
        return self.layouts[name].give(array) if name in self.layouts else array

    def take(self, name: str, array: Array, during: str, what: str) -> Array:
        """The user's as we have it; a view."""
        return self.layouts[name].take(array, during, what) if name in self.layouts else array

    def arrange(self, name: str, array: Array) -> Array:
        """Ours in memory that is contiguous where the user has it."""
        return self.layouts[name].arrange(array) if name in self.layouts else array


def layouts(kind: Kind, layout: str | None, weight: str | None, bias: str | None) -> dict[str, Layout]:
    """The layouts by our names of the tensors.

    Raises
    ------
    ValueError
        If a declaration does not fit the kind.
    """
    found: dict[str, Layout] = {}
    if layout is not None:
        x, y = kind.axes.get("x", ""), kind.axes.get("y", kind.axes.get("x", ""))
        if not x or len(x) != len(y):
            raise ValueError(f"layout is {layout!r}, but {kind.name} has the same meaning in any, or has but one")
        found["x"] = found["y"] = parse("layout", layout, x)
    for name, letters in (("weight", weight), ("bias", bias)):
        if letters is not None:
            if name not in kind.parameters:
                raise ValueError(f"{name} is {letters!r}, but {kind.name} has no {name}")
            axes = kind.axes[name]
            found[name] = parse(name, letters, axes if len(axes) == 1 else axes.translate(THEIRS))
    return found
