"""A copy of `scratch` as it is, for bugs in what only our contract has: states, initial weights, drawn masks."""

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch

import torchref
from tests import cases, harness
from tests.starting import STARTS, start_reports
from tests.users.expected import Expected
from torchref import oracle
from torchref.oracle.comparison import Comparison, Report
from torchref.oracle.verdict import Finding, Verdict


def contracted(wing: ModuleType, want: Expected, seed: int) -> Verdict:
    """What the oracle's checks of our contract say, as a verdict with one finding for each failure."""
    if want.kind == "subsample2d":
        return oracle.check(wing.Subsample2d, like=want.kind, seed=seed)
    try:
        failures = next((r.failures for r in reports(wing, want.kind, seed) if not r.passed), ())
    except ValueError as error:  # the copy refuses what it gave itself
        failures = (Comparison("refusal", "5 form", np.inf, str(error)),)
    findings = tuple(Finding(tensor=c.tensor, what=str(c)) for c in failures)
    return Verdict("our contract", want.kind, seed, (), (), findings)


def reports(wing: ModuleType, kind: str, seed: int) -> Iterable[Report]:
    """Those of the harness on what has the bug."""
    if kind == "state":
        pair = wing.Linear(5, 4, dtype=np.float64), torchref.Linear(5, 4, dtype=torch.float64)
        return [oracle.check_state("Linear", *pair)]
    if kind == "dropout":
        return _rows(cases.LAYERS, harness.layer_reports, "Dropout", wing, seed)
    if kind == "sgd":
        return _rows(cases.OPTIMIZERS, harness.optimizer_reports, "SGD", wing, seed)
    if kind in ("mlp", "nested"):
        name = "MLP" if kind == "mlp" else "Sequential"
        return _rows(cases.NETWORKS, harness.network_reports, name, wing, seed)
    return (r for case in STARTS for dtype in harness.DTYPES for r in start_reports(case, wing, dtype, seed))


def _rows(table: Iterable[Any], runner: Any, name: str, wing: ModuleType, seed: int) -> Iterator[Report]:
    """The harness's reports on the rows of one class."""
    for case in table:
        if case.name == name:
            for dtype in harness.DTYPES:
                yield from runner(case, wing, dtype, seed)
