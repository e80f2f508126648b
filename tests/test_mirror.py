"""The two wings mirror each other: files, names, signatures, and a row in the table for everything public."""

import ast
import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import scratch
import torchref
from tests import cases
from tests.refusals import REFUSALS

# Where an array lives is a question NumPy does not have.
TORCH_ONLY = {"device"}
# The third witness has no twin: it is held against both wings instead (test_literal*.py).
LITERAL = {"literal.py", "literal_convolution.py", "literal_subsampling.py"}
# What torch has within: unfolding, passes there and back, threads, and memory that is kept for the next tensor.
SPEED = {
    f"{name}.py"
    for name in (
        *("unfolding", "passes", "batch", "capture", "recording", "traced"),
        *("memory", "parallel", "worker", "channel", "exchange"),
    )
}
SCRATCH_ONLY = LITERAL | SPEED


def parameters(callable_: object, *, without: set[str] = frozenset()) -> list[tuple[str, object, object]]:
    """Names, kinds and defaults; a wing's own float32 counts as the same default."""
    assert callable(callable_)
    if getattr(callable_, "__init__", None) is torch.nn.Module.__init__:
        return []  # takes anything by signature, and nothing in fact
    same: dict[object, str] = {np.float32: "float32", torch.float32: "float32"}
    for wing in (scratch, torchref):
        same |= {wing.Tanh: "Tanh", wing.Tanh.lecun: "Tanh.lecun"}
    return [
        (p.name, p.kind, same.get(p.default, p.default) if p.default is not None else None)
        for p in inspect.signature(callable_).parameters.values()
        if p.name not in without
    ]


@pytest.mark.parametrize("name", scratch.__all__)
def test_every_public_name_has_a_twin_a_case_and_the_same_signature(name: str) -> None:
    assert name in torchref.__all__, f"{name} has no twin"
    assert name in cases.NAMES, f"{name} has no row in tests/cases.py"
    if name in cases.ABSTRACT:
        return  # torch.nn.Module's own constructor takes anything
    ours, theirs = getattr(scratch, name), getattr(torchref, name)
    assert parameters(ours) == parameters(theirs, without=TORCH_ONLY)
    constructors = {k for k, v in vars(ours).items() if isinstance(v, classmethod)}
    assert constructors == {k for k, v in vars(theirs).items() if isinstance(v, classmethod)}
    for constructor in constructors:
        assert parameters(getattr(ours, constructor)) == parameters(getattr(theirs, constructor))


@pytest.mark.parametrize("name", sorted(set(scratch.__all__) - set(cases.ABSTRACT)))
def test_every_public_name_refuses_something(name: str) -> None:
    assert any(refusal.label.split()[0].split("(")[0].rstrip(",") == name for refusal in REFUSALS)


def test_nothing_public_stands_in_one_wing_only() -> None:
    assert sorted(scratch.__all__) == sorted(torchref.__all__)
    assert set(scratch.__all__) == cases.NAMES


def public(path: Path, kind: type[ast.AST]) -> set[str]:
    return {
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, kind) and isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    }


def test_files_of_the_same_name_hold_the_same_classes() -> None:
    ours, theirs = (Path(wing.__file__).parent for wing in (scratch, torchref))
    files = {path.name for path in ours.glob("*.py")} - SCRATCH_ONLY
    assert files == {path.name for path in theirs.glob("*.py")}
    for file in files:
        caches = {name for name in public(ours / file, ast.ClassDef) if name.endswith("Cache")}
        assert public(ours / file, ast.ClassDef) - caches == public(theirs / file, ast.ClassDef), file


FILES = sorted(path.stem for path in Path(scratch.__file__).parent.glob("*.py") if path.name not in SCRATCH_ONLY)


def pairs(file: str, kind: type[ast.AST]) -> dict[str, tuple[Any, Any]]:
    """What both wings' files of one name define, by name: scratch's and torchref's."""
    ours, theirs = (importlib.import_module(f"{wing.__name__}.{file}") for wing in (scratch, torchref))
    names = public(Path(ours.__file__), kind) & public(Path(theirs.__file__), kind)
    return {name: (getattr(ours, name), getattr(theirs, name)) for name in sorted(names)}


@pytest.mark.parametrize("file", FILES)
def test_functions_of_the_same_name_have_the_same_signature(file: str) -> None:
    ours, theirs = (Path(wing.__file__).parent / f"{file}.py" for wing in (scratch, torchref))
    # Where scratch computes, torch need not; but it has nothing that scratch has not.
    assert public(theirs, ast.FunctionDef) - public(ours, ast.FunctionDef) <= {"check_tensor"}
    for name, (our, their) in pairs(file, ast.FunctionDef).items():
        assert parameters(our) == parameters(their, without=TORCH_ONLY), name


def methods(class_: type, wing: ModuleType) -> dict[str, Any]:
    """The public methods, class methods and properties that a wing itself gives a class."""
    own = [base for base in reversed(class_.__mro__) if base.__module__.split(".")[0] == wing.__name__]
    return {
        name: inspect.getattr_static(class_, name)
        for base in own
        for name, member in vars(base).items()
        if not name.startswith("_") and (callable(member) or isinstance(member, property | classmethod | staticmethod))
    }


@pytest.mark.parametrize("file", FILES)
def test_classes_of_the_same_name_have_the_same_methods(file: str) -> None:
    for name, (ours, theirs) in pairs(file, ast.ClassDef).items():
        if name not in cases.ABSTRACT:
            assert parameters(ours) == parameters(theirs, without=TORCH_ONLY), name
        our, their = methods(ours, scratch), methods(theirs, torchref)
        if issubclass(theirs, torchref.Module) and not issubclass(ours, scratch.Module):
            their = {name: member for name, member in their.items() if not hasattr(torchref.Module, name)}
            their["forward"] = inspect.getattr_static(theirs, "forward")  # losses and penalties, Modules in torch only
        # Autograd is torch's backward, with an input's gradient or without, and a pass without it keeps no cache; its
        # base has the states, the parameters and, abstract, forward.
        base = {"forward"} if name in cases.ABSTRACT else set()
        # A loss whose target was checked before need not check it again where every microsecond is counted.
        base |= {"check", "unchecked"} if file == "loss" else set()
        assert set(our) - set(their) <= {"backward", "gradients", "predict", "parameters", "state_dict", *base}, name
        assert set(their) - set(our) <= {"extra_repr"}, name
        of_torch = {"load_state_dict"} if issubclass(theirs, torch.nn.Module) else set()
        for method in (set(our) & set(their)) - of_torch:
            assert type(our[method]) is type(their[method]), f"{name}.{method}"
            if not isinstance(our[method], property):
                assert parameters(getattr(ours, method)) == parameters(getattr(theirs, method)), f"{name}.{method}"


@pytest.mark.parametrize(
    ("wing", "strangers"), [(scratch, {"torch", "torchref", "experiments"}), (torchref, {"scratch", "experiments"})]
)
def test_a_wing_imports_nothing_of_the_other(wing: object, strangers: set[str]) -> None:
    for path in Path(wing.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & strangers, f"{path.name}, line {node.lineno}"


def test_the_base_is_abstract() -> None:
    x = np.zeros((1, 1), np.float32)
    with pytest.raises(NotImplementedError, match=r"Module\.forward"):
        scratch.Module().forward(x)
    with pytest.raises(NotImplementedError, match=r"Module\.backward"):
        scratch.Module().backward(x, None)
    assert scratch.Module().parameters() == {}


def test_everything_public_is_documented() -> None:
    for wing in (scratch, torchref):
        for name in wing.__all__:
            doc = inspect.getdoc(getattr(wing, name)) or ""
            assert len(doc.splitlines()) > 1, f"{wing.__name__}.{name} needs more than a line"
            assert "Source" in doc or "slides" in doc or name == "Module", f"{wing.__name__}.{name} names no source"


def test_a_printed_twin_shows_what_its_layers_are() -> None:
    printed = repr(torchref.LeNet5(pooling="max", output=torchref.Dropout(0.25)))
    for line in (
        "(canvas): Canvas2d(size=(32, 32), value=-0.1)",
        "(c1): Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1))",
        "(s2): MaxPool2d(kernel_size=(2, 2), stride=(2, 2))",
        "(c3): Conv2d(6, 16, kernel_size=(5, 5), stride=(1, 1), links=60/96)",
        "(output): Dropout(p=0.25)",
    ):
        assert line in printed
