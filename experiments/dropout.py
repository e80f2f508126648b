"""Which hidden units an update drops: one draw, handed to every backend, so that lockstep holds with dropout on."""

import zlib
from typing import Final

import numpy as np

from experiments.backend import Masks
from experiments.config import MlpConfig, TrainConfig
from scratch.regularization import dropout_mask

#: Keeps these draws apart from those of the order of the images, which has the seed and the epoch.
_WORD: Final = zlib.crc32(b"dropout")


def draw_masks(config: TrainConfig, update: int, samples: int) -> Masks | None:
    """Draw the units that stay in one update, from `default_rng([seed, word, update])`.

    They depend on nothing but the arguments, so a run resumed at any update drops what the unbroken run would have
    dropped, and each backend alone what both do in lockstep.

    Parameters
    ----------
    config:
        Settings of the run; without dropout nothing is drawn.
    update:
        Counted from 1.
    samples:
        Images in the batch, N.

    Returns
    -------
    mapping or None
        Boolean masks (N, units) by the names of `MLP`'s layers d1, d2, …; None if nothing is dropped.
    """
    if not isinstance(config, MlpConfig) or not config.dropout:
        return None
    rng = np.random.default_rng([config.seed, _WORD, update])
    sizes = enumerate(config.hidden, start=1)
    return {f"d{layer}": dropout_mask((samples, units), config.dropout, rng) for layer, units in sizes}
