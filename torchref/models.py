"""The lecture's networks."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from torchref.activation import Tanh
from torchref.convolution import Conv2d
from torchref.flatten import Flatten
from torchref.linear import Linear
from torchref.module import Sequential, Shape, Thinning
from torchref.padding import Canvas2d
from torchref.pooling import AvgPool2d, MaxPool2d, Subsample2d
from torchref.regularization import Dropout
from torchref.validation import check_generator, check_number, check_sample_shape, check_sizes, check_tensor

Activation: TypeAlias = nn.Module | Callable[[], nn.Module]
"""An activation as an object, `Tanh(1.7159, 2 / 3)`, or as what makes one, `ReLU` or `Tanh.lecun`."""


def make_activation(activation: Activation) -> nn.Module:
    """The activation object itself, or the one its factory makes; anything else is a `TypeError`."""
    # Modules are callable too, so the object is asked for first.
    made = activation if isinstance(activation, nn.Module) or not callable(activation) else activation()
    if not isinstance(made, nn.Module):
        raise TypeError(f"activation is {activation!r}, expected an activation object or a factory such as Tanh.lecun")
    return made


def make_activations(activation: Activation | Sequence[Activation], depth: int) -> list[nn.Module]:
    """The activations f_1 … of a network of `depth` layers, as `MLP` documents them; anything else is refused."""
    if isinstance(activation, str) or not isinstance(activation, Sequence):
        # One is made for the output layer too, and dropped: a network without hidden layers checks it all the same.
        return [make_activation(activation) for _ in range(depth)][: depth - 1]
    if len(activation) not in (depth - 1, depth):
        expected = f"one object or factory, or {depth - 1} or {depth} of them"
        raise ValueError(f"activation is {activation!r}, expected {expected}")
    return [make_activation(one) for one in activation]


class MLP(Sequential):
    """Multilayer perceptron: a^(l) = f_l(W^(l) a^(l−1) + b^(l)), l = 1 … L.

    The layers are named fc1, f1, fc2, f2, …, fcL (and fL, if f_L is given); the parameters fc1.weight, fc1.bias, …,
    fcL.weight, fcL.bias. With dropout, d1 … d(L−1) stand behind f1 … f(L−1).

    Parameters
    ----------
    sizes:
        n^0, n^1, …, n^L: the number of inputs, then of units in each layer; at least two numbers of at least 1.
    activation:
        One activation for all hidden layers (the output layer is then linear, as `CrossEntropy` wants it), or a
        sequence: of L−1 for the hidden layers, or of L to give the output layer its f_L too. Each is an object or a
        factory, not a string.
    dropout:
        Probability with which a hidden unit is dropped, from 0 up to but not including 1, in a pass that is given masks
        or a generator (see `Sequential.forward`); 0 adds no layer.
    dtype:
        torch.float32 or torch.float64.
    rng:
        Source of the initial weights; None draws fresh entropy.
    device:
        Where the parameters live; None is the CPU.

    Raises
    ------
    TypeError, ValueError
        For sizes that are no ints of at least 1, an activation of another kind, a sequence of another length, or a
        probability out of range.

    Source: 多层感知机 / 网络结构 and 多层感知机的运算. The slides write y = f_L(z^L); leave f_L out for logits.
    Dropout: "多层感知机如何约简网络？".
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Activation | Sequence[Activation] = Tanh,
        *,
        dropout: float = 0.0,
        dtype: torch.dtype = torch.float32,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        sizes = check_sizes(sizes)
        rng = check_generator("rng", rng)
        dropout = check_number("dropout", dropout, least=0, below=1)
        made = make_activations(activation, len(sizes) - 1)
        layers: dict[str, nn.Module] = {}
        for i, (below, here) in enumerate(pairwise(sizes), start=1):
            layers[f"fc{i}"] = Linear(below, here, dtype=dtype, rng=rng, device=device)
            if i <= len(made):
                layers[f"f{i}"] = made[i - 1]
            if dropout and i < len(sizes) - 1:
                layers[f"d{i}"] = Dropout(dropout)
        super().__init__(layers)
        self.sizes = sizes


S2_C3 = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)
"""The maps of S2 that feed each map of C3, as Table I has them: each three neighbours, each four neighbours, three
times four that are no neighbours, and all six."""


def s2_c3_table() -> Tensor:
    """`S2_C3` as a boolean table (16, 6), C3 maps × S2 maps.

    Source: LeCun et al. 1998, Table I; Case Study: LeNet-5, "S2-C3 层采用了连接表".
    """
    table = torch.zeros(16, 6, dtype=torch.bool)
    for c3, maps in enumerate(S2_C3):
        table[c3, list(maps)] = True
    return table


Pooling: TypeAlias = Literal["subsample", "average", "max"]
"""What shrinks the maps: LeNet-5's own trainable sum, or one of its usual replacements."""


class LeNet5(Sequential):
    """LeNet-5: two convolutions with sub-sampling between them, a third, and two fully connected layers.

    ======== ================================== ========== =========== ============
    layer    what                               maps       parameters  connections
    ======== ================================== ========== =========== ============
    canvas   28×28 centred on 32×32             1@32×32
    c1       convolution 5×5                    6@28×28            156      122,304
    s2       sub-sampling 2×2                   6@14×14             12        5,880
    c3       convolution 5×5 by the table       16@10×10         1,516      151,600
    s4       sub-sampling 2×2                   16@5×5              32        2,000
    c5       convolution 5×5                    120@1×1         48,120       48,120
    f6       fully connected                    84              10,164       10,164
    output   fully connected, linear            10                 850          850
    ======== ================================== ========== =========== ============

    Behind each layer from c1 to f6 stands its squashing function, c1_f … f6_f; `flatten` stands between c5 and f6.

    Parameters
    ----------
    activation:
        The squashing function, as an object or a factory, not a string: 1.7159·tanh(2a/3) in the paper.
    pooling:
        "subsample" (sum × coefficient + bias, as in the paper), "average" or "max". The last two have nothing to
        train, and no squashing function behind them: the values have just been squashed.
    dense_c3:
        Connect every map of S2 to every map of C3, without the table.
    output:
        The layer on top of the 84 units of F6; None for 10 linear units, as `CrossEntropy` wants them.
    background:
        What the canvas around a 28×28 image is filled with. The images' own background: −0.1 in the paper, whose
        pixels run from −0.1 (background) to 1.175 (ink).
    dtype:
        torch.float32 or torch.float64.
    rng:
        Source of the initial weights; None draws fresh entropy.
    device:
        Where the parameters live; None is the CPU.

    Raises
    ------
    TypeError, ValueError
        For an activation, pooling, output layer or background of another kind.

    Source: Case Study: LeNet-5; LeCun et al. 1998, section II.B. The slide's "[CONV-POOL-CONV-POOL-CONV-FC]" leaves
    F6 and the output together as FC. Deviation: the output is 10 linear units; the paper's are radial basis functions
    of fixed bitmaps. The paper draws weights from ±2.4/F; ours are `init.lecun_uniform`, ±√3/√F.
    """

    def __init__(
        self,
        activation: Activation = Tanh.lecun,
        *,
        pooling: Pooling = "subsample",
        dense_c3: bool = False,
        output: nn.Module | None = None,
        background: float = -0.1,
        dtype: torch.dtype = torch.float32,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        rng = check_generator("rng", rng)
        if pooling not in ("subsample", "average", "max"):
            raise ValueError(f"pooling is {pooling!r}, expected 'subsample', 'average' or 'max'")
        if output is not None and not isinstance(output, nn.Module):
            raise TypeError(f"output is {output!r}, expected an nn.Module or None")

        def shrinking(name: str, channels: int) -> dict[str, nn.Module]:
            if pooling == "subsample":
                subsample = Subsample2d(channels, 2, dtype=dtype, device=device)
                return {name: subsample, f"{name}_f": make_activation(activation)}
            return {name: AvgPool2d(2) if pooling == "average" else MaxPool2d(2)}

        table = None if dense_c3 else s2_c3_table()
        layers: dict[str, nn.Module] = {
            "canvas": Canvas2d(32, check_number("background", background)),
            "c1": Conv2d(1, 6, 5, dtype=dtype, rng=rng, device=device),
            "c1_f": make_activation(activation),
            **shrinking("s2", 6),
            "c3": Conv2d(6, 16, 5, connections=table, dtype=dtype, rng=rng, device=device),
            "c3_f": make_activation(activation),
            **shrinking("s4", 16),
            "c5": Conv2d(16, 120, 5, dtype=dtype, rng=rng, device=device),
            "c5_f": make_activation(activation),
            "flatten": Flatten(),
            "f6": Linear(120, 84, dtype=dtype, rng=rng, device=device),
            "f6_f": make_activation(activation),
            "output": Linear(84, 10, dtype=dtype, rng=rng, device=device) if output is None else output,
        }
        super().__init__(layers)

    def forward(self, x: Tensor, dropout: Thinning = None) -> Tensor:
        """(N, 1, 28, 28) or (N, 1, 32, 32) -> (N, 10).

        Raises
        ------
        TypeError, ValueError
            If the dtype of x is not the parameters', or its shape another.
        """
        check_images(x, next(self.parameters()).dtype)
        return super().forward(x, dropout)

    def trace(self, x: Tensor, dropout: Thinning = None) -> dict[str, Tensor]:
        """The output of every layer by its name; see `Sequential.trace`."""
        check_images(x, next(self.parameters()).dtype)
        return super().trace(x, dropout)

    def shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """The shape of every layer's output for one image; see `Sequential.shapes`. Refuses what `forward` refuses."""
        if check_sample_shape(input_shape) not in ((1, 28, 28), (1, 32, 32)):
            raise ValueError(f"input_shape is {tuple(input_shape)}, expected (1, 28, 28) or (1, 32, 32)")
        return super().shapes(input_shape)


def check_images(x: Any, dtype: torch.dtype) -> None:
    """Raise unless `x` is a batch (N, 1, 28, 28) or (N, 1, 32, 32) of `dtype`."""
    check_tensor("x", x, dtype)
    if x.ndim != 4 or x.shape[1] != 1 or tuple(x.shape[2:]) not in ((28, 28), (32, 32)):
        raise ValueError(f"x has shape {tuple(x.shape)}, expected (N, 1, 28, 28) or (N, 1, 32, 32)")
