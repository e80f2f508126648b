"""Writes a report whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torchref.oracle.reports.machine import to_json, to_junit
from torchref.oracle.reports.page import to_html
from torchref.oracle.reports.text import render
from torchref.oracle.verdict import Verdict

WRITERS: dict[str, Callable[[Verdict], str]] = {
    ".html": to_html,
    ".json": to_json,
    ".xml": to_junit,
    ".txt": lambda verdict: f"{render(verdict)}\n",
}
"""By suffix."""


def save(verdict: Verdict, path: Any) -> None:
    """Write the report in the form that the suffix asks for; a file of that name is replaced at once.

    Raises
    ------
    ValueError
        For another suffix.
    FileNotFoundError
        If the folder does not exist: none is made, for a slip of the pen would be one.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise ValueError(f"path is {str(path)!r}, expected a name that ends in {', '.join(WRITERS)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r} for the report {path.name!r}: make it first")
    content = WRITERS[path.suffix.lower()](verdict)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.write_text(content, encoding="utf-8", newline="\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
