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
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import scratch
from scratch import batch, exchange, worker
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


def through(ends: tuple[Channel, Channel], message: Any, *arrays: np.ndarray) -> tuple[Any, list[np.ndarray]]:
    """The message after its way; sent by another thread, for a large one does not go before it is read."""

    def send() -> None:
        try:
            ends[0].send(message, arrays)
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
    for _ in range(2):  # the second time not pickled
        message, (got, other) = through(ends, {"beside": (1, "two")}, sent, X)
        assert same(got, sent)
        assert same(other, X)
        assert message == {"beside": (1, "two")}
        assert np.empty_like(got).strides == np.empty_like(sent).strides  # the order that sums are taken in


def test_memory_is_made_anew_when_messages_grow_and_used_again_when_they_shrink(ends: tuple[Channel, Channel]) -> None:
    rooms = []
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for size in (10, 5, 100_000, 0, 7, 100_000, 3_000_000):
        sent = [RNG.standard_normal(size), RNG.integers(0, 9, size)]
        _, got = through(ends, None, *sent)
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
    _, (first,) = through(ends, "one", np.zeros(100))
    through(ends, "one", np.ones(100))
    assert (first == 1).all()
    through(ends, "another", np.full(100, 2.0))
    assert (first == 2).all()


class Heard:
    """Two are the same if they hold the same; where it is made again is noted."""

    made: ClassVar[list[Any]] = []

    def __init__(self, held: Any) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Heard) and self.held == other.held

    __hash__ = None  # type: ignore[assignment]

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        Heard.made.append(self.held)


def test_what_is_said_again_is_not_pickled_again_and_what_is_not_is(ends: tuple[Channel, Channel]) -> None:
    Heard.made.clear()
    float32, turned = np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float32).T
    said: list[tuple[Any, list[np.ndarray]]] = [
        (1, [float32]),
        (1, [float32 + 1]),  # again
        (1, [turned]),  # in another memory order, of another dtype, in another shape, more, fewer, none
        (1, [float32.astype(np.float64)]),
        (1, [float32[:1]]),
        (1, [float32, turned]),
        (1, [turned, float32]),
        (1, [float32]),
        (1, []),
        (1, []),  # again
        (2, []),
        (1, []),
        (1, [np.zeros(100_000)]),  # memory made anew
        (1, [np.ones(100_000)]),  # again
        (1, [float32 + 4]),
        (1, [float32 + 5]),  # again
    ]
    times = []
    for held, arrays in said:
        message, got = through(ends, Heard(held), *arrays)
        assert message.held == held
        assert len(got) == len(arrays)
        assert all(map(same, got, arrays))
        assert not any(array.flags.writeable for array in got)
        times.append(len(Heard.made))
    assert [later - before for before, later in zip([0, *times], times, strict=False)] == [
        *(1, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 1, 0)
    ]


def test_both_directions_have_a_memory_of_what_was_said(ends: tuple[Channel, Channel]) -> None:
    for number in range(3):
        for one, other in (ends, ends[::-1]):
            for _ in range(2):
                message, (got,) = through((one, other), "the same", np.full(5, number))
                assert message == "the same"
                assert (got == number).all()


def test_a_message_that_was_changed_in_place_is_another(ends: tuple[Channel, Channel]) -> None:
    """Why what may change is pickled before it is compared: a list is still itself, and would not be sent."""
    said = [1]
    assert through(ends, pickle.dumps(said))[0] == pickle.dumps([1])
    said.append(2)
    assert through(ends, pickle.dumps(said))[0] == pickle.dumps([1, 2])


def test_arrays_without_numbers_that_can_be_carried_are_refused_and_the_next_arrives(
    ends: tuple[Channel, Channel],
) -> None:
    through(ends, "one", X)
    with pytest.raises(TypeError, match=r"^an array has dtype object, expected numbers$"):
        ends[0].send("two", [np.array([None, "object"])])
    for number in range(2):
        message, (got,) = through(ends, "one", X + number)
        assert message == "one"
        assert same(got, X + number)


def test_what_is_too_large_for_the_socket_goes_in_pieces(ends: tuple[Channel, Channel]) -> None:
    scattered = np.arange(2_000_000, dtype=np.float32)[::2]  # 4 MB that are no single run of memory
    assert same(through(ends, "scattered", scattered)[1][0], scattered)
    assert through(ends, scattered.tobytes())[0] == scattered.tobytes()  # and through the socket itself


def test_it_waits_asleep_and_for_as_long_as_need_be(ends: tuple[Channel, Channel]) -> None:
    later = threading.Timer(0.1, ends[0].send, args=("at last",))
    later.start()
    before = time.thread_time()
    assert ends[1].receive() == ("at last", [])
    assert time.thread_time() - before < 0.05
    later.join()


def test_without_memory_that_has_no_name_a_file_is_deleted_before_it_is_used(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sent = RNG.standard_normal(10_000)
    assert same(through(ends, None, sent)[1][0], sent)
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
            assert same(through((pair[0], pair[1]), None, X)[1][0], X)
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
    thing = here.Thing()
    ends[0].send(thing, [X])
    ends[0].send(thing, [X])  # again: what could not be made cannot be made now
    monkeypatch.delitem(sys.modules, "only_here")
    for _ in range(2):
        with pytest.raises(pickle.UnpicklingError, match="No module named 'only_here'"):
            ends[1].receive()
    for number in range(2):
        assert same(through(ends, None, X + number)[1][0], X + number)


def test_what_could_not_be_pickled_was_not_said(ends: tuple[Channel, Channel]) -> None:
    """Even if it equals what comes next, or what came before."""
    through(ends, 1, X)
    for _ in range(2):
        with pytest.raises(pickle.PicklingError):
            ends[0].send(Equal(), [X])
    assert same(through(ends, 1, X + 1)[1][0], X + 1)


class Equal:
    """Equal to its kind alone, and cannot be pickled."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        raise AttributeError("not to be pickled")


class InThread(Worker):
    """A worker that is no process but a thread of this one, so that what it does is seen; it ends with the channel."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        self._memory = exchange.nameless(1 << 16)
        self._serving = threading.Thread(target=self._serve, args=(theirs.detach(),))
        self._serving.start()

    def _serve(self, descriptor: int) -> None:
        worker.main(descriptor, self._memory)

    def take(self, net: Any, params: dict[str, np.ndarray] | None = None) -> None:
        self._exchange = exchange.Exchange(net.parameters() if params is None else params, self._memory)
        self._send(net)
        assert self.answer() is None

    def gradients(self, net: Any, loss: Any, target: Any = TARGET, masks: Any = None, **keywords: int) -> Any:
        names = None if masks is None else tuple(masks)
        arrays = [X, target, *(masks or {}).values()]
        self.ask("gradients", net.parameters(), loss, arrays, names=names, **keywords)
        return self.answer()

    def predict(self, net: Any) -> np.ndarray:
        self.ask("predict", net.parameters(), None, [X])
        return self.answer()

    def close(self) -> None:
        self._channel.close()
        self._serving.join(30)
        os.close(self._memory)
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
        for thinned in (masks, masks, None):
            got = serving.gradients(net, loss, TARGET, thinned, of=7, pieces=1)
            expected = batch.gradients(net, loss, X, TARGET, thinned, of=7)
            assert got.value == expected.value
            assert got.value.dtype == np.float32
            assert same(got.output, expected.output)
            assert list(got.grads) == list(expected.grads)
            assert all(same(got.grads[name], grad) for name, grad in expected.grads.items())
        assert same(serving.predict(net), net.predict(X))


def test_a_loss_that_was_changed_arrives_changed(serving: InThread) -> None:
    """Though it is the same object, and all else that is said is the same."""
    net, loss = small(), scratch.SquaredError()
    serving.take(net)
    for reduction in ("mean", "mean", "sum", "mean", "sum", "sum"):
        loss.reduction = reduction  # type: ignore[assignment]
        expected = batch.gradients(net, scratch.SquaredError(reduction), X, TARGET)  # type: ignore[arg-type]
        got = serving.gradients(net, loss)
        assert got.value == expected.value
        assert all(same(got.grads[name], grad) for name, grad in expected.grads.items())


def test_a_loss_that_cannot_be_copied_is_refused_and_the_process_goes_on(serving: InThread) -> None:
    net, loss = small(), scratch.SquaredError()
    serving.take(net)
    loss.lock = threading.Lock()  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"cannot be copied into another process: .*lock.*; define their classes"):
        serving.gradients(net, loss)
    assert same(serving.predict(net), net.predict(X))


def test_a_loss_that_a_process_cannot_make_is_refused_and_the_process_goes_on(serving: InThread) -> None:
    net = small()
    serving.take(net)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"cannot be copied into another process: .*five"):
            serving.gradients(net, Disguised(b"cbuiltins\nint\n(S'five'\ntR."))
    assert same(serving.predict(net), net.predict(X))


class Strange(scratch.SquaredError):
    """Says something that cannot be copied, or comes to what is no number."""

    def forward(self, output: np.ndarray, target: np.ndarray) -> Any:
        value, cache = super().forward(output, target)
        if self.reduction == "mean":
            warnings.warn(UserWarning(threading.Lock()), stacklevel=1)
            return value, cache
        return np.array(Disguised(b""), object), cache


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_what_cannot_come_back_is_an_answer_and_the_process_goes_on(serving: InThread, reduction: Any) -> None:
    net = small()
    serving.take(net)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"cannot be copied into another process: .*(lock|dtype object).*; define"):
            serving.gradients(net, Strange(reduction))
        assert same(serving.predict(net), net.predict(X))


def test_parameters_that_became_others_are_refused_until_they_are_back(serving: InThread) -> None:
    net, loss = small(), scratch.SquaredError()
    serving.take(net)
    layer: Any = net.layers["fc1"]
    weight = layer.weight
    before = serving.gradients(net, loss).value
    others: dict[str, Any] = {
        r"fc1\.weight has shape \(3, 4\), expected \(4, 3\)": weight.T.copy(),
        r"fc1\.weight has dtype float64, expected float32": weight.astype(np.float64),
    }
    for said, other in others.items():
        layer.weight = other
        with pytest.raises(ValueError, match=f"^the parameters are not those of the network that was given: {said}$"):
            serving.gradients(net, loss)
    layer.weight, layer.bias = weight, None
    with pytest.raises(ValueError, match=r"^the parameters are not .*fc1\.bias"):
        serving.gradients(net, loss)
    layer.bias = np.zeros(4, np.float32)
    assert serving.gradients(net, loss).value == before
    layer.weight = weight * 2  # another array of the same form is fine
    assert serving.gradients(net, loss).value == batch.gradients(net, loss, X, TARGET).value


def test_parameters_that_are_no_attributes_are_copied_where_they_are(serving: InThread) -> None:
    net, loss = scratch.Sequential({"kept": Kept(3, 2, rng=np.random.default_rng(1))}), scratch.SquaredError()
    serving.take(net)
    for _ in range(3):
        net.parameters()["kept.scale"][...] += 1
        expected = batch.gradients(net, loss, X, TARGET)
        got = serving.gradients(net, loss)
        assert got.value == expected.value
        assert same(got.grads["kept.scale"], expected.grads["kept.scale"])


class Kept(scratch.Linear):
    """Has one more parameter, in a list."""

    def __init__(self, *sizes: int, rng: np.random.Generator) -> None:
        super().__init__(*sizes, rng=rng)
        self.more = [np.ones(1, np.float32)]

    def parameters(self) -> dict[str, np.ndarray]:
        return {**super().parameters(), "scale": self.more[0]}

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        y, cache = super().forward(x)
        return y * self.more[0], (y, cache)

    def gradients(self, dy: np.ndarray, cache: Any) -> dict[str, np.ndarray]:
        y, cache = cache
        grads = super().gradients(dy * self.more[0], cache)
        return {**grads, "scale": (dy * y).sum(keepdims=True).reshape(1)}


def test_parameters_and_gradients_lie_side_by_side_each_in_lines_of_its_own() -> None:
    like = {"a": np.zeros((3, 5), np.float32), "none": np.zeros((0, 2)), "b": np.zeros(1), "c": np.zeros(8)}
    assert [exchange.in_lines(size) for size in (0, 1, 64, 65)] == [0, 64, 64, 128]
    assert exchange.room(like) == 2 * (64 + 0 + 64 + 64)
    assert exchange.room({}) > 0
    memory = exchange.nameless(exchange.room(like))
    try:
        one, other = exchange.Exchange(like, memory), exchange.Exchange(like, memory)
    finally:
        os.close(memory)
    arrays = [*one.params.values(), *one.grads.values()]
    assert all(array.ctypes.data % 64 == 0 for array in arrays)
    for number, array in enumerate(arrays):
        assert not array.any()
        array[...] = number + 1
    for number, array in enumerate([*other.params.values(), *other.grads.values()]):
        assert (array == number + 1).all()
    assert list(one.params) == list(one.grads) == list(like)
    exchange.put(dict(reversed(like.items())), one.params, "in another order")
    assert not any(array.any() for array in other.params.values())
    assert all(array.all() for array in other.grads.values())
    for bad in ({**like, "d": like["b"]}, {"a": like["a"]}, {**like, "a": like["a"].T}, {**like, "a": [1.0]}):
        before = {name: array.copy() for name, array in one.grads.items()}
        with pytest.raises(ValueError, match=r"^something: "):
            exchange.put(bad, one.grads, "something")  # type: ignore[arg-type]
        assert all((array == before[name]).all() for name, array in one.grads.items())


def test_without_memory_that_has_no_name_parameters_go_through_a_deleted_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    net = small()
    with contextlib.closing(InThread()) as one:
        one.take(net)
        assert same(one.predict(net), net.predict(X))
    assert not list(tmp_path.iterdir())


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
    got, expected = serving.gradients(net, loss), batch.gradients(net, loss, X, TARGET)
    assert list(got.grads) == ["one.weight", "one.bias"] != list(expected.grads)
    assert all(same(got.grads[name], grad) for name, grad in expected.grads.items())


def test_gradients_that_do_not_fit_are_refused(serving: InThread, monkeypatch: pytest.MonkeyPatch) -> None:
    net = scratch.Sequential({"one": Turned(3, 2, rng=np.random.default_rng(1))})
    monkeypatch.setattr(Turned, "shape", (3,))
    serving.take(net)
    with pytest.raises(ValueError, match=r"^gradients do not fit .* one\.bias has shape \(3,\), expected \(2,\)"):
        serving.gradients(net, scratch.SquaredError())


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
    with pytest.raises(kind) as raised:
        serving.gradients(net, loss)
    assert type(raised.value) is kind
    assert re.search(message, str(raised.value))
    (note,) = raised.value.__notes__
    assert "in the process of a part of the batch" in note
    assert "criterion.forward)(output, target)" in note
    assert same(serving.predict(net), net.predict(X))


def test_what_a_process_cannot_import_is_an_answer(serving: InThread, monkeypatch: pytest.MonkeyPatch) -> None:
    here = types.ModuleType("only_here")
    here.Layer = type("Layer", (scratch.Identity,), {"__module__": "only_here"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "only_here", here)
    strange = pickle.dumps(scratch.Sequential({"strange": here.Layer()}))
    monkeypatch.delitem(sys.modules, "only_here")
    with pytest.raises(TypeError, match="cannot be copied into another process: No module named 'only_here'"):
        serving.take(Disguised(strange), {})
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
            serving.ask("gradients", net.parameters(), loss, [large, TARGET], names=None)
            serving.answer()

    for _ in range(3):
        ask("ignore")
        with pytest.raises(FloatingPointError):
            ask("raise")
        with pytest.warns(RuntimeWarning):
            ask("warn")
