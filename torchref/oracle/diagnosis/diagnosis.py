"""What a diagnosis is asked, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torchref.oracle.kinds.kind import Trial


@dataclass(frozen=True)
class Problem:
    """One tensor, or one way of behaving, that is wrong.

    Attributes
    ----------
    tensor:
        "y", "dx", "grad weight", …, or the name of a comparison of conduct, such as "rerun".
    trials:
        All trials of this seed in which it was judged, those that passed too: an explanation must fit them all.
    again:
        Gives the same trials with a second seed; slow the first time.
    called:
        What the user calls a tensor, by our name.
    """

    tensor: str
    trials: tuple[Trial, ...]
    again: Callable[[], tuple[Trial, ...]]
    called: Callable[[str], str]


class Diagnosis(NamedTuple):
    """The answer: `code` and `hint` are "" if nothing explains what was seen; `evidence` is there in any case."""

    code: str
    hint: str
    evidence: tuple[str, ...]
