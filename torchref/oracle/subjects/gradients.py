"""The gradients that a backward part returns, sorted by what they belong to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torchref.oracle.subjects.arrays import describe, is_array
from torchref.oracle.subjects.names import plain, synonyms
from torchref.oracle.subjects.subject import Misbehaviour

BEFORE, AFTER = (
    ("d", "grad", "gradient", "g", "dj", "dl", "dloss", "dld", "djd", "delta", "nabla"),
    ("grad", "gradient", "delta"),
)
"""What is put before or after a tensor's name to name its gradient."""


def words(names: Iterable[str]) -> list[str]:
    """What gradients of tensors of these names are called, in plain letters: dw, gradw, wgrad, … of "W"."""
    plainly = [plain(name) for name in names]
    return [f"{word}{name}" for name in plainly for word in BEFORE] + [f"{n}{word}" for n in plainly for word in AFTER]


def find_gradient(keys: Iterable[str], role: str, theirs: str) -> str | None:
    """Which of the keys names the gradient of a tensor that the user calls `theirs`."""
    by_word = {plain(key): key for key in keys}
    usual = [plain(theirs), *synonyms(role)]
    for word in (*words(usual), *usual):
        if word in by_word:
            return by_word[word]
    return None


def sort_gradients(
    result: Any, asked: Sequence[str], wanted: Sequence[str], theirs: Mapping[str, str]
) -> dict[str, Any]:
    """The gradients by our names.

    Parameters
    ----------
    result:
        What the backward part returned: one array, several in the order of `asked`, a dict by names, or dx and a dict.
    asked:
        "x" and the parameters, in the order of the forward part's arguments.
    wanted:
        Those of them that there are in this configuration (perhaps there is no bias).
    theirs:
        What the user calls them.

    Raises
    ------
    Misbehaviour
        If it is something else, or more or less.
    """
    expected = ", ".join(f"d{theirs[role]}" for role in wanted)
    if isinstance(result, Mapping):
        keys = {role: find_gradient(map(str, result), role, theirs[role]) for role in wanted}
        return {role: result[key] for role, key in keys.items() if key is not None}
    if isinstance(result, tuple | list):
        if len(result) == 2 and isinstance(result[1], Mapping):
            return {"x": result[0]} | sort_gradients(result[1], asked, [r for r in wanted if r != "x"], theirs)
        if len(result) not in (len(wanted), len(asked)):
            raise Misbehaviour("backward", f"returns {describe(result)}, expected {len(wanted)}: {expected}")
        roles = wanted if len(result) == len(wanted) else asked
        return {role: value for role, value in zip(roles, result, strict=True) if role in wanted}
    if is_array(result) and list(wanted) == ["x"]:
        return {"x": result}
    raise Misbehaviour("backward", f"returns {describe(result)}, expected {expected}")
