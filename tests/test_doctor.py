"""`twice doctor`: it finds what is there, notices what is broken, and survives whatever it examines."""

import importlib
import importlib.metadata
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments import doctor
from experiments.cli import main
from experiments.doctor import Finding, examine


@pytest.fixture(autouse=True)
def no_other_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own data out of the tests."""
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def named(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_sound_installation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--runs-dir", str(tmp_path / "runs")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    findings = {finding["name"]: finding for finding in found["findings"] if finding["group"] != "threads"}
    threads = {finding["name"] for finding in found["findings"]} - set(findings)
    assert findings["numpy"]["value"] == importlib.metadata.version("numpy")
    assert findings["torch"]["value"].startswith(importlib.metadata.version("torch"))
    assert "works" in findings["torchvision"]["value"]
    assert any("(blas)" in name for name in threads)
    assert findings["digits"] == {
        "group": "data",
        "name": "digits",
        "value": "1,297 / 200 / 300, scikit-learn, sha256 ok",
        "status": "ok",
    }
    assert findings["mnist"]["status"] == "note"
    assert "not found" in findings["mnist"]["value"]
    assert {"processor", "cuda", "wheels", "free disk"} <= set(findings)
    assert not (tmp_path / "runs").exists()  # looking leaves nothing behind


def test_the_table_shows_every_finding(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [
        Finding("versions", "x", "1.0"),
        Finding("data", "[y]", "gone", "note"),
        Finding("data", "z", "no", "bad"),
    ]
    monkeypatch.setattr(doctor, "examine", lambda *_: findings)
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line] == [
        ["versions", "x", "ok", "1.0"],
        ["data", "[y]", "note", "gone"],
        ["z", "BAD", "no"],
        ["1", "thing", "every", "run", "needs:", "broken"],
    ]


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", {"no-such-package-here": "json"})
    finding = named(list(doctor.versions()))["no-such-package-here"]
    assert finding.status == "bad"
    assert "pip install no-such-package-here" in finding.value


def test_a_package_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", {"numpy": "numpy.no_such_part"})
    finding = named(list(doctor.versions()))["numpy"]
    assert finding.status == "bad"
    assert "cannot be imported: ModuleNotFoundError: No module named 'numpy.no_such_part'" in finding.value


def test_a_torchvision_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("undefined symbol\nand two hundred lines more")

    monkeypatch.setattr("experiments.torchvision_compat.import_torchvision", fail)
    (finding,) = doctor.torchvision_state()
    assert finding.status == "bad"
    assert finding.value.endswith("fails: RuntimeError: undefined symbol")


def test_a_version_that_was_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"torch": "2.13.0", "here": "1.0"}

    def version(name: str) -> str:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    asked = [
        "torch==2.12.0",
        "here>=1",
        "gone>=2",
        "bare",
        "not-on-this-system; sys_platform == 'none'",
        "dev-only; extra == 'dev'",
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda package: asked if package == "torchvision" else None)
    monkeypatch.setattr(importlib.metadata, "version", version)
    findings = list(doctor.pins())
    assert [finding.value for finding in findings] == [
        "torchvision wants torch==2.12.0, installed is 2.13.0",
        "torchvision wants gone>=2, installed is missing",
        "torchvision wants bare, installed is missing",
    ]
    assert {finding.status for finding in findings} == {"bad"}


@pytest.mark.parametrize("below", ["", "below"])
def test_a_runs_folder_that_cannot_be_written(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (finding,) = doctor.folders(tmp_path / "file" / below)
    assert finding.status == "bad"
    assert "Not a directory" in finding.value


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(_: Any) -> Any:
        return type("usage", (), {"free": 5 * 10**6})

    monkeypatch.setattr("shutil.disk_usage", usage)
    findings = named(list(doctor.folders(tmp_path)))
    assert findings["free disk"].status == "bad"
    assert findings["free disk"].value == "0.0 GB"


def test_data_that_are_damaged_are_noted_not_fatal(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"not images")
    findings = named(list(doctor.data(tmp_path)))
    assert findings["mnist"].status == "note"
    assert "incomplete" in findings["mnist"].value


def test_a_check_that_fails_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def machine() -> Iterator[Finding]:
        yield Finding("machine", "system", str(1 // 0))

    monkeypatch.setattr(doctor, "machine", machine)
    finding = named(examine(None, tmp_path))["machine"]
    assert finding.status == "bad"
    assert finding.value == "could not be examined: ZeroDivisionError: integer division or modulo by zero"
