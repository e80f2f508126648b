"""A verdict as a page, for machines, for CI and for the terminal."""

from pathlib import Path
from typing import Any

from torchref.oracle.reports import text
from torchref.oracle.verdict import Verdict

WRITERS = {".txt": text.render}
"""By suffix."""


def save(verdict: Verdict, path: Any) -> None:
    """Write the report in the form that the suffix asks for."""
    path = Path(path)
    if path.suffix not in WRITERS:
        raise ValueError(f"path is {str(path)!r}, expected a name that ends in {', '.join(WRITERS)}")
    path.write_text(WRITERS[path.suffix](verdict), encoding="utf-8")
