"""标准化输入: mean removed, decorrelated, covariance equalized, on data that is easy and on data that is not.

The twins are held against each other in the harness (standardizing.py); here both wings against others.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import scratch
import torchref

WINGS = pytest.mark.parametrize("wing", [scratch, torchref], ids=["scratch", "torchref"])
STAGES = ("centered", "decorrelated", "equalized")
SHAPES = ((2, 1), (3, 2), (40, 2), (40, 7), (7, 6), (500, 31), (65, 64), (1000, 3))


class Arrays:
    """A standardizer of either wing that takes and gives NumPy's arrays."""

    def __init__(self, wing: ModuleType, *arguments: Any, dtype: str = "float64", **options: Any) -> None:
        self.wing = wing
        own = np.dtype(dtype) if wing is scratch else getattr(torch, dtype)
        self.inner = wing.Standardizer(*arguments, dtype=own, **options)

    def give(self, x: np.ndarray) -> Any:
        return x if self.wing is scratch else torch.from_numpy(np.array(x))

    def fit(self, x: np.ndarray) -> "Arrays":
        assert self.inner.fit(self.give(x)) is self.inner
        return self

    def partial_fit(self, x: np.ndarray) -> "Arrays":
        assert self.inner.partial_fit(self.give(x)) is self.inner
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.inner.transform(self.give(x)))

    def inverse_transform(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(self.inner.inverse_transform(self.give(z)))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        return np.asarray(value) if isinstance(value, torch.Tensor) else value


def correlated(seed: int, samples: int, features: int) -> np.ndarray:
    """Samples with any covariance, away from 0."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, features)) @ rng.normal(size=(features, features)) + 10 * rng.normal(size=features)


def covariance(x: np.ndarray) -> np.ndarray:
    """Over N, by another program."""
    return np.atleast_2d(np.cov(x.astype(np.float64), rowvar=False, ddof=0))


def digits() -> np.ndarray:
    """1,797 images of 64 pixels, of which three are 0 in all."""
    return np.asarray(load_digits().data, np.float64)


@WINGS
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_each_stage_does_what_the_slide_says(wing: ModuleType, shape: tuple[int, int]) -> None:
    for seed in range(10):
        x = correlated(seed, *shape)
        size = np.abs(x).max()
        centered, decorrelated, equalized = (Arrays(wing, shape[1], stage).fit(x).transform(x) for stage in STAGES)
        np.testing.assert_allclose(centered, x - x.mean(axis=0), rtol=0, atol=1e-14 * size)  # 消除均值
        spread = covariance(decorrelated)  # 去相关性
        np.testing.assert_allclose(spread, np.diag(np.diag(spread)), rtol=0, atol=1e-14 * size**2)
        assert (np.diff(np.diag(spread)) <= 0).all()
        np.testing.assert_allclose(np.trace(spread), np.trace(covariance(x)), rtol=1e-12)
        deviations = np.sqrt(np.diag(spread))
        for z, scale in ((centered, 1), (decorrelated, 1), (equalized, deviations)):
            np.testing.assert_allclose(z.mean(axis=0) * scale, 0, rtol=0, atol=1e-14 * size)


@WINGS
@pytest.mark.parametrize("shape", [*SHAPES, (301, 300)], ids=str)
def test_whitened_covariance_is_the_identity_to_1e_12(wing: ModuleType, shape: tuple[int, int]) -> None:
    for seed in range(20 if shape[1] < 100 else 1):
        x = correlated(seed, *shape)
        standardizer = Arrays(wing, shape[1]).fit(x)
        # Some of these samples hardly vary in some direction; what is off then is known to be eps times σ_1/σ_D.
        condition = np.sqrt(standardizer.variances[0] / standardizer.variances[-1])
        assert standardizer.rank == standardizer.out_features == shape[1]
        z = standardizer.transform(x)
        np.testing.assert_allclose(z.T @ z / len(z), np.eye(shape[1]), rtol=0, atol=max(1e-12, 1e-15 * condition))


@WINGS
def test_the_covariance_is_not_squared_where_it_need_not_be(wing: ModuleType) -> None:
    """Standard deviations from 1 to 1e-5: a decomposition of the covariance itself knows the last to 1 part in 10⁶."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(8, 8))).Q
    x = rng.normal(size=(500, 8)) * np.geomspace(1, 1e-5, 8) @ turn + 1

    def off(z: np.ndarray) -> float:
        return float(np.abs(covariance(z) - np.eye(8)).max())

    variances, axes = np.linalg.eigh(covariance(x))
    assert off((x - x.mean(axis=0)) @ axes / np.sqrt(variances)) > 1e-8
    assert off(Arrays(wing, 8).fit(x).transform(x)) < 1e-10


@WINGS
@pytest.mark.parametrize("shape", [(40, 7), (500, 31), (200, 2)], ids=str)
def test_scikit_learn_and_numpy_find_the_same(wing: ModuleType, shape: tuple[int, int]) -> None:
    for seed in range(5):
        x = correlated(seed, *shape)
        mine, theirs = Arrays(wing, shape[1]).fit(x), PCA(whiten=True, svd_solver="full").fit(x)
        np.testing.assert_allclose(mine.mean, theirs.mean_, rtol=1e-13)
        np.testing.assert_allclose(mine.variances, theirs.explained_variance_ * (len(x) - 1) / len(x), rtol=1e-10)
        np.testing.assert_allclose(mine.variances[::-1], np.linalg.eigvalsh(covariance(x)), rtol=1e-8)
        signs = np.sign((mine.axes * theirs.components_).sum(axis=1))
        np.testing.assert_allclose(mine.axes, theirs.components_ * signs[:, None], rtol=0, atol=1e-9)
        z = theirs.transform(x) * signs * np.sqrt(len(x) / (len(x) - 1))
        np.testing.assert_allclose(mine.transform(x), z, rtol=0, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.data())
@WINGS
def test_any_split_gives_what_one_go_gives(wing: ModuleType, data: st.DataObject) -> None:
    features, samples = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 30))
    x = correlated(data.draw(st.integers(0, 10**6)), samples, features)
    constant = data.draw(st.integers(0, features))
    x[:, :constant] = 0.1
    ends = data.draw(st.lists(st.integers(1, max(1, samples - 1)), unique=True).map(sorted))
    whole, parts = Arrays(wing, features).fit(x), Arrays(wing, features)
    for batch in np.split(x, ends):
        if len(batch):
            parts.partial_fit(batch)
    found = samples, min(features - constant, samples - 1)
    assert (parts.count, parts.rank) == (whole.count, whole.rank) == found
    size = np.abs(x).max()
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=0, atol=1e-14 * size)
    np.testing.assert_allclose(np.sqrt(parts.variances), np.sqrt(whole.variances), rtol=0, atol=1e-14 * size)
    z, again = whole.transform(x), parts.transform(x)
    gap = np.sqrt(whole.variances[: whole.rank]).min(initial=size)
    # The samples' inner products, which say nothing of the axes.
    np.testing.assert_allclose(again @ again.T, z @ z.T, rtol=0, atol=1e-13 * size / gap * samples)


@WINGS
def test_a_pixel_that_never_changes_is_no_direction_however_it_comes(wing: ModuleType) -> None:
    rng = np.random.default_rng(3)
    x = np.column_stack([rng.normal(size=700), np.full(700, 0.1), rng.normal(size=700), np.full(700, -1e4 / 3)])
    for ends in ([], [1], [1, 2, 3], range(1, 700), [350], rng.permutation(699)[:20] + 1):
        standardizer = Arrays(wing, 4)
        for batch in np.split(x, sorted(ends)):
            standardizer.partial_fit(batch)
        assert standardizer.mean[[1, 3]].tolist() == [0.1, -1e4 / 3]
        assert standardizer.rank == 2
        assert standardizer.variances[2:].max() < 1e-30
        assert np.abs(standardizer.axes[:2, [1, 3]]).max() < 1e-15


@WINGS
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_digits_have_three_pixels_that_are_always_0(wing: ModuleType, dtype: str) -> None:
    x = digits().astype(dtype)
    assert (x.std(axis=0) == 0).sum() == 3
    exact, eps = dtype == "float64", np.finfo(dtype).eps
    for stage, width in zip(STAGES, (64, 64, 61), strict=True):
        standardizer = Arrays(wing, 64, stage, dtype=dtype).fit(x)
        assert (standardizer.rank, standardizer.out_features) == (61, width)
        z = standardizer.transform(x)
        assert (z.shape, z.dtype) == ((1797, width), dtype)
        np.testing.assert_allclose(standardizer.inverse_transform(z), x, rtol=0, atol=1000 * eps)
    off = np.abs(covariance(z) - np.eye(61)).max()
    assert off < (1e-12 if exact else 1e-7), off


@WINGS
def test_digits_in_batches_of_any_size(wing: ModuleType) -> None:
    x = digits()
    whole = Arrays(wing, 64).fit(x).transform(x)
    for size in (7, 64, 1000):
        parts = Arrays(wing, 64)
        for start in range(0, len(x), size):
            parts.partial_fit(x[start : start + size])
        z = parts.transform(x)
        assert z.shape == whole.shape
        np.testing.assert_allclose(z.T @ z / len(z), np.eye(61), rtol=0, atol=1e-12)
        np.testing.assert_allclose(z, whole, rtol=0, atol=1e-9)


@WINGS
def test_with_fewer_samples_than_features_what_was_learnt_comes_back(wing: ModuleType) -> None:
    x = digits()[:40]
    standardizer = Arrays(wing, 64).fit(x)
    z = standardizer.transform(x)
    assert z.shape == (40, 39)
    np.testing.assert_allclose(z.T @ z / 40, np.eye(39), rtol=0, atol=1e-12)
    np.testing.assert_allclose(standardizer.inverse_transform(z), x, rtol=0, atol=1e-12)
    other = digits()[40:60]  # has more to it: of that, the part in the samples' span
    back = standardizer.inverse_transform(standardizer.transform(other))
    assert np.abs(back - other).max() > 1
    again = standardizer.inverse_transform(standardizer.transform(back))
    np.testing.assert_allclose(again, back, rtol=0, atol=1e-11)
    whole = Arrays(wing, 64, "decorrelated").fit(x)
    np.testing.assert_allclose(whole.inverse_transform(whole.transform(other)), other, rtol=0, atol=1e-12)


@WINGS
@pytest.mark.parametrize("samples", [1, 5])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
def test_where_nothing_varies_nothing_is_left_to_equalize(wing: ModuleType, samples: int, value: float) -> None:
    x = np.full((samples, 3), value)
    for stage, width in zip(STAGES, (3, 3, 0), strict=True):
        standardizer = Arrays(wing, 3, stage).fit(x)
        assert (standardizer.rank, standardizer.out_features) == (0, width)
        z = standardizer.transform(x)
        assert z.shape == (samples, width)
        assert not z.any()
        assert np.array_equal(standardizer.inverse_transform(z), x)


@WINGS
def test_no_inputs_give_no_outputs(wing: ModuleType) -> None:
    standardizer = Arrays(wing, 4).fit(correlated(0, 20, 4))
    assert standardizer.transform(np.zeros((0, 4))).shape == (0, 4)
    assert standardizer.inverse_transform(np.zeros((0, 4))).shape == (0, 4)


@WINGS
@pytest.mark.parametrize("batch", [1, 50, 5000])
def test_float32_far_from_0_loses_only_what_the_inputs_have_lost(wing: ModuleType, batch: int) -> None:
    """Of inputs near 1e4 with deviation 1 float32 keeps steps of 1e-3; nothing is added to that."""
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(5000 if batch > 1 else 300, 6)) + 1e4).astype(np.float32)
    wide = x.astype(np.float64)
    standardizer = Arrays(wing, 6, dtype="float32")
    for start in range(0, len(x), batch):
        standardizer.partial_fit(x[start : start + batch])
    np.testing.assert_allclose(standardizer.mean, wide.mean(axis=0), rtol=1e-14)
    exact = np.linalg.eigvalsh(covariance(wide - 1e4))[::-1]
    np.testing.assert_allclose(standardizer.variances, exact, rtol=1e-10)
    z = standardizer.transform(x)
    assert z.dtype == np.float32
    np.testing.assert_allclose(covariance(z), np.eye(6), rtol=0, atol=1e-7)
    np.testing.assert_allclose(standardizer.inverse_transform(z), x, rtol=np.finfo(np.float32).eps)
    centered = Arrays(wing, 6, "centered", dtype="float32").fit(x).transform(x)
    assert np.array_equal(centered, (wide - standardizer.mean).astype(np.float32)) or batch < 5000


@WINGS
def test_copies_and_sums_of_features_are_no_new_directions(wing: ModuleType) -> None:
    rng = np.random.default_rng(2)
    for dtype in ("float64", "float32"):
        base = rng.normal(size=(400, 3)).astype(dtype)
        x = np.column_stack([base, base[:, 0], base[:, 1] - base[:, 2], 3 * base[:, 0]]).astype(dtype)
        standardizer = Arrays(wing, 6, dtype=dtype).fit(x)
        assert standardizer.rank == 3 == np.linalg.matrix_rank(x - x.mean(axis=0))
        back = standardizer.inverse_transform(standardizer.transform(x))
        np.testing.assert_allclose(back, x, rtol=0, atol=20 * np.finfo(dtype).eps)


@WINGS
def test_the_tolerance_says_what_counts(wing: ModuleType) -> None:
    rng = np.random.default_rng(5)
    x = np.linalg.qr(rng.normal(size=(50, 4)) - 0).Q
    x = (x - x.mean(axis=0)) * [1, 1e-2, 1e-4, 0]

    def rank(tolerance: float | None) -> int:
        return int(Arrays(wing, 4, tolerance=tolerance).fit(x).rank)

    assert [rank(tolerance) for tolerance in (None, 0, 1e-10, 1e-6, 1e-3, 0.5)] == [3, 3, 3, 2, 1, 1]


@WINGS
def test_a_feature_in_smaller_units_counts_as_much(wing: ModuleType) -> None:
    """float32 rounds each feature relatively to itself, not to the largest of them all."""
    rng = np.random.default_rng(6)
    units = np.column_stack([rng.normal(size=500) * 1e8, rng.normal(size=500), rng.uniform(size=500)])
    one_large = rng.normal(size=(500, 100)) * np.where(np.arange(100) == 7, 1e5, 0.5)
    for x in (units, one_large, one_large + 1e4, units * [1e-20, 1e-16, 1e-24], units * [1, 1, 0]):
        varying = int((x.std(axis=0) > 0).sum())
        for dtype, off in (("float64", 1e-5), ("float32", 1e-4)):
            standardizer = Arrays(wing, x.shape[1], dtype=dtype).fit(x.astype(dtype))
            assert standardizer.rank == varying == standardizer.kept.sum()
            z = standardizer.transform(x.astype(dtype))
            np.testing.assert_allclose(covariance(z), np.eye(varying), rtol=0, atol=off)


@WINGS
@pytest.mark.parametrize("offset", [0, 1e3, 1e5])
@pytest.mark.parametrize("shape", [(300, 20), (300, 200), (40, 200)], ids=str)
def test_rounding_of_inputs_is_no_direction(wing: ModuleType, shape: tuple[int, int], offset: float) -> None:
    """Samples of rank 5, far from 0 or not, in units a million apart: what float32 adds has all directions."""
    rng = np.random.default_rng(7)
    low = rng.normal(size=(shape[0], 5)) @ rng.normal(size=(5, shape[1])) + offset
    for x in (low, low * np.geomspace(1e-3, 1e3, shape[1])):
        for dtype in ("float64", "float32"):
            assert Arrays(wing, shape[1], dtype=dtype).fit(x.astype(dtype)).rank == 5


@WINGS
def test_rounding_of_a_large_feature_may_exceed_a_small_one(wing: ModuleType) -> None:
    """A large feature and 0.3 of it, in float32, apart by its last digits: more than all that the small one does."""
    rng = np.random.default_rng(8)
    large = (rng.normal(size=2000) * 1e9).astype(np.float32)
    x = np.column_stack([large, rng.normal(size=2000).astype(np.float32), large * np.float32(0.3)])
    standardizer = Arrays(wing, 3, dtype="float32").fit(x)
    assert standardizer.variances[1] > 10 * standardizer.variances[2]
    assert (standardizer.rank, standardizer.out_features, standardizer.kept.tolist()) == (2, 2, [True, False, True])
    z = standardizer.transform(x)
    np.testing.assert_allclose(covariance(z), np.eye(2), rtol=0, atol=1e-6)
    assert abs(np.corrcoef(z[:, 1], x[:, 1])[0, 1]) > 0.99
    back = standardizer.inverse_transform(z)
    assert np.corrcoef(back[:, 1], x[:, 1])[0, 1] > 0.99
    np.testing.assert_allclose(back[:, [0, 2]], x[:, [0, 2]], rtol=1e-6, atol=100)


@WINGS
def test_spreads_have_a_floor(wing: ModuleType) -> None:
    """Squares lose their digits near the least float64: what spreads by less than 1e-140 is documented as constant."""
    x = correlated(3, 50, 3)
    x -= x.mean(axis=0)
    for scale in (1e-135, 1e135):
        z = Arrays(wing, 3).fit(x * scale).transform(x * scale)
        np.testing.assert_allclose(covariance(z), np.eye(3), rtol=0, atol=1e-12)
    for scale in (1e-143, 1e-155, 1e-160, 1e-165):
        for tolerance in (None, 0):
            standardizer = Arrays(wing, 3, tolerance=tolerance).fit(x * scale)
            assert standardizer.rank == 0
            assert standardizer.transform(x * scale).shape == (50, 0)
    assert "1e-140" in scratch.Standardizer.__doc__


@WINGS
def test_what_was_learnt_cannot_be_written_to(wing: ModuleType) -> None:
    standardizer = Arrays(wing, 3).fit(correlated(0, 9, 3))
    state = {name: np.asarray(value).copy() for name, value in standardizer.inner.state_dict().items()}
    for name in ("mean", "axes", "variances"):
        read = getattr(standardizer.inner, name)
        if wing is scratch:
            with pytest.raises(ValueError, match="read-only"):
                read += 1
        else:
            read += 1
        with pytest.raises(AttributeError):
            setattr(standardizer.inner, name, read)
    now = standardizer.inner.state_dict()
    assert all(np.array_equal(value, now[name]) for name, value in state.items())


@WINGS
def test_a_state_at_the_largest_magnitudes_is_one(wing: ModuleType) -> None:
    """All features together at ±1e140: the variance is D·1e280, the most there can be."""
    x = np.array([[1e140, 1e140], [-1e140, -1e140], [1e140, 1e140], [-1e140, -1e140]])
    for samples in (x, x[:1]):
        standardizer, other = Arrays(wing, 2).fit(samples), Arrays(wing, 2)
        other.inner.load_state_dict(standardizer.inner.state_dict())
        assert np.array_equal(other.transform(x), standardizer.transform(x))


@WINGS
def test_the_larger_entry_of_an_axis_is_positive_and_rounding_chooses_no_sign(wing: ModuleType) -> None:
    """Two features of the same variance: all entries of the axes are √½, and the first one is to be positive."""
    rng = np.random.default_rng(4)
    for _ in range(50):
        latent = rng.normal(size=(30, 2))
        u, v = np.linalg.qr(latent - latent.mean(axis=0)).Q.T
        x = np.column_stack([2 * u + v, 2 * u - v]) + rng.normal(size=2)
        expected = np.array([[1, 1], [1, -1]]) * np.sqrt(0.5)
        np.testing.assert_allclose(Arrays(wing, 2).fit(x).axes, expected, rtol=0, atol=1e-14)
    axes = Arrays(wing, 7).fit(correlated(0, 60, 7)).axes
    assert (np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1) > 0).all()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_one_wing_has_learnt_moves_to_the_other_and_back(stage: str, dtype: str) -> None:
    """Of the three pixels that are always 0 every basis is right: the axes have to come along."""
    x = digits().astype(dtype)
    ours, theirs, back = (Arrays(wing, 64, stage, dtype=dtype) for wing in (scratch, torchref, scratch))
    ours.fit(x[:1000])
    state = ours.inner.state_dict()
    assert list(state) == ["count", "mean", "variances", "axes"]
    theirs.inner.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    back.inner.load_state_dict({name: tensor.numpy() for name, tensor in theirs.inner.state_dict().items()})
    for name, value in back.inner.state_dict().items():
        assert value.dtype == state[name].dtype
        assert np.array_equal(value, state[name])
    eps = np.finfo(dtype).eps
    z = ours.transform(x)
    np.testing.assert_allclose(theirs.transform(x), z, rtol=eps, atol=1e-11)
    assert np.array_equal(back.transform(x), z)
    for standardizer in (ours, theirs, back):
        standardizer.partial_fit(x[1000:])
        np.testing.assert_allclose(standardizer.variances, Arrays(scratch, 64).fit(digits()).variances, atol=1e-10)


@WINGS
def test_nothing_is_half_learnt_after_a_refusal(wing: ModuleType) -> None:
    standardizer = Arrays(wing, 3)
    x = correlated(0, 9, 3)
    bad = x.copy()
    bad[7, 1] = np.nan
    for learn in (standardizer.fit, standardizer.partial_fit):
        with pytest.raises(ValueError, match=r"x is not finite in 1 of 27 entries, the first nan at \(7, 1\)"):
            learn(bad)
        assert standardizer.count == 0
    standardizer.fit(x)
    state = {name: np.asarray(value).copy() for name, value in standardizer.inner.state_dict().items()}
    for wrong in (bad, x[:0], x[:, :2], x.astype(np.float32), x * 1e150):
        for learn in (standardizer.fit, standardizer.partial_fit):
            with pytest.raises((TypeError, ValueError), match=r"^x "):
                learn(wrong)
    for name, place, value in (
        ("variances", 1, -1.0),
        ("variances", 2, 1e9),
        ("variances", 0, 1e300),
        ("mean", 1, -1e300),
        ("axes", 0, 0.0),
        ("axes", slice(None), 1e200),
    ):
        faulty = standardizer.inner.state_dict()
        faulty[name][place] = value
        with pytest.raises(ValueError, match=f"state.*{name}"):
            standardizer.inner.load_state_dict(faulty)
    now = standardizer.inner.state_dict()
    assert all(np.array_equal(value, now[name]) for name, value in state.items())
    z = standardizer.transform(x)
    assert np.array_equal(standardizer.fit(x).transform(x), z)


@WINGS
def test_what_was_read_before_stays_as_it_was_read(wing: ModuleType) -> None:
    standardizer = Arrays(wing, 3).fit(correlated(0, 9, 3))
    read = [standardizer.mean, standardizer.axes, standardizer.variances]
    kept = [value.copy() for value in read]
    standardizer.partial_fit(correlated(1, 9, 3))
    assert all(np.array_equal(value, before) for value, before in zip(read, kept, strict=True))


def test_samples_may_lie_in_a_file_larger_than_memory(tmp_path: Path) -> None:
    x = correlated(0, 200, 5)
    mapped = np.memmap(tmp_path / "samples", np.float64, "w+", shape=x.shape)
    mapped[:] = x
    standardizer = scratch.Standardizer(5, dtype=np.float64)
    for start in range(0, 200, 64):
        standardizer.partial_fit(mapped[start : start + 64])
    np.testing.assert_allclose(covariance(standardizer.transform(x)), np.eye(5), rtol=0, atol=1e-12)


def test_torch_differentiates_by_the_inputs_and_learns_without_a_graph() -> None:
    x = torch.from_numpy(correlated(0, 20, 4)).requires_grad_()
    standardizer = torchref.Standardizer(4, dtype=torch.float64, device="cpu").fit(x)
    assert not standardizer.mean.requires_grad
    assert not standardizer.axes.requires_grad
    (gradient,) = torch.autograd.grad(standardizer.transform(x)[:, 1].sum(), x)
    expected = standardizer.axes[1] / standardizer.variances[1].sqrt()
    torch.testing.assert_close(gradient, expected.expand(20, 4), rtol=1e-13, atol=0)
    assert standardizer.inverse_transform(standardizer.transform(x)).requires_grad
