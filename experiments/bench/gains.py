"""What each idea brings: a training step as it is, beside the same step with the plain way in the idea's place.

The two take turns in one process, in one thread. Where an idea is about memory or processes, each has a process of its
own. Before any time is taken, both have to come to the same gradients and the same updated parameters, but for
rounding: a step that computes something else would prove nothing by being slow.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from experiments.bench import agreement, worker
from experiments.bench.agreement import DisagreementError
from experiments.bench.alternating import PAUSE, Spread, alternate, ratios, spread
from experiments.bench.cells import Cell
from experiments.bench.competitors.scratch_steps import Steps
from experiments.bench.ideas import ALL, IDEAS, Idea
from experiments.bench.tables import Table
from experiments.bench.workers import Entrant, Worker, WorkerError

SHARE: Final = 0.25
"""Of the seconds that a turn has in other comparisons: there are ten times as many here."""
_WORKER: Final = "experiments.bench.ideas_worker"


@dataclasses.dataclass(frozen=True)
class Gain:
    """What an idea brings in a cell.

    Parameters
    ----------
    letter, idea:
        Which.
    cell:
        Where.
    now, instead:
        Seconds per step, of the step as it is and of the other, one per round.
    refused:
        Why it was not timed, or nothing.
    """

    letter: str
    idea: Idea
    cell: Cell
    now: tuple[float, ...] = ()
    instead: tuple[float, ...] = ()
    refused: str = ""

    @property
    def ratio(self) -> Spread:
        """How many times as fast the step is with the idea; below 1 for one that was thrown away with reason."""
        with_it, without = (self.now, self.instead) if self.idea.kept else (self.instead, self.now)
        return spread(ratios(without, with_it))

    def to_json(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        measured = {"now": self.now, "instead": self.instead, "refused": self.refused}
        ratio = None if self.refused else self.ratio._asdict()
        return {
            "idea": self.letter,
            "name": self.idea.name,
            "kept": self.idea.kept,
            "cell": dataclasses.asdict(self.cell),
            **measured,
            "ratio": ratio,
        }


class Version:
    """A step with an idea's `instead` in place, or as it is; built and repeated like that."""

    def __init__(self, cell: Cell, way: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        self._way = way
        with way():
            self.steps = Steps(cell, 1)

    def gradients(self) -> dict[str, agreement.Array]:
        """The gradients of the third pass, after `outcome` made the first, on other images than the first two.

        The second is recorded and the third replayed, which has to follow new numbers. The biases, which begin at 0,
        are at something else since the first step.
        """
        with self._way():
            for images in (self.steps.images, -self.steps.images):
                _, _, grads = self.steps.parts.gradients(images, self.steps.labels)
        return grads

    def outcome(self) -> dict[str, agreement.Array]:
        """The loss and the parameters after one step."""
        with self._way():
            self.steps.step()
        return self.steps.outcome()

    def measure(self, seconds: float) -> float:
        """Seconds per step."""
        with self._way():
            return worker.measure(self.steps.step, seconds, 1)[0]


def same_steps(cell: Cell, now: Version, instead: Version) -> None:
    """Raise `DisagreementError` unless two versions come to the same weights in a step, and to the same gradients."""
    agreement.check(cell, now.outcome(), instead.outcome())
    same_gradients(cell, now.gradients(), instead.gradients())


def same_gradients(cell: Cell, ours: Mapping[str, agreement.Array], theirs: Mapping[str, agreement.Array]) -> None:
    """Raise `DisagreementError` unless two lots of gradients are the same but for rounding."""
    if list(ours) != list(theirs):
        raise DisagreementError(f"{cell.name}: gradients of {list(theirs)}, expected {list(ours)}")
    for name, grad in ours.items():
        allowed = agreement.GRADIENT * float(np.finfo(cell.dtype).eps) * float(np.abs(grad).max())
        apart = float(np.abs(grad - theirs[name]).max()) if grad.shape == theirs[name].shape else np.inf
        if not apart <= allowed:
            raise DisagreementError(
                f"{cell.name}: the gradient of {name} differs by {apart:.2g} (rounding: {allowed:.2g})"
            )


def compare(letter: str, idea: Idea, cell: Cell, *, rounds: int, seconds: float) -> Gain:
    """Measure one idea in one cell, in this process; one that computes something else is refused."""
    with threadpool_limits(1, "blas"), contextlib.ExitStack() as stack:
        now = Version(cell, lambda: idea.put_in_place(instead=False))
        instead = Version(cell, idea.put_in_place)
        for version in (now, instead):
            stack.callback(version.steps.close)
        try:
            same_steps(cell, now, instead)
        except DisagreementError as error:
            return Gain(letter, idea, cell, refused=str(error))
        measures = {way: lambda way=way: way.measure(seconds) for way in (now, instead)}
        taken = alternate(measures, rounds, 0.0)
    return Gain(letter, idea, cell, taken[now], taken[instead])


def compare_apart(letter: str, idea: Idea, cells: Sequence[Cell], *, rounds: int, seconds: float) -> Iterator[Gain]:
    """Measure one idea in cells, with a process for each of the two ways."""
    with (
        Worker(Entrant("scratch", idea.threads), (_WORKER, letter, "now")) as now,
        Worker(Entrant("scratch", 1), (_WORKER, letter, "instead")) as instead,
    ):
        for cell in cells:
            try:
                agreement.check(cell, *(one.prepare(cell).outcome for one in (now, instead)))
            except (DisagreementError, WorkerError) as error:
                yield Gain(letter, idea, cell, refused=str(error))
                continue
            measures = {one: lambda one=one: one.measure(seconds) for one in (now, instead)}
            taken = alternate(measures, rounds, PAUSE if idea.threads > 1 else 0.0)
            yield Gain(letter, idea, cell, taken[now], taken[instead])


def measure(
    cells: Sequence[Cell], *, rounds: int, seconds: float, progress: Callable[[str], None] = lambda _: None
) -> list[Gain]:
    """Measure every idea where it makes a difference.

    Parameters
    ----------
    cells:
        The steps to measure in; inference is passed over.
    rounds, seconds:
        How often each way takes its turn, and how long.
    progress:
        Told what is going on.
    """
    gains: list[Gain] = []
    for letter, idea in {**IDEAS, "": ALL}.items():
        concerned = [cell for cell in cells if idea.concerns(cell)]
        progress(f"{idea.name}: {len(concerned)} steps")
        if idea.apart and concerned:
            gains += compare_apart(letter, idea, concerned, rounds=rounds, seconds=seconds)
        else:
            gains += [compare(letter, idea, cell, rounds=rounds, seconds=seconds) for cell in concerned]
    return gains


def table(gains: Sequence[Gain], *, kept: bool, quartiles: bool = True) -> Table:
    """Return what the ideas bring that stayed, or those that did not: by network and batch."""
    chosen = [gain for gain in gains if gain.idea.kept == kept]
    batches = sorted({gain.cell.batch for gain in gains})
    found = {(gain.letter, gain.cell.model, gain.cell.dtype, gain.cell.batch): gain for gain in chosen}
    rows = []
    for letter, model, dtype in dict.fromkeys(key[:3] for key in found):
        gain_of = {batch: found.get((letter, model, dtype, batch)) for batch in batches}
        name = next(gain.idea.name for gain in gain_of.values() if gain)
        place = model if dtype == "float32" else f"{model} {dtype}"
        rows.append((letter if kept else "", name, place, *(_said(gain, quartiles) for gain in gain_of.values())))
    spread = " (quartiles)" * quartiles
    title = f"How many times as fast a training step is with the idea{'' if kept else ' that was thrown away'}: "
    return Table(
        f"{title}median{spread} of the rounds' ratios",
        ("", "idea", "network", *(f"batch {batch}" for batch in batches)),
        tuple(rows),
    )


def _said(gain: Gain | None, quartiles: bool) -> str:
    if gain is None:
        return "–"
    if gain.refused:
        return "refused"
    ratio = gain.ratio
    return f"{ratio.median:.2f}" + f" ({ratio.low:.2f}–{ratio.high:.2f})" * quartiles
