"""What is wrong with a network, in the order of computation."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torchref.oracle.diagnosis import Diagnosis
from torchref.oracle.diagnosis.chain import explain_backward
from torchref.oracle.networks.behaviour import Conduct, conduct
from torchref.oracle.networks.explaining import conduct_hint, explain, joined
from torchref.oracle.networks.session import Passed, Session
from torchref.oracle.networks.table import OUTPUT, WHOLE, Fault, named, order
from torchref.oracle.saving import save_trial
from torchref.oracle.subjects.guard import Guard
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.verdict import Finding, Picture

IN_FRONT = ("activation:missing", "activation:extra", "layer:other", "conduct:mutation")
"""Mistakes in a layer's forward part that make the rest of it wrong too."""


@dataclass(frozen=True)
class Reporting:
    """What findings are called and where their arrays go."""

    title: str
    save_to: Path | None
    command: Callable[[str], str]


def find_out(
    session: Session,
    passes: Sequence[Passed],
    faults: Sequence[Fault],
    behaved: Sequence[Conduct],
    reporting: Reporting,
    guard: Guard,
) -> tuple[Finding, ...]:
    """One finding for each tensor that is wrong itself, and each way of behaving."""

    @functools.cache
    def again() -> tuple[Passed, ...]:
        return tuple(session.run(session.another(passes[0].draw, turn)) for turn in (3, 4))

    @functools.cache
    def behaved_again() -> tuple[Conduct, ...]:
        return tuple(conduct(session, again(), guard))

    found = []
    in_front: dict[str, Diagnosis] = {}
    for fault in faults:
        told, elsewhere = in_front.get(fault.layer), ""
        if told is None or fault.part == "y":
            told, elsewhere = explain(session, fault, passes, behaved, again)
        if fault.part == "y" and told.code in IN_FRONT:
            in_front[fault.layer] = told
        found.append(of_tensor(fault, told, elsewhere, reporting))
    behaviour = [
        of_behaviour(one, comparison.tensor, comparison.fault, conduct_hint(comparison.tensor, one, behaved_again()))
        for one in behaved
        for comparison in one.failures
    ]
    if any(finding.code.startswith("chain:") for finding in found):  # what else is odd follows from that
        behaviour = []
    troubles = _troubles(session, passes)
    places = {(layer, named(part)): place for place, (layer, part) in enumerate(order(session))}
    local = sorted(
        [*_precision(session, passes[0]), *found, *_missing(session, passes), *(f for f in troubles if f.layer)],
        key=lambda f: places.get((rowed(f), f.tensor), len(places)),
    )
    whole = [f for f in troubles if not f.layer]
    return tuple({(f.tensor, f.layer, f.what): f for f in [*local, *whole, *behaviour]}.values())


def rowed(finding: Finding) -> str:
    """The layer of a finding as the order of computation has it."""
    return finding.rows[0] if finding.rows and finding.rows[0] != OUTPUT else finding.layer


def of_tensor(fault: Fault, told: Diagnosis, elsewhere: str, reporting: Reporting) -> Finding:
    """A wrong tensor, with the likely mistake."""
    trial = next((t for t in fault.trials if not t.passed), None)
    where = "called alone" if fault.alone else "in the free run"
    turn = ", first in another call, with other parameters and inputs" if fault.turn else ""
    picture = None
    if trial is not None and fault.part in trial.oracle:
        mine = trial.mine.get(fault.part)
        picture = Picture(None if mine is None else np.asarray(mine), trial.oracle[fault.part], fault.comparison.index)
    return Finding(
        tensor=named(fault.part),
        layer="" if fault.layer == "loss" else elsewhere or fault.layer,
        what=f"{where}{turn}: {fault.comparison.said}",
        rows=(fault.layer or OUTPUT,),
        hint=told.hint,
        code=told.code,
        evidence=told.evidence,
        reproduce=reporting.command(fault.layer or OUTPUT),
        saved="" if trial is None else save_trial(reporting.save_to, reporting.title, trial, fault.part),
        picture=picture,
        fault=fault.comparison.fault,
    )


def of_behaviour(one: Conduct, tensor: str, fault: str, told: Diagnosis) -> Finding:
    """Something it does beside its answers."""
    return Finding(
        tensor=tensor,
        layer=one.layer,
        what=f"{tensor}: {fault}",
        rows=(one.layer or WHOLE,),
        hint=told.hint,
        code=told.code,
        fault=fault,
    )


def _troubles(session: Session, passes: Sequence[Passed]) -> list[Finding]:
    """What did not answer, once each; those of single layers first."""
    found: dict[str, Finding] = {}
    for turn, passed in enumerate(passes):
        for trouble in passed.troubles:
            when = "only on other inputs, of another batch size" if turn else ""
            found.setdefault(trouble.during, _trouble(session, passed, trouble, when))
    return sorted(found.values(), key=lambda finding: not finding.layer)


def _trouble(session: Session, passed: Passed, trouble: Misbehaviour, when: str) -> Finding:
    """One part that did not answer; that it was given the wrong error signal is seen in what arrived at the layers."""
    told = explain_backward(joined(session, passed)) if trouble.during == "backward" else None
    mine, _, part = trouble.during.rpartition("'s ")
    blocks = session.blocks.layers
    layer = told.layer if told else blocks[mine][-1] if mine in blocks else ""
    return Finding(
        tensor="dx" if part == "backward" else "loss" if part.startswith("loss") else "forward",
        layer=layer,
        what=f"{trouble.during} {trouble.what}",
        rows=(layer,) if layer else (),
        hint=told.hint if told else "",
        code=told.code if told else "missing:part" if trouble.missing else "",
        missing=trouble.missing,
        when=when,
        fault=trouble.what,
    )


def _precision(session: Session, passed: Passed) -> list[Finding]:
    """Parameters of another precision than x."""
    wanted = passed.draw.x.dtype
    found = {}
    for partner in session.matching.partners.values():
        came = np.dtype(str(session.slots[partner.mine].get().dtype))
        layer = partner.torch.rpartition(".")[0]
        if came != wanted:
            what = f"{partner.mine} is {came}, x {wanted}"
            hint = f"its parameters are {came} whatever is asked for"
            found[layer] = Finding("forward", what, layer, (layer,), hint, f"precision:{came}", fault=what)
    return list(found.values())


def _missing(session: Session, passes: Sequence[Passed]) -> list[Finding]:
    """Parameters that are not there, or of which a whole pass gave no gradient."""
    came = passes[0].mine
    absent = dict.fromkeys(session.matching.absent, "there is no {} in your network")
    if any(name.startswith("grad/") for name in came):
        partners = session.matching.partners.values()
        silent = [p.torch for p in partners if f"grad/{p.torch}" not in came]
        absent |= dict.fromkeys(silent, "backward gives no gradient of {}")
    found = []
    for name, text in absent.items():
        layer, _, parameter = name.rpartition(".")
        what = text.format(name)
        found.append(Finding(f"d{parameter}", what, layer, (layer,), code="missing:part", missing=True, fault=what))
    return found
