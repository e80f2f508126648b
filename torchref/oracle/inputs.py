"""Inputs that hand-written code trips over: odd memory layouts, special values, NaN and infinity."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from torchref.oracle.comparison import Array


def _read_only(x: Array) -> Array:
    x.flags.writeable = False
    return x


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran order": np.asfortranarray,
    "negative strides": lambda x: np.ascontiguousarray(np.flip(x))[(slice(None, None, -1),) * x.ndim],
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "read-only": lambda x: _read_only(x.copy()),
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
}
"""Odd memory, same values (but for the broadcast view, whose rows are all the first)."""

SPECIAL = (0.0, -0.0, 1e-3, -1e-3, 20.0, -20.0, 1e4, -1e4, 1e-40, -1e-40, 1e-310)
"""Zeros of both signs, what saturates, and subnormal numbers of both precisions."""
NON_FINITE = (np.nan, np.inf, -np.inf, 1.0, -1.0)
"""What IEEE arithmetic must hand on."""


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Torch's own convolutions in place of oneDNN's, which leave out products with the padding's zeros.

    Where one of those would be 0·∞ or 0·NaN, IEEE arithmetic gives NaN, as torch does in float64.
    """
    settings: Any = torch.backends.mkldnn  # its own `flags()` sets TF32 too, and warns where there is no Intel GPU
    before, settings.enabled = settings.enabled, False
    try:
        yield
    finally:
        settings.enabled = before
