"""What a browser shows of a runs folder: one page with the verdicts and figures of all experiments that lie there."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from experiments.atomic import write_text
from experiments.errors import UserError
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.running import Outcome, read
from experiments.lock import in_turn

_HERE = Path(__file__).parent


def write_index(folder: Path) -> Path:
    """Write the page, which refers to the figures in the experiments' own folders, and return where it is.

    Of experiments that end in the same moment each writes it in its turn, and the last has found all of them.

    Parameters
    ----------
    folder:
        From `running.lecture_folder`.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template, style = environment.get_template("page.html"), Markup((_HERE / "page.css").read_text("utf-8"))
    page = folder / "index.html"
    with in_turn(folder):
        outcomes, damaged = _found(folder)
        text = template.render(
            outcomes=outcomes,
            damaged=damaged,
            missing=[name for name in ENTRIES if name not in {outcome.name for outcome in outcomes}],
            claims=sum(len(outcome.claims) for outcome in outcomes),
            held=sum(claim.held for outcome in outcomes for claim in outcome.claims),
            style=style,
        )
        write_text(page, text)
    return page


def _found(folder: Path) -> tuple[list[Outcome], list[str]]:
    """The experiments in a folder, in the order of the slides; and what is said of those that cannot be read."""
    outcomes, damaged = [], []
    for name in ENTRIES:
        if not (folder / name / "verdict.json").is_file():
            continue
        try:
            outcomes.append(read(folder / name))
        except UserError as refusal:
            damaged.append(str(refusal))
    return outcomes, damaged
