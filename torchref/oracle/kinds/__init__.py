"""What the oracle can judge: everything that torchref has, by the name that `like` takes."""

from typing import Any

from torchref.oracle.kinds.activations import ACTIVATIONS
from torchref.oracle.kinds.initializer_kind import INITIALIZERS
from torchref.oracle.kinds.kind import DTYPES, Case, Kind, Trial
from torchref.oracle.kinds.layers import LAYERS
from torchref.oracle.kinds.losses import LOSSES
from torchref.oracle.kinds.module_kind import kind_of
from torchref.oracle.kinds.networks import NETWORKS
from torchref.oracle.kinds.optimizer_kind import SGD
from torchref.oracle.kinds.penalty_kind import L2_PENALTY

_ALL: tuple[Kind, ...] = (*LAYERS, *ACTIVATIONS, *LOSSES, L2_PENALTY, SGD, *INITIALIZERS)
KINDS = {kind.name: kind for kind in _ALL}
"""By name."""

__all__ = ["DTYPES", "KINDS", "Case", "Kind", "Trial", "find"]


def find(like: Any, shape: tuple[int, ...] | None = None) -> Kind:
    """The kind of that name or alias, whatever the case, hyphens and underscores; or the one that a module makes.

    Parameters
    ----------
    like:
        A name, a `torch.nn.Module` or a callable of one tensor; a loss, or a callable of two, is judged as a loss.
    shape:
        Of its (first) input, where it is no name.

    Raises
    ------
    TypeError, ValueError
        If there is none of that name (all are listed), or the module cannot be judged on that shape.
    """
    if not isinstance(like, str) and callable(like):
        return kind_of(like, shape)
    plain = _plain(like)
    for kind in KINDS.values():
        if plain in map(_plain, (kind.name, *kind.aliases)):
            return kind
    raise ValueError(
        f"like is {like!r}, expected one of {', '.join((*KINDS, *NETWORKS))}, or a torch.nn.Module or callable"
    )


def _plain(name: Any) -> str:
    return "".join(c for c in str(name).lower() if c.isalnum())
