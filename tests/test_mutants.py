"""The harness must be able to fail: every planted bug is found, and the table says by what."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import harness, mutants


def kill(bug: mutants.Mutant, folder: Path, seed: int) -> str:
    """What rejects the bug, "" if nothing does: the first failing comparison, or the exception the code died of."""
    with mutants.mutated(bug, folder) as wing, np.errstate(all="ignore"):
        try:
            for report in harness.reports(wing, seed):
                if not report.passed:
                    first = report.failures[0]
                    return f"criterion {first.criterion}: {report.case}, {first.tensor}"
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.parametrize("bug", mutants.MUTANTS, ids=lambda bug: bug.name)
def test_mutant_is_killed(
    bug: mutants.Mutant, tmp_path: Path, seed: int, record_property: Callable[[str, object], None]
) -> None:
    killer = kill(bug, tmp_path, seed)
    record_property("mutant", (bug.name, killer))  # conftest.py prints the table
    assert killer, f"the harness does not notice: {bug.name}"


def test_the_unmutated_copy_survives(tmp_path: Path, seed: int) -> None:
    assert kill(mutants.Mutant("nothing changed", ()), tmp_path, seed) == ""


def test_a_mutant_that_no_longer_applies_is_an_error(tmp_path: Path) -> None:
    stale = mutants.mutant("stale", "linear.py", ("no such line", ""))
    with pytest.raises(ValueError, match="stands 0 times"), mutants.mutated(stale, tmp_path):
        pass
