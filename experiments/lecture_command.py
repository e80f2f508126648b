"""`twice lecture`: the lecture's experiments. Flags and refusals; the work is done in `experiments.lecture`.

As with all commands, nothing heavy is imported before what was typed is known to make sense.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Final

import tyro

from experiments.errors import USAGE_ERROR, UserError, close_matches
from experiments.flags import Folder, Whole, word
from experiments.lecture.catalogue import ENTRIES

_MOST: Final = 2**62  # torch's generators take 64 bits with a sign, and work over seeds counts up from the first


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lecture:
    """Run the lecture's experiments: NAME, or all; without NAME, list them with their slides.

    Exit status 0 if every claim held, 1 if one did not.
    """

    operands: ClassVar[str] = "[NAME]"

    name: tyro.conf.Positional[Annotated[str, word(str, "NAME", lambda text: text or "list them")]] = ""
    """Which experiment; all runs all of them."""

    quick: bool = False
    """The reduced version: fewer seeds and sizes, in seconds."""

    seed: Whole = 0
    """What all chance comes from."""

    jobs: Whole = 0
    """Processes for work over seeds; 0 takes one per core. Results do not depend on it."""

    runs_dir: Annotated[Path, word(Path, "DIR")] = Path("runs")
    """Folder in which lecture/NAME is made."""

    publish: Folder = None
    """With all: put the gallery and the table of verdicts into this folder of documents."""

    json: bool = False
    """Print the outcome as one JSON object; everything else goes to stderr."""

    def run(self) -> int:
        """Run, or list."""
        self._refuse()
        if not self.name:
            from experiments.lecture.listing import show_entries

            show_entries(as_json=self.json)
            return 0
        from experiments.lecture.session import run_lecture

        names = list(ENTRIES) if self.name == "all" else [self.name]
        return run_lecture(
            names,
            runs_dir=self.runs_dir,
            quick=self.quick,
            seed=self.seed,
            jobs=self.jobs,
            publish_to=self.publish,
            as_json=self.json,
        )

    def _refuse(self) -> None:
        for name, value in (("seed", self.seed), ("jobs", self.jobs)):
            if not 0 <= value < _MOST:
                expected = f"a whole number of at least 0{' and below 2^62' * (value > 0)}"
                raise UserError(f"--{name}: expected {expected}; got {value}", USAGE_ERROR)
        if not self.name:
            if self != Lecture(json=self.json):
                raise UserError("which experiment is to be run? twice lecture NAME, or all", USAGE_ERROR)
            return
        known = (*ENTRIES, "all")
        if self.name not in known:
            near = close_matches(self.name, known)
            raise UserError(f"unknown experiment {self.name!r}{near}\nexperiments: {', '.join(known)}", USAGE_ERROR)
        if self.publish is not None and (self.name != "all" or self.quick or self.seed):
            raise UserError("--publish: expected with all, without --quick and --seed", USAGE_ERROR)
        if self.publish is not None and not self.publish.is_dir():
            raise UserError(f"--publish: there is no folder {self.publish}", USAGE_ERROR)
