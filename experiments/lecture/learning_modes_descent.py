"""How a network goes downhill when each update sees a batch of the samples: its losses, its gradients, its memory."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import torch

from experiments.backend import Array, Backend, Labels
from experiments.batches import batches, epoch_order
from experiments.lecture.lab import Make, Wing


class Descent(NamedTuple):
    """The loss of all samples before the first update and after each, with this thread's time and the epochs so far."""

    losses: Array
    seconds: Array
    epochs: Array
    reached: bool

    @property
    def updates(self) -> int:
        """How many there were."""
        return len(self.losses) - 1

    @property
    def rises(self) -> float:
        """Share of the updates after which the loss was greater than before."""
        return float(np.mean(np.diff(self.losses) > 0))


class Measured(NamedTuple):
    """What one wing did with one seed: descents by mode, spread of the gradient and bytes by batch size."""

    once: dict[str, Descent]
    copied: dict[str, Descent]
    summed: dict[str, Descent]
    """Batch learning of the copies with J a sum: α as it was without copies, "kept", and a tenth of it, "divided"."""
    spread: dict[int, float]
    predicted: dict[int, float]
    held: dict[int, int]


Found = Sequence[Mapping[str, Measured]]
"""By seed and wing."""


def descend(
    learner: Backend,
    x: Array,
    labels: Labels,
    *,
    batch_size: int,
    seed: int,
    threshold: float,
    patience: float = np.inf,
    copies: int = 1,
    summed: bool = False,
) -> Descent:
    """Learn until the mean loss of all samples is at the threshold, or the patience at an end.

    Parameters
    ----------
    learner:
        From `Wing.learner`.
    x, labels:
        The training set, (N, n⁰) and (N,).
    batch_size:
        Samples per update: as many as there are with their copies, a few, or 1.
    seed:
        Decides the order of the samples, which is another in each epoch.
    threshold:
        Where learning ends, in the units of the loss.
    patience:
        Where it ends in any case, in epochs.
    copies:
        How many times each sample is there; an epoch is all of them.
    summed:
        Whether the learner's J is the sum over the samples.
    """
    scale = 1 / len(x) if summed else 1.0
    losses, seconds, epochs = [scale * learner.loss(learner.predict(x), labels)], [0.0], [0.0]
    for place in _order(seed, copies * len(x), batch_size):
        chosen = place % len(x)
        begun = time.thread_time()  # no machine that is busy with other things counts
        learner.update(learner.gradients(x[chosen], labels[chosen]).grads)
        seconds.append(seconds[-1] + time.thread_time() - begun)
        losses.append(scale * learner.loss(learner.predict(x), labels))
        epochs.append(epochs[-1] + len(chosen) / (copies * len(x)))
        if losses[-1] <= threshold or epochs[-1] >= patience:
            break
    return Descent(np.array(losses), np.array(seconds), np.array(epochs), losses[-1] <= threshold)


def _order(seed: int, n: int, batch_size: int) -> Iterator[Any]:
    """The samples of each update, without end; all of them at once need no order."""
    for epoch in count(1):
        yield from batches(epoch_order(seed, epoch, n) if batch_size < n else np.arange(n), batch_size)


def gradient_spread(
    learner: Backend, x: Array, labels: Labels, *, sizes: Sequence[int], draws: int, seed: int
) -> tuple[dict[int, float], dict[int, float]]:
    """Root mean square of ‖g_B − g‖/‖g‖ by batch size B: of drawn batches, and as one-sample gradients predict.

    Of N samples B are drawn, none twice. Then the mean of ‖g_B − g‖² is σ²(N − B)/(B(N − 1)), σ² that of ‖g_i − g‖².
    """

    def gradient(chosen: Any) -> Array:
        return np.concatenate([grad.ravel() for grad in learner.gradients(x[chosen], labels[chosen]).grads.values()])

    def square(chosen: Any) -> float:
        return float(np.sum((gradient(chosen) - whole) ** 2))

    n, rng = len(x), np.random.default_rng([seed, 1])
    whole = gradient(np.arange(n))
    length = float(np.linalg.norm(whole))
    sigma2 = np.mean([square([i]) for i in range(n)])
    drawn = {size: np.mean([square(rng.permutation(n)[:size]) for _ in range(draws)]) for size in sizes}
    predicted = {size: sigma2 * (n - size) / (size * (n - 1)) for size in sizes}
    return _lengths(drawn, length), _lengths(predicted, length)


def _lengths(squares: Mapping[int, Any], unit: float) -> dict[int, float]:
    return {size: float(np.sqrt(value)) / unit for size, value in squares.items()}


def held_bytes(wing: Wing, make: Make, x: Array, labels: Labels) -> int:
    """Bytes that the forward pass, through the cross-entropy, leaves for the backward pass; parameters do not count."""
    net, loss = wing.build(make), wing.library.CrossEntropy()
    held: dict[int, int] = {}
    if wing.name == "scratch":
        output, cache = net.forward(x)
        _, loss_cache = loss.forward(output, labels)
        held = {id(array): array.nbytes for array in _arrays((cache, loss_cache))}
        own = {id(parameter) for parameter in net.parameters().values()}
    else:

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            held[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            value = loss(
                net(wing.give(x)), wing.give(labels)
            )  # named: what is saved lives, and no address is used twice
        del value
        own = {parameter.data_ptr() for parameter in net.parameters()}
    return sum(size for key, size in held.items() if key not in own)


def _arrays(cache: Any) -> Iterator[Any]:
    """The arrays in a cache, however deep."""
    if isinstance(cache, np.ndarray):
        yield cache
    elif isinstance(cache, Mapping | tuple):
        for part in cache.values() if isinstance(cache, Mapping) else cache:
            yield from _arrays(part)


def pooled(found: Found) -> dict[str, dict[int, tuple[float, float]]]:
    """Spread of the gradient, measured and predicted, as root mean square over the seeds; by wing and batch size."""
    return {
        wing: {
            size: (_rms([one[wing].spread[size] for one in found]), _rms([one[wing].predicted[size] for one in found]))
            for size in found[0][wing].spread
        }
        for wing in found[0]
    }


def _rms(values: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
