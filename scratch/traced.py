"""Arrays that write down what NumPy computes with them, so that it can be computed again on other numbers."""

import functools
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

Call: TypeAlias = Callable[[], object]

_LINE = 64  # bytes of a cache line: where each array begins


class NotTraceableError(Exception):
    """Something was asked of a traced array that depends on its numbers, and so cannot be repeated blindly."""


class Tape:
    """What was computed: calls in their order, and the memory that they write to.

    While it is being recorded, memory that no array uses any more serves the next one, as it does without a tape. What
    is replayed runs through the same memory in the same order, so it is small, and what was just written is still in
    the cache.

    Attributes
    ----------
    calls:
        Each writes to the array that it wrote to when it was recorded.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.free: list[NDArray[np.uint8]] = []
        self._reports = np.geterr()

    def record(self, function: Callable[..., object], *arguments: Any, **keywords: Any) -> None:
        """Append a call, with floating-point errors reported as they are here."""
        call = functools.partial(function, *arguments, **keywords)
        reports = np.geterr()
        self.calls.append(call if reports == self._reports else functools.partial(_reporting, reports, call))

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
        traced = self.view(array)
        traced.block = _Block(self, memory)
        return traced

    def cut(self) -> list[Call]:
        """The calls since the last cut."""
        calls, self.calls = self.calls, []
        return calls

    def view(self, array: NDArray[Any]) -> "Traced":
        """An array that is already there, traced."""
        traced = array.view(Traced)
        traced.tape, traced.block = self, None
        return traced


class _Block:
    """Memory of a tape, given back when the last array that uses it is gone."""

    def __init__(self, tape: Tape, memory: NDArray[np.uint8]) -> None:
        self.tape = tape
        self.memory = memory

    def __del__(self) -> None:
        self.tape.free.append(self.memory)


class Traced(np.ndarray[Any, Any]):
    """An array; what NumPy computes with it goes onto its tape, and is traced in turn.

    A view shares the memory of what it is a view of, so it is good for the numbers of every replay and nothing has to
    be recorded. What looks at the numbers (`bool(x)`, `float(x)`, …) raises `NotTraceableError`.
    """

    tape: Tape
    block: _Block | None

    def __array_finalize__(self, obj: Any) -> None:
        if isinstance(obj, Traced):
            self.tape, self.block = obj.tape, obj.block

    def __getattr__(self, name: str) -> Any:
        if name not in ("tape", "block"):
            raise AttributeError(name)
        return getattr(self.base, name)  # made by the constructor, with a traced array for a buffer

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **keywords: Any) -> Any:
        tape, inputs, keywords = _tape(inputs, out), plain(inputs), plain(keywords)
        call = ufunc if method == "__call__" else getattr(ufunc, method)
        if out is None:
            results = call(*inputs, **keywords)
            several = results if isinstance(results, tuple) else (results,)
            out = tuple(tape.place(np.asarray(result)) for result in several)
        else:
            call(*inputs, out=plain(out), **keywords)
        if method == "__call__" and ufunc not in (np.maximum, np.minimum):  # by position, which NumPy takes in faster
            tape.record(call, *inputs, *plain(out), **keywords)
        else:
            tape.record(call, *inputs, out=plain(out), **keywords)
        return out if len(out) > 1 else out[0]

    def __array_function__(self, function: Callable[..., Any], types: Any, inputs: Any, keywords: Any) -> Any:
        tape, given, inputs, keywords = self.tape, inputs, plain(inputs), plain(keywords)
        result = function(*inputs, **keywords)
        if result is None:  # np.copyto
            tape.record(function, *inputs, **keywords)
            return None
        if not isinstance(result, np.ndarray):
            raise NotTraceableError(f"np.{function.__name__} returns a {type(result).__name__}")
        for array in given:
            if isinstance(array, Traced) and np.may_share_memory(plain(array), result):
                return _within(array, result)
        placed = tape.place(result)
        if function is np.einsum:
            tape.record(function, *inputs, out=plain(placed), **keywords)
        elif function is not np.empty_like:
            tape.record(_assign, plain(placed), function, *inputs, **keywords)
        return placed

    def __getitem__(self, index: Any) -> Any:
        array, index = plain(self), plain(index)
        result = np.asarray(array[index])
        if np.may_share_memory(array, result):
            return _within(self, result)
        placed = self.tape.place(result)
        self.tape.record(_assign, plain(placed), array.__getitem__, index)
        return placed

    def __setitem__(self, index: Any, value: Any) -> None:
        array, index, value = plain((self, index, value))
        array[index] = value
        self.tape.record(array.__setitem__, index, value)

    def copy(self, order: Any = "C") -> Any:
        """As of any array."""
        return self._copied(plain(self).copy(order))

    def astype(self, *arguments: Any, **keywords: Any) -> Any:
        """As of any array."""
        return self._copied(plain(self).astype(*arguments, **keywords))

    def reshape(self, *shape: Any) -> Any:  # type: ignore[override]  # in the one order that is used here
        """As of any array, in the order of C."""
        result = plain(self).reshape(*shape)
        return _within(self, result) if np.may_share_memory(plain(self), result) else self._copied(result)

    def _copied(self, result: NDArray[Any]) -> "Traced":
        """What has the same numbers in the order of C, made anew at each replay."""
        placed = self.tape.place(result)
        self.tape.record(np.copyto, plain(placed).reshape(self.shape), plain(self), "unsafe")
        return placed

    def _refuse(self, *_: Any) -> NoReturn:
        raise NotTraceableError("what is computed depends on the numbers in an array")

    __bool__ = __float__ = __int__ = __index__ = __complex__ = item = tolist = tobytes = _refuse  # type: ignore[assignment]


def plain(value: Any) -> Any:
    """The same without traces: of an array, or of all that a tuple, list or mapping holds."""
    if isinstance(value, Traced):
        return value.view(np.ndarray)
    if isinstance(value, tuple | list):
        return type(value)(map(plain, value))
    return {name: plain(one) for name, one in value.items()} if isinstance(value, dict) else value


def _tape(inputs: Any, out: Any) -> Tape:
    """The tape of the first traced array."""
    return next(array.tape for array in (*inputs, *(out or ())) if isinstance(array, Traced))


def _within(array: Traced, view: NDArray[Any]) -> Traced:
    """A view of a traced array, traced."""
    traced = array.tape.view(view)
    traced.block = array.block
    return traced


def _assign(place: NDArray[Any], function: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
    place[...] = function(*arguments, **keywords)


def _reporting(reports: Any, call: Call) -> None:
    with np.errstate(**reports):
        call()
