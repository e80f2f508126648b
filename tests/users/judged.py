"""One planted bug in one style before the oracle: was it caught, where, and what was said."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tests import mutants
from tests.users.contract import contracted
from tests.users.expected import Expected, expected
from tests.users.networks import IT, compared
from tests.users.pairs import CLASSES, pair
from tests.users.stateful import stateful
from torchref import oracle
from torchref.oracle.verdict import Finding, Verdict

LAYERS = frozenset(CLASSES) - {"cross_entropy", "squared_error", "l2_penalty", "sgd"}
"""The kinds that are one layer of a network."""
STRICTER = "ps"
"""The styles in which `strict` can be asked for."""


@dataclass(frozen=True)
class Outcome:
    """What the oracle made of one bug.

    Attributes
    ----------
    mutant, style:
        Which bug, and the style's letter.
    caught:
        Whether something was found to be wrong.
    by_default:
        Whether it is without being asked to be strict; else `strict=True` was tried.
    first:
        The first wrong tensor in the tables' words, "y" or "y@c3"; the exception's words if the oracle raised one.
    placed:
        Whether that is one of those expected.
    codes:
        All diagnoses that were printed.
    diagnosis:
        "right", "wrong" or "none".
    """

    mutant: str
    style: str
    caught: bool
    first: str
    placed: bool
    codes: tuple[str, ...]
    diagnosis: str
    by_default: bool = False


def judged(bug: mutants.Mutant, style: str, seed: int = 0, *, strictly: bool = False) -> Outcome:
    """Hand one bug to the oracle in one style: as it comes, and strictly where nothing is found or if that is asked."""
    want = (expected() | expected("fresh"))[bug.name]
    with tempfile.TemporaryDirectory() as folder, mutants.mutated(bug, Path(folder)) as wing:
        try:
            verdict = verdict_on(wing, want, style, seed)
            by_default = caught(verdict)
            if style in STRICTER and (strictly or not by_default):
                verdict = verdict_on(wing, want, style, seed, strict=True)
        except Exception as error:  # the oracle is never to raise: this counts as not caught
            return Outcome(bug.name, style, False, f"{type(error).__name__}: {error}", False, (), "none")
    return read(bug.name, style, want, verdict, by_default=by_default)


def caught(verdict: Verdict) -> bool:
    """Whether something is said to be wrong: a verdict on nothing at all does not pass, and finds nothing either."""
    return bool(verdict.findings) or not all(cell.passed for row in verdict.rows for cell in row.cells.values())


def verdict_on(wing: ModuleType, want: Expected, style: str, seed: int, *, strict: bool = False) -> Verdict:
    """What the oracle says to a copy of `scratch`, all of which may be wrong."""
    kind = want.kind
    if style == "c":
        return contracted(wing, want, seed)
    if style == "n":
        return compared(wing, f"{want.kind} {want.setting}".strip(), seed)
    with tempfile.TemporaryDirectory() as folder:
        given = {"like": kind, "seed": seed, "save_to": folder, "strict": strict}
        if style == "p":
            return oracle.check(*pair(wing, kind), **given)
        return oracle.check(stateful(wing, kind), **given)


def read(name: str, style: str, want: Expected, verdict: Verdict, *, by_default: bool = True) -> Outcome:
    """The verdict beside what was expected."""
    firsts = [place(finding) for finding in verdict.findings[:1]]
    codes = tuple(dict.fromkeys(f.code for f in verdict.findings if f.code))
    vague = {code for code in codes if code.startswith(("location:", "inherited:"))} - want.codes
    wrong = set(codes) - want.codes - vague
    said = "wrong" if wrong else "right" if set(codes) & want.codes else "none"
    first = firsts[0] if firsts else "nothing"
    it = f"@{IT}" if style == "n" and want.kind in LAYERS else ""
    placed = any(fits(first, tensor if "@" in tensor else tensor + it) for tensor in want.tensors)
    return Outcome(name, style, caught(verdict), first, placed, codes, said, by_default)


def place(finding: Finding) -> str:
    """The tensor in the tables' words, and the layer."""
    if finding.layer == "loss":  # a network's last row: what it gives is the loss, and the gradient of the output
        return {"y": "loss", "dx": "doutput"}.get(tensor(finding.tensor), "behaviour")
    return tensor(finding.tensor) + (f"@{finding.layer}" if finding.layer else "")


def tensor(called: str) -> str:
    """A column or what else a finding is about, in the tables' words."""
    plain = called.removesuffix(", absent links").rpartition("/")[2]
    if plain in ("forward", "construction", "y", "output", "weights", "mask"):
        return "y"
    if plain in ("dx", "backward", "loss", "doutput"):
        return plain
    if plain == "penalty":
        return "loss"
    if re.fullmatch(r"(d|grad.?)(.*\.)?(w|W|weight)", plain):
        return "dw"
    if re.fullmatch(r"(d|grad.?)(.*\.)?(b|bias)", plain):
        return "db"
    if re.fullmatch(r"(velocity )?[\w.]+\.(weight|bias)", plain):
        return "params"  # of an optimiser, and its state
    return "behaviour"


def fits(first: str, wanted: str) -> bool:
    """Whether the first wrong tensor is the one wanted; where no layer is wanted, of any layer."""
    (found, _, layer), (name, _, place) = first.partition("@"), wanted.partition("@")
    raised = found == "backward" and name in ("dx", "dw", "db", "doutput")  # it gave none of them
    return (found == name or raised) and (layer == place or not place or name == "behaviour")
