"""The likely mistake behind a wrong tensor of a network: what joins layers, what is remembered, what a layer does."""

from collections.abc import Callable, Sequence

from torchref.oracle.diagnosis import Diagnosis, Problem, diagnose
from torchref.oracle.diagnosis.chain import (
    KINDS,
    Explained,
    Joined,
    explain_activation,
    explain_backward,
    explain_forward,
)
from torchref.oracle.diagnosis.conduct import GROWS, read
from torchref.oracle.kinds.kind import Case, Trial
from torchref.oracle.networks.behaviour import Conduct
from torchref.oracle.networks.localising import layer_of, local_trial, part_of
from torchref.oracle.networks.session import Passed, Session
from torchref.oracle.networks.table import Fault, named

Again = Callable[[], tuple[Passed, ...]]
NOTHING = Diagnosis("", "", ())


def explain(
    session: Session, fault: Fault, passes: Sequence[Passed], conduct: Sequence[Conduct], again: Again
) -> tuple[Diagnosis, str]:
    """The hypothesis that fits all passes of two seeds, and the layer it blames if that is another."""
    behaved = _behaviour(fault, conduct)
    if behaved is not None:
        return behaved, ""
    joining = None if fault.alone else _joining(session, fault, passes)
    if joining is not None and _joining(session, fault, again()) == joining:
        return Diagnosis(joining.code, joining.hint, ()), joining.layer
    found = NOTHING
    if fault.trials:
        problem = Problem(
            fault.comparison.tensor if fault.alone else fault.part,
            fault.trials,
            lambda: trials(session, fault, again()),
            named,
        )
        found = diagnose(problem)
    if not found.code and fault.part == "y" and fault.trials:
        other = _instead(session, fault, fault.trials)
        if other is not None and _instead(session, fault, trials(session, fault, again())) == other:
            return Diagnosis(other.code, other.hint, found.evidence), ""
    return found, ""


def _behaviour(fault: Fault, conduct: Sequence[Conduct]) -> Diagnosis | None:
    """A tensor of a layer that adds up its gradients, or changes what it is given, is wrong because of that."""
    for layer, comparisons in conduct:
        failing = {c.tensor: c.fault for c in comparisons if not c.passed}
        rerun = failing.get("rerun", "")
        if GROWS in rerun and fault.part.startswith("grad "):
            said = "the gradient of the calls before is still in it: it is added up and never cleared"
            return Diagnosis("memory:accumulated", said, (rerun,))
        mutation = next((text for name, text in failing.items() if name.endswith("its arguments alone")), "")
        if mutation and layer == fault.layer:
            return Diagnosis("conduct:mutation", f"a consequence: it {mutation} in place", (mutation,))
    return None


def conduct_hint(tensor: str, behaved: Conduct, second: Sequence[Conduct]) -> Diagnosis:
    """The mistake behind a way of behaving, the same on other inputs."""

    def told(one: Conduct) -> tuple[str, str] | None:
        case = Case(one.layer, one.layer, {}, ())
        return read(tensor, [Trial(case, "", "normal", 0, {}, None, {}, {}, one.comparisons)])

    if tensor == "backward":  # it answered as long as no other pass came between
        return Diagnosis("memory:stale-cache", "backward uses what another forward pass left behind", ())
    first = told(behaved)
    confirmed = [told(other) for other in second if other.layer == behaved.layer]
    if first is None or first[0] not in [other[0] for other in confirmed if other is not None]:
        return NOTHING
    return Diagnosis(first[0], first[1], ())


def trials(session: Session, fault: Fault, passes: Sequence[Passed]) -> tuple[Trial, ...]:
    """What other passes say of the same tensor."""
    slug = fault.trials[0].case.slug
    if fault.alone and any(slug in p.forced for p in passes):
        return tuple(p.forced[slug] for p in passes if slug in p.forced)
    return tuple(
        local_trial(wrong, p.mine, session.layers, session.loss, p.draw.target, session.seed)
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
    """What joins the layers wrongly, the same in all passes."""
    if session.blocks.misplaced and fault.part == "y":
        name = session.blocks.misplaced[0]
        return Explained("layer:order", f"your layer {name} comes later than in torch's", fault.layer)
    if session.blocks.extra and fault.part == "y":
        extra = session.blocks.extra[0]
        return Explained("layer:extra", f"your network has a layer {extra} that torch's has not", fault.layer)
    usable = [p for p in passes if not p.signals.kinks and "output" in p.mine]
    if fault.layer == "" and fault.part == "y":
        return _forward(session, usable)
    found = set()
    for passed in usable:
        session.load(passed.draw.parameters)
        found.add(explain_backward(joined(session, passed)))
    return found.pop() if len(found) == 1 else None


def _forward(session: Session, passes: Sequence[Passed]) -> Explained | None:
    """The one change to torch's chain that gives the candidate's output in all passes."""
    found: list[Explained] | None = None
    for passed in passes:
        session.load(passed.draw.parameters)
        here = explain_forward(joined(session, passed))
        found = here if found is None else [explained for explained in found if explained in here]
    return found[0] if found else None


def _instead(session: Session, fault: Fault, seen: Sequence[Trial]) -> Explained | None:
    """Another layer than torch's in the place of an activation."""
    layer = session.layers.get(fault.layer)
    if not isinstance(layer, KINDS) or not seen:
        return None
    return explain_activation(fault.layer, layer, [(t.given["x"], t.mine.get("y")) for t in seen])
