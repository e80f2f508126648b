"""The lecture's networks in `torch.nn`, with autograd: the twin that `scratch` is held against, and the oracle.

Read a file here beside the file of the same name in `scratch`: same classes, arguments, parameter names and shapes.
"""

from torchref.activation import Identity, Logistic, ReLU, Softmax, Tanh, Threshold
from torchref.linear import Linear
from torchref.loss import CrossEntropy, SquaredError
from torchref.models import MLP
from torchref.module import Module, Sequential
from torchref.optim import SGD
from torchref.regularization import L2Penalty

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
