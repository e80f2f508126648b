"""Criterion 7: gradients against central differences of the candidate's own forward pass.

Secondary: it sees a wrong gradient even where both twins share a misunderstanding, but not a wrong forward pass.
"""

from collections.abc import Callable

import numpy as np

from torchref.oracle import criteria
from torchref.oracle.candidate import LayerCandidate, LossCandidate
from torchref.oracle.comparison import Array, Comparison, Report, compare_arrays


def central_difference(f: Callable[[], float], at: Array, entries: Array | None = None) -> Array:
    """∂f/∂at by central differences, entry by entry; `at` is moved in place and put back bit for bit.

    `entries` are the flat indices looked at, None for all; the others stay NaN.

    The step is ∛eps·max(1, |p|): there the truncation error h²f‴/6 and the rounding error eps·f/h balance.
    """
    return _differences(f, at, entries)[0]


def _differences(f: Callable[[], float], at: Array, entries: Array | None) -> tuple[Array, Array]:
    """Central differences, and how far apart the one-sided ones are: about h·f″, or the kink within the step."""
    gradient, gap = np.full_like(at, np.nan), np.full_like(at, np.nan)
    middle = f()
    for flat in range(at.size) if entries is None else entries:
        index = np.unravel_index(flat, at.shape)
        kept = at[index]
        step = np.cbrt(np.finfo(np.float64).eps) * max(1.0, abs(kept))
        at[index] = kept + step
        above, up = f(), at[index]
        at[index] = kept - step
        below, down = f(), at[index]
        at[index] = kept
        gradient[index] = (above - below) / (up - down)
        gap[index] = abs((above - middle) / (up - kept) - (middle - below) / (kept - down))
    return gradient, gap


def check_gradients(
    case: str,
    candidate: LayerCandidate,
    loss: LossCandidate,
    x: Array,
    target: Array,
    *,
    entries: int | None = None,
    rng: np.random.Generator | None = None,
    kinks: bool = False,
) -> Report:
    """Hold a float64 network's parameter and input gradients against finite differences of its loss.

    Parameters
    ----------
    case:
        What the report is called.
    candidate, loss:
        The network under test and its loss.
    x, target:
        Input and target.
    entries, rng:
        How many entries of each tensor are looked at, the largest of its gradient and others drawn by `rng`; None for
        all: a network with 60,000 parameters would take minutes.
    kinks:
        Whether units may pass a kink within the step, as among the thousands of a convolutional network with ReLU or
        maxima some do. The derivative is then one of the one-sided differences, of which the central one is the mean,
        and may be off by as much as they are apart. Without a kink that is h·f″, some 6e-6: a wrong gradient is seen.

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
    verdicts = []
    rng = np.random.default_rng(rng)
    for name, (at, grad) in places.items():
        some = None
        if entries is not None and entries < at.size:
            # The largest is what the error is relative to.
            some = np.append(rng.choice(at.size, entries - 1, replace=False), np.argmax(np.abs(grad)) % at.size)
        differences, gap = _differences(value, at, some)
        verdicts.append(_judge(name, grad, differences, gap if kinks else np.zeros_like(gap)))
    return Report(case, tuple(verdicts))


def _judge(name: str, mine: Array, differences: Array, gap: Array) -> Comparison:
    looked_at = ~np.isnan(differences)
    # Below 1e-3 the rounding of the loss itself, about 1e-10 after division by the step, is no longer 1e-7 relative.
    largest = max(float(np.abs(differences[looked_at]).max(initial=0.0)), 1e-3)
    if mine.shape == differences.shape:
        mine, differences = np.where(looked_at, mine, 0), np.where(looked_at, differences, 0)
    allowed = criteria.FINITE_DIFFERENCE * largest + np.where(looked_at, gap, 0)
    return compare_arrays(name, mine, differences, allowed, "7 finite differences")
