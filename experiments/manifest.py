"""What a run was made with: enough to say, years later, why a number came out as it did."""

import datetime
import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

import torch
from threadpoolctl import threadpool_info

from experiments.atomic import write_text
from experiments.data import Dataset
from experiments.records import parse, read_text

PACKAGES: Final = ("numpy", "torch", "torchvision", "tensorboard", "matplotlib", "scikit-learn", "scipy")


class _Code(TypedDict, total=False):
    commit: str | None
    dirty: bool | None


class _Library(TypedDict):
    internal_api: str
    version: str | None
    num_threads: int


class _Data(TypedDict, total=False):
    source: str
    sha256: dict[str, str]
    unverified: list[str]


class _Manifest(TypedDict, total=False):
    code: _Code
    versions: dict[str, str | None]
    blas: list[_Library]
    cpu: str | None
    gpu: str | None
    data: _Data
    started: str | None
    ended: str | None
    resumed: list[Any]


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def describe(dataset: Dataset, dtype: str, device: str) -> dict[str, Any]:
    """Describe code, machine and data.

    Parameters
    ----------
    dataset:
        What is learned.
    dtype, device:
        Settings of the run.
    """
    return {
        "code": commit(Path(__file__).resolve().parent.parent),
        "versions": {"python": platform.python_version(), **versions()},
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "gpu": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
        "blas": sorted(map(_library, threadpool_info()), key=str),  # they come in the order of their loading
        "torch_threads": torch.get_num_threads(),
        "dtype": dtype,
        "data": {
            "source": dataset.source,
            "sha256": dict(dataset.sha256),
            "unverified": list(dataset.unverified),
        },
        "argv": list(sys.argv),
    }


def start(path: Path, description: Mapping[str, Any]) -> None:
    """Write the manifest of a run that begins."""
    _write(path, {**description, "started": now(), "ended": None, "resumed": []})


def resume(path: Path, description: Mapping[str, Any], update: int) -> None:
    """Note in the manifest that the run was continued, after which update, and what had changed by then."""
    old = read(path)
    if not old:
        start(path, description)
        old = read(path)
    changed = {key: value for key, value in description.items() if key != "argv" and value != old.get(key)}
    entry = {"at": now(), "after_update": update, "argv": description["argv"], "changed": changed}
    _write(path, {**old, "ended": None, "resumed": [*old.get("resumed", []), entry]})


def finish(path: Path) -> None:
    """Note in the manifest when the run ended."""
    _write(path, {**read(path), "ended": now()})


def read(path: Path) -> dict[str, Any]:
    """Read a manifest; empty if there is none, `UserError` if it is damaged."""
    content: dict[str, Any] = parse(read_text(path), _Manifest, str(path)) if path.exists() else {}
    return content


def commit(project: Path) -> dict[str, Any]:
    """Return the commit of the code and whether the tree had uncommitted changes; None where that is not known.

    Parameters
    ----------
    project:
        Root of the project; a repository that merely contains it does not count.
    """
    if not (project / ".git").exists():
        return {"commit": None, "dirty": None}
    head, status = _git(project, "rev-parse", "HEAD"), _git(project, "status", "--porcelain")
    return {"commit": head or None, "dirty": None if status is None else bool(status)}


def cpu_name() -> str:
    """Return the processor's name as the system gives it."""
    try:
        lines: Sequence[str] = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = ()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions() -> dict[str, str | None]:
    """Return the versions of the packages that numbers depend on; None for one that is not there."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _library(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: found.get(key) for key in ("user_api", "internal_api", "version", "architecture", "num_threads")}


def _git(project: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(project), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _write(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2) + "\n")
