"""Work in a process of its own: nothing else is imported, and thread pools have their size from the start."""

import json
import subprocess
import sys
from typing import Any

from experiments.bench.workers import ROOT, environment
from experiments.errors import UserError


def run(module: str, *words: str, threads: int) -> dict[str, Any]:
    """Run `python -m module words` to its end, and return the JSON object that it prints last.

    Parameters
    ----------
    module:
        Import path of a module that can be run.
    words:
        Its arguments.
    threads:
        That BLAS and OpenMP may use.

    Raises
    ------
    UserError
        If it fails, with the last line of what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        env=environment(threads),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(f"{module} {' '.join(words)} ended with status {done.returncode}: {said}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
