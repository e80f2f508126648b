"""Which of somebody's parameters and layers are which of torch's: as said, or guessed and told."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from torchref.oracle.comparison import Array

LETTERS = {1: "O", 2: "OI", 3: "OIW", 4: "OIHW"}
"""Torch's order of a parameter's axes, by their number: out, in, kernel."""
KNOWN = {1: ("O", "1O", "O1", "1O11"), 2: ("OI", "IO"), 3: ("OIW", "WIO"), 4: ("OIHW", "HWIO", "IOHW", "OHWI")}
"""Layouts that are tried where none was said; others have to be."""


class MismatchError(ValueError):
    """The two networks do not have the same parameters."""


class Partner(NamedTuple):
    """One of the user's parameters: its name, its counterpart's, and its layout."""

    mine: str
    torch: str
    layout: str

    def there(self, array: Any) -> Array:
        """Torch's values in the user's layout."""
        theirs = np.asarray(array)
        letters = self.layout.replace("1", "")
        moved = theirs.transpose([LETTERS[theirs.ndim].index(letter) for letter in letters])
        return np.ascontiguousarray(moved.reshape(shaped(theirs.shape, self.layout)))

    def back(self, array: Any) -> Any:
        """The user's values in torch's layout; what does not fit comes back as it is."""
        letters = self.layout.replace("1", "")
        if not isinstance(array, np.ndarray) or array.ndim != len(self.layout):
            return array
        ones = tuple(place for place, letter in enumerate(self.layout) if letter == "1")
        if any(array.shape[place] != 1 for place in ones):
            return array
        squeezed = array.squeeze(ones)
        return squeezed.transpose([letters.index(letter) for letter in LETTERS[squeezed.ndim]])


def shaped(shape: Sequence[int], layout: str) -> tuple[int, ...]:
    """Torch's shape in another layout."""
    sizes = dict(zip(LETTERS[len(shape)], shape, strict=True)) | {"1": 1}
    return tuple(sizes[letter] for letter in layout)


class Matching(NamedTuple):
    """The parameters' partners by the user's name, what was guessed, and which of torch's the user has not."""

    partners: dict[str, Partner]
    guesses: tuple[str, ...]
    absent: tuple[str, ...] = ()


class AmbiguousError(ValueError):
    """A parameter could be laid out in two ways."""


class Layouts:
    """How somebody lays out weights, by the number of their axes: as said, or as it was seen."""

    def __init__(self, said: str | None = None) -> None:
        words = (said or "").split()
        self.said = {len(word): word for word in words}
        self.seen: dict[int, set[str]] = {}
        if any(sorted(word) != sorted(LETTERS.get(len(word), "")) or len(word) < 2 for word in words):
            raise ValueError(f'weight is {said!r}, expected an order of the letters OI, OIW or OIHW, such as "HWIO IO"')

    def fitting(self, mine: Sequence[int], theirs: Sequence[int]) -> list[str]:
        """The layouts in which a parameter of torch's would have that shape, of those that may be."""
        said = self.said.get(len(theirs))
        if said is None:
            return layouts(mine, theirs)
        return [said] if _fits(mine, theirs, said) else []


def match_parameters(
    mine: Mapping[str, tuple[int, ...]],
    theirs: Mapping[str, tuple[int, ...]],
    said: Mapping[str, Any],
    laid: Layouts | None = None,
) -> Matching:
    """Partners as said; the rest by equal names, or else in order, weights and biases each among themselves.

    Where all of the user's are known by name, what torch has beyond them is absent. `laid` settles what could be laid
    out in two ways, and takes down what could not.

    Raises
    ------
    MismatchError
        If something has no partner, or none of its shape; both lists are shown.
    AmbiguousError
        If two layouts would do.
    ValueError
        If what is said cannot be.
    """
    laid = laid or Layouts()
    partners: dict[str, Partner] = {}
    for name, value in said.items():
        if name in mine:
            torch_name, layout = value if isinstance(value, tuple) else (value, None)
            if torch_name not in theirs:
                raise ValueError(_lists(f"map sends {name!r} to {torch_name!r}, which torch has not", mine, theirs))
            fitting = layouts(mine[name], theirs[torch_name])
            layout = layout or ("".join(LETTERS[len(theirs[torch_name])]) if not fitting else fitting[0])
            if not _fits(mine[name], theirs[torch_name], layout):
                shapes = f"{name} {mine[name]} is not {torch_name} {theirs[torch_name]} in layout {layout!r}"
                raise ValueError(_lists(shapes, mine, theirs))
            partners[name] = Partner(name, torch_name, layout)
    taken = {partner.torch for partner in partners.values()}
    pairs = [(name, name) for name in mine if name in theirs and name not in partners and name not in taken]
    mine_left = [name for name in mine if name not in partners and name not in dict(pairs)]
    theirs_left = [name for name in theirs if name not in taken and name not in dict(pairs)]
    absent = tuple(theirs_left) if not mine_left and partners | dict(pairs) else ()
    guessed = [] if absent else _in_order(mine, mine_left, theirs, theirs_left)
    guesses = []
    for name, torch_name in [*pairs, *guessed]:
        fitting = laid.fitting(mine[name], theirs[torch_name])
        if not fitting:
            raise MismatchError(_lists(f"{name} {mine[name]} fits {torch_name} in no layout", mine, theirs))
        if len(fitting) == 1 or name == torch_name:
            laid.seen.setdefault(len(theirs[torch_name]), set()).add(fitting[0])
    for name, torch_name in [*pairs, *guessed]:
        fitting = laid.fitting(mine[name], theirs[torch_name])
        layout = fitting[0]
        if len(fitting) > 1 and name != torch_name:
            settled = [one for one in fitting if one in laid.seen.get(len(theirs[torch_name]), ())]
            if len(settled) != 1:
                choice = f"{name} may be {' or '.join(fitting)}: say map={{{name!r}: ({torch_name!r}, {layout!r})}}"
                raise AmbiguousError(_lists(choice, mine, theirs))
            layout = settled[0]
        partners[name] = Partner(name, torch_name, layout)
        plain = layout == LETTERS[len(theirs[torch_name])]
        if name != torch_name or not plain:
            guesses.append(f"{name} is {torch_name}" + ("" if plain else f", laid out {layout}"))
    return Matching({name: partners[name] for name in mine if name in partners}, tuple(guesses), absent)


def layouts(mine: Sequence[int], theirs: Sequence[int]) -> list[str]:
    """The layouts in which a parameter of torch's would have that shape, torch's own first; one of those that agree."""
    found = [layout for layout in KNOWN.get(len(theirs), ()) if _fits(mine, theirs, layout)]
    return found[:1] if sum(size > 1 for size in theirs) < 2 else found


def _fits(mine: Sequence[int], theirs: Sequence[int], layout: str) -> bool:
    if sorted(layout.replace("1", "")) != sorted(LETTERS[len(theirs)]):
        raise ValueError(f"layout is {layout!r}, expected an order of the letters {LETTERS[len(theirs)]}, 1s allowed")
    return tuple(mine) == shaped(theirs, layout)


def _in_order(
    mine: Mapping[str, Sequence[int]], mine_left: list[str], theirs: Mapping[str, Sequence[int]], theirs_left: list[str]
) -> list[tuple[str, str]]:
    """Pairs of what is left: first of all in order, or else tensors and vectors each in their own order."""
    if len(mine_left) == len(theirs_left):
        pairs = list(zip(mine_left, theirs_left, strict=True))
        if all(layouts(mine[a], theirs[b]) for a, b in pairs):
            return pairs
    groups = [
        (
            [name for name in mine_left if (sum(size > 1 for size in mine[name]) > 1) == many],
            [name for name in theirs_left if (sum(size > 1 for size in theirs[name]) > 1) == many],
        )
        for many in (True, False)
    ]
    if any(len(a) != len(b) for a, b in groups):
        missing = f"{', '.join(mine_left) or 'nothing'} of yours and {', '.join(theirs_left) or 'nothing'} of torch's"
        raise MismatchError(_lists(f"parameters without a partner: {missing} are left", mine, theirs))
    return [pair for a, b in groups for pair in zip(a, b, strict=True)]


def _lists(what: str, mine: Mapping[str, Sequence[int]], theirs: Mapping[str, Sequence[int]]) -> str:
    def said(shapes: Mapping[str, Sequence[int]]) -> str:
        return ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items()) or "none"

    return f"{what}; yours: {said(mine)}; torch's: {said(theirs)}. Say which is which with map={{yours: torch's}}"


class Blocks(NamedTuple):
    """For each of the user's layers the torch layers it does the work of, and what has no counterpart."""

    layers: dict[str, tuple[str, ...]]
    extra: tuple[str, ...]
    guesses: tuple[str, ...]
    misplaced: tuple[str, ...] = ()
    """Layers that come in another order than torch's."""


def match_layers(
    mine: Sequence[str],
    theirs: Sequence[str],
    said: Mapping[str, Any],
    partners: Mapping[str, Partner],
    nearest: Any,
) -> Blocks:
    """By what was said, by name, by the parameters they hold, and between those by order where the numbers agree.

    `nearest(layer, candidates)` tells which torch layer's output the output of one of the user's is nearest to, with
    `entering` the same of their inputs: one layer may do the work of several.
    """
    ends: dict[str, str] = {}
    guesses = []
    owner = {partner.mine.rpartition(".")[0]: partner.torch.rpartition(".")[0] for partner in partners.values()}
    for name in mine:
        if isinstance(said.get(name), str) and said[name] in theirs:
            ends[name] = said[name]
        elif owner.get(name) in theirs:
            ends[name] = owner[name]
        elif name in theirs and (not name.isdigit() or len(mine) == len(theirs)):  # places in a list are no names
            ends[name] = name
    place = {name: i for i, name in enumerate(theirs)}
    anchors = [name for name in mine if name in ends]
    extra: list[str] = []
    for before, after in zip(["", *anchors], [*anchors, ""], strict=True):
        own = list(mine[mine.index(before) + 1 if before else 0 : mine.index(after) if after else len(mine)])
        start = place[ends[before]] + 1 if before else 0
        stop = place[ends[after]] if after else len(theirs)
        left = list(theirs[start:stop])
        if len(own) == len(left):
            ends |= dict(zip(own, left, strict=True))
        elif own:
            extra += own
        elif before and left and before not in said:
            ends[before] = nearest(before, [ends[before], *left])
    guesses += [f"layer {name} is {end}" for name, end in ends.items() if name != end and name not in said]
    blocks: dict[str, tuple[str, ...]] = {}
    start = 0
    misplaced = []
    for name in (name for name in mine if name in ends):
        stop = place[ends[name]] + 1
        if stop <= start:
            misplaced.append(name)
            continue
        # What is done between the layers is in none of them: then a layer takes another input than what came before.
        entry = nearest(name, list(theirs[start:stop]), entering=True)
        blocks[name] = tuple(theirs[place[entry] : stop])
        start = stop
    return Blocks(blocks, tuple(extra), tuple(guesses), tuple(misplaced))
