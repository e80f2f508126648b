"""Lockstep: how far two backends that see the same batches are apart; `experiments.verdict` judges it.

Three questions, asked separately. *Forced*: the twin is given the hand-made network's present weights and the same
batch; do loss, outputs and gradients agree to rounding (criterion 4, in eps·max S), and every part of the step on its
own (`experiments.parts`)? *Free*: each follows its own updates; how does the difference grow (criterion 8)? *Absent
links*: are the weights and gradients of links that a connection table leaves out exactly 0 (criterion 6)?
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from experiments.backend import Array, Labels, Masks, Step
from experiments.backends import ScratchBackend, TorchBackend
from experiments.config import TrainConfig
from experiments.metrics import MetricsFile, Row, read_rows
from experiments.networks import DataShape
from experiments.parts import Hyperparameters, compose, judge_layer, judge_step, judge_update
from experiments.runs import RunFolder
from experiments.summary import Parity, ParityCheck
from experiments.tensorboard import Board, table
from torchref.oracle import criteria
from torchref.oracle.criteria import relative_distance
from torchref.oracle.loss import compare_loss
from torchref.oracle.network import judge_pass, run
from torchref.oracle.thinning import ThinnedCandidate, thinned


def relatives(ours: Mapping[str, Array], twin: Mapping[str, Array]) -> dict[str, float]:
    """Return max|a − t| / max|t| of each tensor by name."""
    return {name: relative_distance(value, twin[name]) for name, value in ours.items()}


def absent_links(tables: Mapping[str, NDArray[np.bool_]], tensors: Mapping[str, Array]) -> dict[str, float]:
    """Return max|w| over the absent links of each layer that has a connection table, 0 as it should be.

    Parameters
    ----------
    tables:
        (O, C) by layer: True where there is a link.
    tensors:
        Parameters or gradients by name; those of the layers' weights (O, C, …) are looked at.

    Returns
    -------
    dict
        Name of the weight → its largest absolute value where there is no link; NaN if there is one.
    """
    weights = {f"{layer}.weight": table for layer, table in tables.items()}
    return {name: float(np.abs(tensors[name][~table]).max(initial=0.0)) for name, table in weights.items()}


class Lockstep:
    """The comparison of two backends while they train.

    Parameters
    ----------
    config:
        Settings of the run.
    folder:
        `diff/` of the run.
    shape:
        Of the data.
    after_update:
        Update from which the run continues; None for a new one.
    """

    def __init__(
        self, config: TrainConfig, folder: RunFolder, shape: DataShape, after_update: int | None = None
    ) -> None:
        self.config = config
        self.folder = folder
        self.twin = TorchBackend.configured(config, shape)
        # One table judges both: a link that only the hand-made network has must show as a weight that is not 0.
        self.tables = self.twin.connections()
        # Where not even one image can be compared, none will be later on. The file knows, also after a resumption.
        self._kinked = any(row.get("images") == 0 for row in read_rows(folder.metrics, "parity"))
        self.metrics = MetricsFile(folder.metrics)
        self.board = Board(folder.path, after_update)

    def forced(
        self,
        backend: ScratchBackend,
        images: Array,
        labels: Labels,
        step: Step,
        trace: Mapping[str, Array],
        masks: Masks | None = None,
    ) -> Row:
        """Compare the hand-made step with the oracle's on the same weights and batch: criteria 4 and 2.

        Parameters
        ----------
        backend:
            The hand-made network, before the update.
        images, labels:
            The batch.
        step, trace:
            What it computed for them.
        masks:
            The units that it was to keep; the oracle keeps the same. None where nothing is dropped.

        Returns
        -------
        dict
            "forced": max|a − t| in units of eps · max S, for "loss", "output/<layer>" and "grad/<name>"; `NETWORK` of
            them are allowed. "images": how many were compared: in a batch with a unit so near to a kink (a ReLU's 0, a
            tie in a max-pool's window) that two correct programs may take different sides, half, or half of that, are
            compared instead. 0 if a single image is still too near, as every image is whose background max-pooling
            sees: then "forced" is empty, and later in the run no part of a batch is tried. "batch": how many there
            were. "layers": the same in units of what each layer is allowed, given the oracle's exact input and upstream
            gradient: there nothing is near a kink for one and not for the other. S of a whole network grows with its
            depth and width, that of one layer does not: in float32 it is this that sees a gradient wrong by one part in
            ten thousand. "parts": likewise "loss <tensor>", on the oracle's outputs; and "step <tensor>", max|a − t| /
            max|t| from what the layers and the loss give when they are called one by one: 0. "faults": what is wrong
            where no distance can be measured.
        """
        self.twin.load_parameters(backend.parameters())
        twin, ours = self._thinned(masks), ThinnedCandidate(backend.net, masks or {}).layers
        oracle = run(twin, self.twin.criterion, images, labels)
        layers = {
            f"{name} {c.tensor}": c
            for name, layer in twin.named_children()
            for c in judge_layer(ours[name], layer, oracle.seen[name])
        }
        with backend.limited(images):
            composed = compose(backend.net, backend.criterion, images, labels, masks, backend.plan(images))
        parts = {f"step {c.tensor}": c for c in judge_step(step, trace, composed)}
        output = oracle.tensors["output"].cpu().numpy()
        parts |= {f"loss {c.tensor}": c for c in compare_loss(backend.criterion, self.twin.criterion, output, labels)}
        batch = len(labels)
        while oracle.kinked and not self._kinked and (half := len(labels) // 2):
            images, labels = images[:half], labels[:half]
            masks = None if masks is None else {name: mask[:half] for name, mask in masks.items()}
            step, trace = backend.gradients(images, labels, masks), backend.trace(images, masks)
            oracle = run(self._thinned(masks), self.twin.criterion, images, labels)
        mine: dict[str, Any] = {f"output/{layer}": y for layer, y in trace.items()}
        mine["loss"] = np.dtype(self.config.dtype).type(step.loss)
        mine |= {f"grad/{name}": grad for name, grad in step.grads.items()}
        comparisons = () if oracle.kinked else judge_pass(oracle, mine, "lockstep").comparisons
        self._kinked |= oracle.kinked
        faults = {c.tensor: c.fault for c in comparisons if c.fault}
        return {
            "forced": {c.tensor: criteria.NETWORK * c.ratio for c in comparisons},
            "layers": {name: c.ratio for name, c in layers.items()},
            "parts": {name: c.ratio for name, c in parts.items()},
            "images": 0 if oracle.kinked else len(labels),
            "batch": batch,
            "faults": faults | {name: c.fault for name, c in (layers | parts).items() if c.fault},
        }

    def forced_update(
        self,
        backend: ScratchBackend,
        lr: float,
        grads: Mapping[str, Array],
        before: Mapping[str, Array],
        velocity: Mapping[str, Array],
    ) -> Row:
        """Compare the hand-made update with torch's from the same place, along the same gradients: criterion 2.

        Parameters
        ----------
        backend:
            The hand-made network, after the update.
        lr:
            Learning rate of this update.
        grads:
            Its gradients.
        before, velocity:
            Parameters and optimiser's state before it.

        Returns
        -------
        dict
            "parts" ("update param/<name>", "update velocity/<name>") in units of what is allowed, and "faults".
        """
        how = Hyperparameters(lr, self.config.momentum, self.config.weight_decay)
        found = judge_update(before, velocity, grads, how, backend.parameters(), backend.state())
        named = {f"update {c.tensor}": c for c in found}
        faults = {name: c.fault for name, c in named.items() if c.fault}
        return {"parts": {name: c.ratio for name, c in named.items()}, "faults": faults}

    def _thinned(self, masks: Masks | None) -> nn.Sequential:
        twin = thinned(self.twin.net, masks)
        assert isinstance(twin, nn.Sequential)
        return twin

    def log(
        self,
        update: int,
        epoch: int,
        steps: tuple[Step, Step],
        traces: tuple[Mapping[str, Array], Mapping[str, Array]],
        params: tuple[Mapping[str, Array], Mapping[str, Array]],
        forced: Row,
    ) -> None:
        """Write how far the two are apart.

        Parameters
        ----------
        update, epoch:
            Counted from 1.
        steps, traces:
            Of this update, hand-made and twin.
        params:
            After this update.
        forced:
            From `forced`.
        """
        ours, twin = steps
        row: Row = {
            "loss": relative_distance(ours.loss, twin.loss),
            "output": relatives(*traces),
            "grad": relatives(ours.grads, twin.grads),
            "param": relatives(*params),
            "absent": self._absent("param", params) | self._absent("grad", (ours.grads, twin.grads)),
            **forced,
        }
        self.metrics.write({"kind": "parity", "epoch": epoch, "update": update, **row})
        groups = {f"parity/{kind}/{name}": v for kind in ("output", "grad", "param") for name, v in row[kind].items()}
        forced_tags = {f"forced/{name}": value for name, value in forced["forced"].items()}
        self.board.scalars({"parity/loss": row["loss"], **groups, **forced_tags}, update)

    def log_params(self, update: int, epoch: int, params: tuple[Mapping[str, Array], Mapping[str, Array]]) -> None:
        """Write how far the parameters are apart, between the updates that `log` sees."""
        row, absent = relatives(*params), self._absent("param", params)
        self.metrics.write({"kind": "parity", "epoch": epoch, "update": update, "param": row, "absent": absent})
        self.board.scalars({f"parity/param/{name}": value for name, value in row.items()}, update)

    def _absent(self, kind: str, tensors: tuple[Mapping[str, Array], Mapping[str, Array]]) -> dict[str, float]:
        """Return the absent links of both backends, by "<backend> <kind>/<name>"."""
        return {
            f"{backend} {kind}/{name}": value
            for backend, own in zip(("scratch", "torch"), tensors, strict=True)
            for name, value in absent_links(self.tables, own).items()
        }

    def save(self) -> None:
        """Make what has been written safe, as a checkpoint does."""
        self.metrics.sync()
        self.board.flush()

    def finish(self, update: int, parity: Parity) -> None:
        """Write the verdict of a run that has finished."""
        self.metrics.write({"kind": "summary", "update": update, "parity": parity})
        rows = {
            check["name"]: f"{check['value']:.3g} ({_judgement(check)}): {check['detail']}"
            for check in parity["checks"]
        }
        self.board.text("text/summary", f"{'PASS' if parity['passed'] else 'FAIL'}\n\n{table(rows)}", update)
        self.save()

    def close(self) -> None:
        """Close the files."""
        self.metrics.close()
        self.board.close()


def _judgement(check: ParityCheck) -> str:
    if check["bound"] is None:
        return "not judged"
    return f"bound {check['bound']:.3g}, {'pass' if check['passed'] else 'FAIL'}"
