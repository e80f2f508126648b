"""How somebody's function is called: which of its arguments is what."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torchref.oracle.subjects.names import assign

Parameter = inspect.Parameter
VARIABLE = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def named(function: Any) -> str:
    """What a function, class or object is called in reports."""
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def parameters_of(function: Callable[..., Any]) -> list[Parameter] | None:
    """The arguments of a function; None if Python does not know them, or it takes any."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except Exception:  # what has none, and what has one of its own that cannot be read
        return None
    return None if found and all(p.kind in VARIABLE for p in found) else found


@dataclass(frozen=True)
class Call:
    """A function with the roles of its arguments.

    Attributes
    ----------
    function:
        The user's.
    name:
        What it is called.
    parameters:
        Its arguments, in its order.
    roles:
        By argument; what has none is left to its default.
    """

    function: Callable[..., Any]
    name: str
    parameters: tuple[Parameter, ...]
    roles: Mapping[str, str]

    def arguments(self, values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments, from the values by role; what has no value is left to its default."""
        positional: list[Any] = []
        keywords: dict[str, Any] = {}
        gap = False
        for parameter in self.parameters:
            if self.roles.get(parameter.name) not in values:
                gap = gap or parameter.kind is not Parameter.VAR_POSITIONAL
            elif parameter.kind is Parameter.KEYWORD_ONLY or gap:
                keywords[parameter.name] = values[self.roles[parameter.name]]
            else:
                positional.append(values[self.roles[parameter.name]])
        return positional, keywords

    def has(self, role: str) -> bool:
        """Whether some argument is this, the half of it, or a dict of settings."""
        own = self.roles.values()
        halves = {name.removeprefix("1-").split("[")[0] for name in own}
        return role in halves or ("settings" in own and role not in ("x", "weight", "bias", "mask", "connections"))

    def optional(self, role: str) -> bool:
        """Whether some argument is this and has a default."""
        return any(self.roles.get(p.name) == role and p.default is not Parameter.empty for p in self.parameters)

    @property
    def said(self) -> str:
        """Which argument is what, in a sentence; "" if all are called as we call them."""
        renamed = [
            f"{name} is {meaning(role)}" for name, role in self.roles.items() if name != role and role != f"use_{name}"
        ]
        return f"{self.name}: {', '.join(renamed)}" if renamed else ""


MEANINGS = {
    "x": "the input",
    "dy": "the gradient that arrives",
    "y": "the output",
    "cache": "the cache",
    "settings": "a dict of the settings",
    "1-p": "the probability to keep a unit",
    "use_bias": "whether there is a bias",
    "onehot": "the one-hot target",
    "lr": "the learning rate",
}


def meaning(role: str) -> str:
    """A role in words."""
    name, _, place = role.partition("[")
    return f"the {'width' if place.startswith('1') else 'height'} of {name}" if place else MEANINGS.get(name, name)


def _is_mask(parameter: Parameter, roles: Sequence[str]) -> bool:
    """Whether it is the mask that one may leave out, as in forward(x, *mask)."""
    return parameter.kind is Parameter.VAR_POSITIONAL and "mask" in assign([parameter.name], roles, {}).values()


def understand(
    function: Callable[..., Any],
    roles: Sequence[str],
    declared: Mapping[str, str],
    *,
    first: str = "",
    fallback: Sequence[str] = (),
) -> Call:
    """Find out what the arguments of a function are.

    Parameters
    ----------
    function:
        The user's.
    roles:
        What there is to be given, the most important first.
    declared:
        Roles by argument, as the user said.
    first:
        The role of the first argument, unless another has it by its name.
    fallback:
        The roles that arguments with unknown names have by their position.

    Raises
    ------
    ValueError
        If an argument without a default cannot be understood.
    """
    name = named(function)
    parameters = parameters_of(function)
    if parameters is None:
        plain = [Parameter(role, Parameter.POSITIONAL_ONLY) for role in fallback]
        return Call(function, name, tuple(plain), {role: role for role in fallback})
    ordinary = [p for p in parameters if p.kind not in VARIABLE or _is_mask(p, roles)]
    found = assign([p.name for p in ordinary], roles, declared)
    left = [role for role in fallback if role not in found.values()]
    if first and first not in found.values():
        free = [p.name for p in ordinary if p.name not in declared and found.get(p.name) != "cache"]
        if free:
            found[free[0]] = first
            left = [role for role in fallback if role not in found.values()]
    for parameter in ordinary:
        if parameter.name not in found and parameter.default is Parameter.empty:
            if not left:
                known = ", ".join(roles)
                raise ValueError(
                    f"{name} asks for {parameter.name!r}, which is not known; say what it is by "
                    f"arguments={{{parameter.name!r}: …}}, one of {known}"
                )
            found[parameter.name] = left.pop(0)
    return Call(function, name, tuple(ordinary), {p.name: found[p.name] for p in ordinary if p.name in found})
