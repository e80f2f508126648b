"""The lecture's networks in `torch.nn`, with autograd: the twin that `scratch` is held against, and the oracle.

Read a file here beside the file of the same name in `scratch`: same classes, arguments, parameter names and shapes.
"""

from torchref.activation import Identity, Logistic, ReLU, Softmax, Tanh, Threshold
from torchref.convolution import Conv1d, Conv2d
from torchref.flatten import Flatten
from torchref.linear import Linear
from torchref.loss import CrossEntropy, SquaredError
from torchref.models import MLP, LeNet5
from torchref.module import Module, Sequential
from torchref.optim import SGD
from torchref.padding import Canvas2d
from torchref.pooling import AvgPool2d, MaxPool2d, Subsample2d
from torchref.preprocessing import Standardizer
from torchref.regularization import Dropout, L2Penalty
from torchref.summary import summarize as summarize

__all__ = [
    "MLP",
    "SGD",
    "AvgPool2d",
    "Canvas2d",
    "Conv1d",
    "Conv2d",
    "CrossEntropy",
    "Dropout",
    "Flatten",
    "Identity",
    "L2Penalty",
    "LeNet5",
    "Linear",
    "Logistic",
    "MaxPool2d",
    "Module",
    "ReLU",
    "Sequential",
    "Softmax",
    "SquaredError",
    "Standardizer",
    "Subsample2d",
    "Tanh",
    "Threshold",
]
