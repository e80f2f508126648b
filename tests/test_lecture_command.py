"""`twice lecture`: what it prints, what it refuses, and what is left when something goes wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.errors import UserError
from experiments.lecture import session
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.lab import Claim
from experiments.lecture.publishing import BEGIN, END
from experiments.terminal import Screen
from tests.lecture_sample import FAILED, SAMPLE, Sample, installed


@pytest.fixture
def sample(monkeypatch):
    return installed(monkeypatch)


def test_the_command_says_what_was_claimed_measured_and_held(sample, tmp_path: Path, capsys) -> None:
    assert main(["lecture", "sample", "--runs-dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for part in (
        "sample  神经元的运算 · a sample",
        "numbers",
        "|x|",
        "✓ held  1 < 2",
        "3 steps",
        "index.html",
    ):
        assert part in printed
    sample.second = FAILED
    assert main(["lecture", "sample", "--runs-dir", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "✗ FAILED  2 < 1" in printed
    assert "✗ failed" in (tmp_path / "lecture" / "index.html").read_text("utf-8")


def test_all_runs_every_one_and_ends_with_a_table(sample, tmp_path: Path, capsys, monkeypatch) -> None:
    other = SAMPLE._replace(name="other")
    monkeypatch.setitem(sys.modules, other.module, sample)
    monkeypatch.setattr("experiments.lecture_command.ENTRIES", {"sample": SAMPLE, "other": other})
    monkeypatch.setattr(session, "ENTRIES", {"sample": SAMPLE, "other": other})
    assert main(["lecture", "all", "--runs-dir", str(tmp_path)]) == 0
    assert "HELD  2 of 2 claims" in capsys.readouterr().out
    sample.second = FAILED
    assert main(["lecture", "all", "--runs-dir", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "FAILED  2 of 4 claims" in printed
    assert "1 of 2" in printed


def test_for_machines_there_is_one_object(sample, tmp_path: Path, capsys) -> None:
    sample.second = FAILED
    assert main(["lecture", "sample", "--json", "--runs-dir", str(tmp_path)]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["exit_code"] == 1
    (experiment,) = answer["experiments"]
    assert [claim["held"] for claim in experiment["claims"]] == [True, False]
    assert experiment["claims"][1]["numbers"] == {"value": None}


def test_the_list_has_every_experiment_with_its_slide(capsys) -> None:
    assert main(["lecture"]) == 0
    printed = capsys.readouterr().out
    for entry in ENTRIES.values():
        assert entry.name in printed
        assert entry.heading in printed
    assert main(["lecture", "--json"]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == list(ENTRIES)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("lecture backprob", "unknown experiment 'backprob'; did you mean 'backprop'?"),
        ("lecture --quick", "which experiment is to be run?"),
        ("lecture neuron --seed -1", "--seed: expected a whole number of at least 0; got -1"),
        (f"lecture neuron --seed {2**63}", "--seed: expected a whole number of at least 0 and below 2^62; got 9223"),
        ("lecture neuron --jobs -1", "--jobs: expected a whole number of at least 0; got -1"),
        ("lecture neuron --publish docs", "--publish: expected with all"),
        ("lecture all --quick --publish docs", "--publish: expected with all, without --quick and --seed"),
        ("lecture all --publish nowhere", "--publish: there is no folder nowhere"),
    ],
)
def test_what_cannot_be_is_refused(words: str, said: str, capsys) -> None:
    assert main(words.split()) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("half-way"), "ValueError: half-way"), (UserError("no room"), "no room")]
)
def test_an_experiment_that_raises_does_not_end_the_others(
    sample, tmp_path: Path, capsys, monkeypatch, error, status
) -> None:
    broken = Sample("experiments.lecture.broken")
    broken.fault = error
    monkeypatch.setitem(sys.modules, broken.__name__, broken)
    both = {"broken": SAMPLE._replace(name="broken"), "sample": SAMPLE}
    monkeypatch.setattr("experiments.lecture_command.ENTRIES", both)
    monkeypatch.setattr(session, "ENTRIES", both)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "results.md").write_text(f"{BEGIN}\nold\n{END}\n", "utf-8")
    assert main(["lecture", "all", "--json", "--runs-dir", str(tmp_path), "--publish", str(tmp_path / "docs")]) == 1
    printed = capsys.readouterr()
    first, second = json.loads(printed.out)["experiments"]
    assert (first["held"], first["error"], second["held"]) == (False, status, True)
    assert ("Traceback" in printed.err) is isinstance(error, ValueError)
    assert "FAILED  1 of 1 claims" in printed.err
    assert "old" in (tmp_path / "docs" / "results.md").read_text("utf-8")  # half a gallery is not published
    assert sample.fault is None


def test_documents_without_the_marks_are_refused_at_once(tmp_path: Path, capsys) -> None:
    assert main(["lecture", "all", "--runs-dir", str(tmp_path), "--publish", str(tmp_path)]) == 1
    assert "expected a part between the lines" in capsys.readouterr().err
    assert not (tmp_path / "lecture").exists()


def test_tables_are_never_cut(sample, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(session, "screen", lambda: Screen(highlight=False, no_color=True, width=40))
    monkeypatch.setattr(sample, "run", wide)
    assert main(["lecture", "sample", "--runs-dir", str(tmp_path)]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("row")]
    assert row.split() == ["row", *["0.12345678901234567890"] * 4]


def wide(lab, config):
    lab.table("wide", [f"heading {n}, which is long" for n in range(5)], [["row", *["0.12345678901234567890"] * 4]])
    return [Claim("1 < 2", f"{config.steps} steps", True)]


SLEEPER = """
import sys, time
from pathlib import Path
from experiments.lecture.lab.seeds import over_seeds
def work(seed):
    Path(sys.argv[1], str(seed)).write_text(str(__import__("os").getpid()))
    time.sleep(600)
if __name__ == "__main__":
    from experiments.lecture.session import _ended_by_sigterm
    with _ended_by_sigterm():
        over_seeds(work, range(2), jobs=2)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_no_process_is_left_when_the_command_is_killed(tmp_path: Path, number: int) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "sleeper.py", str(tmp_path)], cwd=tmp_path, env=environment) as process:
        wait_until(
            lambda: all((tmp_path / str(seed)).is_file() and (tmp_path / str(seed)).read_text() for seed in range(2))
        )
        workers = [int((tmp_path / str(seed)).read_text()) for seed in range(2)]
        process.send_signal(number)
        assert process.wait(60) == (128 + number if number == signal.SIGTERM else -number)
    wait_until(lambda: not any(map(lives, workers)))


def lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # ended, though nobody has asked


def wait_until(done: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)
