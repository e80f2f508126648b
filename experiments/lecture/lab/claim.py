"""What an experiment ends with: claims, each with what was measured and whether it held."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Claim:
    """One thing that the lecture says, and what came of it here.

    Parameters
    ----------
    statement:
        What is claimed, in a sentence, with the bound by which it is judged, and the statistic if chance is involved.
    measured:
        What was found, in words with the numbers of both wings.
    held:
        Whether it held: in both wings.
    numbers:
        The exact values behind the words, by name; JSON keeps them.
    """

    statement: str
    measured: str
    held: bool
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        # NumPy's bool is no JSON, and one that is an array would be neither held nor failed.
        object.__setattr__(self, "held", bool(self.held))
        object.__setattr__(self, "numbers", {name: float(value) for name, value in self.numbers.items()})
