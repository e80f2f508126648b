"""What `twice check` can judge: all kinds, or one with its signature, features and cases."""

import inspect
from typing import Any

from experiments.errors import USAGE_ERROR, UserError, close_matches
from experiments.invocation import command
from experiments.terminal import plain_table, screen


def show_kinds() -> None:
    """Print the kinds with what is expected of each, by family."""
    from torchref.oracle.kinds import KINDS

    table = plain_table("kind", "your functions", "or")
    table.columns[2].justify = "left"
    for kind in KINDS.values():
        for number, line in enumerate(signatures(kind)):
            table.add_row("" if number else kind.name, line, "" if number else ", ".join(kind.aliases))
    console = screen()
    console.print(table)
    print(f"\n{command('check', '--like', 'conv2d')} shows one kind's features and cases")
    print(f"{command('check', 'FILE.py:forward,backward', '--like', 'conv2d')} checks your functions")


def show_kind(like: str) -> None:
    """Print one kind: signature, axes, features that may be lacking, cases.

    Raises
    ------
    UserError
        If there is none of that name.
    """
    from torchref.oracle.kinds import KINDS, find

    try:
        kind = find(like)
    except ValueError:
        known = [*KINDS, *(alias for kind in KINDS.values() for alias in kind.aliases)]
        said = f"--like: expected one of {', '.join(KINDS)}; got {like!r}{close_matches(like, known)}"
        raise UserError(said, USAGE_ERROR) from None
    for line in signatures(kind):
        print(f"{kind.name}: {line}")
    if axes := {name: letters for name, letters in kind.axes.items() if letters}:
        print(f"axes: {', '.join(f'{name} {letters}' for name, letters in axes.items())}")
    console = screen()
    for title, rows in (
        ("feature", kind.features.items()),
        ("case", ((case.slug, f"{case.label}  {said_needs(case.needs)}".rstrip()) for case in kind.cases)),
    ):
        table = plain_table(title, "")
        for name, text in rows:
            table.add_row(name, text)
        console.print()
        console.print(table, markup=False)


def said_needs(needs: frozenset[str]) -> str:
    """The features that a case needs, in brackets."""
    return f"({', '.join(sorted(needs))})" if needs else ""


def signatures(kind: Any) -> tuple[str, ...]:
    """What a pair of functions of this kind takes and returns."""
    config = dict.fromkeys(kind.settings)
    given = ", ".join((*kind.parameters, *config))
    grads = "".join(f", d{name}" for name in kind.parameters)
    if kind.family in ("layer", "activation"):
        inputs = f"x, {given}" if given else "x"
        return f"forward({inputs}) -> y, cache", f"backward(dy, cache) -> dx{grads}"
    if kind.family == "loss":
        return "forward(output, target) -> value, cache", "backward(cache) -> doutput"
    return (f"{kind.twin.__name__}{inspect.signature(kind.twin)}",)
