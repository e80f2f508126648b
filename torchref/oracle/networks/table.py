"""The table of a network's comparison: a row for each layer, a column for each kind of tensor."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from torchref.oracle.comparison import Comparison
from torchref.oracle.kinds.kind import Trial
from torchref.oracle.networks.behaviour import Conduct
from torchref.oracle.networks.localising import Wrong, layer_of, local_trial, part_of
from torchref.oracle.networks.session import Passed, Session
from torchref.oracle.verdict import Cell, Row

WHOLE = "network"
"""The slug of the row for what cannot be said of one layer."""
LOSS = ("loss", "doutput")
OUTPUT = "output of the network"
"""The slug of the row for it, where it is not the last layer's."""
BEHAVIOUR = "behaviour"


@dataclass(frozen=True)
class Fault:
    """A tensor of a layer that is wrong itself: in which comparison, and the trials of all passes that judged it."""

    layer: str
    part: str
    comparison: Comparison
    trials: tuple[Trial, ...]
    alone: bool
    """Whether the layer is wrong when called alone; else it is what joins the layers."""
    turn: int
    """The pass in which it was found first."""


def column(part: str) -> str:
    """The column of a part: "forward", "dx", "dweight"; of the loss its value and its gradient."""
    return {"loss": "forward", "doutput": "dx"}.get(part, named(part))


def named(part: str) -> str:
    """What a part is called: "forward", "dx", "dweight", "loss", "doutput"."""
    return "forward" if part == "y" else f"d{part.removeprefix('grad ')}" if part.startswith("grad ") else part


def parts_of(layers: Mapping[str, nn.Module]) -> list[str]:
    """All parts that layers have, in the order of computation: "y", "dx", "grad weight"."""
    grads = dict.fromkeys(f"grad {key}" for layer in layers.values() for key, _ in layer.named_parameters())
    return ["y", "dx", *grads]


def order(session: Session) -> list[tuple[str, str]]:
    """(layer, part) in the order of computation: forward by layer, loss, backward by layer."""
    names = list(session.layers)
    parts = parts_of(session.layers)
    backward = [(name, part) for name in reversed(names) for part in parts[1:]]
    return [*((name, "y") for name in names), ("", "y"), ("loss", "loss"), ("loss", "doutput"), *backward]


def faults_of(session: Session, passes: Sequence[Passed]) -> list[Fault]:
    """What is wrong itself in any of the passes, in the order of computation."""
    found: dict[tuple[str, str], Fault] = {}
    for turn, passed in enumerate(passes):
        for name, trial in passed.forced.items():
            for comparison in trial.failures:
                key = spot(session, name, comparison.tensor.removesuffix(", absent links"))
                if key not in found:
                    trials = tuple(p.forced[name] for p in passes if name in p.forced)
                    found[key] = Fault(*key, comparison, trials, True, turn)
        for wrong in passed.wrong:
            key = (layer_of(wrong.name), part_of(wrong.name))
            if key in found:
                continue
            trials = (_local(session, passed, wrong),) if key[0] else ()
            found[key] = Fault(*key, wrong.comparison, trials, False, turn)
    places = {key: place for place, key in enumerate(order(session))}
    return sorted(found.values(), key=lambda fault: places[fault.layer, fault.part])


def spot(session: Session, name: str, part: str) -> tuple[str, str]:
    """The torch layer and part of a tensor of a block: its gradients have the layer in their names."""
    if part.startswith("grad ") and "." in part:
        layer, _, parameter = part.removeprefix("grad ").rpartition(".")
        return layer, f"grad {parameter}"
    if part == "dx" and name in session.layers:
        return next(block[0] for block in session.blocks.layers.values() if block[-1] == name), part
    return name, part


def _local(session: Session, passed: Passed, wrong: Wrong) -> Trial:
    return local_trial(wrong, passed.mine, session.layers, session.loss, passed.draw.target, session.seed)


def cells(session: Session, passes: Sequence[Passed], faults: Iterable[Fault]) -> dict[tuple[str, str], Cell]:
    """The worst of every tensor over all passes, and whether it is wrong itself or inherited."""
    guilty = {(fault.layer, fault.part): fault for fault in faults}
    found: dict[tuple[str, str], list[Comparison]] = {}
    for passed in passes:
        for name, comparison in passed.free.items() if not passed.signals.kinks else ():
            found.setdefault((layer_of(name), part_of(name)), []).append(comparison)
        for name, trial in passed.forced.items():
            for comparison in trial.comparisons:
                key = spot(session, name, comparison.tensor.removesuffix(", absent links"))
                found.setdefault(key, []).append(comparison)
    table = {}
    for key, comparisons in found.items():
        worst = max(comparisons, key=lambda c: (not c.passed, c.ratio))
        if worst.passed:
            table[key] = Cell(worst.ratio, passed=True)
        elif key in guilty:
            fault = guilty[key]
            table[key] = Cell(fault.comparison.ratio, False, "wrong", str(fault.comparison))
        else:
            table[key] = Cell(worst.ratio, False, "inherited", f"{worst}; right on right inputs")
    return table


def rows(
    session: Session,
    table: Mapping[tuple[str, str], Cell],
    shapes: Mapping[str, str],
    conduct: Iterable[Conduct],
) -> tuple[Row, ...]:
    """One for each layer in order, then the network's output and the loss where they were judged, and its behaviour."""
    parts = parts_of(session.layers)
    behaviour: dict[str, Cell] = {}
    for layer, comparisons in conduct:
        wrong = next((c for c in comparisons if not c.passed), None)
        behaviour[layer] = Cell(0.0, True) if wrong is None else Cell(np.inf, False, "wrong", str(wrong))
    found = []
    last = next(reversed(session.layers))
    for name in (*session.layers, "", "loss"):
        own = {column(part): table[name, part] for part in (*parts, *LOSS) if (name, part) in table}
        if name and name in behaviour:
            own[BEHAVIOUR] = behaviour[name]
        if name in session.layers:
            found.append(Row(name, f"{name}  {shapes[name]}", own, "" if own else "cannot be seen in your network"))
        elif own and (name or not all(cell.passed for cell in own.values()) or (last, "y") not in table):
            found.append(Row(name or OUTPUT, name or OUTPUT, own))
    if "" in behaviour:
        found.append(Row(WHOLE, WHOLE, {BEHAVIOUR: behaviour[""]}))
    return tuple(found)


def described(layer: nn.Module, x: Tensor, y: Tensor) -> str:
    """A layer in a few words: its type, and the shapes of one sample on its way in and out."""
    sizes = ["x".join(map(str, tensor.shape[1:])) for tensor in (x, y)]
    return f"{type(layer).__name__} {sizes[0]} → {sizes[1]}"
