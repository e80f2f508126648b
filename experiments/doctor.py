"""`twice doctor`: what is installed, what it runs on, which data is there, and what is broken."""

import dataclasses
import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args

from experiments.config import DatasetName
from experiments.errors import UserError

DISTRIBUTION: Final = "twice-nn"
#: Distribution, and the module whose import shows that it works; torchvision has a check of its own.
PACKAGES: Final = {
    "numpy": "numpy",
    "torch": "torch",
    "tensorboard": "tensorboard.program",
    "matplotlib": "matplotlib",
    "scikit-learn": "sklearn",
    "rich": "rich",
    "tyro": "tyro",
}
#: Bytes on disk: a run with its event files and checkpoints is about 50 MB for the largest network here.
DISK_NEEDED: Final = 100 * 10**6

Status = Literal["ok", "note", "bad"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the report.

    Parameters
    ----------
    group, name:
        What was examined.
    value:
        What was found, in words.
    status:
        "bad" if something that every run needs is broken, "note" if it is worth knowing, else "ok".
    """

    group: str
    name: str
    value: str
    status: Status = "ok"


def report(data_dir: Path | None, runs_dir: Path, *, as_json: bool) -> int:
    """Examine the installation and print the findings.

    Returns
    -------
    int
        Exit status: 1 if a finding is "bad", else 0.
    """
    findings = examine(data_dir, runs_dir)
    broken = [finding for finding in findings if finding.status == "bad"]
    if as_json:
        from experiments.summary import print_json

        print_json({"ok": not broken, "findings": [dataclasses.asdict(finding) for finding in findings]}, sys.stdout)
    else:
        _print_table(findings)
    return 1 if broken else 0


def examine(data_dir: Path | None, runs_dir: Path) -> list[Finding]:
    """Return all findings; a check that itself fails becomes a finding, for a doctor must survive its patients."""
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("versions", versions),
        ("versions", torchvision_state),
        ("versions", pins),
        ("machine", machine),
        ("threads", threads),
        ("data", lambda: data(data_dir)),
        ("folders", lambda: folders(runs_dir)),
    )
    findings: list[Finding] = []
    for group, check in checks:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of third parties' imports: not what is examined
                findings.extend(check())
        except Exception as error:
            findings.append(Finding(group, check.__name__, f"could not be examined: {_said(error)}", "bad"))
    return findings


def versions() -> Iterator[Finding]:
    """Find which versions are installed, and whether they can be imported."""
    wanted = (3, 11)
    yield Finding("versions", "python", platform.python_version(), "ok" if sys.version_info >= wanted else "bad")
    for name, module in PACKAGES.items():
        try:
            version = importlib.metadata.version(name)
            importlib.import_module(module)
        except importlib.metadata.PackageNotFoundError:
            yield Finding("versions", name, f"not installed; pip install {name}", "bad")
        except Exception as error:
            yield Finding("versions", name, f"{version}, but it cannot be imported: {_said(error)}", "bad")
        else:
            yield Finding("versions", name, version)


def torchvision_state() -> Iterator[Finding]:
    """Find whether torchvision works, and whether its wheel was made for the torch that is installed."""
    from experiments import torchvision_compat

    try:
        version = importlib.metadata.version("torchvision")
        torchvision: Any = torchvision_compat.import_torchvision()
    except importlib.metadata.PackageNotFoundError:
        yield Finding("versions", "torchvision", "not installed; pip install torchvision", "bad")
        return
    except Exception as error:
        yield Finding("versions", "torchvision", f"{version} fails: {_said(error)}", "bad")
        return
    if not torchvision_compat.was_repaired():
        yield Finding("versions", "torchvision", f"{version}, works")
        return
    import torch

    built_for = getattr(torchvision.version, "cuda", None)
    wheel = f"for CUDA {built_for}" if built_for else "of another build"
    beside = "CPU-only" if torch.version.cuda is None else f"for CUDA {torch.version.cuda}"
    value = f"{version}, works after the CPU shim: its wheel is {wheel}, torch's is {beside}"
    yield Finding("versions", "torchvision", f"{value}; its C++ operators do not load, and are not needed", "note")


def pins() -> Iterator[Finding]:
    """Find installed versions that contradict what this project, or torchvision's wheel, asks for."""
    from packaging.requirements import Requirement

    mismatches = 0
    for package in (DISTRIBUTION, "torchvision"):
        try:
            lines = importlib.metadata.requires(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # a checkout that is run without being installed has no metadata
        for requirement in map(Requirement, lines):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            try:
                installed = importlib.metadata.version(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                installed = "missing"
            if installed == "missing" or not requirement.specifier.contains(installed, prereleases=True):
                mismatches += 1
                value = f"{package} wants {requirement.name}{requirement.specifier}, installed is {installed}"
                yield Finding("versions", "mismatch", value, "bad")
    if not mismatches:
        yield Finding("versions", "wheels", "every version is one that was asked for")


def machine() -> Iterator[Finding]:
    """Find the processor and the GPUs that torch can use."""
    import torch

    from experiments.manifest import cpu_name

    yield Finding("machine", "system", f"{platform.system()} {platform.machine()}")
    yield Finding("machine", "processor", f"{cpu_name()}, {os.cpu_count()} threads")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        yield Finding("machine", "cuda", f"{torch.version.cuda}: {', '.join(names)}")
    else:
        why = "torch was built without it" if torch.version.cuda is None else "no device found"
        yield Finding("machine", "cuda", f"none ({why}); --device cpu works")


def threads() -> Iterator[Finding]:
    """Find the libraries that compute in threads, and how many each uses."""
    import numpy as np
    import torch
    from threadpoolctl import threadpool_info

    np.ones((2, 2)) @ np.ones((2, 2))  # loads the BLAS where that is done late
    for library in threadpool_info():
        about = " ".join(str(library[key]) for key in ("version", "architecture") if library.get(key))
        name = f"{library['internal_api']} ({library['user_api']})"
        yield Finding("threads", name, f"{about}{', ' * bool(about)}{_threads(library['num_threads'])}")
    yield Finding("threads", "torch", _threads(torch.get_num_threads()))


def data(data_dir: Path | None) -> Iterator[Finding]:
    """Find which data sets are there; only the digits, which come with scikit-learn, are indispensable."""
    from experiments.data import load

    for name in get_args(DatasetName):
        needed = name == "digits"
        try:
            found = load(name, data_dir, download=False)
        except UserError as error:
            value = str(error).splitlines()[0].removesuffix(" Looked in:")
            yield Finding("data", name, value, "bad" if needed else "note")
        else:
            parts = (len(split.labels) for split in (found.train, found.validation, found.test))
            sizes = " / ".join(f"{size:,}" for size in parts)
            checked = f"no published sha256 for {', '.join(found.unverified)}" if found.unverified else "sha256 ok"
            yield Finding("data", name, f"{sizes}, {found.source}, {checked}")


def folders(runs_dir: Path) -> Iterator[Finding]:
    """Find whether runs can be written, and how much room there is."""
    place = runs_dir
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"twice")
    except OSError as error:
        yield Finding("folders", str(runs_dir), f"cannot be written: {error.strerror}", "bad")
        return
    yield Finding("folders", str(runs_dir), "can be written" if runs_dir.exists() else "can be made")
    free = shutil.disk_usage(place).free
    yield Finding("folders", "free disk", f"{free / 1e9:,.1f} GB", "ok" if free >= DISK_NEEDED else "bad")


def _print_table(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    from experiments.summary import print_table
    from experiments.terminal import screen

    console = screen(160)
    marks = {"ok": Text("ok", "green"), "note": Text("note", "yellow"), "bad": Text("BAD", "bold red")}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold cyan")
    table.add_column()
    table.add_column()
    table.add_column(overflow="fold")
    previous = ""
    for finding in findings:
        if previous and finding.group != previous:
            table.add_row()
        group = finding.group if finding.group != previous else ""
        table.add_row(group, Text(finding.name), marks[finding.status], Text(finding.value))
        previous = finding.group
    print_table(console, table)
    console.print()
    broken = sum(finding.status == "bad" for finding in findings)
    if broken:
        console.print(Text(f"{broken} thing{'s' * (broken > 1)} every run needs: broken", "bold red"))
    else:
        console.print(Text("everything a run needs is here", "bold green"))


def _threads(number: int) -> str:
    return f"{number} thread{'s' * (number != 1)}"


def _said(error: Exception) -> str:
    """Return an exception's type and first line: some of torch's go on for pages."""
    lines = re.split(r"[\r\n]+", str(error).strip())
    return f"{type(error).__name__}: {lines[0]}" if lines[0] else type(error).__name__
