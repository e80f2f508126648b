import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from experiments.description import describe, describe_run
from experiments.errors import UserError
from experiments.evaluation import evaluate, evaluate_run
from experiments.metrics import read_rows
from tests.running import Recorder, finished, run, small


@pytest.fixture(scope="module")
def root() -> Path:
    return finished() / "mlp-digits-s0"


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory) -> Path:
    """Return a run that was stopped in its second epoch."""
    folder = tmp_path_factory.mktemp("runs")

    def at(epoch, done):
        if (epoch, done) == (2, 128):
            os.kill(os.getpid(), signal.SIGTERM)

    run(small(), folder, report=Recorder(at))
    return folder / "mlp-digits-s0"


def test_the_last_checkpoint_measures_as_it_did_at_the_end_of_training(root):
    results = {(result["backend"], result["checkpoint"]): result for result in evaluate(root)[0]}
    assert list(results) == [(b, c) for b in ("scratch", "torch") for c in ("last.npz", "best.npz")]
    for name in ("scratch", "torch"):
        last = results[name, "last.npz"]
        (test,) = read_rows(root / name / "metrics.jsonl", "test")
        epochs = read_rows(root / name / "metrics.jsonl", "epoch")
        assert (last["test_error"], last["test_loss"]) == (test["error"], test["loss"])
        assert last["validation_error"] == epochs[-1]["validation"]["error"]
        assert (last["updates"], last["epochs"]) == (42, 2)
        best = results[name, "best.npz"]
        assert best["validation_error"] == min(row["validation"]["error"] for row in epochs)


def test_one_backend_can_be_evaluated_alone(root):
    assert {result["backend"] for result in evaluate(root / "torch")[0]} == {"torch"}


def test_a_run_that_has_not_finished_keeps_its_test_set_shut(unfinished):
    with pytest.raises(UserError, match="scratch has not finished, and the test set is opened only for a finished run"):
        evaluate(unfinished)


def test_a_damaged_last_checkpoint_is_replaced_by_the_previous_one_and_said(root, tmp_path, capsys):
    shutil.copytree(root / "torch", tmp_path / "torch")
    folder = tmp_path / "torch" / "checkpoints"
    (folder / "last.npz").write_bytes((folder / "last.npz").read_bytes()[:1000])
    results, (note,) = evaluate(tmp_path / "torch")
    assert [(result["checkpoint"], result["updates"]) for result in results] == [("previous.npz", 40), ("best.npz", 42)]
    assert "last.npz is refused: it is cut off or damaged" in note
    assert "previous.npz, after update 40, is measured instead" in note
    assert evaluate_run(tmp_path / "torch") == 0
    assert note in capsys.readouterr().out
    (folder / "previous.npz").unlink()
    with pytest.raises(UserError, match=r"last\.npz is refused: it is cut off or damaged"):
        evaluate(tmp_path / "torch")


def test_without_the_best_checkpoint_the_last_is_measured(root, tmp_path):
    shutil.copytree(root / "torch", tmp_path / "torch")
    (tmp_path / "torch" / "checkpoints" / "best.npz").unlink()
    results, (note,) = evaluate(tmp_path / "torch")
    assert [result["checkpoint"] for result in results] == ["last.npz"]
    assert "best.npz does not exist" in note


def test_the_initial_parameters_are_not_needed(root, tmp_path):
    shutil.copytree(root / "torch", tmp_path / "torch")
    (tmp_path / "torch" / "init.npz").write_bytes(b"PK")
    assert evaluate(tmp_path / "torch") == evaluate(root / "torch")


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.json", b"\xff\xfe", "not UTF-8"),
        ("config.json", b"{", "not valid JSON"),
        ("manifest.json", b'{"data": 5}', "data: expected a JSON object, got 5"),
        ("manifest.json", b'{"blas": [{}]}', r"blas\[0\]: 'internal_api' is missing"),
        ("manifest.json", b'{"half": ', "not valid JSON"),
        ("metrics.jsonl", b'garbage\n{"kind": "epoch", "update": 1}\n', "line 1, is damaged: it is not valid JSON"),
        ("metrics.jsonl", b"[1]\n", "line 1, is damaged: expected a JSON object"),
        ("metrics.jsonl", b'{"kind": "summary", "update": "7"}\n', "line 1, .* update: expected a whole number"),
        ("metrics.jsonl", b'{"kind": "summary", "update": 7, "result": {}}\n', "line 1, is damaged: result: '.*' is"),
        ("../diff/metrics.jsonl", b'{"kind": "summary", "update": 42, "parity": {}}\n', "line 1, is damaged"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(root, tmp_path, file, content, reason):
    shutil.copytree(root, tmp_path / "run")
    path = tmp_path / "run" / "scratch" / file
    path.write_bytes(content)
    with pytest.raises(UserError, match=reason) as refusal:
        describe(tmp_path / "run")
    assert path.resolve().name in str(refusal.value)


def test_backends_trained_apart_are_described_with_their_differences_and_without_a_verdict(root, tmp_path, capsys):
    shutil.copytree(root, tmp_path / "run")
    path = tmp_path / "run" / "torch" / "config.json"
    path.write_text(path.read_text().replace('"lr": 0.05', '"lr": 0.5'))
    assert describe(tmp_path / "run")["parity"] is None
    assert describe_run(tmp_path / "run") == 0
    assert "--lr: 0.05 -> 0.5" in capsys.readouterr().out


def test_what_is_no_run_is_refused(tmp_path):
    for function in (evaluate, describe):
        with pytest.raises(UserError, match="is not a run"):
            function(tmp_path)


def test_other_data_than_those_of_the_run_are_refused(root, tmp_path):
    shutil.copytree(root, tmp_path / "run")
    path = tmp_path / "run" / "scratch" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["data"]["sha256"] = dict.fromkeys(manifest["data"]["sha256"], "0" * 64)
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="the data are not those"):
        evaluate(tmp_path / "run")


def test_the_table_and_the_json_say_the_same(root, capsys):
    assert evaluate_run(root) == 0
    table = capsys.readouterr().out
    assert evaluate_run(root, as_json=True) == 0
    results = json.loads(capsys.readouterr().out)["evaluations"]
    assert len(results) == 4
    for result in results:
        assert f"{result['test_error']:.2%}" in table
        assert f"{result['test_loss']:.4f}" in table


def test_a_finished_run_is_described(root, capsys):
    assert describe_run(root) == 0
    text = capsys.readouterr().out
    for word in ("hidden 12,8", "tanh", "2 epochs", "numpy", "commit", "scratch", "torch", "PASS"):
        assert word in text
    assert "not finished" not in text
    assert describe_run(root, as_json=True) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["finished"] is True
    assert described["parity"]["passed"] is True
    assert described["config"]["hidden"] == [12, 8]
    assert described["backends"]["torch"]["updates"] == 42


def test_an_unfinished_run_is_described_by_its_last_epoch(unfinished, capsys):
    described = describe(unfinished)
    assert described["finished"] is False
    assert described["parity"] is None
    result = described["backends"]["scratch"]
    assert (result["epochs"], result["updates"], result["test_error"]) == (1, 21, None)
    assert np.isclose(
        result["images_per_s"] * result["seconds"],
        read_rows(unfinished / "scratch" / "metrics.jsonl", "epoch")[0]["seconds"]
        * read_rows(unfinished / "scratch" / "metrics.jsonl", "epoch")[0]["images_per_s"],
    )
    assert describe_run(unfinished) == 0
    assert "--resume continues it" in capsys.readouterr().out


def test_backends_of_other_sizes_are_measured_each_by_its_own_settings(root, tmp_path):
    """Runs from before such a mixture was refused, or copied together by hand."""
    other = finished(hidden=(5,), backend="torch") / "mlp-digits-s0"
    shutil.copytree(root / "scratch", tmp_path / "run" / "scratch")
    shutil.copytree(other / "torch", tmp_path / "run" / "torch")
    assert evaluate(tmp_path / "run")[0] == evaluate(root / "scratch")[0] + evaluate(other / "torch")[0]


def test_losses_that_have_run_away_are_printed_with_an_exponent(tmp_path, capsys):
    report = Recorder()
    # tanh is bounded: what runs away are the output layer's weights, and not beyond what floats hold.
    run(small(backend="scratch", batch_size=1297, loss="squared-error", lr=1e4), tmp_path, report=report)
    *_, row = read_rows(tmp_path / "mlp-digits-s0" / "scratch" / "metrics.jsonl", "epoch")
    losses = [row[split]["loss"] for split in ("train", "validation")]
    assert min(losses) > 1e5
    assert f"loss {losses[0]:.3e}, validation {losses[1]:.3e}, error" in report.lines[-1]
    assert evaluate_run(tmp_path / "mlp-digits-s0") == 0
    out = capsys.readouterr().out
    assert f" {losses[1]:.3e} " in out
    assert max(map(len, out.split())) < 12
