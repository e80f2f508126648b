"""What "identical" means: the criteria by number, with their constants.

A constant is never raised because a test was red; docs/equivalence.md has the measurements they stand on and the
command that repeats them. eps is the machine epsilon of the dtype, S the same operation run on absolute values, n the
number of terms summed into one output.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from torchref.oracle.comparison import Comparison, compare_arrays, to_array

ROUNDINGS = 8
"""Criterion 2: roundings allowed beside those of the sum, in eps·S."""
ELEMENTWISE = 4
"""Criterion 3: roundings allowed in an elementwise function, in eps·C."""
NETWORK = 32
"""Criterion 4: roundings allowed in a whole network, in eps·max S."""
OWN_SIZE = 256
"""Beside criterion 4, for networks in which little cancels: roundings allowed in eps·max Σ|terms|."""
FINITE_DIFFERENCE = 1e-7
"""Criterion 7: relative to the largest entry of the gradient."""
DRIFT = 1e-9
"""Criterion 8: relative distance of parameters allowed after DRIFT_STEPS steps in float64."""
DRIFT_STEPS = 1_000

MEASURED = 128
"""Criterion 9: roundings allowed in any torch module, in eps·D, D measured."""

OTHER_ZERO = "zero has the other sign"
"""How the fault begins of what is equal but for −0.0."""


def unit(oracle: Any) -> float:
    """Machine epsilon of the oracle's dtype."""
    return float(np.finfo(to_array(oracle).dtype).eps)


def smallest(oracle: Any) -> float:
    """The smallest normal number of the oracle's dtype: below it a correct program may round to subnormals or to 0."""
    return float(np.finfo(to_array(oracle).dtype).tiny)


def exact(tensor: str, mine: Any, oracle: Any) -> Comparison:
    """Criterion 1: linear operations on small integers, equal bit for bit (but for the sign of zero)."""
    return compare_arrays(tensor, mine, oracle, 0.0, "1 integers")


def selection(tensor: str, mine: Any, oracle: Any) -> Comparison:
    """Criterion 1 for what is moved or chosen and not computed: equal bit for bit, the sign of zero too."""
    verdict = compare_arrays(tensor, mine, oracle, 0.0, "1 selection")
    if verdict.passed:
        theirs = to_array(oracle)
        differ = np.argwhere((np.signbit(mine) != np.signbit(theirs)) & ~np.isnan(theirs))
        if len(differ):
            return replace(verdict, ratio=np.inf, fault=f"{OTHER_ZERO} at {differ[0].tolist()}")
    return verdict


def linear_operation(tensor: str, mine: Any, oracle: Any, magnitude: Any, terms: Any) -> Comparison:
    """Criterion 2: |a − t| ≤ (8 + √n)·eps·S, elementwise."""
    s, n = to_array(magnitude).astype(np.float64), to_array(terms).astype(np.float64)
    bound = (ROUNDINGS + np.sqrt(n)) * unit(oracle) * s + smallest(oracle)
    return compare_arrays(tensor, mine, oracle, bound, "2 linear operation")


def elementwise(tensor: str, mine: Any, truth: Any, condition: Any) -> Comparison:
    """Criterion 3: |f − truth| ≤ 4·eps·C, elementwise, the truth being known to more digits."""
    bound = ELEMENTWISE * unit(truth) * to_array(condition).astype(np.float64) + smallest(truth)
    return compare_arrays(tensor, mine, truth, bound, "3 elementwise")


def network(tensor: str, mine: Any, oracle: Any, magnitude: Any) -> Comparison:
    """Criterion 4: max|a − t| ≤ 32·eps·max S over the whole tensor."""
    s = to_array(magnitude).astype(np.float64)
    largest = float(s.max(initial=0.0))
    return compare_arrays(tensor, mine, oracle, NETWORK * unit(oracle) * largest + smallest(oracle), "4 network")


def own_size(tensor: str, mine: Any, oracle: Any, size: Any) -> Comparison:
    """Beside criterion 4, where S has grown past use: max|a − t| ≤ 256·eps·max Σ|terms| over the whole tensor.

    `size` is |t|, or for a sum the sum of its terms' absolute values, from the oracle's own run. In float32 the S of
    LeNet-5's gradients is up to 10⁹ times their size. A network in which layer upon layer cancels, as one of single
    units does, would give false alarms here; LeNet-5 was measured.
    """
    largest = float(to_array(size).astype(np.float64).max(initial=0.0))
    return compare_arrays(tensor, mine, oracle, OWN_SIZE * unit(oracle) * largest + smallest(oracle), "4 own size")


def beside(tensor: str, mine: Any, oracle: Any) -> Comparison:
    """Criterion 5 for what has NaN and ∞ in it: the same pattern, and next to it ordinary numbers within 64·eps."""
    size = np.abs(np.nan_to_num(to_array(oracle).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0))
    return compare_arrays(tensor, mine, oracle, 64 * unit(oracle) * (1 + size), "5 form")


def absent_links(tensor: str, gradient: Any, absent: Any) -> Comparison:
    """Criterion 6: the gradient of every absent link is exactly 0."""
    values = np.asarray(gradient)
    absent = np.broadcast_to(absent, values.shape)
    return compare_arrays(tensor, np.where(absent, values, 0), np.zeros_like(values), 0.0, "6 absent links")


def relative_distance(mine: Any, oracle: Any) -> float:
    """max|a − t| / max|t|, in float64; 0 for two tensors of zeros."""
    a, t = to_array(mine).astype(np.float64), to_array(oracle).astype(np.float64)
    error, largest = float(np.abs(a - t).max(initial=0.0)), float(np.abs(t).max(initial=0.0))
    if error == 0:
        return 0.0
    return error / largest if largest > 0 else float("inf")


def drift(tensor: str, mine: Any, oracle: Any) -> Comparison:
    """Criterion 8: parameters after the same steps from the same start, max|a − t| ≤ 1e-9·max|t| (float64)."""
    largest = float(np.abs(to_array(oracle)).max(initial=0.0))
    return compare_arrays(tensor, mine, oracle, DRIFT * largest, "8 training")
