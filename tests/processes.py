"""The command `twice` in processes of its own that share one import of what training needs.

Each is forked from one process that has imported it, and runs `python -m experiments` from there to the end of its
interpreter. Importing torch and the rest takes ten times as long as a small training.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).parent.parent
LIMIT = 120
"""Seconds after which SIGALRM ends a command."""
BROKEN = "a pipe whose reader has gone"

SERVER = f"""
import gc, json, os, resource, runpy, signal, sys
import experiments.evaluation, experiments.training, sklearn.datasets
from experiments.torchvision_compat import import_torchvision
import_torchvision()
gc.freeze()  # what is not looked through at the end of each is not copied for it
print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    process = os.fork()
    if process == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
else:
    sys.exit()
signal.alarm({LIMIT})
flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
if request["stdout"] == {BROKEN!r}:
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)
else:
    os.dup2(os.open(request["stdout"], flags), 1)
os.dup2(os.open(request["stderr"], flags), 2)
if request["file_size"] is not None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_size"],) * 2)
sys.argv[1:] = request["words"]
runpy.run_module("experiments", run_name="__main__", alter_sys=True)
"""


class Done(NamedTuple):
    """How a command ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


class Commands:
    """Runs commands, each in a process of its own, while the block is open that it is entered for.

    Parameters
    ----------
    folder:
        For files that what is said goes to.

    Raises
    ------
    AssertionError
        At the end, if importing alone has said something.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with (folder / "imports").open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            )
        assert self._line() == "ready\n", (folder / "imports").read_text()

    def __call__(self, *words: str, broken: bool = False, file_size: int | None = None) -> Done:
        """Run `twice` with these words; `broken`: stdout breaks at the first write; `file_size`: limit in bytes."""
        out, err = self.folder / "stdout", self.folder / "stderr"
        out.unlink(missing_ok=True)
        request: dict[str, Any] = {"words": words, "stderr": str(err), "file_size": file_size}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({**request, "stdout": BROKEN if broken else str(out)}) + "\n")
        self.process.stdin.flush()
        return Done(int(self._line()), "" if broken else out.read_text(), err.read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        said, _ = self.process.communicate()
        assert (self.process.returncode, said, (self.folder / "imports").read_text()) == (0, "", "")

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()
