"""What happens in a network, as it is seen from outside: its tensors, and its layers' calls."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Observation:
    """What a candidate computed, in its own names.

    `tensors`: "output/<layer>", "output", "loss", "doutput", "dx", "dx/<layer>", "grad/<parameter>"; of what could be
    seen, only. `given`: the input of each layer, `arrived`: the gradient at its output; `order`: the layers as their
    backward parts were called.
    """

    tensors: dict[str, Any] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    arrived: dict[str, Any] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)


@contextmanager
def recorded(layers: Mapping[str, Any], seen: Observation, *, pairs: bool) -> Iterator[None]:
    """While this lasts, every call of the layers' forward and backward is noted; what cannot be watched is not."""
    names: dict[int, list[str]] = {}
    for name, layer in layers.items():
        names.setdefault(id(layer), []).append(name)
    undo: list[Callable[[], None]] = []

    def watch(layer: Any, own: list[str]) -> None:
        forward, backward = layer.forward, layer.backward
        turns = [iter(own), iter(reversed(own))]

        def noting_forward(x: Any, *args: Any, **kwargs: Any) -> Any:
            came = copied(x)
            result = forward(x, *args, **kwargs)
            if (name := next(turns[0], None)) is not None:
                seen.given[name] = came
                seen.tensors[f"output/{name}"] = copied(result[0] if pairs and isinstance(result, tuple) else result)
            return result

        def noting_backward(dy: Any, *args: Any, **kwargs: Any) -> Any:
            came = copied(dy)
            result = backward(dy, *args, **kwargs)
            if (name := next(turns[1], None)) is not None:
                seen.order.append(name)
                seen.arrived[name] = came
                seen.tensors[f"dx/{name}"] = copied(result[0] if pairs and isinstance(result, tuple) else result)
            return result

        for part, noting in (("forward", noting_forward), ("backward", noting_backward)):
            before = vars(layer).get(part)
            setattr(layer, part, noting)
            undo.append(lambda part=part, before=before: _put_back(layer, part, before))  # type: ignore[misc]

    try:
        for own in names.values():
            layer = layers[own[0]]
            if hasattr(layer, "__dict__"):
                watch(layer, own)
        yield
    finally:
        for step in undo:
            step()


def _put_back(layer: Any, part: str, before: Any) -> None:
    if before is None:
        delattr(layer, part)
    else:
        setattr(layer, part, before)


def copied(value: Any) -> Any:
    """What is written to later is not what was seen."""
    return np.array(value) if isinstance(value, np.ndarray) else value
