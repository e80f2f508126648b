"""Any torch loss, or callable of an output and a target, as a kind: known to `magnitude`, or measured."""

import copy
import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.loss import _Loss

from torchref.loss import CrossEntropy
from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array, Comparison
from torchref.oracle.inputs import LAYOUTS
from torchref.oracle.kinds.kind import Case, Draw, Trial
from torchref.oracle.kinds.layers import COMMON
from torchref.oracle.kinds.loss_kind import LARGE, NON_FINITE, LossKind
from torchref.oracle.kinds.understood import understood
from torchref.oracle.measured import ATTEMPTS, KINKED, Function, judge, measure
from torchref.oracle.subjects.subject import Incident, Subject

LABELLED = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss, CrossEntropy)
"""Losses that take dense targets in a case of their own, or none."""
TARGETS = ("dense", "labels", "shares", "shares of shares")
"""What a target can be: normal numbers, class labels, numbers from 0 to 1, and those where the output is such too."""


@dataclass(frozen=True)
class ModuleLossKind(LossKind):
    """A torch loss with the kind of target that it takes."""

    target: str = "dense"
    """One of TARGETS."""
    known: bool = False
    """Whether there is an analytic criterion."""

    def varieties(self, case: Case) -> tuple[str, ...]:
        """Normal; for thorough cases odd layouts; of a loss that is known large outputs, NaN and infinity as well."""
        strange = (LARGE, *NON_FINITE) if self.known and len(case.shape) == 2 and min(case.shape) > 3 else ()
        return ("normal", *LAYOUTS, *strange) if case.thorough else ("normal",)

    def labelled(self, case: Case) -> bool:  # noqa: ARG002
        """Whether the target are class labels."""
        return self.target == "labels"

    def build(self, case: Case, dtype: str) -> nn.Module:
        """A copy in that precision: weights of classes, for instance, have one."""
        return super().build(case, dtype).to(getattr(torch, dtype))

    def run(self, subject: Subject, case: Case, dtype: str, variety: str, seed: int) -> Trial:
        """Run a candidate once beside the oracle, away from kinks if that can be had."""
        return away_from_kinks(functools.partial(super().run, subject, case, dtype, variety), seed)

    def draw(self, draw: Draw, case: Case, dtype: str, variety: str) -> tuple[Array, Array]:
        """An output and a target."""
        output, target = super().draw(draw, case, dtype, variety)
        return (share(output) if self.target == TARGETS[3] else output), (
            share(target) if self.target in TARGETS[2:] else target
        )

    def judge(
        self, reference: nn.Module, given: Mapping[str, Array], mine: Mapping[str, Any], oracle: Mapping[str, Any]
    ) -> tuple[list[Comparison], list[Incident]]:
        """Criterion 2 where `magnitude` knows the loss, else 9."""
        if self.known:
            return super().judge(reference, given, mine, oracle)
        inputs = [to_tensor(given["output"]), to_tensor(given["target"])]
        sizes = measure(reference, inputs, None, seed=0, precision=inputs[0].dtype)
        if sizes.kinked:
            return [], [Incident(KINKED, "on some inputs", harmless=True)]
        bounds = sizes.named("loss", "doutput")
        return [judge(name, mine[name], oracle[name], bounds[name]) for name in bounds if name in mine], []


def share(values: Array) -> Array:
    """Numbers between 0.1 and 0.9."""
    return (0.1 + 0.8 / (1 + np.exp(-values.astype(np.float64)))).astype(values.dtype)


def away_from_kinks(run: Callable[[int], Trial], seed: int) -> Trial:
    """A trial of that seed or, where it could not be judged for a kink, of another; the last one if none can be."""
    trials = (run(seed + 7919 * attempt) for attempt in range(ATTEMPTS))
    for trial in trials:
        found = replace(trial, seed=seed)
        # Nor is what does not answer asked again: it may run into the time limit each time.
        if trial.misbehaviour is not None or all(incident.what != KINKED for incident in trial.incidents):
            break
    return found


def is_loss(like: Any) -> bool:
    """Whether it is one of torch's losses, or has two arguments without defaults."""
    if isinstance(like, _Loss):
        return True
    try:
        given = inspect.signature(like.forward if isinstance(like, nn.Module) else like).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is inspect.Parameter.empty for p in given) == 2


def loss_kind_of(like: Callable[..., Any], shape: tuple[int, ...], title: str) -> ModuleLossKind:
    """The kind that a loss is, run on outputs of `shape`.

    Raises
    ------
    ValueError
        If it gives no finite scalar for any kind of target, or only such as rounding decides on.
    """
    module = copy.deepcopy(like).cpu() if isinstance(like, nn.Module) else Function(like)
    labels_first = sorted(TARGETS, key=lambda kind: kind != "labels")
    troubles: list[str] = []
    for target in labels_first if isinstance(like, LABELLED) else TARGETS:
        if trouble := _trouble(module, shape, target):
            troubles.append(f"{target}: {trouble}")
            continue
        known = understood(module)
        if known is None and _kinked(module, shape, target):
            troubles.append(f"{target}: {KINKED}")
            continue
        return ModuleLossKind(
            name=title,
            twin=functools.partial(copy.deepcopy, module if known is None else known),
            cases=_cases(module, shape, target),
            features={name: said for name, said in COMMON.items() if name != "special" or known is not None},
            axes={"x": "NK" if len(shape) == 2 else ""},
            settings=(),
            dense=target != "labels",
            target=target,
            known=known is not None,
        )
    raise ValueError(f"like cannot be judged on outputs of shape {shape} with any target; {'; '.join(troubles)}")


def _kinked(module: nn.Module, shape: tuple[int, ...], kind: str) -> bool:
    """Whether no draw can be judged."""
    draws = (_drawn(shape, kind, "float32", seed) for seed in range(ATTEMPTS))
    return all(measure(module, pair, None, seed=0, precision=torch.float32).kinked for pair in draws)


def _drawn(shape: tuple[int, ...], kind: str, dtype: str, seed: int = 0) -> list[torch.Tensor]:
    """An output and a target of that kind."""
    probe = ModuleLossKind("", type, (), {}, target=kind, dense=kind != "labels")
    return [to_tensor(a) for a in probe.draw(Draw(seed, ("loss", kind)), Case("", "", {}, shape), dtype, "normal")]


def _cases(module: nn.Module, shape: tuple[int, ...], target: str) -> tuple[Case, ...]:
    shapes = {"plain": (shape, ""), "n1": ((1, *shape[1:]), "single")}
    return tuple(
        Case(slug, "x".join(map(str, size)), {}, size, frozenset(needs.split()), thorough=slug == "plain")
        for slug, (size, needs) in shapes.items()
        if slug == "plain" or (size != shape and not _trouble(module, size, target))
    )


def _trouble(module: nn.Module, shape: tuple[int, ...], kind: str) -> str:
    """Why a loss cannot be judged with that kind of target; "" if it can."""
    for dtype in ("float64", "float32"):
        output, target = _drawn(shape, kind, dtype)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.filterwarnings("error", "Using a target size")  # of another shape than the output's
                value = copy.deepcopy(module).to(output.dtype)(output, target)
        except Exception as error:
            return f"{type(error).__name__}: {error}".splitlines()[0]
        if not isinstance(value, torch.Tensor) or value.shape != () or value.dtype != output.dtype:
            came = f"{tuple(value.shape)} of {value.dtype}" if isinstance(value, torch.Tensor) else f"a {type(value)}"
            return f"gives {came}, expected a scalar of {output.dtype}"
        if not value.isfinite():
            return f"gives {float(value)}"
    return ""
