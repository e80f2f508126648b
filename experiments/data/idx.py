"""IDX, the file format of MNIST: read strictly, so that a damaged file is refused instead of learned from.

An IDX file is the magic number ``00 00 TT DD`` (TT: type of the elements, DD: number of dimensions), DD big-endian
unsigned 32-bit sizes, and the elements in C order, big-endian, with nothing behind them. Files may be gzipped; this is
seen from their first bytes, not from their name.

Source: "The MNIST database", Y. LeCun, C. Cortes, C. J. C. Burges, section "FILE FORMATS FOR THE MNIST DATABASE".
Deviation: of the format's six element types only the two that occur in the MNIST family are accepted, unsigned bytes
(0x08) and 32-bit signed integers (0x0C, the labels of QMNIST).
"""

import gzip
import hashlib
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from experiments.errors import UserError

IMAGE_SIDE = 28
"""Height and width of every image of the family, in pixels."""

NUM_CLASSES = 10
"""Number of classes of every member of the family that is used here."""

_GZIP_MAGIC = b"\x1f\x8b"
_BYTES = 0x08
_ITEM_SIZES = {_BYTES: 1, 0x0C: 4}
_TYPE_NAMES = {
    0x08: "unsigned bytes",
    0x09: "signed bytes",
    0x0B: "16-bit integers",
    0x0C: "32-bit integers",
    0x0D: "32-bit floats",
    0x0E: "64-bit floats",
}
# The largest file of the family has 188 MB. A header that announces much more is not believed: reading on would only
# fill the memory before it fails.
_LARGEST = 1 << 29


class DataFileError(UserError):
    """A data file that is not what it should be.

    Parameters
    ----------
    path:
        The file.
    reason:
        What is wrong with it: what was found and what was expected.
    remedy:
        What the user can do.
    """

    def __init__(self, path: Path, reason: str, remedy: str | None = None) -> None:
        self.path = path
        self.reason = reason
        self.remedy = remedy if remedy is not None else "Move the file away and fetch it again; nothing was changed."
        super().__init__(f"{path}: {reason}. {self.remedy}")


@dataclass(frozen=True)
class IdxFile:
    """The content of one IDX file.

    Parameters
    ----------
    path:
        Where it was read.
    data:
        All its bytes, unpacked.
    array:
        Its elements: uint8 or int32 of the announced shape, read-only.
    packed:
        Whether it is gzipped, whatever its name says.
    """

    path: Path
    data: bytes
    array: NDArray[np.uint8] | NDArray[np.int32]
    packed: bool

    def digest(self, algorithm: str = "sha256") -> str:
        """Return the digest of the unpacked bytes, in hexadecimal; `algorithm` as `hashlib.new` names it."""
        return hashlib.new(algorithm, self.data, usedforsecurity=False).hexdigest()


def read(path: Path) -> IdxFile:
    """Read one IDX file, raw or gzipped.

    Parameters
    ----------
    path:
        The file.

    Returns
    -------
    IdxFile
        Bytes and elements.

    Raises
    ------
    DataFileError
        If the file is missing, unreadable, a folder, empty, no IDX file, truncated, longer than its header announces,
        of an element type that the family does not use, or a damaged gzip stream.
    """
    try:
        if path.is_dir():
            raise DataFileError(path, "a folder, where an IDX file was expected")
        with path.open("rb") as file:
            start = file.read(len(_GZIP_MAGIC))
            file.seek(0)
            if start != _GZIP_MAGIC:
                return _parse(path, file, packed=False)
            with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
                return _parse(path, unpacked, packed=True)
    # BadGzipFile is an OSError too, hence first.
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataFileError(path, f"a damaged gzip file ({error})") from error
    except EOFError as error:
        raise DataFileError(path, "a truncated gzip file: it ends before its end-of-stream marker") from error
    except OSError as error:
        raise DataFileError(
            path, f"cannot be read: {error.strerror or error}", "Check the path and its permissions."
        ) from error


def _parse(path: Path, file: BinaryIO | gzip.GzipFile, *, packed: bool) -> IdxFile:
    magic = file.read(4)
    if not magic:
        raise DataFileError(path, "an empty file")
    if len(magic) < 4 or magic[:2] != b"\x00\x00" or magic[2] not in _TYPE_NAMES or not 1 <= magic[3] <= 4:
        raise DataFileError(
            path, f"not an IDX file: it begins with {magic!r}, expected b'\\x00\\x00', type and rank{_guess(magic)}"
        )
    if magic[2] not in _ITEM_SIZES:
        raise DataFileError(path, f"an IDX file of {_TYPE_NAMES[magic[2]]}, expected unsigned bytes or 32-bit integers")
    rank = magic[3]
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise DataFileError(path, f"truncated: it ends within the header of {4 + 4 * rank} bytes")
    shape = tuple(int.from_bytes(sizes[4 * axis : 4 * axis + 4], "big") for axis in range(rank))
    expected = math.prod(shape) * _ITEM_SIZES[magic[2]]
    shown = " x ".join(f"{size:,}" for size in shape)
    if expected > _LARGEST:
        raise DataFileError(path, f"its header announces {shown} elements, more than any member of the family has")
    # One byte more than announced: if it comes, something follows. For gzip, reaching the end is also what makes the
    # checksum be compared.
    elements = file.read(expected + 1)
    if len(elements) < expected:
        raise DataFileError(
            path, f"truncated: its header announces {shown} elements, {expected:,} bytes, but {len(elements):,} follow"
        )
    if len(elements) > expected:
        raise DataFileError(path, f"too long: bytes follow after the {shown} elements that its header announces")
    array: NDArray[np.uint8] | NDArray[np.int32]
    if magic[2] == _BYTES:
        array = np.frombuffer(elements, dtype=np.uint8).reshape(shape)
    else:
        array = np.frombuffer(elements, dtype=">i4").reshape(shape).astype(np.int32)
        array.flags.writeable = False
    return IdxFile(path, magic + sizes + elements, array, packed)


def _guess(magic: bytes) -> str:
    """Name what people often have in place of the file."""
    if magic[:1] == b"<":
        return " (a web page, perhaps an error page or a log-in page?)"
    if magic[:2] == b"PK":
        return " (a zip archive: unpack it first)"
    if magic == b"vers":
        return " (a Git LFS pointer: run `git lfs pull` there)"
    return ""


def images(file: IdxFile) -> NDArray[np.uint8]:
    """Return the images of a file of images.

    Parameters
    ----------
    file:
        What `read` returned.

    Returns
    -------
    ndarray
        (N, 28, 28), uint8, 0 background to 255 ink, read-only.

    Raises
    ------
    DataFileError
        If the file holds labels, images of another size, or none at all.
    """
    array = file.array
    if array.ndim == 1 or (array.ndim == 2 and array.dtype == np.int32):
        raise DataFileError(file.path, f"holds {len(array):,} labels, images were expected", _SWAPPED)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[1:] != (IMAGE_SIDE, IMAGE_SIDE):
        raise DataFileError(
            file.path,
            f"holds an array of shape {array.shape}, expected images (N, {IMAGE_SIDE}, {IMAGE_SIDE}) of bytes",
        )
    if len(array) == 0:
        raise DataFileError(file.path, "holds no images (N = 0)")
    return array.view(np.uint8)


def labels(file: IdxFile, columns: int | None = None) -> NDArray[np.int64]:
    """Return the class labels of a file of labels.

    Parameters
    ----------
    file:
        What `read` returned.
    columns:
        None for one byte per label. A number for that many 32-bit integers per label, of which the first is the class
        (QMNIST: 8).

    Returns
    -------
    ndarray
        (N,), int64, 0 to 9, read-only.

    Raises
    ------
    DataFileError
        If the file holds images, labels in another form, none at all, or a label outside 0 to 9.
    """
    array = file.array
    if array.ndim == 3:
        raise DataFileError(file.path, f"holds {len(array):,} images, labels were expected", _SWAPPED)
    expected = "(N,) of bytes" if columns is None else f"(N, {columns}) of 32-bit integers"
    fits = (
        array.ndim == 1 and array.dtype == np.uint8
        if columns is None
        else array.ndim == 2 and array.shape[1] == columns and array.dtype == np.int32
    )
    if not fits:
        raise DataFileError(file.path, f"holds {array.dtype} of shape {array.shape}, expected labels {expected}")
    if len(array) == 0:
        raise DataFileError(file.path, "holds no labels (N = 0)")
    classes = (array if columns is None else array[:, 0]).astype(np.int64)
    wrong = np.flatnonzero((classes < 0) | (classes >= NUM_CLASSES))
    if wrong.size:
        first = int(wrong[0])
        raise DataFileError(
            file.path,
            f"label {classes[first]} at index {first:,} is out of range 0..{NUM_CLASSES - 1} "
            f"({wrong.size:,} of {len(classes):,} labels are)",
        )
    classes.flags.writeable = False
    return classes


_SWAPPED = "Were two files swapped or renamed? Move them to where they belong; nothing was changed."
