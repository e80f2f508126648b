"""The tables of `backprop`: a row per quantity and a column per way; and what a gradient costs by width."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from experiments.lecture.backprop_cost import Seconds, formula, num_parameters
from experiments.lecture.backprop_ways import LAYERS, Quantities

SYMBOLS: Final = {"z": "z", "a": "a", "delta": "δ", "W": "∂J/∂w"}
LOW, HIGH = "₀₁₂₃₄₅₆₇₈₉", "⁰¹²³⁴⁵⁶⁷⁸⁹"


def quantity_rows(columns: Mapping[str, Quantities], kinds: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The numbers of these kinds, such as "z" or "W", layer by layer; w_ik leads from unit i to unit k."""
    first = next(iter(columns.values()))
    for kind in kinds:
        for layer in LAYERS:
            for index in np.ndindex(first[f"{kind}{layer}"].shape):
                units = "".join(LOW[i + 1] for i in reversed(index))
                label = f"{SYMBOLS[kind]}{units}⁽{HIGH[layer]}⁾"
                yield label, *(f"{found[f'{kind}{layer}'][index]:.8f}" for found in columns.values())


def cost_rows(
    sizes: Mapping[int, Sequence[int]], seconds: Mapping[str, Mapping[int, Seconds]]
) -> Iterator[tuple[str, ...]]:
    """Width, parameters, products, and per wing: back-propagation in forward passes, naive in back-propagations."""
    for width, of in sizes.items():
        counts = [num_parameters(of), *formula(of)]
        ratios = []
        for found in seconds.values():
            one = found[width]
            ratios += [f"{one.backprop / one.forward:.2f}", f"{one.naive / one.backprop:,.0f}"]
        yield str(width), *(f"{count:,}" for count in counts), *ratios
