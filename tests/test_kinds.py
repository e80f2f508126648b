"""Losses, penalties, optimisers and initialisers as kinds: right code passes, and each verdict can fail."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import scratch
from scratch import init, regularization
from tests import mutants
from tests.judged import FreeSubject, failures, trials
from tests.mutants import convolution, convolution_layers, learning
from torchref.oracle.judging import Options, judge_subject
from torchref.oracle.kinds import find
from torchref.oracle.subjects.plain import PlainSubject
from torchref.oracle.subjects.subject import Incident, Misbehaviour
from torchref.oracle.verdict import Cell, Row, Verdict

OURS: dict[str, Callable[..., Any]] = {
    "squared_error": scratch.SquaredError,
    "cross_entropy": scratch.CrossEntropy,
    "l2_penalty": scratch.L2Penalty,
    "sgd": scratch.SGD,
    "lecun_uniform": init.lecun_uniform,
    "zeros": init.zeros,
    "dropout_mask": regularization.dropout_mask,
}
KINDS_OF = {
    "loss.py": ("squared_error", "cross_entropy"),
    "regularization.py": ("l2_penalty", "sgd"),
    "optim.py": ("sgd",),
    "init.py": ("lecun_uniform",),
}
BUGS = {
    bug.name: bug
    for bug in (*learning.MUTANTS, *convolution.MUTANTS, *convolution_layers.MUTANTS)
    if {edit.file for edit in bug.edits} <= KINDS_OF.keys()
}
FEW = (
    "softmax Jacobian applied on top",
    "cross-entropy not shifted",
    "mean over the units too",
    "the mean skips NaN",
    "labels narrowed to int8",
    "decay on everything with weight in its name",
    "penalty's weights made positive",
    "Nesterov's step",
    "velocity is the gradient's own array",
    "optimiser keeps what it was handed",
    "initial weights from the global generator",
    "initial weights of half the size",
)


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("name", OURS)
def test_our_own_pass(name: str, stateful: bool, seed: int) -> None:
    kind = find(name)
    seen = set()
    for trial in trials(kind, FreeSubject(OURS[name], stateful=stateful), seed):
        assert not trial.failures, f"{trial.case.slug}, {trial.variety}, {trial.dtype}: {trial.failures[0]}"
        seen |= {c.tensor for c in trial.comparisons}
    assert seen >= set(kind.columns(FreeSubject(OURS[name])))


def caught(bug: mutants.Mutant, folder: Path) -> dict[str, str]:
    """What the kinds say of a bug."""
    found: dict[str, str] = {}
    with mutants.mutated(bug, folder) as wing:
        for name in KINDS_OF[bug.edits[0].file]:
            made = wing.init.lecun_uniform if name == "lecun_uniform" else getattr(wing, find(name).twin.__name__)

            def make(*, made: Any = made, **config: Any) -> Any:
                return guarded(made(**config))

            found |= failures(find(name), PlainSubject(make, bug.name))
    return found


def guarded(candidate: Any) -> Any:
    """The guard's share: what a candidate raises is its misbehaviour."""
    if isinstance(candidate, np.ndarray):
        return candidate

    def call(part: str) -> Callable[..., Any]:
        def called(*args: Any) -> Any:
            try:
                return getattr(candidate, part)(*args)
            except Exception as error:
                raise Misbehaviour(part, f"raises {type(error).__name__}: {error}") from error

        return called

    parts = ("forward", "backward", "step", "state_dict", "load_state_dict")
    return SimpleNamespace(**{part: call(part) for part in parts if hasattr(candidate, part)})


@pytest.mark.parametrize("name", FEW)
def test_bugs_are_caught(name: str, tmp_path: Path) -> None:
    assert caught(BUGS[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_all_bugs_are_caught(name: str, tmp_path: Path) -> None:
    assert caught(BUGS[name], tmp_path)


def test_what_is_worth_knowing_of_a_bug_is_in_the_verdict(tmp_path: Path) -> None:
    with mutants.mutated(BUGS["decay on everything with weight in its name"], tmp_path) as wing:
        options = Options(save_to=tmp_path / "arrays")
        verdict = judge_subject(PlainSubject(wing.SGD, "sgd.py"), find("sgd"), options)
    assert not verdict.passed
    assert [f.tensor for f in verdict.findings] == ["weighted.bias", "velocity weighted.bias"]
    assert verdict.findings[0].rows == ("names",)


@pytest.mark.parametrize("name", OURS)
def test_what_cannot_be_made_is_told_so(name: str) -> None:
    found = failures(find(name), FreeSubject(OURS[name], trouble="raises OSError: no"))
    assert list(found) == ["construction"]
    assert "raises OSError: no" in found["construction"]


@pytest.mark.parametrize("name", OURS)
def test_incidents_fail_unless_they_are_harmless(name: str) -> None:
    subject = FreeSubject(OURS[name])
    subject.noted = (Incident("prints", "forward", harmless=True), Incident("forks", "forward"))
    assert list(failures(find(name), subject)) == ["forks"]


def test_the_part_that_raises_takes_the_first_column() -> None:
    verdict = judge_subject(FreeSubject(scratch.SGD, trouble="raises OSError"), find("sgd"), Options())
    assert {row.cells["fc1.weight"].status for row in verdict.rows} == {"wrong"}
    assert verdict.findings[0].tensor == "construction"


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("name", ["squared_error", "cross_entropy", "l2_penalty"])
def test_values_alone(name: str, stateful: bool) -> None:
    subject = FreeSubject(OURS[name], backward=False, stateful=stateful)
    assert len(find(name).columns(subject)) == 1
    assert not failures(find(name), subject)


def test_names_and_aliases() -> None:
    assert find("Softmax-Loss") is find("cross_entropy")
    with pytest.raises(ValueError, match=r"expected one of linear, .*dropout_mask.*, or a torch"):
        find("mse")


def test_a_verdict_in_which_nothing_was_judged_is_no_pass() -> None:
    row = Row("plain", "3x5", {"y": Cell(0.0, passed=True, status="not judged")})
    assert not Verdict("mine", "theirs", 0, ("y",), (row,), ()).passed
