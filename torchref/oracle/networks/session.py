"""One comparison at work: both networks with the same parameters, and passes through them on different inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array, Comparison, to_array
from torchref.oracle.kinds.kind import Trial
from torchref.oracle.networks.localising import Wrong, forced, forced_loss, judged, own_faults
from torchref.oracle.networks.matching import Blocks, Matching
from torchref.oracle.networks.mine import Mine
from torchref.oracle.networks.my_loss import number
from torchref.oracle.networks.passes import Signals, Upstream, run
from torchref.oracle.networks.recording import Observation
from torchref.oracle.networks.slots import Slot
from torchref.oracle.purity import aliases, changed, snapshot, verdict
from torchref.oracle.subjects.arrays import to_numpy
from torchref.oracle.subjects.subject import Misbehaviour

REDRAWS = 20
"""How often an input near a kink is drawn again."""


class Draw(NamedTuple):
    """What one pass is run on."""

    x: Array
    target: Array
    parameters: dict[str, Array]


@dataclass
class Passed:
    """One pass through both networks.

    `mine` has the candidate's tensors under the oracle's names; `free` judges them; `wrong` is what of it is not
    inherited; `forced` has a trial for each layer that could be called alone, by its last torch layer.
    """

    draw: Draw
    signals: Signals
    mine: dict[str, Any] = field(default_factory=dict)
    observation: Observation = field(default_factory=Observation)
    free: dict[str, Comparison] = field(default_factory=dict)
    wrong: list[Wrong] = field(default_factory=list)
    forced: dict[str, Trial] = field(default_factory=dict)
    conduct: list[Comparison] = field(default_factory=list)
    troubles: list[Misbehaviour] = field(default_factory=list)


@dataclass
class Session:
    """Both networks, and which of their names belong together."""

    mine: Mine
    layers: dict[str, nn.Module]
    loss: nn.Module
    own_loss: bool
    """Whether the gradient of the output is the candidate's own business."""
    slots: dict[str, Slot]
    matching: Matching
    blocks: Blocks
    seed: int
    masked: bool = False
    """Whether units are dropped by masks, which fit one batch size."""
    _last: tuple[Draw, Signals] | None = None

    def load(self, parameters: Mapping[str, Array]) -> None:
        """The same parameters into both."""
        for name, tensor in self._tensors().items():
            with torch.no_grad():
                tensor.copy_(to_tensor(parameters[name]))
        for partner in self.matching.partners.values():
            self.slots[partner.mine].set(partner.there(parameters[partner.torch]))

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {f"{name}.{key}": p for name, layer in self.layers.items() for key, p in layer.named_parameters()}

    def parameters(self) -> dict[str, Array]:
        """Torch's, by name."""
        return {name: np.array(to_array(tensor)) for name, tensor in self._tensors().items()}

    def oracle(self, draw: Draw) -> Signals:
        """The oracle's own pass."""
        self.load(draw.parameters)
        if self._last is None or self._last[0] is not draw:
            self._last = draw, run(self.layers, self.loss, draw.x, draw.target)
        return self._last[1]

    def another(self, first: Draw, turn: int) -> Draw:
        """Other parameters and targets, an input like the first of another batch size; away from kinks if that can be.

        Of wide layers hardly any large batch is: it is halved from draw to draw.
        """
        count = len(first.x)
        other = count - turn // 2 - 1 if turn % 2 and count > turn // 2 + 2 else count + turn
        for redraw in range(REDRAWS):
            rng = np.random.default_rng([self.seed, turn, redraw])
            samples = count if self.masked else max(1, other >> max(0, redraw - 2))
            rows = np.resize(rng.permutation(count), samples)
            draw = Draw(
                _near(rng, first.x[rows] if turn % 2 else -first.x[rows]),
                self._targets(rng, first.target, rows),
                {name: _near(rng, array) for name, array in first.parameters.items()},
            )
            if not self.oracle(draw).kinks:
                break
        return draw

    def _targets(self, rng: np.random.Generator, targets: Array, rows: Array) -> Array:
        """Upstream gradients anew; labels in any order; dense targets each with its own sample."""
        if isinstance(self.loss, Upstream):
            return rng.normal(size=(len(rows), *targets.shape[1:])).astype(targets.dtype)
        if np.issubdtype(targets.dtype, np.integer):
            return rng.choice(targets, len(rows)) if len(targets) else targets[rows]
        return targets[rows]

    def run(self, draw: Draw, *, look: bool = True) -> Passed:
        """One pass; `look` into the layers too."""
        signals = self.oracle(draw)
        passed = Passed(draw, signals)
        x, target = as_laid(draw.x), as_laid(draw.target)
        upstream = None if self.own_loss else np.array(to_array(signals.tensors["doutput"]))
        given = {"x": x, "target": target} | ({} if upstream is None else {"dy": upstream})
        live = {name: value for name, slot in self.slots.items() if isinstance(value := slot.get(), np.ndarray)}
        before = snapshot(given | live)
        try:
            self.mine.run(x, target, upstream, passed.observation)
        except Misbehaviour as trouble:
            passed.troubles.append(trouble)
        else:
            results = {n: a for n, a in passed.observation.tensors.items() if isinstance(a, np.ndarray)}
            now = {name: self.slots[name].get() for name in live}
            own = {n: a for n, a in results.items() if n in ("output", "doutput", "dx")}
            passed.conduct = [
                verdict("the network leaves its arguments alone", changed(before, given | now)),
                verdict("results are not aliased", aliases(own, given | live)),
            ]
            passed.mine = self.translated({name: np.array(array) for name, array in results.items()}, signals)
            passed.mine |= {n: a for n, a in passed.observation.tensors.items() if isinstance(a, float | int)}
            if "loss" in passed.mine:
                passed.mine["loss"] = _typed(passed.mine["loss"], signals)
            passed.free = judged(signals, passed.mine, self.layers)
            if not signals.kinks and look:
                passed.wrong = own_faults(
                    self.layers, self.loss, draw.x, draw.target, passed.mine, signals, given=not self.own_loss
                )
        if look:
            self._force(passed)
        return passed

    def translated(self, tensors: Mapping[str, Any], signals: Signals) -> dict[str, Any]:
        """The candidate's tensors under the oracle's names; those of no counterpart are left out."""
        found: dict[str, Any] = {}
        for name, value in tensors.items():
            kind, _, rest = name.partition("/")
            if kind == "grad" and rest in self.matching.partners:
                partner = self.matching.partners[rest]
                found[f"grad/{partner.torch}"] = partner.back(value)
            elif kind in ("output", "dx") and rest in self.blocks.layers:
                block = self.blocks.layers[rest]
                found[f"{kind}/{block[-1] if kind == 'output' else block[0]}"] = value
            elif name == "dx":
                found[f"dx/{next(iter(self.layers))}"] = value
            elif name in signals.tensors:
                found[name] = value
        return found

    def _force(self, passed: Passed) -> None:
        """Give every layer that can be called alone the oracle's exact input and upstream gradient."""
        if self.own_loss and self.mine.loss is not None:
            output, target = to_array(passed.signals.seen["loss"].x), passed.draw.target
            try:
                value, doutput = self.mine.loss.run(np.array(output), np.array(target))
                made = {"loss": _typed(number(value), passed.signals), "doutput": to_numpy(doutput, "loss", "doutput")}
            except Misbehaviour as trouble:
                passed.troubles.append(trouble)
            else:
                passed.forced["loss"] = forced_loss(self.loss, output, target, made, self.seed)
        for name, block in self.blocks.layers.items():
            if name not in self.mine.layers:
                continue
            x = np.array(to_array(passed.signals.seen[block[0]].x))
            dy = np.array(to_array(passed.signals.seen[block[-1]].dy))
            self.load(passed.draw.parameters)  # as what went before may have changed them
            came: dict[str, Any] = {}
            try:
                self.mine.alone(name, np.array(x), np.array(dy), came)
            except Misbehaviour as trouble:
                passed.troubles.append(trouble)
            try:
                seen = {key: np.array(to_numpy(value, f"{name}'s call", key)) for key, value in came.items()}
            except Misbehaviour as trouble:
                passed.troubles.append(trouble)
                continue
            own: dict[str, Any] = {key: seen[key] for key in ("y", "dx") if key in seen}
            for partner in self.matching.partners.values():
                if f"grad {partner.mine}" in seen:
                    short = partner.torch if len(block) > 1 else partner.torch.rpartition(".")[2]
                    own[f"grad {short}"] = partner.back(seen[f"grad {partner.mine}"])
            layers = {part: self.layers[part] for part in block}
            passed.forced[block[-1]] = forced(block[-1], layers, x, dy, own, self.seed)


def as_laid(array: Array) -> Array:
    """A copy that lies in memory as the array does, with negative strides too."""
    flip = tuple(slice(None, None, -1 if stride < 0 else 1) for stride in array.strides)
    return np.array(array[flip], order="K")[flip]


def _typed(value: Any, signals: Signals) -> Any:
    """A plain number has the oracle's precision; arrays have their own."""
    dtype = to_array(signals.tensors["loss"]).dtype
    return value if isinstance(value, np.ndarray) else np.asarray(value, dtype)


def _near(rng: np.random.Generator, array: Array) -> Array:
    """Numbers like these: zeros among them stay, as links may be absent, unless there is nothing else."""
    if not array.any():
        return (0.1 * rng.normal(size=array.shape)).astype(array.dtype)
    return (array * (1 + 0.2 * rng.normal(size=array.shape))).astype(array.dtype)
