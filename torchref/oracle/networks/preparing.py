"""Before two networks are compared: one precision, one chain, one loss, and which of their names belong together."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import torchref
from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array, to_array
from torchref.oracle.networks.chain import Chain, chain_of, loss_of, prepared
from torchref.oracle.networks.matching import Blocks, Layouts, match_layers, match_parameters
from torchref.oracle.networks.mine import Mine, Stateful
from torchref.oracle.networks.passes import Upstream, run
from torchref.oracle.networks.recording import Observation
from torchref.oracle.networks.session import Draw, Session
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.thinning import Masks, thinned


class Prepared(NamedTuple):
    """A session with the draw that was given, and what had to be guessed or is worth knowing."""

    session: Session
    draw: Draw
    guesses: tuple[str, ...]
    remarks: tuple[str, ...]


class Aim(NamedTuple):
    """The loss, and the target or upstream gradient it takes."""

    loss: nn.Module
    target: Array
    guess: str


def prepare(
    mine: Mine,
    torch_module: nn.Module,
    x: Any,
    target: Any,
    said: Mapping[str, Any],
    loss: Any,
    *,
    own_loss: bool,
    masks: Masks | None,
    laid: Layouts,
    seed: int,
) -> Prepared:
    """Both networks, ready to run on the same parameters.

    Raises
    ------
    Misbehaviour
        If the candidate has to run to show its parameters, and does not.
    ValueError
        If something has no counterpart.
    """
    given = to_array(x)
    if not len(given):
        raise ValueError("x has 0 samples, expected at least one")
    dtype, remarks = precision(mine, given)
    inputs, taken, aim = _twin(torch_module, given, target, loss, dtype, masks, seed)
    if isinstance(mine, Stateful):  # gradients, by which parameters are known, come only with a pass
        doutput = run(taken.layers, aim.loss, inputs, aim.target).tensors["doutput"]
        mine.run(inputs.copy(), aim.target, None if own_loss else to_array(doutput), Observation())
        if (known := precision(mine, given))[0] != dtype:
            dtype, remarks = known
            inputs, taken, aim = _twin(torch_module, given, target, loss, dtype, masks, seed)
    slots = {slot.name: slot for slot in mine.slots()}
    theirs = {f"{n}.{key}": tuple(p.shape) for n, layer in taken.layers.items() for key, p in layer.named_parameters()}
    matching = match_parameters({name: np.shape(slot.get()) for name, slot in slots.items()}, theirs, said, laid)
    unmatched = Blocks({}, (), ())
    session = Session(mine, taken.layers, aim.loss, own_loss, slots, matching, unmatched, seed, masks is not None)
    draw = Draw(inputs, aim.target, session.parameters())
    session.blocks = blocks = _blocks(session, draw, said)
    guesses = [*mine.guesses, *taken.guesses, *([aim.guess] if aim.guess else []), *matching.guesses, *blocks.guesses]
    remarks += [f"your layer {name} has no counterpart in torch's module" for name in blocks.extra]
    return Prepared(session, draw, tuple(guesses), tuple(remarks))


def _twin(
    torch_module: nn.Module, x: Array, target: Any, loss: Any, dtype: np.dtype[Any], masks: Masks | None, seed: int
) -> tuple[Array, Chain, Aim]:
    """The input, torch's layers and the loss, all in one precision."""
    inputs = x if x.dtype == dtype else x.astype(dtype)
    module = thinned(prepared(torch_module, getattr(torch, str(dtype))), masks)
    taken = chain_of(module, to_tensor(inputs))
    return inputs, taken, aim_of(taken, loss, target, inputs, seed)


def precision(mine: Mine, x: Array) -> tuple[np.dtype[Any], list[str]]:
    """That of x, or of the candidate's parameters if all of them are wider: torch's are float32 unless one asks."""
    if not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"x has dtype {x.dtype}, expected float32 or float64")
    held = {np.dtype(str(slot.get().dtype)) for slot in mine.slots()}
    if held != {np.dtype(np.float64)} or x.dtype == np.float64:
        return x.dtype, []
    return np.dtype(np.float64), [f"your parameters are float64 and x {x.dtype}: all is done in float64"]


def aim_of(taken: Chain, loss: Any, target: Any, x: Array, seed: int) -> Aim:
    """The loss that is given, cross-entropy for labels, or a random upstream gradient where there is no target.

    Raises
    ------
    ValueError
        For dense targets without a loss: there are too many.
    """
    if target is None:
        signal = to_tensor(x)
        with torch.no_grad():
            for layer in taken.layers.values():
                signal = layer(signal)
        dy = np.random.default_rng([seed, 1]).normal(size=tuple(signal.shape)).astype(x.dtype)
        return Aim(Upstream(), dy, "no target: a random upstream gradient is given to backward")
    labels = to_array(target)
    if np.issubdtype(labels.dtype, np.floating):
        labels = labels.astype(x.dtype)
    if loss is not None:
        return Aim(loss_of(loss), labels, "")
    if np.issubdtype(labels.dtype, np.integer):
        return Aim(torchref.CrossEntropy(), labels, "the loss is cross-entropy, averaged over the batch")
    raise ValueError("loss is None, expected torch's loss for dense targets, such as torchref.SquaredError()")


def _blocks(session: Session, draw: Draw, said: Mapping[str, Any]) -> Blocks:
    """Which torch layers each of the user's does the work of, told by what came out of them."""
    seen = Observation()
    oracle = session.oracle(draw)
    try:
        upstream = None if session.own_loss else to_array(oracle.tensors["doutput"])
        session.mine.run(draw.x.copy(), draw.target.copy(), upstream, seen)
    except Misbehaviour:
        pass  # the first pass will say so
    outputs = {name.removeprefix("output/"): y for name, y in seen.tensors.items() if name.startswith("output/")}

    def nearest(name: str, ends: list[str], *, entering: bool = False) -> str:
        y = seen.given.get(name) if entering else outputs.get(name)
        known = {end: oracle.seen[end].x if entering else oracle.tensors[f"output/{end}"] for end in ends}
        return min(ends, key=lambda end: _distance(y, known[end]))

    names = list(dict.fromkeys([*session.mine.layers, *outputs]))
    return match_layers(names, list(session.layers), said, session.matching.partners, nearest)


def _distance(y: Any, tensor: Tensor) -> float:
    """0 for what is the same; infinite for another shape. The first of equals is taken, the layer alone."""
    if not isinstance(y, np.ndarray) or y.shape != tuple(tensor.shape):
        return np.inf
    return float(np.abs(y - to_array(tensor)).max(initial=0.0))
