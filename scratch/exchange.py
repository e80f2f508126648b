"""Memory that two processes see: parameters lie there on their way to one, and gradients on their way back."""

import mmap
import os
import tempfile
from collections.abc import Mapping
from typing import Final

import numpy as np

from scratch.validation import Array, alike, state_faults

LINE: Final = 64
"""Bytes of a cache line: where each array begins."""


class Exchange:
    """Room for the parameters of a network and their gradients, in memory that two processes see.

    Parameters
    ----------
    like:
        The parameters by name: shapes and dtypes alone count, and have to be the same at both ends.
    descriptor:
        Of memory as `nameless` makes it, of at least `room(like)` bytes. It may be closed afterwards.

    Attributes
    ----------
    params, grads:
        Arrays by name, in the order of `like`.
    """

    def __init__(self, like: Mapping[str, Array], descriptor: int) -> None:
        memory = mmap.mmap(descriptor, room(like))
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        begin = 0
        for arrays in (self.params, self.grads):
            for name, array in like.items():
                arrays[name] = np.ndarray(array.shape, array.dtype, memory, begin)
                begin += in_lines(array.nbytes)


def put(arrays: Mapping[str, Array], places: Mapping[str, Array], what: str) -> None:
    """Copy each array to its place; raise `ValueError` unless there is one for each place, of its shape and dtype."""
    if not fit(arrays, places):
        raise ValueError(f"{what}: " + "; ".join(state_faults(arrays, places, strict=True)))
    for name, place in places.items():
        np.copyto(place, arrays[name])


def fit(arrays: Mapping[str, Array], places: Mapping[str, Array]) -> bool:
    """Whether there is an array for each place, of its shape and dtype, and none besides."""
    return arrays.keys() == places.keys() and all(alike(arrays[name], place) for name, place in places.items())


def room(like: Mapping[str, Array]) -> int:
    """Bytes that parameters and gradients take."""
    return 2 * sum(in_lines(array.nbytes) for array in like.values()) or LINE


def in_lines(size: int) -> int:
    """The bytes of as many whole cache lines."""
    return -(-size // LINE) * LINE


def nameless(size: int) -> int:
    """The descriptor of new memory of so many bytes, which no other process finds by a name; the caller closes it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("twice")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.truncate(descriptor, size)
    return descriptor
