"""What a checkpoint keeps beside parameters: the sums of the epoch begun and of the run."""

import dataclasses
import math


@dataclasses.dataclass
class Progress:
    """Sums that a checkpoint keeps, so that a resumed epoch reports what the unbroken one would.

    Parameters
    ----------
    loss, wrong, images:
        Of the epoch begun: Σ loss · images, images misclassified, images seen.
    seconds:
        Time in this backend's own gradients and updates, of the epoch begun.
    total_seconds, total_images:
        The same since the run began.
    best_error:
        Least validation error of all epochs, fraction wrong.
    last_loss:
        Mean training loss of the last complete epoch.
    """

    loss: float = 0.0
    wrong: float = 0.0
    images: float = 0.0
    seconds: float = 0.0
    total_seconds: float = 0.0
    total_images: float = 0.0
    best_error: float = math.inf
    last_loss: float = math.nan
