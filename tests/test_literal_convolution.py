"""The third witness for 卷积网络: one filter sliding = a fully connected layer with shared, local weights = both wings.

All numbers are small whole ones, so every sum is exact and "equal" means equal to the last bit, in any order.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.nn import functional

import scratch
import torchref
from scratch import literal
from scratch import literal_convolution as loops

Pair = tuple[int, int]


class Geometry(NamedTuple):
    """One convolution: channels in and out, size of the maps and of the filter, stride, padding, links or None."""

    channels: Pair
    size: tuple[int, ...]
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    table: list[list[bool]] | None = None


class Witness(NamedTuple):
    """What one of them says of a convolution."""

    y: Any
    dx: Any
    dweight: Any
    dbias: Any


TABLE = [[True, False, True], [False, True, False], [True, True, True], [False, False, True]]

CASES = {
    "the slides' row": Geometry((1, 1), (7,), (3,), (1,), (0,)),
    "row, several maps": Geometry((3, 2), (9,), (4,), (1,), (0,)),
    "row, stride 2, pad 1": Geometry((2, 3), (8,), (3,), (2,), (1,)),
    "row, stride over the filter": Geometry((2, 3), (11,), (2,), (3,), (0,)),
    "row, table": Geometry((3, 4), (10,), (3,), (2,), (2,), TABLE),
    "row, one tap": Geometry((2, 3), (5,), (1,), (1,), (0,)),
    "7x7, 3x3": Geometry((1, 1), (7, 7), (3, 3), (1, 1), (0, 0)),
    "7x7, 3x3, stride 2": Geometry((1, 1), (7, 7), (3, 3), (2, 2), (0, 0)),
    "7x7, 3x3, stride 3, a rest": Geometry((1, 1), (7, 7), (3, 3), (3, 3), (0, 0)),
    "7x7, 3x3, pad 1": Geometry((1, 1), (7, 7), (3, 3), (1, 1), (1, 1)),
    "not square at all": Geometry((2, 3), (7, 5), (3, 2), (2, 1), (1, 2)),
    "all of the map": Geometry((2, 5), (4, 3), (4, 3), (1, 1), (0, 0)),
    "one tap, strided": Geometry((2, 3), (4, 5), (1, 1), (3, 2), (0, 0)),
    "table": Geometry((3, 4), (6, 5), (3, 2), (1, 1), (0, 0), TABLE),
    "table, stride, pad": Geometry((3, 4), (6, 7), (2, 3), (2, 3), (1, 0), TABLE),
}


def whole(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Whole numbers from -4 to 4 without 0, so that no link can be missing by chance."""
    return rng.choice([-4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0], shape)


def toeplitz(weight: Any, g: Geometry) -> list[list[float]]:
    if len(g.size) == 1:
        return loops.toeplitz1d(weight, g.size[0], g.stride[0], g.padding[0], g.table)
    return loops.toeplitz2d(weight, g.size, g.stride, g.padding, g.table)


def numbered(g: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """The weights 1, 2, 3, … of a filter bank, and the matrix that says which of them stands at which link."""
    shape = (g.channels[1], g.channels[0], *g.kernel_size)
    numbers = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    return numbers, np.array(toeplitz(numbers.tolist(), g))


def sliding(g: Geometry, x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dy: np.ndarray) -> Witness:
    if len(g.size) == 1:
        more = (g.stride[0], g.padding[0], g.table)
        y = loops.conv1d(x.tolist(), weight.tolist(), bias.tolist(), *more)
        return Witness(y, *loops.conv1d_backward(dy.tolist(), x.tolist(), weight.tolist(), *more))
    y = loops.conv2d(x.tolist(), weight.tolist(), bias.tolist(), g.stride, g.padding, g.table)
    back = loops.conv2d_backward(dy.tolist(), x.tolist(), weight.tolist(), g.stride, g.padding, g.table)
    return Witness(y, *back)


def fully_connected(g: Geometry, x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dy: np.ndarray) -> Witness:
    """The slides' perceptron and its BP, on W; a shared weight's gradient is the sum over all links it stands at."""
    each = dy[0].size
    layer = literal.Layer(toeplitz(weight.tolist(), g), np.repeat(bias, each).tolist(), literal.identity())
    signals = literal.forward([layer], x.ravel().tolist())
    gradients = literal.backward([layer], x.ravel().tolist(), signals, dy.ravel().tolist())
    dx = literal.input_gradient([layer], gradients)
    numbers, links = numbered(g)
    dense = np.array(gradients[0].weight)
    dweight = np.array([dense[links == number].sum() for number in numbers.ravel()])
    return Witness(
        np.reshape(signals[0].a, dy.shape),
        np.reshape(dx, x.shape),
        dweight.reshape(weight.shape),
        np.reshape(gradients[0].bias, (-1, each)).sum(axis=1),
    )


def torchs_own(g: Geometry, x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dy: np.ndarray) -> Witness:
    table = np.ones(weight.shape[:2], bool) if g.table is None else np.array(g.table)
    mask = torch.from_numpy(table).reshape(*weight.shape[:2], *[1] * len(g.size))
    leaves = [torch.from_numpy(array).requires_grad_() for array in (x, weight, bias)]
    conv = functional.conv1d if len(g.size) == 1 else functional.conv2d
    y = conv(leaves[0][None], leaves[1] * mask, leaves[2], g.stride, g.padding)[0]
    return Witness(*(t.detach().numpy() for t in (y, *torch.autograd.grad(y, leaves, torch.from_numpy(dy)))))


def layer(wing: Any, g: Geometry, dtype: Any) -> Any:
    return (wing.Conv1d if len(g.size) == 1 else wing.Conv2d)(
        *g.channels,
        g.kernel_size[0] if len(g.size) == 1 else g.kernel_size,
        g.stride[0] if len(g.size) == 1 else g.stride,
        g.padding[0] if len(g.size) == 1 else g.padding,
        connections=None if g.table is None else np.array(g.table) if wing is scratch else torch.tensor(g.table),
        dtype=dtype,
    )


def by_hand(g: Geometry, x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dy: np.ndarray) -> Witness:
    conv = layer(scratch, g, np.float64)
    conv.load_state_dict({"weight": weight, "bias": bias})
    y, cache = conv.forward(x[None])
    dx, grads = conv.backward(dy[None], cache)
    return Witness(y[0], dx[0], grads["weight"], grads["bias"])


def in_torch(g: Geometry, x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dy: np.ndarray) -> Witness:
    conv = layer(torchref, g, torch.float64)
    conv.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
    leaf = torch.from_numpy(x).requires_grad_()
    y = conv(leaf[None])[0]
    grads = torch.autograd.grad(y, [leaf, conv.weight, conv.bias], torch.from_numpy(dy))
    return Witness(*(t.detach().numpy() for t in (y, *grads)))


@pytest.mark.parametrize("witness", [fully_connected, torchs_own, by_hand, in_torch])
@pytest.mark.parametrize("case", CASES)
def test_a_sliding_filter_is_a_layer_with_shared_local_weights(case: str, witness: Any, seed: int) -> None:
    g = CASES[case]
    rng = np.random.default_rng(seed)
    x, bias = whole(rng, (g.channels[0], *g.size)), whole(rng, g.channels[1:])
    weight = whole(rng, (g.channels[1], g.channels[0], *g.kernel_size))
    sizes = tuple(
        (n + 2 * p - f) // s + 1 for n, f, s, p in zip(g.size, g.kernel_size, g.stride, g.padding, strict=True)
    )
    dy = whole(rng, (g.channels[1], *sizes))
    ours, other = sliding(g, x, weight, bias, dy), witness(g, x, weight, bias, dy)
    for name, a, b in zip(Witness._fields, ours, other, strict=True):
        np.testing.assert_array_equal(b, np.array(a), err_msg=f"{witness.__name__}: {name}", strict=True)


def test_the_slides_matrix() -> None:
    """局部连接: a band, zero elsewhere. 权重共享: three numbers, the same in each row."""
    assert loops.toeplitz1d([[[1, 2, 3]]], 5) == [[1, 2, 3, 0, 0], [0, 1, 2, 3, 0], [0, 0, 1, 2, 3]]
    assert loops.toeplitz1d([[[1, 2, 3]]], 5, 2, 1) == [[2, 3, 0, 0, 0], [0, 1, 2, 3, 0], [0, 0, 0, 1, 2]]
    assert loops.toeplitz1d([[[1, 2], [3, 4]]], 3) == [[1, 2, 0, 3, 4, 0], [0, 1, 2, 0, 3, 4]]
    assert loops.toeplitz1d([[[1, 2], [3, 4]]], 3, connections=[[False, True]]) == [
        [0, 0, 0, 3, 4, 0],
        [0, 0, 0, 0, 3, 4],
    ]
    assert loops.toeplitz2d([[[[1, 2]]]], (2, 3)) == [
        [1, 2, 0, 0, 0, 0],
        [0, 1, 2, 0, 0, 0],
        [0, 0, 0, 1, 2, 0],
        [0, 0, 0, 0, 1, 2],
    ]


@pytest.mark.parametrize("case", [name for name, g in CASES.items() if not any(g.padding)])
def test_the_layers_count_the_links_and_the_weights_of_the_matrix(case: str) -> None:
    """Local: as many links as entries that are not zero. Shared: as many parameters as different numbers."""
    g = CASES[case]
    _, links = numbered(g)
    for wing, dtype in ((scratch, np.float64), (torchref, torch.float64)):
        conv = layer(wing, g, dtype)
        assert conv.num_connections((g.channels[0], *g.size)) == np.count_nonzero(links) + len(links)
        assert conv.num_parameters == len(set(links.ravel()) - {0.0}) + g.channels[1]


def test_the_border_of_the_slides() -> None:
    assert loops.border1d([5.0, 6.0], 2) == [0, 0, 5, 6, 0, 0]
    assert loops.border2d([[5.0, 6.0]], (1, 2)) == [[0] * 6, [0, 0, 5, 6, 0, 0], [0] * 6]


def test_a_filter_of_too_few_maps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is longer"):
        loops.conv1d([[1.0, 2.0], [3.0, 4.0]], [[[1.0]]], [0.0])
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is longer"):
        loops.conv2d([[[1.0]], [[2.0]]], [[[[1.0]]]], [0.0])
