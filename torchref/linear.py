"""The fully connected layer: z = W·a + b, one row of the batch per sample."""

import torch
from torch import Tensor, nn

from torchref import init
from torchref.module import Module, Shape
from torchref.validation import check_count, check_dtype, check_generator, check_input_shape, check_shape, check_tensor


class Linear(Module, nn.Linear):
    """Fully connected layer, z = W·a + b: `torch.nn.Linear` for batches (N, in), strict about shape and dtype.

    Parameters
    ----------
    in_features, out_features:
        Number of units in the layer below and in this one, each at least 1.
    bias:
        Whether there is a b.
    dtype:
        torch.float32 or torch.float64, of the parameters and so of the input.
    rng:
        Source of the initial weights; None draws fresh entropy. Weights are `init.lecun_uniform`, biases 0.
    device:
        Where the parameters live; None is the CPU.

    Raises
    ------
    TypeError, ValueError
        Where a size is no int or below 1, the dtype is neither float32 nor float64, or rng is no generator.

    Source: 多层感知机的运算, z^(l) = W^(l)·a^(l−1) + b^(l).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: torch.dtype = torch.float32,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        shape = (check_count("out_features", out_features), check_count("in_features", in_features))
        # On the meta device: nn.Linear would draw its weights from torch's global generator.
        super().__init__(shape[1], shape[0], bias, device="meta", dtype=check_dtype("dtype", dtype))
        weight = init.lecun_uniform(shape, rng=check_generator("rng", rng), dtype=dtype, device=device)
        self.weight = nn.Parameter(weight)
        if bias:
            self.bias = nn.Parameter(init.zeros(shape[:1], dtype=dtype, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_features) -> (N, out_features).

        Raises
        ------
        TypeError, ValueError
            If the dtype of x is not the parameters', or its shape not (N, in_features).
        """
        check_tensor("x", x, self.weight.dtype)
        check_shape("x", x, ("N", self.in_features))
        return super().forward(x)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(in_features,) -> (out_features,)."""
        check_input_shape(input_shape, (self.in_features,))
        return (self.out_features,)

    def num_connections(self, input_shape: Shape) -> int:
        """As many as parameters: every weight and bias is used once."""
        self.output_shape(input_shape)
        return self.num_parameters

    def num_multiply_adds(self, input_shape: Shape) -> int:
        """One per weight."""
        self.output_shape(input_shape)
        return self.weight.numel()
