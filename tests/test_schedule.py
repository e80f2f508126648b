"""The course of the learning rate: the formula, what the optimisers are given, and what a resumed run does with it."""

import dataclasses
import math

import pytest

from experiments import runs
from experiments.backends import ScratchBackend, TorchBackend
from experiments.errors import UserError
from experiments.metrics import read_rows
from experiments.schedule import learning_rate
from tests.running import Recorder, finished, run, small
from tests.test_resume import assert_same_run, stop_at
from tests.test_tensorboard import read


def test_half_a_cosine_falls_from_lr_to_almost_nothing():
    rates = [learning_rate("cosine", 0.2, update, 8) for update in range(8)]
    expected = [0.2 * math.cos(math.pi * update / 16) ** 2 for update in range(8)]  # the half-angle formula
    assert rates == pytest.approx(expected, rel=1e-14)
    assert rates[0] == 0.2
    assert rates[4] == pytest.approx(0.1, rel=1e-15)
    assert rates[-1] > 0
    assert learning_rate("cosine", 0.2, 0, 1) == 0.2


def test_a_constant_rate_is_the_rate():
    assert {learning_rate("constant", 0.3, update, 8) for update in range(8)} == {0.3}


def test_both_backends_make_each_update_with_the_rate_of_the_schedule(tmp_path, monkeypatch):
    made: dict[str, list[float]] = {"scratch": [], "torch": []}
    for backend in (ScratchBackend, TorchBackend):

        def update(self, grads, real=backend.update):
            made[self.name].append(self.optimizer.lr)
            real(self, grads)

        monkeypatch.setattr(backend, "update", update)
    run(small(schedule="cosine", lr=0.1), tmp_path)
    expected = [0.1 * 0.5 * (1 + math.cos(math.pi * t / 42)) for t in range(42)]
    assert made["scratch"] == made["torch"] == pytest.approx(expected, rel=1e-14)


def test_the_present_rate_is_logged():
    root = finished(schedule="cosine", lr=0.1) / "mlp-digits-s0"
    for name in ("scratch", "torch"):
        rows = read_rows(root / name / "metrics.jsonl", "train")
        assert [row["update"] for row in rows] == [1, 5, 10, 15, 20, 25, 30, 35, 40]
        assert [row["lr"] for row in rows] == [learning_rate("cosine", 0.1, row["update"] - 1, 42) for row in rows]
        scalars = read(root / name).Scalars("optim/lr")
        assert [event.value for event in scalars] == pytest.approx([row["lr"] for row in rows], rel=1e-6)


def test_a_resumed_run_has_the_rates_of_the_unbroken_one(tmp_path):
    settings = small(schedule="cosine", lr=0.1)
    assert run(settings, tmp_path, report=stop_at(64 * 6)).interrupted
    run(settings, tmp_path, resume=True)
    assert_same_run(tmp_path / "mlp-digits-s0", finished(schedule="cosine", lr=0.1) / "mlp-digits-s0")


def test_a_run_with_a_schedule_does_not_grow(tmp_path):
    config = small(schedule="cosine")
    folders = runs.folders(tmp_path, config)
    runs.create(folders, config, overwrite=False)
    runs.check_resumable(folders, config)
    reason = (
        r"--epochs: 2 -> 3\n.*--epochs may not change either: --schedule cosine spans the whole run, and the updates "
        "already made would have had other learning rates"
    )
    with pytest.raises(UserError, match=reason):
        runs.check_resumable(folders, dataclasses.replace(config, epochs=3))
    with pytest.raises(UserError, match=r"--schedule: 'cosine' -> 'constant'"):
        runs.check_resumable(folders, dataclasses.replace(config, epochs=3, schedule="constant"))
    with pytest.raises(UserError, match=r"--lr: 0\.05 -> 0\.1\na run continues with its own settings$"):
        runs.check_resumable(folders, dataclasses.replace(config, lr=0.1))


def test_a_finished_run_with_a_schedule_is_not_said_to_grow(tmp_path):
    config = small(backend="scratch", epochs=1, schedule="cosine")
    run(config, tmp_path)
    report = Recorder()
    run(config, tmp_path, resume=True, report=report)
    assert report.lines == ["already finished"]
