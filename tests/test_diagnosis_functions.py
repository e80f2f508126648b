"""Wrong results made by hand in activations, losses, optimisers and whatever moves values: the diagnosis names them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.diagnosing import SEEDS, Wrong, problem, told, trials, wronged
from torchref.oracle.criteria import selection
from torchref.oracle.diagnosis import diagnose
from torchref.oracle.kinds import DTYPES, Trial


def x(t: Trial) -> Any:
    return t.given["x"]


def dy(t: Trial) -> Any:
    return t.given["dy"]


def y(t: Trial) -> Any:
    return t.oracle["y"]


def a(t: Trial) -> float:
    return t.case.config["a"]


def b(t: Trial) -> float:
    return t.case.config["b"]


ACTIVATIONS: list[tuple[str, str, str, Wrong]] = [
    ("slope:missing", "tanh", "dx", lambda t: dy(t)),
    ("slope:of-input", "tanh", "dx", lambda t: dy(t) * (1 - x(t) ** 2)),
    ("slope:other", "tanh", "dx", lambda t: dy(t) * (1 - y(t) ** 2)),
    ("slope:of-output", "tanh", "dx", lambda t: dy(t) * a(t) * b(t) * (1 - np.tanh(b(t) * y(t)) ** 2)),
    ("formula:settings", "tanh", "y", lambda t: np.tanh(b(t) * x(t))),
    ("slope:twice", "logistic", "dx", lambda t: dy(t) * (a(t) * y(t) * (1 - y(t))) ** 2),
    ("slope:other", "logistic", "dx", lambda t: dy(t) * (1 - y(t) ** 2)),
    ("formula:sign", "logistic", "y", lambda t: 1 / (1 + np.exp(a(t) * x(t)))),
    (
        "nonfinite:overflow",
        "logistic",
        "y",
        lambda t: np.exp(np.asarray(a(t), x(t).dtype) * x(t)) / (1 + np.exp(np.asarray(a(t), x(t).dtype) * x(t))),
    ),
    ("kink:0", "relu", "dx", lambda t: np.where(x(t) < 0, 0, dy(t))),
    ("slope:leak", "relu", "dx", lambda t: np.where(y(t) > 0, dy(t), 0.01 * dy(t))),
    ("slope:other", "relu", "dx", lambda t: np.where(dy(t) > 0, dy(t), 0)),
    ("nonfinite:spread", "relu", "dx", lambda t: dy(t) * (y(t) > 0)),
    ("nonfinite:swallowed", "relu", "y", lambda t: np.fmax(x(t), 0)),
    ("formula:absolute", "relu", "y", lambda t: np.abs(x(t))),
    ("kink:0", "threshold", "y", lambda t: np.heaviside(x(t), 0.5)),
    ("nonfinite:spread", "threshold", "dx", lambda t: 0 * dy(t)),
    ("slope:other", "identity", "dx", lambda t: dy(t) * x(t)),
    ("softmax:diagonal", "softmax", "dx", lambda t: dy(t) * y(t)),
    ("softmax:jacobian-twice", "softmax", "dx", lambda t: jacobian(jacobian(dy(t), y(t)), y(t))),
    ("softmax:axis", "softmax", "y", lambda t: np.exp(x(t) - x(t).max()) / np.exp(x(t) - x(t).max()).sum()),
    ("loss:unshifted", "softmax", "y", lambda t: np.exp(x(t)) / np.exp(x(t)).sum(1, keepdims=True)),
]


def jacobian(d: Any, s: Any) -> Any:
    return s * d - s * (s * d).sum(1, keepdims=True)


@pytest.mark.parametrize(
    ("code", "kind", "tensor", "wrong"), ACTIVATIONS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_an_activation(code: str, kind: str, tensor: str, wrong: Wrong) -> None:
    assert told(kind, tensor, wrong).code == code


def test_a_gradient_of_the_wrong_output_is_inherited() -> None:
    for kind, own in (("logistic", lambda t: 1 / (1 + np.exp(-x(t)))), ("softmax", lambda t: y(t)[::-1])):

        def slope(t: Trial, own: Wrong = own, kind: str = kind) -> Any:
            return jacobian(dy(t), own(t)) if kind == "softmax" else dy(t) * a(t) * own(t) * (1 - own(t))

        runs = []
        for seed in SEEDS:
            usual = [t for t in trials(kind, (), seed) if t.variety == "normal"]
            wrong = [wronged(t, "dx", slope) for t in usual]
            runs.append([replace(t, mine={**t.mine, "y": own(t).astype(t.dtype)}) for t in wrong])
        assert diagnose(problem("dx", *runs)).code == "inherited:y"


def windows(t: Trial) -> Any:
    (kh, kw), (sh, sw) = t.reference.kernel_size, t.reference.stride
    return np.lib.stride_tricks.sliding_window_view(x(t), (kh, kw), (2, 3))[:, :, ::sh, ::sw]


def given_back(t: Trial, weights: Any) -> Any:
    """Dx from what each entry of each window gets, (N, C, H′, W′, kh, kw)."""
    (kh, kw), (sh, sw), dx = t.reference.kernel_size, t.reference.stride, np.zeros(x(t).shape)
    for p, q in np.ndindex(*dy(t).shape[2:]):
        dx[:, :, p * sh : p * sh + kh, q * sw : q * sw + kw] += (weights * dy(t)[..., None, None])[:, :, p, q]
    return dx


def best(t: Trial, last: bool = False) -> Any:
    w = windows(t)
    flat = w.reshape(*w.shape[:4], -1)
    index = flat.shape[4] - 1 - flat[..., ::-1].argmax(4) if last else flat.argmax(4)
    return (np.arange(flat.shape[4]) == index[..., None]).reshape(w.shape)


MAXIMA: list[tuple[str, str, Wrong]] = [
    ("pool:minimum", "y", lambda t: windows(t).min((4, 5))),
    ("pool:from-zero", "y", lambda t: np.maximum(t.oracle["y"], 0)),
    ("pool:shared-out", "dx", lambda t: given_back(t, np.ones(windows(t).shape) / windows(t)[0, 0, 0, 0].size)),
    ("pool:ties-last", "dx", lambda t: None if t.case.slug == "nan" else given_back(t, best(t, last=True))),
    (
        "pool:ties-all",
        "dx",
        lambda t: None if t.case.slug == "nan" else given_back(t, windows(t) == windows(t).max((4, 5), keepdims=True)),
    ),
    (
        "pool:first-pixel",
        "dx",
        lambda t: given_back(t, np.arange(windows(t)[0, 0, 0, 0].size).reshape(windows(t).shape[4:]) == 0),
    ),
    ("stride:end-aligned", "y", lambda t: end_aligned(t)),
    ("swap:axes", "y", lambda t: other_windows(t, t.reference.kernel_size[::-1], t.reference.stride)),
    ("stride:swapped", "y", lambda t: other_windows(t, t.reference.kernel_size, t.reference.stride[::-1])),
    ("stride:ignored", "y", lambda t: other_windows(t, t.reference.kernel_size, (1, 1))),
]


def other_windows(t: Trial, size: Any, step: Any, part: Any = ...) -> Any:
    w = np.lib.stride_tricks.sliding_window_view(x(t)[part], size, (2, 3))[:, :, :: step[0], :: step[1]]
    return w.max((4, 5))


def end_aligned(t: Trial) -> Any:
    (kh, kw), (sh, sw), (h, w) = t.reference.kernel_size, t.reference.stride, x(t).shape[2:]
    part = np.s_[:, :, (h - kh) % sh :, (w - kw) % sw :]
    return other_windows(t, (kh, kw), (sh, sw), part)


@pytest.mark.parametrize(("code", "tensor", "wrong"), MAXIMA, ids=lambda v: v if isinstance(v, str) else "")
def test_a_maximum(code: str, tensor: str, wrong: Wrong) -> None:
    assert told("maxpool2d", tensor, wrong, "plain rest uneven rect overlap ties").code == code


def test_the_sign_of_a_zero_tells_who_won() -> None:
    def judged(t: Trial) -> Trial:
        last = windows(t).reshape(*t.oracle["y"].shape, -1)[..., -1] if t.case.slug == "zeros" else t.oracle["y"]
        return replace(t, mine={"y": last}, comparisons=(selection("y", last, t.oracle["y"]),))

    runs = [[judged(t) for t in trials("maxpool2d", ("zeros", "plain"), seed)] for seed in SEEDS]
    assert diagnose(problem("y", *runs)).code == "pool:ties-last"


MOVED: list[tuple[str, str, str, Wrong]] = [
    ("order:fortran", "flatten", "y", lambda t: x(t).reshape(len(x(t)), -1, order="F")),
    ("order:fortran", "flatten", "dx", lambda t: dy(t).reshape(x(t).shape, order="F")),
    ("order:channels-last", "flatten", "y", lambda t: x(t).transpose(0, 2, 3, 1).reshape(len(x(t)), -1)),
    ("shift", "canvas2d", "y", lambda t: canvas(t, (0, 0))),
    (
        "padding:value",
        "canvas2d",
        "y",
        lambda t: canvas(t, tuple((r - s) // 2 for r, s in zip(y(t).shape[2:], x(t).shape[2:], strict=True)), 0.0),
    ),
    ("padding:uncropped", "canvas2d", "dx", lambda t: dy(t)[:, :, : x(t).shape[2], : x(t).shape[3]]),
    ("mask:inverted", "dropout", "y", lambda t: x(t) * ~t.given["mask"] / (1 - t.case.config["p"])),
    ("mask:ignored", "dropout", "dx", lambda t: dy(t)),
    ("scale:wrong", "dropout", "y", lambda t: x(t) * t.given["mask"] * (1 - t.case.config["p"])),
    ("mask:redrawn", "dropout", "dx", lambda t: dy(t) * np.roll(t.given["mask"], 1, 1) / (1 - t.case.config["p"])),
    (
        "nonfinite:swallowed",
        "dropout",
        "y",
        lambda t: np.where(t.given["mask"], x(t) / x(t).dtype.type(1 - t.case.config["p"]), 0),
    ),
]


def canvas(t: Trial, at: Any, value: float | None = None) -> Any:
    room = np.full(y(t).shape, t.reference.value if value is None else value, y(t).dtype)
    h, w = x(t).shape[2:]
    room[:, :, at[0] : at[0] + h, at[1] : at[1] + w] = x(t)
    return room


@pytest.mark.parametrize(("code", "kind", "tensor", "wrong"), MOVED, ids=lambda v: v if isinstance(v, str) else "")
def test_what_only_moves_values(code: str, kind: str, tensor: str, wrong: Wrong) -> None:
    assert told(kind, tensor, wrong, dtypes=DTYPES).code == code


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
