"""`twice check`: somebody's code held against the oracle. Flags and refusals; the work is done by `supervision`.

As with all commands, nothing heavy is imported before what was typed is known to make sense.
"""

import dataclasses
import math
import shlex
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import tyro

from experiments.errors import USAGE_ERROR, UserError
from experiments.flags import Folder, Real, Whole, one_of, word
from experiments.invocation import command

Precision = Literal["float64", "float32", "both"]
Text = Annotated[str, word(str, "TEXT", lambda text: text or "none")]
File = Annotated[Path | None, word(Path, "FILE", lambda path: "none" if path is None else str(path))]

#: Fields that say what is done with the verdict; the rest decides it, and so belongs to the command that repeats it.
OUTPUTS: Final = ("html", "junit", "save", "json")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """Hold your own layer, loss or optimiser against the oracle; without TARGET, list what can be judged.

    Exit status 0 if all is right, 1 if something is wrong. Your code runs in a process of its own, with a time limit
    for each call: whatever it does, a report comes of it.
    """

    operands: ClassVar[str] = "[TARGET]"

    target: tyro.conf.Positional[Annotated[str, word(str, "TARGET", lambda text: text or "list the kinds")]] = ""
    """What to judge: FILE.py:forward,backward or FILE.py:Class, or the same with a module's name."""

    like: Annotated[str, word(str, "KIND", lambda text: text or "none")] = ""
    """What it is to be: conv2d, linear, relu, cross_entropy, sgd, …; alone, it shows that kind's cases and features."""

    layout: Text = ""
    """Order of the axes of your activations, if it is not torch's, such as NHWC."""

    weight: Text = ""
    """Order of the axes of your weights, such as HWIO, or IO for x @ W."""

    bias: Text = ""
    """Axes of your bias, such as 1O."""

    arguments: Text = ""
    """What your arguments are, where their names do not tell: theirs=ours,theirs=ours."""

    unsupported: Text = ""
    """Features that your code is to be without, such as "stride padding"; what needs them is skipped, visibly."""

    strict: bool = False
    """Count NaN, infinity and the sign of zero too; else what differs there is a remark."""

    dtype: Annotated[Precision, one_of(Precision)] = "both"
    """Precision to run in."""

    case: Annotated[str, word(str, "CASE", lambda text: text or "all")] = ""
    """Cases to run, by their short names: "s2p1 n0"."""

    seed: Whole = 0
    """Seed of everything that is drawn."""

    time_limit: Real = 10.0
    """Seconds that one call of your code may take."""

    html: File = None
    """Write the report as a page that needs no network."""

    junit: File = None
    """Write the report as JUnit's XML."""

    save: Folder = None
    """Folder for the arrays of what is wrong, instead of one for temporary files."""

    json: bool = False
    """Print the report as one JSON object."""

    def run(self) -> int:
        """Check, or list what can be checked."""
        self._refuse()
        if not self.target:
            from experiments.kind_listing import show_kind, show_kinds

            show_kind(self.like) if self.like else show_kinds()
            return 0
        from experiments.supervision import supervise

        return supervise(self.job())

    def job(self) -> dict[str, Any]:
        """All of it as JSON can carry it, with the command that repeats a case."""
        fields = dataclasses.asdict(self)
        job = {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}
        return {**job, "arguments": dict(self._arguments()), "command": self.command()}

    def command(self) -> str:
        """What to type to check the same again; `--case` and `--seed` are to follow."""
        words = [self.target]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in ("target", "case", "seed", *OUTPUTS) and value != field.default:
                words.append(f"--{field.name.replace('_', '-')}")
                words += [] if value is True else [f"{value:g}" if field.name == "time_limit" else value]
        return command("check", *words)

    def _arguments(self) -> list[tuple[str, str]]:
        pairs = [pair.partition("=") for pair in self.arguments.replace(",", " ").split()]
        for theirs, _, ours in pairs:
            if not (theirs and ours):
                self._expected("arguments", "theirs=ours,theirs=ours, such as pad=padding", self.arguments)
        return [(theirs, ours) for theirs, _, ours in pairs]

    def _refuse(self) -> None:
        """Refuse what no check could come of."""
        if self.seed < 0:
            self._expected("seed", "a whole number of at least 0", self.seed)
        if not (math.isfinite(self.time_limit) and self.time_limit > 0):
            self._expected("time-limit", "a finite number of seconds greater than 0", self.time_limit)
        self._arguments()
        for name, path, suffix in (("html", self.html, ".html"), ("junit", self.junit, ".xml")):
            if path is not None and path.suffix != suffix:
                self._expected(name, f"the name of a file that ends in {suffix}", str(path))
            if path is not None and not path.parent.is_dir():
                raise UserError(f"--{name}: there is no folder {path.parent}", USAGE_ERROR)
        if not self.target:
            if self != Check(like=self.like):
                raise UserError(f"what is to be checked? twice check TARGET --like {self.like or 'KIND'}", USAGE_ERROR)
            return
        place, _, names = self.target.rpartition(":")
        if not (place and names):
            self._expected("TARGET", "FILE.py:forward,backward or FILE.py:Class", self.target)
        if place.endswith(".py") and not Path(place).is_file():
            raise UserError(f"{self.target}: there is no file {place}", USAGE_ERROR)
        if not self.like:
            said = f"say what {shlex.quote(self.target)} is to be: --like KIND; {command('check')} lists the kinds"
            raise UserError(said, USAGE_ERROR)

    def _expected(self, name: str, expected: str, got: object) -> None:
        raise UserError(f"{'' if name.isupper() else '--'}{name}: expected {expected}; got {got!r}", USAGE_ERROR)
