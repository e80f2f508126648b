"""A check in a process of its own: what it was at is known if it dies, and what no thread could stop is ended.

The code under test can end a process (a fault in a C extension, `os._exit`, all memory taken) and can keep Python's
lock for ever (one call into C that never returns). A process that is outside outlives both.
"""

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from experiments.errors import UserError

MOST_CRASHES: Final = 3
"""After so many, the cases that are left are not run."""
GRACE: Final = 5.0
"""Seconds beyond the time limit of a call, in which the process itself may still end it."""
ELSEWHERE: Final = 120.0
"""Seconds beyond the time limit for what the process does outside of calls, such as importing torch."""
LAST_WORDS: Final = 0.3
"""Seconds for a process that is to be ended, to write down where it is."""
ROOT: Final = Path(__file__).parents[1]
CHILD: Final = f"import sys; sys.path.append({str(ROOT)!r}); from experiments.checking import main; main()"
"""What the process runs; it is started without the current folder on its path, where the user's files lie."""
FOREIGN: Final = (
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    str(ROOT / "torchref"),
    str(ROOT / "experiments"),
    "<frozen",
)
"""Folders of code that is not the user's, and what is built into Python."""


class Ended(NamedTuple):
    """How a process ended: with an answer, or at a case and a part of it."""

    answer: dict[str, Any] | None
    case: str = ""
    during: str = ""
    what: str = ""


def supervise(job: dict[str, Any]) -> int:
    """Run a check, again without the case that killed it if need be; print what it says.

    Parameters
    ----------
    job:
        From `Check.job`.

    Returns
    -------
    int
        0 if all is right, 1 if something is wrong.

    Raises
    ------
    UserError
        If the check cannot be made, or the process dies before the first case, as when the file is imported.
    """
    crashes: list[dict[str, str]] = []
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    while True:
        ended = _run({**job, "colour": colour, "crashes": crashes, "give_up": len(crashes) >= MOST_CRASHES})
        answer = ended.answer
        if answer is None:
            if not ended.case:
                raise UserError(f"{job['target']}: {ended.during or 'starting'} {ended.what}")
            crashes.append({"case": ended.case, "during": ended.during, "what": ended.what})
        elif "bug" in answer:
            raise RuntimeError(answer["bug"])
        elif "refusal" in answer:
            raise UserError(answer["refusal"], answer["exit_code"])
        else:
            print(answer["text"], end="")
            return int(answer["exit_code"])


def _run(job: dict[str, Any]) -> Ended:
    """Start one process, follow it, and see to it that nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="twice-check-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", CHILD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C reaches only us; and what the candidate starts can be ended with it
            )
        try:
            return _follow(process, job, log)
        finally:
            _end(process)


def _follow(process: subprocess.Popen[bytes], job: dict[str, Any], log: Path) -> Ended:
    assert process.stdin is not None
    said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(process, said), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # it is dead already; that will be noticed
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()  # and stays open: when we die, it closes, and the process ends itself
    case = during = ""
    deadline = time.monotonic() + job["time_limit"] + ELSEWHERE
    while True:
        try:
            line = said.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            what = f"runs longer than {job['time_limit']:g} s and cannot be interrupted"
            return Ended(None, case, during, what + _place(_last_words(process, log)))
        event, _, text = line.decode().rstrip("\n").partition(" ")
        if event == "end":
            return Ended(json.loads(text))
        if event == "":
            return Ended(None, case, during, _death(process.wait()) + _place(log.read_text(errors="replace")))
        if event == "case":
            case = text
        if event == "call":
            during = text
        deadline = time.monotonic() + job["time_limit"] + (GRACE if event == "call" else ELSEWHERE)


def _read(process: subprocess.Popen[bytes], said: queue.SimpleQueue[bytes]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        said.put(line)
    said.put(b"")


def _death(status: int) -> str:
    """How a process died, in words that follow the part's name."""
    if status >= 0:
        return f"ends the process with exit status {status}"
    if -status == signal.SIGKILL:
        return "is killed by the system (SIGKILL), as happens when memory runs out"
    return f"crashes the process ({signal.Signals(-status).name})"


def _last_words(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where a process is that does not answer; it writes that down even if its lock is kept."""
    if hasattr(signal, "SIGUSR1"):
        process.send_signal(signal.SIGUSR1)
        time.sleep(LAST_WORDS)
    return log.read_text(errors="replace")


def _place(dump: str) -> str:
    """The innermost line of the user's code in Python's list of frames: " (homework.py:12)"; "" if there is none."""
    for thread in reversed(dump.split("(most recent call first)")):
        frames = re.findall(r'File "(.+?)", line (\d+) in (\w+)', thread)
        own = [(Path(name).name, line) for name, line, _ in frames if not name.startswith(FOREIGN)]
        if own and any(name.endswith("guard.py") and function == "work" for name, _, function in frames):
            return " ({}:{})".format(*own[0])
    return ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process with all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
