"""Is this file what its name says? One answer for files that were found and for files that were fetched."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.data import idx
from experiments.data.idx import DataFileError
from experiments.data.sources import LABEL_COLUMNS, RawFile, Source, recognise


class OtherMemberError(DataFileError):
    """A file that belongs to another member of the family: their names are alike."""


@dataclass(frozen=True)
class Verified:
    """A file that has been read and found right.

    Parameters
    ----------
    file:
        Which one it is.
    path:
        Where it was read.
    array:
        (N, 28, 28) uint8 images as they are in the file, or (N,) int64 labels; read-only.
    sha256:
        Of the unpacked bytes, in hexadecimal.
    pinned:
        Whether a published digest covers it. If not, only format and number of elements were checked.
    packed:
        Whether it is gzipped.
    """

    file: RawFile
    path: Path
    array: NDArray[np.uint8] | NDArray[np.int64]
    sha256: str
    pinned: bool
    packed: bool


def verify(path: Path, file: RawFile, source: Source) -> Verified:
    """Read a file and hold it against what is published about it.

    Parameters
    ----------
    path:
        The file, raw or gzipped.
    file:
        Which file of the member it is expected to be.
    source:
        The member.

    Returns
    -------
    Verified
        Its content.

    Raises
    ------
    OtherMemberError
        If it is a file of another member.
    DataFileError
        If it cannot be read, is damaged, is another file of the same member (train and test, or images and labels
        exchanged), or has another number of elements or another digest than published.
    """
    content = idx.read(path)
    digests = {f"unpacked {algorithm}": content.digest(algorithm) for algorithm in ("sha256", "md5")}
    digests["packed sha256"] = _packed_digest(path)
    known = list(recognise(digests, source))
    pinned = (source, file) in known
    if known and not pinned:
        found = " or ".join(member.describe(other) for member, other in known)
        kind = DataFileError if any(member == source for member, _ in known) else OtherMemberError
        raise kind(
            path,
            f"these are {found}, expected {source.describe(file)}",
            "Were files swapped or renamed? Move them to where they belong; nothing was changed.",
        )
    array: NDArray[np.uint8] | NDArray[np.int64]
    if file.kind == "images":
        array = idx.images(content)
    else:
        array = idx.labels(content, columns=LABEL_COLUMNS if file.kind == "labels-int" else None)
    if len(array) != file.count:
        raise DataFileError(path, _wrong_count(len(array), file, source))
    if file.unpacked is not None and not pinned:
        algorithm, _, digits = file.unpacked.partition(":")
        raise DataFileError(
            path,
            f"damaged or altered: the {algorithm} of its unpacked bytes is {digests[f'unpacked {algorithm}']}, "
            f"expected {digits}",
        )
    return Verified(file, path, array, digests["unpacked sha256"], pinned, content.packed)


def _packed_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _wrong_count(count: int, file: RawFile, source: Source) -> str:
    what = "images" if file.kind == "images" else "labels"
    text = f"holds {count:,} {what}, expected {file.count:,}"
    for other in source.files:
        if other.kind == file.kind and other.count == count:
            return f"{text}: are these {source.describe(other)}?"
    return text
