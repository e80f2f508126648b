"""Criterion 7: gradients against central differences of the candidate's own forward pass.

Secondary: it sees a wrong gradient even where both twins share a misunderstanding, but not a wrong forward pass.
"""

from collections.abc import Callable

import numpy as np

from torchref.oracle import criteria
from torchref.oracle.candidate import LayerCandidate, LossCandidate
from torchref.oracle.comparison import Array, Comparison, Report, compare


def central_difference(f: Callable[[], float], at: Array) -> Array:
    """∂f/∂at by central differences, entry by entry; `at` is moved in place and put back bit for bit.

    The step is ∛eps·max(1, |p|): there the truncation error h²f‴/6 and the rounding error eps·f/h balance.
    """
    gradient = np.empty_like(at)
    for index in np.ndindex(at.shape):
        kept = at[index]
        step = np.cbrt(np.finfo(np.float64).eps) * max(1.0, abs(kept))
        at[index] = kept + step
        above, up = f(), at[index]
        at[index] = kept - step
        below, down = f(), at[index]
        at[index] = kept
        gradient[index] = (above - below) / (up - down)
    return gradient


def check_gradients(case: str, candidate: LayerCandidate, loss: LossCandidate, x: Array, target: Array) -> Report:
    """Hold a float64 network's parameter and input gradients against finite differences of its loss.

    Raises
    ------
    TypeError
        If x is not float64: differences of float32 losses have no digits left.
    """
    if x.dtype != np.float64:
        raise TypeError(f"x has dtype {x.dtype}, expected float64: finite differences need its digits")
    x = np.array(x)
    output, cache = candidate.forward(x)
    _, loss_cache = loss.forward(output, target)
    dx, grads = candidate.backward(loss.backward(loss_cache), cache)

    def value() -> float:
        return float(loss.forward(candidate.forward(x)[0], target)[0])

    places = {"dx": (x, dx)} | {f"grad/{name}": (p, grads[name]) for name, p in candidate.parameters().items()}
    return Report(case, tuple(_judge(name, grad, central_difference(value, at)) for name, (at, grad) in places.items()))


def _judge(name: str, mine: Array, differences: Array) -> Comparison:
    # Below 1e-3 the rounding of the loss itself, about 1e-10 after division by the step, is no longer 1e-7 relative.
    largest = max(float(np.abs(differences).max(initial=0.0)), 1e-3)
    return compare(name, mine, differences, criteria.FINITE_DIFFERENCE * largest, "7 finite differences")
