"""Ways of behaving that are wrong: memory of earlier calls, arguments changed, arrays shared."""

import re
from collections.abc import Sequence

from torchref.oracle.diagnosis.diagnosis import Diagnosis, Problem
from torchref.oracle.kinds.kind import Trial

AGAIN = "when called again or on another batch size"
"""How a comparison of conduct says that a candidate answers only the first time."""
GROWS = "each pass adds the same to"
"""How a comparison of conduct says that results grow from pass to pass."""

ACCUMULATED = (
    "memory:accumulated",
    "the gradient is added to that of the earlier calls; set it to zero, or assign instead of adding",
)


def explain(problem: Problem) -> Diagnosis:
    """The mistake behind a comparison of conduct, from which of them fail together; the same on both seeds."""
    first = read(problem.tensor, problem.trials)
    evidence = evidence_of(problem)
    if first is None or read(problem.tensor, problem.again()) != first:
        return Diagnosis("", "", evidence)
    code, says = first
    return Diagnosis(code, re.sub(r"grad [\w.]+", lambda found: problem.called(found[0]), says), evidence)


def accumulates(problem: Problem) -> bool:
    """Whether a rerun was seen to add to a gradient, on both seeds: then its numbers depend on earlier calls."""
    return all(
        any(GROWS in c.fault and problem.tensor in c.fault.split(GROWS)[1] for t in trials for c in t.failures)
        for trials in (problem.trials, problem.again())
    )


def evidence_of(problem: Problem) -> tuple[str, ...]:
    """What the comparisons said, each once."""
    faults = {c.fault for t in problem.trials for c in t.failures if c.tensor == problem.tensor}
    return tuple(sorted(faults))[:4]


def read(tensor: str, trials: Sequence[Trial]) -> tuple[str, str] | None:
    """Code and hint of one comparison of conduct, None if nothing is known of it."""
    failing = {c.tensor: c.fault for t in trials for c in t.failures}
    fault = failing.get(tensor)
    if fault is None:
        return None
    if "global" in tensor or tensor.startswith("changes"):
        what = fault if tensor == "global random state" else tensor
        return "conduct:global-state", f"it {what}, on which other code depends"
    if tensor == "state":
        return "optim:state-lost", f"the optimiser's state {fault}"
    if tensor.endswith("its arguments alone"):
        who = tensor.split(" leaves")[0]
        return "conduct:mutation", f"{who} {fault} in place: work on a copy"
    if tensor == "step leaves the gradients alone":
        return stepped(trials, fault)
    if tensor in ("state_dict gives copies", "load_state_dict takes copies"):
        return "optim:aliased", f"{fault}: copy the velocities"
    if tensor == "gradients":
        return named(fault)
    if tensor.endswith("not aliased"):
        return "conduct:aliasing", f"{fault}: who changes one changes the other; return a copy"
    if AGAIN in fault and tensor == "backward":
        return (
            "memory:stale-cache",
            "backward fails once other passes lie between: it uses what the latest forward pass left, not its own",
        )
    mutation = next((f for name, f in failing.items() if name.endswith("its arguments alone")), "")
    if mutation:
        return "conduct:mutation", f"a consequence: the candidate {mutation} in place, so later results differ"
    return remembered(tensor, failing)


def stepped(trials: Sequence[Trial], fault: str) -> tuple[str, str]:
    """An optimiser changes the gradient: in place by the decay, or as its velocity is that array."""
    wrong = [t for t in trials if any(c.tensor == "step leaves the gradients alone" for c in t.failures)]
    if all(t.case.config.get("weight_decay") for t in wrong):
        return "conduct:mutation", f"step {fault} in place: g = g + λp makes a new array, g += λp does not"
    if all(t.case.config.get("momentum") for t in wrong):
        return "optim:aliased", f"step {fault}: the velocity is the first gradient's own array; copy it"
    return "conduct:mutation", f"step {fault} in place: work on a copy"


def named(fault: str) -> tuple[str, str] | None:
    """A penalty gives gradients for other parameters than it should."""
    came, wanted = (
        {n.strip() for n in part.split(",")}
        for part in fault.removeprefix("are given for ").split(", by the oracle for ")
    )
    if came > wanted:
        extra = ", ".join(sorted(came - wanted))
        return "optim:decay-bias", f"{extra} must not decay: only what is called weight does"
    return None


def remembered(tensor: str, failing: dict[str, str]) -> tuple[str, str] | None:
    """What is kept from call to call."""
    fault = failing[tensor]
    rerun = failing.get("rerun", "")
    if GROWS in rerun:
        return ACCUMULATED
    if tensor.endswith("returned anew"):
        return (
            "memory:buffer",
            f"results are written into an array that an earlier call had returned: {fault}",
        )
    if tensor == "y survives backward":
        return "conduct:mutation", "backward writes into the output that forward returned"
    if tensor == "backward twice from one cache" and not rerun:
        return "memory:other", f"backward changes what its own cache holds: {fault}"
    if tensor == "rerun" and "backward twice from one cache" not in failing and not _forward(rerun):
        return (
            "memory:stale-cache",
            f"backward uses what a later forward pass left behind, not what its own pass kept in the cache: {fault}",
        )
    return None


def _names(fault: str) -> list[str]:
    return [name.strip() for name in fault.split(" differ")[0].split(",")] if " differ" in fault else []


def _forward(fault: str) -> bool:
    """Whether what differs is computed forward, or no more than a loss's value: then backward may be right."""
    return any(name in ("y", "value", "loss", "output") or name.startswith("output/") for name in _names(fault))
