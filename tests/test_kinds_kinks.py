"""Modules with kinks: draws too near one are drawn again, and what cannot be judged is said or refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests import handmade
from tests.judged import FreeSubject, trials
from torchref import oracle
from torchref.oracle.kinds import find
from torchref.oracle.subjects.subject import Misbehaviour

# kinks


def clamped(edge: float) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """min(x, edge) of torch and by hand; the name, and so the draws, are the same whatever the edge."""

    def clamp(x: torch.Tensor) -> torch.Tensor:
        return torch.clamp(x, max=edge)

    class Clamp(handmade.Elementwise):
        @staticmethod
        def f(x: Any) -> Any:
            return np.minimum(x, x.dtype.type(edge)), (x < edge).astype(float)

    return clamp, Clamp


def test_a_draw_near_a_kink_is_drawn_again() -> None:
    theirs, mine = clamped(0.3)
    kind = find(theirs, (3, 2))
    plain = kind.run(FreeSubject(mine), kind.cases[0], "float64", "normal", 1)
    at = float(plain.given["x"][1, 1])
    theirs, mine = clamped(at * (1 + 1e-13))
    again = find(theirs, (3, 2)).run(FreeSubject(mine), kind.cases[0], "float64", "normal", 1)
    assert at not in again.given["x"]
    assert again.seed == 1
    assert again.comparisons
    assert again.passed
    theirs, mine = clamped(at * (1 + 1e-8))  # far enough in float64
    assert at in find(theirs, (3, 2)).run(FreeSubject(mine), kind.cases[0], "float64", "normal", 1).given["x"]


def steps(x: torch.Tensor) -> torch.Tensor:
    """At random, for all that rounding leaves of x."""
    return x + torch.floor(1e12 * x) % 2


def test_what_cannot_be_judged_is_refused_or_said() -> None:
    with pytest.raises(ValueError, match=r"cannot be judged on x of shape .* nothing is judged: in 10 draws"):
        find(steps, (3, 5))
    with pytest.raises(ValueError, match=r"cannot be judged on outputs .* nothing is judged"):
        find(lambda z, t: steps(z - t).sum(), (6, 4))
    # 20, among the special values, is where torch changes the formula of softplus.
    options: dict[str, Any] = {"shape": (3, 5), "dtypes": "float64", "unsupported": "strided"}
    verdict = oracle.check(lambda x: np.log1p(np.exp(-abs(x))) + np.maximum(x, 0), like=nn.Softplus(), **options)
    assert verdict.passed
    assert any("on special values inputs nothing is judged" in remark for remark in verdict.remarks)


def test_a_loss_near_a_kink_is_said_to_be_so() -> None:
    at: list[float] = []

    def loss(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return ((z - t) * (1 if not at else steps(z))).sum()

    kind = find(loss, (6, 4))
    at.append(1.0)
    made = handmade.Loss(lambda z, t: (z - t).sum(), lambda z, _: np.ones_like(z))
    trial = next(trials(kind, FreeSubject(lambda: made)))
    assert not [c for c in trial.comparisons if c.tensor in ("loss", "doutput")]
    assert "kink" in trial.incidents[0].what
    calls = []

    def silent(z: Any, _: Any) -> Any:
        calls.append(z)
        raise Misbehaviour("forward", "runs into the time limit", hangs=True)

    trial = next(trials(kind, FreeSubject(lambda: handmade.Loss(silent, silent))))
    assert [c.tensor for c in trial.failures] == ["forward"]
    assert len(calls) == 1
