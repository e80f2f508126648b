"""Initialisers and masks: functions of a shape and a generator."""

from collections.abc import Mapping
from typing import Any

from torchref.oracle.comparison import Array
from torchref.oracle.kinds.kind import Kind
from torchref.oracle.subjects.calls import understand
from torchref.oracle.subjects.declared import Declared
from torchref.oracle.subjects.sources import Source
from torchref.oracle.subjects.theirs import Theirs


class Initializers(Theirs):
    """A function that draws an array."""

    def __init__(self, source: Source, kind: Kind, title: str, said: Declared) -> None:
        super().__init__(source, kind, title, said)
        self.backward = False
        roles = ["shape", "fan_in", "rng", "dtype", *[name for name in self.roles() if name != "rng"]]
        self.call = understand(source.forward, roles, said.arguments, first="shape", fallback=["shape"])
        self.guess(self.call.said)
        if "fan_in" in kind.features and not self.call.has("fan_in"):
            self.lacks["fan_in"] = f"{self.call.name} takes no fan_in"

    def make(self, config: Mapping[str, Any], parameters: Mapping[str, Array]) -> Array:  # noqa: ARG002
        """The array that it draws."""
        values = self.values(config) | dict(config)
        return self.take("", self.ask("construction", self.call, values), "construction", "the array")
