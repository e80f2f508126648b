"""Criterion 9: how far rounding may move the results of any torch module, measured by Monte Carlo arithmetic.

The module is run in float64 once exactly and several times with every result of every operation, forward and backward,
inputs and parameters too, off by a random share of itself: t ← t(1 + δξ), ξ uniform from −1 to 1. What comes out then
is off by δ·D to first order, whatever the precision. D takes the place of max S in criterion 4: max|a − t| ≤ 128·eps·D.

δ is far above float64's own roundings, which D must not see. Where a second, coarser δ does not move the results in
proportion, a kink is near, and nothing can be judged: two correct programs may take different sides.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from torchref.oracle import criteria
from torchref.oracle.comparison import Comparison, compare_arrays

DRAWS = 8
"""How often each module is disturbed: D is the largest effect."""
STEPS = {torch.float64: (2.0**-40, 2.0**-34), torch.float32: (2.0**-32, 2.0**-18)}
"""By the precision that is judged, δ and the coarser one, which reaches as far as rounding may."""
BEND = 0.1
"""The coarser disturbance is to act in proportion to the finer one but for this share of D."""

ATTEMPTS = 10
"""How often a draw too near a kink is drawn again."""
KINKED = f"nothing is judged: in {ATTEMPTS} draws rounding could decide on which side of a kink or pole it is"


class Gradients(NamedTuple):
    """What a module gives: its output, and the gradients of its first input and of its parameters by name."""

    y: Tensor
    dx: Tensor
    grads: dict[str, Tensor]

    def named(self, y: str = "y", dx: str = "dx") -> dict[str, Tensor]:
        """All by name."""
        return {y: self.y, dx: self.dx} | {f"grad {name}": grad for name, grad in self.grads.items()}


class Sizes(NamedTuple):
    """D of a module's results, as `Gradients` has them, and whether a kink is too near to judge."""

    y: float
    dx: float
    grads: dict[str, float]
    kinked: bool

    def named(self, y: str = "y", dx: str = "dx") -> dict[str, float]:
        """All by name."""
        return {y: self.y, dx: self.dx} | {f"grad {name}": size for name, size in self.grads.items()}


class Function(nn.Module):
    """A callable as a module without parameters."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        """Whatever the function makes of it."""
        return self.function(*inputs)


class Disturbed(TorchDispatchMode):  # type: ignore[no-untyped-call]  # as torch ships it
    """While this is entered, every floating-point result is off by a random share of up to ±`size` of itself."""

    def __init__(self, size: float, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.size = size
        self.generator = torch.Generator().manual_seed(seed)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch's own hook: its compiler, which takes seconds to import, has no business here."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and disturb what it has computed: not what is merely a view of what was given."""
        result = func(*args, **(kwargs or {}))
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                view = tensor.untyped_storage().data_ptr() in given and not func._schema.is_mutable
                if not view:
                    self.disturb(tensor)
        return result

    def disturb(self, tensor: Tensor) -> None:
        """In place."""
        share = torch.rand(tensor.shape, generator=self.generator, dtype=torch.float64)
        tensor.mul_((1 + self.size * (2 * share - 1)).to(tensor.dtype))


def differentiate(
    module: nn.Module, inputs: Sequence[Tensor], upstream: Tensor | None, disturbed: Disturbed | None = None
) -> Gradients:
    """A module's output and gradients; neither its parameters nor its buffers are changed.

    Parameters
    ----------
    module:
        Of one output.
    inputs:
        The first is differentiated.
    upstream:
        The gradient that arrives at the output; None for a loss, whose output is a scalar.
    disturbed:
        What to run it under; inputs and parameters are disturbed as well.
    """
    leaves = {name: p.detach().clone() for name, p in module.named_parameters()}
    x, *others = (tensor.detach().clone() for tensor in inputs)
    arriving = None if upstream is None else upstream.clone()
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    if disturbed is None:
        return _differentiate(module, leaves, buffers, [x, *others], arriving)
    for tensor in (*leaves.values(), x, *others, *(() if arriving is None else (arriving,))):
        if tensor.is_floating_point():
            disturbed.disturb(tensor)
    with disturbed:
        return _differentiate(module, leaves, buffers, [x, *others], arriving)


def _differentiate(
    module: nn.Module,
    leaves: dict[str, Tensor],
    buffers: dict[str, Tensor],
    inputs: list[Tensor],
    upstream: Tensor | None,
) -> Gradients:
    x = inputs[0].requires_grad_()
    for leaf in leaves.values():
        leaf.requires_grad_()
    with torch.enable_grad():
        y = functional_call(module, {**leaves, **buffers}, (x, *inputs[1:]))
    if not y.requires_grad:
        return Gradients(y, torch.zeros_like(x), {name: torch.zeros_like(leaf) for name, leaf in leaves.items()})
    dx, *grads = torch.autograd.grad(y, [x, *leaves.values()], upstream, allow_unused=True, materialize_grads=True)
    return Gradients(y.detach(), dx, dict(zip(leaves, grads, strict=True)))


def measure(
    module: nn.Module, inputs: Sequence[Tensor], upstream: Tensor | None, *, seed: int, precision: torch.dtype
) -> Sizes:
    """D of each result of a module at these inputs, and whether a kink is near in that precision."""
    wide = copy.deepcopy(module).cpu().double()
    given = [tensor.double() if tensor.is_floating_point() else tensor for tensor in inputs]
    arriving = None if upstream is None else upstream.double()
    exact = differentiate(wide, given, arriving).named()
    sizes, bends = dict.fromkeys(exact, 0.0), dict.fromkeys(exact, 0.0)
    jumps = False
    for draw in range(DRAWS):
        moved = [
            differentiate(wide, given, arriving, Disturbed(step, seed * DRAWS + draw)).named()
            for step in STEPS[precision]
        ]
        for name, t in exact.items():
            fine, coarse = ((m[name] - t) / step for m, step in zip(moved, STEPS[precision], strict=True))
            sizes[name] = max(sizes[name], _largest(fine))
            bends[name] = max(bends[name], _largest(coarse - fine))
            jumps |= any(not m[name].isfinite().equal(t.isfinite()) for m in moved)
    kinked = jumps or any(bends[name] > BEND * sizes[name] for name in exact)
    grads = {name.removeprefix("grad "): size for name, size in sizes.items() if name.startswith("grad ")}
    return Sizes(sizes["y"], sizes["dx"], grads, kinked)


def _largest(tensor: Tensor) -> float:
    """The largest absolute value of what is finite; 0 of none."""
    return float(tensor.nan_to_num(0.0, 0.0, 0.0).abs().max()) if tensor.numel() else 0.0


def judge(name: str, mine: Any, oracle: Tensor, size: float) -> Comparison:
    """Criterion 9: max|a − t| ≤ 128·eps·D over the whole tensor."""
    bound = criteria.MEASURED * criteria.unit(oracle) * size + criteria.smallest(oracle)
    return compare_arrays(name, mine, oracle, bound, "9 measured")
