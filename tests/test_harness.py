"""Every row of the table, in both precisions, through the oracle."""

from collections.abc import Callable
from typing import Any

import pytest

import scratch
from tests import harness

ROWS = list(harness.rows())


@pytest.mark.parametrize("dtype", harness.DTYPES)
@pytest.mark.parametrize(("case", "runner"), ROWS, ids=[f"{case.name} {case.label}".strip() for case, _ in ROWS])
def test_twins_agree(case: Any, runner: Callable[..., Any], dtype: str, seed: int) -> None:
    count = 0
    for report in runner(case, scratch, dtype, seed):
        report.require()
        count += len(report.comparisons)
    assert count > 0


def test_200_seeds_without_a_false_alarm(seed: int) -> None:
    worst = 0.0
    compared = 0
    for offset in range(200):
        for report in harness.reports(scratch, seed + offset):
            assert report.passed, f"seed {seed + offset}\n{report}"
            worst = max(worst, report.worst)
            compared += len(report.comparisons)
    print(f"{compared} tensors of seeds {seed} to {seed + 199}: worst {worst:.3f} of its bound")
    assert compared > 500_000
