"""How to call code whose names and forms are not the usual ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Adapter:
    """How somebody's code is called, where guessing fails; what is left out is guessed.

    Parameters
    ----------
    make:
        Makes a layer; called with what its arguments' names ask for: settings (`stride`), sizes (`in_features`), the
        parameters themselves (`weight`, `bias`), `dtype`. Without it, `forward` and `backward` are functions of arrays.
    forward:
        (layer, x) -> y, or y and a cache; or the name of a method.
    backward:
        (layer, dy) or (layer, dy, cache) -> dx, dx with a dict of the gradients, or all gradients in our order; or the
        name of a method.
    parameters:
        Where the layer keeps its parameters, {"weight": "params.W"}; or layer -> its live arrays by our names.
    gradients:
        Where the gradients are after a backward pass, {"weight": "grads.W"}; or layer -> gradients by our names.
    arguments:
        What arguments are: {"theirs": "ours"}.
    array:
        Turns NumPy's arrays into what the code takes, such as `torch.tensor`. What it gives back may be of any library.

    Examples
    --------
    A function and its derivative by JAX:

    >>> Adapter(
    ...     make=lambda weight, bias: (weight, bias),
    ...     forward=lambda layer, x: jax.vjp(linear, x, *layer),  # y, and a function for a cache
    ...     backward=lambda layer, dy, vjp: vjp(dy),  # dx, dweight, dbias
    ...     array=jnp.asarray,
    ... )  # doctest: +SKIP
    """

    forward: str | Callable[..., Any] = "forward"
    backward: str | Callable[..., Any] | None = "backward"
    make: Callable[..., Any] | None = None
    parameters: Mapping[str, str] | Callable[[Any], Mapping[str, Any]] | None = None
    gradients: Mapping[str, str] | Callable[[Any], Mapping[str, Any]] | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    array: Callable[[Any], Any] | None = None
