"""Layers and activations: one trial on one configuration, dtype and variety of input."""

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array, Comparison, to_array
from torchref.oracle.conduct import check_conduct, harm, mutation
from torchref.oracle.criteria import beside
from torchref.oracle.inputs import LAYOUTS, NON_FINITE, SPECIAL, plain_kernels
from torchref.oracle.kinds.kind import Case, Draw, Trial
from torchref.oracle.layer import absent_links, gradients, judge
from torchref.oracle.linear import LINEAR, SELECTION
from torchref.oracle.purity import snapshot
from torchref.oracle.subjects.subject import Incident, Misbehaviour, Subject
from torchref.oracle.thinning import ThinnedCandidate, thinned
from torchref.pooling import AvgPool2d, MaxPool2d
from torchref.regularization import Dropout

SPECIAL_VALUES, NAN_INSIDE, NAN_ARRIVING = "special values", "NaN and infinity", "NaN and infinity arriving"


@dataclass(frozen=True)
class LayerKind:
    """A layer or activation of torchref; the fields are those of `Kind`."""

    name: str
    twin: Callable[..., Any]
    cases: tuple[Case, ...]
    features: Mapping[str, str]
    axes: Mapping[str, str]
    family: str = "layer"
    aliases: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    masked: bool = False
    """Whether a mask is drawn for each trial, as dropout has one."""
    draws: Mapping[str, Callable[[Array], Array]] = field(default_factory=dict)
    """By a parameter's name, what is done to its normal draw."""

    def columns(self, subject: Subject) -> tuple[str, ...]:
        """The output, and where there is a backward part "dx" and each parameter's gradient."""
        return ("y", *(("dx", *(f"grad {name}" for name in self.parameters)) if subject.backward else ()))

    def varieties(self, case: Case) -> tuple[str, ...]:
        """Normal; integers where no rounding touches them; and for thorough cases all that code trips over."""
        drawn: tuple[str, ...] = ("normal",)
        if self._whole(self.build(case, "float64")):
            drawn = (*drawn, "integers")
        return (*drawn, *LAYOUTS, SPECIAL_VALUES, NAN_INSIDE, NAN_ARRIVING) if case.thorough else drawn

    def needs(self, variety: str) -> frozenset[str]:
        """The feature that a variety asks for."""
        if variety in LAYOUTS:
            return frozenset({"strided"})
        if variety == SPECIAL_VALUES:
            return frozenset({"special"})
        if variety == "integers" and "ties" in self.features:
            return frozenset({"ties"})  # so few whole numbers that some are equal
        return frozenset({"nonfinite"} if variety in (NAN_INSIDE, NAN_ARRIVING) else ())

    def build(self, case: Case, dtype: str) -> nn.Module:
        """The twin of a case."""
        dtyped = {"dtype": getattr(torch, dtype)} if self.parameters else {}
        twin: nn.Module = self.twin(**case.config, **dtyped)
        return twin

    def _whole(self, twin: nn.Module) -> bool:
        """Whether no rounding touches small integers: the layer divides by nothing but powers of two."""
        if isinstance(twin, AvgPool2d):
            return math.log2(math.prod(twin.kernel_size)).is_integer()
        if isinstance(twin, Dropout):
            return math.log2(1 - twin.p).is_integer()
        return isinstance(twin, (*LINEAR, *SELECTION, MaxPool2d))

    def run(self, subject: Subject, case: Case, dtype: str, variety: str, seed: int) -> Trial:
        """Run a candidate once beside the oracle; whatever it does, a `Trial` comes back."""
        reference, given = self.draw(subject, case, dtype, variety, seed)
        strange = self._strange(case, variety)
        with plain_kernels() if strange else nullcontext():
            oracle = self.differentiate(reference, to_tensor(given["x"]), to_tensor(given["dy"]))
        pristine = {name: np.array(array) for name, array in given.items()}  # whatever the candidate does to its own
        mine, trouble, conduct = self._observe(subject, case, dtype, variety, given)
        conduct = [*mutation(pristine, given), *conduct]
        with plain_kernels() if strange else nullcontext():
            verdicts, remarks = self.judge(reference, pristine, mine, oracle, case, variety)
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
            oracle={name: to_array(tensor) for name, tensor in oracle.items()},
            comparisons=(*verdicts, *conduct),
            misbehaviour=trouble,
            incidents=incidents,
        )

    def draw(
        self, subject: Subject, case: Case, dtype: str, variety: str, seed: int
    ) -> tuple[nn.Module, dict[str, Array]]:
        """The twin with its parameters, and what a candidate is given: "x", "dy", parameters and a mask."""
        draw = Draw(seed, (self.name, case.slug, dtype, variety))
        twin = self.build(case, dtype)
        numbers = draw.integers if variety == "integers" else draw.normal
        parameters = {name: numbers(tuple(p.shape), dtype) for name, p in twin.state_dict().items()}
        twin.load_state_dict({name: to_tensor(array) for name, array in parameters.items()})
        x = self._input(draw, numbers, case, dtype, variety)
        mask = draw.rng.random(x.shape) < 0.5 if self.masked else None
        reference = twin if mask is None else thinned(twin, mask)
        with torch.no_grad():
            shape = tuple(reference(to_tensor(x)).shape)
        dy = self._upstream(numbers, shape, dtype, variety)
        x, dy = subject.arrange("x", x), subject.arrange("dy", dy)
        return reference, {"x": x, "dy": dy, **parameters} | ({} if mask is None else {"mask": mask})

    def differentiate(self, reference: nn.Module, x: Tensor, dy: Tensor) -> dict[str, Tensor]:
        """The oracle's "y", "dx" and "grad <name>"."""
        return gradients(reference, x, dy)

    def judge(
        self,
        reference: nn.Module,
        given: Mapping[str, Array],
        mine: Mapping[str, Any],
        oracle: Mapping[str, Tensor],
        case: Case,
        variety: str,
    ) -> tuple[list[Comparison], list[Incident]]:
        """The verdicts on what came, and remarks."""
        strange = self._strange(case, variety)
        if strange and not isinstance(reference, (*LINEAR, *SELECTION, MaxPool2d)):
            return [beside(name, mine[name], tensor) for name, tensor in oracle.items() if name in mine], []
        # What did not come is judged as if it had come right, and left out.
        complete = {name: mine.get(name, to_array(tensor)) for name, tensor in oracle.items()}
        whole = variety == "integers" and not strange
        judged = judge(reference, given["x"], given["dy"], complete, dict(oracle), integers=whole)
        verdicts = [c for c in judged if c.tensor in mine]
        if variety != NAN_INSIDE and variety != NAN_ARRIVING:
            verdicts += absent_links(reference, "grad ", mine)
        return verdicts, []

    def _strange(self, case: Case, variety: str) -> bool:
        """Whether there are NaN and infinity among the inputs."""
        return variety in (NAN_INSIDE, NAN_ARRIVING) or not np.isfinite(case.values).all()

    def _input(self, draw: Draw, numbers: Any, case: Case, dtype: str, variety: str) -> Array:
        if case.values:
            ties = len(case.values) < math.prod(case.shape)
            return draw.rng.choice(case.values, case.shape, replace=ties).astype(dtype)
        x: Array = numbers(case.shape, dtype)
        if variety in LAYOUTS:
            return LAYOUTS[variety](x)
        if variety == SPECIAL_VALUES:
            x.ravel()[: len(SPECIAL)] = np.array(SPECIAL)[: x.size]
        if variety == NAN_INSIDE:
            x.ravel()[: len(NON_FINITE)] = np.array(NON_FINITE)[: x.size]
        return x

    def _upstream(self, numbers: Any, shape: tuple[int, ...], dtype: str, variety: str) -> Array:
        dy: Array = numbers(shape, dtype)
        if variety in LAYOUTS:
            return LAYOUTS[variety](dy)
        if variety == NAN_ARRIVING:
            every_second = dy.ravel()[::2]
            every_second[...] = np.resize(np.array(NON_FINITE, dtype), every_second.shape)
        return dy

    def _observe(
        self, subject: Subject, case: Case, dtype: str, variety: str, given: Mapping[str, Array]
    ) -> tuple[dict[str, Any], Misbehaviour | None, list[Comparison]]:
        """What the candidate computes, the part that did not answer, and how it behaves."""
        mine: dict[str, Any] = {}
        parameters = {name: given[name] for name in self.parameters if name in given}
        x, dy = (np.array(given[name], copy=None) for name in ("x", "dy"))
        dtyped = {"dtype": np.dtype(dtype)} if self.parameters else {}
        try:
            with np.errstate(all="ignore"):
                candidate = subject.make({**case.config, **dtyped}, parameters)
                if self.masked:
                    candidate = ThinnedCandidate(candidate, given["mask"])
                before = snapshot(candidate.parameters())
                y, cache = candidate.forward(x)
                mine["y"] = copied(y)
                if subject.backward:
                    dx, grads = candidate.backward(dy, cache)
                    mine |= {"dx": copied(dx)} | {f"grad {n}": copied(grads[n]) for n in parameters if n in grads}
                    missing = [name for name in parameters if name not in grads]
                    if missing:
                        raise Misbehaviour("backward", f"returns no gradient of {', '.join(missing)}", missing=True)
                conduct = mutation(before, candidate.parameters())
                conduct += self.conduct(subject, candidate, x, dy) if variety == "normal" else []
        except Misbehaviour as trouble:
            return mine, trouble, []
        return mine, None, conduct

    def conduct(self, subject: Subject, candidate: Any, x: Array, dy: Array) -> list[Comparison]:
        """How a candidate behaves around its answers."""
        return check_conduct(subject, candidate, x, dy)


def copied(result: Any) -> Any:
    """An array as it came, whatever a later pass writes into it; anything else as it is, to be refused."""
    return np.array(result, order="K") if isinstance(result, np.ndarray) else result
