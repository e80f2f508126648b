"""How a word of the command line becomes a value, and what is said when it cannot.

tyro's own messages for a wrong choice or a wrong number quote Python's; these name what was expected and the nearest
choice.
"""

import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments.errors import close_matches


def parse_hidden(text: str) -> tuple[int, ...]:
    """Sizes of the hidden layers from `"300,100"`.

    Parameters
    ----------
    text:
        Whole numbers separated by commas, from the input side to the output side.

    Returns
    -------
    tuple of int
        One size per hidden layer; whether they are positive is `validate`'s question.

    Raises
    ------
    ValueError
        If a part is not a whole number.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"expected whole numbers separated by commas, such as 300,100; got {text!r}") from None


def parse_whole_number(text: str) -> int:
    """Return the whole number that a word of the command line spells; `ValueError` if it spells none."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"expected a whole number, got {text!r}") from None


def parse_number(text: str) -> float:
    """Return the number that a word of the command line spells; `ValueError` if it spells none."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected a number, got {text!r}") from None


def one_of(choices: Any) -> Any:
    """Return the command-line form of a `Literal`: tyro's own names the choices but not the one that was meant."""
    names: tuple[str, ...] = typing.get_args(choices)

    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"expected one of {', '.join(names)}; got {text!r}{close_matches(text, names)}")
        return text

    return word(parse, "|".join(names))


def word(parse: Callable[[str], Any], metavar: str, show: Callable[[Any], str] = str) -> Any:
    """Return how one word of the command line becomes a value, in a form that tyro understands."""
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: parse(words[0]),
        is_instance=lambda _: True,  # defaults come from validated configurations only
        str_from_instance=lambda value: [show(value)],
    )


def commas(sizes: Iterable[int]) -> str:
    """Return the inverse of `parse_hidden`."""
    return ",".join(map(str, sizes))


Whole = Annotated[int, word(parse_whole_number, "N")]
Real = Annotated[float, word(parse_number, "X")]
Folder = Annotated[Path | None, word(Path, "DIR", lambda path: "none" if path is None else str(path))]
