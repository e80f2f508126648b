"""`compare`: anybody's whole network against any torch module, layer by layer."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from torch import nn

from torchref.oracle.networks import table
from torchref.oracle.networks.behaviour import conduct
from torchref.oracle.networks.findings import Reporting, find_out
from torchref.oracle.networks.matching import AmbiguousError, Layouts, MismatchError
from torchref.oracle.networks.mine import WithLoss, adapt
from torchref.oracle.networks.preparing import Prepared, prepare
from torchref.oracle.subjects.guard import TIME_LIMIT, Guard, blame
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.thinning import Masks
from torchref.oracle.verdict import Finding, Verdict

Comparing = TypeVar("Comparing", bound=Callable[..., Verdict])


def answering(function: Comparing) -> Comparing:
    """A comparison that is a verdict too where the candidate's objects raise when they are only looked at."""

    @functools.wraps(function)
    def compare_anything(mine: Any, torch_module: nn.Module, *args: Any, **options: Any) -> Verdict:
        began = time.perf_counter()
        try:
            return function(mine, torch_module, *args, **options)
        except (Exception, SystemExit) as error:
            trouble = blame("forward", error)
            if trouble is None:
                raise
            title = options.get("title") or type(mine).__name__
            return _unanswered(title, torch_module, options.get("seed", 0), trouble, time.perf_counter() - began)

    return cast(Comparing, compare_anything)


@answering
def compare(
    mine: Any,
    torch_module: nn.Module,
    x: Any,
    target: Any = None,
    *,
    map: Mapping[str, Any] | None = None,
    weight: str | Layouts | None = None,
    loss: Any = None,
    my_loss: Any = None,
    masks: Masks | None = None,
    seed: int = 0,
    time_limit: float = TIME_LIMIT,
    title: str = "",
    save_to: str | Path | None = None,
    command: Callable[[str], str] | None = None,
) -> Verdict:
    """Hold a whole network against a torch module on one batch, and find the layer where a difference begins.

    Torch's parameters are copied into `mine` first. Then both run twice: on `x`, and on other inputs of another batch
    size with other parameters, as what is kept from call to call shows only then. Layers that can be called alone are
    given the oracle's exact input and upstream gradient.

    Parameters
    ----------
    mine:
        A network of the oracle's own contract (`torchref.oracle.candidate`); one that keeps its pass on itself
        (forward(x), backward(dy)); one with `loss(x, y)` and `params`; or a `NetworkAdapter`.
    torch_module:
        A chain of layers or blocks, however it is written; what is none is taken as one layer. How far rounding moves
        what has no rule is measured.
    x, target:
        A batch; labels or dense targets. Without a target a random upstream gradient is used.
    map:
        {my parameter: torch's}, {my parameter: (torch's, "IO")} for other layouts, {my layer: torch's}. The rest is
        matched by name, or else by order and shape, and said in `guesses`.
    weight:
        How you lay out weights, one word for each number of axes: "IO", "HWIO IO"; else told by their shapes.
    loss, my_loss:
        Torch's, as a module, function or name ("cross_entropy", "squared_error", "mse"; for labels the first is
        assumed); and yours, as an object or a function that gives the value and its gradient. Without yours,
        `backward` gets the oracle's gradient.
    masks:
        For dropout in a network of the oracle's contract; without them both sides evaluate.

    Raises
    ------
    TypeError, ValueError
        If the two cannot be compared: nothing is known about the loss, or it is not clear which parameter is which.
    """
    began = time.perf_counter()
    guard = Guard(time_limit)
    adapted = adapt(mine, guard, my_loss, masks)
    own_loss = target is not None and (my_loss is not None or isinstance(adapted, WithLoss))
    title = title or adapted.title
    said = {} if map is None else map
    laid = weight if isinstance(weight, Layouts) else Layouts(weight)
    try:
        prepared = prepare(
            adapted, torch_module, x, target, said, loss, own_loss=own_loss, masks=masks, laid=laid, seed=seed
        )
    except AmbiguousError as error:
        raise AmbiguousError(f"{error}, or for all of them weight='IO'") from None
    except MismatchError as error:
        trouble = Misbehaviour("construction", f"has other parameters: {error}")
        return _unanswered(title, torch_module, seed, trouble, time.perf_counter() - began)
    except Misbehaviour as trouble:
        return _unanswered(title, torch_module, seed, trouble, time.perf_counter() - began)
    folder = None if save_to is None else Path(save_to)
    said_so = {"map": map, "weight": None if weight is laid else weight, "seed": seed}
    given = {"target": target, "loss": loss, "my_loss": my_loss, "masks": masks}
    call = _snippet([name for name, value in given.items() if value is not None], said_so)
    reporting = Reporting(title, folder, command or call)
    return judge(prepared, reporting, type(torch_module).__name__, guard, began)


def _snippet(given: Sequence[str], said: Mapping[str, Any]) -> Callable[[str], str]:
    """What compares again, in Python; what was `given` as objects is to be filled in."""
    named = [name if name == "target" else f"{name}={name}" for name in given]
    plain = [f"{name}={value!r}" for name, value in said.items() if value is not None]
    call = f"oracle.compare({', '.join(['mine', 'torch_module', 'x', *named, *plain])})"
    return lambda layer: f"{call}  # see {layer}; with your own {', '.join(['mine', 'torch_module', 'x', *given])}"


def judge(prepared: Prepared, reporting: Reporting, like: str, guard: Guard, began: float) -> Verdict:
    """Run both networks twice and write down what is wrong."""
    session, draw = prepared.session, prepared.draw
    passes = [session.run(draw), *(session.run(session.another(draw, turn)) for turn in (1, 2))]
    behaved = conduct(session, passes, guard)
    faults = table.faults_of(session, passes)
    findings = find_out(session, passes, faults, behaved, reporting, guard)
    cells = table.cells(session, passes, faults)
    seen = passes[0].signals.seen
    words = {name: table.described(layer, seen[name].x, seen[name].y) for name, layer in session.layers.items()}
    remarks = list(prepared.remarks)
    for passed, which in zip(passes, ("x", *["what was drawn near x"] * 2), strict=True):
        if passed.signals.kinks:
            where = ", ".join(passed.signals.kinks)
            alone = "; layers alone were judged" if passed.forced else ""
            remarks.append(f"{which} is too near a kink of {where} to judge a free run{alone}")
    if all(passed.signals.kinks for passed in passes):  # as a whole it was never judged: that is no pass
        where = ", ".join(passes[0].signals.kinks)
        what = f"could not be judged: x and what was drawn near it are too close to a kink of {where}; give another x"
        findings = (*findings, Finding(tensor="the whole network", what=what, fault=what))
    session.load(draw.parameters)
    return Verdict(
        title=reporting.title,
        like=like,
        seed=session.seed,
        columns=(*(table.column(part) for part in table.parts_of(session.layers)), table.BEHAVIOUR),
        rows=table.rows(session, cells, words, behaved),
        findings=findings,
        guesses=prepared.guesses,
        remarks=(*remarks, *(f"{i.during} {i.what}" for i in guard.incidents() if i.harmless)),
        diagram=tuple(words.items()),
        seconds=time.perf_counter() - began,
        tensors=sum(len(p.free) + sum(len(t.comparisons) for t in p.forced.values()) for p in passes),
    )


def _unanswered(title: str, module: nn.Module, seed: int, trouble: Misbehaviour, seconds: float) -> Verdict:
    """The verdict on a network that did not get as far as showing its parameters."""
    tensor = "dx" if trouble.during == "backward" else "forward"
    what = f"{trouble.during} {trouble.what}"
    code = "missing:part" if trouble.missing else ""
    finding = Finding(tensor=tensor, what=what, code=code, missing=trouble.missing, fault=trouble.what)
    return Verdict(title, type(module).__name__, seed, (), (), (finding,), seconds=seconds)
