"""A verdict as one self-contained page: the table, the network, and heat maps of what is wrong."""

import json
import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from torchref.oracle.reports import words
from torchref.oracle.reports.drawing import network
from torchref.oracle.reports.window import summary, views
from torchref.oracle.verdict import Cell, Finding, Verdict

HERE = Path(__file__).parent


def to_html(verdict: Verdict) -> str:
    """The page; nothing in it comes from anywhere else, and all text of the verdict is shown as text."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    findings = [_finding(finding, place) for place, finding in enumerate(verdict.findings)]
    return environment.get_template("page.html").render(
        passed=verdict.passed,
        title=words.one_line(verdict.title) or "a candidate",
        like=words.one_line(verdict.like),
        outcome=words.outcome(verdict),
        effort=words.effort(verdict),
        legend=words.legend(verdict),
        unit=words.unit(verdict),
        columns=verdict.columns,
        rows=[_row(verdict, place) for place in range(len(verdict.rows))],
        findings=findings,
        guesses=verdict.guesses,
        remarks=verdict.remarks,
        network=network(verdict) if verdict.diagram else None,
        style=Markup((HERE / "page.css").read_text("utf-8")),
        script=Markup("\n".join((HERE / name).read_text("utf-8") for name in ("page.values.js", "page.js"))),
        data=embedded({finding["id"]: finding["views"] for finding in findings if finding["views"]}),
    )


def _finalize(value: Any) -> Any:
    return words.clean(value) if type(value) is str else value


def embedded(data: Any) -> Markup:
    """JSON that can stand in a script element: no text in it can end the element or begin a comment."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def heat(cell: Cell | None) -> str:
    """How far beyond the bound, from 0 (within) to 1 (10¹⁶ times it, or a fault), for the colour."""
    if cell is None or cell.passed:
        return "0"
    return f"{min(max(math.log10(max(cell.ratio, 1.0)) / 16, 0.15), 1.0) if math.isfinite(cell.ratio) else 1.0:.2f}"


def _row(verdict: Verdict, place: int) -> dict[str, Any]:
    row = verdict.rows[place]
    return {
        "id": f"row-{place}",
        "label": words.label(row.slug if verdict.diagram else row.label),  # the drawing has the rest
        "skipped": row.skipped,
        "cells": [
            {
                "said": words.said(row.cells.get(column), column),
                "status": words.status(row.cells.get(column)),
                "heat": heat(row.cells.get(column)),
                "note": row.cells[column].note if column in row.cells else "",
                "link": link(verdict, row.slug, column),
            }
            for column in verdict.columns
        ],
    }


def link(verdict: Verdict, slug: str, column: str) -> str:
    """The finding that a wrong cell belongs to, as a fragment; "" if there is none."""
    row = next(row for row in verdict.rows if row.slug == slug)
    cell = row.cells.get(column)
    if words.status(cell) != "wrong":
        return ""
    about = [i for i, f in enumerate(verdict.findings) if slug in f.rows or f.layer == slug]
    named = [i for i in about if verdict.findings[i].tensor == column]
    beside = [i for i in about if verdict.findings[i].tensor not in verdict.columns]
    found = named or beside or about
    return f"#finding-{found[0]}" if found else ""


def _finding(finding: Finding, place: int) -> dict[str, Any]:
    what, *evidence = words.known(finding)
    return {
        "id": f"finding-{place}",
        "tensor": finding.tensor,
        "headline": words.headline(finding),
        "heading": words.lead(finding) if finding.hint and not finding.missing else words.headline(finding),
        "hint": words.cause(finding),
        "missing": finding.missing,
        "what": what,
        "rows": words.some(finding.rows),
        "evidence": evidence,
        "reproduce": words.clean(finding.reproduce),
        "saved": finding.saved,
        "views": views(finding.picture) if finding.picture is not None and not finding.missing else [],
        "summary": summary(finding.picture) if finding.picture is not None and not finding.missing else "",
    }
