"""Planted bugs in users' code before the oracle: what is caught, where it is said to be, and what is said about it."""

from collections.abc import Sequence

import pytest

import scratch
from tests import measure_oracle, mutants
from tests.mutants import preprocessing, rows, shortcuts
from tests.users.expected import REASONS, STYLES, expected
from tests.users.judged import Outcome, caught, fits, tensor, verdict_on
from torchref.oracle.verdict import Finding, Verdict

SOME = 31
"""Of all bugs in all styles, every so many-th is judged by the default suite."""
WRONG_HINTS = 5
"""Of the 89 for bugs that nobody foresaw, so many misled when they were first counted; they may not become more."""


def test_every_mutant_has_an_answer_and_every_style_it_is_not_in_a_reason() -> None:
    # What they are about, the oracle has no kind or column for, or a user no such code.
    unknown = {*preprocessing.MUTANTS, *shortcuts.MUTANTS, *rows.MUTANTS}
    asked = [bug for bug in mutants.MUTANTS if bug not in unknown]
    assert [bug.name for bug in asked if bug.name not in expected()] == []
    assert len(expected()) == len(asked)
    for name, want in expected().items():
        assert want.styles, name
        assert want.tensors, name
        assert want.codes, name
        assert set(want.styles) | set(want.without) >= set("psn"), name
        assert not set(want.styles) & set(want.without), name
    assert {reason for want in expected().values() for reason in want.without.values()} == set(REASONS)
    assert {style for want in expected().values() for style in want.styles} == set(STYLES)


def test_tensors_are_told_by_their_usual_names() -> None:
    names = {"forward": "y", "dx": "dx", "dw": "dw", "grad weight, absent links": "dw", "dW": "dw", "db": "db"}
    assert {name: tensor(name) for name in names} == names
    assert tensor("gradients are not aliased") == "behaviour"
    assert fits("y@c3", "y@c3")
    assert not fits("y@c3", "y@c1")
    assert not fits("y@c3", "dx@c3")
    assert fits("backward", "dw")


def verdicts(jobs: Sequence[measure_oracle.Job]) -> list[Outcome]:
    return [measure_oracle.judge(job) for job in jobs]


def said(outcomes: Sequence[Outcome]) -> list[str]:
    return [f"{o.style} {o.mutant}: {o.first}; {' '.join(o.codes)}" for o in outcomes]


def hold(outcomes: Sequence[Outcome]) -> None:
    """All caught, 95% in the right place, 70% with the right diagnosis, at most 2% with a wrong one."""
    count = len(outcomes)
    assert said([o for o in outcomes if not o.caught]) == []
    misplaced = [o for o in outcomes if not o.placed]
    assert len(misplaced) <= 0.05 * count, said(misplaced)
    assert sum(o.diagnosis == "right" for o in outcomes) >= 0.7 * count, said([o for o in outcomes if not o.codes])
    wrong = [o for o in outcomes if o.diagnosis == "wrong"]
    assert len(wrong) <= 0.02 * count, said(wrong)


def alarms(styles: str) -> list[str]:
    """What is said of the unmodified code in the place of each bug, once for each kind and setting."""
    asked = {
        (s, w.kind, w.setting if s == "n" else ""): w for w in expected().values() for s in w.styles if s in styles
    }
    return [
        f"{style} {kind} {setting}: {verdict}"
        for (style, kind, setting), want in asked.items()
        if caught(verdict := verdict_on(scratch, want, style, 0))
    ]


def test_what_is_caught_is_what_has_a_finding() -> None:
    assert not caught(Verdict("", "", 0, (), (), ()))  # which does not pass: nothing was judged
    assert caught(Verdict("", "", 0, (), (), (Finding("y", "wrong"),)))


@pytest.mark.no_cover
def test_unmodified_code_is_not_caught_by_our_own_contract() -> None:
    assert alarms("c") == []


@pytest.mark.slow
@pytest.mark.no_cover
def test_unmodified_code_is_not_caught_in_any_style() -> None:
    assert alarms("psn") == []


def test_a_bug_about_nan_is_caught_strictly_and_remarked_on_by_default() -> None:
    outcomes = verdicts(measure_oracle.jobs("p", ["relu swallows NaN"], 0))
    assert [(o.caught, o.by_default) for o in outcomes] == [(True, False)]


@pytest.mark.no_cover  # these run on copies; tracing the originals beside them only takes time
def test_some_bugs_in_every_style() -> None:
    hold(verdicts(measure_oracle.jobs("psnc", [], 1)[::SOME]))


@pytest.mark.no_cover
def test_correct_code_raises_no_alarm() -> None:
    assert [one for seed in (3, 4) for one in measure_oracle.correct(seed) if one.findings or not one.cells] == []


@pytest.mark.slow
@pytest.mark.no_cover
def test_all_bugs_in_every_style(seed: int) -> None:
    hold(verdicts(measure_oracle.jobs("psnc", [], seed)))


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize("block", range(20))
def test_500_seeds_of_correct_code(block: int) -> None:
    found = [one for seed in range(25 * block, 25 * block + 25) for one in measure_oracle.correct(seed)]
    assert [one for one in found if one.findings] == []


@pytest.mark.slow
@pytest.mark.no_cover
def test_bugs_that_no_hypothesis_was_written_beside(seed: int) -> None:
    outcomes = verdicts(measure_oracle.jobs("psn", [], seed, fresh=True))
    assert said([o for o in outcomes if not o.caught or not o.placed]) == []
    wrong = [o for o in outcomes if o.diagnosis == "wrong"]
    assert len(wrong) <= WRONG_HINTS, said(wrong)
