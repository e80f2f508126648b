"""One row of the table of refusals, and what it needs of a wing.

`array(shape, dtype)` and `labels(values)` make the wing's own arrays, so that each row reads the same for both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Wing:
    """What a row needs of a wing: its module, its arrays, and a layer's or loss's forward pass in one call."""

    module: ModuleType
    array: Callable[[tuple[int, ...], str], Any]
    labels: Callable[[list[int]], Any]
    run: Callable[..., Any]
    dtype: Callable[[str], Any]
    generator: Callable[[], Any]
    foreign: Callable[[tuple[int, ...], str], Any]
    """An array of the other wing's kind."""


@dataclass(frozen=True)
class Refusal:
    """A call that must raise `error` with every one of `says` in its message."""

    label: str
    call: Callable[[Wing], Any]
    error: type[Exception]
    says: tuple[str, ...]


X = "float32"
