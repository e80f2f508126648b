"""The embedded digits: their enlargement and their fixed split."""

import numpy as np
import pytest

from experiments.data import digits, load


def test_sizes_classes_and_the_parts_are_disjoint() -> None:
    data = load("digits")
    assert (len(data.train), len(data.validation), len(data.test)) == (1297, 200, 300)
    assert data.source == "scikit-learn"
    assert data.num_classes == 10
    assert np.bincount(data.validation.labels).tolist() == [20] * 10
    assert np.bincount(data.test.labels).tolist() == [30] * 10
    for part in (data.train, data.validation, data.test):
        assert part.images.shape == (len(part), 28, 28)
        assert part.images.dtype == np.uint8
        assert part.labels.dtype == np.int64
        assert not part.images.flags.writeable
        assert not part.labels.flags.writeable
    everything = digits.load()
    together = np.concatenate([everything.train, everything.validation, everything.test])
    np.testing.assert_array_equal(np.sort(together), np.arange(1797))


def test_the_very_same_bytes_every_time_and_everywhere() -> None:
    # Runs are compared across machines: a change here is a new data set and has to be noticed.
    first = load("digits").sha256
    assert first == load("digits").sha256
    assert {name: digest[:16] for name, digest in first.items()} == {
        "train-images": "be940fe2daa5548b",
        "train-labels": "a93a8b16c4ceca6b",
        "validation-images": "b772363fa02212f7",
        "validation-labels": "2749566059edbb51",
        "test-images": "db8e2274e8d40ee7",
        "test-labels": "5e03e746271716cd",
    }


def test_the_split_does_not_depend_on_the_global_seed() -> None:
    labels = np.arange(1000) % 10
    np.random.seed(1)  # noqa: NPY002
    one = digits.split(labels)
    np.random.seed(2)  # noqa: NPY002
    for first, second in zip(one, digits.split(labels), strict=True):
        np.testing.assert_array_equal(first, second)


def test_enlarge_keeps_orientation_place_and_range() -> None:
    small = np.zeros((2, 8, 8))
    small[0, 1, 6] = 16
    small[1] = 16
    large = digits.enlarge(small)
    assert large.shape == (2, 28, 28)
    # Pixel (1, 6) covers rows 2.5 to 5 and columns 15 to 17.5 of the 20 x 20, which begins at (4, 4).
    row, column = np.unravel_index(np.argmax(large[0]), (28, 28))
    assert (row, column) in {(7, 19), (7, 20)}
    assert large[1].max() == 255
    assert (large[1, 4:24, 4:24] == 255).all()
    assert large[1].sum(dtype=np.int64) == 255 * 400


def test_ink_is_spread_over_the_whole_range() -> None:
    small = np.broadcast_to(np.arange(17.0)[:, None, None], (17, 8, 8))
    assert digits.enlarge(small)[:, 14, 14].tolist() == [int(255 * ink / 16 + 0.5) for ink in range(17)]


def test_a_nearest_neighbour_reads_them() -> None:
    # Images and labels belong together: if the split mixed them up this would be about 90%.
    data = load("digits")
    train = data.train.images.reshape(1297, -1).astype(np.float64)
    test = data.test.images.reshape(300, -1).astype(np.float64)
    distances = (train**2).sum(1)[None, :] - 2 * test @ train.T
    error = np.mean(data.train.labels[distances.argmin(1)] != data.test.labels)
    assert error < 0.03, error


@pytest.mark.parametrize("count", [50, 51, 99, 174])
def test_split_counts_for_any_class_size(count: int) -> None:
    train, validation, test = digits.split(np.repeat(np.arange(10), count))
    assert (len(train), len(validation), len(test)) == (10 * (count - 50), 200, 300)
