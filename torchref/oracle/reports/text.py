"""A verdict for the terminal."""

from torchref.oracle.verdict import Cell, Verdict


def render(verdict: Verdict) -> str:
    """The table of cases by tensors, the findings below it."""
    width = max((len(row.label) for row in verdict.rows), default=4) + 2
    lines = [f"{'case':<{width}}" + "".join(f"{name:<12}" for name in verdict.columns)]
    for row in verdict.rows:
        cells = row.skipped or "".join(f"{_said(row.cells.get(name)):<12}" for name in verdict.columns)
        lines.append(f"{row.label:<{width}}{cells}")
    for finding in verdict.findings:
        lines.append(f"✗ {finding.tensor}: {finding.hint or 'unexplained'}")
        lines.append(f"  {finding.what}")
        lines += [f"  {line}" for line in finding.evidence]
        lines.append(f"  reproduce: {finding.reproduce}")
    return "\n".join(lines)


def _said(cell: Cell | None) -> str:
    if cell is None or cell.status == "not judged":
        return "–"
    return f"{'✓' if cell.passed else '✗'} {cell.ratio:.2g}"
