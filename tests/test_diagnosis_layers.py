"""Wrong results made by hand, one mistake each: the diagnosis names it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.diagnosing import SEEDS, Wrong, problem, told, trials, wronged
from torchref.oracle.diagnosis import diagnose
from torchref.oracle.kinds import DTYPES, Trial

SMALL = "s1p0 s1p1 s2p1 rect uneven gaps n1 equal nobias"
TABLED = "s1p0 table square-table"
POOLED = "plain rest overlap uneven gaps rect"


def array(trial: Trial, name: str) -> Any:
    return trial.given.get(name)


def conv(trial: Trial, tensor: str, x: Any = None, weight: Any = None, dy: Any = None, **other: Any) -> Any:
    """Another convolution's y, dx or grad weight."""
    c = trial.case.config
    given = {"x": x, "weight": weight, "dy": dy}
    x, w, g = (torch.tensor(np.array(trial.given[n] if v is None else v)) for n, v in given.items())
    x.requires_grad_()
    w.requires_grad_()
    bias = array(trial, "bias")
    b = None if bias is None else torch.tensor(other.get("bias", bias))
    used = other.get("change", lambda v: v)(w)
    table = other.get("table", c.get("connections"))
    if table is not None:
        used = used * torch.tensor(np.array(table))[:, :, None, None]
    y = F.conv2d(
        other.get("prepare", lambda v: v)(x),
        used,
        b,
        other.get("stride", c["stride"]),
        other.get("padding", c["padding"]),
    )
    if tensor == "y":
        return y.detach().numpy()
    return torch.autograd.grad(y, {"dx": x, "grad weight": w}[tensor], g)[0].numpy()


def pads(trial: Trial) -> tuple[int, int]:
    p = trial.case.config["padding"]
    return p if isinstance(p, tuple) else (p, p)


def padded(trial: Trial, tensor: str, before: int, after: int, mode: str) -> Any:
    h, w = pads(trial)
    if not h + w:
        return trial.oracle[tensor]
    sides = (before * w, after * w, before * h, after * h)
    return conv(trial, tensor, prepare=lambda x: F.pad(x, sides, mode=mode), padding=0)


def shifted_table(by: int, axis: int) -> Callable[[Trial], Any]:
    return lambda t: np.roll(np.array(t.case.config["connections"]), by, axis)


def whole_gradient(t: Trial) -> Any:
    return conv(t, "grad weight", table=np.ones(t.given["weight"].shape[:2], bool))


def tabled(change: Callable[[Any], Any], tensor: str) -> Wrong:
    def wrong(trial: Trial) -> Any:
        table = trial.case.config.get("connections")
        return None if table is None else conv(trial, tensor, table=change(np.array(table)))

    return wrong


def last_tap(w: Any) -> Any:
    keep = torch.ones(w.shape[2:], dtype=bool)
    if keep.numel() > 1:
        keep[-1, -1] = False
    return w * keep


def first_samples(t: Trial) -> Any:
    dy = t.given["dy"]
    return conv(t, "grad weight", dy=dy * (np.arange(len(dy)) < 4)[:, None, None, None])


def mixed(t: Trial, tensor: str) -> Any:
    dy = t.given["dy"]
    n, o, h, w = dy.shape
    return conv(t, tensor, dy=dy.transpose(1, 0, 2, 3).reshape(o, h, w, n).transpose(3, 0, 1, 2))


def overwritten(t: Trial) -> Any:
    """A loop over places that assigns."""
    x, w, dy = (t.given[n] for n in ("x", "weight", "dy"))
    s = t.case.config["stride"]
    (sh, sw), (ph, pw) = s if isinstance(s, tuple) else (s, s), pads(t)
    dx = np.zeros((*x.shape[:2], x.shape[2] + 2 * ph, x.shape[3] + 2 * pw))
    kh, kw = w.shape[2:]
    for p, q in np.ndindex(*dy.shape[2:]):
        window = np.einsum("no,ocij->ncij", dy[:, :, p, q], w)
        dx[:, :, p * sh : p * sh + kh, q * sw : q * sw + kw] = window
    return dx[:, :, ph : ph + x.shape[2], pw : pw + x.shape[3]]


def uncropped(t: Trial) -> Any:
    h, w = pads(t)
    x = np.pad(t.given["x"], ((0, 0), (0, 0), (h, h), (w, w)))
    return conv(t, "dx", x=x, padding=0)[:, :, : t.given["x"].shape[2], : t.given["x"].shape[3]]


CONVOLUTIONS: list[tuple[str, str, Wrong, str]] = [
    ("flip:kernel", "y", lambda t: conv(t, "y", weight=t.given["weight"][:, :, ::-1, ::-1]), SMALL),
    ("flip:rows", "y", lambda t: conv(t, "y", weight=t.given["weight"][:, :, ::-1]), SMALL),
    ("flip:columns", "dx", lambda t: conv(t, "dx", weight=t.given["weight"][..., ::-1]), SMALL),
    ("flip:kernel", "grad weight", lambda t: t.oracle["grad weight"][:, :, ::-1, ::-1], SMALL),
    ("swap:transposed", "grad weight", lambda t: square_swapped(t.oracle["grad weight"]), SMALL),
    ("bias:missing", "y", lambda t: conv(t, "y", bias=0 * t.given["bias"]) if "bias" in t.given else None, SMALL),
    ("bias:doubled", "y", lambda t: conv(t, "y", bias=2 * t.given["bias"]) if "bias" in t.given else None, SMALL),
    ("padding:edge", "y", lambda t: padded(t, "y", 1, 1, "replicate"), SMALL),
    ("padding:reflect", "grad weight", lambda t: padded(t, "grad weight", 1, 1, "reflect"), SMALL),
    ("padding:one-side", "y", lambda t: padded(t, "y", 2, 0, "constant"), SMALL),
    ("padding:uncropped", "dx", uncropped, SMALL),
    ("padding:ignored", "y", lambda t: conv(t, "y", padding=0), SMALL),
    ("stride:ignored", "y", lambda t: conv(t, "y", stride=1), SMALL),
    ("overlap:overwritten", "dx", overwritten, "s1p0 s1p1 s2p1 uneven gaps"),
    ("taps:last-skipped", "dx", lambda t: conv(t, "dx", change=last_tap), SMALL),
    ("samples:some", "grad weight", first_samples, "s1p0 uneven"),
    ("swap:axes", "dx", lambda t: mixed(t, "dx"), SMALL),
    ("swap:axes", "grad weight", lambda t: mixed(t, "grad weight"), SMALL),
    ("ratio:1/N", "grad weight", lambda t: t.oracle["grad weight"] / len(t.given["x"]), SMALL),
    ("ratio:places", "grad bias", lambda t: t.oracle["grad bias"] * t.given["dy"][0, 0].size, SMALL),
    ("places:first", "grad bias", lambda t: t.given["dy"][:, :, 0, 0].sum(0), SMALL),
    ("roll", "dx", lambda t: np.roll(t.oracle["dx"], 1, 2), SMALL),
    ("shift", "dx", lambda t: np.pad(t.oracle["dx"], ((0, 0),) * 3 + ((1, 0),))[..., :-1], SMALL),
    ("table:rolled", "dx", tabled(lambda m: np.roll(m, 1, 1), "dx"), TABLED),
    ("table:inverted", "y", tabled(lambda m: ~m, "y"), TABLED),
    ("table:ignored", "grad weight", lambda t: whole_gradient(t), TABLED),
    ("table:flipped", "y", tabled(lambda m: m[::-1], "y"), TABLED),
    ("table:link-missing", "dx", tabled(lambda m: without_first(m), "dx"), TABLED),
]


def square_swapped(array: Any) -> Any:
    return array.swapaxes(2, 3) if array.shape[2] == array.shape[3] else array


def without_first(table: Any) -> Any:
    other = table.copy()
    other[tuple(np.argwhere(table)[0])] = False
    return other


@pytest.mark.parametrize(
    ("code", "tensor", "wrong", "slugs"), CONVOLUTIONS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_convolution(code: str, tensor: str, wrong: Wrong, slugs: str) -> None:
    assert told("conv2d", tensor, wrong, slugs).code == code


def weight_of(t: Trial, change: Callable[[Any], Any]) -> Any:
    return t.given["x"] @ change(t.given["weight"]).T + t.given.get("bias", 0)


LINEAR: list[tuple[str, str, Wrong]] = [
    ("swap:transposed", "y", lambda t: weight_of(t, lambda w: w.T if w.shape[0] == w.shape[1] else w)),
    ("swap:transposed", "grad weight", lambda t: t.oracle["grad weight"].T),
    ("bias:negated", "y", lambda t: 2 * (t.given["x"] @ t.given["weight"].T) - t.oracle["y"]),
    ("bias:per-product", "y", lambda t: t.oracle["y"] + (t.given["x"].shape[1] - 1) * t.given.get("bias", 0)),
    ("samples:first", "grad weight", lambda t: t.given["dy"][:1].T @ t.given["x"][:1]),
    ("samples:last", "grad bias", lambda t: t.given["dy"][-1]),
    ("samples:all-but-first", "grad bias", lambda t: t.given["dy"][min(1, len(t.given["dy"]) - 1) :].sum(0)),
    ("samples:all-but-last", "grad bias", lambda t: t.given["dy"][: max(1, len(t.given["dy"]) - 1)].sum(0)),
    ("ratio:-1", "dx", lambda t: -t.oracle["dx"]),
    ("ratio:constant", "dx", lambda t: 0.37 * t.oracle["dx"]),
    ("ratio:K", "dx", lambda t: t.oracle["dx"] * t.given["dy"].shape[1]),
    ("order:fortran", "y", lambda t: misread(t)),
]


def misread(t: Trial) -> Any:
    if t.variety != "Fortran order":
        return None
    x = t.given["x"]
    return x.ravel(order="F").reshape(x.shape) @ t.given["weight"].T + t.given["bias"]


@pytest.mark.parametrize(("code", "tensor", "wrong"), LINEAR, ids=lambda v: v if isinstance(v, str) else "")
def test_a_linear_layer(code: str, tensor: str, wrong: Wrong) -> None:
    assert told("linear", tensor, wrong, "plain equal n1 one-in nobias", dtypes=DTYPES).code == code


def reread(t: Trial, written: tuple[int, ...], read: tuple[int, ...]) -> Any:
    y = t.oracle["y"]
    return y.transpose(written).reshape([y.shape[a] for a in read]).transpose(np.argsort(read))


def test_places_and_channels_are_mixed_up() -> None:
    found = told("conv2d", "y", lambda t: reread(t, (1, 2, 3, 0), (1, 0, 2, 3)), SMALL)
    assert found.code == "swap:axes"
    assert "out is wrong" in found.hint
    assert "its axes were reshaped in another order" in found.hint


def windows(t: Trial) -> Any:
    (kh, kw), (sh, sw) = t.reference.kernel_size, t.reference.stride
    return np.lib.stride_tricks.sliding_window_view(t.given["x"], (kh, kw), (2, 3))[:, :, ::sh, ::sw]


def area(t: Trial) -> int:
    return int(np.prod(t.reference.kernel_size))


AVERAGES: list[tuple[str, str, Wrong]] = [
    ("pool:undivided", "y", lambda t: t.oracle["y"] * area(t)),
    ("pool:divided-twice", "dx", lambda t: t.oracle["dx"] / area(t)),
    ("pool:wrong-divisor", "dx", lambda t: t.oracle["dx"] * t.reference.kernel_size[0]),
    ("taps:last-skipped", "y", lambda t: t.oracle["y"] - windows(t)[..., -1, -1] / area(t)),
    ("location:overlaps", "dx", lambda t: noisy(t, lambda t, uses: uses > 1)),
    ("location:last-rows", "dx", lambda t: noisy(t, lambda t, uses: uses == 0)),
]


def noisy(t: Trial, place: Callable[[Trial, Any], Any]) -> Any:
    (kh, kw), (sh, sw), x = t.reference.kernel_size, t.reference.stride, t.given["x"]
    uses = np.zeros(x.shape)
    for p, q in np.ndindex(*t.given["dy"].shape[2:]):
        uses[:, :, p * sh : p * sh + kh, q * sw : q * sw + kw] += 1
    noise = np.random.default_rng(x.size).normal(size=x.shape)
    return t.oracle["dx"] + place(t, uses) * noise


@pytest.mark.parametrize(("code", "tensor", "wrong"), AVERAGES, ids=lambda v: v if isinstance(v, str) else "")
def test_an_average(code: str, tensor: str, wrong: Wrong) -> None:
    assert told("avgpool2d", tensor, wrong, "rest overlap gaps uneven").code == code


SUBSAMPLED: list[tuple[str, str, Wrong]] = [
    ("bias:inside", "y", lambda t: (windows(t).sum((4, 5)) + per_map(t, "bias")) * per_map(t, "weight")),
    ("pool:sum-vs-mean", "y", lambda t: windows(t).mean((4, 5)) * per_map(t, "weight") + per_map(t, "bias")),
    ("scale:missing", "dx", lambda t: t.oracle["dx"] / per_map(t, "weight")),
    ("ratio:0", "grad weight", lambda t: 0 * t.oracle["grad weight"]),
    ("ratio:1/area", "grad weight", lambda t: t.oracle["grad weight"] / area(t)),
    ("slope:other", "grad weight", lambda t: (t.given["dy"] * t.oracle["y"]).sum((0, 2, 3))),
]


def per_map(t: Trial, name: str) -> Any:
    return t.given[name][:, None, None]


@pytest.mark.parametrize(("code", "tensor", "wrong"), SUBSAMPLED, ids=lambda v: v if isinstance(v, str) else "")
def test_sub_sampling(code: str, tensor: str, wrong: Wrong) -> None:
    assert told("subsample2d", tensor, wrong, "plain overlap uneven").code == code


def upright(t: Trial, axis: int) -> Any:
    x, w = (torch.tensor(t.given[n]).unsqueeze(axis) for n in ("x", "weight"))
    p, s = t.case.config["padding"], t.case.config["stride"]
    y = F.conv2d(x, w, torch.tensor(t.given["bias"]), (1, s), (p, 0) if axis == 2 else (0, p)).flatten(2).numpy()
    return y.reshape(t.oracle["y"].shape) if y.size == t.oracle["y"].size else None


def test_a_signal_padded_across() -> None:
    assert told("conv1d", "y", lambda t: upright(t, 2), "equal s1p0").code == "padding:swapped"
    assert told("conv1d", "y", lambda t: np.roll(t.oracle["y"], 1, 2), "equal s1p0").code == "roll"


@pytest.mark.parametrize("tensor", ["y", "dx"])
def test_the_mask_of_an_earlier_dropout(tensor: str) -> None:
    """What it dropped is 0 already: forward, its mask applied again looks as if none was."""
    runs = []
    for seed in SEEDS:
        own = []
        for t in trials("dropout", (), seed):
            x, keep = t.given["x"], 1 - float(t.reference.dropout.p)
            if t.variety != "normal" or keep == 1 or x.size == 0:
                continue
            earlier = np.random.default_rng([seed, x.size]).random(x.shape) < 0.7
            x = x * earlier
            oracle = {"y": x * t.given["mask"] / keep, "dx": t.oracle["dx"]}
            source = x if tensor == "y" else t.given["dy"]
            moved = replace(t, given={**t.given, "x": x}, oracle=oracle)
            own.append(wronged(moved, tensor, lambda t, s=source, m=earlier, k=keep: s * m / k))
        runs.append(own)
    assert diagnose(problem(tensor, *runs)).code == "mask:shared"
