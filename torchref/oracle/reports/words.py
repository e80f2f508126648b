"""What all reports say in the same words: numbers, faults and headlines."""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from torchref.oracle.verdict import Cell, Finding, Verdict

LEGEND = "error in units of the bound; ✓ ≤ 1"
BEHAVIOUR = "behaviour"

WORDS = (
    (r"needs a GPU", "GPU"),
    (r"raises NotImplementedError", "missing"),
    (r"raises", "raises"),
    (r"runs longer", "hangs"),
    (r"crashes|ends the process|is killed", "crashes"),
    (r"returns None", "None"),
    (r"takes no argument", "lacks it"),
    (r"returns no|is missing", "missing"),
    (r"shape ", "shape"),
    (r"dtype ", "dtype"),
    (r"NaN pattern", "NaN"),
    (r"[+-]inf pattern", "infinity"),
    (r"zero has the other sign", "sign of 0"),
    (r"is a |returns", "type"),
    (r"does not let", "locked"),
)
"""Beginnings of a fault, and the one word of it that fits into a table."""
PROMISES = (
    ("leaves its arguments alone", "must not change its arguments", "mutates"),
    ("not aliased", "must not share memory with what was given", "aliased"),
    ("returned anew", "must not be overwritten by the next call", "reused"),
    ("survives backward", "must not be overwritten by backward", "reused"),
    ("backward twice from one cache", "a second backward from one cache must give the same", "memory"),
    ("rerun", "a rerun must give the same", "memory"),
)
"""What names of comparisons of conduct contain, the rule that is broken if they fail, and in one word."""


def clean(text: str) -> str:
    """Text without control characters, direction marks and halves of surrogates: they are shown as escapes."""

    def shown(character: str) -> str:
        if character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn", "Co"):
            return character
        return character.encode("unicode_escape").decode("ascii")

    return "".join(map(shown, text))


def one_line(text: str) -> str:
    """The same on one line."""
    return " ".join(clean(text).split())


def label(text: str) -> str:
    """A row's label or a column's name, its spaces kept."""
    return clean(text).replace("\n", " ").replace("\t", " ")


def some(names: Sequence[str], limit: int = 12) -> str:
    """A list of names, cut where it gets long."""
    more = len(names) - limit
    return one_line(", ".join(names[:limit]) + (f" and {more} more" if more > 0 else ""))


def amount(ratio: float) -> str:
    """A ratio as briefly as it can be said: "0.11", "37", "4e13"."""
    if not math.isfinite(ratio):
        return "∞" if ratio > 0 else "NaN"
    if ratio == 0:
        return "0"
    if ratio <= 1:
        return f"{ratio:.2f}" if ratio >= 0.005 else "<0.01"
    if ratio < 999.5:
        return ">1" if ratio < 1.05 else f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"
    mantissa, exponent = f"{ratio:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def word(note: str) -> str:
    """The one word for the fault in a cell's note; "differs" where not even the smallest error is allowed."""
    name, _, fault = note.removeprefix("✗ ").partition(": ")
    for part, _, short in PROMISES:
        if part in name:
            return short
    for pattern, short in WORDS:
        if re.match(pattern, fault):
            return short
    return "changes" if name.startswith("changes") else "differs"


def mark(cell: Cell | None) -> str:
    """✓ passed, ✗ wrong, ↳ wrong only because something before it is, – not judged."""
    if cell is None or cell.status == "not judged":
        return "–"
    return "✓" if cell.passed else "↳" if cell.status == "inherited" else "✗"


def said(cell: Cell | None, column: str = "") -> str:
    """A cell as the table shows it: "✓ 0.11", "✗ 4e13", "✗ shape"."""
    sign = mark(cell)
    if cell is None or sign == "–" or (cell.passed and column == BEHAVIOUR):
        return sign
    return f"{sign} {amount(cell.ratio) if math.isfinite(cell.ratio) else word(cell.note)}"


def status(cell: Cell | None) -> str:
    """The state of a cell: "ok", "wrong", "inherited" or "none"."""
    return {"✓": "ok", "✗": "wrong", "↳": "inherited", "–": "none"}[mark(cell)]


def legend(verdict: Verdict) -> str:
    """What the marks of the table mean, of those that occur in it."""
    marks = {mark(row.cells.get(name)) for row in verdict.rows for name in verdict.columns if not row.skipped}
    return LEGEND + "; ↳ only inherited" * ("↳" in marks) + "; – not judged" * ("–" in marks)


def promise(name: str) -> str:
    """The rule that a comparison of conduct stands for: "forward must not change its arguments"; "" if for none."""
    for part, rule, _ in PROMISES:
        if part in name:
            return f"{name.split(part)[0].removesuffix('is ').removesuffix('are ')}{rule}"
    return ""


def named(finding: Finding) -> str:
    """The tensor, of the layer if there is one."""
    return f"{finding.tensor} of {finding.layer}" if finding.layer else finding.tensor


def lead(finding: Finding) -> str:
    """What is wrong, and when: "dx is wrong when padding > 0"."""
    when = f" {finding.when}" if finding.when else ""
    rule = promise(finding.tensor)
    if finding.missing:
        return one_line(f"{named(finding)} is not implemented yet")
    if finding.tensor.startswith("changes"):
        return one_line(f"{named(finding)}{when}")
    if rule:
        return one_line(f"{rule} ({finding.layer})" if finding.layer else rule)
    if _says_when(finding):
        return one_line(named(finding) + finding.hint.partition(": ")[0].removeprefix(finding.tensor))
    return one_line(f"{named(finding)} is wrong{when}")


def cause(finding: Finding) -> str:
    """The likely mistake: the hint without the sentence that says what is wrong when."""
    return one_line(finding.hint.partition(": ")[2] if _says_when(finding) else finding.hint)


def _says_when(finding: Finding) -> bool:
    return finding.hint.startswith(f"{finding.tensor} is wrong") and ": " in finding.hint


def _silent(finding: Finding) -> bool:
    """Whether a part did something else than answer, which reads as a sentence by itself."""
    verbs = r"raises|returns|takes|runs|needs|does|crashes|ends|is killed"
    return not finding.hint and re.match(verbs, finding.fault) is not None


def known(finding: Finding) -> tuple[str, ...]:
    """What is known about a finding, beside its headline."""
    said_already = bool(finding.fault) and not finding.hint
    what = finding.what.split("; at worst")[0] if said_already else finding.what
    if finding.hint:  # what else is known of the error is for those who must find the mistake themselves
        return (what,)
    return (what, *(line for line in finding.evidence if line != finding.fault))


def headline(finding: Finding) -> str:
    """What is wrong, when, and the likely mistake or the fault, in one line."""
    why = cause(finding) or finding.fault
    if finding.missing:
        return one_line(f"{lead(finding)}: {why}" if why else lead(finding))
    if finding.tensor.startswith("changes"):
        again = f"it {finding.tensor}"
        more = why.removeprefix(again) if why.startswith(again) else f": {why}" if finding.hint else f" {why}"
        return one_line(f"{lead(finding)}{more}")
    if _silent(finding):
        return one_line(f"{named(finding)} {finding.fault}{f' ({finding.when})' if finding.when else ''}")
    return one_line(f"{lead(finding)}: {why or 'unexplained'}")


def outcome(verdict: Verdict) -> str:
    """The result in words: "agrees with conv2d", "is not like conv2d: dx is wrong"."""
    if verdict.passed:
        return f"agrees with {one_line(verdict.like)}"
    if not verdict.findings:
        return f"was not judged against {one_line(verdict.like)}: nothing was run"
    rest = len(verdict.findings) - 1
    more = f", and {rest} more finding{'s' * (rest > 1)}" if rest else ""
    first = replace(verdict.findings[0], when="", hint="")
    fault = re.sub(r" \([^()]*:\d+\)$", "", first.fault).partition(":")[0]  # without text and place
    what = f"{named(first)} {fault}" if _silent(first) and not first.missing else lead(first)
    return one_line(f"differs from {verdict.like}: {what}{more}")


def unit(verdict: Verdict) -> str:
    """What a row is: a "case" of a kind, a "layer" of a network or a "step" of a training."""
    if verdict.diagram:
        return "layer"
    return "step" if any(row.label.startswith("step ") for row in verdict.rows) else "case"


def effort(verdict: Verdict) -> str:
    """How much was done: "352 tensors in 18 cases, 0.8 s, seed 7"."""
    ran = [row for row in verdict.rows if not row.skipped]
    tensors = verdict.tensors or sum(len(row.cells) for row in ran)
    count = len(verdict.diagram) or sum(row.label.startswith("step ") for row in ran) or len(ran)
    counts = f"{tensors} tensor{'s' * (tensors != 1)} compared in {count} {unit(verdict)}{'s' * (count != 1)}"
    return f"{counts}, {verdict.seconds:.1f} s, seed {verdict.seed}"
