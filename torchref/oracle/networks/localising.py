"""What a candidate has wrong itself, and what it only inherited."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from torchref.oracle import criteria, magnitude
from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array, Comparison, to_array
from torchref.oracle.kinds.kind import Case, Trial
from torchref.oracle.layer import absent_links, judge
from torchref.oracle.linear import LINEAR, SELECTION, gradients
from torchref.oracle.loss import loss_gradient
from torchref.oracle.networks.passes import Signals, Upstream, run
from torchref.oracle.thinning import Thinned
from torchref.pooling import MaxPool2d


@dataclass(frozen=True)
class Wrong:
    """A tensor that is wrong although everything before it is as the candidate has it."""

    name: str
    comparison: Comparison
    signals: Signals
    """The oracle's, from what the candidate had computed up to there."""


def layer_of(name: str) -> str:
    """The layer that a tensor of a pass belongs to: "loss" for the loss's, "" for the network's output."""
    if name in ("loss", "doutput"):
        return "loss"
    kind, _, rest = name.partition("/")
    return rest.rpartition(".")[0] if kind == "grad" else rest


def part_of(name: str) -> str:
    """The tensor's name within its layer: "y", "dx" or "grad <parameter>"; of the loss "loss" and "doutput"."""
    kind, _, rest = name.partition("/")
    if kind == "grad":
        return f"grad {rest.rpartition('.')[2]}"
    return {"output": "y"}.get(kind, kind)


def judged(signals: Signals, mine: Mapping[str, Any], layers: Mapping[str, nn.Module]) -> dict[str, Comparison]:
    """Criteria 4 and 6 for what there is of a free run, in the order of computation."""
    verdicts = {
        name: criteria.network(name, mine[name], tensor, signals.magnitudes[name])
        for name, tensor in signals.tensors.items()
        if name in mine
    }
    for name, layer in layers.items():
        own = {f"grad {key}": mine.get(f"grad/{name}.{key}") for key, _ in layer.named_parameters()}
        for verdict in absent_links(layer, "grad ", {k: v for k, v in own.items() if isinstance(v, np.ndarray)}):
            if verdicts[f"grad/{name}.weight"].passed and not verdict.passed:
                verdicts[f"grad/{name}.weight"] = verdict
    return verdicts


def own_faults(
    layers: Mapping[str, nn.Module],
    loss: nn.Module,
    x: Array,
    target: Array,
    mine: Mapping[str, Any],
    signals: Signals,
    *,
    given: bool,
) -> list[Wrong]:
    """What is wrong in a free run, in the order of computation, without what follows from it.

    Each wrong signal is put into the oracle's run in place of its own; what agrees then was inherited. Where the
    signals on the way cannot be seen, what comes later is taken for inherited too. `given`: the gradient of the output
    was the oracle's.
    """
    wrong: list[Wrong] = []
    swaps: dict[str, Any] = {"doutput": to_array(signals.tensors["doutput"])} if given else {}
    current = signals
    names = list(signals.tensors)
    while True:
        verdicts = judged(current, mine, layers)
        done = {w.name for w in wrong}
        first = next((n for n in names if n in verdicts and n not in done and not verdicts[n].passed), None)
        if first is None:
            return wrong
        if wrong and _hidden(first, mine, wrong, verdicts):
            return wrong
        wrong.append(Wrong(first, verdicts[first], current))
        if first.startswith("grad/") or first == "loss":
            continue
        theirs = current.tensors[first]
        value = np.asarray(mine[first])
        if value.shape != tuple(theirs.shape) or not np.isfinite(value).all():
            return wrong
        swaps[first] = value
        current = run(layers, loss, x, target, swaps)


def _hidden(name: str, mine: Mapping[str, Any], wrong: list[Wrong], verdicts: Mapping[str, Comparison]) -> bool:
    """Whether a wrong tensor may have been inherited over signals that cannot be seen."""
    forward = any(w.name.startswith("output") for w in wrong)
    if forward and not any(n.startswith("output/") for n in mine):
        return True
    if not name.startswith("grad/") or any(n.startswith("dx/") and f"grad/{layer_of(name)}" in n for n in mine):
        return False
    seen = {layer_of(n) for n in mine if n.startswith("dx/")}
    earlier = [w for w in wrong if w.name.startswith("grad/") and layer_of(w.name) != layer_of(name)]
    for fault in earlier:
        layer = layer_of(fault.name)
        own = [n for n in verdicts if n.startswith(f"grad/{layer}.")]
        if layer not in seen and all(not verdicts[n].passed for n in own):
            return True
    return False


def local_trial(
    wrong: Wrong, mine: Mapping[str, Any], layers: Mapping[str, nn.Module], loss: nn.Module, target: Array, seed: int
) -> Trial:
    """The fault as a trial of its layer or loss alone, on the input and upstream gradient it had; the rest is right."""
    name, part = layer_of(wrong.name), part_of(wrong.name)
    seen = wrong.signals.seen[name]
    own, verdict = {part: mine[wrong.name]}, (replace(wrong.comparison, tensor=part),)
    if name == "loss":
        trial = loss_trial(loss, to_array(seen.x), target, own, verdict, seed)
        return replace(trial, mine={**trial.oracle, **own})
    x, dy = to_array(seen.x), to_array(seen.dy)
    oracle = {key: to_array(tensor) for key, tensor in gradients(layers[name], to_tensor(x), to_tensor(dy)).items()}
    return trial_of(name, layers[name], x, dy, {**oracle, **own}, oracle, verdict, seed)


def forced_loss(loss: nn.Module, output: Array, target: Array, mine: Mapping[str, Any], seed: int) -> Trial:
    """What a loss made of the oracle's exact output, by criterion 2."""
    trial = loss_trial(loss, output, target, mine, (), seed)
    wide, labels = to_tensor(output).double(), to_tensor(target)
    s = magnitude.loss(loss, wide, labels, torch.zeros_like(wide))  # zeros: the output is exact here
    sizes = {"loss": (s.value, output.size), "doutput": (s.doutput, output.shape[-1])}
    verdicts = [
        criteria.linear_operation(name, mine[name], trial.oracle[name], size, torch.tensor(terms))
        for name, (size, terms) in sizes.items()
    ]
    return replace(trial, comparisons=tuple(verdicts))


def loss_trial(
    loss: nn.Module,
    output: Array,
    target: Array,
    mine: Mapping[str, Any],
    comparisons: tuple[Comparison, ...],
    seed: int,
) -> Trial:
    """A trial of the loss, for the diagnosis."""
    came = loss_gradient(loss, to_tensor(output), to_tensor(target))
    oracle = {"loss": to_array(came.value), "doutput": to_array(came.doutput)}
    case = Case("loss", f"loss {loss}", {}, tuple(output.shape))
    given = {"output": output, "target": target}
    return Trial(case, str(output.dtype), "normal", seed, given, loss, dict(mine), oracle, comparisons)


STRICT: tuple[type[nn.Module], ...] = (*LINEAR, *SELECTION, MaxPool2d)
"""Layers that are judged alone by criteria 1 and 2."""
SETTINGS = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "connections", "a", "b", "size", "value")


def settings(layer: nn.Module) -> dict[str, Any]:
    """What a layer was configured with, as far as a diagnosis may want to know."""
    found = {name: getattr(layer, name, None) for name in SETTINGS}
    return {name: value for name, value in found.items() if value is not None}


def trial_of(
    name: str,
    layer: nn.Module,
    x: Array,
    dy: Array,
    mine: Mapping[str, Any],
    oracle: Mapping[str, Array],
    comparisons: tuple[Comparison, ...],
    seed: int,
) -> Trial:
    """A trial of one layer of a network, for the diagnosis."""
    parameters = {key: np.array(to_array(p)) for key, p in layer.named_parameters()}  # live: passes change them
    case = Case(name, f"{name} {layer}", settings(layer), tuple(x.shape))
    given = {"x": x, "dy": dy, **parameters}
    if isinstance(layer, Thinned):
        given["mask"] = to_array(layer.mask)
    reference = copy.deepcopy(layer)
    return Trial(case, str(x.dtype), "normal", seed, given, reference, dict(mine), oracle, comparisons)


def forced(name: str, block: Mapping[str, nn.Module], x: Array, dy: Array, mine: Mapping[str, Any], seed: int) -> Trial:
    """What a layer made of the oracle's exact input and upstream gradient, judged as a layer alone.

    `mine` has "y", "dx" and "grad <parameter>" for one torch layer, "grad <layer>.<parameter>" for a block of several.
    """
    if len(block) == 1 and isinstance(layer := next(iter(block.values())), STRICT):
        tensors = gradients(layer, to_tensor(x), to_tensor(dy))
        complete = {key: mine.get(key, to_array(tensor)) for key, tensor in tensors.items()}
        verdicts = [c for c in judge(layer, x, dy, complete, tensors) if c.tensor in mine]
        verdicts += absent_links(layer, "grad ", mine)
        oracle = {key: to_array(tensor) for key, tensor in tensors.items()}
        return trial_of(name, layer, x, dy, mine, oracle, tuple(verdicts), seed)
    # The exact truth of elementwise functions takes seconds for maps; blocks have criterion 4 only.
    signals = run(block, Upstream(), x, dy, {})
    names = {"y": f"output/{list(block)[-1]}", "dx": f"dx/{next(iter(block))}"}
    names |= {n.replace("grad/", "grad "): n for n in signals.tensors if n.startswith("grad/")}
    oracle = {key: to_array(signals.tensors[n]) for key, n in names.items()}
    verdicts = [criteria.network(k, mine[k], oracle[k], signals.magnitudes[n]) for k, n in names.items() if k in mine]
    module = next(iter(block.values())) if len(block) == 1 else nn.Sequential(*block.values())
    return trial_of(name, module, x, dy, mine, oracle, tuple(verdicts), seed)
