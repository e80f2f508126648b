"""Penalties on weights: one trial of the value and its gradients on parameters given by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

import torchref
from torchref.oracle import criteria
from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array, Comparison, to_array
from torchref.oracle.conduct import check_penalty_conduct, harm, mutation
from torchref.oracle.kinds.kind import Case, Draw, Trial
from torchref.oracle.kinds.layer_kind import copied
from torchref.oracle.subjects.subject import Misbehaviour, Subject

SHAPES = {"fc1.weight": (5, 3), "fc1.bias": (5,), "weight": (2, 3, 4), "fc2.weight_like": (4,), "bias": (1,)}
"""By name; a case has all of them, or the first."""


@dataclass(frozen=True)
class PenaltyKind:
    """A penalty; the fields are those of `Kind`."""

    name: str
    twin: Callable[..., Any]
    cases: tuple[Case, ...]
    features: Mapping[str, str]
    aliases: tuple[str, ...] = ()
    settings: tuple[str, ...] = ("decay",)
    axes: Mapping[str, str] = field(default_factory=dict)
    family: str = "penalty"
    parameters: tuple[str, ...] = ()

    def columns(self, subject: Subject) -> tuple[str, ...]:
        """The value, and where there is a backward part the gradients of the weights."""
        return ("penalty", *(("grad fc1.weight", "grad weight") if subject.backward else ()))

    def varieties(self, case: Case) -> tuple[str, ...]:  # noqa: ARG002
        """Normal."""
        return ("normal",)

    def needs(self, variety: str) -> frozenset[str]:  # noqa: ARG002
        """Nothing."""
        return frozenset()

    def run(self, subject: Subject, case: Case, dtype: str, variety: str, seed: int) -> Trial:
        """Run a candidate once beside the oracle; whatever it does, a `Trial` comes back."""
        draw = Draw(seed, (self.name, case.slug, dtype, variety))
        shapes = SHAPES if "names" in case.needs else dict([*SHAPES.items()][:1])
        given = {name: draw.normal(shape, dtype) for name, shape in shapes.items()}
        reference: nn.Module = self.twin(**case.config)
        leaves = {name: to_tensor(array).requires_grad_() for name, array in given.items()}
        value = reference(leaves)
        flat = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        grads = {name: grad for name, grad in zip(leaves, flat, strict=True) if grad is not None}
        oracle = {"penalty": to_array(value)} | {f"grad {name}": to_array(grad) for name, grad in grads.items()}
        pristine = {name: np.array(array) for name, array in given.items()}
        mine, trouble, conduct = self._observe(subject, case, given)
        conduct = [*mutation(pristine, given), *conduct]
        verdicts = self._judge(mine, oracle, sum(array.size for array in given.values()))
        if trouble is not None:
            verdicts.append(Comparison(trouble.during, "5 conduct", np.inf, trouble.what))
        elif subject.backward and mine.keys() != oracle.keys():
            verdicts.append(_names(mine, oracle))
        incidents = subject.incidents()
        conduct += [harm(incident) for incident in incidents if not incident.harmless]
        return Trial(
            case=case,
            dtype=dtype,
            variety=variety,
            seed=seed,
            given=pristine,
            reference=reference,
            mine=mine,
            oracle=oracle,
            comparisons=(*verdicts, *conduct),
            misbehaviour=trouble,
            incidents=incidents,
        )

    def _judge(self, mine: Mapping[str, Any], oracle: Mapping[str, Array], terms: int) -> list[Comparison]:
        """Criterion 2: all terms are positive, so the value is its own S."""
        counts = {name: torch.tensor(terms if name == "penalty" else 1) for name in oracle}
        return [
            criteria.linear_operation(name, mine[name], tensor, np.abs(tensor), counts[name])
            for name, tensor in oracle.items()
            if name in mine
        ]

    def _observe(
        self, subject: Subject, case: Case, given: Mapping[str, Array]
    ) -> tuple[dict[str, Any], Misbehaviour | None, list[Comparison]]:
        """What the candidate computes, the part that did not answer, and how it behaves."""
        mine: dict[str, Any] = {}
        dtype = next(iter(given.values())).dtype
        try:
            with np.errstate(all="ignore"):
                candidate = subject.make(dict(case.config), {})
                value, cache = candidate.forward(given)
                # A Python number claims no precision.
                mine["penalty"] = dtype.type(value) if type(value) in (float, int) else copied(value)
                if subject.backward:
                    mine |= {f"grad {name}": copied(grad) for name, grad in candidate.backward(cache).items()}
                conduct = check_penalty_conduct(subject, candidate, given)
        except Misbehaviour as trouble:
            return mine, trouble, []
        return mine, None, conduct


def _names(mine: Mapping[str, Any], oracle: Mapping[str, Array]) -> Comparison:
    """The verdict on gradients that are missing, or that belong to what is not penalised."""
    came, wanted = (sorted(k.removeprefix("grad ") for k in names if k != "penalty") for names in (mine, oracle))
    fault = f"are given for {', '.join(came) or 'nothing'}, by the oracle for {', '.join(wanted)}"
    return Comparison("gradients", "5 form", np.inf, fault)


def _case(slug: str, label: str, decay: float, needs: str = "") -> Case:
    return Case(slug, label, {"decay": decay}, (), frozenset(needs.split()))


L2_PENALTY = PenaltyKind(
    name="l2_penalty",
    aliases=("l2", "ridge", "weight_penalty"),
    twin=torchref.L2Penalty,
    features={"names": "several parameters by name, of which only those named weight count"},
    cases=(
        _case("one", "λ=0.3  one weight", 0.3),
        _case("zero", "λ=0  one weight", 0.0),
        _case("names", "λ=0.3  weights and biases", 0.3, "names"),
        _case("names-zero", "λ=0  weights and biases", 0.0, "names"),
    ),
)
