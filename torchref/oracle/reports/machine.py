"""A verdict for programs: JSON, and JUnit's XML for CI."""

import json
from typing import Any
from xml.etree import ElementTree

from torchref.oracle.comparison import Array
from torchref.oracle.reports.numbers import nested, number, real
from torchref.oracle.reports.text import explained
from torchref.oracle.reports.words import clean, headline, one_line, outcome, said, status
from torchref.oracle.verdict import Finding, Picture, Verdict

SCHEMA = "twice-oracle-verdict/1"
"""Changes its number when a field changes its meaning or goes; new fields may come."""
PICTURE_ENTRIES = 4096
"""Larger arrays are left out of the JSON; they lie where `saved` says."""


def to_json(verdict: Verdict) -> str:
    """The whole verdict; NaN and infinity are strings, small pictures nested lists."""
    return json.dumps(as_dict(verdict), indent=1, allow_nan=False) + "\n"


def as_dict(verdict: Verdict) -> dict[str, Any]:
    """The whole verdict in lists, dictionaries, strings, truth values and finite numbers."""
    return {
        "schema": SCHEMA,
        "passed": verdict.passed,
        "outcome": outcome(verdict),
        "title": verdict.title,
        "like": verdict.like,
        "seed": verdict.seed,
        "seconds": round(verdict.seconds, 3),
        "tensors": verdict.tensors,
        "worst": number(verdict.worst),
        "columns": list(verdict.columns),
        "rows": [
            {
                "slug": row.slug,
                "label": row.label,
                "skipped": row.skipped,
                "cells": {
                    name: {
                        "passed": cell.passed,
                        "status": cell.status,
                        "ratio": number(cell.ratio),
                        "said": said(cell, name),
                        "note": cell.note,
                    }
                    for name, cell in row.cells.items()
                },
            }
            for row in verdict.rows
        ],
        "findings": [_finding(finding) for finding in verdict.findings],
        "guesses": list(verdict.guesses),
        "remarks": list(verdict.remarks),
        "diagram": [list(layer) for layer in verdict.diagram],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    picture = finding.picture
    return {
        "tensor": finding.tensor,
        "layer": finding.layer,
        "headline": headline(finding),
        "code": finding.code,
        "hint": finding.hint,
        "when": finding.when,
        "what": finding.what,
        "fault": finding.fault,
        "missing": finding.missing,
        "rows": list(finding.rows),
        "evidence": list(finding.evidence),
        "reproduce": finding.reproduce,
        "saved": finding.saved,
        "picture": None if picture is None else _picture(picture),
    }


def _picture(picture: Picture) -> dict[str, Any]:
    return {
        "at": None if picture.at is None else list(picture.at),
        "axes": picture.axes,
        "mine": None if picture.mine is None else _array(picture.mine),
        "oracle": _array(picture.oracle),
    }


def _array(array: Array) -> dict[str, Any]:
    small = real(array) and array.size <= PICTURE_ENTRIES
    return {"shape": list(array.shape), "dtype": str(array.dtype), "values": nested(array) if small else None}


def to_junit(verdict: Verdict) -> str:
    """One test case for each row and column; what is wrong fails with the findings as text."""
    cases: list[ElementTree.Element] = []
    for row in verdict.rows:
        for column in verdict.columns:
            cell = row.cells.get(column)
            case = ElementTree.Element("testcase", classname=one_line(verdict.title), name=f"{row.slug} {column}")
            if row.skipped or status(cell) == "none":
                ElementTree.SubElement(case, "skipped", message=row.skipped or "not judged")
            elif cell is not None and not cell.passed:
                failure = ElementTree.SubElement(case, "failure", message=f"{said(cell, column)}", type=cell.status)
                failure.text = "\n".join([cell.note, *_about(verdict, row.slug, column)])
            cases.append(case)
    if not verdict.passed and not any(case.find("failure") is not None for case in cases):
        case = ElementTree.Element("testcase", classname=one_line(verdict.title), name="verdict")
        failure = ElementTree.SubElement(case, "failure", message=outcome(verdict), type="verdict")
        failure.text = "\n".join(line.plain for finding in verdict.findings for line in explained(finding))
        cases.append(case)
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": "0",
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        "time": f"{verdict.seconds:.3f}",
    }
    suite = ElementTree.Element("testsuite", {"name": verdict.title, **counts})
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("like", verdict.like), ("seed", str(verdict.seed)), ("outcome", outcome(verdict))):
        ElementTree.SubElement(properties, "property", name=name, value=value)
    suite.extend(cases)
    if notes := [f"guessed: {note}" for note in verdict.guesses] + [f"note: {note}" for note in verdict.remarks]:
        ElementTree.SubElement(suite, "system-out").text = "\n".join(notes)
    whole = ElementTree.Element("testsuites", {"name": verdict.title, **counts})
    whole.append(suite)
    for element in whole.iter():  # XML has no place for control characters, not even escaped
        element.attrib = {name: one_line(value) for name, value in element.attrib.items()}
        element.text = None if element.text is None else clean(element.text)
    ElementTree.indent(whole)
    return ElementTree.tostring(whole, encoding="unicode", xml_declaration=True) + "\n"


def _about(verdict: Verdict, slug: str, column: str) -> list[str]:
    """The findings of a cell; what is not named as a column is about behaviour, or about a part that did not answer."""
    about = [f for f in verdict.findings if slug in f.rows and column in (f.tensor, f"{f.layer} {f.tensor}")]
    about = about or [f for f in verdict.findings if slug in f.rows and f.tensor not in verdict.columns]
    return [line.plain for finding in about for line in explained(finding)]
