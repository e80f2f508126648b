"""Measure what the oracle finds in users' code: `python -m tests.measure_oracle`; docs/oracle.md has the figures.

Without options: every planted bug in every style in which it can be written (tests/users). With --seeds: correct code
in all styles, and how many false alarms. With --time: how long a check takes.
"""

import argparse
import functools
import itertools
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import get_context
from typing import NamedTuple

import torch

import scratch
from tests import mutants
from tests.users import networks
from tests.users.expected import REASONS, STYLES, expected
from tests.users.forms import FORMS, formed
from tests.users.fresh import FRESH
from tests.users.judged import Outcome, judged
from tests.users.pairs import CLASSES, OTHERS, pair
from tests.users.stateful import stateful
from torchref import oracle
from torchref.oracle.kinds import DTYPES, KINDS, find
from torchref.oracle.verdict import Verdict

Job = tuple[int, str, int, bool]
"""A bug's place, a style, a seed, and whether all is to be judged strictly."""
BUGS = (*mutants.MUTANTS, *FRESH)


def judge(job: Job) -> Outcome:
    """One bug in one style, in a process of its own."""
    torch.set_num_threads(1)
    place, style, seed, strictly = job
    return judged(BUGS[place], style, seed, strictly=strictly)


def jobs(styles: str, names: Iterable[str], seed: int, *, fresh: bool = False, strictly: bool = False) -> list[Job]:
    """Every mutant, or every fresh bug, in every style in which it can be written."""
    wanted, answers = set(names), expected("fresh" if fresh else "")
    return [
        (place, style, seed, strictly)
        for place, bug in enumerate(BUGS)
        if bug.name in (wanted or answers) and bug.name in answers
        for style in answers[bug.name].styles
        if style in styles
    ]


def measure_mutants(outcomes: list[Outcome], *, every: bool) -> None:
    """Print the shares per style, and what failed."""
    for style in (*STYLES, "all"):
        own = [o for o in outcomes if style in (o.style, "all")]
        if own:
            said, count = Counter(o.diagnosis for o in own), len(own)
            shares = {
                "caught": sum(o.by_default for o in own),
                "strictly": sum(o.caught for o in own),
                "first tensor right": sum(o.placed for o in own),
                "diagnosis right": said["right"],
                "wrong": said["wrong"],
            }
            told = ", ".join(f"{what} {share(part, count)}" for what, part in shares.items())
            print(f"{STYLES.get(style, style):28} {count:4} bugs: {told}, none {said['none']}")
    for what, failed in {
        "not caught": [o for o in outcomes if not o.caught],
        "caught only strictly": [o for o in outcomes if o.caught and not o.by_default],
        "another tensor first": [o for o in outcomes if o.caught and not o.placed],
        "a wrong diagnosis": [o for o in outcomes if o.diagnosis == "wrong"],
        "no diagnosis": [o for o in outcomes if o.caught and o.diagnosis == "none"] if every else [],
    }.items():
        if failed:
            print(f"\n{what}: {len(failed)}")
            for o in failed:
                print(f"  {o.style} {o.mutant}: {o.first}; {' '.join(o.codes) or 'unexplained'}")
    print("\nnot in every style, and why:")
    for reason, why in REASONS.items():
        left = [name for name, want in expected().items() for style, r in want.without.items() if r == reason]
        print(f"  {len(set(left)):3} bugs, {len(left):3} styles: {why}")


def share(part: int, whole: int) -> str:
    """As a share in per cent."""
    return f"{part}/{whole} ({100 * part / whole:.1f}%)"


class Alarm(NamedTuple):
    """One check of correct code: what, how many cells of the table, the worst, what was found wrong, what left out."""

    what: str
    cells: int
    worst: float
    findings: tuple[str, ...]
    kinked: bool


def correct(seed: int) -> list[Alarm]:
    """Correct code with one seed: each kind on one of its cases in one style, and some networks; all take turns.

    Kinds are checked strictly; networks are compared in both precisions.
    """
    torch.set_num_threads(1)
    found = []
    for place, (name, kind) in enumerate(CHECKED.items()):
        case = kind.cases[seed % len(kind.cases)].slug
        styles = (
            "c" if case == "state" else "psc" if name in CLASSES else "p"
        )  # others show no state; draws are functions
        style = styles[(seed // len(kind.cases) + place) % len(styles)]
        subject = candidate(style, name)
        with tempfile.TemporaryDirectory() as folder:
            verdict = oracle.check(*subject, like=name, cases=case, seed=seed, save_to=folder, strict=True)
        found.append(alarm(f"{style} {name} {case}", verdict))
    turns = sorted(networks.SETTINGS) + sorted(networks.WHOLE)
    for turn, dtype in itertools.product(range(3), DTYPES):
        name = turns[(3 * seed + turn) % len(turns)]
        found.append(alarm(f"n {name}, {dtype}", networks.compared(scratch, name, seed, dtype)))
    name = sorted(FORMS)[seed % len(FORMS)]
    return found + [alarm(f"o {name}, {dtype}", formed(name, seed, dtype)) for dtype in DTYPES]


CHECKED = {name: find(name) for name in (*CLASSES, *OTHERS) if name in KINDS}
"""The kinds that correct code is checked as."""


def candidate(style: str, name: str) -> tuple[object, ...]:
    """`scratch` itself in one style."""
    if style == "p" or name not in CLASSES:
        return pair(scratch, name)
    return (stateful(scratch, name) if style == "s" else getattr(scratch, CLASSES[name]),)


def alarm(what: str, verdict: Verdict) -> Alarm:
    """What a verdict on correct code says."""
    cells = [cell for row in verdict.rows for cell in row.cells.values() if cell.status != "not judged"]
    wrong = tuple(f"{f.layer} {f.tensor}: {f.what}".strip() for f in verdict.findings)
    said = (*verdict.remarks, *(row.skipped for row in verdict.rows))
    return Alarm(what, len(cells), max((c.ratio for c in cells), default=0.0), wrong, "too near a kink" in str(said))


def measure_seeds(alarms: Iterator[list[Alarm]], seeds: int) -> None:
    """Print how much was judged, and every false alarm."""
    cells, checks, kinked, empty, false = 0, 0, 0, 0, []
    worst: dict[str, tuple[float, str]] = defaultdict(lambda: (0.0, ""))
    for seed, found in enumerate(alarms):
        checks += len(found)
        cells += sum(one.cells for one in found)
        kinked += sum(one.kinked for one in found)
        empty += sum(not one.cells for one in found)
        false += [f"seed {seed}, {one.what}: {'; '.join(one.findings)}" for one in found if one.findings]
        for one in found:
            worst[one.what[0]] = max(worst[one.what[0]], (one.worst, one.what))
    print(f"{seeds} seeds, {checks:,} checks, {cells:,} cells (the worst of both dtypes and all kinds of input each)")
    print(f"in {kinked} of them something was too near a kink to judge; {empty} judged nothing at all")
    print(f"false alarms: {len(false)}")
    for style, (ratio, what) in worst.items():
        print(
            f"  {STYLES.get(style, 'networks and trainings of other forms')}: worst {ratio:.3f} of the bound ({what})"
        )
    print("\n".join(false))


def measure_time() -> None:
    """Print how long a whole check of each kind takes, and LeNet-5 with its loss, by the clock and of the CPU."""
    torch.set_num_threads(1)
    taken = {name: timed(functools.partial(checked, name)) for name in CHECKED}
    for name, (clock, cpu) in sorted(taken.items(), key=lambda item: -item[1][1]):
        print(f"check like={name}, all cases: {clock:.2f} s, {cpu:.2f} s of the CPU")
    clock, cpu = timed(functools.partial(networks.compared, scratch, "lenet5", 0))
    print(f"compare of LeNet-5 with its loss: {clock:.2f} s, {cpu:.2f} s of the CPU")


def checked(name: str) -> None:
    """All cases of a kind."""
    oracle.check(*pair(scratch, name), like=name)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of five calls, by the clock and of the CPU; the first, which loads, is not counted."""
    work()
    taken = []
    for _ in range(5):
        clock, cpu = time.perf_counter(), time.process_time()
        work()
        taken.append((time.perf_counter() - clock, time.process_time() - cpu))
    return statistics.median(t for t, _ in taken), statistics.median(t for _, t in taken)


def main() -> None:
    """Run the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--styles", default="psnc", help="letters of " + ", ".join(f"{k} {v}" for k, v in STYLES.items())
    )
    parser.add_argument("--names", nargs="*", default=[], help="these mutants only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=0, help="correct code with so many seeds, instead of mutants")
    parser.add_argument("--time", action="store_true", help="how long checks take, instead of mutants")
    parser.add_argument("--fresh", action="store_true", help="the bugs of tests/users/fresh.py instead")
    parser.add_argument("--strict", action="store_true", help="judge every bug strictly")
    parser.add_argument("--every", action="store_true", help="list what has no diagnosis, too")
    parser.add_argument("-j", type=int, default=1, help="processes")
    arguments = parser.parse_args()
    if arguments.time:
        measure_time()
        return
    with get_context("spawn").Pool(arguments.j) as pool:
        if arguments.seeds:
            measure_seeds(pool.imap(correct, range(arguments.seeds)), arguments.seeds)
        else:
            todo = jobs(
                arguments.styles, arguments.names, arguments.seed, fresh=arguments.fresh, strictly=arguments.strict
            )
            measure_mutants(list(pool.imap(judge, todo, chunksize=4)), every=arguments.every)


if __name__ == "__main__":
    main()
