"""The numbers of a run: what is measured at an update, and the file that keeps every one of them.

TensorBoard stores float32 and its reader keeps a sample; `metrics.jsonl` has all rows, exact.
"""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from experiments.atomic import write_text
from experiments.errors import UserError
from experiments.records import finite, parse
from experiments.summary import BackendResult, RecordedParity

Array = NDArray[np.floating[Any]]
Row = dict[str, Any]


class _Head(TypedDict):
    kind: str
    update: int


class _Measures(TypedDict):
    loss: float | None
    error: float


class _Epoch(_Head):
    epoch: int
    train: _Measures
    validation: _Measures
    seconds: float
    images_per_s: float


class _Parity(_Head):
    param: dict[str, float | None]
    absent: NotRequired[dict[str, float | None]]
    forced: NotRequired[dict[str, float | None]]
    layers: NotRequired[dict[str, float | None]]
    parts: NotRequired[dict[str, float | None]]
    images: NotRequired[int]
    batch: NotRequired[int]
    faults: NotRequired[dict[str, str]]


class _Result(_Head):
    result: BackendResult


class _Verdict(_Head):
    parity: RecordedParity


#: What is read back of each kind of row; what is only written is not checked.
_FORMS: Final[dict[str, Any]] = {"epoch": _Epoch, "parity": _Parity, "summary": _Result | _Verdict}

#: A unit counts as saturated where its slope is below this fraction of the activation's steepest slope.
SATURATED: Final = 0.05
#: Greatest output of the bounded activations, by their names on the command line.
AMPLITUDE: Final = {"tanh": 1.0, "lecun-tanh": 1.7159, "logistic": 1.0}


def error_rate(outputs: Array, labels: NDArray[np.int64]) -> float:
    """Return the fraction of images whose greatest output is not the one of their label; 0 … 1."""
    return float(np.count_nonzero(outputs.argmax(axis=1) != labels)) / len(labels)


def probabilities(outputs: Array, loss: str) -> Array:
    """Return the probability of each class that outputs (N, K) stand for.

    Cross-entropy: their softmax. Squared error: the outputs themselves, cut to [0, 1], since the least squared error
    to a one-hot target is reached at the class's probability.
    """
    if loss == "squared-error":
        return np.clip(outputs, 0, 1)
    with np.errstate(invalid="ignore"):  # an infinite output stops the run at the next update, with a better message
        exp = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        share: Array = exp / exp.sum(axis=1, keepdims=True)
    return share


def norm(arrays: Mapping[str, Array]) -> float:
    """Return the Euclidean norm of all arrays together, √Σ x²."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.sqrt(sum(float(np.vdot(x, x)) for x in arrays.values()))


def update_ratios(before: Mapping[str, Array], after: Mapping[str, Array]) -> dict[str, float]:
    """Return ‖ΔW‖ / ‖W‖ of each layer's weight, one update's step relative to what it changes.

    Parameters
    ----------
    before, after:
        Parameters by name before and after the update; those whose last part is not `weight` are left out.

    Returns
    -------
    dict
        Layer name → ratio; 0 where the weight is all zeros and stays so, infinite where it leaves zero.
    """
    ratios = {}
    for name, old in before.items():
        layer, _, last = name.rpartition(".")
        if last == "weight":
            size, change = norm({name: old}), norm({name: after[name] - old})
            ratios[layer] = change / size if size else (math.inf if change else 0.0)
    return ratios


def saturation(activation: str, outputs: Array) -> float:
    """Return the fraction of activations, over images and units, through which next to no gradient passes.

    That is |f′| < `SATURATED` · max |f′|, with f′ taken from the output y as the lecture gives it:
    tanh: f′ / max f′ = 1 − (y/a)²; logistic: 4 y (1 − y); ReLU: 0 or 1, so saturated means output 0;
    identity: never saturated.

    Parameters
    ----------
    activation:
        Name as on the command line.
    outputs:
        Outputs of the activation, any shape.
    """
    match activation:
        case "tanh" | "lecun-tanh":
            end = outputs.dtype.type(AMPLITUDE[activation] * math.sqrt(1 - SATURATED))
            saturated = int(np.count_nonzero(outputs > end) + np.count_nonzero(outputs < -end))
        case "logistic":
            saturated = int(np.count_nonzero(outputs * (1 - outputs) < SATURATED / 4))
        case "relu":
            saturated = int(np.count_nonzero(~(outputs > 0)))
        case "identity":
            saturated = 0
        case _:
            raise ValueError(f"activation: expected a name of the command line, got {activation!r}")
    return float(saturated) / outputs.size


class MetricsFile:
    """`metrics.jsonl`: one JSON object per line, with the number of updates as `update`.

    Parameters
    ----------
    path:
        The file; created if it does not exist, appended to if it does.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("ab")

    def write(self, row: Row) -> None:
        """Append one row; numbers that JSON has no word for (NaN, infinity) become null."""
        try:
            self._file.write(json.dumps(finite(row), allow_nan=False).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror or error}") from error

    def sync(self) -> None:
        """Force the rows to the disk, as a checkpoint does with the state that they lead up to."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file. Every row has been handed to the system: a full disk is not reported a second time."""
        with contextlib.suppress(OSError):
            self._file.close()


def read_rows(path: Path, kind: str | None = None) -> list[Row]:
    """Read the complete rows of a metrics file, all or those of one kind; a missing file has none.

    A crash may leave half a line at the end: it is left out.

    Raises
    ------
    UserError
        If another line is no row; it is named.
    """
    if not path.exists():
        return []
    rows: list[Row] = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        place = f"{path}, line {number:,},"
        row = parse(line, _Head, place)
        if kind is None or row["kind"] == kind:
            rows.append(parse(line, _FORMS.get(row["kind"], _Head), place))
    return rows


def cut_after(path: Path, update: int) -> None:
    """Drop what was written after a checkpoint, before the run continues from it.

    Rows of later updates go, and half a line, and the test and the summary: they belong to a finished run, and are
    written again when this one finishes.
    """
    kept = [row for row in read_rows(path) if row["update"] <= update and row.get("kind") not in ("test", "summary")]
    text = "".join(json.dumps(row) + "\n" for row in kept)
    write_text(path, text)
