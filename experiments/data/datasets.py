"""Data sets by name, split into training, validation and test.

=================  ==============================  ==================================================================
name               train / validation / test       split
=================  ==============================  ==================================================================
``digits``         1,297 / 200 / 300               see `experiments.data.digits`
``mnist``          55,000 / 5,000 / 10,000         validation is the end of the training file
``fashion-mnist``  55,000 / 5,000 / 10,000         likewise
``kmnist``         55,000 / 5,000 / 10,000         likewise
``emnist-digits``  235,000 / 5,000 / 40,000        likewise
``qmnist``         55,000 / 5,000 / 60,000         likewise; the first 10,000 test images are those of MNIST's test set
=================  ==============================  ==================================================================

The split is fixed: it does not depend on the seed of a run.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from experiments.data import digits, finding, sources
from experiments.data.idx import NUM_CLASSES
from experiments.data.sources import Source
from experiments.data.verify import Verified
from experiments.errors import UserError, close_matches

DATASETS = ("digits", *(member.name for member in sources.FAMILY))
"""The names that `load` knows."""


@dataclass(frozen=True)
class Split:
    """Images with their classes.

    Parameters
    ----------
    images:
        (N, 28, 28), uint8, 0 background to 255 ink, read-only.
    labels:
        (N,), int64, 0 to 9, read-only.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A data set in three parts.

    Parameters
    ----------
    name:
        One of `DATASETS`.
    train, validation, test:
        The parts: validation steers, the test set is opened once per finished run.
    num_classes:
        Number of classes, 10.
    sha256:
        File name (unpacked bytes; for digits, array name) to SHA-256 in hexadecimal.
    source:
        The folder, or "scikit-learn".
    unverified:
        Names of files that no published digest covers; only their format and their number of elements were checked.
        See `experiments.data.sources`.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    num_classes: int
    sha256: dict[str, str]
    source: str
    unverified: tuple[str, ...] = ()


def load(name: str, data_dir: Path | None = None, *, download: bool = False) -> Dataset:
    """Load a data set.

    Parameters
    ----------
    name:
        One of `DATASETS`.
    data_dir:
        Folder with the files, flat or in torchvision's layout. When given, only this folder is looked at. When None,
        the folder that the environment variable ``MNIST_DIR`` names, then the user's cache. Ignored for ``digits``.
    download:
        Whether to download what is missing, into `data_dir` or else the user's cache.

    Returns
    -------
    Dataset
        Images, labels, digests.

    Raises
    ------
    NotFoundError
        If the files are not found, or not all of them.
    UserError
        If the name is unknown, or a file is not what its name says.
    """
    if name == "digits":
        return _digits()
    if name not in DATASETS:
        raise UserError(f"unknown dataset {name!r}{close_matches(name, DATASETS)}\ndatasets: {', '.join(DATASETS)}")
    return load_source(sources.source(name), data_dir, download=download)


def load_source(source: Source, data_dir: Path | None = None, *, download: bool = False) -> Dataset:
    """Load a member of the MNIST family: as `load`, with the member given as an object."""
    try:
        return _assemble(source, *finding.find(source, data_dir))
    except finding.NotFoundError:
        if not download:
            raise
    from experiments.data.download import fetch

    destination = data_dir if data_dir is not None else finding.cache_dir()
    fetch(source, destination)
    return _assemble(source, *finding.find(source, destination))


def inputs(
    images: NDArray[np.uint8], dtype: DTypeLike = np.float32, out: NDArray[np.floating] | None = None
) -> NDArray[np.floating]:
    """Scale images to what the networks take: background -0.1, full ink 1.175.

    x = 1.275 p / 255 - 0.1 = (p - 20) / 200

    Parameters
    ----------
    images:
        Pixels p of any shape, uint8, 0 background to 255 ink.
    dtype:
        float32 or float64.
    out:
        Where to put the result, of the shape of `images` and of `dtype`; without it, a new array.

    Returns
    -------
    ndarray
        Same shape, C order, `dtype`. Each value is the float64 result rounded once.

    Raises
    ------
    TypeError
        If `images` are not uint8 or `dtype` is neither float32 nor float64.
    ValueError
        If `out` is of another shape or dtype.

    Notes
    -----
    Source: LeCun, Bottou, Bengio, Haffner (1998), "Gradient-based learning applied to document recognition", II-B: the
    background (white) is -0.1 and the foreground (black) 1.175. The paper means this to make the inputs' mean roughly 0
    and their variance roughly 1; measured on MNIST's 28 x 28 training images they are 0.067 and 0.154.
    """
    if images.dtype != np.uint8:
        raise TypeError(f"images: got dtype {images.dtype}, expected uint8")
    wanted = np.dtype(dtype)
    if wanted not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"dtype: got {wanted}, expected float32 or float64")
    if out is not None and (out.shape, out.dtype) != (images.shape, wanted):
        raise ValueError(f"out: got {out.dtype} {out.shape}, expected {wanted} {images.shape}")
    # The second form has one rounding, in either dtype: the difference of two whole numbers is exact. So both ends come
    # out as -0.1 and 1.175 themselves, and in float32 it is the float64 quotient rounded once more, to the same.
    scaled: NDArray[np.floating] = np.subtract(images, 20, out=out, dtype=wanted, order="C")
    scaled /= 200
    return scaled


def _assemble(source: Source, folder: Path, found: list[Verified]) -> Dataset:
    train_images, train_labels, test_images, test_labels = (item.array for item in found)
    train = Split(_upright(source, train_images), train_labels.astype(np.int64, copy=False))
    cut = len(train) - source.validation
    return Dataset(
        name=source.name,
        train=Split(train.images[:cut], train.labels[:cut]),
        validation=Split(train.images[cut:], train.labels[cut:]),
        test=Split(_upright(source, test_images), test_labels.astype(np.int64, copy=False)),
        num_classes=NUM_CLASSES,
        sha256={item.file.name: item.sha256 for item in found},
        source=str(folder),
        unverified=tuple(item.file.name for item in found if not item.pinned),
    )


def _upright(source: Source, images: NDArray[np.uint8] | NDArray[np.int64]) -> NDArray[np.uint8]:
    pixels = images.astype(np.uint8, copy=False)
    if source.transposed:
        pixels = np.ascontiguousarray(pixels.transpose(0, 2, 1))
        pixels.flags.writeable = False
    return pixels


def _digits() -> Dataset:
    everything = digits.load()

    def part(indices: NDArray[np.int64]) -> Split:
        images, labels = everything.images[indices], everything.labels[indices]
        images.flags.writeable = False
        labels.flags.writeable = False
        return Split(images, labels)

    parts = {name: part(getattr(everything, name)) for name in ("train", "validation", "test")}
    return Dataset(
        name="digits",
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        num_classes=NUM_CLASSES,
        sha256=dict(_array_digests(parts)),
        source="scikit-learn",
    )


def _array_digests(parts: dict[str, Split]) -> Iterator[tuple[str, str]]:
    """Yield the name and the SHA-256 of each array: its bytes in C order, labels as little-endian 64-bit integers."""
    for name, split in parts.items():
        yield f"{name}-images", hashlib.sha256(split.images.tobytes()).hexdigest()
        yield f"{name}-labels", hashlib.sha256(split.labels.astype("<i8").tobytes()).hexdigest()
