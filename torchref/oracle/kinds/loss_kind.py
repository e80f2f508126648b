"""Losses: one trial of the value and its gradient on one output and target."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from torchref.oracle import criteria, magnitude
from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array, Comparison, to_array
from torchref.oracle.conduct import check_loss_conduct, harm, mutation
from torchref.oracle.inputs import LAYOUTS
from torchref.oracle.kinds.kind import Case, Draw, Trial
from torchref.oracle.kinds.layer_kind import copied
from torchref.oracle.loss import loss_gradient
from torchref.oracle.subjects.subject import Incident, Misbehaviour, Subject

NARROW, LARGE = "uint8 labels", "outputs of 1e4"
NON_FINITE = {"NaN inside": np.nan, "infinity inside": np.inf, "minus infinity inside": -np.inf}
FEATURE = {NARROW: "narrow", LARGE: "special"} | dict.fromkeys(NON_FINITE, "nonfinite")
LABELS = "labels"
"""The feature of a case whose target are class labels (N,), where the loss takes dense targets too."""


@dataclass(frozen=True)
class LossKind:
    """A loss; the fields are those of `Kind`."""

    name: str
    twin: Callable[..., Any]
    cases: tuple[Case, ...]
    features: Mapping[str, str]
    dense: bool = True
    """Whether targets are dense (N, K) in cases that do not need labels."""
    aliases: tuple[str, ...] = ()
    settings: tuple[str, ...] = ("reduction",)
    axes: Mapping[str, str] = field(default_factory=lambda: {"x": "NK"})
    family: str = "loss"
    parameters: tuple[str, ...] = ()

    def columns(self, subject: Subject) -> tuple[str, ...]:
        """The value, and where there is a backward part its gradient."""
        return ("loss", *(("doutput",) if subject.backward else ()))

    def varieties(self, case: Case) -> tuple[str, ...]:
        """Normal; labels of a narrow type; and for thorough cases odd layouts, large outputs, NaN and infinity."""
        narrow = (NARROW,) if self.labelled(case) and case.shape[1] < 256 else ()
        return ("normal", *narrow, *((*LAYOUTS, LARGE, *NON_FINITE) if case.thorough else ()))

    def needs(self, variety: str) -> frozenset[str]:
        """The feature that a variety asks for."""
        if variety in LAYOUTS:
            return frozenset({"strided"})
        return frozenset({FEATURE[variety]} if variety in FEATURE else ())

    def labelled(self, case: Case) -> bool:
        """Whether the target are class labels."""
        return not self.dense or LABELS in case.needs

    def build(self, case: Case, dtype: str) -> nn.Module:  # noqa: ARG002  # ours have no numbers of their own
        """The twin of a case."""
        twin: nn.Module = self.twin(**case.config)
        return twin

    def run(self, subject: Subject, case: Case, dtype: str, variety: str, seed: int) -> Trial:
        """Run a candidate once beside the oracle; whatever it does, a `Trial` comes back."""
        draw = Draw(seed, (self.name, case.slug, dtype, variety))
        reference = self.build(case, dtype)
        output, target = self.draw(draw, case, dtype, variety)
        output = subject.arrange("output", output)
        given = {"output": output, "target": target}
        oracle = loss_gradient(reference, to_tensor(output), to_tensor(target))._asdict()
        pristine = {name: np.array(array) for name, array in given.items()}
        theirs = {"loss": oracle["value"], "doutput": oracle["doutput"]}
        mine, trouble, conduct = self._observe(subject, case, variety, given)
        conduct = [*mutation(pristine, given), *conduct]
        remarks: list[Incident] = []
        if variety in NON_FINITE:
            verdicts = [criteria.beside(name, mine[name], theirs[name]) for name in mine]
        else:
            verdicts, remarks = self.judge(reference, pristine, mine, theirs)
        if trouble is not None:
            verdicts.append(Comparison(trouble.during, "5 conduct", np.inf, trouble.what))
        incidents = (*remarks, *subject.incidents())
        conduct += [harm(incident) for incident in incidents if not incident.harmless]
        return Trial(
            case=case,
            dtype=dtype,
            variety=variety,
            seed=seed,
            given=pristine,
            reference=reference,
            mine=mine,
            oracle={name: to_array(tensor) for name, tensor in theirs.items()},
            comparisons=(*verdicts, *conduct),
            misbehaviour=trouble,
            incidents=incidents,
        )

    def draw(self, draw: Draw, case: Case, dtype: str, variety: str) -> tuple[Array, Array]:
        """An output and a target."""
        output = draw.normal(case.shape, dtype)
        if variety == LARGE:
            output *= output.dtype.type(1e4)
        labelled = self.labelled(case)
        target = draw.rng.integers(0, case.shape[1], case.shape[0]) if labelled else draw.normal(case.shape, dtype)
        if variety == NARROW:
            target = target.astype(np.uint8)
        if variety in LAYOUTS:
            layout = LAYOUTS[variety]
            return layout(output), target if labelled else layout(target)
        if variety in NON_FINITE:
            output[1, 1] = output[3, 2] = NON_FINITE[variety]
            if labelled:
                target[1], target[3] = 1, 0  # once the label itself, once another
        return output, target

    def judge(
        self, reference: nn.Module, given: Mapping[str, Array], mine: Mapping[str, Any], oracle: Mapping[str, Any]
    ) -> tuple[list[Comparison], list[Incident]]:
        """Criterion 2, with S from `magnitude.loss` and n the entries of the output or of a row of it."""
        output, target = to_tensor(given["output"]), to_tensor(given["target"])
        wide = output.double()
        s = magnitude.loss(reference, wide, target, torch.zeros_like(wide))  # zeros: the output is exact here
        scale = {"loss": (s.value, output.numel()), "doutput": (s.doutput, output.shape[-1])}
        return [
            criteria.linear_operation(name, mine[name], oracle[name], size, torch.tensor(terms))
            for name, (size, terms) in scale.items()
            if name in mine
        ], []

    def _observe(
        self, subject: Subject, case: Case, variety: str, given: Mapping[str, Array]
    ) -> tuple[dict[str, Any], Misbehaviour | None, list[Comparison]]:
        """What the candidate computes, the part that did not answer, and how it behaves."""
        mine: dict[str, Any] = {}
        output, target = given["output"], given["target"]
        try:
            with np.errstate(all="ignore"):
                candidate = subject.make(dict(case.config), {})
                value, cache = candidate.forward(output, target)
                # A Python number claims no precision.
                mine["loss"] = output.dtype.type(value) if type(value) in (float, int) else copied(value)
                if subject.backward:
                    mine["doutput"] = copied(candidate.backward(cache))
                conduct = check_loss_conduct(subject, candidate, output, target) if variety == "normal" else []
        except Misbehaviour as trouble:
            return mine, trouble, []
        return mine, None, conduct
