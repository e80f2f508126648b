"""The process in which a check runs: it reads its job from standard input, and writes what it is at to standard output.

The lines are "case SLUG", "call PART", "back PART", and at last "end" with a JSON object. What the candidate itself
writes to standard output goes to the log with standard error.
"""

import contextlib
import ctypes
import faulthandler
import io
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

DIE_WITH_PARENT = 1
"""`PR_SET_PDEATHSIG` of Linux."""


def main() -> None:
    """Do the job, answer, and end at once: threads that were left behind are not waited for."""
    answers = os.dup(1)
    os.dup2(2, 1)
    faulthandler.enable()
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1)
    _die_with_parent()
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_wait_for_parent, name="oracle", daemon=True).start()

    def say(event: str, what: str) -> None:
        os.write(answers, f"{event} {what}\n".encode())

    try:
        answer = check(job, say)
    except Exception:
        answer = {"bug": traceback.format_exc()}
    _write(answers, f"end {json.dumps(answer)}\n".encode())
    os._exit(0)


def check(job: dict[str, Any], say: Any) -> dict[str, Any]:
    """The answer to a job: the report as text and the exit status; or why there is none."""
    import torch

    from torchref.oracle.reports.machine import to_json
    from torchref.oracle.subjects.announcing import listening
    from torchref.oracle.subjects.subject import Misbehaviour

    torch.set_num_threads(1)  # the tensors are tiny
    try:
        with listening(say):
            verdict = judge(job)
        written = write(verdict, job)
    except (ValueError, TypeError) as error:
        if not _said_by_the_oracle(error):
            raise
        return {"refusal": str(error), "exit_code": 1 if isinstance(error, Misbehaviour) else 2}
    except OSError as error:
        return {"refusal": f"{error.filename}: {error.strerror}" if error.filename else str(error), "exit_code": 1}
    text = f"{to_json(verdict).rstrip()}\n" if job["json"] else on_terminal(verdict, colour=job["colour"]) + written
    return {"text": text, "exit_code": 0 if verdict.passed else 1}


def judge(job: dict[str, Any]) -> Any:
    """The verdict on all cases: those that killed an earlier process are not run again, and stand in it as wrong."""
    from torchref import oracle
    from torchref.oracle.kinds import find
    from torchref.oracle.kinds.networks import find_network
    from torchref.oracle.verdict import Verdict

    kind: Any = find_network(job["like"]) or find(job["like"])
    crashed = [crash["case"] for crash in job["crashes"]]
    asked = tuple(job["case"].split()) or tuple(case.slug for case in kind.cases)
    left = () if job["give_up"] else tuple(slug for slug in asked if slug not in crashed)
    options: dict[str, Any] = {name: job[name] or None for name in ("layout", "weight", "bias", "arguments")}

    def command(slug: str) -> str:
        quoted = f"'{slug}'" if not slug.replace("-", "").isalnum() else slug
        return f"{job['command']} --case {quoted} --seed {job['seed']}"

    if not crashed or left:
        verdict = oracle.check(
            job["target"],
            like=job["like"],
            **options,
            unsupported=job["unsupported"],
            strict=job["strict"],
            dtypes=("float64", "float32") if job["dtype"] == "both" else job["dtype"],
            cases=left if crashed or job["case"] else (),
            seed=job["seed"],
            time_limit=job["time_limit"],
            save_to=job["save"],
            command=command,
        )
    else:
        verdict = Verdict(job["target"], kind.name, job["seed"], ("forward", "dx", "behaviour"), (), ())
    if not crashed:
        return verdict
    unrun = [slug for slug in asked if slug not in crashed] if job["give_up"] else []
    return with_crashes(verdict, kind, unrun, job["crashes"], command)


def with_crashes(verdict: Any, kind: Any, unrun: Iterable[str], crashes: list[dict[str, str]], command: Any) -> Any:
    """The verdict with the cases that killed a process, and those that were not run for it, in their places."""
    from torchref.oracle.verdict import Cell, Finding, Row

    rows = {row.slug: row for row in verdict.rows}  # of a network its layers
    columns = verdict.columns or ("forward",)
    alike: dict[tuple[str, str], list[str]] = {}
    for crash in crashes:
        alike.setdefault((crash["during"], crash["what"]), []).append(crash["case"])
    for (during, what), slugs in alike.items():
        column = columns[1 if during == "backward" and len(columns) > 2 else 0]
        cell = Cell(float("inf"), passed=False, status="wrong", note=f"{during}: {what}")
        rows |= {case.slug: Row(case.slug, case.label, {column: cell}) for case in kind.cases if case.slug in slugs}
    for case in kind.cases:
        if case.slug in unrun:
            rows[case.slug] = Row(case.slug, case.label, skipped=f"not run, after {len(crashes)} crashes")
    findings = [
        Finding(
            during,
            f"in {len(slugs)} case{'s' * (len(slugs) > 1)}",
            rows=tuple(slugs),
            reproduce=command(slugs[0]),
            fault=what,
        )
        for (during, what), slugs in alike.items()
    ]
    ordered = {case.slug: rows[case.slug] for case in kind.cases if case.slug in rows} | rows
    return replace(verdict, columns=columns, rows=tuple(ordered.values()), findings=(*findings, *verdict.findings))


def write(verdict: Any, job: dict[str, Any]) -> str:
    """Write the reports that were asked for; return the lines that say so."""
    paths = [job[name] for name in ("html", "junit") if job[name]]
    for path in paths:
        verdict.save(Path(path))
    return "".join(f"report: {path}\n" for path in paths)


def on_terminal(verdict: Any, *, colour: bool) -> str:
    """The report as text, with a terminal's colours or without."""
    from rich.console import Console

    from torchref.oracle.reports.text import show

    page = io.StringIO()
    show(verdict, Console(file=page, force_terminal=colour, no_color=not colour, width=120))
    return page.getvalue()


def _said_by_the_oracle(error: BaseException) -> bool:
    """Whether an error was raised by code of ours, as refusals are, rather than in something that it called."""
    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return Path(frames[-1]).is_relative_to(Path(__file__).parents[1] / "torchref")


def _write(descriptor: int, text: bytes) -> None:
    while text:
        text = text[os.write(descriptor, text) :]


def _wait_for_parent() -> None:
    """End when standard input closes, as it does when the process that gave the job has died."""
    sys.stdin.buffer.read()
    os._exit(1)


def _die_with_parent() -> None:
    """Have Linux end this process with its parent, even when a candidate keeps Python's lock."""
    with contextlib.suppress(AttributeError, OSError):  # another system
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
