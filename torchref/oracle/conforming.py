"""One line in a test file for one exercise: the parts it expands into, and what is said of each.

Nothing of pytest's is needed here; `experiments.pytest_plugin` makes the items.
"""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from torchref.oracle.checking import check
from torchref.oracle.judging import BEHAVIOUR
from torchref.oracle.kinds import find
from torchref.oracle.kinds.networks import find_network
from torchref.oracle.reports.words import clean, headline
from torchref.oracle.subjects.guard import Guard
from torchref.oracle.subjects.loading import load
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.verdict import Finding, Verdict

EXERCISE = "__oracle_exercise__"
"""Attribute of a decorated class."""
SILENT = {"construction": 0, "forward": 0, "step": 0, "backward": 1}
"""What did not answer, and the column that says so."""
NETWORK = ("forward", "backward")
"""The parts of a whole network, beside its behaviour; its layers are named in the report."""


class Outcome(NamedTuple):
    """What is said of one part: "passed", "failed" or "skipped", why, and the verdict that it comes from."""

    status: str
    text: str = ""
    verdict: Verdict | None = None


class Exercise:
    """What `conforms` returns.

    Attributes
    ----------
    parts:
        Names of the parts, in the order of computation: "forward", "dx", "dw", "db", "behaviour".
    line:
        Where it stands in its file.
    pytestmark:
        Marks of pytest's, if any were put on it.
    """

    def __init__(self, candidates: tuple[Any, ...], like: Any, options: Mapping[str, Any], line: int) -> None:
        self.candidates, self.like, self.options, self.line = candidates, like, options, line
        self.pytestmark: list[Any] = []
        self.make: Callable[[], Any] | None = None
        plain_function = len(candidates) == 1 and inspect.isfunction(candidates[0])
        self._places: tuple[str, ...] = NETWORK
        self._owner: type | None = None
        if not isinstance(like, str) or find_network(like) is None:
            try:
                kind = find(like, options.get("shape"))
            except (TypeError, ValueError):  # which `check` will say again, when the test runs
                self._places = ("forward",)
            else:
                columns = kind.columns(SimpleNamespace(backward=not plain_function))
                self._places = tuple(_part(column, kind.family) for column in columns)
        self.parts = (*dict.fromkeys(self._places), BEHAVIOUR)
        self._known: dict[int, dict[str, Outcome]] = {}

    def __call__(self, target: Any) -> Any:
        """As a decorator: of a class, which stays what it is, or of a function that returns the candidates."""
        if self.candidates:
            raise TypeError("conforms(…) was given what to judge and decorates something as well")
        if isinstance(target, type):
            self.candidates = (target,)
            setattr(target, EXERCISE, self)
            return target
        self.make = target
        self.pytestmark = list(getattr(target, "pytestmark", []))
        return self

    def __set_name__(self, owner: type, name: str) -> None:
        """Where it decorates a method, of which class."""
        self._owner = owner

    def outcomes(self, seed: int, *, folder: Path, command: str) -> dict[str, Outcome]:
        """By part; the work is done once for each seed.

        Parameters
        ----------
        seed:
            Of all draws.
        folder:
            Where modules and files that are given by name are looked for first.
        command:
            What reproduces it.
        """
        if seed not in self._known:
            self._known[seed] = self._judge(seed, folder, command)
        return self._known[seed]

    def _judge(self, seed: int, folder: Path, command: str) -> dict[str, Outcome]:
        try:
            title, candidates = self._found(folder)
            options = {"seed": seed, "title": title, "command": lambda _: command, **self.options}
            verdict = check(*candidates, like=self.like, **options)
        except (TypeError, ValueError) as error:  # not found, not understood, or declared what there is not
            text = str(error).replace(f"{folder}{os.sep}", "")
            first, *rest = self.parts
            return {first: Outcome("failed", text)} | {part: Outcome("skipped", text) for part in rest}
        return dict(self._outcomes(verdict, candidates))

    def _found(self, folder: Path) -> tuple[str, tuple[Any, ...]]:
        """What to judge, and what to call it if it was given by name."""
        given = self.candidates
        if self.make is not None:
            function = self.make if self._owner is None else self.make.__get__(self._owner())
            made = Guard().call("the test function", function)
            given = made if isinstance(made, tuple) else (made,)
        if not given:
            raise ValueError("conforms() was given nothing to judge, and decorates nothing")
        if isinstance(given[0], str):
            return given[0], load(located(given[0], folder))
        return "", given

    def _outcomes(self, verdict: Verdict, candidates: tuple[Any, ...]) -> Iterator[tuple[str, Outcome]]:
        own = [column for column in verdict.columns if column != BEHAVIOUR]
        if self._places is NETWORK:
            part_of = dict.fromkeys(own, "backward") | {"forward": "forward", "loss": "forward"}
        else:
            part_of = dict(zip(own, self._places, strict=False))  # fewer where there is no backward part
        silent = {name: self.parts[min(place, len(self.parts) - 1)] for name, place in SILENT.items()}
        blamed: dict[str, list[str]] = {}
        for finding in verdict.findings:
            part = part_of.get(finding.tensor) or silent.get(finding.tensor, BEHAVIOUR)
            blamed.setdefault(part, []).append(_text(finding))
        judged = {
            part_of.get(column, BEHAVIOUR)
            for row in verdict.rows
            for column, cell in row.cells.items()
            if cell.status != "not judged"
        }
        reason = next((headline(f) for f in verdict.findings if f.tensor in silent), "was not judged")
        unwritten = stub(candidates) if any(f.missing and f.tensor == "forward" for f in verdict.findings) else ""
        if unwritten:
            blamed.setdefault(silent["backward"], []).append(unwritten)
        for part in self.parts:
            if part in blamed:
                yield part, Outcome("failed", "\n".join(blamed[part]), verdict)
            elif part in judged:
                yield part, Outcome("passed", "", verdict)
            else:
                yield part, Outcome("skipped", unwritten or reason, verdict)


def conforms(*candidates: Any, like: Any, **options: Any) -> Any:
    """An exercise for pytest: one test for the forward part, for each gradient, and for behaviour.

    `test_pool = oracle.conforms("homework:maxpool_forward,maxpool_backward", like="maxpool2d")` in a test file is all
    there is to write. Names are looked up when the test runs, in the test file's folder first: what is not there yet
    is one clear failure. Functions, classes and objects may be given themselves.

    Without candidates it is a decorator, of an implementation class or of a test function that returns what to judge.

    Parameters
    ----------
    candidates:
        As for `check`.
    like, options:
        As for `check`; the seed is that of `--oracle-seed`. What makes no sense fails the test, not its whole file.
    """
    frame = inspect.currentframe()
    line = frame.f_back.f_lineno if frame is not None and frame.f_back is not None else 1
    return Exercise(candidates, like, options, line)


def exercise_of(obj: object) -> Exercise | None:
    """The exercise that an object in a test file is, or that its class was decorated with."""
    if isinstance(obj, Exercise):
        return obj
    return vars(obj).get(EXERCISE) if isinstance(obj, type) else None


def stub(candidates: tuple[Any, ...]) -> str:
    """Says so if the backward part is not written yet, which a forward part that is not hides; else "".

    It is called with objects that are good for nothing: who has not begun raises NotImplementedError or returns None.
    """
    function = candidates[1] if len(candidates) > 1 else getattr(candidates[0], "backward", None)
    if not inspect.isroutine(function):
        return ""
    try:
        required = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
        Guard().call("backward", function, *(object() for p in required if p.kind is not p.KEYWORD_ONLY))
    except Misbehaviour as trouble:
        return headline(Finding("backward", "", fault=trouble.what, missing=True)) if trouble.missing else ""
    return ""


def _part(column: str, family: str) -> str:
    """What an item is called: "dw" for "grad weight"; all that an optimiser does to many parameters is one "update"."""
    if family == "optimizer":
        return "update"
    usual = {"y": "forward", "grad weight": "dw", "grad bias": "db"}
    return usual.get(column, column.replace("grad ", "d"))


def _text(finding: Finding) -> str:
    """The short report: the headline first, as pytest's summary quotes the first line; the evidence is for pages."""
    lines = [headline(finding), finding.what, f"reproduce: {finding.reproduce}", f"arrays: {finding.saved}"]
    known = (0, 2) if finding.missing else range(4 if finding.saved else 3)
    return "\n  ".join(clean(lines[i]) for i in known)


def located(code: str, folder: Path) -> str:
    """Where code is, such as "homework:f,g": in a file of that folder if there is one."""
    place, colon, names = code.rpartition(":")
    file = folder / (place if place.endswith(".py") else f"{place.replace('.', '/')}.py")
    return f"{file}{colon}{names}" if file.is_file() else code
