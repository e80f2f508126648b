"""The verdict on a lockstep run: what `experiments.parity` has measured, held against the criteria."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from experiments.metrics import Row, read_rows
from experiments.runs import RunFolder
from experiments.summary import Parity, ParityCheck
from torchref.oracle import criteria

#: What is asked of the parts of a step beside the layers, and how many of its units each is allowed.
PARTS: Final = {
    "loss": ("loss, same outputs", 1.0),
    "step": ("step = its parts, bit for bit", 0.0),
    "update": ("update, same gradients", 1.0),
}
ERROR_BOUND: Final = 0.001  # criterion 8, test error: 0.1 point


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
    reach = _reach(rows, judged)
    checks = [_forced_check(name, judged, reach) for name in _names(judged, "forced")]
    layers = [
        _part_check(rows, "layers", name, "layers, same input", f"forced layer {name}", 1.0)
        for name in dict.fromkeys(n.split()[0] for n in _names(rows, "layers"))
    ]
    if not checks and layers:
        detail = f"too near to a kink{reach}; the layers were judged one by one"
        checks.append(_check("whole network, same weights", "forced", float("nan"), None, detail))
    checks += layers
    checks += [
        _part_check(rows, "parts", name, question, f"forced part {name}", bound)
        for name, (question, bound) in PARTS.items()
        if any(n.split()[0] == name for n in _names(rows, "parts"))
    ]
    if not checks:
        checks.append(_check("same weights", "forced", float("nan"), criteria.NETWORK, "nothing was compared"))
    if gaps:
        detail = f"the first is missing at update {gaps[0]:,}"
        checks.append(_check("comparisons missing", "comparisons missing", len(gaps), 0.0, detail))
    checks += [_absent_check(name, rows) for name in _names(rows, "absent")]
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
        detail = f"no bound in float32; worst at update {update:,}"
        checks.append(_check("parameters, running free (relative)", "drift of parameters", value, None, detail))
    ours, twin = predicted
    # The two fractions are counts divided by n; counted back, their difference has no rounding error beside the bound.
    bound = max(ERROR_BOUND, 1 / len(ours))
    gap = round(abs(errors[0] - errors[1]) * len(ours)) / len(ours)
    differing = int(np.count_nonzero(ours != twin))
    detail = f"{errors[0]:.2%}, {errors[1]:.2%}; {differing} of {len(ours):,} answers differ"
    checks.append(_check("test error", "test error", gap, bound, detail))
    return {"passed": all(check["passed"] for check in checks), "checks": checks}


def missing_updates(rows: list[Row], log_every: int, done: int, *, finished: bool = False) -> list[int]:
    """Return the updates up to `done` that should have been compared and were not.

    They are the first, every `log_every`-th and, of a run that has finished, the last.
    """
    compared = {row["update"] for row in rows if "forced" in row}
    due = {1, *range(log_every, done + 1, log_every), *[done] * finished} if done else set()
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


def _reach(rows: list[Row], judged: list[Row]) -> str:
    """Return how many comparisons of whole networks there were, and on how many images, if kinks have cut them."""
    compared = [row for row in rows if "images" in row]
    if not any(row["images"] < row.get("batch", row["images"]) or not row["images"] for row in compared):
        return ""
    images = [row["images"] for row in judged]
    on = f", on {min(images):,} to {max(images):,} images" if images else ""
    return f" ({len(judged):,} of {len(compared):,} comparisons{on})"


def _forced_check(name: str, judged: list[Row], reach: str) -> ParityCheck:
    value, update = _worst([(_number(row["forced"].get(name)), row["update"]) for row in judged])
    detail = f"{name}, worst at update {update:,}{reach}"
    question = {"output": "outputs", "grad": "gradients"}.get(name.split("/")[0], name) + ", same weights (eps·max S)"
    return _check(question, f"forced {name}", value, criteria.NETWORK, _fault([name], judged) or detail)


def _part_check(rows: list[Row], kind: str, part: str, question: str, name: str, bound: float) -> ParityCheck:
    """Judge a layer, or another part of the step, by the worst of its tensors: "<part> <tensor>" in the rows."""
    judged = [row for row in rows if row.get(kind)]
    tensors = [n for n in _names(judged, kind) if n.split()[0] == part]
    found = {(n, row["update"]): _number(row[kind][n]) for row in judged for n in tensors if n in row[kind]}
    (tensor, update), value = max(found.items(), key=lambda item: (np.isnan(item[1]), item[1]))
    detail = _fault(tensors, judged) or f"{tensor}, worst at update {update:,}"
    return _check(question, name, value, bound, detail)


def _absent_check(name: str, rows: list[Row]) -> ParityCheck:
    # Every row of both kinds: a gradient that is not 0 moves its weight away from 0, where the next row finds it.
    found = [(row.get("absent", {}), row["update"]) for row in rows]
    value, update = _worst([(_number(absent[name]), update) for absent, update in found if name in absent])
    return _check("absent links, exactly 0", f"absent {name}", value, 0.0, f"{name}, worst at update {update:,}")


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


def _check(question: str, name: str, value: float, bound: float | None, detail: str) -> ParityCheck:
    """Judge a value by its bound; without one it is reported only."""
    passed = bound is None or bool(value <= bound)  # written so that NaN fails
    return {"question": question, "name": name, "value": value, "bound": bound, "passed": passed, "detail": detail}
