"""The judge of what makes passes fast must be able to fail: each mistake planted there is found."""

from pathlib import Path

import pytest

from tests import fast, mutants
from tests.mutants.fast import MUTANTS


def kill(bug: mutants.Mutant, folder: Path) -> str:
    """The first fault, or the exception that the code died of; "" if there is none."""
    with mutants.mutated(bug, folder) as wing:
        try:
            return next(fast.faults(wing, [edit.file for edit in bug.edits]), "")
        except (ArithmeticError, AttributeError, LookupError, OSError, EOFError, TypeError, ValueError) as error:
            return f"{type(error).__name__}: {error}"


@pytest.mark.no_cover  # these run on copies
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # some die of it
@pytest.mark.parametrize("bug", MUTANTS, ids=lambda bug: bug.name)
def test_a_mistake_in_what_makes_it_fast_is_found(bug: mutants.Mutant, tmp_path: Path) -> None:
    assert kill(bug, tmp_path), f"nobody notices: {bug.name}"


def test_the_unmutated_copy_has_no_fault(tmp_path: Path) -> None:
    assert kill(mutants.Mutant("nothing changed", ()), tmp_path) == ""
