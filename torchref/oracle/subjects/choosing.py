"""Which form somebody's code has: what `check` was given, as a `Subject`."""

from typing import Any

from torchref.oracle.kinds.kind import Kind
from torchref.oracle.subjects.calls import named
from torchref.oracle.subjects.declared import Declared
from torchref.oracle.subjects.functions import FunctionPair


def choose(forward: Any, backward: Any, kind: Kind, said: Declared, title: str) -> Any:
    """The subject that fits."""
    title = title or ", ".join(named(part) for part in (forward, backward) if part is not None)
    return FunctionPair(forward, backward, kind, title, said)
