"""Where data are looked for, how they are split, and what is refused."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from experiments.data import DATASETS, NotFoundError, finding, inputs, load, sources
from experiments.data.datasets import load_source
from experiments.errors import UserError
from experiments.invocation import command
from tests.idx_files import TEST, TRAIN, VALIDATION, Member, idx_bytes, pack, tiny_images, tiny_labels

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


@pytest.fixture(autouse=True)
def nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the real cache nor the caller's MNIST_DIR is looked at."""
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.setattr(finding, "cache_dir", lambda: tmp_path / "cache")


def refusal(member: Member, folder: Path | None) -> str:
    with pytest.raises(UserError) as caught:
        load_source(member.source, folder)
    return str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layout", ["", "Tiny/raw"])
def test_flat_or_torchvision_layout_raw_or_packed(tmp_path: Path, layout: str, packed: bool) -> None:
    member = Member()
    folder = member.write(tmp_path / layout, packed=packed)
    data = load_source(member.source, tmp_path)
    assert data.source == str(folder)
    assert (len(data.train), len(data.validation), len(data.test)) == (TRAIN - VALIDATION, VALIDATION, TEST)
    both = np.concatenate([data.train.images, data.validation.images])
    np.testing.assert_array_equal(both, member.arrays[TRAIN_IMAGES])
    both_labels = np.concatenate([data.train.labels, data.validation.labels])
    np.testing.assert_array_equal(both_labels, member.arrays[TRAIN_LABELS])
    np.testing.assert_array_equal(data.test.images, member.arrays[TEST_IMAGES])
    np.testing.assert_array_equal(data.test.labels, member.arrays[TEST_LABELS])
    for part in (data.train, data.validation, data.test):
        assert part.images.dtype == np.uint8
        assert part.labels.dtype == np.int64
        assert not part.images.flags.writeable
        assert not part.labels.flags.writeable
    assert set(data.sha256) == set(member.arrays)
    assert data.unverified == ()


def test_dotted_names_are_found(tmp_path: Path) -> None:
    member = Member()
    for path in member.write(tmp_path).iterdir():
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(load_source(member.source, tmp_path).test) == TEST


def test_transposed_images_are_set_upright(tmp_path: Path) -> None:
    member = Member(transposed=True)
    member.write(tmp_path)
    data = load_source(member.source, tmp_path)
    stored = member.arrays[TEST_IMAGES]
    assert data.test.images[1, 5, 20] == stored[1, 20, 5]
    np.testing.assert_array_equal(data.test.images, stored.transpose(0, 2, 1))
    assert data.test.images.flags.c_contiguous
    assert not data.test.images.flags.writeable
    assert [member.name for member in sources.FAMILY if member.transposed] == ["emnist-digits"]


def test_integer_labels(tmp_path: Path) -> None:
    member = Member(integers=True)
    member.write(tmp_path)
    np.testing.assert_array_equal(load_source(member.source, tmp_path).test.labels, member.arrays[TEST_LABELS][:, 0])


def test_places_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    member = Member()
    member.write(tmp_path / "cache")
    assert load_source(member.source).source == str(tmp_path / "cache")
    monkeypatch.setenv("MNIST_DIR", str(member.write(tmp_path / "variable")))
    assert load_source(member.source).source == str(tmp_path / "variable")
    assert load_source(member.source, member.write(tmp_path / "named")).source == str(tmp_path / "named")
    monkeypatch.setenv("MNIST_DIR", str(tmp_path / "gone"))
    assert load_source(member.source).source == str(tmp_path / "cache")
    # A folder that is named has to hold the data: others are not silently taken instead.
    (tmp_path / "empty").mkdir()
    assert "none of the files" in refusal(member, tmp_path / "empty")


def test_not_found_names_places_files_and_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    member = Member()
    text = refusal(member, None)
    assert "MNIST_DIR is not set" in text
    monkeypatch.setenv("MNIST_DIR", str(tmp_path / "gone"))
    text = refusal(member, None)
    for place in ("gone", "gone/Tiny/raw", "cache", "cache/Tiny/raw"):
        assert f"{tmp_path / place} (no such folder)" in text
    for part in (*member.arrays, "--data-dir", command("data", "--dataset", "tiny")):
        assert part in text
    (tmp_path / "plain").write_text("")
    assert "not a folder" in refusal(member, tmp_path / "plain")


@pytest.mark.parametrize("there", [0, 2])
def test_the_command_that_fetches_has_the_folder_that_was_named(tmp_path: Path, there: int) -> None:
    member, folder = Member(), tmp_path / "my data"
    folder.mkdir()
    for name in list(member.arrays)[:there]:
        member.put(folder, name)
    with pytest.raises(NotFoundError) as caught:
        load_source(member.source, folder)
    assert command("data", "--dataset", "tiny", "--data-dir", str(folder)) in str(caught.value)


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    member = Member()
    (member.write(tmp_path) / name).unlink()
    with pytest.raises(NotFoundError) as caught:
        load_source(member.source, tmp_path)
    assert f"incomplete in {tmp_path}: {name} was not found" in str(caught.value)


def test_a_damaged_file_is_refused_and_left(tmp_path: Path) -> None:
    member = Member()
    path = member.write(tmp_path) / TEST_LABELS
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError) as caught:
        load_source(member.source, tmp_path, download=True)
    assert not isinstance(caught.value, NotFoundError)
    before = {item: item.read_bytes() for item in tmp_path.iterdir()}
    text = refusal(member, tmp_path)
    assert f"{path}: truncated" in text
    assert "Move the file away" in text
    assert {item: item.read_bytes() for item in tmp_path.iterdir()} == before


@pytest.mark.parametrize("pins", ["unpacked", "packed"])
@pytest.mark.parametrize("pixel", [0, 28 * 28 * TEST - 1])
def test_one_altered_pixel(tmp_path: Path, pins: str, pixel: int) -> None:
    member = Member(pins)
    member.write(tmp_path, packed=True)
    images = member.arrays[TEST_IMAGES].copy()
    images.flat[pixel] ^= 1
    (tmp_path / f"{TEST_IMAGES}.gz").write_bytes(pack(idx_bytes(images)))
    if pins == "unpacked":
        assert "damaged or altered: the sha256 of its unpacked bytes is" in refusal(member, tmp_path)
    else:
        # A packed digest cannot tell alteration from another compressor, so it only withholds the seal.
        assert load_source(member.source, tmp_path).unverified == (TEST_IMAGES,)


def test_another_compressor_is_no_alteration(tmp_path: Path) -> None:
    member = Member("unpacked")
    member.write(tmp_path, packed=True)
    (tmp_path / f"{TEST_IMAGES}.gz").write_bytes(gzip.compress(member.raw[TEST_IMAGES], 1, mtime=7))
    assert load_source(member.source, tmp_path).unverified == ()


def test_without_pins_everything_is_unverified(tmp_path: Path) -> None:
    member = Member("")
    member.write(tmp_path)
    assert load_source(member.source, tmp_path).unverified == tuple(member.arrays)


@pytest.mark.parametrize("pins", ["unpacked", "packed", ""])
@pytest.mark.parametrize(
    ("one", "other", "known", "guessed"),
    [
        (TRAIN_IMAGES, TEST_IMAGES, "these are the test images of Tiny", "are these the test images of Tiny?"),
        (TRAIN_LABELS, TEST_LABELS, "these are the test labels of Tiny", "are these the test labels of Tiny?"),
        (TRAIN_IMAGES, TRAIN_LABELS, "these are the training labels of Tiny", "holds 6 labels, images were expected"),
    ],
)
def test_swapped_files_are_recognised(
    tmp_path: Path, pins: str, one: str, other: str, known: str, guessed: str
) -> None:
    member = Member(pins)
    member.write(tmp_path, packed=True)
    first, second, spare = (tmp_path / f"{name}.gz" for name in (one, other, "spare"))
    first.rename(spare)
    second.rename(first)
    spare.rename(second)
    text = refusal(member, tmp_path)
    assert str(first) in text
    assert (known if pins else guessed) in text


def test_count_mismatch_and_label_ten(tmp_path: Path) -> None:
    member = Member("")
    member.write(tmp_path)
    (tmp_path / TEST_LABELS).write_bytes(idx_bytes(tiny_labels(TEST + 1)))
    assert f"{tmp_path / TEST_LABELS}: holds 5 labels, expected 4" in refusal(member, tmp_path)
    (tmp_path / TEST_LABELS).write_bytes(idx_bytes(np.array([1, 2, 10, 3], np.uint8)))
    assert "label 10 at index 2" in refusal(member, tmp_path)
    (tmp_path / TEST_LABELS).write_bytes(idx_bytes(np.zeros(0, np.uint8)))
    assert "holds no labels" in refusal(member, tmp_path)
    (tmp_path / TEST_LABELS).unlink()
    (tmp_path / TEST_LABELS).mkdir()
    assert "a folder, where an IDX file was expected" in refusal(member, tmp_path)


def test_a_pinned_member_under_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, other = Member(""), Member("unpacked", seed=50)
    monkeypatch.setattr(sources, "FAMILY", (*sources.FAMILY, other.source))
    object.__setattr__(other.source, "title", "Else")
    # Flat: the file names are shared, so the folder may well be another member's. The search goes on.
    monkeypatch.setenv("MNIST_DIR", str(other.write(tmp_path / "flat")))
    assert "these are the training images of Else, expected the training images of Tiny" in refusal(wanted, None)
    wanted.write(tmp_path / "cache")
    assert load_source(wanted.source).source == str(tmp_path / "cache")
    # In the member's own folder it is a mistake.
    other.write(tmp_path / "own" / "Tiny" / "raw")
    assert refusal(wanted, tmp_path / "own").startswith(str(tmp_path / "own" / "Tiny" / "raw" / TRAIN_IMAGES))


def test_a_folder_that_may_not_be_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    assert "cannot be read: Permission denied" in refusal(Member(), tmp_path)


def test_unknown_names_get_a_suggestion() -> None:
    assert DATASETS == ("digits", "mnist", "fashion-mnist", "kmnist", "emnist-digits", "qmnist")
    with pytest.raises(UserError, match=r"unknown dataset 'mnits'; did you mean 'mnist'\?"):
        load("mnits")
    with pytest.raises(UserError, match="'digits' is not a member of the MNIST family"):
        sources.source("digits")


def test_every_pin_is_a_distinct_digest() -> None:
    pins = [pin for member in sources.FAMILY for file in member.files for pin in (file.unpacked, file.packed) if pin]
    assert len(set(pins)) == len(pins) == 4 + 8 + 4 + 4 + 4
    for pin in pins:
        algorithm, digits = pin.split(":")
        assert len(bytes.fromhex(digits)) == {"sha256": 32, "md5": 16}[algorithm]
    for member in sources.FAMILY:
        assert all(file.unpacked or file.packed for file in member.files)
        assert member.train_images.count == member.train_labels.count > member.validation
        assert member.test_images.count == member.test_labels.count


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inputs(dtype: type) -> None:
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    x = inputs(images, dtype)
    assert x.dtype == dtype
    assert x.shape == images.shape
    assert x[0, 0, 0] == dtype(-0.1)
    assert x[0, -1, -1] == dtype(1.175)
    np.testing.assert_array_equal(x.ravel(), ((np.arange(256) - 20) / 200).astype(dtype), "the float64 result, rounded")
    expected = np.array([p / 255 * 1.275 - 0.1 for p in range(256)])
    np.testing.assert_allclose(x.ravel(), expected, rtol=0, atol=2 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(inputs(images.transpose(0, 2, 1), dtype), x.transpose(0, 2, 1))


def test_inputs_into_memory_that_is_there() -> None:
    images, memory = np.arange(256, dtype=np.uint8).reshape(1, 16, 16), np.full((1, 16, 16), np.nan, np.float32)
    assert inputs(images, np.float32, memory) is memory
    np.testing.assert_array_equal(memory, inputs(images))
    for out in (np.empty((2, 16, 16), np.float32), np.empty((1, 16, 16))):
        with pytest.raises(ValueError, match=r"out: got float\d\d \(\d, 16, 16\), expected float32 \(1, 16, 16\)"):
            inputs(images, np.float32, out)


def test_inputs_refuses_other_types() -> None:
    with pytest.raises(TypeError, match="images: got dtype float32, expected uint8"):
        inputs(tiny_images(1).astype(np.float32))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="dtype: got float16, expected float32 or float64"):
        inputs(tiny_images(1), np.float16)


REAL = os.environ.get("MNIST_DIR")


@pytest.mark.skipif(not REAL, reason="MNIST_DIR does not name a folder with MNIST")
def test_the_real_mnist() -> None:
    data = load("mnist", Path(str(REAL)))
    assert data.sha256 == {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
    assert data.unverified == ()
    assert data.train.images.shape == (55_000, 28, 28)
    assert data.validation.images.shape == (5_000, 28, 28)
    assert data.test.images.shape == (10_000, 28, 28)
    # The published class counts of the 60,000 and of the 10,000.
    both = np.concatenate([data.train.labels, data.validation.labels])
    assert np.bincount(both).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert both[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    x = inputs(data.train.images, np.float32)
    assert x.min() == np.float32(-0.1)
    assert x.max() == np.float32(1.175)


@pytest.mark.skipif(not REAL, reason="MNIST_DIR does not name a folder with MNIST")
@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist"])
def test_the_real_mnist_is_not_taken_for_a_member_with_the_same_file_names(name: str) -> None:
    with pytest.raises(UserError, match=r"these are the training images of MNIST"):
        load(name, Path(str(REAL)))
