"""What a network's layers are, told from what they hold and what they give: no layer is known by its name."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def stages(trace: Mapping[str, Array], parameters: Mapping[str, Array]) -> dict[str, str]:
    """Return a network's layers as the lecture counts them, and for each the entry of the trace that it hands on.

    A layer has parameters, or pools: makes maps smaller. What directly follows one that has parameters, has none
    itself and keeps the shape is its activation, and belongs to it. What only prepares the input or rearranges
    values (a canvas around the image, a flattening) is no layer.

    Parameters
    ----------
    trace:
        Output of every module by its name, in the order of computation: (N, units) or (N, C, H, W).
    parameters:
        By name, such as "c1.weight".

    Returns
    -------
    dict
        Such as {"c1": "c1_f", "s2": "s2_f", …, "output": "output"}, in the order of computation.
    """
    trained = {name.rpartition(".")[0] for name in parameters}
    found: dict[str, str] = {}
    previous = ""
    for name, output in trace.items():
        shape, before = output.shape, trace[previous].shape if previous else ()
        pools = bool(found) and len(shape) == len(before) == 4 and shape[2:] != before[2:]
        if name in trained or pools:
            found[name] = name
        elif previous in trained and shape == before:
            found[previous] = name
        previous = name
    return found


def pictured(stages: Mapping[str, str], trace: Mapping[str, Array]) -> list[str]:
    """Return the layers whose weights and outputs are worth a picture: the first, and all that give maps."""
    outputs = {layer: trace[name][0] for layer, name in stages.items()}
    maps = [layer for layer, output in outputs.items() if output.ndim == 3 and output[0].size > 1]
    return maps if next(iter(outputs)) in maps else [next(iter(outputs)), *maps]


def linked(arrays: Mapping[str, Array], tables: Mapping[str, NDArray[np.bool_]]) -> dict[str, Array]:
    """Return parameters or gradients without those of absent links, whose zeros say nothing.

    Parameters
    ----------
    arrays:
        By name.
    tables:
        (O, C) by layer name: True where there is a link.

    Returns
    -------
    dict
        The same names; of a weight (O, C, kh, kw) with a table the kernels (links, kh, kw) that are there.
    """
    names = {f"{layer}.weight": table for layer, table in tables.items()}
    return {name: array[names[name]] if name in names else array for name, array in arrays.items()}
