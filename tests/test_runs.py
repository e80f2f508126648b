import dataclasses
import hashlib

import numpy as np
import pytest

from experiments import runs
from experiments.errors import UserError
from tests.running import small


def test_the_folder_is_the_documented_one(tmp_path):
    folders = runs.folders(tmp_path, small(seed=7))
    assert {name: str(f.path.relative_to(tmp_path)) for name, f in folders.items()} == {
        "scratch": "mlp-digits-s7/scratch",
        "torch": "mlp-digits-s7/torch",
        "diff": "mlp-digits-s7/diff",
    }
    assert list(runs.folders(tmp_path, small(backend="torch"))) == ["torch"]


def test_an_existing_run_is_refused_with_the_two_ways_out(tmp_path):
    config = small()
    folders = runs.folders(tmp_path, config)
    runs.create(folders, config, overwrite=False)
    assert runs.read_config(folders["diff"]) == config
    with pytest.raises(
        UserError, match=r"mlp-digits-s0/scratch exists: --resume continues it, --overwrite replaces it"
    ):
        runs.create(folders, config, overwrite=False)


def test_the_other_backend_of_the_same_seed_is_no_obstacle(tmp_path):
    one, other = small(backend="scratch"), small(backend="torch")
    runs.create(runs.folders(tmp_path, one), one, overwrite=False)
    runs.create(runs.folders(tmp_path, other), other, overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_other_settings_beside_the_other_backends_run_are_refused(tmp_path, overwrite):
    one, other = small(backend="scratch"), small(backend="torch", lr=0.5, device="cuda")
    runs.create(runs.folders(tmp_path, one), one, overwrite=False)
    with pytest.raises(UserError, match=r"scratch has other settings.*\n  --lr: 0\.05 -> 0\.5\n--overwrite with"):
        runs.create(runs.folders(tmp_path, other), other, overwrite=overwrite)
    both = small(lr=0.5)
    runs.create(runs.folders(tmp_path, both), both, overwrite=True)


def test_overwriting_one_backend_removes_the_comparison_it_was_part_of(tmp_path):
    both, one = small(), small(backend="torch")
    runs.create(runs.folders(tmp_path, both), both, overwrite=False)
    runs.create(runs.folders(tmp_path, one), one, overwrite=True)
    assert sorted(path.name for path in (tmp_path / "mlp-digits-s0").iterdir()) == ["scratch", "torch"]


def test_overwrite_removes_the_run(tmp_path):
    config = small()
    folders = runs.folders(tmp_path, config)
    runs.create(folders, config, overwrite=False)
    (folders["scratch"].path / "old").touch()
    runs.create(folders, config, overwrite=True)
    assert not (folders["scratch"].path / "old").exists()


def test_overwrite_never_removes_what_is_not_a_run(tmp_path):
    config = small()
    folders = runs.folders(tmp_path, config)
    runs.create(folders, config, overwrite=False)
    precious = folders["torch"].path / "thesis.tex"
    precious.touch()
    folders["torch"].config.unlink()
    for overwrite in (True, False):
        with pytest.raises(UserError, match=r"torch is not a run \(it has no config\.json\), so it is not removed"):
            runs.create(folders, config, overwrite=overwrite)
    assert precious.exists()
    assert folders["scratch"].config.exists(), "nothing is removed if anything is refused"


def test_resuming_nothing_is_refused(tmp_path):
    config = small()
    with pytest.raises(UserError, match=r"--resume: there is no run .*scratch; leave --resume out"):
        runs.check_resumable(runs.folders(tmp_path, config), config)


def test_resuming_with_changed_settings_prints_the_difference(tmp_path):
    config = small()
    folders = runs.folders(tmp_path, config)
    runs.create(folders, config, overwrite=False)
    changed = dataclasses.replace(config, lr=0.5, batch_size=32, epochs=5)
    with pytest.raises(UserError) as refusal:
        runs.check_resumable(folders, changed)
    assert "--lr: 0.05 -> 0.5" in str(refusal.value)
    assert "--batch-size: 64 -> 32" in str(refusal.value)
    assert "epochs: 2" not in str(refusal.value)
    assert runs.read_config(folders["scratch"]) == config, "a refusal changes nothing"


def test_only_the_number_of_epochs_may_change_and_only_grow(tmp_path):
    config = small(epochs=3)
    folders = runs.folders(tmp_path, config)
    runs.create(folders, config, overwrite=False)
    with pytest.raises(UserError, match="--epochs: 3 -> 2"):
        runs.check_resumable(folders, dataclasses.replace(config, epochs=2))
    more = dataclasses.replace(config, epochs=4)
    runs.check_resumable(folders, more)
    assert runs.read_config(folders["diff"]).epochs == 3, "checking records nothing"
    runs.record(folders, more)
    assert runs.read_config(folders["diff"]).epochs == 4


def test_folders_that_a_killed_process_left_out_are_made(tmp_path):
    config = small()
    folders = runs.folders(tmp_path, config)
    runs.create({"scratch": folders["scratch"]}, config, overwrite=False)
    runs.check_resumable(folders, config)
    runs.record(folders, config)
    assert runs.read_config(folders["diff"]) == config


def test_equal_parameters_give_equal_files(tmp_path):
    config = small()
    folders = runs.folders(tmp_path, config)
    runs.create(folders, config, overwrite=False)
    params = {"fc1.weight": np.arange(6.0).reshape(2, 3)}
    one, other = (runs.write_init(folders[name], params) for name in ("scratch", "torch"))
    assert one == other == hashlib.sha256(folders["torch"].init.read_bytes()).hexdigest()
    params["fc1.weight"][0, 0] = 1e-300
    assert runs.write_init(folders["torch"], params) != one


def test_an_unwritable_folder_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    config = small()
    with pytest.raises(UserError, match="cannot make the run folder"):
        runs.create(runs.folders(tmp_path / "file", config), config, overwrite=False)
