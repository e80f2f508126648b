"""The embedded digits: scikit-learn's 8 x 8 digits, enlarged to the format of MNIST. No network, no files.

Source: `sklearn.datasets.load_digits`, the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin,
C. Kaynak, UCI Machine Learning Repository): 1,797 digits by 13 writers, in the order of the writers.

Enlargement: ink 0..16 is mapped to 0..255 (⌊255 x / 16 + ½⌋), each image is enlarged bilinearly from 8 x 8 to 20 x 20
and put into the middle of a black 28 x 28, as MNIST's digits are 20 x 20 within 28 x 28.

Split: within each class, in the order of the file, 50 digits at equal distances are set aside; of each 5 successive
ones the first and the fourth go to validation, the others to the test. That makes 1,297 / 200 / 300, with exactly 20
and 30 of each class. It involves no random numbers, and so depends neither on a seed nor on a version of NumPy.

Deviation: the writers of the three parts are the same. The error on this test set says how well digits of *known*
writers are read, and is not comparable with that of MNIST, whose test set has other writers.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.data.idx import IMAGE_SIDE, NUM_CLASSES

_INK = 16
_SIDE = 20
_SET_ASIDE_PER_CLASS = 50


class Digits(NamedTuple):
    """All digits, enlarged, and where each belongs.

    Parameters
    ----------
    images:
        (1797, 28, 28), uint8.
    labels:
        (1797,), int64.
    train, validation, test:
        Indices of the three parts, ascending: (1297,), (200,) and (300,), int64.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def load() -> Digits:
    """Return the digits and their fixed split. Imports scikit-learn."""
    from sklearn.datasets import load_digits

    small, labels = load_digits(return_X_y=True)
    labels = np.asarray(labels, dtype=np.int64)
    return Digits(enlarge(np.asarray(small).reshape(-1, 8, 8)), labels, *split(labels))


def enlarge(small: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Enlarge (N, 8, 8) images with ink 0..16 to (N, 28, 28), uint8, ink 0..255; see the module's text."""
    # Pillow resizes bytes in integer arithmetic: the same result, bit for bit, on every machine.
    from PIL import Image

    ink = np.floor(np.asarray(small, dtype=np.float64) * (255 / _INK) + 0.5).astype(np.uint8)
    images = np.zeros((len(ink), IMAGE_SIDE, IMAGE_SIDE), dtype=np.uint8)
    margin = (IMAGE_SIDE - _SIDE) // 2
    for image, digit in zip(images, ink, strict=True):
        resized = Image.fromarray(digit).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
        image[margin : margin + _SIDE, margin : margin + _SIDE] = np.asarray(resized)
    return images


def split(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of train, validation and test for labels (N,); see the module's text.

    Every class must occur at least 50 times.
    """
    part = np.zeros(len(labels), dtype=np.int64)
    for digit in range(NUM_CLASSES):
        members = np.flatnonzero(labels == digit)
        ranks = np.arange(_SET_ASIDE_PER_CLASS)
        aside = members[(2 * ranks + 1) * len(members) // (2 * _SET_ASIDE_PER_CLASS)]
        part[aside] = np.where(np.isin(ranks % 5, (0, 3)), 1, 2)
    train, validation, test = (np.flatnonzero(part == number) for number in range(3))
    return train, validation, test
