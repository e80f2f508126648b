"""What a network does without the rest, for speed: gradients without the input's, predictions without a cache."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from torchref.oracle.comparison import Comparison


def check_gradients_alone(candidate: Any, x: np.ndarray, dy: np.ndarray, *drops: Any) -> Iterator[Comparison]:
    """`gradients` returns what `backward` returns second: the same names in the same order, and the same bits."""
    given, (_, cache) = dy.copy(), candidate.forward(x, *drops)
    grads = candidate.gradients(dy, cache)
    _, expected = candidate.backward(given, cache)
    candidate.gradients(2 * given, cache)  # leaves those before it alone
    yield same("names of the gradients alone", list(grads), list(expected))
    yield same("dy after the gradients alone", dy, given)
    for name in expected.keys() & grads.keys():
        yield same(f"grad {name} alone", grads[name], expected[name])


def check_prediction(net: Any, x: np.ndarray) -> Iterator[Comparison]:
    """`predict` returns what `forward` returns first, bit for bit, and does no more to x."""
    given = x.copy()
    y = net.predict(x)
    net.predict(2 * given)  # leaves the prediction before it alone
    yield same("predicted output", y, net.forward(given)[0])
    yield same("x after the prediction", x, given)


def same(name: str, mine: Any, expected: Any) -> Comparison:
    """Whether two arrays are the same to the last bit, in whatever order in memory; or two lists, or shapes."""
    equal = type(mine) is type(expected)
    if equal and isinstance(mine, np.ndarray):
        equal = (mine.dtype, mine.shape, mine.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())
    elif equal:
        equal = mine == expected
    return Comparison(name, "5 form", 0.0 if equal else np.inf)
