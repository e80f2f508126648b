"""What `twice check` can judge: all kinds, or one with its signature, features and cases."""

from typing import Any, Final

from experiments.errors import USAGE_ERROR, UserError, close_matches
from experiments.invocation import command
from experiments.terminal import plain_table, screen

#: By family; parameters and grads are dicts by name, w and dw arrays.
SIGNATURES: Final = {
    "loss": ("forward(output, target) -> value, cache", "backward(cache) -> doutput"),
    "penalty": ("forward(parameters) -> value, cache", "backward(cache) -> grads"),
    "optimizer": ("step(parameters, grads, lr), or step(w, dw, lr) -> w",),
    "network": ("Network(sizes, …), whose layers are found, or are methods; or a factory of such objects",),
    "initializer": ("initialize(shape, rng) -> array",),
}


def show_kinds() -> None:
    """Print the kinds with what is expected of each."""
    kinds = all_kinds()
    width = max(map(len, kinds)) + 2
    for kind in kinds.values():
        aliases = (f"or --like {', '.join(kind.aliases)}",) if kind.aliases else ()
        for number, line in enumerate((*signatures(kind), *aliases)):
            print(f"{'' if number else kind.name:<{width}}{line}")
    print(f"\n{command('check', '--like', 'conv2d')} shows one kind's features and cases")
    print(f"{command('check', 'FILE.py:forward,backward', '--like', 'conv2d')} checks your functions")


def show_kind(like: str) -> None:
    """Print one kind: signature, axes, features that may be lacking, cases.

    Raises
    ------
    UserError
        If there is none of that name.
    """
    from torchref.oracle.kinds import find
    from torchref.oracle.kinds.networks import find_network

    kinds = all_kinds()
    try:
        kind: Any = find_network(like) or find(like)
    except ValueError:
        known = [*kinds, *(alias for kind in kinds.values() for alias in kind.aliases)]
        said = f"--like: expected one of {', '.join(kinds)}; got {like!r}{close_matches(like, known)}"
        raise UserError(said, USAGE_ERROR) from None
    for line in signatures(kind):
        print(f"{kind.name}: {line}")
    is_network = kind.family == "network"
    if axes := {} if is_network else {name: letters for name, letters in kind.axes.items() if letters}:
        print(f"axes: {', '.join(f'{name} {letters}' for name, letters in axes.items())}")
    console = screen()
    for title, rows in (
        ("feature", () if is_network else kind.features.items()),
        ("case", ((case.slug, f"{case.label}  {said_needs(case.needs)}".rstrip()) for case in kind.cases)),
    ):
        table = plain_table(title, "")
        for name, text in rows:
            table.add_row(name, text)
        if table.row_count:
            console.print()
            console.print(table, markup=False)


def all_kinds() -> dict[str, Any]:
    """What can be judged, by name: layers, activations, losses, …, and networks."""
    from torchref.oracle.kinds import KINDS
    from torchref.oracle.kinds.networks import NETWORKS

    return {**KINDS, **NETWORKS}


def said_needs(needs: frozenset[str]) -> str:
    """The features that a case needs, in brackets."""
    return f"({', '.join(sorted(needs))})" if needs else ""


def signatures(kind: Any) -> tuple[str, ...]:
    """What functions of this kind take and return, under our names; objects with such methods will do as well."""
    if kind.family in ("layer", "activation"):
        given = ", ".join((*kind.parameters, *kind.settings))
        grads = "".join(f", d{name}" for name in kind.parameters)
        return f"forward({f'x, {given}' if given else 'x'}) -> y, cache", f"backward(dy, cache) -> dx{grads}"
    return SIGNATURES[kind.family]
