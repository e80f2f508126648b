"""One line for each exercise: `pytest` says which parts are right, which are wrong, and which are not there yet.

`unsupported` is what this course does not ask for.
"""

import numpy as np
from torch import nn

from torchref import oracle

SQUARE = "nonfinite rectangular"

test_linear = oracle.conforms(
    "homework:linear_forward,linear_backward", like="linear", weight="IO", unsupported="nonfinite bias-free"
)
test_sigmoid = oracle.conforms(
    "homework:sigmoid_forward,sigmoid_backward", like="sigmoid", unsupported="nonfinite settings"
)
test_tanh = oracle.conforms("homework:tanh_forward,tanh_backward", like="tanh", unsupported="nonfinite settings")
test_relu = oracle.conforms("homework:relu_forward,relu_backward", like="relu", unsupported="nonfinite")
test_softmax_loss = oracle.conforms(
    "homework:softmax_loss_forward,softmax_loss_backward", like="cross_entropy", unsupported="nonfinite empty sum"
)
test_conv = oracle.conforms(
    "homework:conv_forward,conv_backward", like="conv2d", unsupported="nonfinite pairs bias-free connections"
)
test_maxpool = oracle.conforms("homework:maxpool_forward,maxpool_backward", like="maxpool2d", unsupported=SQUARE)
test_subsample = oracle.conforms(
    "homework:subsample_forward,subsample_backward", like="subsample2d", unsupported=SQUARE
)
test_sgd = oracle.conforms("homework:SGD", like="sgd", unsupported="decay names state")


def test_network(oracle_compare):
    """All of it at work: the loss and the gradients of two layers, against the same network in torch."""
    from homework import TwoLayerNet

    rng = np.random.default_rng(0)
    network = TwoLayerNet(5, 7, 3, rng)
    same = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    where = {"w1": ("0.weight", "IO"), "b1": "0.bias", "w2": ("2.weight", "IO"), "b2": "2.bias"}
    oracle_compare(network, same, rng.normal(size=(4, 5)), rng.integers(0, 3, 4), map=where)
