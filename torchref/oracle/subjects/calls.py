"""How somebody's function is called: which of its arguments is what."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torchref.oracle.subjects.names import assign

Parameter = inspect.Parameter
VARIABLE = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def named(function: Any) -> str:
    """What a function or class is called in reports."""
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def parameters_of(function: Callable[..., Any]) -> list[Parameter] | None:
    """The arguments of a function; None if Python does not know them."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None


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
        Its arguments that get a value, in its order.
    roles:
        By argument.
    """

    function: Callable[..., Any]
    name: str
    parameters: tuple[Parameter, ...]
    roles: Mapping[str, str]

    def arguments(self, values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments, from the values by role."""
        positional: list[Any] = []
        keywords: dict[str, Any] = {}
        gap = False
        for parameter in self.parameters:
            if self.roles[parameter.name] not in values:
                gap = True
            elif parameter.kind is Parameter.KEYWORD_ONLY or gap:
                keywords[parameter.name] = values[self.roles[parameter.name]]
            else:
                positional.append(values[self.roles[parameter.name]])
        return positional, keywords

    def has(self, role: str) -> bool:
        """Whether some argument is this, or the half of it."""
        return any(own.split("[")[0] == role for own in self.roles.values())

    @property
    def said(self) -> str:
        """Which argument is what, in a sentence; "" if all are called as we call them."""
        renamed = [f"{name} is {role}" for name, role in self.roles.items() if name != role]
        return f"{self.name}: {', '.join(renamed)}" if renamed else ""


def understand(
    function: Callable[..., Any],
    roles: Sequence[str],
    declared: Mapping[str, str],
    *,
    fallback: Sequence[str],
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
    ordinary = [p for p in parameters if p.kind not in VARIABLE]
    found = assign([p.name for p in ordinary], roles, declared)
    left = [role for role in fallback if role not in found.values()]
    for parameter in ordinary:
        if parameter.name not in found and parameter.default is Parameter.empty:
            if not left:
                raise ValueError(
                    f"{name} asks for {parameter.name!r}, which is unknown; say what it is: "
                    f"arguments={{{parameter.name!r}: ...}} with one of {', '.join(roles)}"
                )
            found[parameter.name] = left.pop(0)
    used = tuple(p for p in ordinary if p.name in found)
    return Call(function, name, used, {p.name: found[p.name] for p in used})
