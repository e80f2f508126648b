"""The catalogue of whole networks: what `like` takes for them, and the sizes each is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torchref
from torchref.oracle.kinds.kind import Case


@dataclass(frozen=True)
class NetworkKind:
    """A network of torchref; `twin` makes one from a case's configuration and the dtype."""

    name: str
    twin: Callable[..., Any]
    cases: tuple[Case, ...]
    classes: int
    aliases: tuple[str, ...] = ()
    family: str = "network"


def _mlp(slug: str, samples: int, *sizes: int) -> Case:
    return Case(slug, f"N{samples} {'-'.join(map(str, sizes))}", {"sizes": sizes}, (samples, sizes[0]))


def _images(slug: str, samples: int, pixels: int) -> Case:
    return Case(slug, f"N{samples} {pixels}x{pixels}", {}, (samples, 1, pixels, pixels))


MLP = NetworkKind(
    name="mlp",
    aliases=("multilayer_perceptron", "perceptron"),
    twin=torchref.MLP,
    classes=4,
    cases=(
        _mlp("plain", 9, 7, 6, 5, 4),
        _mlp("one-hidden", 3, 5, 8, 4),
        _mlp("linear", 6, 3, 4),
        _mlp("equal", 4, 4, 4, 4, 4),
        _mlp("n1", 1, 5, 3, 4),
    ),
)
LENET5 = NetworkKind(
    name="lenet5",
    aliases=("lenet",),
    twin=torchref.LeNet5,
    classes=10,
    cases=(_images("28x28", 3, 28), _images("32x32", 2, 32), _images("n1", 1, 28)),
)
NETWORKS = {kind.name: kind for kind in (MLP, LENET5)}


def find_network(like: Any) -> NetworkKind | None:
    """The network of that name or alias; None if it is none."""
    plain = "".join(c for c in str(like).lower() if c.isalnum())
    for kind in NETWORKS.values():
        if plain in [name.replace("_", "") for name in (kind.name, *kind.aliases)]:
            return kind
    return None
