"""Code by where it is: "homework.py:conv_forward,conv_backward" or "package.module:Conv"."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torchref.oracle.subjects.guard import TIME_LIMIT, Guard
from torchref.oracle.subjects.subject import Misbehaviour


def load(text: str, time_limit: float = TIME_LIMIT) -> tuple[Any, ...]:
    """What a text such as "homework.py:f,g" names: one or two parts.

    Raises
    ------
    ValueError
        If there is no such file, module or name, or if importing it fails; `Misbehaviour` is one.
    """
    place, colon, names = text.rpartition(":")
    wanted = [name.strip() for name in names.split(",")]
    if not colon or not place or not all(wanted) or len(wanted) > 2:
        raise ValueError(f'{text!r} is no place of code, expected "file.py:forward,backward" or "module:Class"')
    module = load_module(place, time_limit)
    return tuple(part(module, place, name) for name in wanted)


def part(module: ModuleType, place: str, name: str) -> Any:
    """A function or class of a module; within a class, or another module, its name with dots.

    Raises
    ------
    ValueError
        If it is not there; with what is.
    """
    found: Any = module
    for step in name.split("."):
        if not hasattr(found, step):
            own = [
                key
                for key, value in vars(module).items()
                if callable(value) and getattr(value, "__module__", None) == module.__name__
            ]
            raise ValueError(f"{place} has no {name!r}, it has {', '.join(own) or 'no functions or classes'}")
        found = getattr(found, step)
    return found


def load_module(place: str, time_limit: float = TIME_LIMIT) -> ModuleType:
    """A module by its file or its name, imported with the file's folder (or the current one) on the path meanwhile."""
    guard = Guard(time_limit, may_draw=True)
    if not place.endswith(".py") and not Path(place).is_file():
        with _on_path(Path.cwd()):
            return _imported(guard, place, importlib.import_module, place)
    path = Path(place).resolve()
    if not path.is_file():
        raise ValueError(f"there is no file {place!r}")
    with _on_path(path.parent), _without_traces(path.parent):
        return _imported(guard, place, _run, path)


def _imported(guard: Guard, place: str, do: Any, argument: Any) -> ModuleType:
    try:
        module: ModuleType = guard.call("import", do, argument)
    except Misbehaviour as trouble:
        raise Misbehaviour("import", f"of {place} {trouble.what}", hangs=trouble.hangs) from trouble
    return module


def _run(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:  # a name that does not end in .py
        raise ImportError("a file of Python code has a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up while it is run
    spec.loader.exec_module(module)
    return module


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    """Let modules be found in a folder for a while."""
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)


@contextmanager
def _without_traces(folder: Path) -> Iterator[None]:
    """Forget the modules that were imported from a folder: another homework's may have the same names."""
    before = dict(sys.modules)
    try:
        yield
    finally:
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if before.get(name) is not module and file and Path(file).parent == folder:
                del sys.modules[name]
                if name in before:
                    sys.modules[name] = before[name]
