"""Arrays that write down what NumPy computes with them, so that it can be computed again on other numbers."""

import functools
import types
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

Call: TypeAlias = Callable[[], object]

_LINE: Final = 64
"""Bytes of a cache line: where each array begins."""

# What a traced array takes over from NumPy as it is; the reductions call ufuncs.
_FORM: Final = ("shape", "strides", "dtype", "ndim", "size", "itemsize", "nbytes", "flags", "__array_priority__")
_REDUCTIONS: Final = ("sum", "prod", "max", "min", "any", "all")


class NotTraceableError(Exception):
    """Something was asked of a traced array that cannot be repeated blindly, on other numbers."""


class Tape:
    """What was computed: calls in their order, and the memory that they write to.

    While it is being recorded, memory that no array uses any more serves the next one, as it does without a tape. What
    is replayed runs through the same memory in the same order, so it is small, and what was just written is still in
    the cache.

    Attributes
    ----------
    calls:
        Each writes to the array that it wrote to when it was recorded.
    free:
        Memory that is in use no more.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.free: list[NDArray[np.uint8]] = []

    def record(self, function: Callable[..., object], *arguments: Any, **keywords: Any) -> None:
        """Append a call, with floating-point errors reported as the code that makes it has asked for."""
        call = functools.partial(function, *arguments, **keywords)
        # What `quietly` has set was not asked for: it is for whoever has the calls made again to say.
        reports = {kind: report for kind, report in np.geterr().items() if report != "call"}
        self.calls.append(functools.partial(_reporting, reports, call) if reports else call)

    def place(self, like: NDArray[Any]) -> "Traced":
        """A traced array of the shape, dtype and memory order of another, with its numbers."""
        fitting = [memory for memory in self.free if like.nbytes <= memory.nbytes - _LINE <= 2 * like.nbytes]
        if fitting:
            memory = fitting[-1]  # the last that was given back is the likeliest to be in the cache
            self.free = [other for other in self.free if other is not memory]
        else:
            memory = np.empty(like.nbytes + _LINE, np.uint8)
        begin = -memory.ctypes.data % _LINE
        array = np.ndarray(like.shape, like.dtype, memory, begin, np.empty_like(like).strides)
        array[...] = like
        return self.trace(array, _Block(self, memory))

    def trace(self, array: NDArray[Any], block: "_Block | None" = None) -> "Traced":
        """An array that is already there, traced; `block` is the memory of the tape that it lies in, if it does."""
        traced = array.view(Traced)
        traced.tape, traced.block = self, block
        return traced

    def cut(self) -> list[Call]:
        """The calls since the last cut."""
        calls, self.calls = self.calls, []
        return calls


class _Block:
    """Memory of a tape, given back when the last traced array that lies in it is gone."""

    def __init__(self, tape: Tape, memory: NDArray[np.uint8]) -> None:
        self.tape = tape
        self.memory = memory

    def __del__(self) -> None:
        self.tape.free.append(self.memory)


class Traced(np.ndarray[Any, Any]):
    """An array; what NumPy computes with it goes onto its tape, and is traced in turn.

    A view shares the memory of what it is a view of, so it is good for the numbers of every replay and nothing has to
    be recorded. What looks at the numbers (`bool(x)`, `float(x)`, …) raises `NotTraceableError`, and so does every
    method of an array that is not written here. What goes unseen is a copy into an untraced array: `np.array(x)`,
    `np.asarray(x)`, `untraced[...] = x`.
    """

    tape: Tape
    block: _Block | None

    def __new__(cls, shape: Any, dtype: Any, buffer: Any, offset: int = 0, strides: Any = None) -> Any:
        """A view of a traced array, as NumPy's constructor makes it."""
        return _within(buffer, np.ndarray(shape, dtype, plain(buffer), offset, strides))

    def __array_finalize__(self, obj: Any) -> None:
        if isinstance(obj, Traced):
            self._refuse()  # made from a traced array by some way that is not recorded

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = (), **keywords: Any) -> Any:
        tape = next(array.tape for array in (*inputs, *out) if isinstance(array, Traced))
        if method == "at" or not all(isinstance(array, Traced) for array in out):
            self._refuse()  # what is computed with an untraced array would not be recorded
        inputs, keywords = plain(inputs), plain(keywords)
        call = ufunc if method == "__call__" else getattr(ufunc, method)
        if out:
            call(*inputs, out=plain(out), **keywords)
        else:
            results = call(*inputs, **keywords)
            several = results if isinstance(results, tuple) else (results,)
            out = tuple(tape.place(np.asarray(result)) for result in several)
        if method == "__call__" and ufunc not in (np.maximum, np.minimum):
            # By position, which NumPy takes in faster; of those two it no longer wants it so.
            tape.record(call, *inputs, *plain(out), **keywords)
        else:
            tape.record(call, *inputs, out=plain(out), **keywords)
        return out if len(out) > 1 else out[0]

    def __array_function__(self, function: Callable[..., Any], types: Any, inputs: Any, keywords: Any) -> Any:
        given = [array for array in (*inputs, *keywords.values()) if isinstance(array, Traced)]
        first, inputs, keywords = inputs[0] if inputs else None, plain(inputs), plain(keywords)
        result = function(*inputs, **keywords)
        if result is None and isinstance(first, Traced):  # np.copyto
            self.tape.record(function, *inputs, **keywords)
            return None
        if not isinstance(result, np.ndarray) or "out" in keywords:
            self._refuse()
        for array in given:
            if np.may_share_memory(plain(array), result):
                return _within(array, result)
        placed = self.tape.place(result)
        if function is np.einsum:
            self.tape.record(function, *inputs, out=plain(placed), **keywords)
        elif function is np.zeros_like:
            self.tape.record(plain(placed).fill, 0)
        elif function is np.full_like and len(inputs) > 1:
            self.tape.record(np.copyto, plain(placed), inputs[1], "unsafe")
        elif function is not np.empty_like:
            self.tape.record(_assign, plain(placed), function, *inputs, **keywords)
        return placed

    def __getitem__(self, index: Any) -> Any:
        array, index = plain(self), _fixed(index)
        result = np.asarray(array[index])
        if np.may_share_memory(array, result):
            return _within(self, result)
        placed = self.tape.place(result)
        self.tape.record(_assign, plain(placed), array.__getitem__, index)
        return placed

    def __setitem__(self, index: Any, value: Any) -> None:
        array, index, value = plain(self), _fixed(index), plain(value)
        array[index] = value
        if np.asarray(array[index]).__array_interface__ == np.asarray(value).__array_interface__:
            return  # `x[index] += y` ends by putting what is there where it is
        self.tape.record(array.__setitem__, index, value)

    @property
    def T(self) -> Any:
        """As of any array."""
        return _within(self, plain(self).T)

    def transpose(self, *axes: Any) -> Any:
        """As of any array."""
        return _within(self, plain(self).transpose(*axes))

    def copy(self, order: Any = "C") -> Any:
        """As of any array."""
        return self._copied(plain(self).copy(order))

    def astype(self, *arguments: Any, **keywords: Any) -> Any:
        """As of any array."""
        return self._copied(plain(self).astype(*arguments, **keywords))

    def reshape(self, *shape: Any, **keywords: Any) -> Any:
        """As of any array, in the order of C."""
        return self._refuse() if keywords else self._copied(plain(self).reshape(*shape))

    def _copied(self, result: NDArray[Any]) -> "Traced":
        """What has the same numbers in the order of C: a view of them, or a copy made anew at each replay."""
        if np.may_share_memory(plain(self), result):
            return _within(self, result)
        placed = self.tape.place(result)
        self.tape.record(np.copyto, plain(placed).reshape(self.shape), plain(self), "unsafe")
        return placed

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise NotTraceableError("what is computed may depend on the numbers in an array, or escapes being recorded")

    __bool__ = __float__ = __int__ = __index__ = __complex__ = __contains__ = __str__ = _refuse
    __repr__ = object.__repr__


for _name, _member in vars(np.ndarray).items():
    if _name not in vars(Traced) and _name not in _FORM + _REDUCTIONS:
        if isinstance(_member, types.MethodDescriptorType):
            setattr(Traced, _name, Traced._refuse)
        elif isinstance(_member, types.GetSetDescriptorType):
            setattr(Traced, _name, property(Traced._refuse))


def plain(value: Any) -> Any:
    """The same without traces: of an array, or of all that a tuple, list or mapping holds."""
    if isinstance(value, Traced):
        return np.ndarray.view(value, np.ndarray)
    if isinstance(value, tuple | list):
        return type(value)(map(plain, value))
    return {name: plain(one) for name, one in value.items()} if isinstance(value, dict) else value


def _fixed(index: Any) -> Any:
    """An index without traces; how many entries a traced mask selects depends on its numbers."""
    for one in index if isinstance(index, tuple) else (index,):
        if isinstance(one, Traced) and one.dtype == np.bool_:
            one._refuse()
    return plain(index)


def _within(array: Traced, view: NDArray[Any]) -> Traced:
    """A view of a traced array, traced."""
    return array.tape.trace(view, array.block)


def _assign(place: NDArray[Any], function: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
    result = function(*arguments, **keywords)
    if np.shape(result) != place.shape:  # as the number of different entries may be another
        raise NotTraceableError(f"{function} returns shape {np.shape(result)}, and returned {place.shape}")
    place[...] = result


def quietly() -> np.errstate:
    """Nobody hears of floating-point errors in here, and a tape knows that nobody has asked for that."""
    return np.errstate(all="call", call=_overhear)


def _overhear(*_: Any) -> None:
    """Called at a floating-point error."""


def _reporting(reports: Any, call: Call) -> None:
    with np.errstate(**reports):
        call()
