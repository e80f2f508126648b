"""The bench of one experiment: where it writes curves, figures and tables, and where its chance comes from."""

import dataclasses
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

from experiments.lecture.lab.seeds import over_seeds
from experiments.lecture.lab.themes import LIGHT, THEMES, Theme
from experiments.tensorboard import Board

Result = TypeVar("Result")
Draw = Callable[[Figure, Theme], None]

_DPI: Final = 110
_IDLE: Final = re.compile(r"<!--.*?-->|(?<=\n) +", re.DOTALL)  # comments and indentation
_PLACES: Final = re.compile(r' (?:d|x|y)="[^"]*|translate\([^)]*')
_LONG: Final = re.compile(r"\d+\.\d{3,}")


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure that was drawn: the stem of its files, its caption, and what it shows for those who cannot see it."""

    name: str
    caption: str
    alt: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of an experiment, all of it text."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Lab:
    """What an experiment is given to work with.

    Parameters
    ----------
    folder:
        Of this experiment's run; it exists.
    seed:
        What all its chance comes from; experiments over seeds take `seed`, `seed + 1`, ….
    jobs:
        Processes for work over seeds.

    Attributes
    ----------
    drawings, tables:
        What was drawn and tabulated, in order.
    """

    def __init__(self, folder: Path, *, seed: int = 0, jobs: int = 1) -> None:
        self.folder = folder
        self.seed = seed
        self.jobs = jobs
        self.drawings: list[Drawing] = []
        self.tables: list[Table] = []
        self._boards: dict[str, Board] = {}

    @property
    def figures(self) -> Path:
        """Folder of the figures."""
        return self.folder / "figures"

    def board(self, name: str) -> Board:
        """The TensorBoard folder of a wing, "scratch" or "torch", or of both, "summary"; made when first asked for."""
        if name not in self._boards:
            self._boards[name] = Board(self.folder / name)
        return self._boards[name]

    def curve(self, wing: str, tag: str, values: Iterable[float], steps: Iterable[int] | None = None) -> None:
        """Write a curve to a wing's TensorBoard, under a tag that both share.

        Parameters
        ----------
        wing:
            "scratch" or "torch".
        tag:
            Such as "loss/online".
        values:
            One number per step.
        steps:
            Their places on the x axis; 1, 2, 3, … if not given.
        """
        board = self.board(wing)
        values = list(values)
        for step, value in zip(range(1, len(values) + 1) if steps is None else steps, values, strict=True):
            board.scalars({tag: value}, step)

    def figure(self, name: str, draw: Draw, *, size: tuple[float, float], caption: str, alt: str) -> None:
        """Draw a figure: SVG for a light and for a dark page, PNG, and an image in TensorBoard.

        Parameters
        ----------
        name:
            Stem of the files, such as "curves".
        draw:
            Draws on a matplotlib figure that has a layout but no axes; called once per theme.
        size:
            Width and height in inches; 8 inches are the width of a page.
        caption:
            A sentence or two: what one sees, and what to look at.
        alt:
            What the figure shows, for those who cannot see it.
        """
        self.figures.mkdir(exist_ok=True)
        for theme in THEMES:
            settings: Any = theme.settings()  # matplotlib's types want each key spelt out
            with mpl.rc_context(settings):
                figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
                draw(figure, theme)
                suffix = "" if theme is LIGHT else f"-{theme.name}"
                if theme is LIGHT:
                    self._raster(name, figure)  # first: SVG sets the figure to 72 dots per inch
                (self.figures / f"{name}{suffix}.svg").write_text(svg(figure), encoding="utf-8")
        self.drawings.append(Drawing(name, caption, alt))

    def table(self, title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Keep a table for the terminal, the page and TensorBoard; what is no text becomes text by `str`."""
        texts = tuple(tuple(map(str, row)) for row in rows)
        for row in texts:
            if len(row) != len(headings):
                raise ValueError(f"a row of {title!r} has {len(row)} cells, expected {len(headings)}: {row}")
        self.tables.append(Table(title, tuple(headings), texts))

    def over_seeds(self, work: Callable[[int], Result], count: int) -> list[Result]:
        """Do the work of the seeds `seed` … `seed + count − 1`; see `seeds.over_seeds`."""
        return over_seeds(work, range(self.seed, self.seed + count), self.jobs)

    def hparams(self, settings: Mapping[str, Any]) -> None:
        """Write the settings to TensorBoard's page of texts."""
        rows = "".join(f"| {name} | {value} |\n" for name, value in settings.items())
        self.board("summary").text("config", f"| | |\n|---|---|\n{rows}", 0)

    def close(self) -> None:
        """Close TensorBoard's files."""
        for board in self._boards.values():
            board.close()

    def _raster(self, name: str, figure: Figure) -> None:
        canvas: Any = FigureCanvasAgg(figure)  # Any: matplotlib ships its methods without types
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", optimize=True)
        (self.figures / f"{name}.png").write_bytes(file.getvalue())
        self.board("summary").images({f"figures/{name}": (file.getvalue(), pixels.shape)}, 0)


def svg(figure: Figure) -> str:
    """Return a figure as SVG, as short as it can be: hundredths of a point are kept of matplotlib's millionths."""
    file = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(file, metadata={"Date": None})
    shorter = _IDLE.sub("", file.getvalue())
    return _PLACES.sub(lambda place: _LONG.sub(lambda number: f"{float(number[0]):.2f}", place[0]), shorter)
