"""Ways of behaving that are wrong: memory of earlier calls, arguments changed, arrays shared."""

from collections.abc import Sequence

from torchref.oracle.diagnosis.diagnosis import Diagnosis, Problem
from torchref.oracle.kinds.kind import Trial

FACTOR = "times as large"
"""How a comparison of conduct says that results differ by one factor."""


def explain(problem: Problem) -> Diagnosis:
    """The mistake behind a comparison of conduct, from which of them fail together; the same on both seeds."""
    first = read(problem.tensor, problem.trials)
    evidence = evidence_of(problem)
    if first is None or read(problem.tensor, problem.again()) != first:
        return Diagnosis("", "", evidence)
    code, says = first
    return Diagnosis(code, says, evidence)


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
        return "conduct:global-state", f"it {tensor}, which other code depends on"
    if tensor.endswith("its arguments alone"):
        who = tensor.split(" leaves")[0]
        return "conduct:mutation", f"{who} {fault} in place: work on a copy"
    if tensor.endswith("not aliased"):
        return "conduct:aliasing", f"{fault}: who changes one changes the other; return a copy"
    mutation = next((f for name, f in failing.items() if name.endswith("its arguments alone")), "")
    if mutation:
        return "conduct:mutation", f"a consequence: the candidate {mutation} in place, so later results differ"
    return remembered(tensor, failing)


def remembered(tensor: str, failing: dict[str, str]) -> tuple[str, str] | None:
    """What is kept from call to call."""
    fault = failing[tensor]
    rerun = failing.get("rerun", "")
    gradients = _only_gradients(rerun)
    if gradients and FACTOR in rerun:
        return (
            "memory:accumulated",
            "the gradient is added to that of the earlier calls; set it to zero, or assign instead of adding",
        )
    if tensor.endswith("returned anew"):
        return (
            "memory:buffer",
            f"results are written into an array that an earlier call had returned: {fault}",
        )
    if tensor == "y survives backward":
        return "conduct:mutation", "backward writes into the output that forward returned"
    if tensor == "backward twice from one cache" and not rerun:
        return "memory:other", f"backward changes what its own cache holds: {fault}"
    if tensor == "rerun" and "backward twice from one cache" not in failing and not _about(rerun, "y", "value"):
        return (
            "memory:stale-cache",
            f"backward uses what a later forward pass left behind, not what its own pass kept in the cache: {fault}",
        )
    return None


def _names(fault: str) -> list[str]:
    return [name.strip() for name in fault.split(" differ")[0].split(",")] if " differ" in fault else []


def _about(fault: str, *names: str) -> bool:
    return any(name in names for name in _names(fault))


def _only_gradients(fault: str) -> bool:
    names = _names(fault)
    return bool(names) and all(name.startswith("grad ") for name in names)
