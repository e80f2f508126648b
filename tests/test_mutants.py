"""The harness must be able to fail: every planted bug is found, and the table says by what."""

from pathlib import Path

import numpy as np
import pytest

from tests import harness, mutants

SEED = 20201219
found: dict[str, str] = {}


def kill(bug: mutants.Mutant, folder: Path) -> str:
    """What rejects the bug, "" if nothing does: the first failing comparison, or the exception the code died of."""
    with mutants.mutated(bug, folder) as wing, np.errstate(all="ignore"):
        try:
            for report in harness.reports(wing, SEED):
                if not report.passed:
                    first = report.failures[0]
                    return f"criterion {first.criterion}: {report.case}, {first.tensor}"
        except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.parametrize("bug", mutants.MUTANTS, ids=lambda bug: bug.name)
def test_mutant_is_killed(bug: mutants.Mutant, tmp_path: Path) -> None:
    found[bug.name] = kill(bug, tmp_path)
    assert found[bug.name], f"the harness does not notice: {bug.name}"


def test_the_unmutated_copy_survives(tmp_path: Path) -> None:
    assert kill(mutants.Mutant("nothing changed", ()), tmp_path) == ""


def test_a_mutant_that_no_longer_applies_is_an_error(tmp_path: Path) -> None:
    stale = mutants.mutant("stale", "linear.py", ("no such line", ""))
    with pytest.raises(ValueError, match="stands 0 times"), mutants.mutated(stale, tmp_path):
        pass


def test_print_the_table(request: pytest.FixtureRequest) -> None:
    if len(found) < len(mutants.MUTANTS):
        pytest.skip("only some mutants were selected: no table")
    width = max(len(name) for name in found)
    lines = [f"{name:<{width}}  {by[:150]}" for name, by in found.items()]
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{len(found)} mutants, {sum(map(bool, found.values()))} killed, seed {SEED}\n" + "\n".join(lines))
    assert all(found.values())
