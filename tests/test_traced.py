"""What is computed with traced arrays is recorded right or refused, whatever way of NumPy it takes."""

import copy
import operator
import pickle
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scratch.recording import Calls, drawn
from scratch.traced import NotTraceableError, Tape, Traced, plain, quietly

LIKE = np.empty((3, 4))
TABLE = np.array([[True, False, True, True], [False, True, True, False], [True, True, False, True]])
ROWS = np.array([2, 0, 2])


def inplace(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        y = x * 2
        change(y)
        return y

    return function


def windowed(x: Any) -> Any:
    """A view with overlaps, made by the constructor, as `windows` makes it."""
    return type(x)((2, 2, 4), x.dtype, x, strides=(x.strides[0], *x.strides)) * 1


def reused(x: Any) -> Any:
    """Temporary arrays whose memory serves the next one, and one that has to stay."""
    kept = x * 3
    for _ in range(4):
        x = (x + 1) * (x - 0.5)
    return x + kept


def quiet_within(x: Any) -> Any:
    with np.errstate(over="ignore"):
        y = np.exp(x * 1e300)
    return np.where(y > 1, x, y)


def fancy(x: Any) -> Any:
    return x[np.argmax(x, axis=0), np.arange(4)]


def written(x: Any) -> Any:
    """Where it is written to depends on the numbers."""
    y = np.zeros_like(x)
    y[np.argmax(x, axis=0), np.arange(4)] = 1
    return y


def unlike(x: Any) -> Any:
    """Zeros, and more than zeros in place: the next time they must be zeros again."""
    y = np.zeros_like(x, shape=(2, 3, 4))
    y[1] += x
    y += 1
    return y


def filled(x: Any) -> Any:
    y = np.full_like(x, -0.1, shape=(5, 4), order="C")
    np.copyto(y[1:4], x)
    y *= 2
    return y


def emptied(x: Any) -> Any:
    y = np.empty_like(x)
    y[...] = x
    return y


RECORDED: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: x + 1 - 2 * x,
    "in place": inplace(lambda y: operator.iadd(y, 3)),
    "in place, through a view": inplace(lambda y: operator.imul(y[1:, ::2], 5)),
    "in place, through an index": inplace(lambda y: y.__setitem__(0, operator.iadd(y[0], y[1]))),
    "reduced": lambda x: x.sum(axis=0) * x.max(axis=1, keepdims=True, initial=-np.inf),
    "reduced to a number": lambda x: x / x.sum(),
    "reduced by ufunc": lambda x: np.add.reduce(x, axis=1, keepdims=True) + np.maximum.accumulate(x, axis=1),
    "outer": lambda x: np.multiply.outer(x, x[0]),
    "smaller": lambda x: np.minimum(x, 0) + np.maximum(x, x[::-1]),
    "two results": lambda x: np.modf(x)[0] * np.modf(x)[1],
    "out": lambda x: np.tanh(x, out=x * 2),
    "products": lambda x: x @ x.T + (x.T @ x).sum(),
    "einsum": lambda x: np.einsum("ij,kj->ki", x, x) + np.einsum("ij->i", x),
    "where": lambda x: np.where(x > 0, x, 0),
    "comparison as an array": lambda x: (x <= x[0]) * x,
    "nan": lambda x: np.isnan(x) | (x > 1),
    "copyto": inplace(lambda y: np.copyto(y, 7, where=y > 0)),
    "put along": inplace(lambda y: np.put_along_axis(y, np.argmax(y, axis=1)[:, None], 0, axis=1)),
    "concatenated": lambda x: np.concatenate([x, x * 2, TABLE], axis=1),
    "stacked": lambda x: np.stack([x, -x]),
    "padded": lambda x: np.pad(x, 1, constant_values=-0.1),
    "taken": lambda x: np.take(x, ROWS, axis=0),
    "clipped": lambda x: np.clip(x, -0.5, 0.5),
    "dot": lambda x: np.dot(x, x.T),
    "numbers of a row sorted": lambda x: np.sort(x, axis=1),
    "copied": lambda x: x.T.copy() + x.copy("F").T + np.copy(x).T,
    "cast": lambda x: x.astype(np.float32) + (x > 0).astype(np.float64),
    "cast to what it is": lambda x: x.astype(np.float64, copy=False) + 1,
    "reshaped": lambda x: x.reshape(4, 3) + x.T.reshape(-1).reshape((4, 3)) * x.transpose(1, 0).reshape(4, 3),
    "views by function": lambda x: np.swapaxes(x, 0, 1) * np.squeeze(np.expand_dims(x, 0)).T,
    "new axis": lambda x: x[:, None] * x[None],
    "table": lambda x: x[TABLE],
    "rows": lambda x: x[ROWS, 1:] * x[list(ROWS)][:, :1],
    "the largest": fancy,
    "written where the largest is": written,
    "iterated": lambda x: sum(row * i for i, row in enumerate(x)),
    "one entry": lambda x: x[1, 2] * x,
    "windows": windowed,
    "memory in turns": reused,
    "errors ignored": quiet_within,
    "zeros": unlike,
    "border": filled,
    "empty": emptied,
    "filled with a row's numbers": lambda x: (
        np.full_like(x, x[0]) * x + np.full_like(x, x.sum(), shape=(2, 1, 4)).sum()
    ),
    "filled by name": lambda x: np.full_like(x, fill_value=x[:, :1], shape=(3, 2)).sum() * x,
}

REFUSED: dict[str, Callable[[Any], Any]] = {
    "bool": lambda x: x if x.sum() > 0 else -x,
    "float": lambda x: x * float(x[0, 0]),
    "int": lambda x: x * int(x[0, 0]),
    "index": lambda x: x[: np.argmax(x, axis=0)[0]],
    "complex": lambda x: x * complex(x[0, 0]).real,
    "contains": lambda x: x * (0.5 in x),
    "max without axis": lambda x: x * np.max(x),
    "any": lambda x: x * np.any(x > 0),
    "equal": lambda x: x * np.array_equal(x, x),
    "close": lambda x: x * np.allclose(x, 0),
    "argmax without axis": lambda x: x[np.argmax(x) % 3],
    "places of a mask": lambda x: x[np.nonzero(x > 0)],
    "mask": lambda x: x[x > 0],
    "mask beside an index": lambda x: x[1, x[1] > 0],
    "mask written to": inplace(lambda y: y.__setitem__(y > 0, 0)),
    "out of another's": lambda x: np.add(x, x, out=np.empty((3, 4))),
    "out by function": lambda x: np.clip(x, 0, 1, out=x * 2),
    "added to another's": lambda x: operator.iadd(np.zeros((3, 4)), x),
    "copied to another's": lambda x: np.copyto(np.zeros((3, 4)), x) or x,
    "added at": inplace(lambda y: np.add.at(y, ROWS, 1)),
    "another order": lambda x: x.reshape(4, 3, order="F"),
    "string": lambda x: x * len(str(x)),
    "format": lambda x: x * len(f"{x}"),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "memory": lambda x: x * x.data[0, 0],
    "number": lambda x: x * x.flat[0],
    "base": lambda x: x.base * 2,
}

REFUSED_OPERATORS = ("__bool__", "__float__", "__int__", "__index__", "__contains__", "__str__")

# Copies into arrays that are not traced go unseen; other numbers show them.
CAUGHT: dict[str, Callable[[Any], Any]] = {
    "asarray": lambda x: np.asarray(x) * 2 + x,
    "array": lambda x: x * np.array(x),
    "a list": lambda x: x + np.array([x, x]).sum(axis=0),
    "memoryview": lambda x: x * memoryview(x)[0, 0],
    "written into another's": lambda x: _written(np.zeros((3, 4)), x) + x * 0,
    "alone": lambda x: np.asarray(x).copy(),
}


def _written(y: np.ndarray, x: Any) -> np.ndarray:
    y[:, 1:] = x[:, 1:]
    return y


def agree(function: Callable[[Any], Any], calls: Calls) -> None:
    for seed in range(10, 13):
        (x,) = drawn([LIKE], seed)
        given = x.copy()
        found, expected = calls(x)["y"], np.asarray(function(x.copy()))
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert found.tobytes() == expected.tobytes()
        assert np.empty_like(found).strides == np.empty_like(expected).strides
        assert x.tobytes() == given.tobytes()


def recorded(function: Callable[[Any], Any]) -> Calls:
    with quietly():
        calls = Calls(Tape(), lambda x: {"y": function(x)}, [LIKE])
        calls.check(lambda x: {"y": np.asarray(function(x))})
    return calls


@pytest.mark.parametrize("name", RECORDED)
def test_what_numpy_computes_is_computed_again_on_other_numbers(name: str) -> None:
    agree(RECORDED[name], recorded(RECORDED[name]))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_repeated_is_refused(name: str) -> None:
    with quietly(), pytest.raises(NotTraceableError):
        Calls(Tape(), lambda x: {"y": REFUSED[name](x)}, [LIKE])


@pytest.mark.parametrize("name", CAUGHT)
def test_what_goes_unseen_shows_on_other_numbers(name: str) -> None:
    with quietly():
        calls = Calls(Tape(), lambda x: {"y": CAUGHT[name](x)}, [LIKE])
        with pytest.raises(NotTraceableError):
            calls.check(lambda x: {"y": np.asarray(CAUGHT[name](x))})


def test_labels_are_drawn_as_zeros_and_ones_of_their_own_type() -> None:
    for dtype in (np.uint8, np.int64, np.int32, bool):
        (labels,) = drawn([np.full(100, 9, dtype)], 0)
        assert labels.dtype == dtype
        assert set(labels.tolist()) == {0, 1}


def test_what_is_lent_is_overwritten_and_only_to_be_read_and_what_is_not_is_a_copy() -> None:
    calls = recorded(lambda x: x.T.copy())
    one, two = np.ones((3, 4)), np.full((3, 4), 2.0)
    kept, lent = calls(one)["y"], calls.lent(one)["y"]
    with pytest.raises(ValueError, match="read-only"):
        lent[0, 0] = 1
    kept[0, 0] = 7
    assert (lent == 1).all()
    assert calls.lent(two)["y"] is lent is calls.outputs["y"]
    assert (lent == 2).all()
    assert kept[0, 0] == 7
    calls.lent(one).clear()
    assert list(calls.outputs) == ["y"]


def test_what_comes_out_in_another_shape_is_refused_when_it_does() -> None:
    calls = recorded(lambda x: np.unique(np.where(x > 100, 1.0, 0.0)))
    assert calls(np.zeros((3, 4)))["y"].tolist() == [0]
    with pytest.raises(NotTraceableError, match=r"returns shape \(2,\), and returned \(1,\)"):
        calls(np.arange(90.0, 102.0).reshape(3, 4))


TAKEN_OVER = {"shape", "strides", "dtype", "ndim", "size", "itemsize", "nbytes", "flags", "__array_priority__"} | {
    *("sum", "prod", "max", "min", "any", "all"),  # which call ufuncs
    *("T", "transpose", "reshape", "copy", "astype"),  # written anew
    *("__array_ufunc__", "__array_function__", "__array_finalize__"),
}


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, member in vars(np.ndarray).items()
        if isinstance(member, types.MethodDescriptorType | types.GetSetDescriptorType) and name not in TAKEN_OVER
    ],
)
def test_every_other_attribute_of_an_array_is_refused(name: str) -> None:
    """One that a later NumPy adds, too."""
    x = Tape().place(np.ones((3, 4)))
    with pytest.raises(NotTraceableError):
        getattr(x, name)()


def test_a_method_called_around_the_class_is_refused_too() -> None:
    with pytest.raises(NotTraceableError):
        np.ndarray.flatten(Tape().place(np.ones((3, 4))))


def test_what_is_taken_over_reaches_ufuncs() -> None:
    for name in ("sum", "prod", "max", "min", "any", "all"):
        agree(lambda x, name=name: getattr(x, name)(axis=1), recorded(lambda x, name=name: getattr(x, name)(axis=1)))
        agree(lambda x, name=name: getattr(x, name)(), recorded(lambda x, name=name: getattr(x, name)()))


OPERATORS = [
    name
    for name, member in vars(np.ndarray).items()
    if isinstance(member, types.WrapperDescriptorType)
    and name not in (*REFUSED_OPERATORS, "__getitem__", "__setitem__", "__delitem__", "__iter__", "__len__", "__repr__")
]


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_is_recorded(name: str) -> None:
    """Of whole numbers, whose bits can be shifted, or of fractions."""
    tape, one = Tape(), np.arange(1, 10).reshape(3, 3)
    one = one * 1.0 if name == "__itruediv__" else one
    others = () if name in ("__abs__", "__neg__", "__pos__", "__invert__") else (one[::-1],)
    x = tape.place(one)
    found = getattr(x, name)(*map(tape.place, others))
    assert len(tape.calls) == 1
    expected = getattr(one.copy(), name)(*others)
    np.testing.assert_array_equal(plain(found), expected)
    plain(x)[...] = one  # what is in place is done again on what was there
    for array in found if isinstance(found, tuple) else ():
        plain(array)[...] = 0
    tape.calls[0]()
    np.testing.assert_array_equal(plain(found), expected)


def test_memory_serves_the_next_array_and_is_no_more_than_without_a_tape() -> None:
    """Forty temporary arrays, three at a time."""
    tape = Tape()
    like = np.empty((100, 100))

    def long(x: Any) -> Any:
        for _ in range(20):
            x = (x.T + 1) @ x.transpose(1, 0).reshape(100, 100)
        return x

    with quietly():
        calls = Calls(tape, lambda x: {"y": long(x)}, [like])
    memory = {id(base(place)): base(place).nbytes for call in calls._calls for place in arrays(call)}
    assert len(calls._calls) == 40
    assert sum(memory.values()) <= 4 * (like.nbytes + 64)
    with np.errstate(all="ignore"):
        (x,) = drawn([like], 3)
        assert calls(x)["y"].tobytes() == long(x).tobytes()


def arrays(call: Any) -> list[np.ndarray]:
    return [value for value in call.args if isinstance(value, np.ndarray)]


def base(array: Any) -> Any:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_memory_goes_only_to_what_needs_about_as_much() -> None:
    tape = Tape()
    del [tape.place(np.empty(100))][:]  # given back
    assert len(tape.free) == 1
    small = tape.place(np.ones(10))
    assert len(tape.free) == 1
    fitting = tape.place(np.ones(60))
    assert not tape.free
    larger = tape.place(np.ones(101))
    assert all(plain(array).ctypes.data % 64 == 0 for array in (small, fitting, larger))
    assert not np.may_share_memory(plain(small), plain(fitting))


def test_a_view_keeps_the_memory() -> None:
    tape = Tape()
    for view in (
        lambda x: x[1:],
        lambda x: x.T,
        lambda x: x.transpose(1, 0),
        lambda x: x.reshape(-1),
        lambda x: np.expand_dims(x, 0),
        lambda x: type(x)((2, 2), x.dtype, x, strides=(8, 8)),
        lambda x: operator.iadd(x, 1),
    ):
        seen = view(tape.place(np.ones((3, 4))))
        assert not tape.free
        assert isinstance(seen, Traced)
        del seen
        assert len(tape.free) == 1


def test_errors_are_reported_as_the_code_asked_or_else_as_whoever_repeats_it_asks() -> None:
    def overflowing(x: Any) -> Any:
        with np.errstate(over="ignore"):
            y = np.exp(x + 1000)
        return y + (x - 1e308) * 0

    def dividing(x: Any) -> Any:
        return 1 / (x * 0)

    with np.errstate(all="ignore"), quietly():
        quiet, loud = (Calls(Tape(), lambda x, f=f: {"y": f(x)}, [LIKE]) for f in (overflowing, dividing))
    x = np.ones((3, 4))
    with np.errstate(all="raise"):
        assert np.isinf(quiet(x)["y"]).all()
        with pytest.raises(FloatingPointError, match="divide by zero encountered in divide"):
            loud(x)
    with np.errstate(all="warn"), pytest.warns(RuntimeWarning, match="divide by zero"):
        loud(x)
    with np.errstate(all="ignore"):
        loud(x)


def test_a_traced_array_shows_itself_without_its_numbers() -> None:
    assert "Traced object" in repr(Tape().place(np.ones(2)))
