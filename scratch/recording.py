"""A function of arrays recorded for inputs of one form, and compared with what the function itself returns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scratch.traced import NotTraceableError, Tape, plain, quietly

Arrays: TypeAlias = Mapping[str, NDArray[Any]]


class Calls:
    """A function of arrays, recorded when this is made; it is called once, with numbers that are drawn.

    Parameters
    ----------
    tape:
        What is recorded on, this function alone.
    function:
        Takes arrays and returns arrays by name.
    like:
        Arrays of the shapes, dtypes and memory orders that the function is to be recorded for.

    Raises
    ------
    NotTraceableError
        If what it computes depends on numbers in more than NumPy's calls.

    Attributes
    ----------
    outputs:
        Where the results are put, by name; only to be read.
    """

    def __init__(self, tape: Tape, function: Callable[..., Arrays], like: Sequence[NDArray[Any]]) -> None:
        self._inputs = [tape.place(array) for array in drawn(like, seed=0)]
        self._places = [plain(array) for array in self._inputs]
        try:
            outputs = dict(function(*self._inputs))
        finally:
            self._calls = tape.cut()  # what a refused function has left behind is not the next one's
        self.outputs = {name: plain(array) for name, array in outputs.items()}
        for array in self.outputs.values():
            array.flags.writeable = False

    def __call__(self, *inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The results for other arrays; as copies in the same memory order, for sums over them are taken in it."""
        return {name: array.copy("K") for name, array in self.lent(*inputs).items()}

    def lent(self, *inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The results for other arrays, in memory that the next call will overwrite; only to be read."""
        for place, array in zip(self._places, inputs, strict=True):
            np.copyto(place, array)
        for call in self._calls:
            call()
        return dict(self.outputs)

    def check(self, function: Callable[..., Arrays]) -> None:
        """Raise `NotTraceableError` unless the function itself returns the same bits, for other numbers than before."""
        inputs = drawn(self._places, seed=1)
        if not same_bits(self(*inputs), function(*inputs)):
            raise NotTraceableError("what was recorded returns other numbers than what is called")


def recorded(make: Callable[[], Any], inputs: Sequence[Any]) -> Any:
    """What is made, with nothing said of floating-point errors; None if there is no recording of such inputs."""
    if any(not is_plain(array) or array.strides != np.empty_like(array).strides for array in inputs):
        return None  # a copy of what has gaps or runs backwards would have another memory order
    try:
        with quietly():
            return make()
    except NotTraceableError:
        raise
    except Exception:
        return None  # what the network refuses, it has to refuse in its own words


def drawn(like: Sequence[NDArray[Any]], seed: int) -> list[NDArray[Any]]:
    """Arrays of the forms of others with random numbers, so that what depends on them shows."""
    rng = np.random.default_rng(seed)
    arrays = [np.empty_like(array, subok=False) for array in like]
    for array in arrays:
        normal = rng.standard_normal(array.shape)
        array[...] = normal if array.dtype.kind == "f" else normal > 0  # labels are 0 or 1, of which there are two
    return arrays


def is_plain(array: Any) -> bool:
    """Whether it is an array whose numbers can be taken over; not addresses of objects, nor words."""
    return type(array) in (np.ndarray, np.memmap) and array.dtype.kind in "fiub"


def form(array: NDArray[Any]) -> object:
    """What an array has beside its numbers. The memory order counts: the order of sums depends on it."""
    return array.shape, array.dtype, array.strides


def same_bits(one: Arrays, other: Arrays) -> bool:
    """Whether two lots of arrays have the same names in the same order, shapes, dtypes, memory orders and bits."""

    def bits(array: NDArray[Any]) -> object:
        # The steps of a copy, without gaps; along an axis of length 1 they say nothing.
        steps = [step for length, step in zip(array.shape, np.empty_like(array).strides, strict=True) if length > 1]
        return array.shape, array.dtype, steps, array.tobytes()

    return list(one) == list(other) and all(bits(array) == bits(other[name]) for name, array in one.items())
