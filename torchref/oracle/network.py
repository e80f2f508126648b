"""A whole network and its loss held against torch, and the layer found where a difference begins."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from torchref.activation import ReLU, Threshold
from torchref.oracle import criteria, magnitude
from torchref.oracle.candidate import LayerCandidate, LossCandidate, NetworkCandidate, to_tensor
from torchref.oracle.comparison import Array, Comparison, Report
from torchref.oracle.layer import absent_links, gradients, judge
from torchref.oracle.layer import observe as observe_layer
from torchref.oracle.loss import compare_loss
from torchref.pooling import MaxPool2d

KINKED: tuple[type[nn.Module], ...] = (ReLU, Threshold)
"""Activations with a kink at 0: close to it two correct programs may take different sides."""
KINK_ROUNDINGS = 8
"""A draw with a pre-activation within 8·eps·S of a kink is to be drawn again, and one in which the two largest entries
of a max-pool's window are that close: S is that of their difference, the sum of theirs."""


class Pass(NamedTuple):
    """One forward and backward pass of the oracle.

    `tensors` holds everything by name in the order of computation: "output/<layer>" forward, "output" (the last of
    them again: what the network returned rather than what it traced), "loss", "doutput", then
    backward "dx/<layer>" (the gradient at the layer's input; the first layer's is the network's) and
    "grad/<layer>.<parameter>". A network within the network is taken apart: its layers are called "<network>.<layer>";
    "output/<network>" follows its last layer's, "dx/<network>" its first's. `magnitudes` has S of each under the same
    names, `seen` what each layer was given; `kinked` tells that the draw is too close to a kink to judge.
    """

    tensors: dict[str, Tensor]
    magnitudes: dict[str, Tensor]
    seen: dict[str, magnitude.Values]
    kinked: bool


def leaves(reference: nn.Module) -> dict[str, nn.Module]:
    """The layers of a network by name, in order; those of a network within it under names joined with a dot."""
    if not isinstance(reference, nn.Sequential):
        return {"": reference}
    return {
        f"{name}.{inner}" if inner else name: leaf
        for name, layer in zip(reference._modules, reference, strict=True)
        for inner, leaf in leaves(layer).items()
    }


class Within(NamedTuple):
    """The networks within a network that begin and that end with one layer, the inner ones first."""

    begun: list[str]
    ended: list[str]


def networks_within(layers: Iterable[str]) -> dict[str, Within]:
    """For each layer, by its joined name, the networks within the network that begin and that end there."""
    names = list(layers)
    found = {name: Within([], []) for name in names}
    blocks = {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 1)}
    for block in sorted(blocks, key=len, reverse=True):
        first, *_, last = [name for name in names if name.startswith(f"{block}.")] * 2
        found[first].begun.append(block)
        found[last].ended.append(block)
    return found


def near_kink(layer: nn.Module, x: Tensor, sx: Tensor, eps: float) -> bool:
    """Whether rounding could send two correct programs to different sides of a kink of `layer` at x.

    An entry whose S is 0 is exact in both: a 0 of blank samples at a ReLU, a tie of the zeros that a ReLU leaves.
    """
    if isinstance(layer, KINKED):
        return bool(((x.abs() <= KINK_ROUNDINGS * eps * sx) & (sx > 0)).any())
    if isinstance(layer, MaxPool2d):
        entries, sizes = (
            t.unfold(2, layer.kernel_size[0], layer.stride[0]).unfold(3, layer.kernel_size[1], layer.stride[1])
            for t in (x, sx)
        )
        entries, sizes = entries.flatten(4), sizes.flatten(4)
        best = entries.argmax(4, keepdim=True)
        gap, margin = entries.gather(4, best) - entries, sizes.gather(4, best) + sizes
        rivals = torch.arange(entries.shape[4], device=x.device) != best
        return bool(((gap <= KINK_ROUNDINGS * eps * margin) & (margin > 0) & rivals).any())
    return False


def run(reference: nn.Sequential, reference_loss: nn.Module, x: Array, target: Array) -> Pass:
    """Run the oracle's network and loss once, keeping every tensor on the way and its magnitude S."""
    layers = leaves(reference)
    home = next((parameter.device for parameter in reference.parameters()), torch.device("cpu"))
    start = to_tensor(x).to(home).requires_grad_()
    labels = to_tensor(target).to(start.device)
    signals = [start]
    for layer in layers.values():
        signals.append(layer(signals[-1]))
    loss = reference_loss(signals[-1], labels)
    names = dict(reference.named_parameters())
    flat = torch.autograd.grad(loss, [*signals, *names.values()])
    arriving, grads = flat[: len(signals)], dict(zip(names, flat[len(signals) :], strict=True))

    with torch.no_grad():
        within = networks_within(layers)
        tensors, magnitudes = {}, {}
        wide = [signal.detach().double() for signal in signals]
        sizes = [wide[0].abs()]
        kinked = False
        for i, (name, layer) in enumerate(layers.items()):
            kinked |= near_kink(layer, wide[i], sizes[i], criteria.unit(start))
            sizes.append(magnitude.forward(layer, wide[i], wide[i + 1], sizes[i]))
            for ended in (name, *within[name].ended):
                tensors[f"output/{ended}"] = signals[i + 1].detach()
                magnitudes[f"output/{ended}"] = sizes[i + 1]

        s_loss = magnitude.loss(reference_loss, wide[-1], labels, sizes[-1])
        tensors |= {"output": signals[-1].detach(), "loss": loss.detach(), "doutput": arriving[-1]}
        magnitudes |= {"output": sizes[-1], "loss": s_loss.value, "doutput": s_loss.doutput}

        seen = {}
        s_arriving = s_loss.doutput
        for i, (name, layer) in reversed(list(enumerate(layers.items()))):
            seen[name] = magnitude.Values(signals[i].detach(), signals[i + 1].detach(), arriving[i + 1])
            values = magnitude.Values(wide[i], wide[i + 1], arriving[i + 1].double())
            back = magnitude.backward(layer, values, sizes[i], sizes[i + 1], s_arriving)
            s_arriving = back.dx
            for begun in (name, *within[name].begun):
                tensors[f"dx/{begun}"] = arriving[i]
                magnitudes[f"dx/{begun}"] = s_arriving
            for parameter, s in back.grads.items():
                tensors[f"grad/{name}.{parameter}"] = grads[f"{name}.{parameter}"]
                magnitudes[f"grad/{name}.{parameter}"] = s
    return Pass(tensors, magnitudes, seen, kinked)


def judge_pass(oracle: Pass, mine: Mapping[str, Any], case: str) -> Report:
    """Criterion 4 for the tensors in `mine`, named as in `Pass`, in the order of computation.

    Raises
    ------
    ValueError
        If `mine` has a name that the pass does not have.
    """
    if unknown := mine.keys() - oracle.tensors.keys():
        raise ValueError(f"{case}: unknown tensors {sorted(unknown)}, expected some of {list(oracle.tensors)}")
    return Report(
        case,
        tuple(
            criteria.network(name, mine[name], tensor, oracle.magnitudes[name])
            for name, tensor in oracle.tensors.items()
            if name in mine
        ),
    )


def observe(candidate: NetworkCandidate, candidate_loss: LossCandidate, x: Array, target: Array) -> dict[str, Any]:
    """What a candidate computes in one free run, under the names of `Pass`."""
    output, cache = candidate.forward(x)
    value, loss_cache = candidate_loss.forward(output, target)
    doutput = candidate_loss.backward(loss_cache)
    dx, grads = candidate.backward(doutput, cache)
    traced = candidate.trace(x)
    first = next(iter(traced))
    return {
        **{f"output/{name}": y for name, y in traced.items()},
        "output": output,
        "loss": value,
        "doutput": doutput,
        f"dx/{first}": dx,
        **{f"grad/{name}": grad for name, grad in grads.items()},
    }


def check_network(
    case: str,
    candidate: NetworkCandidate,
    candidate_loss: LossCandidate,
    reference: nn.Sequential,
    reference_loss: nn.Module,
    x: Array,
    target: Array,
) -> Report:
    """Hold a network with its loss against torch: criteria 4 and 6 in a free run; if that fails, where it began.

    After a failure each layer is given the oracle's exact input and upstream gradient (teacher forcing). A layer that
    fails then is guilty, and its comparisons follow with "forced" in their names; a layer that passes merely inherited
    its error.
    """
    oracle = run(reference, reference_loss, x, target)
    mine = observe(candidate, candidate_loss, x, target)
    wanted = [f"grad/{name}" for name, _ in reference.named_parameters()]
    came = [name for name in mine if name.startswith("grad/")]
    faults = [(name, "is missing") for name in wanted if name not in came]
    faults += [(name, "is unexpected") for name in mine if name not in oracle.tensors]
    if not faults and came != wanted:
        faults = [("gradients", f"come in the order {came}, the parameters in {wanted}")]
    names = tuple(Comparison(name, "5 form", np.inf, fault) for name, fault in faults)
    free = judge_pass(oracle, {name: mine[name] for name in mine.keys() & oracle.tensors.keys()}, case)
    links = absent_links(reference, "grad/", mine)
    comparisons = (*free.comparisons, *links, *names)
    if all(c.passed for c in comparisons):
        return Report(case, comparisons)
    return Report(case, (*comparisons, *locate(candidate, candidate_loss, reference, reference_loss, oracle, target)))


def locate(
    candidate: NetworkCandidate,
    candidate_loss: LossCandidate,
    reference: nn.Sequential,
    reference_loss: nn.Module,
    oracle: Pass,
    target: Array,
) -> list[Comparison]:
    """The comparisons that fail under teacher forcing, in the order of computation: forward, loss, backward."""
    forced = {name: force(find(candidate, name), layer, oracle.seen[name]) for name, layer in leaves(reference).items()}
    output = oracle.tensors[f"output/{next(reversed(forced))}"].cpu().numpy()
    ordered = [
        *((name, c) for name, comparisons in forced.items() for c in comparisons if c.tensor == "y"),
        *(("loss", c) for c in compare_loss(candidate_loss, reference_loss, output, target)),
        *((name, c) for name, comparisons in reversed(forced.items()) for c in comparisons if c.tensor != "y"),
    ]
    return [replace(c, tensor=f"{name} forced, {c.tensor}") for name, c in ordered if not c.passed]


def find(candidate: Any, name: str) -> Any:
    """The layer of a network by its name, joined with dots where it stands in a network within."""
    for part in name.split("."):
        candidate = candidate.layers[part]
    return candidate


def force(layer: LayerCandidate, reference: nn.Module, values: magnitude.Values) -> list[Comparison]:
    """One layer on the oracle's exact input and upstream gradient."""
    reference = copy.deepcopy(reference).cpu()
    x, dy = (np.array(t.cpu().numpy()) for t in (values.x, values.dy))
    mine = observe_layer(layer, x, dy)
    oracle = gradients(reference, to_tensor(x), to_tensor(dy))
    return [*judge(reference, x, dy, mine, oracle), *absent_links(reference, "grad ", mine)]
