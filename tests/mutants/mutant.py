"""Planted bugs: realistic mistakes in hand-written back-propagation, each a small edit of `scratch`'s source.

A mutant is a name and the edits that make it. `mutated` gives a copy of the package with the edits applied, importable
beside the original; an edit whose text does not stand exactly once in its file is an error: no mutant goes stale in
silence.
"""

import atexit
import compileall
import importlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from py_compile import PycInvalidationMode
from types import ModuleType

import scratch


@dataclass(frozen=True)
class Edit:
    """In `file`, `old` becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A named mistake."""

    name: str
    edits: tuple[Edit, ...]


def mutant(name: str, file: str, *replacements: tuple[str, str]) -> Mutant:
    """A mutant of one file."""
    return Mutant(name, tuple(Edit(file, old, new) for old, new in replacements))


def in_buffer(result: str) -> str:
    """Statements that write `result` into an array of the layer's that the next one of its shape is written into."""
    return (
        f"        buffers = self.__dict__.setdefault('buffers', {{}})\n"
        f"        buffer = buffers.setdefault(({result!r}, {result}.shape), np.empty_like({result}))\n"
        f"        buffer[...] = {result}\n"
        f"        {result} = buffer\n"
    )


@cache
def compiled() -> Path:
    """A copy of `scratch` with its bytecode, which every mutant but for what is edited has in common."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    source = Path(scratch.__file__).parent
    copy = shutil.copytree(source, folder / "scratch", ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(copy, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return copy


@contextmanager
def mutated(bug: Mutant, folder: Path) -> Iterator[ModuleType]:
    """A copy of `scratch` with the bug in it, imported from `folder`; the original is back in place afterwards.

    Raises
    ------
    ValueError
        If an edit's text does not stand exactly once in its file.
    """
    copy = shutil.copytree(compiled(), folder / "scratch")
    for edit in bug.edits:
        path = copy / edit.file
        text = path.read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            raise ValueError(f"mutant {bug.name!r}: {edit.old!r} stands {text.count(edit.old)} times in {edit.file}")
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    original = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "scratch"}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield importlib.import_module("scratch")
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] == "scratch"]:
            del sys.modules[name]
        sys.modules.update(original)
