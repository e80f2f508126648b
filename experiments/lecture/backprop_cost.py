"""What the gradient costs: products, counted in the slide's loops and by formula; seconds, in both wings.

The two ways are back-propagation, and naive differentiation: every parameter moved a little, with one forward pass for
each and one for the place where it stood.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, Self

import numpy as np

from experiments.backend import Array, Backend
from experiments.lecture.lab import Make, Wing, alternately, initial
from scratch import literal

_STEP: Final = 1e-7


class Products(NamedTuple):
    """Multiplications for one sample: of the forward pass, of back-propagation with its own forward pass, of naive."""

    forward: int
    backprop: int
    naive: int


class Seconds(NamedTuple):
    """Median seconds of one thread in one wing, for a batch; `naive` is what all of its passes take at the median pass.

    Where naive differentiation was run to its end: what that took, and how far its gradient is from back-propagation's.
    Elsewhere NaN.
    """

    forward: float
    backprop: float
    naive: float
    whole: float = float("nan")
    apart: float = float("nan")


def num_weights(sizes: Sequence[int]) -> int:
    """Σ n^l n^(l−1)."""
    return sum(below * here for below, here in pairwise(sizes))


def num_parameters(sizes: Sequence[int]) -> int:
    """Σ (n^(l−1) + 1) n^l."""
    return num_weights(sizes) + sum(sizes[1:])


def formula(sizes: Sequence[int]) -> Products:
    """Products of a network of these sizes.

    forward:   one per weight, W in all
    backward:  w_ij δ_j, one per weight above the first layer; f′(z_i) · …, one per unit; a_i δ_k, one per weight
    naive:     one forward pass per parameter, and one more
    """
    forward = num_weights(sizes)
    backward = forward - sizes[0] * sizes[1] + sum(sizes[1:]) + forward
    return Products(forward, forward + backward, (num_parameters(sizes) + 1) * forward)


def multiply_adds(wing: Wing, sizes: Sequence[int]) -> int:
    """The forward pass by a wing's own summary of the network."""
    net = wing.build(_make(sizes))
    return int(wing.library.summarize(net, sizes[:1]).multiply_adds)


class Tally:
    """How many products there have been."""

    products = 0


class Counted(float):
    """A number that counts the products in which it takes part, and passes the tally on to what comes of it."""

    tally: Tally

    def __new__(cls, value: float, tally: Tally) -> Self:
        """A number with its tally."""
        number = super().__new__(cls, value)
        number.tally = tally
        return number

    def __mul__(self, other: float) -> "Counted":
        """A product, counted."""
        self.tally.products += 1
        return Counted(float(self) * float(other), self.tally)

    def __add__(self, other: float) -> "Counted":
        """A sum, which is free."""
        return Counted(float(self) + float(other), self.tally)

    __rmul__, __radd__ = __mul__, __add__


def counted(sizes: Sequence[int], function: literal.Function) -> Products:
    """The same, counted one by one in the slide's loops; what f and f′ cost inside is left out."""
    tally = Tally()
    rng = np.random.default_rng(0)
    f = literal.Function(lambda v: function.f(float(v)), lambda v: function.derivative(float(v)))
    layers = [literal.Layer(*_counted(rng.normal(size=(here, below)), tally), f) for below, here in pairwise(sizes)]
    x, t = rng.normal(size=sizes[0]).tolist(), rng.normal(size=sizes[-1]).tolist()

    signals = literal.forward(layers, x)
    forward = tally.products
    _, dy = literal.squared_error(signals[-1].a, t)
    literal.backward(layers, x, signals, [Counted(dy_k, tally) for dy_k in dy])
    backprop, tally.products = tally.products, 0
    for _ in range(num_parameters(sizes) + 1):
        literal.forward(layers, x)
    return Products(forward, backprop, tally.products)


def _counted(weight: Array, tally: Tally) -> tuple[list[list[Counted]], list[Counted]]:
    rows = [[Counted(w, tally) for w in row] for row in weight.tolist()]
    return rows, [Counted(0.0, tally) for _ in rows]


def naive_gradients(learner: Backend, x: Array, t: Array, step: float, chosen: Iterable[tuple[str, int]]) -> Array:
    """[J(p + h) − J(p)] / h for each chosen parameter, by its name and its place in the flattened array."""
    params = learner.parameters()  # the live ones, in both wings
    here = learner.loss(learner.predict(x), t)
    slopes = []
    for name, place in chosen:
        flat = params[name].reshape(-1)
        stood = flat[place]
        flat[place] = stood + step
        slopes.append((learner.loss(learner.predict(x), t) - here) / step)
        flat[place] = stood
    return np.array(slopes)


def every_parameter(params: Mapping[str, Array]) -> list[tuple[str, int]]:
    """Name and place of each."""
    return [(name, place) for name, value in params.items() for place in range(value.size)]


def timed(wing: Wing, sizes: Sequence[int], batch: int, rounds: int, seed: int, *, whole: bool) -> Seconds:
    """Time a forward pass, back-propagation and naive passes alternately, in one wing, on a batch of normal numbers.

    Parameters
    ----------
    wing, sizes, batch, seed:
        Of the network, with scaled tanh in all layers and ½‖y − t‖², and of its data.
    rounds:
        Of each, of which the median is taken.
    whole:
        Whether naive differentiation is run to its end too.
    """
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=(batch, sizes[0])), rng.normal(size=(batch, sizes[-1]))
    start = initial(_make(sizes), seed)
    learner = wing.learner(_make(sizes), lambda w: w.SquaredError(), start, lr=1.0)
    all_of_them = every_parameter(learner.parameters())
    some = [all_of_them[i] for i in rng.integers(len(all_of_them), size=3)]
    forward, backprop, passes = alternately(
        [
            lambda: learner.loss(learner.predict(x), t),
            lambda: learner.gradients(x, t),
            lambda: naive_gradients(learner, x, t, _STEP, some),
        ],
        rounds,
    )
    naive = passes / (len(some) + 1) * (len(all_of_them) + 1)
    if not whole:
        return Seconds(forward, backprop, naive)
    begun = time.thread_time()
    slopes = naive_gradients(learner, x, t, _STEP, all_of_them)
    took = time.thread_time() - begun
    exact = np.concatenate([grad.ravel() for grad in learner.gradients(x, t).grads.values()])
    return Seconds(forward, backprop, naive, took, float(np.abs(slopes - exact).max()))


def _make(sizes: Sequence[int]) -> Make:
    """What builds the network that is looked at: scaled tanh in all layers."""
    return lambda w, d, rng: w.MLP(sizes, [w.Tanh.lecun] * (len(sizes) - 1), dtype=d, rng=rng)
