"""What the documents show of a comparison: the marked part of a page, and figures in `images/speed/`."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from experiments.atomic import write_text
from experiments.marks import Page, around_the_marks

BEGIN: Final = "<!-- speed: from here to the end mark, `make bench` writes -->"
END: Final = "<!-- speed: end -->"
RESULTS: Final = Page("results.md", BEGIN, END)
IDEAS: Final = Page(
    "speed.md",
    "<!-- ideas: from here to the end mark, `twice bench --what ideas --profile --publish docs` writes -->",
    "<!-- ideas: end -->",
)


class Figure(NamedTuple):
    """A figure as NAME.svg and NAME-dark.svg in a folder, and what it shows, in words."""

    name: str
    alt: str


class Section(NamedTuple):
    """One part of what was measured.

    Parameters
    ----------
    name, title:
        What it is called in the JSON file, and in its heading.
    markdown:
        Its text.
    content:
        The same as JSON has it.
    held:
        Whether every target in it was met.
    figures:
        Those that were drawn.
    """

    name: str
    title: str
    markdown: str
    content: Any
    held: bool = True
    figures: tuple[Figure, ...] = ()


def document(heading: str, sections: Sequence[Section], images: str) -> str:
    """Return the sections in Markdown.

    Parameters
    ----------
    heading:
        What comes first: when, on what, with what.
    sections:
        In their order.
    images:
        Where the figures are, as seen from the document.
    """
    parts = [f"\n{heading}\n"]
    for section in sections:
        parts.append(f"### {section.title}\n")
        parts.append(f"{section.markdown.strip()}\n")
        parts += [_picture(figure, images) for figure in section.figures]
    return "\n".join(parts)


def publish(heading: str, sections: Sequence[Section], folder: Path, documents: Path) -> list[Path]:
    """Write the marked part of `results.md`, and put the figures beside it.

    Parameters
    ----------
    heading, sections:
        See `document`.
    folder:
        Where the figures were drawn.
    documents:
        The folder of the documents; its `results.md` has the two marks.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    UserError
        If `results.md` is not there or has not the two marks; nothing is changed then.
    """
    around_the_marks(documents, RESULTS)
    images = documents / "images" / "speed"
    fresh = images.with_name("speed.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for section in sections:
        for figure in section.figures:
            for suffix in ("", "-dark"):
                shutil.copyfile(folder / f"{figure.name}{suffix}.svg", fresh / f"{figure.name}{suffix}.svg")
    shutil.rmtree(images, ignore_errors=True)
    fresh.rename(images)
    return [images, write_part(heading, sections, documents)]


def write_part(heading: str, sections: Sequence[Section], documents: Path, page: Page = RESULTS) -> Path:
    """Write the marked part of a page, whose figures are there, and return the page; `UserError` without marks."""
    before, after = around_the_marks(documents, page)
    path = documents / page.name
    write_text(path, f"{before}{page.begin}\n{document(heading, sections, 'images/speed')}{page.end}{after}")
    return path


def _picture(figure: Figure, images: str) -> str:
    stem = f"{images}/{figure.name}"
    alt = figure.alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return (
        f'<picture>\n<source media="(prefers-color-scheme: dark)" srcset="{stem}-dark.svg">\n'
        f'<img alt="{alt}" src="{stem}.svg">\n</picture>\n'
    )
