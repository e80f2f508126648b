"""Training with dropout: one draw of masks for both backends, for a resumed run and for an unbroken one."""

import numpy as np
import pytest
import torch

import scratch
import torchref
from experiments import parity
from experiments import verdict as verdicts
from experiments.backends import ScratchBackend, TorchBackend, build, initial_parameters
from experiments.cli import main
from experiments.config import LeNet5Config, MlpConfig
from experiments.config_files import load_toml
from experiments.data import load
from experiments.dropout import draw_masks
from experiments.errors import UserError
from experiments.metrics import read_rows
from experiments.networks import DataShape, data_shape, inputs, scratch_network, title, torch_network
from experiments.runs import RunFolder
from tests.running import arrays, assert_same_bits, at_a_kink, finished, run, small
from tests.test_parity import lockstep, named
from tests.test_resume import assert_same_run, stop_at
from torchref.oracle import criteria

SHAPE = DataShape((2, 3), 3)
LAST = "checkpoints/last.npz"
THINNED = {"dropout": 0.5, "dtype": "float64"}


@pytest.fixture(scope="module")
def root():
    return finished(**THINNED) / "mlp-digits-s0"


@pytest.mark.parametrize("wing", [scratch, torchref])
def test_dropout_stands_behind_every_hidden_activation_and_changes_no_parameter(wing):
    def make(sizes, activation, **how):
        rng = np.random.default_rng(3) if wing is scratch else torch.Generator().manual_seed(3)
        return wing.MLP(sizes, activation, rng=rng, **how)

    net = make((6, 5, 4, 3), wing.Tanh, dropout=0.3)
    layers = net.layers if wing is scratch else dict(net.named_children())
    assert list(layers) == ["fc1", "f1", "d1", "fc2", "f2", "d2", "fc3"]
    assert (layers["d1"].p, layers["d2"].p) == (0.3, 0.3)
    assert make((6, 5, 3), [wing.Tanh, wing.Tanh], dropout=0.3).dropouts() == ("d1",)
    assert make((6, 3), wing.Tanh, dropout=0.3).dropouts() == ()
    whole = make((6, 5, 4, 3), wing.Tanh)
    assert whole.dropouts() == ()
    ours, theirs = net.state_dict(), whole.state_dict()
    assert list(ours) == list(theirs)
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_the_masks_are_those_of_the_seed_and_the_update():
    config = small(dropout=0.3, hidden=(40, 30), seed=5)
    masks, again = draw_masks(config, 7, 50), draw_masks(config, 7, 50)
    assert {name: (mask.shape, mask.dtype) for name, mask in masks.items()} == {
        "d1": ((50, 40), np.bool_),
        "d2": ((50, 30), np.bool_),
    }
    assert all((again[name] == mask).all() for name, mask in masks.items())
    others = draw_masks(config, 8, 50), draw_masks(small(dropout=0.3, hidden=(40, 30), seed=6), 7, 50)
    elsewhere = {"d1": masks["d1"][::-1], "d2": masks["d1"][:, :30]}  # other samples, another layer
    for other in (*others, elsewhere):
        for name, mask in masks.items():
            assert 0.5 < (mask == other[name]).mean() < 0.66  # 0.58 of two that know nothing of each other
    assert np.mean([mask.mean() for mask in masks.values()]) == pytest.approx(0.7, abs=0.03)


def test_the_masks_fit_both_networks():
    config = small(dropout=0.3, hidden=(5, 4))
    ours, twin = scratch_network(config, SHAPE), torch_network(config, SHAPE, torch.device("cpu"))
    masks = draw_masks(config, 1, 7)
    assert tuple(masks) == ours.dropouts() == twin.dropouts()
    shapes = ours.shapes((6,))
    assert {name: mask.shape for name, mask in masks.items()} == {name: (7, *shapes[name]) for name in masks}


@pytest.mark.parametrize("config", [small(), LeNet5Config()])
def test_without_dropout_nothing_is_drawn_and_no_layer_drops(config):
    assert draw_masks(config, 1, 7) is None
    assert scratch_network(config, DataShape((28, 28), 10)).dropouts() == ()


def test_the_two_backends_drop_the_same_units_and_none_without_masks():
    config = small(hidden=(5, 4), **THINNED)
    params = initial_parameters(config, SHAPE)
    ours, twin = (build(name, config, params, SHAPE) for name in ("scratch", "torch"))
    x, labels = np.random.default_rng(0).standard_normal((7, 6)), np.arange(7) % 3
    masks = draw_masks(config, 1, 7)
    a, t = ours.gradients(x, labels, masks), twin.gradients(x, labels, masks)
    assert a.loss == pytest.approx(t.loss, rel=1e-13)
    for name, grad in a.grads.items():
        np.testing.assert_allclose(grad, t.grads[name], rtol=1e-11, atol=1e-14)
    for backend, step in ((ours, a), (twin, t)):
        trace = backend.trace(x, masks)
        for name, mask in masks.items():
            np.testing.assert_array_equal(trace[name] != 0, mask)
        np.testing.assert_array_equal(trace["fc3"], step.outputs)
        whole = backend.trace(x)
        np.testing.assert_array_equal(whole["d1"], whole["f1"])
        np.testing.assert_allclose(backend.predict(x), whole["fc3"], rtol=1e-12, atol=1e-14)
        assert backend.gradients(x, labels).loss == pytest.approx(backend.loss(whole["fc3"], labels))


def test_a_lockstep_run_passes_and_judges_the_thinned_layers(root):
    verdict = verdicts.recorded(RunFolder(root / "diff"))
    assert verdict is not None
    assert verdict["passed"]
    checks = named(verdict)
    assert {f"forced output/{name}" for name in ("d1", "d2")} <= checks.keys()
    assert {f"forced layer {name}" for name in ("fc1", "d1", "fc2", "d2", "fc3")} <= checks.keys()
    drifts = [check["value"] for name, check in checks.items() if name.startswith("drift")]
    assert len(drifts) == 6
    assert all(0 < drift < 1e-12 for drift in drifts)
    losses = [row["train"]["loss"] for row in read_rows(root / "scratch" / "metrics.jsonl", "epoch")]
    assert losses[1] < losses[0]


def test_stopped_and_resumed_it_is_the_unbroken_run_bit_for_bit(root, tmp_path):
    assert run(small(**THINNED), tmp_path, report=stop_at(64 * 6)).interrupted
    run(small(**THINNED), tmp_path, resume=True)
    assert_same_run(tmp_path / "mlp-digits-s0", root)


@pytest.mark.parametrize("backend", ["scratch", "torch"])
def test_each_backend_alone_drops_what_both_drop(backend, root, tmp_path):
    run(small(backend=backend, **THINNED), tmp_path)
    assert_same_bits(tmp_path / "mlp-digits-s0" / backend / LAST, root / backend / LAST)


def test_it_is_not_the_run_without_dropout(root):
    whole = arrays(finished(dtype="float64") / "mlp-digits-s0" / "scratch" / LAST)
    thinned = arrays(root / "scratch" / LAST)
    assert list(whole) == list(thinned)
    assert all((whole[name] != thinned[name]).any() for name in whole)


@pytest.mark.parametrize("backend", ["scratch", "torch"])
def test_what_is_measured_is_the_whole_network(backend, root):
    """The validation and test losses of the run are those of a network that has no dropout, on the same weights."""
    dataset = load("digits")
    config = small(dtype="float64")
    saved = arrays(root / backend / LAST).items()
    params = {name.removeprefix("param/"): value for name, value in saved if name.startswith("param/")}
    whole = build(backend, config, params, data_shape(dataset))
    rows = read_rows(root / backend / "metrics.jsonl")
    found = {
        "validation": [row["validation"] for row in rows if row["kind"] == "epoch"][-1],
        "test": next(row for row in rows if row["kind"] == "test"),
    }
    for split, row in found.items():
        images, labels = getattr(dataset, split).images, getattr(dataset, split).labels
        assert whole.loss(whole.predict(inputs(config, images)), labels) == row["loss"]


@pytest.mark.parametrize(
    ("backend", "dtype", "said"),
    [
        (ScratchBackend, "float32", ("forced loss", "forced grad/fc3.weight")),
        (ScratchBackend, "float64", ("forced loss", "forced grad/fc1.weight", "drift fc1.weight")),
        (TorchBackend, "float64", ("drift fc1.weight", "drift fc3.bias")),
    ],
)
def test_one_unit_dropped_in_one_backend_only_fails_the_lockstep(backend, dtype, said, tmp_path, monkeypatch):
    real = backend.gradients

    def gradients(self, images, labels, masks=None):
        wrong = {name: mask.copy() for name, mask in masks.items()}
        wrong["d2"][3, 1] ^= True
        return real(self, images, labels, wrong)

    monkeypatch.setattr(backend, "gradients", gradients)
    summary = run(small(epochs=1, dropout=0.5, dtype=dtype), tmp_path)
    assert summary.exit_code == 1
    assert summary.parity is not None
    assert set(said) <= {check["name"] for check in summary.parity["checks"] if not check["passed"]}


def test_near_a_kink_a_part_of_the_batch_is_compared_with_its_part_of_the_masks(tmp_path, monkeypatch):
    comparison, backend = lockstep(tmp_path, activation="relu", hidden=(20, 9), **THINNED)
    images, labels = np.random.default_rng(0).standard_normal((8, 6)), np.arange(8) % 3
    images[5] = at_a_kink(images[5:6], backend)
    assert isinstance(comparison, parity.Lockstep)
    backend.load_parameters({n: np.zeros_like(p) if n.endswith("bias") else p for n, p in backend.parameters().items()})
    masks = draw_masks(comparison.config, 1, 8)
    step, trace = backend.gradients(images, labels, masks), backend.trace(images, masks)
    given = []
    real = backend.gradients
    monkeypatch.setattr(backend, "gradients", lambda x, y, part: given.append(part) or real(x, y, part))
    result = comparison.forced(backend, images, labels, step, trace, masks)
    assert [(part["d1"].tolist(), part["d2"].tolist()) for part in given] == [
        (masks["d1"][:4].tolist(), masks["d2"][:4].tolist())
    ]
    assert (result["images"], result["faults"]) == (4, {})
    assert max(result["forced"].values()) <= criteria.NETWORK
    assert {name.split()[0] for name in result["layers"]} == {"fc1", "f1", "d1", "fc2", "f2", "d2", "fc3"}
    assert max(result["layers"].values()) <= 1
    comparison.close()


def test_a_value_that_overflows_where_units_are_enlarged_is_found_there(tmp_path, monkeypatch):
    def initial(config, shape):
        params = initial_parameters(config, shape)
        return {**params, "fc1.bias": np.full_like(params["fc1.bias"], 3e38)}  # twice that is beyond float32

    monkeypatch.setattr("experiments.training.initial_parameters", initial)
    with pytest.raises(
        UserError, match=r"update 1 .* in the scratch backend the output of layer d1 \(\d+ of 768 values"
    ):
        run(small(dropout=0.5, activation="identity"), tmp_path)


def test_it_is_set_on_the_command_line_or_in_a_file_and_shown(tmp_path, capsys):
    words = "train mlp --backend torch --epochs 1 --hidden 12,8 --dropout 0.25"
    assert main([*words.split(), "--runs-dir", str(tmp_path)]) == 0
    assert ", dropout 0.25 (training losses are the thinned network's), tanh" in capsys.readouterr().out
    assert main(["show", str(tmp_path / "mlp-digits-s0")]) == 0
    assert "hidden 12,8, dropout 0.25, tanh" in capsys.readouterr().out
    assert main(["train", "mlp", "--dropout", "1"]) == 2
    assert "--dropout: expected a number from 0 to below 1, got 1.0" in capsys.readouterr().err
    file = tmp_path / "run.toml"
    file.write_text("dropout = 0.25\n")
    assert load_toml(file, "mlp") == {"dropout": 0.25}
    assert "dropout" not in title(MlpConfig(), SHAPE, 1)
