"""Layouts other than torch's: the same memory with its axes in another order, and axes of length 1."""

from dataclasses import dataclass

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.subjects.subject import Misbehaviour


@dataclass(frozen=True)
class Layout:
    """Where the user has the axes.

    Attributes
    ----------
    letters:
        Of the user's axes, such as "NHWC".
    order:
        For each of the user's axes the one of ours; None for an axis of length 1 that we do not have.
    """

    letters: str
    order: tuple[int | None, ...]

    def give(self, array: Array) -> Array:
        """Ours as the user has it; a view."""
        kept = array.transpose([axis for axis in self.order if axis is not None])
        return np.expand_dims(kept, tuple(i for i, axis in enumerate(self.order) if axis is None))

    def take(self, array: Array, during: str, what: str) -> Array:
        """The user's as we have it; a view.

        Raises
        ------
        Misbehaviour
            If it does not have these axes.
        """
        ones = tuple(i for i, axis in enumerate(self.order) if axis is None)
        if array.ndim != len(self.order) or any(array.shape[i] != 1 for i in ones):
            raise Misbehaviour(during, f"returns {what} of shape {array.shape}, expected axes {self.letters}")
        kept = array.squeeze(ones)
        return kept.transpose(np.argsort([axis for axis in self.order if axis is not None]))

    def arrange(self, array: Array) -> Array:
        """Ours, contiguous where the user has it; what is in odd memory on purpose stays there."""
        if not (array.flags.c_contiguous and array.flags.writeable):
            return array
        kept = [axis for axis in self.order if axis is not None]
        return np.ascontiguousarray(array.transpose(kept)).transpose(np.argsort(kept))


def parse(option: str, letters: str, axes: str) -> Layout:
    """The layout of a declaration such as "NHWC", our axes being `axes`.

    Raises
    ------
    ValueError
        If its letters are not those of our axes, in any order, with 1 for axes of length 1.
    """
    if not isinstance(letters, str) or sorted(letters.replace("1", "")) != sorted(axes):
        expected = f"the letters {axes} in the order of your axes, and 1 for each axis of length 1"
        raise ValueError(f"{option} is {letters!r}, expected {expected}")
    return Layout(letters, tuple(None if letter == "1" else axes.index(letter) for letter in letters))
