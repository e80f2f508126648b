"""Twice's pytest plugin: the items of `oracle.conforms`, and the fixtures `oracle_check` and `oracle_compare`.

Every pytest run loads it where Twice is installed, so it imports neither torch nor torchref before an oracle test asks.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torchref.oracle.conforming import Exercise
    from torchref.oracle.verdict import Verdict

FIXTURES = ("oracle_check", "oracle_compare")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The seed of all draws, and where reports go."""
    group = parser.getgroup("oracle", "Twice's oracle (oracle.conforms, oracle_check)")
    group.addoption("--oracle-seed", type=_whole, default=0, metavar="N", help="seed of the oracle's draws (default 0)")
    group.addoption(
        "--oracle-html", type=Path, metavar="DIR", help="write a page about each exercise that fails into this folder"
    )


def _whole(text: str) -> int:
    """A seed."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0; got {text!r}")
    return int(text)


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """The seed, where it matters."""
    if any(isinstance(item, PartItem) or _asks(item) for item in items):
        return [f"oracle seed: {config.getoption('--oracle-seed')}"]
    return []


def _asks(item: pytest.Item) -> bool:
    return any(name in FIXTURES for name in getattr(item, "fixturenames", ()))


def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> list[PartItem] | None:
    """One item for each part of an exercise; None for anything else."""
    exercise = _exercise(obj)
    if exercise is None:
        return None
    return [
        PartItem.from_parent(collector, name=f"{name}[{part}]", exercise=exercise, part=part) for part in exercise.parts
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A part that is skipped is so at the exercise's line, not at one of ours."""
    report = yield
    if isinstance(item, PartItem) and isinstance(report.longrepr, tuple):
        report.longrepr = (str(item.path), item.exercise.line, report.longrepr[2])
    return report


def _exercise(obj: object) -> Exercise | None:
    conforming = sys.modules.get("torchref.oracle.conforming")  # imported by whoever made an exercise
    return None if conforming is None else conforming.exercise_of(obj)


class PartItem(pytest.Item):
    """One part of an exercise: its forward part, one of its gradients, or its behaviour."""

    def __init__(self, *, exercise: Exercise, part: str, **rest: Any) -> None:
        super().__init__(**rest)
        self.exercise = exercise
        self.part = part
        self.own_markers.extend(exercise.pytestmark)

    def runtest(self) -> None:
        """Pass, fail with a short report, or be skipped where another part is not there."""
        exercise_id = self.nodeid.removesuffix(f"[{self.part}]")
        seed = self.config.getoption("--oracle-seed")
        command = _command(self, exercise_id)
        outcome = self.exercise.outcomes(seed, folder=self.path.parent, command=command)[self.part]
        if outcome.status == "skipped":
            pytest.skip(outcome.text)
        if outcome.status == "failed":
            page = _save(self.config, exercise_id, outcome.verdict)
            pytest.fail(outcome.text + page, pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the exercise stands in its file."""
        return self.path, self.exercise.line - 1, self.name


def _command(item: pytest.Item, nodeid: str) -> str:
    """What runs it again, from the folder in which pytest was called."""
    file = os.path.relpath(item.path, item.config.invocation_params.dir)
    place = shlex.quote(f"{file}::{nodeid.partition('::')[2]}")
    return f"pytest {place} --oracle-seed {item.config.getoption('--oracle-seed')}"


def _save(config: pytest.Config, name: str, verdict: Verdict | None) -> str:
    """Write the page of a verdict if one is asked for; the line that says where, or ""."""
    folder: Path | None = config.getoption("--oracle-html")
    if folder is None or verdict is None:
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    plain = "".join(c if c.isalnum() or c == "_" else "-" for c in name.replace(".py", ""))
    path = folder / f"{plain}.html"
    verdict.save(path)
    return f"\n  page: {path}"


@pytest.fixture
def oracle_check(request: pytest.FixtureRequest) -> Callable[..., Verdict]:
    """`oracle.check` with the seed of this run; the test fails with the report unless it passes."""
    return _judging(request, "check")


@pytest.fixture
def oracle_compare(request: pytest.FixtureRequest) -> Callable[..., Verdict]:
    """`oracle.compare` with the seed of this run; the test fails with the report unless it passes."""
    return _judging(request, "compare")


def _judging(request: pytest.FixtureRequest, function: str) -> Callable[..., Verdict]:
    def judge(*args: Any, **options: Any) -> Verdict:
        from torchref import oracle

        again = _command(request.node, request.node.nodeid)
        own = {"seed": request.config.getoption("--oracle-seed"), "command": lambda _: again}
        verdict: Verdict = getattr(oracle, function)(*args, **{**own, **options})
        if not verdict.passed:
            pytest.fail(f"{verdict}{_save(request.config, request.node.nodeid, verdict)}", pytrace=False)
        return verdict

    return judge
