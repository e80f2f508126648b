"""What training shows: on a terminal, in a log, and as JSON."""

import io
import json
import math
import re
from pathlib import Path

import pytest

from experiments.console import JsonReporter, PlainReporter, TerminalReporter, duration, make_reporter
from experiments.invocation import command
from experiments.runs import RunFolder
from experiments.summary import BackendResult, Parity, ParityCheck, Summary
from experiments.verdict import recorded
from tests.running import finished

RESUME = "twice train mlp --resume"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def result(**changes: float | None) -> BackendResult:
    values: BackendResult = {
        "test_error": 0.0213,
        "test_loss": 0.071,
        "validation_error": 0.0199,
        "train_loss": 0.0101,
        "seconds": 12.34,
        "images_per_s": 43210.0,
        "updates": 8600,
        "epochs": 10,
    }
    values.update(changes)  # type: ignore[typeddict-item]
    return values


def check(name: str, value: float, bound: float | None, passed: bool, question: str = "") -> ParityCheck:
    return {
        "question": question or name,
        "name": name,
        "value": value,
        "bound": bound,
        "passed": passed,
        "detail": f"detail of {name}",
    }


def summary(parity: Parity | None = None, interrupted: int | None = None) -> Summary:
    backends = {"scratch": result(), "torch": result(test_error=0.0214)}
    return Summary(Path("runs/mlp-digits-s0"), backends, parity, interrupted)


@pytest.mark.parametrize(
    ("parity", "interrupted", "code"),
    [
        (None, None, 0),
        ({"passed": True, "checks": []}, None, 0),
        ({"passed": False, "checks": []}, None, 1),
        (None, 2, 130),
        (None, 15, 143),
        ({"passed": False, "checks": []}, 15, 143),
    ],
)
def test_exit_status(parity: Parity | None, interrupted: int | None, code: int) -> None:
    assert summary(parity, interrupted).exit_code == code
    assert summary(parity, interrupted).to_dict()["exit_code"] == code


def tell(reporter: PlainReporter, outcome: Summary) -> None:
    reporter.header(["run runs/mlp-digits-s0 [red] weights", "data digits"])
    for done in range(0, 1001, 100):
        reporter.progress(1, 2, done, 1000, 0.5, 2000.0)
    reporter.epoch_line("epoch 1/2  loss 0.5")
    reporter.finish(outcome)
    reporter.close()


def test_a_log_has_one_line_per_epoch_and_no_codes() -> None:
    stream = io.StringIO()
    tell(PlainReporter(stream, RESUME), summary())
    lines = stream.getvalue().splitlines()
    assert lines[0] == "run    runs/mlp-digits-s0 [red] weights"
    assert lines[1:4] == ["data   digits", "epoch 1/2  loss 0.5", ""]
    assert lines[4].split("  ")[0] == "       "[: len(lines[4].split("  ")[0])]
    assert lines[5].split() == ["scratch", "2.13%", "0.0710", "1.99%", "0.0101", "43,210", "12.3", "8,600"]
    assert lines[6].split()[:2] == ["torch", "2.14%"]
    assert lines[7] == "test error and loss: of the last epoch's parameters"
    assert lines[-1] == f"  {command('tb', 'runs/mlp-digits-s0')}"
    assert "\x1b" not in stream.getvalue()
    assert all(line == line.rstrip() for line in lines)


def test_a_terminal_has_a_bar_and_gets_its_cursor_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    tell(TerminalReporter(stream, RESUME), summary())
    text = stream.getvalue()
    assert "epoch 1/2" in text
    assert "1,000" in text
    assert "img/s" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor: shown after hidden


def test_the_bar_gives_a_loss_that_has_run_away_an_exponent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    for loss, shown in ((0.5, " loss 0.5000 "), (2.01534e24, " loss 2.015e+24 ")):
        stream = Terminal()
        reporter = TerminalReporter(stream, RESUME)
        reporter.progress(1, 2, 100, 1000, loss, 2000.0)
        reporter.close()
        assert shown in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def test_no_color_is_honoured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    parity: Parity = {"passed": False, "checks": [check("a", 2, 1, False)]}
    for no_color, coloured in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", no_color)
        stream = Terminal()
        PlainReporter.finish(TerminalReporter(stream, RESUME), summary(parity))
        assert ("\x1b[1;31m" in stream.getvalue()) is coloured


def test_a_bar_that_was_never_begun_can_be_closed_twice() -> None:
    reporter = TerminalReporter(Terminal())
    reporter.close()
    reporter.close()


def test_failed_checks_come_first_then_the_nearest_to_its_bound_of_each_question() -> None:
    checks = [check(f"ok{number}", number, 100, True, f"question {number % 2}") for number in range(20)]
    checks += [
        check("zero bound", 0, 0, True),
        check("failed", 3, 2, False, "question 1"),
        check("nan", math.nan, 1, False),
    ]
    stream = io.StringIO()
    tell(PlainReporter(stream, RESUME), summary({"passed": False, "checks": checks}))
    lines = stream.getvalue().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("parity"))
    end = next(number for number, line in enumerate(lines) if line.startswith("FAIL"))
    rows = [line.split("  ")[0] for line in lines[start + 1 : end]]
    assert rows == ["nan", "question 1", "question 0", "zero bound"]
    assert lines[start + 2].split()[:6] == ["question", "1", "3", "2", "1.5", "FAIL"]
    assert lines[start + 2].endswith("detail of failed")
    assert lines[start + 3].endswith("pass  detail of ok18")
    assert lines[start + 4].endswith("pass  detail of zero bound")
    assert lines[end] == "FAIL  21 of 23 checks within their bounds"


def test_what_has_no_bound_is_shown_and_not_counted() -> None:
    stream = io.StringIO()
    checks = [check("judged", 1, 2, True), check("free", 0.5, None, True)]
    tell(PlainReporter(stream, RESUME), summary({"passed": True, "checks": checks}))
    lines = stream.getvalue().splitlines()
    (row,) = [line for line in lines if line.startswith("free")]
    assert row.split("  ")[-2:] == ["not judged", "detail of free"]
    assert row.split()[1:4] == ["0.5", "-", "-"]
    assert "PASS  1 of 1 checks within their bounds" in lines


@pytest.mark.parametrize(("columns", "detailed"), [("80", False), ("120", True)])
def test_the_parity_table_fits_the_terminal(columns: str, detailed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    verdict = recorded(RunFolder(finished() / "mlp-digits-s0" / "diff"))
    assert verdict is not None
    tell(TerminalReporter(stream, RESUME), summary(verdict))
    lines = re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", stream.getvalue()).splitlines()
    for question in {check["question"] for check in verdict["checks"]}:
        (row,) = [line for line in lines if line.startswith(f"{question}  ")]
        assert ("pass" in row) or ("not judged" in row)
        assert ("worst at" in row or "answers differ" in row) is detailed


def test_every_failed_check_is_shown() -> None:
    checks = [check(f"bad{number}", 2, 1, False) for number in range(30)]
    stream = io.StringIO()
    tell(PlainReporter(stream, RESUME), summary({"passed": False, "checks": checks}))
    for number in range(30):
        assert f"bad{number} " in stream.getvalue()


def test_an_interrupted_run_shows_how_to_go_on_and_dashes_for_what_was_not_measured() -> None:
    stream = io.StringIO()
    backends = {"scratch": result(test_error=None, test_loss=None, validation_error=None, train_loss=None)}
    tell(PlainReporter(stream, RESUME), Summary(Path("r"), backends, None, 2))
    text = stream.getvalue()
    assert f"  {RESUME}\n" in text
    assert "scratch - - - - 43,210" in " ".join(text.split())


def test_json_is_one_object_and_the_rest_goes_to_the_log() -> None:
    stream, log = io.StringIO(), io.StringIO()
    parity: Parity = {"passed": False, "checks": [check("a", math.inf, 1, False)]}
    tell(JsonReporter(stream, log, RESUME), summary(parity, interrupted=15))
    found = json.loads(stream.getvalue())
    assert found["run"] == "runs/mlp-digits-s0"
    assert found["backends"]["torch"] == result(test_error=0.0214)
    assert found["parity"]["checks"][0]["value"] is None  # JSON has no infinity
    assert found["interrupted"] == 15
    assert found["exit_code"] == 143
    assert "epoch 1/2" in log.getvalue()
    assert RESUME in log.getvalue()


def test_the_kind_follows_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(make_reporter(True, "")) is JsonReporter
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert type(make_reporter(False, "")) is PlainReporter
    monkeypatch.setattr("sys.stdout", Terminal())
    assert type(make_reporter(False, "")) is TerminalReporter


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00:00"), (11.6, "0:00:12"), (3599.7, "1:00:00"), (7325, "2:02:05"), (math.nan, ""), (math.inf, "")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_loss_that_has_run_away_stays_readable() -> None:
    stream = io.StringIO()
    outcome = Summary(Path("r"), {"scratch": result(train_loss=2.0152966e24, test_loss=99999.0)}, None, None)
    tell(PlainReporter(stream, RESUME), outcome)
    assert " 2.015e+24 " in stream.getvalue()
    assert " 99999.0000 " in stream.getvalue()
