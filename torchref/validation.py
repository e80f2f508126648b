"""Refusals at the door: each names the argument, what came and what was expected."""

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Pair: TypeAlias = tuple[int, int]
"""(height, width), in pixels."""

FLOATING = (torch.float32, torch.float64)
INTEGER = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64)


def check_dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    """Return `dtype`; raise `TypeError` unless it is float32 or float64."""
    if dtype not in FLOATING:
        raise TypeError(f"{name} is {dtype}, expected torch.float32 or torch.float64")
    return dtype


def check_mapping(name: str, value: Any) -> None:
    """Raise `TypeError` unless `value` maps names to something."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is a {type(value).__name__}, expected a mapping of names to tensors")


def check_tensor(name: str, x: Any, dtype: torch.dtype | None = None) -> None:
    """Raise unless `x` is a tensor of `dtype` (None: of float32 or float64) with at least one axis."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is a {type(x).__name__}, expected a torch.Tensor")
    if x.ndim == 0:
        raise ValueError(f"{name} has shape (), expected at least one axis")
    advice = "nothing changes precision silently"
    if x.dtype in (*INTEGER, torch.bool):
        to = dtype or FLOATING[0]
        advice = f"convert with {name}.to({to}), and scale pixels to the range the network is to see"
    if dtype is None and x.dtype not in FLOATING:
        raise TypeError(f"{name}.dtype is {x.dtype}, expected torch.float32 or torch.float64: {advice}")
    if dtype is not None and x.dtype != dtype:
        raise TypeError(f"{name} has dtype {x.dtype}, expected {dtype}: {advice}")


def check_shape(name: str, x: Tensor, expected: tuple[int | str, ...]) -> None:
    """Raise `ValueError` unless `x` has the expected shape; a letter (such as "N") stands for any size."""
    fits = x.ndim == len(expected) and all(
        isinstance(want, str) or have == want for have, want in zip(x.shape, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "")
        raise ValueError(f"{name} has shape {tuple(x.shape)}, expected ({wanted})")


def check_like(name: str, x: Any, other: Tensor) -> None:
    """Raise unless `x` is a tensor of the shape and dtype of `other`."""
    check_tensor(name, x, other.dtype)
    check_shape(name, x, tuple(other.shape))


def check_count(name: str, value: Any, *, least: int = 1) -> int:
    """Return `value` if it is a whole number of at least `least`, else raise `TypeError` or `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} is {value!r}, expected an int")
    if value < least:
        raise ValueError(f"{name} is {value}, expected at least {least}")
    return int(value)


def check_sizes(sizes: Any) -> tuple[int, ...]:
    """Return n^0 … n^L as a tuple of at least two ints of at least 1, else raise `TypeError` or `ValueError`."""
    if not isinstance(sizes, Sequence) or isinstance(sizes, str):
        raise TypeError(f"sizes is {sizes!r}, expected a sequence of ints: inputs, units of each layer")
    checked = tuple(check_count(f"sizes[{i}]", size) for i, size in enumerate(sizes))
    if len(checked) < 2:
        raise ValueError(f"sizes is {checked}, expected at least two numbers: inputs and outputs")
    return checked


def check_pair(name: str, value: Any, *, least: int = 1) -> tuple[int, int]:
    """Return (height, width) from one whole number for both or a pair of them, each at least `least`; else raise."""
    pair = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value, value)
    if len(pair) != 2 or any(isinstance(v, bool) or not isinstance(v, numbers.Integral) for v in pair):
        raise TypeError(f"{name} is {value!r}, expected an int or a pair of them")
    if min(pair) < least:
        raise ValueError(f"{name} is {value!r}, expected at least {least}")
    return int(pair[0]), int(pair[1])


def check_table(name: str, value: Any, shape: tuple[int, int]) -> Tensor:
    """Return a copy of a boolean table (out_channels, in_channels) in which every output channel has a link."""
    if not isinstance(value, Tensor) and (isinstance(value, str) or not isinstance(value, Sequence)):
        raise TypeError(f"{name} is a {type(value).__name__}, expected a boolean tensor or rows of booleans")
    try:
        table = value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else torch.tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        if len({len(row) for row in value if isinstance(row, Sequence)}) > 1:
            raise ValueError(f"{name} has rows of different lengths, expected the shape {shape}") from None
        raise TypeError(f"{name} is {value!r}, expected a table of booleans") from error
    if table.dtype != torch.bool:
        raise TypeError(f"{name} has dtype {table.dtype}, expected a table of booleans")
    check_shape(name, table, shape)
    if unlinked := (~table.any(dim=1)).nonzero().ravel().tolist():
        raise ValueError(f"{name} has no link into the output channels {unlinked}, expected at least one into each")
    return table


def check_sample_shape(shape: Any, *, least: int = 1) -> tuple[int, ...]:
    """Return the shape of one sample as ints of at least `least`, else raise `TypeError` or `ValueError`."""
    if not isinstance(shape, Sequence) or isinstance(shape, str):
        raise TypeError(f"input_shape is {shape!r}, expected the sizes of one sample, such as (1, 28, 28)")
    return tuple(check_count(f"input_shape[{i}]", size, least=least) for i, size in enumerate(shape))


def check_input_shape(shape: Any, expected: tuple[int | str, ...]) -> None:
    """Raise unless the shape of one sample is made of ints and as expected; a letter stands for any size."""
    check_sample_shape(shape)
    fits = len(shape) == len(expected) and all(
        isinstance(want, str) or have == want for have, want in zip(shape, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "")
        raise ValueError(f"input_shape is {tuple(shape)}, expected ({wanted}), without the batch axis")


def check_number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
) -> float:
    """Return `value` if it is finite, greater than `above`, at least `least` and less than `below`; else raise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}, expected a number")
    try:
        number = float(value)
    except OverflowError:  # an int beyond double precision
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} is {value}, expected a finite number")
    if above is not None and not number > above:
        raise ValueError(f"{name} is {value}, expected a number greater than {above:g}")
    if least is not None and not number >= least:
        raise ValueError(f"{name} is {value}, expected a number of at least {least:g}")
    if below is not None and not number < below:
        raise ValueError(f"{name} is {value}, expected a number less than {below:g}")
    return number


def check_finite(name: str, x: Tensor) -> None:
    """Raise `ValueError` with how many entries of `x` are NaN or infinite, and where the first one stands."""
    strange = (~x.isfinite()).nonzero()
    if len(strange):
        first = tuple(strange[0].tolist())
        raise ValueError(
            f"{name} is not finite in {len(strange)} of {x.numel()} entries, the first {x[first]} at {first}, "
            "expected numbers"
        )


def check_generator(name: str, rng: Any) -> torch.Generator:
    """Return `rng`, or for None a generator of fresh entropy; raise `TypeError` for anything else, a bare seed too."""
    if rng is None:
        fresh = torch.Generator()
        fresh.seed()
        return fresh
    if not isinstance(rng, torch.Generator):
        raise TypeError(f"{name} is {rng!r}, expected a torch.Generator, such as torch.Generator().manual_seed(0)")
    return rng


def state_faults(state: Mapping[str, Any], own: Mapping[str, Tensor], *, strict: bool) -> list[str]:
    """Every reason why `state` does not fit the parameters `own`, one line each; empty if it fits."""
    faults = []
    if strict:
        faults += [f"missing {name} {tuple(tensor.shape)}" for name, tensor in own.items() if name not in state]
        faults += [f"unexpected {name}" for name in state if name not in own]
    for name, tensor in own.items():
        if name not in state:
            continue
        value = state[name]
        if not isinstance(value, Tensor):
            faults.append(f"{name} is a {type(value).__name__}, expected a torch.Tensor")
        elif value.shape != tensor.shape:
            faults.append(f"{name} has shape {tuple(value.shape)}, expected {tuple(tensor.shape)}")
        elif value.dtype != tensor.dtype:
            faults.append(f"{name} has dtype {value.dtype}, expected {tensor.dtype}")
    return faults
