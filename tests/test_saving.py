"""The arrays of what failed, on disk: in a folder that can be written to, or nowhere."""

import os
from pathlib import Path

import numpy as np
import pytest

from torchref.oracle import saving
from torchref.oracle.kinds import Case, Trial

CASE = Case("s1p0", "3x3", {}, (2, 3))
TRIAL = Trial(
    CASE,
    "float64",
    "normal",
    7,
    given={"x": np.ones(3)},
    reference=None,
    mine={"y": np.array([None]), "dx": np.zeros(2)},
    oracle={"y": np.ones(1)},
    comparisons=(),
)


def test_arrays_are_written_but_for_those_of_objects(tmp_path: Path) -> None:
    path = saving.save_trial(tmp_path / "new" / "folder", f"a/{'long' * 100}.py:f", TRIAL, "dx")
    assert Path(path).parent == tmp_path / "new" / "folder"
    assert path.endswith("-py-f-dx-s1p0-7.npz")
    with np.load(path) as arrays:
        assert set(arrays) == {"given x", "mine dx", "oracle y"}


def test_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        saving.save_trial(tmp_path / "file" / "folder", "mine", TRIAL, "dx")
    monkeypatch.setattr(saving.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    assert saving.save_trial(None, "mine", TRIAL, "dx") == ""


def test_everybody_has_a_folder_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(os, "getuid"):
        assert saving.temporary_folder().name == f"twice-oracle-{os.getuid()}"
    monkeypatch.delattr(os, "getuid", raising=False)
    assert saving.temporary_folder().name == "twice-oracle"
