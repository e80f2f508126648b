"""Says what is about to run, so that whoever supervises this process knows what it was at if it dies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, str], None]

_listeners: list[Listener] = []


def announce(event: str, what: str) -> None:
    """Tell the listeners: "case" with its slug, "call" with the part that is called, "back" when it came back."""
    for listener in _listeners:
        listener(event, what)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have `listener` told everything that is announced."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
