"""Initialisers and masks: what is drawn from a generator, judged by its range, its spread and its seed."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

import torchref.init
from torchref.oracle.comparison import Array, Comparison, pattern_fault, to_array
from torchref.oracle.conduct import harm
from torchref.oracle.drawing import check_drawn, in_bounds, reach, unevenness
from torchref.oracle.kinds.kind import Case, Trial
from torchref.oracle.subjects.subject import Misbehaviour, Subject
from torchref.regularization import dropout_mask

SEED = "seed"
"""The column for whose numbers they are."""
Draw = Callable[..., Array]
"""An array from a NumPy generator, or of another precision."""


@dataclass(frozen=True)
class InitializerKind:
    """A function of a shape and a generator; the fields are those of `Kind`.

    A subject's `make` returns the array itself.
    """

    name: str
    twin: Callable[..., Any]
    cases: tuple[Case, ...]
    result: str
    """What is drawn: "weights"."""
    judge: Callable[[Case, Draw, int], list[Comparison]]
    """The verdicts on the values and the seed, from a function that draws, and a seed."""
    dtyped: bool = True
    """Whether there is a dtype to ask for."""
    seeded: bool = True
    """Whether there is a generator to draw from."""
    features: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    settings: tuple[str, ...] = ("shape",)
    axes: Mapping[str, str] = field(default_factory=dict)
    family: str = "initializer"
    parameters: tuple[str, ...] = ()

    def columns(self, subject: Subject) -> tuple[str, ...]:  # noqa: ARG002
        """What is drawn, and whose numbers they are."""
        return (self.result, *((SEED,) if self.seeded else ()))

    def varieties(self, case: Case) -> tuple[str, ...]:  # noqa: ARG002
        """Normal."""
        return ("normal",)

    def needs(self, variety: str) -> frozenset[str]:  # noqa: ARG002
        """Nothing."""
        return frozenset()

    def run(self, subject: Subject, case: Case, dtype: str, variety: str, seed: int) -> Trial:
        """Run a candidate once beside the oracle; whatever it does, a `Trial` comes back."""

        def draw(rng: np.random.Generator | None = None, precision: str = dtype) -> Array:
            given = {"rng": rng or np.random.default_rng(seed)} if self.seeded else {}
            drawn = subject.make(
                {**case.config, **given, **({"dtype": np.dtype(precision)} if self.dtyped else {})}, {}
            )
            if not isinstance(drawn, np.ndarray):
                raise Misbehaviour("construction", f"returns a {type(drawn).__name__}, expected a NumPy array")
            return drawn

        theirs: dict[str, Any] = {"rng": torch.Generator().manual_seed(seed)} if self.seeded else {}
        theirs |= {"dtype": getattr(torch, dtype)} if self.dtyped else {}
        oracle = to_array(self.twin(**case.config, **theirs))
        mine: dict[str, Array] = {}
        trouble = None
        before = _global_state()
        try:
            with np.errstate(all="ignore"):
                mine[self.result] = draw()
                fault = pattern_fault(mine[self.result], oracle)
                verdicts = [Comparison(self.result, "5 form", np.inf, fault)] if fault else self.judge(case, draw, seed)
        except Misbehaviour as error:
            trouble = error
            verdicts = [Comparison(trouble.during, "5 conduct", np.inf, trouble.what)]
        if _global_state() != before:
            fault = "draws from, or seeds, the global generator"
            verdicts.append(Comparison("global random state", "5 conduct", np.inf, fault))
        incidents = subject.incidents()
        return Trial(
            case=case,
            dtype=dtype,
            variety=variety,
            seed=seed,
            given={},
            reference=self.twin,
            mine=mine,
            oracle={self.result: oracle},
            comparisons=(*verdicts, *(harm(incident) for incident in incidents if not incident.harmless)),
            misbehaviour=trouble,
            incidents=incidents,
        )


def _global_state() -> Any:
    """NumPy's and Python's."""
    legacy: Any = np.random.get_state(legacy=True)  # noqa: NPY002
    return (legacy[1].tolist(), *legacy[2:], random.getstate())


def _said(tensor: str, fault: str) -> Comparison:
    return Comparison(tensor, "5 form", np.inf if fault else 0.0, fault)


def judge_weights(case: Case, draw: Draw, seed: int) -> list[Comparison]:
    """Uniform up to ±√(3/F) on both sides, and the seed's numbers in either precision."""
    weights = draw()
    fan_in = np.array(case.config.get("fan_in", [weights[0].size] * len(weights)))
    rows = in_bounds(weights.astype(np.float64), fan_in)
    largest, reached = float(np.abs(rows).max()), reach(rows)
    uneven = unevenness(rows)
    fault = ""
    if largest > 1 + np.finfo(weights.dtype).eps:
        fault = f"go up to {largest:.3g} times the bound √(3/F)"
    elif reached < 0.9:
        fault = f"get no farther than {reached:.3g} of the bound √(3/F) on one side of a row"
    elif uneven > 1:
        fault = "are not spread evenly up to the bound √(3/F)"
    other = "float32" if weights.dtype == np.float64 else "float64"
    wide, narrow = (draw(precision=p) for p in ("float64", "float32"))
    seeds = {
        "are others when drawn again from the same seed": not np.array_equal(weights, draw()),
        "are the same for another seed": np.array_equal(weights, draw(np.random.default_rng(seed + 1))),
        f"are others in {other}": not np.array_equal(wide.astype(np.float32), narrow),
    }
    values = replace(_said("weights", fault), ratio=np.inf if fault else uneven)
    return [values, _said(SEED, "; ".join(what for what, wrong in seeds.items() if wrong))]


def judge_zeros(case: Case, draw: Draw, seed: int) -> list[Comparison]:  # noqa: ARG001
    """All zeros."""
    return [_said("biases", "are not all 0" if draw().any() else "")]


def judge_mask(case: Case, draw: Draw, seed: int) -> list[Comparison]:
    """Each unit on its own with probability 1 − p, and the seed's."""
    report = check_drawn("", lambda rng: {"": draw(rng)}, np.random.default_rng, {"": case.config["p"]}, seed)
    wrong = {
        c.tensor: c.tensor.startswith("mask is ") for c in report.failures
    }  # "mask is the seed's", "mask is another each time"
    return [
        _said(column, "; ".join(f"it is not so that the {what}" for what, of_seed in wrong.items() if of_seed == seeds))
        for column, seeds in (("mask", False), (SEED, True))
    ]


def _case(slug: str, label: str, shape: tuple[int, ...], needs: str = "", **config: Any) -> Case:
    said = "x".join(map(str, shape))
    return Case(slug, f"{label}  {said}", {"shape": shape, **config}, shape, frozenset(needs.split()))


INITIALIZERS = (
    InitializerKind(
        name="lecun_uniform",
        aliases=("lecun", "lecun_init"),
        twin=torchref.init.lecun_uniform,
        result="weights",
        judge=judge_weights,
        features={"maps": "filters, not only matrices", "fan_in": "a fan-in for each output, as a table gives one"},
        settings=("shape", "fan_in"),
        # So many weights to a row that the largest all but certainly comes near the bound.
        cases=(
            _case("units", "out in", (3, 431)),
            _case("one", "out in", (1, 701)),
            _case("signals", "out in length", (2, 3, 211), "maps"),
            _case("maps", "out in height width", (2, 3, 19, 11), "maps"),
            _case("table", "few links and many", (3, 4, 25, 17), "maps fan_in", fan_in=(425, 1700, 850)),
        ),
    ),
    InitializerKind(
        name="zeros",
        twin=torchref.init.zeros,
        result="biases",
        judge=judge_zeros,
        seeded=False,
        cases=(_case("units", "out", (5,)), _case("maps", "out in height width", (2, 3, 4, 5))),
    ),
    InitializerKind(
        name="dropout_mask",
        twin=dropout_mask,
        result="mask",
        judge=judge_mask,
        dtyped=False,
        settings=("shape", "p"),
        cases=(
            _case("half", "p=0.5", (20, 30), p=0.5),
            _case("few", "p=0.2", (30, 40), p=0.2),
            _case("maps", "p=0.3", (20, 3, 5, 6), p=0.3),
            _case("none", "p=0", (20, 30), p=0.0),
        ),
    ),
)
