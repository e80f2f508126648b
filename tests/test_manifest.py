import dataclasses
import subprocess

import pytest

from experiments import data, manifest
from experiments.errors import UserError

DESCRIPTION = {"argv": ["twice", "train"], "dtype": "float32"}


def test_the_description_has_what_experiments_md_asks_for():
    dataset = dataclasses.replace(data.load("digits"), sha256={"train": "ab"}, unverified=("train",))
    description = manifest.describe(dataset, "float32", "cpu")
    assert {"code", "versions", "blas", "torch_threads", "cpu", "gpu", "dtype", "data", "argv"} <= set(description)
    assert set(description["code"]) == {"commit", "dirty"}
    assert description["data"] == {"source": "scikit-learn", "sha256": {"train": "ab"}, "unverified": ["train"]}
    assert all(description["versions"][name] for name in ("python", "numpy", "torch", "tensorboard"))
    assert any(library["user_api"] == "blas" and library["num_threads"] >= 1 for library in description["blas"])
    assert description["gpu"] is None


def test_a_dirty_tree_is_told_from_a_clean_one(tmp_path):
    def git(*words):
        subprocess.run(
            ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b.c", *words],
            check=True,
            capture_output=True,
        )

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    clean = manifest.commit(tmp_path)
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "new").touch()
    assert manifest.commit(tmp_path) == {"commit": clean["commit"], "dirty": True}


def test_without_a_repository_the_commit_is_unknown(tmp_path):
    assert manifest.commit(tmp_path) == {"commit": None, "dirty": None}


def test_start_resume_and_end_are_noted(tmp_path):
    path = tmp_path / "manifest.json"
    manifest.start(path, DESCRIPTION)
    begun = manifest.read(path)
    assert begun["started"]
    assert begun["ended"] is None
    manifest.resume(path, {**DESCRIPTION, "dtype": "float64"}, update=40)
    manifest.finish(path)
    ended = manifest.read(path)
    assert ended["started"] == begun["started"] <= ended["ended"]
    assert [(entry["after_update"], entry["changed"]) for entry in ended["resumed"]] == [(40, {"dtype": "float64"})]


def test_libraries_loaded_in_another_order_are_no_change(monkeypatch):
    libraries = [{"user_api": "blas", "internal_api": name, "num_threads": 1} for name in ("openblas", "mkl")]
    monkeypatch.setattr(manifest, "threadpool_info", lambda: libraries)
    first = manifest.describe(data.load("digits"), "float32", "cpu")["blas"]
    monkeypatch.setattr(manifest, "threadpool_info", lambda: libraries[::-1])
    assert manifest.describe(data.load("digits"), "float32", "cpu")["blas"] == first


def test_a_damaged_manifest_is_refused_and_a_missing_one_is_empty(tmp_path):
    path = tmp_path / "manifest.json"
    assert manifest.read(path) == {}
    path.write_text('{"half": ')
    with pytest.raises(UserError, match=r"manifest\.json is damaged"):
        manifest.read(path)
