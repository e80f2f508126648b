"""Bad input, for both wings: what is called, what is raised, and what the message has to say."""

from tests.refusals import convolution, lenet5, perceptron, pooling, preprocessing
from tests.refusals.refusal import Refusal, Wing

REFUSALS = (
    *perceptron.REFUSALS,
    *convolution.REFUSALS,
    *pooling.REFUSALS,
    *lenet5.REFUSALS,
    *preprocessing.REFUSALS,
)

__all__ = ["REFUSALS", "Refusal", "Wing"]
