"""A judge of what makes passes fast: of a copy of `scratch`, against plain passes of the same copy, bit for bit."""

import contextlib
import os
import socket
import threading
from collections.abc import Collection, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np


def faults(wing: ModuleType, suspects: Collection[str] = ()) -> Iterator[str]:
    """What is wrong, in words; nothing if all is well. It may die of it, too. Suspected files are asked first."""
    asked = {recorded: {"capture.py", "recording.py"}, elsewhere: {"channel.py", "exchange.py", "worker.py"}}
    for judge in sorted((recorded, in_pieces, elsewhere), key=lambda judge: not asked.get(judge, set()) & {*suspects}):
        yield from judge(wing)


def network(wing: ModuleType) -> Any:
    """Two layers that drop units between others."""
    rng = np.random.default_rng(0)
    layers = {
        "in": wing.Linear(6, 5, rng=rng),
        "squash": wing.Tanh.lecun(),
        "one": wing.Dropout(0.5),
        "more": wing.Linear(5, 5, rng=rng),
        "two": wing.Dropout(0.5),
        "out": wing.Linear(5, 4, rng=rng),
    }
    return wing.Sequential(layers)


def batches(samples: int = 6) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]]:
    """Inputs, labels and masks."""
    rng = np.random.default_rng(samples)
    while True:
        masks = {name: rng.random((samples, 5)) < 0.5 for name in ("one", "two")}
        yield rng.standard_normal((samples, 6)).astype(np.float32), rng.integers(0, 4, samples), masks


def differs(found: Any, expected: Any) -> bool:
    """Whether two passes differ in a bit."""
    return (
        found.value.tobytes() != expected.value.tobytes()
        or found.output.tobytes() != expected.output.tobytes()
        or list(found.grads) != list(expected.grads)
        or any(grad.tobytes() != expected.grads[name].tobytes() for name, grad in found.grads.items())
    )


def recorded(wing: ModuleType) -> Iterator[str]:
    """Passes that are replayed."""
    through, net = import_module("scratch.passes").through, network(wing)
    captured, several = import_module("scratch.capture").Captured(net), batches()
    for _ in range(2):
        for loss in (wing.CrossEntropy(), wing.CrossEntropy("sum"), wing.SquaredError()):
            for share in (1, 0.25):
                x, labels, masks = next(several)
                for drops in (masks, dict(reversed(masks.items())), None)[: 3 if share == 1 else 1]:
                    found = captured.through(loss, x, labels, drops, share=share)
                    if differs(found, through(net, loss, x, labels, drops, share=share)):
                        yield f"{type(loss).__name__} {loss.reduction}, {share} of it, drops {drops and list(drops)}"
        captured = import_module("scratch.capture").Captured(net)
    x, labels, _ = next(several)
    first, prediction = captured.through(loss, x, labels), captured.predict(x)
    if not (captured._traceable and captured._recordings):
        yield "nothing is replayed"
    if any(grad.flags.writeable for grad in first.grads.values()):
        yield "lent gradients may be written to"
    kept = first.output.copy()
    captured.through(loss, -x, labels)
    captured.predict(-x)
    if (first.output != kept).any() or (prediction != kept).any():
        yield "an output is overwritten"
    for wrong in (4, -1):
        with contextlib.suppress(ValueError):
            captured.through(loss, x, np.full(6, wrong))
            yield f"label {wrong} is not refused"
    captured.through(loss, x, labels)
    net.layers["squash"].a = 3.0
    net.layers["in"].weight = net.layers["in"].weight * 2
    if differs(captured.through(loss, x, labels), through(net, loss, x, labels)):
        yield "a slope and a weight that were changed"
    if differs(captured.through(loss, x[:2], labels[:2]), through(net, loss, x[:2], labels[:2])):
        yield "a smaller batch"


def in_pieces(wing: ModuleType) -> Iterator[str]:
    """A batch that is cut, and gradients that were handed out."""
    batch, net = import_module("scratch.batch"), network(wing)
    captured = import_module("scratch.capture").Captured(net)
    for reduction in ("mean", "sum"):
        loss, (x, labels, masks) = wing.CrossEntropy(reduction), next(batches())
        for of in (0, 12):
            found = batch.gradients(captured, loss, x, labels, masks, pieces=3, of=of)
            if differs(found, batch.gradients(net, loss, x, labels, masks, pieces=3, of=of)):
                yield "pieces of a recording"
            whole = batch.gradients(net, loss, x, labels, masks)
            scale = 0.5 if of and reduction == "mean" else 1.0
            for name, grad in {**whole.grads, "value": whole.value}.items():
                if not np.allclose({**found.grads, "value": found.value}[name], scale * grad, rtol=1e-4, atol=1e-6):
                    yield f"pieces {reduction} do not add up in {name}"
    with import_module("scratch.parallel").DataParallel(net, loss) as parts:
        for _ in range(2):
            first = parts.gradients(x, labels)
        kept = {name: grad.copy() for name, grad in first.grads.items()}
        parts.gradients(-x, labels)
        if any((grad != kept[name]).any() for name, grad in first.grads.items()):
            yield "gradients are overwritten though nobody said that they may"


def elsewhere(wing: ModuleType) -> Iterator[str]:
    """What a process answers, in a thread of this one."""
    worker, exchange = import_module("scratch.worker"), import_module("scratch.exchange")
    channel, batch = import_module("scratch.channel").Channel, import_module("scratch.batch")
    net, memory = network(wing), exchange.nameless(1 << 16)
    ours, theirs = socket.socketpair()
    asking = object.__new__(worker.Worker)
    asking._channel, asking._exchange = channel(ours), exchange.Exchange(net.parameters(), memory)
    serving = threading.Thread(target=worker.main, args=(theirs.detach(), memory), daemon=True)
    ours.settimeout(10)  # an answer that does not come
    serving.start()
    try:
        asking._send(net)
        asking.answer()
        loss = wing.CrossEntropy()
        # Each differs from the last in one thing, or in nothing but numbers.
        said = [(6, "mean", False)] * 2 + [(6, "sum", False), (3, "sum", False), (3, "sum", True), (6, "sum", True)]
        for turn, (samples, reduction, thinned) in enumerate([*said, (6, "mean", True), (6, "mean", True)], start=1):
            x, labels, masks = next(batches(samples))
            loss.reduction = reduction
            for parameter in net.parameters().values():
                parameter += np.float32(0.1)
            names, arrays = (tuple(masks), [*masks.values()]) if thinned else (None, [])
            asking.ask("gradients", net.parameters(), loss, [turn * x, labels, *arrays], names=names, of=12)
            expected = batch.gradients(net, loss, turn * x, labels, masks if thinned else None, of=12)
            if differs(asking.answer(), expected):
                yield f"{samples} samples, {reduction}, drops {names}, in another process"
        for samples in (6, 3, 3):
            x, *_ = next(batches(samples))
            asking.ask("predict", net.parameters(), None, [x])
            if asking.answer().tobytes() != net.predict(x).tobytes():
                yield "a prediction in another process"
        places, own = asking._exchange.grads, net.parameters()
        exchange.put(dict(reversed(own.items())), places, "turned")
        if any((places[name] != array).any() for name, array in own.items()):
            yield "gradients are put in their order"
        for bad in (own["in.bias"][:1], own["in.bias"].astype(np.float64), own["in.bias"][None]):
            with contextlib.suppress(ValueError):
                exchange.put({**own, "in.bias": bad}, places, "bad")
                yield "what does not fit is put"
    finally:
        ours.close()
        serving.join(10)
        os.close(memory)
