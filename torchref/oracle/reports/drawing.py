"""Where the boxes of a network stand: layers from top to bottom, forward on the left, backward on the right."""

from dataclasses import dataclass
from typing import Any

from torchref.oracle.reports.words import BEHAVIOUR, label, mark, one_line, said, status
from torchref.oracle.verdict import Cell, Row, Verdict

WIDTH, HEIGHT, GAP, MARGIN = 420, 46, 22, 26
SIDE = 92
"""Width of the forward and backward sides, left and right of the layer's name."""
CHARACTERS = 27
"""Of the description, as many as the box takes."""


@dataclass(frozen=True)
class Side:
    """What is known about one direction of a layer: its state, its worst error, and the columns that are wrong."""

    status: str
    said: str
    names: str
    link: str


def network(verdict: Verdict) -> dict[str, Any]:
    """The boxes with their places, and the size of the drawing."""
    rows = {row.slug: (place, row) for place, row in enumerate(verdict.rows)}
    boxes = []
    for place, (name, description) in enumerate(verdict.diagram):
        at, row = rows.get(name, (None, Row(name, name)))
        forward = verdict.columns[:1]
        backward = tuple(column for column in verdict.columns[1:] if column != BEHAVIOUR)
        boxes.append(
            {
                "name": shortened(label(name), 22),
                "title": f"{one_line(name)}: {one_line(description)}",
                "description": shortened(one_line(description), CHARACTERS),
                "y": MARGIN + place * (HEIGHT + GAP),
                "forward": side(verdict, row, forward, f"#row-{at}" if at is not None else ""),
                "backward": side(verdict, row, backward, f"#row-{at}" if at is not None else ""),
            }
        )
    return {
        "boxes": boxes,
        "width": WIDTH,
        "height": MARGIN + len(boxes) * (HEIGHT + GAP) - GAP + 10,
        "box": HEIGHT,
        "gap": GAP,
        "side": SIDE,
    }


def side(verdict: Verdict, row: Row, columns: tuple[str, ...], home: str) -> Side:
    """One direction of a layer: wrong if any of its tensors is, else inherited if any is; jumps to the finding."""
    cells: dict[str, Cell] = {name: row.cells[name] for name in columns if name in row.cells}
    states = {name: status(cell) for name, cell in cells.items()}
    state = next((s for s in ("wrong", "inherited", "ok") if s in states.values()), "none")
    guilty = [name for name, s in states.items() if s == state]
    if not guilty:
        return Side("none", mark(None), "", "")
    worst = max(guilty, key=lambda name: cells[name].ratio)
    findings = [i for i, f in enumerate(verdict.findings) if f.layer == row.slug and f.tensor in guilty]
    names = ", ".join(guilty) if state != "ok" and len(columns) > 1 else ""
    target = f"#finding-{findings[0]}" if findings and state == "wrong" else home
    return Side(state, said(cells[worst], worst), shortened(one_line(names), 12), target)


def shortened(text: str, limit: int) -> str:
    """Text of at most `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
