"""What the oracle should say about each planted bug, written from reading the bug, never from the oracle's answer.

The tables (tables/*.txt) have one line for each mutant: its name; the kind it is checked as; the tensors of which the
first that is wrong may be one ("y@c3": in a network, of that layer); the diagnoses that lead a student to the right
line; and, where it cannot be written in some style, which and why ("-sn:memory"), "+c" for our own contract, and
"@name" for the setting in which it matters in a network.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

STYLES = {
    "p": "function pairs",
    "s": "stateful layers",
    "n": "whole networks and training",
    "c": "our own contract",
}

REASONS = {
    "memory": "keeps its pass on itself, as a stateful layer is meant to; and of a network one pass is in flight",
    "attribute": "a gradient on an attribute is the layer's own, which its next pass may overwrite",
    "nan": "shows only on NaN or infinity, which networks are not compared on",
    "kink": "shows only exactly at a kink, where networks are not judged",
    "alias": "a result that shares memory with an argument: inside a network nobody can tell",
    "whole": "is about a whole network (its chain of layers, masks or parts), or about what is no part of one",
    "contract": "is about state_dict and load_state_dict, which only our contract has",
    "start": "is about initial weights, which neither functions nor a comparison on given weights have",
    "drawn": "is about units dropped at random: draws can be judged one by one, not compared",
    "given": "is about a pass without a mask, and the check of dropout gives one",
    "dtype": "is about the dtype of parameters that the code makes itself: here they are given, or taken as they are",
    "order": "is about the order of a dict, which names make up for",
    "default": "is about a default of our constructor: another's may be another, and the check says every setting",
    "once": "changes what is kept for backward, which here is called once for each forward",
    "place": "shows where a filter is as large as maps of several channels, which is among the networks here only",
    "consumed": "what it writes into was read before and is thrown away, as the gradients of a step are",
}


@dataclass(frozen=True)
class Expected:
    """What is right to say about one mutant.

    Attributes
    ----------
    kind:
        What it is checked as, and a variation of it.
    tensors:
        Of which one may be named first; "y@c3" in a network's layer c3.
    codes:
        Diagnoses that lead to the right line.
    styles:
        In which it can be written.
    without:
        The other styles of "psn" with the reason's name.
    setting:
        The network, input or case in which it matters; "" for the kind's usual one.
    """

    kind: str
    tensors: frozenset[str]
    codes: frozenset[str]
    styles: str
    without: dict[str, str]
    setting: str


@cache
def expected(within: str = "") -> dict[str, Expected]:
    """By the mutant's name; those `within` the folder "fresh" are of `tests.users.fresh`."""
    found = {}
    for table in sorted((Path(__file__).parent / "tables" / within).glob("*.txt")):
        for line in table.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                name, kind, tensors, codes, styles = (field.strip() for field in f"{line} ".split(" | "))
                found[name] = Expected(kind, frozenset(tensors.split()), frozenset(codes.split()), *_styles(styles))
    return found


def _styles(words: str) -> tuple[str, dict[str, str], str]:
    """The styles there are, the reasons for those there are not, and the setting."""
    without: dict[str, str] = {}
    more, setting = "", ""
    for word in words.split():
        if word.startswith("-"):
            letters, reason = word[1:].split(":")
            without |= dict.fromkeys(letters, reason)
        elif word.startswith("+"):
            more += word[1:]
        else:
            setting = word.removeprefix("@")
    return "".join(style for style in "psn" if style not in without) + more, without, setting
