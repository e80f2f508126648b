"""Wrong results made by hand in activations, maxima and whatever moves values: the diagnosis names them."""

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
