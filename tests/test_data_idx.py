"""The IDX reader takes what is right and refuses, by name and with a reason, what is not."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from experiments.data import idx
from experiments.data.idx import DataFileError
from tests.idx_files import idx_bytes, pack, tiny_images, tiny_labels


def write(folder: Path, data: bytes, name: str = "file-idx") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_images_and_labels_come_back_as_written(tmp_path: Path, packed: bool) -> None:
    images, labels = tiny_images(5), tiny_labels(5)
    form = pack if packed else bytes
    read = idx.read(write(tmp_path, form(idx_bytes(images))))
    got = idx.images(read)
    assert got.dtype == np.uint8
    assert not got.flags.writeable
    assert read.packed is packed
    np.testing.assert_array_equal(got, images)
    classes = idx.labels(idx.read(write(tmp_path, form(idx_bytes(labels)))))
    assert classes.dtype == np.int64
    assert not classes.flags.writeable
    np.testing.assert_array_equal(classes, labels)


def test_header_is_big_endian_and_written_out() -> None:
    # Against the format's own description, so that writer and reader cannot be wrong together.
    assert idx_bytes(np.zeros((1, 28, 28), np.uint8))[:16].hex() == "00000803000000010000001c0000001c"
    assert idx_bytes(np.array([[7, -2]], np.int32)).hex() == "00000c02000000010000000200000007fffffffe"


def test_integer_labels_take_the_first_column(tmp_path: Path) -> None:
    rows = np.arange(16, dtype=np.int32).reshape(2, 8) * np.array([1, -1], np.int32)[:, None]
    rows[:, 0] = [3, 9]
    file = idx.read(write(tmp_path, idx_bytes(rows)))
    np.testing.assert_array_equal(file.array, rows)
    np.testing.assert_array_equal(idx.labels(file, columns=8), [3, 9])


def test_gzip_is_seen_from_the_content_not_from_the_name(tmp_path: Path) -> None:
    assert len(idx.images(idx.read(write(tmp_path, pack(idx_bytes(tiny_images(2))), "a-idx3-ubyte")))) == 2
    assert len(idx.images(idx.read(write(tmp_path, idx_bytes(tiny_images(3)), "b-idx3-ubyte.gz")))) == 3


def test_digest_is_of_the_unpacked_bytes(tmp_path: Path) -> None:
    data = idx_bytes(tiny_labels(9))
    digests = {idx.read(write(tmp_path, gzip.compress(data, level))).digest() for level in (0, 1, 9)}
    assert digests == {idx.read(write(tmp_path, data)).digest()}


GOOD = idx_bytes(tiny_images(3))
GOOD_PACKED = pack(GOOD)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "an empty file"),
        (GOOD[:3], "not an IDX file"),
        (b"\x00\x00\x08\x00", "not an IDX file"),
        (b"\x00\x01\x08\x03" + GOOD[4:], "not an IDX file"),
        (b"\x00\x00\x07\x03" + GOOD[4:], "not an IDX file"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"PK\x03\x04", "a zip archive: unpack it"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x00\x00\x0d\x03" + GOOD[4:], "an IDX file of 32-bit floats"),
        (GOOD[:10], "ends within the header of 16 bytes"),
        (GOOD[:-1], "truncated: its header announces 3 x 28 x 28 elements, 2,352 bytes, but 2,351 follow"),
        (GOOD[:16], "but 0 follow"),
        (GOOD + b"\x00", "too long"),
        (b"\x00\x00\x08\x03" + b"\xff" * 12, "more than any member of the family has"),
        (GOOD_PACKED[:-9], "a truncated gzip file"),
        (GOOD_PACKED[:-1], "a truncated gzip file"),
        (GOOD_PACKED[:5], "a truncated gzip file"),
        (GOOD_PACKED + b"x", "a damaged gzip file"),
        (GOOD_PACKED[:-8] + bytes(8), "a damaged gzip file (CRC check failed"),
        (GOOD_PACKED[:200] + bytes([GOOD_PACKED[200] ^ 0xFF]) + GOOD_PACKED[201:], "a damaged gzip file"),
        (pack(GOOD + b"\x00"), "too long"),
        (pack(GOOD[:-1]), "truncated: its header announces"),
        (pack(b""), "an empty file"),
    ],
)
def test_damaged_files_are_refused_with_the_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    path = write(tmp_path, data)
    with pytest.raises(DataFileError) as caught:
        idx.read(path)
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == data


def test_every_truncation_of_a_packed_file_is_noticed(tmp_path: Path) -> None:
    data = pack(idx_bytes(tiny_labels(12)))
    for length in range(len(data)):
        with pytest.raises(DataFileError):
            idx.read(write(tmp_path, data[:length]))


def test_missing_file_folder_and_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataFileError, match="cannot be read: No such file"):
        idx.read(tmp_path / "none")
    with pytest.raises(DataFileError, match="a folder"):
        idx.read(tmp_path)
    path = write(tmp_path, GOOD)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    # Not by chmod: the superuser, as whom tests often run in containers, may read everything.
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataFileError, match=r"cannot be read: Permission denied\. Check"):
        idx.read(path)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (tiny_labels(4), "holds 4 labels, images were expected"),
        (np.zeros((4, 8), np.int32), "holds 4 labels, images were expected"),
        (np.zeros((0, 28, 28), np.uint8), "holds no images"),
        (np.zeros((2, 27, 28), np.uint8), "shape (2, 27, 28)"),
        (np.zeros((2, 784), np.uint8), "shape (2, 784)"),
        (np.zeros((2, 28, 28), np.int32), "shape (2, 28, 28)"),
        (np.zeros((1, 2, 28, 28), np.uint8), "shape (1, 2, 28, 28)"),
    ],
)
def test_what_is_not_images_is_refused(tmp_path: Path, array: np.ndarray, reason: str) -> None:
    with pytest.raises(DataFileError) as caught:
        idx.images(idx.read(write(tmp_path, idx_bytes(array))))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("array", "columns", "reason"),
    [
        (tiny_images(4), None, "holds 4 images, labels were expected"),
        (np.array([0, 9, 10, 3, 255], np.uint8), None, "label 10 at index 2 is out of range 0..9 (2 of 5 labels are)"),
        (np.zeros(0, np.uint8), None, "holds no labels"),
        (np.zeros((3, 8), np.int32), None, "expected labels (N,) of bytes"),
        (np.zeros(3, np.int32), None, "expected labels (N,) of bytes"),
        (np.zeros(3, np.uint8), 8, "expected labels (N, 8) of 32-bit integers"),
        (np.zeros((3, 7), np.int32), 8, "expected labels (N, 8) of 32-bit integers"),
        (np.full((3, 8), -1, np.int32), 8, "label -1 at index 0"),
    ],
)
def test_what_is_not_labels_is_refused(tmp_path: Path, array: np.ndarray, columns: int | None, reason: str) -> None:
    with pytest.raises(DataFileError) as caught:
        idx.labels(idx.read(write(tmp_path, idx_bytes(array))), columns)
    assert reason in str(caught.value)
