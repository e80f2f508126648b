"""A standardizer held against its twin: what both have learnt from the same samples, and what they make of inputs.

Criterion 10, on what two correct programs have in common of a decomposition; docs/equivalence.md says why.
"""

import math
import zlib
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch

import torchref
from tests.cases import StandardizerCase
from torchref.oracle import criteria
from torchref.oracle.comparison import Array, Comparison, Report, compare_arrays
from torchref.oracle.inputs import LAYOUTS
from torchref.oracle.purity import aliases, changed, differences, snapshot, verdict

EPS = float(np.finfo(np.float64).eps)
AXES = 128
"""Criterion 10: roundings allowed in what is learnt, in eps(float64)·r, r the root of the samples' mean square."""
TIE = 1e-6
"""Entries of an axis are equally large, for its sign, if no more than this part of them apart."""


def draw(case: StandardizerCase, rng: np.random.Generator, features: int, dtype: str) -> Array:
    """Samples of which the standard deviations are known: from 3 down to 3/spread, in geometric steps."""
    varying = np.sort(rng.permutation(features)[case.constant :])
    x = np.tile(case.offset * rng.normal(size=features), (case.samples, 1))
    if case.rank:
        latent = rng.normal(size=(case.samples, case.rank))
        latent = np.linalg.qr(latent - latent.mean(axis=0)).Q * math.sqrt(case.samples)
        directions = np.linalg.qr(rng.normal(size=(len(varying), case.rank))).Q
        x[:, varying] += latent * np.geomspace(3, 3 / case.spread, case.rank) @ directions.T
    return x.astype(dtype)


def to_torch(x: Array) -> torch.Tensor:
    """The same numbers as a tensor of its own."""
    return torch.from_numpy(np.array(x))


def cuts(rng: np.random.Generator, samples: int) -> list[int]:
    """Where to cut samples into batches, none of them empty."""
    count = int(rng.integers(0, min(samples, 6)))
    return sorted(int(cut) for cut in rng.permutation(np.arange(1, samples))[:count])


def learnt(mine: Any, twin: Any, x: Array) -> Iterator[Comparison]:
    """What a standardizer has learnt from x, against what its twin has.

    delta is what rounding may change in a standard deviation: each of two programs has the exact ones of samples that
    differ from x by so much (Weyl). An axis moves by up to delta over the distance to the next standard deviation, so
    it is compared only where that is small (Wedin). What holds for all axes is what they are: orthogonal unit vectors
    along which the samples are uncorrelated.
    """
    wide = x.astype(np.float64)
    delta = AXES * EPS * math.sqrt(np.square(wide).sum(axis=1).mean())
    for name in ("count", "rank", "out_features"):
        ours, theirs = getattr(mine, name), getattr(twin, name)
        fault = "" if type(ours) is int and ours == theirs else f"{ours!r}, oracle {theirs}"
        yield Comparison(name, "5 form", np.inf if fault else 0.0, fault)
    yield criteria.linear_operation("mean", mine.mean, twin.mean, np.abs(wide).mean(axis=0), np.array(len(x)))
    theirs = twin.variances.sqrt().numpy()
    with np.errstate(invalid="ignore"):
        yield compare_arrays("standard deviations", np.sqrt(mine.variances), theirs, delta, "10 axes")
    identity = np.eye(len(theirs))
    yield compare_arrays("axes are orthogonal", mine.axes @ mine.axes.T, identity, AXES * EPS, "10 axes")
    along = (wide - twin.mean.numpy()) @ mine.axes.T / math.sqrt(len(x))
    bound = delta * (theirs[:, None] + theirs) + delta**2
    uncorrelated = compare_arrays("covariance along the axes", along.T @ along, np.diag(theirs**2), bound, "10 axes")
    yield uncorrelated
    order = np.diff(mine.variances, prepend=np.inf)
    yield verdict("variances fall", "" if (order <= 0).all() else f"{mine.variances}")
    moved = delta / np.maximum(distances(theirs), delta)
    clear = (moved < 1e-3) & has_sign(twin.axes.numpy(), moved)
    yield compare_arrays("axes", mine.axes[clear], twin.axes.numpy()[clear], moved[clear][:, None], "10 axes")


def distances(values: Array) -> Array:
    """From each value to the nearest other."""
    apart = np.abs(values[:, None] - values)
    np.fill_diagonal(apart, np.inf)
    return np.where(np.isinf(apart.min(axis=1)), values, apart.min(axis=1))


def has_sign(axes: Array, moved: Array) -> Array:
    """Which axes' largest entry, the first of those equally large, is another in no axis within `moved` of them."""
    size = np.abs(axes)
    edge = np.abs(size / size.max(axis=1, keepdims=True) - (1 - TIE))
    return edge.min(axis=1) > 4 * moved


def applied(mine: Any, twin: Any, x: Array, dtype: str, label: str) -> Iterator[Comparison]:
    """What both make of inputs by the same statistics: sums of D terms in float64, rounded to the dtype."""
    unit, features = float(np.finfo(dtype).eps), x.shape[1]
    few = (criteria.ROUNDINGS + math.sqrt(features)) * EPS
    mean, axes, kept = np.abs(twin.mean.numpy()), np.abs(twin.axes.numpy()), twin.kept.numpy()
    sigma = np.sqrt(twin.variances.numpy()[kept])
    theirs = twin.transform(to_torch(x)).numpy()
    size = np.abs(x.astype(np.float64)) + mean
    if twin.stage != "centered":
        size = size @ axes.T
    if twin.stage == "equalized":
        size = size[:, kept] / sigma
    yield compare_arrays(f"z{label}", mine.transform(x), theirs, few * size + unit * np.abs(theirs), "10 inputs")
    z = theirs
    back = twin.inverse_transform(to_torch(z)).numpy()
    size = np.abs(z.astype(np.float64))
    if twin.stage == "equalized":
        size = size * sigma @ axes[kept]
    elif twin.stage == "decorrelated":
        size = size @ axes
    bound = few * (size + mean) + unit * np.abs(back)
    yield compare_arrays(f"back from z{label}", mine.inverse_transform(z), back, bound, "10 inputs")


def conduct(mine: Any, x: Array) -> Iterator[Comparison]:
    """Arguments are only read, results belong to the caller, and nothing but learning changes what was learnt."""
    state = snapshot({**mine.state_dict(), "rank": mine.rank})
    before = snapshot({"x": x})
    z = mine.transform(x)
    kept, z_before = np.array(z), snapshot({"z": z})
    back = mine.inverse_transform(z)
    yield verdict("transform leaves x alone", changed(before, {"x": x}))
    yield verdict("inverse_transform leaves z alone", changed(z_before, {"z": z}))
    own = {"mean": mine.mean, "axes": mine.axes, "variances": mine.variances}
    yield verdict(
        "results are not aliased", aliases({"z": z, "back": back}, {"x": x, **own}) or aliases({"b": back}, {"z": z})
    )
    mine.transform(x[::-1])
    yield verdict("results are returned anew", differences({"z": kept}, {"z": z}, "after another pass"))
    now = {**mine.state_dict(), "rank": np.array(mine.rank)}
    yield verdict("applying changes nothing learnt", changed(state, now))
    for value in mine.state_dict().values():
        value += 1
    yield verdict("state_dict gives copies", changed(state, {**mine.state_dict(), "rank": np.array(mine.rank)}))
    for name, value in own.items():
        yield verdict(f"{name} is read-only", "it can be written to" if value.flags.writeable else "")


def moved_state(mine: Any, other: Any, twin: Any, x: Array) -> Iterator[Comparison]:
    """A state goes to torch and on to another standardizer bit for bit, and what was moved is no way in."""
    state = mine.state_dict()
    layout = [(name, value.shape, value.dtype) for name, value in state.items()]
    wanted = [(name, tuple(tensor.shape), tensor.numpy().dtype) for name, tensor in twin.state_dict().items()]
    yield verdict("names, order, shapes, dtypes", "" if layout == wanted else f"{layout}, oracle {wanted}")
    twin.load_state_dict({name: to_torch(value) for name, value in state.items()})
    handed = {name: tensor.numpy() for name, tensor in twin.state_dict().items()}
    other.load_state_dict(handed)
    for value in handed.values():
        value += 1
    yield verdict("state moved", changed(snapshot(state), other.state_dict()))
    yield verdict("z by a moved state", differences({"z": mine.transform(x)}, {"z": other.transform(x)}, "by moving"))


def in_units(x: Array) -> Array:
    """The same samples, further off 0, in units up to 2¹⁷ apart, which round nothing: as many directions as before."""
    units = np.exp2(np.linspace(-12, 5, x.shape[1]).round())
    return ((x + 16 * np.abs(x).max()) * units).astype(x.dtype)


def last_digits(features: int, dtype: str) -> Array:
    """Uncorrelated features of which the last varies most, but by its last digit alone: all others are directions."""
    signs = np.ones((1, 1))
    while len(signs) <= features:
        signs = np.kron([[1, 1], [1, -1]], signs)
    x = signs[:, 1 : features + 1] * np.arange(features, 0, -1)
    unit = float(np.finfo(dtype).eps)
    x[:, -1] = 2**10 / unit * (1 + unit * signs[:, features])
    return x.astype(dtype)


def in_batches(mine: Any, x: Array, ends: Iterable[int]) -> Any:
    """The same learnt bit by bit."""
    for batch in np.split(x, list(ends)):
        mine.partial_fit(batch)
    return mine


def standardizer_reports(case: StandardizerCase, wing: ModuleType, dtype: str, seed: int) -> Iterator[Report]:
    """Learning in one go, in batches, anew, from a state on, in odd layouts; then the inputs by what was learnt."""
    title = f"{case.name} {case.label} {dtype}"
    rng = np.random.default_rng([seed, zlib.crc32(f"{case.label} {dtype}".encode())])

    def candidate() -> Any:
        return case.make(wing, np.dtype(dtype))

    def reference() -> Any:
        return case.make(torchref, getattr(torch, dtype))

    features = reference().num_features
    x, other = draw(case, rng, features, dtype), draw(case, rng, features, dtype)
    before = snapshot({"x": x})
    mine, twin = candidate().fit(x), reference().fit(to_torch(x))
    kept = case.rank if case.kept is None else case.kept
    yield Report(
        f"{title}, fit",
        (
            verdict("fit leaves x alone", changed(before, {"x": x})),
            verdict("what it learns is its own", aliases({"mean": mine.mean}, {"x": x})),
            verdict("rank", "" if mine.rank == kept else f"{mine.rank}, drawn {kept}"),
            *learnt(mine, twin, x),
        ),
    )
    if case.kept is None:
        units, digits = in_units(x), last_digits(features, dtype)
        found, besides = candidate().fit(units), candidate().fit(digits)
        hardly = candidate().fit((x * 1e-160).astype(dtype)).rank
        twins_besides = reference()
        twins_besides.load_state_dict({name: to_torch(value) for name, value in besides.state_dict().items()})
        yield Report(
            f"{title}, in units apart",
            (
                verdict("rank", "" if found.rank == kept else f"{found.rank}, drawn {kept}"),
                verdict("rank where squares underflow", f"{hardly}, expected 0" if hardly else ""),
                *learnt(found, reference().fit(to_torch(units)), units),
            ),
        )
        yield Report(
            f"{title}, beside last digits",
            (
                verdict("rank", "" if besides.rank == features - 1 else f"{besides.rank}, drawn {features - 1}"),
                *applied(besides, twins_besides, digits, dtype, ""),
            ),
        )
    ends = cuts(rng, case.samples)
    yield Report(f"{title}, batches {ends}", tuple(learnt(in_batches(candidate(), x, ends), twin, x)))
    yield Report(f"{title}, anew", tuple(learnt(candidate().fit(other).fit(x), twin, x)))
    both = np.concatenate([x, other])
    begun, twins_begun = candidate(), reference().fit(to_torch(both))
    begun.load_state_dict(mine.state_dict())
    yield Report(f"{title}, from a state on", tuple(learnt(begun.partial_fit(other), twins_begun, both)))
    for name, layout in LAYOUTS.items():
        odd = layout(x.copy())
        found = reference().fit(to_torch(odd))
        yield Report(f"{title}, {name}", tuple(learnt(candidate().fit(odd), found, odd)))
    yield Report(f"{title}, state", tuple(moved_state(mine, candidate(), twin, x)))
    inputs = [("", x), (" of others", other), (" of none", x[:0]), (" of one", other[:1])]
    inputs += [(f", {name}", layout(x.copy())) for name, layout in LAYOUTS.items()]
    verdicts = (c for label, value in inputs for c in applied(mine, twin, value, dtype, label))
    yield Report(f"{title}, applied", tuple(verdicts))
    yield Report(f"{title}, conduct", tuple(conduct(mine, x)))
