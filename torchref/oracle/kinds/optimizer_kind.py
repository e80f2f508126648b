"""Optimisers: one trial over several steps; every parameter and velocity is judged after each of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

import torchref
from torchref.oracle import criteria
from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array, Comparison, to_array
from torchref.oracle.conduct import harm
from torchref.oracle.inputs import LAYOUTS
from torchref.oracle.kinds.kind import Case, Draw, Trial
from torchref.oracle.optimizer import VELOCITY, SGDReference, follow, observe, state_copies, velocities
from torchref.oracle.purity import verdict
from torchref.oracle.subjects.subject import Misbehaviour, Subject
from torchref.regularization import is_weight

SHAPES = {"fc1.weight": (5, 3), "s2.weight": (4,), "weighted.bias": (2, 3)}
"""What decays is told by the name, not by the number of axes."""
ODD = "odd layouts"


@dataclass(frozen=True)
class OptimizerKind:
    """Gradient descent; the fields are those of `Kind`.

    In a trial "fc1.weight" is that parameter after each step, (steps, …), likewise "velocity fc1.weight"; `given` has
    "start fc1.weight", "grad fc1.weight" with one gradient per step, and where a state is handed over
    "start velocity fc1.weight".
    """

    name: str
    twin: Callable[..., Any]
    cases: tuple[Case, ...]
    features: Mapping[str, str]
    aliases: tuple[str, ...] = ()
    settings: tuple[str, ...] = ("lr", "momentum", "weight_decay")
    axes: Mapping[str, str] = field(default_factory=dict)
    family: str = "optimizer"
    parameters: tuple[str, ...] = ()

    def columns(self, subject: Subject) -> tuple[str, ...]:  # noqa: ARG002
        """The parameters, and their velocities: not judged where a candidate shows none."""
        return (*SHAPES, *(f"{VELOCITY}{name}" for name in SHAPES))

    def varieties(self, case: Case) -> tuple[str, ...]:
        """Normal, and for thorough cases gradients in odd memory layouts."""
        return ("normal", ODD) if case.thorough else ("normal",)

    def needs(self, variety: str) -> frozenset[str]:
        """The feature that a variety asks for."""
        return frozenset({"strided"} if variety == ODD else ())

    def run(self, subject: Subject, case: Case, dtype: str, variety: str, seed: int) -> Trial:
        """Run a candidate once beside the oracle; whatever it does, a `Trial` comes back."""
        draw = Draw(seed, (self.name, case.slug, dtype, variety))
        decays = bool(case.config.get("weight_decay"))
        # Who knows no names would let the bias decay; without decay there is nothing to be told by them.
        names = [name for name in SHAPES if "names" in case.needs or not decays or is_weight(name)]
        start = {name: draw.normal(SHAPES[name], dtype) for name in names}
        layouts: list[Callable[[Array], Array]] = [*LAYOUTS.values(), np.asfortranarray]
        if variety != ODD:
            layouts = [np.ascontiguousarray for _ in layouts]
        grads = [{name: layout(draw.normal(SHAPES[name], dtype)) for name in names} for layout in layouts]
        handed = {name: draw.normal(SHAPES[name], dtype) for name in names} if "state" in case.needs else {}
        given = {f"start {name}": array for name, array in start.items()}
        given |= {f"start {VELOCITY}{name}": array for name, array in handed.items()}
        given |= {f"grad {name}": np.stack([gradient[name] for gradient in grads]) for name in names}
        reference: SGDReference = self.twin(**case.config)
        if handed:
            reference.load_state_dict({name: to_tensor(array) for name, array in handed.items()})
        oracle = follow(reference, start, grads)
        mine, trouble, conduct = self._observe(subject, case, start, grads, handed)
        verdicts = [
            # After k steps, k terms have been added up.
            criteria.linear_operation(name, mine[name], tensor, oracle.sizes[name], _steps(tensor))
            for name, tensor in oracle.values.items()
            if name in mine
        ]
        if trouble is not None:
            verdicts.append(Comparison(trouble.during, "5 conduct", np.inf, trouble.what))
        incidents = subject.incidents()
        conduct += [harm(incident) for incident in incidents if not incident.harmless]
        return Trial(
            case=case,
            dtype=dtype,
            variety=variety,
            seed=seed,
            given=given,
            reference=reference,
            mine=mine,
            oracle={name: to_array(tensor) for name, tensor in oracle.values.items()},
            comparisons=(*verdicts, *conduct),
            misbehaviour=trouble,
            incidents=incidents,
        )

    def _observe(
        self,
        subject: Subject,
        case: Case,
        start: Mapping[str, Array],
        grads: Sequence[Mapping[str, Array]],
        handed: Mapping[str, Array],
    ) -> tuple[dict[str, Any], Misbehaviour | None, list[Comparison]]:
        """The parameters and velocities after each step, the part that did not answer, and how it behaves."""
        try:
            with np.errstate(all="ignore"):
                candidate = subject.make(dict(case.config), {})
                shows = hasattr(candidate, "state_dict")
                if handed and shows:
                    candidate.load_state_dict({name: np.array(array) for name, array in handed.items()})
                elif handed:
                    return {}, None, []
                after, faults = observe(candidate, start, grads)
                conduct = [verdict("step leaves the gradients alone", next(filter(None, faults), ""))]
                if shows:
                    conduct += state_copies(candidate)
        except Misbehaviour as trouble:
            return {}, trouble, []
        came, wanted = velocities(after[-1]), sorted(start) if case.config.get("momentum") else []
        if shows and came != wanted:
            conduct.insert(
                0, Comparison("state", "5 form", np.inf, f"has velocities of {came}, the oracle of {wanted}")
            )
        steady = [
            name for name, last in after[-1].items() if all(s[name].shape == last.shape for s in after if name in s)
        ]
        return {name: np.stack([s[name] for s in after if name in s]) for name in steady}, None, conduct


def _steps(stacked: Tensor) -> Tensor:
    return torch.arange(1, len(stacked) + 1).reshape(-1, *(1,) * (stacked.ndim - 1))


def _case(slug: str, needs: str = "", *, thorough: bool = False, **config: float) -> Case:
    said = " ".join(f"{name}={value:g}" for name, value in config.items())
    extras = "".join(f"  {what}" for what in ("names", "state") if what in needs.split())
    return Case(slug, f"{said}{extras}", config, (), frozenset(needs.split()), thorough=thorough)


SGD = OptimizerKind(
    name="sgd",
    aliases=("gradient_descent", "sgd_momentum", "momentum"),
    twin=torchref.SGD,
    features={
        "momentum": "momentum, v ← μv + g",
        "decay": "weight decay, g + λp",
        "names": "parameters by name, of which only those named weight decay",
        "state": "velocities that are handed over",
        "strided": "gradients that are not contiguous, read-only or broadcast",
    },
    cases=(
        _case("plain", lr=0.1, thorough=True),
        _case("rate", lr=0.03),
        _case("momentum", "momentum", lr=0.1, momentum=0.9, thorough=True),
        _case("slower", "momentum", lr=0.03, momentum=0.8),
        _case("decay", "decay", lr=0.1, weight_decay=0.05),
        _case("both", "momentum decay", lr=0.03, momentum=0.8, weight_decay=0.02),
        _case("names", "momentum decay names", lr=0.03, momentum=0.8, weight_decay=0.02),
        _case("state", "momentum state", lr=0.1, momentum=0.9),
    ),
)
