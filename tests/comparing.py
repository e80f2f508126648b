"""Batches, networks of torch's and looks into verdicts, for the tests of `compare`."""

from typing import Any

import numpy as np
import torch
from torch import nn

from torchref.oracle.verdict import Finding, Verdict

DTYPES = ("float64", "float32")


def batch(dtype: str, samples: int = 7, features: int = 5, classes: int = 3, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, features)).astype(dtype), rng.integers(0, classes, samples)


def two(activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), activation(), nn.Linear(6, 3))


def first(verdict: Verdict) -> Finding:
    assert not verdict.passed
    return verdict.findings[0]


def cell(verdict: Verdict, slug: str, column: str) -> Any:
    return next(row for row in verdict.rows if row.slug == slug).cells[column]
