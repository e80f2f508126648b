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


@pytest.mark.no_cover  # every line is covered by the table itself; tracing these takes a minute and a half
@pytest.mark.parametrize("block", range(8))
def test_200_seeds_without_a_false_alarm(block: int, seed: int, record_property: Callable[[str, object], None]) -> None:
    """In blocks of 25, so that two processes can share the work; conftest.py adds them up.

    Each row about maps comes up in some twelve of the seeds, each other row in each precision in every second; all of
    them in all seeds would take ten minutes.
    """
    worst = 0.0
    compared = 0
    for number in range(seed + 25 * block, seed + 25 * (block + 1)):
        for report in harness.reports(scratch, number, turns=32):
            assert report.passed, f"seed {number}\n{report}"
            worst = max(worst, report.worst)
            compared += len(report.comparisons)
    assert compared > 50_000
    record_property("seeds", (25, compared, worst))
