"""The lecture's networks by hand, in NumPy, with every gradient derived on paper.

NaN and infinity flow through as IEEE says, and as they do in torch. Where an operation makes one of finite numbers,
NumPy warns (RuntimeWarning) and torch does not; `numpy.errstate` silences it.

Read a file here beside the file of the same name in `torchref`: same classes, arguments, parameter names and shapes.
"""

from scratch.activation import Identity, Logistic, ReLU, Softmax, Tanh, Threshold
from scratch.linear import Linear
from scratch.loss import CrossEntropy, SquaredError
from scratch.models import MLP
from scratch.module import Module, Sequential
from scratch.optim import SGD
from scratch.regularization import L2Penalty

__all__ = [
    "MLP",
    "SGD",
    "CrossEntropy",
    "Identity",
    "L2Penalty",
    "Linear",
    "Logistic",
    "Module",
    "ReLU",
    "Sequential",
    "Softmax",
    "SquaredError",
    "Tanh",
    "Threshold",
]
