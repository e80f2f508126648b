"""Lockstep: how far two backends that see the same batches are apart, and whether that is within the criteria.

Two questions, asked separately. *Forced*: the twin is given the hand-made network's present weights and the same batch;
do loss, output and gradients agree to rounding (criterion 4)? *Free*: each follows its own updates; how does the
difference grow (criterion 8)?
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from experiments.backends import Array, Labels, Step, TorchBackend
from experiments.config import TrainConfig
from experiments.metrics import MetricsFile, Row
from experiments.runs import RunFolder
from experiments.summary import Parity, ParityCheck
from experiments.tensorboard import Board, table

FORCED_BOUND: Final = 32.0  # criterion 4, in units of eps · max S
DRIFT_BOUND: Final = 1e-9  # criterion 8, relative, float64
DRIFT_UPDATES: Final = 1000  # criterion 8: beyond them the curves may drift apart chaotically
ERROR_BOUND: Final = 0.001  # criterion 8, test error: 0.1 point


def relative(ours: Any, twin: Any) -> float:
    """Return max|a − t| / max|t|: 0 if the two are equal, infinite if only t is all zeros, NaN if either has a NaN."""
    difference, size = np.max(np.abs(np.subtract(ours, twin))), np.max(np.abs(twin))
    if size == 0:
        return 0.0 if difference == 0 else float("inf")
    return float(difference / size)


def relatives(ours: Mapping[str, Array], twin: Mapping[str, Array]) -> dict[str, float]:
    """Return `relative` of each tensor by name."""
    return {name: relative(value, twin[name]) for name, value in ours.items()}


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

    def forced(self, params: Mapping[str, Array], images: Array, labels: Labels, ours: Step) -> dict[str, float]:
        """Compare the hand-made step with the twin's on the same weights and batch.

        Returns
        -------
        dict
            max|a − t| in units of eps · max S for "loss", "output" and "grad/<name>"; criterion 4 allows 32.
        """
        self.twin.load_parameters(params)
        twin = self.twin.gradients(images, labels)
        scale = self._magnitudes(images, labels, twin)
        eps = float(np.finfo(self.config.dtype).eps)
        pairs: dict[str, tuple[Any, Any]] = {"loss": (ours.loss, twin.loss), "output": (ours.outputs, twin.outputs)}
        pairs |= {f"grad/{name}": (grad, twin.grads[name]) for name, grad in ours.grads.items()}
        return {
            name: float(np.max(np.abs(np.subtract(a, t)))) / (eps * scale[name]) if np.any(np.not_equal(a, t)) else 0.0
            for name, (a, t) in pairs.items()
        }

    def _magnitudes(self, images: Array, labels: Labels, twin: Step) -> dict[str, float]:
        """SEAM until the engine lands: max|t|, to be replaced by max S."""
        return {
            "loss": abs(twin.loss),
            "output": float(np.abs(twin.outputs).max()),
            **{f"grad/{name}": float(np.abs(grad).max()) for name, grad in twin.grads.items()},
        }

    def log(
        self,
        update: int,
        epoch: int,
        steps: tuple[Step, Step],
        traces: tuple[Mapping[str, Array], Mapping[str, Array]],
        params: tuple[Mapping[str, Array], Mapping[str, Array]],
        forced: Mapping[str, float],
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
            "loss": relative(ours.loss, twin.loss),
            "output": relatives(*traces),
            "grad": relatives(ours.grads, twin.grads),
            "param": relatives(*params),
            "forced": dict(forced),
        }
        self.metrics.write({"kind": "parity", "epoch": epoch, "update": update, **row})
        groups = {f"parity/{kind}/{name}": v for kind in ("output", "grad", "param") for name, v in row[kind].items()}
        forced_tags = {f"forced/{name}": value for name, value in forced.items()}
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
            check[
                "name"
            ]: f"{check['value']:.3g} (bound {check['bound']:.3g}), {'pass' if check['passed'] else 'FAIL'}: "
            f"{check['detail']}"
            for check in parity["checks"]
        }
        self.board.text("text/summary", f"{'PASS' if parity['passed'] else 'FAIL'}\n\n{table(rows)}", update)
        self.save()

    def close(self) -> None:
        """Close the files."""
        self.metrics.close()
        self.board.close()


def verdict(
    rows: list[Row], dtype: str, errors: tuple[float, float], predicted: tuple[NDArray[np.int64], NDArray[np.int64]]
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

    Returns
    -------
    Parity
        Every check at its worst, with its bound.
    """
    checks = [_forced_check(name, rows) for name in _forced_names(rows)]
    if not checks:
        checks.append(_check("forced", float("nan"), FORCED_BOUND, "nothing was compared"))
    if dtype == "float64":
        for name in _param_names(rows):
            drifts = [
                (_number(row["param"].get(name)), row["update"]) for row in rows if row["update"] <= DRIFT_UPDATES
            ]
            value, update = _worst(drifts)
            detail = f"free-running, relative; worst at update {update:,} of the first {DRIFT_UPDATES:,}"
            checks.append(_check(f"drift {name}", value, DRIFT_BOUND, detail))
    else:
        drifts = [(_number(value), row["update"]) for row in rows for value in row["param"].values()]
        value, update = _worst(drifts)
        detail = f"free-running, relative; worst at update {update:,}; in float32 reported, not judged"
        checks.append(_check("drift of parameters", value, float("inf"), detail))
    ours, twin = predicted
    # Half an image of slack for the rounding of the two fractions, which are counts of images divided by n.
    bound = max(ERROR_BOUND, 1 / len(ours))
    gap = round(abs(errors[0] - errors[1]) * len(ours)) / len(ours)
    differing = int(np.count_nonzero(ours != twin))
    detail = f"{errors[0]:.2%} and {errors[1]:.2%}; {differing} of {len(ours):,} test images predicted differently"
    checks.append(_check("test error", gap, bound, detail))
    return {"passed": all(check["passed"] for check in checks), "checks": checks}


def _forced_check(name: str, rows: list[Row]) -> ParityCheck:
    forced = [row for row in rows if "forced" in row]
    value, update = _worst([(_number(row["forced"].get(name)), row["update"]) for row in forced])
    detail = f"same weights; eps·max S, worst at update {update:,}; {len(forced):,} compared"
    return _check(f"forced {name}", value, FORCED_BOUND, detail)


def _forced_names(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.get("forced", {})))


def _param_names(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row["param"]))


def _worst(values: list[tuple[float, int]]) -> tuple[float, int]:
    """Return the greatest value and its update; NaN is worse than everything."""
    return max(values, key=lambda pair: (np.isnan(pair[0]), pair[0])) if values else (float("nan"), 0)


def _number(value: float | None) -> float:
    """Return the number that a row holds; null stands for one that was not finite."""
    return float("nan") if value is None else float(value)


def _check(name: str, value: float, bound: float, detail: str) -> ParityCheck:
    # Written so that NaN fails.
    return {"name": name, "value": value, "bound": bound, "passed": bool(value <= bound), "detail": detail}
