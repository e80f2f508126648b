"""LeNet-5 in training: its run is what a perceptron's is, with a table of links that stay away."""

import json
import shlex

import numpy as np
import pytest
import torch

import scratch
import torchref
from experiments import parity
from experiments import verdict as verdicts
from experiments.backend import Step
from experiments.backends import ScratchBackend, build, initial_parameters
from experiments.cli import main, parse_train
from experiments.commands import RunOptions, resume_command
from experiments.config import LeNet5Config, MlpConfig
from experiments.data import load
from experiments.invocation import command
from experiments.metrics import read_rows
from experiments.networks import DataShape, inputs, scratch_network, title, torch_network
from experiments.runs import RunFolder
from tests.running import Recorder, assert_same_bits, run, small_lenet5
from tests.test_parity import SAME, named, row
from tests.test_resume import assert_same_run, stop_at
from torchref.oracle import criteria

SHAPE = DataShape((28, 28), 10)
CPU = torch.device("cpu")
FORMS = [
    {},
    {"pooling": "average", "c3": "dense"},
    {"pooling": "max", "activation": "relu"},
    {"activation": "logistic", "dtype": "float64"},
]
LAYERS = ["canvas", "c1", "c1_f", "s2", "s2_f", "c3", "c3_f", "s4", "s4_f", "c5", "c5_f", "flatten", "f6", "f6_f"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    runs_dir = tmp_path_factory.mktemp("runs")
    run(small_lenet5(), runs_dir)
    return runs_dir / "lenet5-digits-s0"


def test_each_network_takes_the_images_in_its_own_form():
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    flat, square = inputs(MlpConfig(dtype="float64"), images), inputs(LeNet5Config(), images)
    assert (flat.shape, flat.dtype) == ((2, 12), np.float64)
    assert (square.shape, square.dtype) == ((2, 1, 3, 4), np.float32)
    np.testing.assert_array_equal(flat.reshape(2, 1, 3, 4).astype(np.float32), square)
    np.testing.assert_allclose(flat, (images.reshape(2, 12) - 20.0) / 200)


@pytest.mark.parametrize("form", FORMS)
def test_the_settings_reach_both_networks(form):
    config = LeNet5Config(**form)
    ours, twin = scratch_network(config, SHAPE), torch_network(config, SHAPE, CPU)
    pools = {
        "subsample": (scratch.Subsample2d, torchref.Subsample2d),
        "average": (scratch.AvgPool2d, torchref.AvgPool2d),
        "max": (scratch.MaxPool2d, torchref.MaxPool2d),
    }
    for net, index in ((ours, 0), (twin, 1)):
        layers = net.layers if index == 0 else dict(net.named_children())
        for name in ("s2", "s4"):
            assert type(layers[name]) is pools[config.pooling][index]
        assert (layers["c3"].connections is None) is (config.c3 == "dense")
        expected = {"lecun-tanh": "Tanh", "relu": "ReLU", "logistic": "Logistic"}[config.activation]
        assert {type(layers[name]).__name__ for name in ("c1_f", "c3_f", "c5_f", "f6_f")} == {expected}
        slopes = {name: getattr(layers["c1_f"], name, None) for name in ("a", "b")}
        assert (
            slopes
            == {
                "lecun-tanh": {"a": 1.7159, "b": 2 / 3},
                "relu": {"a": None, "b": None},
                "logistic": {"a": 1.0, "b": None},
            }[config.activation]
        )
    own, other = ours.state_dict(), twin.state_dict()
    assert {name: (p.shape, str(p.dtype)) for name, p in own.items()} == {
        name: (tuple(p.shape), str(p.dtype).removeprefix("torch.")) for name, p in other.items()
    }
    assert ours.num_parameters == twin.num_parameters


@pytest.mark.parametrize("form", FORMS)
def test_the_two_backends_agree_in_everything_the_loop_asks_for(form):
    config = LeNet5Config(**{"dtype": "float64", **form})
    params = initial_parameters(config, SHAPE)
    ours, twin = (build(name, config, params, SHAPE) for name in ("scratch", "torch"))
    train = load("digits").train
    x, labels = inputs(config, train.images[:5]), train.labels[:5]
    assert x.shape == (5, 1, 28, 28)
    a, t = ours.gradients(x, labels), twin.gradients(x, labels)
    assert a.loss == pytest.approx(t.loss, rel=1e-12 if config.dtype == "float64" else 1e-5)
    assert list(a.grads) == list(t.grads) == list(ours.parameters()) == list(twin.parameters())
    tolerance = 1e-10 if config.dtype == "float64" else 1e-3
    for name, grad in a.grads.items():
        np.testing.assert_allclose(grad, t.grads[name], rtol=0, atol=tolerance * np.abs(grad).max())
    assert list(ours.trace(x)) == list(twin.trace(x))
    if config.pooling == "subsample":
        assert list(ours.trace(x)) == [*LAYERS, "output"]
    assert ours.num_parameters() == twin.num_parameters()
    assert list(ours.connections()) == list(twin.connections()) == (["c3"] if config.c3 == "table" else [])


def test_the_header_names_the_network_and_counts_only_links_that_are_there(tmp_path):
    report = Recorder()
    run(small_lenet5(backend="scratch", epochs=1), tmp_path, report=report)
    net = "net lenet5, pooling subsample, c3 table, 60,850 parameters, lecun-tanh, cross-entropy, float32, scratch"
    assert net in "\n".join(report.lines)
    for pooling, c3 in (("average", "table"), ("max", "dense")):
        said = title(LeNet5Config(pooling=pooling, c3=c3), SHAPE, 60_806)
        assert said == f"lenet5, pooling {pooling}, c3 {c3}, 60,806 parameters"
    assert title(MlpConfig(hidden=(5,)), DataShape((2, 3), 4), 59) == "6-5-4 59 parameters"


def test_a_lockstep_run_passes_and_judges_every_layer_and_every_absent_link(root):
    verdict = verdicts.recorded(RunFolder(root / "diff"))
    assert verdict is not None
    assert verdict["passed"]
    checks = named(verdict)
    for name in ("c1", "s2", "c3", "s4", "c5", "f6", "output"):
        assert checks[f"forced layer {name}"]["value"] > 0
        for parameter in ("weight", "bias"):
            assert 0 < checks[f"forced grad/{name}.{parameter}"]["value"] <= criteria.NETWORK
    absent = {name: check for name, check in checks.items() if name.startswith("absent")}
    assert set(absent) == {f"absent {b} {k}/c3.weight" for b in ("scratch", "torch") for k in ("param", "grad")}
    assert {(check["value"], check["bound"], check["question"]) for check in absent.values()} == {
        (0.0, 0.0, "absent links, exactly 0")
    }
    rows = read_rows(root / "diff" / "metrics.jsonl", "parity")
    assert [row["update"] for row in rows] == [1, 20, 21, 40, 42]
    assert all("scratch param/c3.weight" in row["absent"] for row in rows)


def test_absent_links_are_looked_at_where_the_table_has_none():
    table = np.array([[True, False, True], [False, True, True]])
    weight = np.zeros((2, 3, 2, 1))
    weight[table] = 5
    assert parity.absent_links({"c": table}, {"c.weight": weight, "d.weight": weight}) == {"c.weight": 0}
    weight[1, 0, 1, 0] = -1e-300
    assert parity.absent_links({"c": table}, {"c.weight": weight}) == {"c.weight": 1e-300}
    weight[0, 1, 0, 0] = np.nan
    assert np.isnan(parity.absent_links({"c": table}, {"c.weight": weight})["c.weight"])


@pytest.mark.parametrize("value", [1e-300, None])
def test_an_absent_link_that_is_not_zero_fails_the_run_in_either_dtype(value):
    name = "torch grad/c3.weight"
    rows = [{**row(update), "absent": {name: value if update == 20 else 0.0}} for update in (1, 20, 40)]
    for dtype in ("float32", "float64"):
        verdict = verdicts.verdict(rows, dtype, (0.02, 0.02), SAME)
        assert [check["name"] for check in verdict["checks"] if not check["passed"]] == [f"absent {name}"]
        assert "worst at update 20" in named(verdict)[f"absent {name}"]["detail"]


def test_a_gradient_of_an_absent_link_turns_the_run_into_a_fail(tmp_path, monkeypatch):
    """The mask is forgotten in the gradient of one link: its weight leaves 0, and both are named."""
    real = ScratchBackend.gradients

    def gradients(self, images, labels, masks=None):
        step = real(self, images, labels, masks)
        weight = step.grads["c3.weight"].copy()
        weight[0, 3, 2, 1] = 1e-12  # map 0 of C3 sees maps 0 to 2 of S2
        return Step(step.loss, step.outputs, {**step.grads, "c3.weight": weight})

    monkeypatch.setattr(ScratchBackend, "gradients", gradients)
    summary = run(small_lenet5(epochs=1), tmp_path)
    assert summary.exit_code == 1
    assert summary.parity is not None
    failed = [check["name"] for check in summary.parity["checks"] if not check["passed"]]
    assert failed == ["forced part step", "absent scratch param/c3.weight", "absent scratch grad/c3.weight"]


def test_stopped_and_resumed_it_is_the_unbroken_run_bit_for_bit(root, tmp_path):
    assert run(small_lenet5(), tmp_path, report=stop_at(64 * 6)).interrupted
    run(small_lenet5(), tmp_path, resume=True)
    assert_same_run(tmp_path / "lenet5-digits-s0", root)


def test_the_unbroken_run_learns(root):
    last = "checkpoints/last.npz"
    with pytest.raises(AssertionError):
        assert_same_bits(root / "scratch" / last, root / "torch" / last)  # two programs, not one run twice
    losses = [row["train"]["loss"] for row in read_rows(root / "scratch" / "metrics.jsonl", "epoch")]
    assert losses[1] < losses[0]


def test_a_finished_run_is_shown_and_measured(root, capsys):
    assert main(["show", str(root)]) == 0
    out = capsys.readouterr().out
    for words in ("lenet5, pooling subsample, c3 table, lecun-tanh", "lr 0.05 (constant)", "absent links", "PASS"):
        assert words in out
    assert main(["show", str(root), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["config"]["model"] == "lenet5"
    assert main(["eval", str(root), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)["evaluations"]
    assert len(measured) == 4
    for name, result in shown["backends"].items():
        last = next(each for each in measured if (each["backend"], each["checkpoint"]) == (name, "last.npz"))
        assert last["test_error"] == result["test_error"]


def test_the_command_line_trains_it_and_json_is_all_it_prints(tmp_path, capsys):
    words = "train lenet5 --backend scratch --epochs 1 --pooling average --c3 dense --json"
    assert main([*words.split(), "--runs-dir", str(tmp_path)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["run"].endswith("lenet5-digits-s0")
    assert said["backends"]["scratch"]["updates"] == 21
    config = json.loads((tmp_path / "lenet5-digits-s0" / "scratch" / "config.json").read_text())
    assert (config["model"], config["pooling"], config["c3"]) == ("lenet5", "average", "dense")
    assert "hidden" not in config


def test_the_resume_command_parses_to_the_same_settings():
    settings = LeNet5Config(pooling="max", c3="dense", schedule="cosine", activation="tanh", seed=3)
    words = shlex.split(resume_command(settings, RunOptions()))
    begin = shlex.split(command("train", "lenet5"))
    assert words[: len(begin)] == begin
    assert parse_train("lenet5", words[len(begin) :]).settings == settings
    assert resume_command(LeNet5Config(), RunOptions()) == command("train", "lenet5", "--resume")
