"""Pages of the documents with a part that a command writes, between two lines that stay."""

from pathlib import Path
from typing import NamedTuple

from experiments.errors import UserError
from experiments.records import read_text


class Page(NamedTuple):
    """A document with a part that is written by a command, between two lines."""

    name: str
    begin: str
    end: str


def around_the_marks(documents: Path, page: Page) -> tuple[str, str]:
    """Return what stands in a page before and after the part that is written; `UserError` without the marks."""
    path = documents / page.name
    text = read_text(path) if path.is_file() else ""
    before, begin, rest = text.partition(f"{page.begin}\n")
    _, end, after = rest.partition(page.end)
    if not (begin and end):
        raise UserError(f"{path}: expected a part between the lines {page.begin} and {page.end}")
    return before, after
