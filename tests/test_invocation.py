"""A printed command can be pasted: it begins as this program was called."""

import sys
from pathlib import Path

import pytest

from experiments.invocation import command


@pytest.fixture
def twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An executable named twice in .venv/bin below the working folder, not on the path."""
    program = tmp_path / ".venv" / "bin" / "twice"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    return program


def test_with_its_path_where_the_environment_is_not_active(twice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for called in (".venv/bin/twice", str(twice)):
        monkeypatch.setattr(sys, "argv", [called])
        assert command("tb", "runs/a b") == ".venv/bin/twice tb 'runs/a b'"


def test_by_its_name_where_the_shell_finds_it(twice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(twice.parent))
    monkeypatch.setattr(sys, "argv", [str(twice)])
    assert command("tb") == "twice tb"


def test_another_twice_on_the_path_is_not_this_one(twice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = twice.parent.parent.parent / "other" / "twice"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    monkeypatch.setattr(sys, "argv", [".venv/bin/twice"])
    assert command("tb") == ".venv/bin/twice tb"


def test_from_elsewhere_the_whole_path(twice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(sys, "argv", [str(twice)])
    assert command("tb") == f"{twice} tb"


def test_as_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/experiments/__main__.py"])
    assert command("tb") == "python -m experiments tb"
