"""What the documents show of the lecture: the gallery with its figures, and the table of verdicts in `results.md`."""

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from experiments.atomic import write_text
from experiments.lecture.lab.lab import Table
from experiments.lecture.lab.seeds import cores
from experiments.lecture.running import Outcome
from experiments.manifest import cpu_name
from experiments.marks import Page, around_the_marks

BEGIN: Final = "<!-- lecture: from here to the end mark, `make gallery` writes -->"
END: Final = "<!-- lecture: end -->"
RESULTS: Final = Page("results.md", BEGIN, END)


def publish(outcomes: Sequence[Outcome], folder: Path, documents: Path) -> list[Path]:
    """Write `gallery.md`, its figures in `images/lecture/`, and the marked part of `results.md`.

    Parameters
    ----------
    outcomes:
        All experiments, in the order of the slides.
    folder:
        Where their folders are.
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
    before, after = around_the_marks(documents, RESULTS)
    results = documents / "results.md"
    images = documents / "images" / "lecture"
    fresh = images.with_name("lecture.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for outcome in outcomes:
        for drawing in outcome.drawings:
            for suffix in ("", "-dark"):
                figure = folder / outcome.name / "figures" / f"{drawing.name}{suffix}.svg"
                shutil.copyfile(figure, fresh / f"{outcome.name}-{drawing.name}{suffix}.svg")
    shutil.rmtree(images, ignore_errors=True)
    fresh.rename(images)
    gallery = documents / "gallery.md"
    write_text(gallery, "\n".join(_gallery(outcomes)) + "\n")
    write_text(results, f"{before}{BEGIN}\n" + "\n".join(_verdicts(outcomes)) + f"\n{END}{after}")
    return [gallery, images, results]


def _gallery(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "# The lecture's figures"
    yield ""
    yield "Written by `make gallery`, which runs `twice lecture all`. Where a figure shows both wings, the wide line is"
    yield "`scratch` and the dashed one on top of it `torch`. The [lecture map](lecture.md) leads from slides to code."
    for outcome in outcomes:
        yield f"\n## {outcome.name}"
        yield f"\n**{outcome.heading}** · {outcome.english} · [`twice lecture {outcome.name}`]({_source(outcome)})"
        for drawing in outcome.drawings:
            stem = f"images/lecture/{outcome.name}-{drawing.name}"
            yield "\n<picture>"
            yield f'<source media="(prefers-color-scheme: dark)" srcset="{stem}-dark.svg">'
            yield f'<img alt="{_escaped(drawing.alt)}" src="{stem}.svg">'
            yield f"</picture>\n\n{_inline(drawing.caption)}"
        for table in outcome.tables:
            yield f"\n<details><summary>{_escaped(table.title)}</summary>\n"
            yield from _table(table)
            yield "\n</details>"
        yield ""
        for claim in outcome.claims:
            yield f"- {'✓' if claim.held else '✗ **failed**:'} {_inline(claim.statement)}"
            yield f"  <br><sub>{_inline(claim.measured)}</sub>"


def _verdicts(outcomes: Sequence[Outcome]) -> Iterator[str]:
    claims = [claim for outcome in outcomes for claim in outcome.claims]
    held, seconds = sum(claim.held for claim in claims), sum(outcome.seconds for outcome in outcomes)
    yield f"\n{held} of {len(claims)} claims held, in {seconds:.0f} seconds on {cores()} cores ({cpu_name()}).\n"
    yield "| experiment | claim | measured | held |"
    yield "|---|---|---|---|"
    for outcome in outcomes:
        for claim in outcome.claims:
            cells = (_inline(claim.statement), _inline(claim.measured), "✓" if claim.held else "**✗ no**")
            yield f"| [{outcome.name}](gallery.md#{outcome.name}) | {' | '.join(cells)} |"
    yield ""


def _table(table: Table) -> Iterator[str]:
    yield "| " + " | ".join(map(_inline, table.headings)) + " |"
    yield "|---|" + "---:|" * (len(table.headings) - 1)
    for row in table.rows:
        yield "| " + " | ".join(map(_inline, row)) + " |"


def _source(outcome: Outcome) -> str:
    return f"../experiments/lecture/{outcome.name.replace('-', '_')}.py"


def _inline(text: str) -> str:
    """A text as Markdown shows it: no character of it is markup, none ends a cell."""
    return re.sub(r"([\\`*_|<~\[\]$])", r"\\\1", text.replace("&", "&amp;")).replace("\n", " ")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
