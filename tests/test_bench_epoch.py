import io
import json

import numpy as np
import pytest
import torch
from rich.console import Console
from threadpoolctl import threadpool_info

from experiments.bench import epoch, epoch_worker, isolated
from experiments.bench.epoch import Epoch
from experiments.errors import UserError
from experiments.threads import limited_threads

MADE = Epoch("mnist", 55_000, 64, 1, {"train": (5.5, 6.0, 4.4), "steps": (5.0, 5.0, 4.0)}, (5.1, 5.2, 4.0))


def test_the_bare_steps_are_those_of_twice_train_to_the_last_bit(tmp_path):
    words = ("digits", 256, 1, tmp_path)
    train, steps = (epoch_worker.main(way, *words) for way in epoch.WAYS)
    assert train["sha256"] == steps["sha256"]
    assert 0 < train["inside"] < train["seconds"]
    assert 0 < steps["inside"] == steps["seconds"]
    (path,) = tmp_path.rglob("last.npz")
    with np.load(path) as last:
        kept = {name.removeprefix("param/"): last[name] for name in last.files if name.startswith("param/")}
    assert epoch_worker.digest(kept) == train["sha256"], "it was the command's own run"
    assert epoch_worker.main("steps", "digits", 128, 1, tmp_path)["sha256"] != steps["sha256"]


def test_the_clock_runs_from_the_first_batch_to_the_last_checkpoint(monkeypatch, tmp_path):
    seen = []
    clock = iter(range(1_000_000))
    monkeypatch.setattr(epoch_worker.time, "perf_counter", lambda: next(clock))
    for name in ("open", "_save", "_update", "finish"):
        method = getattr(epoch_worker.training.Training, name)

        def note(self, *args, _name=name, _method=method, **keywords):
            seen.append((_name, next(clock)))
            return _method(self, *args, **keywords)

        monkeypatch.setattr(epoch_worker.training.Training, name, note)
    seconds = epoch_worker.through_train("digits", 1297, 1, tmp_path).seconds
    (opened,), (updated,), (saved,), (finished,) = (
        [at for name, at in seen if name == wanted] for wanted in ("open", "_update", "_save", "finish")
    )
    assert opened < updated < saved < finished
    assert saved - updated < seconds < finished - opened


def test_the_ratio_is_the_median_of_the_rounds():
    assert MADE.ratios == [1.1, 1.2, 1.1]
    assert MADE.ratio == 1.1
    assert MADE.met is True
    assert Epoch("mnist", 1, 1, 1, {"train": (1.16,), "steps": (1.0,)}, (1.0,)).met is False
    assert Epoch("digits", 1, 1, 1, {"train": (1.0,), "steps": (1.0,)}, (1.0,)).met is None


def test_terminal_markdown_and_json_say_the_same():
    stream = io.StringIO()
    epoch.show(MADE, Console(file=stream, width=160))
    text, table = stream.getvalue(), epoch.markdown(MADE)
    for word in ("5.500", "10,000", "1.100 times", "at most 1.15: met", "55,000 images of mnist"):
        assert word in text
        assert word in table
    assert "| of it in its steps | 5.100 | 4.550 to 5.150 | 10,784 |" in table
    assert "| bare steps | 5.000 | 4.500 to 5.000 | 11,000 |" in table
    again = json.loads(json.dumps(MADE.to_json()))
    assert (again["met"], again["seconds"]["steps"]) == (True, [5.0, 5.0, 4.0])


def test_the_ways_take_turns_and_what_comes_out_must_be_the_same(monkeypatch):
    asked = []

    def run(_, way, *__, threads):
        asked.append((way, threads))
        return {"seconds": 2.0 if way == "train" else 1.0, "inside": 1.5, "sha256": "same"}

    monkeypatch.setattr(isolated, "run", run)
    found = epoch.measure(threads=2, rounds=2, dataset="digits")
    assert asked == [("train", 2), ("steps", 2), ("steps", 2), ("train", 2)]
    assert found.seconds == {"train": (2.0, 2.0), "steps": (1.0, 1.0)}
    assert found.inside == (1.5, 1.5)
    monkeypatch.setattr(isolated, "run", lambda _, way, *__, **___: {"seconds": 1.0, "inside": 1.0, "sha256": way})
    with pytest.raises(UserError, match="other work was timed"):
        epoch.measure(rounds=1, dataset="digits")


def test_blas_has_one_thread_while_processes_share_the_steps():
    with limited_threads(2):
        assert torch.get_num_threads() == 2
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}
