"""Lockstep: how far two backends that see the same batches are apart, and whether that is within the criteria.

Two questions, asked separately. *Forced*: the twin is given the hand-made network's present weights and the same batch;
do loss, outputs and gradients agree to rounding (criterion 4, in eps·max S), and each linear layer on its own input
(criterion 2)? *Free*: each follows its own updates; how does the difference grow (criterion 8)?
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from experiments.backends import Array, Labels, ScratchBackend, Step, TorchBackend
from experiments.config import TrainConfig
from experiments.metrics import MetricsFile, Row, read_rows
from experiments.runs import RunFolder
from experiments.summary import Parity, ParityCheck
from experiments.tensorboard import Board, table
from torchref.oracle import criteria
from torchref.oracle.criteria import relative_distance
from torchref.oracle.layer import LINEAR
from torchref.oracle.magnitude import Values
from torchref.oracle.network import force, judge_pass, run

ERROR_BOUND: Final = 0.001  # criterion 8, test error: 0.1 point


def relatives(ours: Mapping[str, Array], twin: Mapping[str, Array]) -> dict[str, float]:
    """Return max|a − t| / max|t| of each tensor by name."""
    return {name: relative_distance(value, twin[name]) for name, value in ours.items()}


class Lockstep:
    """The comparison of two backends while they train.

    Parameters
    ----------
    config:
        Settings of the run.
    folder:
        `diff/` of the run.
    sizes:
        Units per layer.
    after_update:
        Update from which the run continues; None for a new one.
    """

    def __init__(
        self, config: TrainConfig, folder: RunFolder, sizes: tuple[int, ...], after_update: int | None = None
    ) -> None:
        self.config = config
        self.folder = folder
        self.twin = TorchBackend(config, sizes)
        self.metrics = MetricsFile(folder.metrics)
        self.board = Board(folder.path, after_update)

    def forced(
        self, backend: ScratchBackend, images: Array, labels: Labels, step: Step, trace: Mapping[str, Array]
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

        Returns
        -------
        dict
            "forced": max|a − t| in units of eps · max S, for "loss", "output/<layer>" and "grad/<name>"; `NETWORK` of
            them are allowed. "images": how many were compared: in a batch with a unit so near to a ReLU's kink that two
            correct programs may take different sides, half, or half of that, are compared instead. 0 if a single
            image is still too near: then nothing is judged. "layers": the same in units of criterion 2's bound, for
            the tensors of each linear layer given the oracle's exact input and upstream gradient. S of a whole network
            grows with its depth and width, that of one layer does not: in float32 it is this that sees a gradient
            wrong by one part in ten thousand. "faults": what is wrong where no distance can be measured.
        """
        self.twin.load_parameters(backend.parameters())
        oracle = run(self.twin.net, self.twin.criterion, images, labels)
        while oracle.kinked and len(labels) > 1:
            images, labels = images[: len(labels) // 2], labels[: len(labels) // 2]
            step, trace = backend.gradients(images, labels), backend.trace(images)
            oracle = run(self.twin.net, self.twin.criterion, images, labels)
        if oracle.kinked:
            return {"forced": {}, "layers": {}, "images": 0, "faults": {}}
        mine: dict[str, Any] = {f"output/{layer}": y for layer, y in trace.items()}
        mine["loss"] = np.dtype(self.config.dtype).type(step.loss)
        mine |= {f"grad/{name}": grad for name, grad in step.grads.items()}
        comparisons = judge_pass(oracle, mine, "lockstep").comparisons
        layers = {
            f"{name} {c.tensor}": c
            for name, layer in self.twin.net.named_children()
            if isinstance(layer, LINEAR)
            for c in force(backend.net.layers[name], *_on_cpu(layer, oracle.seen[name]))
        }
        faults = {c.tensor: c.fault for c in comparisons if c.fault}
        return {
            "forced": {c.tensor: criteria.NETWORK * c.ratio for c in comparisons},
            "layers": {name: c.ratio for name, c in layers.items()},
            "images": len(labels),
            "faults": faults | {name: c.fault for name, c in layers.items() if c.fault},
        }

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
            **forced,
        }
        self.metrics.write({"kind": "parity", "epoch": epoch, "update": update, **row})
        groups = {f"parity/{kind}/{name}": v for kind in ("output", "grad", "param") for name, v in row[kind].items()}
        forced_tags = {f"forced/{name}": value for name, value in forced["forced"].items()}
        self.board.scalars({"parity/loss": row["loss"], **groups, **forced_tags}, update)

    def log_params(self, update: int, epoch: int, params: tuple[Mapping[str, Array], Mapping[str, Array]]) -> None:
        """Write how far the parameters are apart, between the updates that `log` sees."""
        row = relatives(*params)
        self.metrics.write({"kind": "parity", "epoch": epoch, "update": update, "param": row})
        self.board.scalars({f"parity/param/{name}": value for name, value in row.items()}, update)

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


def verdict(
    rows: list[Row],
    dtype: str,
    errors: tuple[float, float],
    predicted: tuple[NDArray[np.int64], NDArray[np.int64]],
    gaps: Sequence[int] = (),
) -> Parity:
    """Judge a whole lockstep run.

    Parameters
    ----------
    rows:
        All rows of `diff/metrics.jsonl` of kind "parity", those of before a resumption included.
    dtype:
        "float64" or "float32"; the drift of the parameters is judged in float64 only.
    errors:
        Test error of the two, fraction wrong.
    predicted:
        Class predicted for each test image by the two.
    gaps:
        From `missing_updates`: a run that was not compared throughout does not pass.

    Returns
    -------
    Parity
        Every check at its worst, with its bound.
    """
    judged = [row for row in rows if row.get("images")]
    checks = [_forced_check(name, judged) for name in _names(judged, "forced")]
    checks += [_layer_check(name, judged) for name in dict.fromkeys(n.split()[0] for n in _names(judged, "layers"))]
    if not checks:
        checks.append(_check("same weights", "forced", float("nan"), criteria.NETWORK, "nothing was compared"))
    if gaps:
        detail = f"the first is missing at update {gaps[0]:,}"
        checks.append(_check("comparisons missing", "comparisons missing", len(gaps), 0.0, detail))
    if dtype == "float64":
        for name in _names(rows, "param"):
            drifts = [
                (_number(row["param"].get(name)), row["update"])
                for row in rows
                if row["update"] <= criteria.DRIFT_STEPS
            ]
            value, update = _worst(drifts)
            detail = f"{name}, worst at update {update:,} of the first {criteria.DRIFT_STEPS:,}"
            checks.append(_check("parameters, running free (relative)", f"drift {name}", value, criteria.DRIFT, detail))
    else:
        drifts = [(_number(value), row["update"]) for row in rows for value in row["param"].values()]
        value, update = _worst(drifts)
        detail = f"worst at update {update:,}"
        checks.append(_check("parameters, running free (relative)", "drift of parameters", value, None, detail))
    ours, twin = predicted
    # The two fractions are counts divided by n; counted back, their difference has no rounding error beside the bound.
    bound = max(ERROR_BOUND, 1 / len(ours))
    gap = round(abs(errors[0] - errors[1]) * len(ours)) / len(ours)
    differing = int(np.count_nonzero(ours != twin))
    detail = f"{errors[0]:.2%}, {errors[1]:.2%}; {differing} of {len(ours):,} answers differ"
    checks.append(_check("test error", "test error", gap, bound, detail))
    return {"passed": all(check["passed"] for check in checks), "checks": checks}


def missing_updates(rows: list[Row], log_every: int, done: int) -> list[int]:
    """Return the updates up to `done` that should have been compared, 1 and every `log_every`-th, and were not."""
    compared = {row["update"] for row in rows if "forced" in row}
    due = {1, *range(log_every, done + 1, log_every)} if done else set()
    return sorted(due - compared)


def recorded(folder: RunFolder, update: int | None = None) -> Parity | None:
    """Read back the verdict of a finished run from its `diff/`; of the run that ended after this update, if given."""
    rows = [row for row in read_rows(folder.metrics, "summary") if update is None or row["update"] == update]
    if not rows:
        return None
    parity: Parity = rows[-1]["parity"]
    for check in parity["checks"]:  # JSON has no word for NaN and infinity
        check["value"] = _number(check["value"])
    return parity


def _on_cpu(layer: nn.Module, seen: Values) -> tuple[nn.Module, Values]:
    """Copy a layer, and move what it saw, to the CPU: a single layer is judged there, wherever the network computes."""
    return copy.deepcopy(layer).cpu(), Values(*(tensor.cpu() for tensor in seen))


def _forced_check(name: str, judged: list[Row]) -> ParityCheck:
    value, update = _worst([(_number(row["forced"].get(name)), row["update"]) for row in judged])
    detail = f"{name}, worst at update {update:,}"
    question = {"output": "outputs", "grad": "gradients"}.get(name.split("/")[0], name) + ", same weights (eps·max S)"
    return _check(question, f"forced {name}", value, criteria.NETWORK, _fault([name], judged) or detail)


def _layer_check(layer: str, judged: list[Row]) -> ParityCheck:
    tensors = [name for name in _names(judged, "layers") if name.split()[0] == layer]
    value, update = _worst([(_number(row["layers"].get(name)), row["update"]) for row in judged for name in tensors])
    detail = f"{layer}, worst at update {update:,}"
    return _check(
        "linear layers, same input",
        f"forced layer {layer}",
        value,
        1.0,
        _fault(tensors, judged) or detail,
    )


def _fault(names: list[str], judged: list[Row]) -> str:
    """Return the first fault of these tensors, with its update; nothing if there is none."""
    faults = [
        f"{n}: {row['faults'][n]} at update {row['update']:,}" for row in judged for n in names if n in row["faults"]
    ]
    return faults[0] if faults else ""


def _names(rows: list[Row], kind: str) -> list[str]:
    """Return the names that occur under a key of the rows, each once, in order."""
    return list(dict.fromkeys(name for row in rows for name in row.get(kind, {})))


def _worst(values: list[tuple[float, int]]) -> tuple[float, int]:
    """Return the greatest value and its update; NaN is worse than everything."""
    return max(values, key=lambda pair: (np.isnan(pair[0]), pair[0])) if values else (float("nan"), 0)


def _number(value: float | None) -> float:
    """Return the number that a row holds; null stands for one that was not finite."""
    return float("nan") if value is None else float(value)


def _judgement(check: ParityCheck) -> str:
    if check["bound"] is None:
        return "not judged"
    return f"bound {check['bound']:.3g}, {'pass' if check['passed'] else 'FAIL'}"


def _check(question: str, name: str, value: float, bound: float | None, detail: str) -> ParityCheck:
    """Judge a value by its bound; without one it is reported only."""
    passed = bound is None or bool(value <= bound)  # written so that NaN fails
    return {"question": question, "name": name, "value": value, "bound": bound, "passed": passed, "detail": detail}
