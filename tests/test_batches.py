import numpy as np
import pytest

from experiments import data
from experiments.batches import batches, epoch_order, in_words, updates_per_epoch
from experiments.config import LeNet5Config, MlpConfig
from experiments.errors import UserError
from experiments.networks import inputs, read


def test_every_image_is_seen_once_per_epoch_with_the_last_partial_batch():
    order = epoch_order(seed=3, epoch=1, n=103)
    sizes = [len(batch) for batch in batches(order, 10)]
    assert sizes == [10] * 10 + [3]
    seen = np.concatenate(list(batches(order, 10)))
    assert sorted(seen) == list(range(103))


def test_mnist_has_860_updates_per_epoch():
    assert updates_per_epoch(55_000, 64) == 860
    assert len(list(batches(np.arange(55_000), 64))) == 860


@pytest.mark.parametrize(("batch_size", "updates"), [(1, 7), (3, 3), (7, 1)])
def test_online_minibatch_and_batch_learning_are_one_code_path(batch_size, updates):
    order = epoch_order(0, 1, 7)
    cut = list(batches(order, batch_size))
    assert len(cut) == updates == updates_per_epoch(7, batch_size)
    np.testing.assert_array_equal(np.concatenate(cut), order)


def test_the_order_is_the_documented_one_and_differs_by_seed_and_epoch():
    order = epoch_order(5, 2, 50)
    np.testing.assert_array_equal(order, np.random.default_rng([5, 2]).permutation(50))
    assert not np.array_equal(order, epoch_order(5, 3, 50))
    assert not np.array_equal(order, epoch_order(6, 2, 50))


@pytest.mark.parametrize("start", [0, 1, 4, 10, 11])
def test_a_resumed_epoch_continues_with_the_batches_that_are_left(start):
    order = epoch_order(1, 1, 103)
    whole, rest = list(batches(order, 10)), list(batches(order, 10, start))
    assert len(rest) == len(whole) - start
    for ours, theirs in zip(rest, whole[start:], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("config", [MlpConfig(batch_size=10, dtype="float64"), LeNet5Config(batch_size=10)])
def test_batches_are_read_in_order_each_into_the_memory_of_the_one_before(config):
    split, order = data.load("digits").validation, epoch_order(1, 1, 103)
    addresses, read_last = set(), 0
    for (images, labels), chosen in zip(read(config, split, order, 2), batches(order, 10, 2), strict=True):
        np.testing.assert_array_equal(images, inputs(config, split.images[chosen]))
        np.testing.assert_array_equal(labels, split.labels[chosen])
        addresses.add(images.ctypes.data)
        read_last = len(images)
    assert (len(addresses), read_last) == (1, 3)


@pytest.mark.parametrize("batch_size", [0, -1, 8])
def test_a_batch_size_out_of_range_is_refused(batch_size):
    with pytest.raises(
        UserError, match=f"--batch-size: expected a whole number from 1 to 7.*got {batch_size}"
    ) as refusal:
        updates_per_epoch(7, batch_size)
    assert refusal.value.exit_code == 2


def test_large_numbers_are_written_with_commas():
    with pytest.raises(UserError, match=r"from 1 to 1,297, the number of training images; got 70,000$"):
        updates_per_epoch(1297, 70_000)


def test_an_epoch_of_one_update_or_of_single_images_is_said_in_the_singular():
    assert in_words(1, 1297) == "1 update per epoch x 1,297 images"
    assert in_words(1297, 1) == "1,297 updates per epoch x 1 image"
    assert in_words(21, 64) == "21 updates per epoch x 64 images"
