"""In what somebody's optimiser is handed parameters and gradients: a dict by which names, or a list."""

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.subjects.calls import Call, parameters_of
from torchref.oracle.subjects.names import assign, synonyms
from torchref.oracle.subjects.parts import STEP, method

ROLES = ["params", "gradients", "state", "w", "dw", "v"]


@dataclass(frozen=True)
class Form:
    """One way to hand arrays over.

    Attributes
    ----------
    said:
        What is printed as guessed; "" for dicts by our names.
    prefix:
        What the name of a gradient has before its parameter's.
    numbered:
        Whether parameters are called W1, b1, W2, b2, …, always in pairs.
    listed:
        Whether they come in a list.
    """

    said: str = ""
    prefix: str = ""
    numbered: bool = False
    listed: bool = False

    def give(self, arrays: Mapping[str, Array], prefix: str = "") -> dict[str, Array] | list[Array]:
        """What is handed over."""
        if self.listed:
            return list(arrays.values())
        theirs = dict(zip(self._names(arrays, prefix), arrays.values(), strict=True))
        if self.numbered and len(theirs) % 2:
            theirs[f"{prefix}b{len(theirs) // 2 + 1}"] = np.zeros(1)
        return theirs

    def take(self, theirs: Any, params: MutableMapping[str, Array], read: Callable[[str, Any], Array]) -> None:
        """Read parameters from what was handed over, or came back."""
        if isinstance(theirs, Mapping):
            own = zip(params, self._names(params, ""), strict=True)
            params.update({name: read(name, theirs[key]) for name, key in own if key in theirs})
        elif isinstance(theirs, list) and len(theirs) == len(params):
            params.update({name: read(name, value) for name, value in zip(params, theirs, strict=True)})

    def _names(self, arrays: Mapping[str, Array], prefix: str) -> list[str]:
        names = (f"{'Wb'[i % 2]}{i // 2 + 1}" for i in range(len(arrays))) if self.numbered else arrays
        return [prefix + name for name in names]


PLAIN = Form()
FORMS = (
    PLAIN,
    Form("the gradient of W is called dW", prefix="d"),
    Form("parameters are called W1, b1, …, and gradients dW1, db1, …", prefix="d", numbered=True),
    Form("parameters and gradients come in lists", listed=True),
)


def holds(make: Any, make_call: Call, part: Any) -> bool:
    """Whether a class is given the parameters when it makes an object, as its step asks for none.

    Raises
    ------
    ValueError
        If its step asks for no gradients either: they are attributes of something that we know nothing of.
    """
    words = synonyms("params")
    if not isinstance(make, type) or not any(name.lower() in words for name in make_call.roles):
        return False
    step = getattr(make, str(method(make, part, STEP)), None)
    names = [p.name for p in (parameters_of(step) or [])[1:]] if step is not None else ["params"]
    taken = assign(names, ROLES, {}).values()
    if {"params", "w"} & set(taken):
        return False
    if not taken:
        raise ValueError(
            f"{make_call.name} is made with the parameters and steps without being given gradients; wrap it in a class "
            "with step(params, grads), two dicts of arrays by name, that sets both and copies the new values back"
        )
    return True
