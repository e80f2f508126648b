"""One line for each exercise: `pytest` says which parts are right, which are wrong, and which are not there yet.

`unsupported` is what this course does not ask for: windows that are not square, strides and borders that differ between
rows and columns, batches of no samples. What the signatures have no arguments for is not asked for anyway.
"""

import numpy as np
from torch import nn

from torchref import oracle

SQUARE = "rectangular"

test_linear = oracle.conforms("homework:linear_forward,linear_backward", like="linear", weight="IO")
test_sigmoid = oracle.conforms("homework:sigmoid_forward,sigmoid_backward", like="sigmoid")
test_tanh = oracle.conforms("homework:tanh_forward,tanh_backward", like="tanh")
test_relu = oracle.conforms("homework:relu_forward,relu_backward", like="relu")
test_loss = oracle.conforms("homework:loss_forward,loss_backward", like="cross_entropy", unsupported="empty")
test_conv = oracle.conforms("homework:conv_forward,conv_backward", like="conv2d", unsupported="pairs")
test_maxpool = oracle.conforms("homework:maxpool_forward,maxpool_backward", like="maxpool2d", unsupported=SQUARE)
test_subsample = oracle.conforms(
    "homework:subsample_forward,subsample_backward", like="subsample2d", unsupported=SQUARE
)
test_sgd = oracle.conforms("homework:SGD", like="sgd")


def test_network(oracle_compare):
    """All of it at work: the loss and the gradients of two layers, against the same network in torch."""
    from homework import TwoLayerNet

    rng = np.random.default_rng(0)
    network = TwoLayerNet(5, 7, 3, rng)
    same = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    where = {"w1": ("0.weight", "IO"), "b1": "0.bias", "w2": ("2.weight", "IO"), "b2": "2.bias"}
    oracle_compare(network, same, rng.normal(size=(4, 5)), rng.integers(0, 3, 4), map=where)
