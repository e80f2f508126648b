"""The state of the process that somebody else's code must leave as it was: watched, and put back."""

import builtins
import ctypes
import locale
import os
import random
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch


class Watched(NamedTuple):
    """One piece of state: what changing it is called, how it is read, compared and put back."""

    changed: str
    read: Callable[[], Any]
    same: Callable[[Any, Any], bool]
    restore: Callable[[Any], Any]


def _same(before: Any, now: Any) -> bool:
    return bool(before == now)


class _Legacy(NamedTuple):
    """NumPy's global generator: whose numbers it hands out, their raw state, and all of its state."""

    generator: Any
    raw: bytes
    state: Any


_RAW_SIZE = 2500
"""Bytes of a Mersenne twister's state: 624 words and a position."""
_last: list[_Legacy] = []
_random: Any = np.random  # whose stubs leave out two functions


def _get_numpy() -> _Legacy:
    """All of the state takes 40 µs; so it is read only when the raw state, read in 1 µs, is another than last time."""
    generator: Any = _random.get_bit_generator()
    twister = isinstance(generator, np.random.MT19937)
    raw = ctypes.string_at(generator.ctypes.state_address, _RAW_SIZE) if twister else repr(generator.state).encode()
    if not _last or _last[0].generator is not generator or _last[0].raw != raw:
        _last[:] = [_Legacy(generator, raw, np.random.get_state(legacy=False))]  # noqa: NPY002 (others misuse it)
    return _last[0]


def _set_numpy(before: _Legacy) -> None:
    _random.set_bit_generator(before.generator)
    np.random.set_state(before.state)  # noqa: NPY002


def _get_directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 (a tenth of the time, at each call)
    except FileNotFoundError:  # somebody has deleted it
        return ""


def _set_directory(path: str) -> None:
    if path:
        os.chdir(path)


RANDOM = (
    Watched(
        "changes NumPy's global random state",
        _get_numpy,
        lambda a, b: a is b,
        _set_numpy,
    ),
    Watched("changes Python's global random state", random.getstate, _same, random.setstate),
    Watched("changes torch's global random state", torch.get_rng_state, torch.equal, torch.set_rng_state),
)
"""The global generators."""

SETTINGS = (
    Watched("changes torch's default dtype", torch.get_default_dtype, lambda a, b: a is b, torch.set_default_dtype),
    Watched("changes the working directory", _get_directory, _same, _set_directory),
    Watched("changes Python's recursion limit", sys.getrecursionlimit, _same, sys.setrecursionlimit),
    Watched(
        "changes the locale",
        lambda: locale.setlocale(locale.LC_ALL),
        _same,
        lambda name: locale.setlocale(locale.LC_ALL, name),
    ),
)
"""Settings of the whole process. NumPy's error state and torch's grad mode belong to the thread and go with it."""

PATCHED = (builtins, np, np.random, np.linalg)
"""Modules whose functions must stay what they are."""

IMPORTED = ("numpy", "torch", "torchref", "random", "os", "sys", "builtins")
"""Modules, with those inside them, that must stay imported: a second import of NumPy fails."""

forked: list[None] = []
"""One entry for each fork of this process."""
os.register_at_fork(after_in_parent=lambda: forked.append(None))


class Watch:
    """The state as it was when this was made.

    Parameters
    ----------
    random:
        Whether the global random generators are watched too.
    """

    def __init__(self, *, random: bool) -> None:
        self._watched = (*RANDOM, *SETTINGS) if random else SETTINGS
        self._before = [(each, each.read()) for each in self._watched]
        self._modules = [(module, vars(module).copy()) for module in PATCHED]
        self._imported = sys.modules.copy()

    def restore(self) -> list[str]:
        """Put everything back as it was; return what had been changed, in words."""
        imported = self._imported
        changes = [f"takes {n} out of sys.modules" for n in IMPORTED if sys.modules.get(n) is not imported[n]]
        if changes:
            sys.modules.update({name: imported[name] for name in imported if name.split(".")[0] in IMPORTED})
        for module, before in self._modules:
            now = vars(module)
            if now != before:  # entries are equal if they are the same object, which is decided first
                changed = [name for name in before if name not in now or now[name] is not before[name]]
                now.update({name: before[name] for name in changed})
                changes += [f"replaces {module.__name__}.{name}" for name in changed]
        for each, before in self._before:
            now = each.read()
            if not each.same(before, now):
                each.restore(before)
                changes.append(each.changed)
        return changes
