"""How this program was called, so that a command it prints can be pasted as it stands."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path


def command(*words: str) -> str:
    """Return a command line of this program, quoted for the shell.

    It begins with `twice` where the shell finds this very program under that name; with its path, such as
    `.venv/bin/twice`, where the virtual environment is not active; and with `python -m experiments` where it was
    called so.
    """
    return shlex.join([*_program(sys.argv[0]), *words])


def _program(called: str) -> Sequence[str]:
    path = Path(called)
    if path.name == "__main__.py":
        return ["python", "-m", "experiments"]
    found = shutil.which("twice")
    if path.name != "twice" or (found and os.path.realpath(found) == os.path.realpath(path)):
        return ["twice"]
    return [str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)]
