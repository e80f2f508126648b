"""What a browser shows: a page of all experiments in a runs folder, and the gallery of the documents."""

from collections.abc import Sequence
from pathlib import Path

from experiments.lecture.running import Outcome


def write_index(folder: Path) -> Path:
    """Write `index.html` for all experiments that lie in a folder; return its path."""
    return folder


def publish(outcomes: Sequence[Outcome], folder: Path, documents: Path) -> list[Path]:
    """Put the gallery and the table of verdicts into a folder of documents; return what was written."""
    return []
