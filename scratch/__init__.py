"""The lecture's networks by hand, in NumPy, with every gradient derived on paper.

NaN and infinity flow through as IEEE says, and as they do in torch. One exception: torch's float32 convolutions on CPUs
skip the taps that fall on padding, where 0·∞ makes NaN here. Where an operation makes one of finite numbers, NumPy
warns (RuntimeWarning) and torch does not; `numpy.errstate` silences it.

Read a file here beside the file of the same name in `torchref`: same classes, arguments, parameter names and shapes.
"""

from scratch.activation import Identity, Logistic, ReLU, Softmax, Tanh, Threshold
from scratch.convolution import Conv1d, Conv2d
from scratch.flatten import Flatten
from scratch.linear import Linear
from scratch.loss import CrossEntropy, SquaredError
from scratch.models import MLP, LeNet5
from scratch.module import Module, Sequential
from scratch.optim import SGD
from scratch.padding import Canvas2d
from scratch.pooling import AvgPool2d, MaxPool2d, Subsample2d
from scratch.preprocessing import Standardizer
from scratch.regularization import Dropout, L2Penalty
from scratch.summary import summarize as summarize

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
