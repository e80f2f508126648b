import numpy as np
import pytest

from experiments.histogram import Histogram, Tally

SAMPLES = {
    "normal": np.random.default_rng(0).standard_normal(100_000),
    "of all sizes": np.random.default_rng(1).choice([-1, 1], 5000)
    * 10.0 ** np.random.default_rng(2).uniform(-30, 18, 5000),
    "few": np.array([-2.0, -0.0, 0.0, 1.0, 1.125, 100.0]),
    "one": np.array([-3.0]),
    "zeros": np.zeros(7),
}


def histogram(*arrays: np.ndarray) -> Histogram:
    tally = Tally(arrays[0].dtype)
    for array in arrays:
        tally.add(array)
    assert tally.size == sum(array.size for array in arrays)
    return tally.histogram()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", SAMPLES)
def test_every_number_is_counted_once_and_between_the_limits_of_its_bucket(name, dtype):
    values = SAMPLES[name].astype(dtype)
    found = histogram(values)
    assert found.counts.sum() == values.size
    assert (np.diff(found.limits) > 0).all()
    # A number on a limit is counted on the side away from zero.
    sides = np.where(np.signbit(values), np.nextafter(values, -np.inf), np.nextafter(values, np.inf)).astype(dtype)
    places = np.searchsorted(found.limits, sides)
    assert np.bincount(places, minlength=len(found.limits)).tolist() == found.counts.tolist()
    assert found.counts[0] > 0 < found.counts[-1]
    assert not ((found.counts[1:] == 0) & (found.counts[:-1] == 0)).any()


def test_the_moments_are_those_of_the_numbers():
    values = SAMPLES["normal"].astype(np.float32)
    found = histogram(values)
    exact = values.astype(np.float64)
    assert (found.low, found.high) == (exact.min(), exact.max())
    assert found.total == pytest.approx(exact.sum(), rel=1e-12)
    assert found.squares == pytest.approx((exact**2).sum(), rel=1e-12)


def test_buckets_are_an_eighth_of_a_power_of_two_wide():
    values = np.linspace(1, 4, 4000, endpoint=False)
    assert np.allclose(histogram(values).limits, [*np.arange(1.125, 2.01, 0.125), *np.arange(2.25, 4.01, 0.25)], atol=0)


def test_the_order_in_memory_does_not_matter():
    values = np.random.default_rng(3).standard_normal((3, 4, 5)).astype(np.float32)
    first, *others = (histogram(v) for v in (values, values.transpose(2, 0, 1), values[::-1, :, ::-1]))
    for other in others:
        assert other.counts.tolist() == first.counts.tolist()
        assert other.limits.tolist() == first.limits.tolist()


def test_arrays_are_counted_together():
    values = SAMPLES["of all sizes"]
    whole, parts = histogram(values), histogram(values[:3000].reshape(30, 100), values[:0], values[3000:])
    assert parts.counts.tolist() == whole.counts.tolist()
    assert parts.limits.tolist() == whole.limits.tolist()
    assert (parts.low, parts.high) == (whole.low, whole.high) == (values.min(), values.max())
    assert (parts.total, parts.squares) == pytest.approx((whole.total, whole.squares), rel=1e-12)


def test_other_dtypes_are_refused():
    with pytest.raises(TypeError, match="dtype: got float16, expected float32 or float64"):
        Tally(np.float16)
    with pytest.raises(TypeError, match="values: got dtype float64, expected float32"):
        Tally(np.float32).add(np.zeros(3))
