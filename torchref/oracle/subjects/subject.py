"""What the oracle judges, whatever it looks like on the outside: a `Subject` makes candidates of the plain contract.

An adapter (`adapter`) puts function pairs, stateful layers, classes and arrays of other libraries into this form; the
kinds (`torchref.oracle.kinds`) judge it without knowing which it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torchref.oracle.comparison import Array


class Misbehaviour(ValueError):
    """What a candidate did instead of answering: raised, ran on, returned something that is no array.

    Attributes
    ----------
    during:
        The part that was asked for: "construction", "forward" or "backward".
    what:
        In words that follow the part's name: "raises ZeroDivisionError: division by zero", "returns None".
    missing:
        Whether the part is simply not there yet: raises NotImplementedError, or is `pass`.
    hangs:
        Whether it ran into the time limit.
    """

    def __init__(self, during: str, what: str, *, missing: bool = False, hangs: bool = False) -> None:
        super().__init__(f"{during} {what}")
        self.hangs = hangs
        self.during = during
        self.what = what
        self.missing = missing


@dataclass(frozen=True)
class Incident:
    """Something a candidate did beside answering.

    Attributes
    ----------
    what:
        In words: "prints 'shape (3, 5)'", "changes NumPy's global random state".
    during:
        "construction", "forward" or "backward".
    harmless:
        Whether it is only worth a remark, as printing is; the rest fails the check.
    """

    what: str
    during: str
    harmless: bool = False


class Subject(Protocol):
    """Somebody's implementation of one kind of thing, in torch's names and layouts.

    Attributes
    ----------
    title:
        What the report calls it: "homework.py:conv_forward,conv_backward".
    guesses:
        What was not said and had to be guessed, in sentences; printed.
    names:
        What the user calls a tensor, by ours: {"grad weight": "dw"}.
    stateful:
        Whether a candidate keeps its pass on itself, so that only one can be in flight.
    backward:
        Whether there is a backward part to be judged.
    """

    title: str
    guesses: tuple[str, ...]
    names: Mapping[str, str]
    stateful: bool
    backward: bool

    def make(self, config: Mapping[str, Any], parameters: Mapping[str, Array]) -> Any:
        """A candidate (`torchref.oracle.candidate`) with this configuration and copies of these parameters.

        Its methods raise `Misbehaviour` where the user's code does not answer.

        Raises
        ------
        Misbehaviour
            If it cannot be made.
        """

    def arrange(self, name: str, array: Array) -> Array:
        """The same values in memory that is contiguous in the layout in which the user gets them."""

    def incidents(self) -> tuple[Incident, ...]:
        """What happened beside the answers since the last call."""
