"""Where a computation stopped being finite."""

import math

import numpy as np

from experiments.backend import Array, Backend, Masks, Step


def find_nonfinite(backend: Backend, images: Array, step: Step, masks: Masks | None = None) -> str | None:
    """Name the first tensor, in the order of computation, that has a NaN or an infinity; None if none has.

    The order: parameters, inputs, the outputs of the layers, the loss, the gradients from the last layer to the first.
    `masks` are those that the step was computed with.
    """
    # One sum of squares tells of a whole tensor; where it has only overflowed, the search finds nothing.
    if math.isfinite(step.loss) and all(math.isfinite(np.vdot(grad, grad)) for grad in step.grads.values()):
        return None
    tensors = {f"parameter {name}": value for name, value in backend.parameters().items()}
    tensors["input"] = images
    tensors |= {f"output of layer {name}": value for name, value in backend.trace(images, masks).items()}
    tensors["loss"] = np.array(step.loss)
    tensors |= {f"gradient of {name}": value for name, value in reversed(step.grads.items())}
    for name, value in tensors.items():
        bad = int(np.count_nonzero(~np.isfinite(value)))
        if bad:
            return f"{name} ({bad:,} of {value.size:,} values)"
    return None
