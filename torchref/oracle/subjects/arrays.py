"""Arrays of any library, as NumPy's."""

from typing import Any

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.subjects.subject import Misbehaviour

LARGEST = 2**30
"""Bytes of a result that is looked at; one that is repeated by strides of 0 may claim any size."""


def is_array(value: Any) -> bool:
    """Whether a value can be taken as an array: NumPy's, or one with `__array__` or `__dlpack__`."""
    return isinstance(value, np.ndarray | np.generic) or hasattr(value, "__array__") or hasattr(value, "__dlpack__")


def to_numpy(value: Any, during: str, what: str) -> Array:
    """A view of a result where NumPy can have one, else a copy; its dtype is the one it claims.

    Raises
    ------
    Misbehaviour
        If it is no array, one that NumPy cannot take, or larger than anything that is asked for.
    """
    if isinstance(value, np.ndarray | np.generic):
        return _of_usual_size(np.asarray(value), during, what)
    if not is_array(value):
        raise Misbehaviour(during, f"returns {describe(value)} as {what}, expected an array")
    try:
        if hasattr(value, "detach"):  # torch's, which NumPy takes only without its history, and from the CPU
            value = value.detach().cpu()
        elif hasattr(value, "__cuda_array_interface__"):  # CuPy's
            value = value.get()
        array = np.asarray(value) if hasattr(value, "__array__") else np.from_dlpack(value)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise Misbehaviour(
            during, f"returns a {type(value).__name__} as {what} that NumPy cannot take: {said}"
        ) from error
    return _of_usual_size(array, during, what)


def _of_usual_size(array: Array, during: str, what: str) -> Array:
    if array.nbytes > LARGEST:
        raise Misbehaviour(during, f"returns an array of shape {array.shape} as {what}, of {array.nbytes:.1g} bytes")
    return array


LISTED = 4
"""Items of a list that are told of."""


def describe(value: Any) -> str:
    """What came, in a few words: of a list of lists, how many."""
    if isinstance(value, tuple | list):
        return f"{_counted(value)} ({', '.join([*map(_plain, value[:LISTED]), *['…'] * (len(value) > LISTED)])})"
    return _plain(value)


def _counted(value: tuple[Any, ...] | list[Any]) -> str:
    return f"a {type(value).__name__} of {len(value)}"


def _plain(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, tuple | list):
        return _counted(value)
    if isinstance(value, dict):
        return f"a dict of {', '.join(map(str, value)) or 'nothing'}"
    if is_array(value):
        return f"an array {tuple(getattr(value, 'shape', ()))}"
    return f"a {type(value).__name__}"
