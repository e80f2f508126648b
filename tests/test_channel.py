"""What goes between two processes: arrays of any layout and size, and what a process answers. Both ends in this one."""

import contextlib
import fcntl
import os
import pickle
import re
import resource
import socket
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratch
from scratch import batch, worker
from scratch.channel import Channel
from scratch.worker import Worker
from tests.strange_losses import Raising

RNG = np.random.default_rng(5)
X = RNG.standard_normal((4, 3)).astype(np.float32)
TARGET = RNG.standard_normal((4, 2)).astype(np.float32)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = map(Channel, socket.socketpair())
    with contextlib.closing(ours), contextlib.closing(theirs):
        yield ours, theirs


def through(ends: tuple[Channel, Channel], message: Any) -> Any:
    """The message after its way; sent by another thread, for a large one does not go before it is read."""

    def send() -> None:
        try:
            ends[0].send(message)
        except BaseException:
            ends[0].close()  # or the other end would wait for ever
            raise

    sending = threading.Thread(target=send)
    sending.start()
    try:
        return ends[1].receive()
    finally:
        sending.join()


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": lambda a: a,
    "the first axis fastest": np.asfortranarray,
    "batch last behind (N, C, H)": lambda a: np.ascontiguousarray(a.transpose(2, 0, 1)).transpose(1, 2, 0),
    "backwards": lambda a: a[::-1, :, ::-1],
    "every second": lambda a: a[:, ::2],
    "repeated": lambda a: np.broadcast_to(a[:1], a.shape),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "no entries": lambda a: a[:0],
    "no axes": lambda a: a[0, 0, 0, ...],
    "float64": lambda a: a.astype(np.float64),
    "masks": lambda a: a > 0,
    "labels": lambda a: a.astype(np.uint8),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_array_arrives_as_it_is_whatever_its_layout(ends: tuple[Channel, Channel], layout: str) -> None:
    sent = LAYOUTS[layout](np.random.default_rng(0).standard_normal((4, 6, 5)).astype(np.float32))
    got = through(ends, {"array": sent, "beside": (1, "two")})
    assert same(got["array"], sent)
    assert got["beside"] == (1, "two")


def test_memory_is_made_anew_when_messages_grow_and_used_again_when_they_shrink(ends: tuple[Channel, Channel]) -> None:
    rooms = []
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for size in (10, 5, 100_000, 0, 7, 100_000, 3_000_000):
        sent = [RNG.standard_normal(size), RNG.integers(0, 9, size)]
        got = through(ends, sent)
        assert all(map(same, got, sent))
        assert all(array.ctypes.data % 64 == 0 for array in got if array.size)
        rooms.append(len(ends[0]._out))
        kept.append((got[0], sent[0].copy()))
    assert rooms == sorted(rooms)
    assert len(set(rooms)) == 3
    assert all(same(*pair) for pair in kept[-2:])  # each in memory of its own: the old is kept as long as its arrays
    with pytest.raises(ValueError, match="read-only"):
        got[0][0] = 1


def test_an_array_that_was_received_is_overwritten_by_the_next(ends: tuple[Channel, Channel]) -> None:
    """Why what is to be kept has to be copied."""
    first = through(ends, np.zeros(100))
    through(ends, np.ones(100))
    assert (first == 1).all()


def test_what_is_too_large_for_the_socket_goes_in_pieces(ends: tuple[Channel, Channel]) -> None:
    scattered = np.arange(2_000_000, dtype=np.float32)[::2]  # 4 MB that are no single run of memory
    assert same(through(ends, scattered), scattered)


def test_it_waits_asleep_and_for_as_long_as_need_be(ends: tuple[Channel, Channel]) -> None:
    later = threading.Timer(0.1, ends[0].send, args=("at last",))
    later.start()
    before = time.thread_time()
    assert ends[1].receive() == "at last"
    assert time.thread_time() - before < 0.05
    later.join()


def test_without_memory_that_has_no_name_a_file_is_deleted_before_it_is_used(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sent = RNG.standard_normal(10_000)
    assert same(through(ends, sent), sent)
    assert not list(tmp_path.iterdir())


def test_many_open_files_do_not_disturb_it() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2048)), hard))
    try:
        pair = [
            Channel(socket.socket(fileno=fcntl.fcntl(end.detach(), fcntl.F_DUPFD_CLOEXEC, 1100)))
            for end in socket.socketpair()
        ]
        with contextlib.closing(pair[0]), contextlib.closing(pair[1]):
            assert same(through((pair[0], pair[1]), X), X)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_end_of_the_other_is_said(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    ours.connection.sendall(b"\5" + b"\0" * 15)  # the head of a message of 5 bytes that never come
    ours.close()
    with pytest.raises(EOFError, match="in the middle of a message"):
        theirs.receive()
    with pytest.raises(EOFError, match="the other end of the channel is closed"):
        theirs.receive()
    with pytest.raises(ConnectionError):
        theirs.send("anybody")


def test_what_cannot_be_copied_is_refused_on_either_side_and_the_next_message_arrives(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(pickle.PicklingError, match="lock"):
        ends[0].send(threading.Lock())
    here = types.ModuleType("only_here")
    here.Thing = type("Thing", (), {"__module__": "only_here"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "only_here", here)
    ends[0].send([here.Thing(), X])
    monkeypatch.delitem(sys.modules, "only_here")
    with pytest.raises(pickle.UnpicklingError, match="No module named 'only_here'"):
        ends[1].receive()
    assert same(through(ends, X), X)


class InThread(Worker):
    """A worker that is no process but a thread of this one, so that what it does is seen; it ends with the channel."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        self._serving = threading.Thread(target=worker.main, args=(theirs.detach(),))
        self._serving.start()

    def take(self, net: Any) -> None:
        self._send(net)
        assert self.answer() is None

    def close(self) -> None:
        self._channel.close()
        self._serving.join(30)
        assert not self._serving.is_alive()


@pytest.fixture
def serving() -> Iterator[InThread]:
    with contextlib.closing(InThread()) as one:
        yield one


def small() -> scratch.MLP:
    return scratch.MLP((3, 4, 2), dropout=0.5, rng=np.random.default_rng(1))


def test_a_process_computes_with_the_parameters_that_it_is_told_each_time(serving: InThread) -> None:
    net, loss = small(), scratch.SquaredError()
    masks = {name: RNG.random((4, 4)) < 0.5 for name in net.dropouts()}
    serving.take(net)
    for _ in range(4):
        for parameter in net.parameters().values():
            parameter += 0.1
        serving.ask("gradients", net.parameters(), loss, X, TARGET, masks, of=7)
        got, expected = serving.answer(), batch.gradients(net, loss, X, TARGET, masks, of=7)
        assert got.value == expected.value
        assert same(got.output, expected.output)
        assert list(got.grads) == list(expected.grads)
        assert all(same(got.grads[name], grad) for name, grad in expected.grads.items())
        serving.ask("predict", net.parameters(), X)
        assert same(serving.answer(), net.predict(X))


class Turned(scratch.Linear):
    """Gives its gradients in another order than its parameters, which a mapping may; or one of another shape."""

    shape: tuple[int, ...] | None = None

    def gradients(self, dy: np.ndarray, cache: Any) -> dict[str, np.ndarray]:
        grads = dict(reversed(super().gradients(dy, cache).items()))
        return grads if self.shape is None else grads | {"bias": np.zeros(self.shape, np.float32)}


def test_gradients_find_their_parameters_and_are_refused_if_they_have_none(serving: InThread) -> None:
    turned, loss = Turned(3, 2, rng=np.random.default_rng(1)), scratch.SquaredError()
    net = scratch.Sequential({"one": turned})
    serving.take(net)
    serving.ask("gradients", net.parameters(), loss, X, TARGET)
    got, expected = serving.answer(), batch.gradients(net, loss, X, TARGET)
    assert list(got.grads) == ["one.weight", "one.bias"] != list(expected.grads)
    assert all(same(got.grads[name], grad) for name, grad in expected.grads.items())


def test_gradients_that_do_not_fit_are_refused(serving: InThread, monkeypatch: pytest.MonkeyPatch) -> None:
    net = scratch.Sequential({"one": Turned(3, 2, rng=np.random.default_rng(1))})
    monkeypatch.setattr(Turned, "shape", (3,))
    serving.take(net)
    serving.ask("gradients", net.parameters(), scratch.SquaredError(), X, TARGET)
    with pytest.raises(ValueError, match=r"^gradients do not fit .* one\.bias has shape \(3,\), expected \(2,\)"):
        serving.answer()


@pytest.mark.parametrize(
    ("loss", "kind", "message"),
    [
        (Raising("plain"), ArithmeticError, "^for no reason$"),
        (Raising("not to be copied"), RuntimeError, "^ArithmeticError: <unlocked _thread.lock"),
        (Raising("not to be made again"), RuntimeError, "^TwoWordsError: one two$"),
        (scratch.CrossEntropy(), TypeError, "^target is float32, expected an integer array of class labels$"),
    ],
)
def test_an_error_comes_back_with_its_place_and_the_process_goes_on(
    serving: InThread, loss: Any, kind: type[Exception], message: str
) -> None:
    net = small()
    serving.take(net)
    serving.ask("gradients", net.parameters(), loss, X, TARGET)
    with pytest.raises(kind) as raised:
        serving.answer()
    assert type(raised.value) is kind
    assert re.search(message, str(raised.value))
    (note,) = raised.value.__notes__
    assert "in the process of a part of the batch" in note
    assert "criterion.forward(output, target)" in note
    serving.ask("predict", net.parameters(), X)
    assert same(serving.answer(), net.predict(X))


def test_what_a_process_cannot_import_is_an_answer(serving: InThread, monkeypatch: pytest.MonkeyPatch) -> None:
    here = types.ModuleType("only_here")
    here.Layer = type("Layer", (scratch.Identity,), {"__module__": "only_here"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "only_here", here)
    strange = pickle.dumps(scratch.Sequential({"strange": here.Layer()}))
    monkeypatch.delitem(sys.modules, "only_here")
    with pytest.raises(TypeError, match="cannot be copied into another process: No module named 'only_here'"):
        serving.take(Disguised(strange))
    serving.take(small())


class Disguised:
    """What becomes something else on its arrival."""

    def __init__(self, pickled: bytes) -> None:
        self.pickled = pickled

    def __reduce__(self) -> Any:
        return pickle.loads, (self.pickled,)


def test_floating_point_errors_are_reported_as_the_asking_process_has_it(serving: InThread) -> None:
    net, loss = small(), scratch.SquaredError()
    large = np.full_like(X, 1e38)
    for parameter in net.parameters().values():
        parameter += 1e20
    serving.take(net)

    def ask(report: Any) -> None:
        with np.errstate(all=report):
            serving.ask("gradients", net.parameters(), loss, large, TARGET)
            serving.answer()

    for _ in range(3):
        ask("ignore")
        with pytest.raises(FloatingPointError):
            ask("raise")
        with pytest.warns(RuntimeWarning):
            ask("warn")
