"""Candidates that do anything but answer: each is reported as what it is; the oracle neither crashes nor hangs."""

import contextlib
import operator
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from torchref import oracle
from torchref.oracle.subjects import worker
from torchref.oracle.verdict import Verdict

LIMIT = 1.0  # for code that does end, on a machine that is busy
SHORT = 0.3  # for code that does not


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PATIENCE", 0.1)


def forward(x: Any, w: Any, b: Any) -> tuple[Any, Any]:
    return x @ w.T + b, (x, w)


def backward(dy: Any, cache: Any) -> tuple[Any, Any, Any]:
    x, w = cache
    return dy @ w, dy.T @ x, dy.sum(axis=0)


def judged(forward: Any = forward, backward: Any = backward, **options: Any) -> Verdict:
    """The verdict on a linear layer, on one case."""
    settings: dict[str, Any] = {"like": "linear", "cases": "equal", "dtypes": "float64", "time_limit": LIMIT}
    return oracle.check(forward, backward, **{**settings, **options})


def returning(what: Callable[[Any], Any]) -> Callable[..., Any]:
    """A forward part whose output is this, of the right output."""

    def forward_(x: Any, w: Any, b: Any) -> Any:
        y, cache = forward(x, w, b)
        return what(y), cache

    return forward_


def gradients(what: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    """A backward part that returns this, of the right gradients."""
    return lambda dy, cache: what(*backward(dy, cache))


def doing(what: Callable[..., Any]) -> Callable[..., Any]:
    """A right forward part that does this first, with its arguments."""

    def forward_(x: Any, w: Any, b: Any) -> Any:
        what(x, w, b)
        return forward(x, w, b)

    return forward_


class Explosive:
    """No array, though it says so."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("not today")


def for_ever(*_: Any) -> None:
    while True:
        pass


def stubborn(*_: Any) -> None:
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        with contextlib.suppress(BaseException):
            for_ever_until(end)


def for_ever_until(end: float) -> None:
    while time.monotonic() < end:
        pass


def yielding(x: Any, w: Any, b: Any) -> Iterator[Any]:
    yield forward(x, w, b)


def divide(*_: Any) -> float:
    return 1 / 0


def doing_nothing(x: Any, w: Any, b: Any) -> None: ...


def exit_(*_: Any) -> None:
    sys.exit("bye")


def deep(*_: Any) -> Any:
    return deep()


ANSWERS: list[tuple[str, dict[str, Any], str]] = [
    ("raises", {"forward": divide}, "forward raises ZeroDivisionError: division by zero (test_hostile.py:"),
    ("raises backward", {"backward": divide}, "backward raises ZeroDivisionError: division by zero"),
    ("exits", {"forward": doing(exit_)}, "forward raises SystemExit: bye"),
    ("recursion", {"forward": doing(deep)}, "forward raises RecursionError"),
    ("huge", {"forward": doing(lambda *_: np.ones(10**16))}, "forward raises MemoryError"),
    ("gpu", {"forward": doing(lambda *_: torch.ones(1, device="cuda:99"))}, "forward needs a GPU"),
    ("loop", {"forward": doing(for_ever), "time_limit": SHORT}, "forward runs longer than 0.3 s"),
    ("loop backward", {"backward": for_ever, "time_limit": SHORT}, "backward runs longer than 0.3 s"),
    ("sleeps", {"forward": doing(lambda *_: time.sleep(3.0)), "time_limit": SHORT}, "forward runs longer than 0.3 s"),
    ("swallows", {"forward": doing(stubborn), "time_limit": SHORT}, "forward runs longer than 0.3 s"),
    ("none", {"forward": doing_nothing}, "forward is not implemented yet"),
    ("todo", {"backward": gradients(lambda *_: None)}, "backward is not implemented yet"),
    ("None for y", {"forward": returning(lambda _: None)}, "forward returns"),
    ("string", {"forward": returning(lambda _: "y")}, "forward returns"),
    ("number", {"forward": returning(lambda _: 3.0)}, "forward returns a tuple of 2 (a float"),
    ("object", {"forward": returning(lambda y: y.astype(object))}, "object"),
    ("text array", {"forward": returning(lambda y: y.astype(str))}, "dtype"),
    ("list", {"forward": returning(lambda _: [[1.0], [1.0, 2.0]])}, "forward returns"),
    ("nested list", {"forward": returning(lambda y: y.tolist() * 3)}, "a tuple of 2 (a list of 12, a tuple of 2)"),
    ("long list", {"backward": lambda *_: [1.0] * 9}, "a list of 9 (a float, a float, a float, a float, …)"),
    ("generator", {"forward": yielding}, "forward returns"),
    ("function", {"forward": returning(lambda _: divide)}, "forward returns"),
    ("explosive", {"forward": returning(lambda _: Explosive())}, "not today"),
    ("nan", {"forward": returning(lambda y: y * np.nan)}, "NaN"),
    ("shape", {"forward": returning(lambda y: y[:, :2])}, "shape"),
    ("endless", {"forward": returning(lambda y: np.broadcast_to(y[0, 0], (10**6, 10**6)))}, "of 8e+12 bytes"),
    ("endless tensor", {"forward": returning(lambda _: torch.zeros(1).expand(10**6, 10**6))}, "of 4e+12 bytes"),
    ("transposed", {"backward": gradients(lambda x, w, b: (x, w.T[:1], b))}, "shape"),
    ("float32", {"forward": returning(lambda y: y.astype(np.float32))}, "dtype"),
    ("integers", {"forward": returning(lambda y: y.astype(int))}, "dtype"),
    ("complex", {"forward": returning(lambda y: y.astype(complex))}, "dtype"),
    ("masked", {"forward": returning(lambda y: np.ma.masked_greater(y, 0))}, "forward"),
    ("two gradients", {"backward": gradients(lambda *d: d[:2])}, "backward returns"),
    ("four gradients", {"backward": gradients(lambda x, w, b: (x, w, b, b))}, "backward returns"),
    ("dict", {"backward": gradients(lambda *d: {"nix": d[0], "da": d[1]})}, "returns no gradient of x"),
    ("seed", {"forward": doing(lambda *_: np.random.seed(1))}, "changes NumPy's global random state"),  # noqa: NPY002
    ("draws", {"forward": doing(lambda *_: np.random.rand())}, "changes NumPy's global random state"),  # noqa: NPY002
    ("patches", {"forward": doing(lambda *_: setattr(np, "dot", None))}, "replaces numpy.dot"),
    ("mutates", {"forward": doing(lambda *given: given[0].fill(0))}, "must not change its arguments"),
    ("mutates dy", {"backward": lambda dy, cache: [dy.fill(0), backward(dy, cache)][1]}, "must not change"),
    ("mutates w", {"forward": doing(lambda *given: given[1].fill(0))}, "must not change its arguments"),
    ("dtype of w", {"forward": doing(lambda *given: setattr(given[1], "shape", (2, 8)))}, "forward"),
    ("resizes w", {"forward": doing(lambda *given: given[1].resize((0,), refcheck=False))}, "forward"),
    ("resizes x", {"forward": doing(lambda *given: given[0].resize((1, 1), refcheck=False))}, "forward"),
]


@pytest.mark.parametrize(("given", "said"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_it_is_said_what_a_candidate_does(given: dict[str, Any], said: str) -> None:
    began = time.monotonic()
    verdict = judged(**given)
    assert not verdict.passed
    report = str(verdict)
    assert report.startswith("FAIL")
    assert said in report, report
    assert time.monotonic() - began < 3
    assert judged().passed, "and the next is judged as if nothing had been"


def test_what_is_harmless_is_noted() -> None:
    def chatty(*_: Any) -> None:
        print("z" * 1_000_000)
        warnings.warn("old", DeprecationWarning, stacklevel=1)

    verdict = judged(doing(chatty))
    assert verdict.passed
    assert verdict.remarks == ("forward prints 'zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz…'",
                               "forward warns DeprecationWarning: old")  # fmt: skip


def test_threads_left_running_are_noted() -> None:
    end = threading.Event()
    try:
        verdict = judged(doing(lambda *_: threading.Thread(target=end.wait, daemon=True).start()))
    finally:
        end.set()
    assert verdict.passed
    assert verdict.remarks == ("forward leaves 1 threads running",)


def test_arrays_of_other_classes_are_arrays() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        assert judged(returning(lambda y: y.tolist())).passed is False
    assert judged(returning(np.asfortranarray)).passed
    assert judged(returning(lambda y: torch.from_numpy(y.copy()))).passed


def test_a_view_of_the_input_is_aliasing() -> None:
    def through(dy: Any, cache: None) -> Any:
        assert cache is None
        return dy

    verdict = oracle.check(lambda x: (x, None), through, like="identity", dtypes="float64", cases="equal")
    assert "y is a view of x" in str(verdict)
    assert "dx is a view of dy" in str(verdict)


class Opaque(tuple[Any, ...]):
    """A result that cannot even be looked at."""

    def __len__(self) -> int:
        raise RuntimeError("no length")


class Secretive:
    """A layer whose attributes cannot be looked at."""

    def __getattr__(self, name: str) -> Any:
        raise SystemExit(name)


def test_what_cannot_be_looked_at_is_wrong_too() -> None:
    for verdict in (judged(lambda x, w, b: Opaque((x, w, b))), judged(backward=lambda dy, cache: Opaque((dy, cache)))):
        assert not verdict.passed
        assert "raises RuntimeError: no length (test_hostile.py:" in str(verdict)
    with pytest.raises(TypeError, match="Secretive: looking at it raises SystemExit"):
        judged(Secretive(), None)


class Net:
    """A network of one layer, right but for what is set on it."""

    def __init__(self, **wrong: Any) -> None:
        self.w, self.b = np.zeros((3, 4)), np.zeros(3)
        for name, value in wrong.items():
            setattr(self, name, value)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.w.T + self.b

    def backward(self, dy: Any) -> Any:
        self.dw, self.db = dy.T @ self.x, dy.sum(axis=0)
        return dy @ self.w


NETWORKS: list[tuple[dict[str, Any], str]] = [
    ({"forward": divide}, "forward raises ZeroDivisionError: division by zero (test_hostile.py:"),
    ({"backward": lambda _: for_ever()}, "backward runs longer than 1 s"),
    ({"forward": lambda _: Opaque((1, 2))}, "forward raises RuntimeError: no length (test_hostile.py:"),
    ({"forward": lambda _: "y"}, "forward returns"),
    ({"backward": lambda _: None}, "yours: none"),
]


def linear_module() -> torch.nn.Linear:
    return torch.nn.Linear(4, 3, dtype=torch.float64)


def batch() -> tuple[Any, Any]:
    return np.random.default_rng(0).normal(size=(5, 4)), np.arange(5) % 3


@pytest.mark.parametrize(("wrong", "said"), NETWORKS)
def test_networks_may_be_hostile_too(wrong: dict[str, Any], said: str) -> None:
    assert oracle.compare(Net(), linear_module(), *batch()).passed
    verdict = oracle.compare(Net(**wrong), linear_module(), *batch(), time_limit=LIMIT)
    assert not verdict.passed
    assert said in str(verdict)


def trained(step: Any, parameters: Any) -> Verdict:
    module = linear_module()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    return oracle.compare_training(step, module, optimizer, [batch()], steps=2, parameters=parameters, time_limit=LIMIT)


class Nameless(dict[str, Any]):
    """Parameters that cannot be looked at."""

    def items(self) -> Any:
        raise RuntimeError("no names")


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (divide, "raises ZeroDivisionError: division by zero (test_hostile.py:"),
        (for_ever, "runs longer than 1 s"),
    ],
)
def test_a_training_may_be_hostile_too(step: Any, said: str) -> None:
    verdict = trained(step, {"weight": np.zeros((3, 4)), "bias": np.zeros(3)})
    assert not verdict.passed
    assert said in str(verdict)


def test_parameters_that_cannot_be_looked_at() -> None:
    assert "raises RuntimeError: no names (test_hostile.py:" in str(trained(divide, Nameless))


def test_our_own_errors_in_comparisons_are_not_blamed_on_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchref.oracle.comparing.prepare", operator.truediv)
    with pytest.raises(TypeError, match="truediv"):
        oracle.compare(Net(), linear_module(), *batch())
    monkeypatch.setattr("torchref.oracle.training._begin", operator.attrgetter("nothing"))
    with pytest.raises(TypeError, match="attrgetter"):
        trained(divide, None)


@pytest.mark.parametrize(
    "place", ["torchref.oracle.checking.choose", "torchref.oracle.kinds.layer_kind.LayerKind.draw"]
)
def test_our_own_errors_are_not_blamed_on_anybody(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, operator.truediv)  # takes other arguments, and is no Python
    with pytest.raises(TypeError, match="truediv expected 2 arguments"):
        judged()


class Unborn:
    def __init__(self, in_features: int, out_features: int) -> None:
        raise OSError(f"no disk for {in_features}, {out_features}")

    def forward(self, x: Any) -> Any: ...

    def backward(self, dy: Any) -> Any: ...


class Careless:
    """Deletes its parameters after the first pass."""

    def __init__(self, in_features: int, out_features: int) -> None:
        self.w, self.b = np.zeros((out_features, in_features)), np.zeros(out_features)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.w.T + self.b

    def backward(self, dy: Any) -> Any:
        self.dw, self.db = dy.T @ self.x, dy.sum(axis=0)
        dx = dy @ self.w
        del self.w
        return dx


def test_a_constructor_that_raises() -> None:
    verdict = judged(Unborn, None)
    assert not verdict.passed
    assert "construction raises OSError: no disk for 4, 4 (test_hostile.py:" in str(verdict)


def test_a_layer_that_deletes_its_parameters() -> None:
    verdict = judged(Careless, None)
    assert not verdict.passed
    assert "backward does away with its w" in str(verdict)
