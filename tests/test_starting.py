"""The torch wing's layers start as they say; `scratch`'s do so in the harness."""

import pytest

import torchref
from tests.harness import DTYPES
from tests.starting import STARTS, StartCase, start_reports


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", STARTS, ids=lambda case: f"{case.name} {case.label}")
def test_twins_start_as_they_say(case: StartCase, dtype: str, seed: int) -> None:
    for report in start_reports(case, torchref, dtype, seed):
        report.require()
