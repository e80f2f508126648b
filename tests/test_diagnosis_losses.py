"""Wrong results made by hand in losses, optimisers and penalties: the diagnosis names them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.diagnosing import SEEDS, Wrong, problem, told, trials, wronged
from torchref.oracle.diagnosis import diagnose
from torchref.oracle.kinds import Trial


def jacobian(d: Any, s: Any) -> Any:
    return s * d - s * (s * d).sum(1, keepdims=True)


def z(t: Trial) -> Any:
    return t.given["output"]


def n(t: Trial) -> int:
    return len(z(t)) if t.case.config["reduction"] == "mean" else 1


def p(t: Trial) -> Any:
    e = np.exp(z(t) - z(t).max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def hot(t: Trial, by: int = 0) -> Any:
    return np.eye(z(t).shape[1])[(t.given["target"].astype(int) + by) % z(t).shape[1]]


CROSS_ENTROPY: list[tuple[str, str, Wrong]] = [
    ("loss:label-shifted", "loss", lambda t: -(np.log(p(t)) * hot(t, 1)).sum() / n(t) if "1e4" not in t.variety else 0),
    ("loss:base", "loss", lambda t: t.oracle["loss"] / np.log(2)),
    ("loss:reduction", "loss", lambda t: t.oracle["loss"] * n(t)),
    ("loss:sign", "loss", lambda t: -t.oracle["loss"]),
    ("loss:onehot-missing", "doutput", lambda t: p(t) / n(t)),
    ("loss:onehot-over", "doutput", lambda t: -hot(t) / p(t) / n(t)),
    ("softmax:jacobian-twice", "doutput", lambda t: jacobian(p(t) - hot(t), p(t)) / n(t)),
    ("loss:label-shifted", "doutput", lambda t: (p(t) - hot(t, -1)) / n(t)),
    (
        "loss:unshifted",
        "loss",
        lambda t: -np.log(p(t)[np.arange(len(z(t))), t.given["target"].astype(int)]).sum() / z(t).dtype.type(n(t)),
    ),
    ("loss:epsilon", "loss", lambda t: -np.log((p(t) * hot(t)).sum(1) + 1e-8).sum() / n(t)),
    ("loss:epsilon", "loss", lambda t: -np.log(np.maximum((p(t) * hot(t)).sum(1), 1e-12)).sum() / n(t)),
    ("samples:some", "loss", lambda t: t.oracle["loss"] if len(z(t)) <= 32 else first_losses(t)),
]


def first_losses(t: Trial) -> Any:
    return -(np.log(p(t)) * hot(t))[:32].sum() / n(t)


@pytest.mark.parametrize(("code", "tensor", "wrong"), CROSS_ENTROPY, ids=lambda v: v if isinstance(v, str) else "")
def test_cross_entropy(code: str, tensor: str, wrong: Wrong) -> None:
    found = told(
        "cross_entropy", tensor, wrong, "mean sum long one-class" if code != "loss:label-shifted" else "sum long"
    )
    assert found.code == code


def dense(t: Trial) -> Any:
    target = t.given["target"]
    return target if target.dtype.kind == "f" else hot(t)


SQUARED: list[tuple[str, str, Wrong]] = [
    ("loss:half", "loss", lambda t: 2 * t.oracle["loss"]),
    ("loss:root", "loss", lambda t: np.sqrt(((z(t) - dense(t)) ** 2).sum(1)).sum() / n(t)),
    ("loss:absolute", "loss", lambda t: np.abs(z(t) - dense(t)).sum() / n(t)),
    (
        "loss:targets",
        "doutput",
        lambda t: (z(t) - (2 * hot(t) - 1)) / n(t) if t.given["target"].dtype.kind != "f" else None,
    ),
    ("loss:reduction", "doutput", lambda t: t.oracle["doutput"] / z(t).shape[1]),
    ("ratio:2", "doutput", lambda t: 2 * t.oracle["doutput"]),
    ("nonfinite:swallowed", "loss", lambda t: 0.5 * np.nansum((z(t) - dense(t)) ** 2) / n(t)),
    ("order:fortran", "doutput", lambda t: (z(t) - in_memory(t)) / n(t)),
]


def in_memory(t: Trial) -> Any:
    target = dense(t)
    memory = t.variety == "Fortran order" and t.given["target"].dtype.kind == "f"
    return target.ravel(order="F").reshape(target.shape) if memory else target


@pytest.mark.parametrize(("code", "tensor", "wrong"), SQUARED, ids=lambda v: v if isinstance(v, str) else "")
def test_squared_error(code: str, tensor: str, wrong: Wrong) -> None:
    assert told("squared_error", tensor, wrong, "mean sum labels").code == code


def follow(
    t: Trial,
    name: str,
    sign: float = 1,
    mu: float = 1,
    gain: float = 1,
    decay: float = 1,
    after: bool = False,
    layouts: bool = False,
) -> Any:
    c, v, p, seen = t.case.config, 0.0, t.given[f"start {name}"].astype(float), []
    v = t.given.get(f"start velocity {name}", v)
    for i, g in enumerate(t.given[f"grad {name}"]):
        if layouts and i in (0, 5):  # those in Fortran order
            g = g.ravel(order="F").reshape(g.shape)
        wd = decay * c.get("weight_decay", 0)
        g = g + (0 if after else wd * p)
        p = p - c["lr"] * wd * p if after else p
        if c.get("momentum"):
            v = mu * c["momentum"] * v + gain * g
            g = v
        p = p - sign * c["lr"] * g
        seen.append(p)
    return np.stack(seen)


OPTIMISERS: list[tuple[str, str, Wrong]] = [
    ("optim:sign", "fc1.weight", lambda t: follow(t, "fc1.weight", sign=-1)),
    ("optim:momentum", "fc1.weight", lambda t: follow(t, "fc1.weight", mu=-1)),
    ("optim:dampened", "fc1.weight", lambda t: follow(t, "fc1.weight", gain=1 - t.case.config.get("momentum", 0))),
    ("optim:state-lost", "fc1.weight", lambda t: follow(t, "fc1.weight", mu=0)),
    ("optim:decay-after", "fc1.weight", lambda t: follow(t, "fc1.weight", after=True)),
    ("optim:decay-sign", "fc1.weight", lambda t: follow(t, "fc1.weight", decay=-1)),
    ("order:fortran", "fc1.weight", lambda t: follow(t, "fc1.weight", layouts=t.variety == "odd layouts")),
    ("optim:decay-half", "s2.weight", lambda t: follow(t, "s2.weight", decay=0.5)),
    ("optim:decay-bias", "weighted.bias", lambda t: follow(t, "weighted.bias")),
    (
        "optim:state-lost",
        "velocity s2.weight",
        lambda t: np.broadcast_to(
            t.given.get("start velocity s2.weight", np.zeros(t.oracle["velocity s2.weight"].shape[1:])),
            t.oracle["velocity s2.weight"].shape,
        ),
    ),
]


@pytest.mark.parametrize(("code", "tensor", "wrong"), OPTIMISERS, ids=lambda v: v if isinstance(v, str) else "")
def test_an_optimiser(code: str, tensor: str, wrong: Wrong) -> None:
    assert told("sgd", tensor, wrong).code == code


def test_a_velocity_is_explained_as_its_parameter_is() -> None:
    def decoupled(t: Trial) -> Trial:
        wrong = wronged(t, "velocity s2.weight", lambda t: plain_velocity(t, "s2.weight"))
        return replace(wrong, mine={**wrong.mine, "s2.weight": follow(t, "s2.weight", after=True)})

    runs = [[decoupled(t) for t in trials("sgd", ("both", "momentum"), seed)] for seed in SEEDS]
    assert diagnose(problem("velocity s2.weight", *runs)).code == "optim:decay-after"


def plain_velocity(t: Trial, name: str) -> Any:
    v, seen = 0.0, []
    for g in t.given[f"grad {name}"]:
        v = t.case.config["momentum"] * v + g
        seen.append(v)
    return np.stack(seen)


def squares(t: Trial) -> float:
    return 2 * float(t.oracle["penalty"]) / (t.case.config["decay"] or 1)


PENALTIES: list[tuple[str, str, Wrong]] = [
    ("loss:half", "penalty", lambda t: 2 * t.oracle["penalty"]),
    ("loss:root", "penalty", lambda t: 0.5 * t.case.config["decay"] * squares(t) ** 0.5),
    (
        "optim:decay-bias",
        "penalty",
        lambda t: 0.5 * t.case.config["decay"] * sum((w.astype(float) ** 2).sum() for w in t.given.values()),
    ),
    ("ratio:1/2", "grad weight", lambda t: t.oracle["grad weight"] / 2),
    ("formula:absolute", "grad fc1.weight", lambda t: np.abs(t.oracle["grad fc1.weight"])),
]


@pytest.mark.parametrize(("code", "tensor", "wrong"), PENALTIES, ids=lambda v: v if isinstance(v, str) else "")
def test_a_penalty(code: str, tensor: str, wrong: Wrong) -> None:
    assert told("l2_penalty", tensor, wrong).code == code


@pytest.mark.parametrize("tensor", ["loss", "doutput"])
@pytest.mark.parametrize("sums", [True, False])
def test_the_mean_over_all_entries(tensor: str, sums: bool) -> None:
    def wrong(t: Trial) -> Any:
        output, target = z(t), t.given["target"]
        whole = sums and t.case.config["reduction"] == "sum"
        r = (output - target) if target.ndim == 2 else output - hot(t)
        mean = 1 if whole else r.size
        return (r * r).sum() / mean if tensor == "loss" else 2 * r / mean

    found = told("squared_error", tensor, wrong, "mean sum long")
    assert found.code == "loss:reduction"
    assert "N·K" in found.hint
    assert tensor == "doutput" or sum("mine/oracle" in line for line in found.evidence) > 1
