"""What a whole check says: a table of cases by tensors, and for each tensor that is wrong, what is known about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torchref.oracle.comparison import Array, EquivalenceError


@dataclass(frozen=True)
class Cell:
    """One tensor in one case: the worst of the dtypes and inputs it was judged on.

    Attributes
    ----------
    ratio:
        The largest error in units of its bound; infinity for a fault.
    passed:
        Whether all of them passed.
    status:
        "ok", "wrong", or "inherited": differs only because something before it does.
    note:
        The fault, or the failing comparison in words; "" if it passed.
    """

    ratio: float
    passed: bool
    status: str = "ok"
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One case of a kind, one layer of a network, or one step of a training."""

    slug: str
    label: str
    cells: Mapping[str, Cell] = field(default_factory=dict)
    skipped: str = ""
    """Why it was not run; "" if it was."""


@dataclass(frozen=True)
class Picture:
    """A wrong tensor as it came and as it should be, for heat maps.

    Attributes
    ----------
    mine:
        As it came, whatever its shape and dtype; None if nothing did.
    oracle:
        As it should be.
    at:
        The worst element; None where no error could be measured.
    axes:
        A letter for each axis, such as "NCHW"; "" if they have none.
    """

    mine: Array | None
    oracle: Array
    at: tuple[int, ...] | None = None
    axes: str = ""


@dataclass(frozen=True)
class Finding:
    """One tensor, or one way of behaving, that is wrong.

    Attributes
    ----------
    tensor:
        As the table's column: "forward", "dx", "dw", or "behaviour".
    layer:
        Of a network; "" for a single layer.
    what:
        One sentence: in how many cases, how far off at worst, where.
    rows:
        Slugs of the rows in which it is wrong.
    hint:
        The likely mistake in one sentence, which held on a second seed; "" if unexplained.
    code:
        The hypothesis behind the hint, such as "ratio:N"; "" if unexplained.
    evidence:
        What is known about the error, in lines.
    reproduce:
        A command line or Python snippet that shows it again.
    saved:
        The file with the arrays of the worst case; "" if none was written.
    picture:
        The worst case's arrays; None for behaviour.
    missing:
        Whether the part is not there yet rather than wrong.
    when:
        What sets the runs in which it is wrong apart: "only with a border of zeros"; "" if nothing does.
    fault:
        What is wrong where no error can be measured: "raises ZeroDivisionError: …", "shape (2,), oracle (3,)"; else "".
    """

    tensor: str
    what: str
    layer: str = ""
    rows: tuple[str, ...] = ()
    hint: str = ""
    code: str = ""
    evidence: tuple[str, ...] = ()
    reproduce: str = ""
    saved: str = ""
    picture: Picture | None = None
    missing: bool = False
    when: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Verdict:
    """What `check`, `compare` and `compare_training` return.

    Attributes
    ----------
    title:
        What was judged.
    like:
        What it was held against: "conv2d", or a description of a module.
    seed:
        Of all draws.
    columns:
        The table's, in the order of computation: the first is the forward side, "behaviour" neither, the rest backward.
    rows:
        The table's; of a network, a layer's slug is its name.
    findings:
        What is wrong, in the order of computation: the first one is guilty.
    guesses:
        What was not said and had to be guessed.
    remarks:
        What is worth knowing and not wrong, such as that the code prints.
    diagram:
        Of a network: its layers, (name, description) in order; empty for a single layer.
    seconds:
        How long it took.
    tensors:
        How many were compared, and how many promises checked; 0 if nobody counted.
    """

    title: str
    like: str
    seed: int
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    guesses: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    diagram: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    tensors: int = 0

    @property
    def passed(self) -> bool:
        """Whether something was judged and nothing is wrong."""
        cells = [cell for row in self.rows for cell in row.cells.values() if cell.status != "not judged"]
        return bool(cells) and all(cell.passed for cell in cells) and not self.findings

    @property
    def worst(self) -> float:
        """The largest ratio in the table."""
        return max((cell.ratio for row in self.rows for cell in row.cells.values()), default=0.0)

    def __str__(self) -> str:
        from torchref.oracle.reports.text import render  # here, as reports describe verdicts

        return render(self)

    def require(self) -> None:
        """Raise `EquivalenceError` with the report unless all passed."""
        if not self.passed:
            raise EquivalenceError(str(self))

    def save(self, path: Any) -> None:
        """Write the report to `path`: .html, .json, .xml (JUnit) or .txt, by its suffix.

        Raises
        ------
        ValueError
            For another suffix.
        """
        from torchref.oracle.reports import save

        save(self, path)
