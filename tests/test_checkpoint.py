import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from experiments import atomic
from experiments.checkpoint import Checkpoint, CheckpointRefusedError, Checkpoints, load, save
from experiments.errors import UserError

RNG = np.random.default_rng(0)
PARAMS = {"fc1.weight": RNG.standard_normal((3, 4)).astype(np.float32), "fc1.bias": np.zeros(3, np.float32)}
CHECKPOINT = Checkpoint(
    update=42,
    epoch=2,
    batch=0,
    config_hash="abc",
    params=PARAMS,
    optimizer={name: value + 1 for name, value in PARAMS.items()},
    progress={"loss": 0.1 + 0.2, "best_error": float("inf")},
)


def assert_equal(ours: Checkpoint, theirs: Checkpoint) -> None:
    for field in dataclasses.fields(Checkpoint):
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        if field.name in ("params", "optimizer"):
            assert list(a) == list(b)
            assert all(a[name].tobytes() == b[name].tobytes() and a[name].dtype == b[name].dtype for name in a)
        else:
            assert a == b


def test_what_is_saved_is_loaded_bit_for_bit(tmp_path):
    save(tmp_path / "last.npz", CHECKPOINT)
    assert_equal(load(tmp_path / "last.npz", "abc", PARAMS), CHECKPOINT)
    assert [path.name for path in tmp_path.iterdir()] == ["last.npz"]


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_checkpoint_cut_off_anywhere_is_refused(tmp_path, share):
    path = tmp_path / "last.npz"
    save(path, CHECKPOINT)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointRefusedError, match=r"last\.npz is refused: it is cut off or damaged"):
        load(path, "abc", PARAMS)


def test_a_flipped_byte_in_the_arrays_is_found(tmp_path):
    path = tmp_path / "last.npz"
    save(path, CHECKPOINT)
    content = bytearray(path.read_bytes())
    at = content.find(PARAMS["fc1.weight"].tobytes())
    assert at > 0
    content[at + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointRefusedError, match="cut off or damaged"):
        load(path, "abc", PARAMS)


def test_a_pickle_is_refused_and_not_run(tmp_path):
    path = tmp_path / "last.npz"
    np.savez(path, head=np.array([{"any": "object"}], dtype=object))
    with pytest.raises(CheckpointRefusedError, match="allow_pickle"):
        load(path, "abc", PARAMS)


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path):
    save(tmp_path / "last.npz", CHECKPOINT)
    with pytest.raises(CheckpointRefusedError, match=r"other settings .*abc.*xyz"):
        load(tmp_path / "last.npz", "xyz", PARAMS)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({**PARAMS, "fc2.bias": np.zeros(1, np.float32)}, r"parameters: fc2\.bias is missing"),
        ({"fc1.weight": PARAMS["fc1.weight"]}, r"fc1\.bias is unexpected"),
        ({**PARAMS, "fc1.bias": np.zeros(4, np.float32)}, r"fc1\.bias is float32 \(3,\), expected float32 \(4,\)"),
        ({**PARAMS, "fc1.bias": np.zeros(3)}, r"fc1\.bias is float32 \(3,\), expected float64 \(3,\)"),
    ],
)
def test_arrays_that_do_not_fit_the_network_are_refused_by_name(tmp_path, params, message):
    save(tmp_path / "last.npz", CHECKPOINT)
    with pytest.raises(CheckpointRefusedError, match=message):
        load(tmp_path / "last.npz", "abc", params)


def test_the_optimizer_state_is_checked_too(tmp_path):
    broken = dataclasses.replace(CHECKPOINT, optimizer={"fc1.weight": np.zeros((4, 3), np.float32)})
    save(tmp_path / "last.npz", broken)
    with pytest.raises(CheckpointRefusedError, match=r"optimiser state: fc1\.bias is missing; fc1\.weight is"):
        load(tmp_path / "last.npz", "abc", PARAMS)


def test_last_previous_and_best_are_kept(tmp_path):
    store = Checkpoints(tmp_path)
    for update in (1, 2, 3):
        store.save(dataclasses.replace(CHECKPOINT, update=update), best=update == 2)
    updates = {path.stem: load(path, "abc", PARAMS).update for path in tmp_path.iterdir()}
    assert updates == {"last": 3, "previous": 2, "best": 2}


def test_of_a_damaged_last_checkpoint_the_previous_one_is_usable(tmp_path):
    store = Checkpoints(tmp_path)
    for update in (1, 2):
        store.save(dataclasses.replace(CHECKPOINT, update=update))
    store.last.write_bytes(store.last.read_bytes()[:200])
    found, refusals = store.usable("abc", PARAMS)
    assert list(found) == [1]
    assert len(refusals) == 1
    assert str(store.last) in refusals[0]
    store.continue_from(found[1][0])
    assert load(store.last, "abc", PARAMS).update == 1
    assert not store.previous.exists()


@pytest.mark.parametrize("moment", ["write", "fsync", "rename"])
def test_a_crash_while_saving_leaves_a_good_checkpoint(tmp_path, monkeypatch, moment):
    """Die at each step of the writing, as a kill would; the newest complete file must still be there."""
    store = Checkpoints(tmp_path)
    for update in (1, 2):
        store.save(dataclasses.replace(CHECKPOINT, update=update))

    def die(*_, **__):
        raise KeyboardInterrupt

    if moment == "write":
        monkeypatch.setattr(np, "savez", lambda file, **_: (file.write(b"PK half of it"), die()))
    elif moment == "fsync":
        monkeypatch.setattr(os, "fsync", die)
    else:
        replace = Path.replace
        monkeypatch.setattr(Path, "replace", lambda self, to: die() if self.suffix == ".tmp" else replace(self, to))
    with pytest.raises(KeyboardInterrupt):
        store.save(dataclasses.replace(CHECKPOINT, update=3))
    monkeypatch.undo()
    found, refusals = store.usable("abc", PARAMS)
    assert max(found) == 2
    assert refusals == []


def test_a_full_disk_is_a_sentence_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "last.npz"
    save(path, CHECKPOINT)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*last\.npz: No space left on device.*untouched"):
        save(path, dataclasses.replace(CHECKPOINT, update=43))
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["last.npz"]
