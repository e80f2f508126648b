"""The parameters that layers start with, of either wing: how large by the links that are there, and whose draws."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import torch

import torchref
from torchref.oracle.comparison import Comparison, Report
from torchref.oracle.drawing import in_bounds, reach


@dataclass(frozen=True)
class StartCase:
    """A layer or network by dtype and generator; of its parameters the tables of links, and what is no weight or 0."""

    name: str
    label: str
    make: Callable[[ModuleType, Any, Any], Any]
    tables: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)


FEW_AND_MANY = ((False, False, True, False), (True, True, True, True), (True, False, True, False))

# Filters so large that the largest of a row's weights is all but certain to come near the bound.
STARTS = (
    StartCase("Linear", "start", lambda w, d, rng: w.Linear(431, 3, dtype=d, rng=rng)),
    StartCase("Conv1d", "start", lambda w, d, rng: w.Conv1d(3, 2, 211, dtype=d, rng=rng)),
    StartCase(
        "Conv1d",
        "start of few links and many",
        lambda w, d, rng: w.Conv1d(4, 3, 419, connections=FEW_AND_MANY, dtype=d, rng=rng),
        {"weight": FEW_AND_MANY},
    ),
    StartCase("Conv2d", "start", lambda w, d, rng: w.Conv2d(3, 2, (19, 11), dtype=d, rng=rng)),
    StartCase(
        "Conv2d",
        "start of few links and many",
        lambda w, d, rng: w.Conv2d(4, 3, (25, 17), connections=FEW_AND_MANY, dtype=d, rng=rng),
        {"weight": FEW_AND_MANY},
    ),
    StartCase(
        "Subsample2d", "start", lambda w, d, _: w.Subsample2d(3, (2, 3), 1, dtype=d), constants={"weight": 1 / 6}
    ),
    StartCase(
        "LeNet5",
        "start",
        lambda w, d, rng: w.LeNet5(dtype=d, rng=rng),
        {"c3.weight": torchref.models.s2_c3_table().tolist()},
        {"s2.weight": 1 / 4, "s4.weight": 1 / 4},
    ),
)


def start_reports(case: StartCase, wing: ModuleType, dtype: str, seed: int) -> Iterator[Report]:
    """A fresh layer: biases 0, weights within ±√(3/F) and up to it, F the links of each row; and all by the seed."""

    def state(number: int, dtype: str) -> dict[str, np.ndarray]:
        if wing is torchref:
            net = case.make(wing, getattr(torch, dtype), torch.Generator().manual_seed(number))
            return {name: tensor.numpy() for name, tensor in net.state_dict().items()}
        return dict(case.make(wing, np.dtype(dtype), np.random.default_rng(number)).state_dict())

    mine, double, other = state(seed, dtype), state(seed, "float64"), state(seed + 1, dtype)
    faults = {}
    for name, values in mine.items():
        faults[f"{name} is the seed's, in either precision"] = not np.array_equal(values, double[name].astype(dtype))
        if name in case.constants or name.endswith("bias"):
            expected = np.full(len(values), case.constants.get(name, 0.0), dtype)
            faults[f"{name} is constant"] = not np.array_equal(values, expected)
            continue
        faults[f"{name} is another for another seed"] = np.array_equal(values, other[name])
        present = np.array(case.tables.get(name, np.ones(values.shape[:2], bool)))
        faults[f"{name} of absent links is 0"] = bool(values[~present].any())
        fan_in = present.sum(axis=1) * math.prod(values.shape[2:])
        rows = in_bounds(values, fan_in)
        faults[f"{name} is within its bounds"] = abs(rows).max() > 1 + np.finfo(dtype).eps
        near = 0.9
        if fan_in.min() < 200:  # LeNet-5's filters: all together, of which there are 150 in C1
            rows, near = rows.reshape(1, -1), 0.8
        faults[f"{name} reaches its bounds on both sides"] = reach(rows) < near
    verdicts = (Comparison(what, "5 form", np.inf if fault else 0.0) for what, fault in faults.items())
    yield Report(f"{case.name} {case.label} {dtype}", tuple(verdicts))
