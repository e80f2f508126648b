import dataclasses
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from experiments import data, metrics
from experiments.backends import ScratchBackend
from experiments.checkpoint import load
from experiments.errors import UserError
from experiments.metrics import read_rows
from experiments.networks import DataShape
from experiments.wing import Wing
from tests.running import Recorder, arrays, assert_same_bits, finished, rows_without_times, run, small


@pytest.fixture(scope="module")
def root() -> Path:
    return finished() / "mlp-digits-s0"


def test_the_run_folder_is_the_documented_one(root):
    for name in ("scratch", "torch"):
        names = {re.sub(r"^events\.out.*", "events", path.name) for path in (root / name).iterdir()}
        assert names == {
            "config.json",
            "manifest.json",
            "metrics.jsonl",
            "init.npz",
            "checkpoints",
            "figures",
            "events",
            "00042",
            "projector_config.pbtxt",
        }
        assert {path.name for path in (root / name / "checkpoints").iterdir()} == {
            "last.npz",
            "previous.npz",
            "best.npz",
        }


def test_both_backends_start_from_the_same_file(root, tmp_path):
    digests = {hashlib.sha256((root / name / "init.npz").read_bytes()).hexdigest() for name in ("scratch", "torch")}
    assert len(digests) == 1
    report = Recorder()
    run(small(backend="torch", epochs=1), tmp_path, report=report)
    assert f"sha256 {next(iter(digests))[:16]}" in "\n".join(report.lines), "the same weights whatever the backend"


def test_lockstep_and_alone_give_the_same_bits(root, tmp_path):
    for backend in ("scratch", "torch"):
        run(small(backend=backend), tmp_path)
        last = Path("checkpoints") / "last.npz"
        assert_same_bits(root / backend / last, tmp_path / "mlp-digits-s0" / backend / last)


def test_the_loss_falls_and_the_digits_are_learned(tmp_path):
    summary = run(small(backend="scratch", hidden=(40,), epochs=6), tmp_path)
    rows = read_rows(tmp_path / "mlp-digits-s0" / "scratch" / "metrics.jsonl", "epoch")
    assert rows[-1]["train"]["loss"] < rows[0]["train"]["loss"] / 4
    assert summary.backends["scratch"]["test_error"] < 0.12
    assert summary.exit_code == 0
    assert summary.parity is None


def test_the_summary_is_what_the_files_say(tmp_path):
    report = Recorder()
    summary = run(small(), tmp_path, report=report)
    assert report.summary is summary
    for name, result in summary.backends.items():
        folder = summary.run / name
        epochs, (test,) = read_rows(folder / "metrics.jsonl", "epoch"), read_rows(folder / "metrics.jsonl", "test")
        assert (result["test_error"], result["test_loss"]) == (test["error"], test["loss"])
        assert result["train_loss"] == epochs[-1]["train"]["loss"]
        assert result["validation_error"] == min(row["validation"]["error"] for row in epochs)
        assert result["seconds"] == pytest.approx(sum(row["seconds"] for row in epochs))
        assert (result["updates"], result["epochs"]) == (42, 2)
    assert summary.parity is not None
    assert summary.exit_code == 0


def test_the_training_loss_of_an_epoch_is_the_mean_over_its_images(tmp_path):
    """21 batches, the last one smaller: a mean over batches would be another number."""
    run(small(backend="scratch", log_every=1, epochs=1), tmp_path)
    path = tmp_path / "mlp-digits-s0" / "scratch" / "metrics.jsonl"
    losses = [row["loss"] for row in read_rows(path, "train")]
    images = len(data.load("digits").train.labels)
    sizes = np.array([64] * 20 + [images - 20 * 64])
    (epoch,) = read_rows(path, "epoch")
    assert epoch["train"]["loss"] == pytest.approx(float(np.average(losses, weights=sizes)), rel=1e-12)
    assert epoch["train"]["loss"] != pytest.approx(float(np.mean(losses)), rel=1e-6)


@pytest.mark.parametrize("batch_size", [1, 400])
def test_online_and_batch_learning(tmp_path, batch_size):
    summary = run(small(backend="scratch", batch_size=batch_size, hidden=(4,), epochs=1, lr=0.01), tmp_path)
    images = len(data.load("digits").train.labels)
    assert summary.backends["scratch"]["updates"] == -(-images // batch_size)


def test_batch_learning_is_one_update_along_the_mean_gradient(tmp_path):
    """One epoch with N images per update must equal the step computed directly from all of them."""
    train = data.load("digits").train
    count = len(train.labels)
    config = small(backend="scratch", batch_size=count, hidden=(4,), epochs=1, dtype="float64", momentum=0.0)
    run(config, tmp_path)
    folder = tmp_path / "mlp-digits-s0" / "scratch"
    backend = ScratchBackend.configured(config, DataShape((28, 28), 10))
    with np.load(folder / "init.npz") as init:
        backend.load_parameters(dict(init))
    step = backend.gradients(data.inputs(train.images, "float64").reshape(count, -1), train.labels)
    backend.update(step.grads)
    trained = arrays(folder / "checkpoints" / "last.npz")
    for name, value in backend.parameters().items():
        np.testing.assert_allclose(trained[f"param/{name}"], value, rtol=1e-12, atol=1e-14)


def test_the_test_set_is_opened_once_and_only_at_the_end(tmp_path, monkeypatch):
    opened = []
    real = Wing.test

    def test(self, update, *arguments):
        opened.append((self.backend.name, update))
        return real(self, update, *arguments)

    monkeypatch.setattr(Wing, "test", test)
    run(small(), tmp_path)
    run(small(), tmp_path, resume=True)
    assert opened == [("scratch", 42), ("torch", 42)]


def test_the_manifest_has_the_data_and_the_end(root):
    manifest = json.loads((root / "scratch" / "manifest.json").read_text())
    assert manifest["data"]["sha256"] == dict(data.load("digits").sha256)
    assert manifest["ended"] >= manifest["started"]


def test_two_runs_are_equal_but_for_the_clock(root, tmp_path):
    run(small(), tmp_path)
    for name in ("scratch", "torch", "diff"):
        again = rows_without_times(tmp_path / "mlp-digits-s0" / name / "metrics.jsonl")
        first = rows_without_times(root / name / "metrics.jsonl")
        assert again == first
        assert len(first) > 9


def test_an_existing_run_is_refused_and_overwritten_on_request(tmp_path):
    config = small(backend="scratch", epochs=1)
    run(config, tmp_path)
    with pytest.raises(UserError, match="--overwrite"):
        run(config, tmp_path)
    run(dataclasses.replace(config, lr=0.01), tmp_path, overwrite=True)
    rows = read_rows(tmp_path / "mlp-digits-s0" / "scratch" / "metrics.jsonl", "train")
    assert {row["lr"] for row in rows} == {0.01}
    with pytest.raises(UserError, match="give one"):
        run(config, tmp_path, resume=True, overwrite=True)


def test_a_nan_stops_the_run_where_it_began_and_leaves_the_checkpoint(tmp_path, monkeypatch):
    """The weights of fc2 turn NaN in update 6: the sentence must name the update and the tensor."""
    real = ScratchBackend.update
    count = 0

    def update(self, grads):
        nonlocal count
        count += 1
        real(self, grads)
        if count == 6:
            self.net.parameters()["fc2.weight"][0, 0] = np.nan

    monkeypatch.setattr(ScratchBackend, "update", update)
    config = small(backend="scratch")
    with pytest.raises(UserError) as stop:
        run(config, tmp_path)
    message = str(stop.value)
    assert "at update 7 (epoch 1, batch 7)" in message
    assert "the parameter fc2.weight (1 of 96 values) is infinite or NaN" in message
    last = tmp_path / "mlp-digits-s0" / "scratch" / "checkpoints" / "last.npz"
    assert str(last) in message
    saved = arrays(last)
    assert all(np.isfinite(value).all() for value in saved.values())
    params = {name[6:]: value for name, value in saved.items() if name.startswith("param/")}
    assert load(last, config.hash(), params).update == 4


def test_a_learning_rate_far_too_large_stops_with_the_layer_in_which_it_began(tmp_path):
    with pytest.raises(UserError, match=r"at update 2 .*scratch backend the output of layer fc1 .* is infinite or NaN"):
        run(small(lr=1e38, activation="identity"), tmp_path)


@pytest.mark.parametrize(
    ("where", "what"),
    [("loss", "loss"), ("fc3.bias", "gradient of fc3.bias"), ("fc1.weight", "gradient of fc1.weight")],
)
def test_the_first_of_the_tensors_is_named(where, what):
    from experiments.backend import Step
    from experiments.backends import build, initial_parameters
    from experiments.nonfinite import find_nonfinite

    config = small(hidden=(5, 4))
    shape = DataShape(image=(2, 3), classes=3)
    backend = build("scratch", config, initial_parameters(config, shape), shape)
    images = np.ones((2, 6), np.float32)
    lent = backend.gradients(images, np.array([0, 1]))
    step = Step(lent.loss, lent.outputs, {name: grad.copy() for name, grad in lent.grads.items()})
    assert find_nonfinite(backend, images, step) is None
    if where == "loss":
        step = Step(float("inf"), step.outputs, step.grads)
    else:
        step.grads["fc1.bias"][:] = np.nan  # later in the backward pass than fc3, earlier than fc1.weight by name only
        if where == "fc3.bias":
            step.grads[where][0] = np.inf
        else:
            step.grads["fc1.bias"][:] = 0
            step.grads[where][0, 0] = np.inf
    assert str(find_nonfinite(backend, images, step)).startswith(what)


def test_parameters_that_are_not_finite_are_not_saved(tmp_path, monkeypatch):
    real = ScratchBackend.update
    count = 0

    def update(self, grads):
        nonlocal count
        count += 1
        real(self, grads)
        if count == 8:  # a checkpoint follows this update at once
            self.net.parameters()["fc1.bias"][0] = np.inf

    monkeypatch.setattr(ScratchBackend, "update", update)
    with pytest.raises(UserError, match=r"update 8 of the scratch backend made the parameter fc1\.bias infinite"):
        run(small(backend="scratch"), tmp_path)
    assert all(
        np.isfinite(value).all()
        for value in arrays(tmp_path / "mlp-digits-s0" / "scratch" / "checkpoints" / "last.npz").values()
    )


def test_a_batch_larger_than_the_data_is_a_usage_error_and_makes_no_folder(tmp_path):
    with pytest.raises(UserError, match="--batch-size") as refusal:
        run(small(batch_size=100_000), tmp_path)
    assert refusal.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_makes_no_folder(tmp_path):
    with pytest.raises(UserError, match="--device"):
        run(small(device="cuda:9"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("activation", "outputs", "share"),
    [
        ("tanh", [0.0, 0.97, 0.98, -0.999], 0.5),
        ("lecun-tanh", [0.0, 1.7159 * 0.97, 1.7159 * 0.98, -1.7159], 0.5),
        ("logistic", [0.5, 0.02, 0.01, 0.999], 0.5),
        ("relu", [0.0, 1e-9, 3.0, 0.0], 0.5),
        ("identity", [1e9, 0.0, 1.0, 2.0], 0.0),
    ],
)
def test_saturation_counts_where_the_slope_is_below_a_twentieth_of_its_maximum(activation, outputs, share):
    assert metrics.saturation(activation, np.array(outputs)) == share


def test_the_update_ratio_is_the_step_relative_to_the_weight():
    before = {"fc1.weight": np.array([[3.0, 4.0]]), "fc1.bias": np.ones(1), "fc2.weight": np.zeros((1, 1))}
    after = {"fc1.weight": np.array([[3.0, 4.5]]), "fc1.bias": np.zeros(1), "fc2.weight": np.zeros((1, 1))}
    assert metrics.update_ratios(before, after) == {"fc1": 0.1, "fc2": 0.0}


def test_half_a_line_at_the_end_is_no_row_and_is_cut(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [f'{{"kind": "train", "update": {update}}}\n' for update in (1, 2, 3)]
    path.write_text("".join(rows) + '{"kin')
    assert [row["update"] for row in read_rows(path)] == [1, 2, 3]
    metrics.cut_after(path, 2)
    assert path.read_text() == "".join(rows[:2])


def test_another_line_that_is_no_row_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for damage in ('{"kin\n', "3\n", '{"kind": "train"}\n', '{"kind": "train", "update": true}\n'):
        path.write_text('{"kind": "train", "update": 1}\n' + damage + '{"kind": "train", "update": 3}\n')
        with pytest.raises(UserError, match=r"metrics\.jsonl, line 2, is damaged"):
            read_rows(path)


def test_data_without_a_published_digest_are_not_called_verified(tmp_path, monkeypatch):
    real = data.load("digits")
    monkeypatch.setattr(data, "load", lambda *_: dataclasses.replace(real, unverified=("train-images",)))
    report = Recorder()
    run(small(backend="scratch", epochs=1), tmp_path, report=report)
    assert "no published digest for 1 of 6 files" in "\n".join(report.lines)
    assert "sha256 ok" not in "\n".join(report.lines)
    manifest = json.loads((tmp_path / "mlp-digits-s0" / "scratch" / "manifest.json").read_text())
    assert manifest["data"]["unverified"] == ["train-images"]


def test_numbers_that_json_lacks_become_null(tmp_path):
    file = metrics.MetricsFile(tmp_path / "metrics.jsonl")
    file.write({"update": np.int64(3), "loss": float("nan"), "deep": {"x": [np.float32(0.5), float("inf")]}})
    file.close()
    assert file.path.read_text() == '{"update": 3, "loss": null, "deep": {"x": [0.5, null]}}\n'


def test_squared_error_outputs_are_cut_to_probabilities():
    outputs = np.array([[-0.2, 0.5, 1.3]])
    np.testing.assert_array_equal(metrics.probabilities(outputs, "squared-error"), [[0, 0.5, 1]])
    assert metrics.probabilities(outputs, "cross-entropy").sum() == pytest.approx(1)
