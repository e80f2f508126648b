"""The harness must be able to fail: every planted bug is found, and the table says by what."""

import inspect
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratch
from tests import harness, mutants
from tests.starting import StartCase
from tests.users.fresh import FRESH


@cache
def source(name: str) -> str:
    """The source of a class."""
    return inspect.getsource(getattr(scratch, name))


@cache
def used(name: str) -> set[str]:
    """The modules that the module of a class has something of."""
    return {getattr(each, "__module__", "") for each in vars(inspect.getmodule(getattr(scratch, name))).values()}


def rows(bug: mutants.Mutant) -> list[tuple[tuple[Any, Callable[..., Any]], str]]:
    """Every row of the harness in either precision, those of what was edited first: most bugs die there, and at once.

    Of rows as near one precision comes before the other: few bugs die in one only.
    """
    edited = {f"scratch.{Path(edit.file).stem}" for edit in bug.edits}

    def distance(given: tuple[tuple[Any, Callable[..., Any]], str]) -> tuple[int, int]:
        (case, _), dtype = given
        if "scratch.init" in edited:
            near = not isinstance(case, StartCase)
        elif getattr(scratch, case.name).__module__ not in edited:
            near = 3 - bool(used(case.name) & edited)
        else:
            near = not any(edit.old in source(case.name) for edit in bug.edits)
        return near, harness.DTYPES.index(dtype)

    return sorted(product(harness.rows(), harness.DTYPES), key=distance)


def kill(bug: mutants.Mutant, folder: Path, seed: int) -> str:
    """What rejects the bug, "" if nothing does: the first failing comparison, or the exception the code died of."""
    suspects = rows(bug)
    with mutants.mutated(bug, folder) as wing, np.errstate(all="ignore"):
        try:
            for report in (r for (case, runner), dtype in suspects for r in runner(case, wing, dtype, seed)):
                if not report.passed:
                    first = report.failures[0]
                    return f"criterion {first.criterion}: {report.case}, {first.tensor}"
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.no_cover  # these run on copies; tracing the originals beside them only takes time
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


def test_the_bugs_that_nobody_foresaw_still_stand_in_the_code() -> None:
    """They are judged by `measure_oracle` alone, which is run by hand: it would be the first to miss one."""
    package = Path(scratch.__file__).parent
    for mutant in FRESH:
        for edit in mutant.edits:
            assert (package / edit.file).read_text(encoding="utf-8").count(edit.old) == 1, (mutant.name, edit.old)
