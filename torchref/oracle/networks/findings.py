"""What is wrong with a network, in the order of computation, and the likely mistake behind each."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torchref.oracle.diagnosis import Problem, diagnose
from torchref.oracle.diagnosis.chain import (
    KINDS,
    Explained,
    Joined,
    explain_activation,
    explain_backward,
    explain_forward,
)
from torchref.oracle.kinds.kind import Trial
from torchref.oracle.networks.behaviour import Conduct
from torchref.oracle.networks.localising import layer_of, local_trial, part_of
from torchref.oracle.networks.session import Passed, Session
from torchref.oracle.networks.table import OUTPUT, WHOLE, Fault, column
from torchref.oracle.saving import save_trial
from torchref.oracle.verdict import Finding, Picture


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
    conduct: Sequence[Conduct],
    reporting: Reporting,
) -> tuple[Finding, ...]:
    """One finding for each tensor that is wrong itself, and each way of behaving."""

    @functools.cache
    def again() -> tuple[Passed, ...]:
        return tuple(session.run(session.another(passes[0].draw, turn)) for turn in (3, 4))

    found = [explained(session, fault, passes, again, reporting) for fault in faults]
    return (*_troubles(session, passes), *_missing(session, passes), *found, *_behaviour(conduct))


def explained(
    session: Session,
    fault: Fault,
    passes: Sequence[Passed],
    again: Callable[[], tuple[Passed, ...]],
    reporting: Reporting,
) -> Finding:
    """A fault with the likely mistake, if there is a hypothesis that fits all passes of two seeds."""
    first = _joining(session, fault, passes)
    if first is not None and _joining(session, fault, again()) != first:
        first = None
    memory = None if first else _memory(session, fault, passes)
    diagnosis = None
    if fault.trials and first is None and memory is None:
        problem = Problem(fault.part, fault.trials, lambda: _trials(session, fault, again()), _called)
        diagnosis = diagnose(problem)
    told = first or memory
    trial = next((t for t in fault.trials if not t.passed), None)
    where = "called alone" if fault.alone else "in the free run"
    turn = "" if fault.turn == 0 else ", in the second call, with other parameters and inputs"
    picture = None
    if trial is not None and fault.part in trial.oracle:
        mine = trial.mine.get(fault.part)
        picture = Picture(None if mine is None else np.asarray(mine), trial.oracle[fault.part])
    return Finding(
        tensor=column(fault.part),
        layer=(told.layer if told and told.layer else fault.layer) or OUTPUT,
        what=f"{where}{turn}: {fault.comparison}",
        rows=(fault.layer or OUTPUT,),
        hint=told.hint if told else diagnosis.hint if diagnosis else "",
        code=told.code if told else diagnosis.code if diagnosis else "",
        evidence=diagnosis.evidence if diagnosis else (),
        reproduce=reporting.command(fault.layer),
        saved="" if trial is None else save_trial(reporting.save_to, reporting.title, trial, fault.part),
        picture=picture,
        fault=fault.comparison.fault,
    )


def _called(name: str) -> str:
    return column(name)


def _trials(session: Session, fault: Fault, passes: Sequence[Passed]) -> tuple[Trial, ...]:
    """What of other passes speaks of the same tensor."""
    if fault.trials and any(fault.trials[0].case.slug in p.forced for p in passes) and fault.alone:
        return tuple(p.forced[fault.trials[0].case.slug] for p in passes if fault.trials[0].case.slug in p.forced)
    return tuple(
        local_trial(wrong, p.mine, session.layers[fault.layer], session.seed)
        for p in passes
        for wrong in p.wrong
        if (layer_of(wrong.name), part_of(wrong.name)) == (fault.layer, fault.part)
    )


def joined(session: Session, passed: Passed) -> Joined:
    """A pass as the hypotheses about what joins layers see it."""
    seen = passed.observation
    names = tuple(session.mine.layers)
    return Joined(
        layers=tuple(name for name in names if name in seen.arrived),
        arrived=seen.arrived,
        dx={name: seen.tensors.get(f"dx/{name}") for name in names},
        order=tuple(seen.order),
        mine=passed.mine,
        oracle=passed.signals.tensors,
        magnitudes=passed.signals.magnitudes,
        chain=session.layers,
        loss=session.loss,
        x=passed.draw.x,
        target=passed.draw.target,
    )


def _joining(session: Session, fault: Fault, passes: Sequence[Passed]) -> Explained | None:
    """What joins the layers wrongly, the same in all passes; or another activation than torch's."""
    layer = session.layers.get(fault.layer)
    if fault.alone and fault.part == "y" and isinstance(layer, KINDS):
        trials = [t for p in passes if (t := p.forced.get(fault.layer)) is not None] or list(
            _trials(session, fault, passes)
        )
        return explain_activation(fault.layer, layer, [(t.given["x"], t.mine.get("y")) for t in trials])
    if fault.alone and fault.trials and fault.part != "y" and fault.trials[0].case.slug in passes[0].forced:
        return None
    usable = [p for p in passes if not p.signals.kinks and "output" in p.mine]
    if not usable:
        return None
    if fault.layer == "" and fault.part == "y":
        return _common_forward(session, usable)
    found = {explain_backward(joined(session, passed)) for passed in usable}
    return found.pop() if len(found) == 1 else None


def _common_forward(session: Session, passes: Sequence[Passed]) -> Explained | None:
    """The one change to torch's chain that gives the candidate's output in all passes."""
    found: list[Explained] | None = None
    for passed in passes:
        session.load(passed.draw.parameters)
        here = explain_forward(joined(session, passed))
        found = here if found is None else [explained for explained in found if explained in here]
    return found[0] if found else None


def _memory(session: Session, fault: Fault, passes: Sequence[Passed]) -> Explained | None:
    """What is right in the first call and holds the first call's gradient as well in the second."""
    name = f"grad/{fault.layer}.{fault.part.removeprefix('grad ')}"
    if not fault.part.startswith("grad ") or len(passes) < 2:
        return None
    first, second = (p.mine.get(name) for p in passes[:2])
    if first is None or second is None or first.shape != second.shape or name not in passes[1].free:
        return None
    right = np.asarray(passes[1].signals.tensors[name])
    if not passes[1].free[name].passed and np.allclose(
        second - first, right, 1e-4, 1e-6 * np.abs(right).max(initial=0)
    ):
        said = "the gradient of the call before is still in it: it is added up and never cleared"
        return Explained("memory:accumulated", said, fault.layer)
    return None


def _troubles(session: Session, passes: Sequence[Passed]) -> list[Finding]:
    """What did not answer, once each; an error signal that was not passed on is told from other errors by its shape."""
    found: dict[str, Finding] = {}
    for turn, passed in enumerate(passes):
        for trouble in passed.troubles:
            told = explain_backward(joined(session, passed)) if trouble.during == "backward" else None
            layer, _, part = trouble.during.rpartition("'s ")
            when = "" if turn == 0 or trouble.during in found else "only in the second call, on another batch size"
            blocks = session.blocks.layers
            found.setdefault(
                trouble.during,
                Finding(
                    tensor={"forward": "forward", "loss": "forward"}.get(part or trouble.during, "dx"),
                    layer=(told.layer if told else "") or (blocks[layer][-1] if layer in blocks else layer),
                    what=f"{trouble.during} {trouble.what}",
                    rows=(blocks[layer][-1],) if layer in blocks else (),
                    hint=told.hint if told else "",
                    code=told.code if told else "missing:part" if trouble.missing else "",
                    missing=trouble.missing,
                    when=when,
                    fault=trouble.what,
                ),
            )
    return list(found.values())


def _missing(session: Session, passes: Sequence[Passed]) -> list[Finding]:
    """Parameters of which a whole pass gave no gradient."""
    came = passes[0].mine
    if not any(name.startswith("grad/") for name in came):
        return []
    lacking = [p.torch for p in session.matching.partners.values() if f"grad/{p.torch}" not in came]
    lacking += session.matching.absent
    return [
        Finding(
            tensor=f"d{name.rpartition('.')[2]}",
            layer=name.rpartition(".")[0],
            what=f"there is no {name} in your network"
            if name in session.matching.absent
            else f"backward gives no gradient of {name}",
            rows=(name.rpartition(".")[0],),
            code="missing:part",
            hint="it is not there" if name in session.matching.absent else "the gradient is not there yet",
            missing=True,
        )
        for name in lacking
    ]


def _behaviour(conduct: Sequence[Conduct]) -> list[Finding]:
    """What it does beside its answers, once each."""
    found: dict[str, Finding] = {}
    for layer, comparison in conduct:
        if not comparison.passed:
            what = f"{comparison.tensor}: {comparison.fault}"
            rows = (layer or WHOLE,)
            finding = Finding(tensor=comparison.tensor, layer=layer, what=what, rows=rows, fault=comparison.fault)
            found.setdefault(comparison.tensor, finding)
    return list(found.values())
