"""A lockstep run sees every part of training that is broken, in float32 too: one bug at a time, a few updates."""

import numpy as np
import pytest
import torch

import scratch
import torchref
from experiments import parts
from experiments.backend import Step
from experiments.backends import ScratchBackend
from experiments.networks import DataShape, scratch_network, torch_network
from tests.running import run, small, small_lenet5
from torchref.oracle.magnitude import Values


def failed(config, tmp_path):
    summary = run(config, tmp_path)
    assert summary.exit_code == 1
    assert summary.parity is not None
    return {check["name"]: check["detail"] for check in summary.parity["checks"] if not check["passed"]}


def scaled(monkeypatch, where, method, change):
    """Change what a method returns."""
    real = getattr(where, method)
    monkeypatch.setattr(where, method, lambda self, *given: change(real(self, *given)))


LENET5 = small_lenet5(epochs=1, log_every=30)
MAX = small_lenet5(epochs=1, log_every=30, pooling="max")
MLP = small(epochs=1, log_every=20)


@pytest.mark.parametrize(("config", "lost"), [(LENET5, "c1.weight"), (LENET5, "s4.weight"), (MAX, "c1.weight")])
def test_a_gradient_that_is_lost_between_the_layers_and_the_step(config, lost, tmp_path, monkeypatch):
    def change(step):
        return Step(step.loss, step.outputs, {**step.grads, lost: 0 * step.grads[lost]})

    scaled(monkeypatch, ScratchBackend, "gradients", change)
    found = failed(config, tmp_path)
    assert f"step grad/{lost}" in found["forced part step"]


def test_a_network_that_leaves_a_layer_out_on_its_way_back(tmp_path, monkeypatch):
    def gradients(self, dy, cache):
        grads = {}
        for name, layer in reversed(self.layers.items()):
            if name != "c3_f":
                dy, own = layer.backward(dy, cache.layers[name])
                grads |= {f"{name}.{key}": grad for key, grad in own.items()}
        return {name: grads[name] for name in self.parameters()}

    monkeypatch.setattr(scratch.Sequential, "gradients", gradients)
    assert "step grad/" in failed(LENET5, tmp_path)["forced part step"]


@pytest.mark.parametrize(
    ("config", "method", "factor"),
    [
        (LENET5, "backward", 1.01),
        (LENET5, "forward", 1.01),
        (MAX, "backward", 1.5),
        (MLP, "backward", 1.0001),
        (MLP, "forward", 1.0001),
    ],
)
def test_a_loss_that_is_scaled(config, method, factor, tmp_path, monkeypatch):
    def change(result):
        by = np.float32(factor)
        return (result[0] * by, result[1]) if method == "forward" else result * by

    scaled(monkeypatch, scratch.CrossEntropy, method, change)
    tensor = "doutput" if method == "backward" else "loss"
    assert f"loss {tensor}" in failed(config, tmp_path)["forced part loss"]


@pytest.mark.parametrize(
    ("config", "layer", "method", "factor"),
    [(MAX, "c3_f", "backward", 1.01), (MLP, "f2", "backward", 1.01), (MLP, "f2", "forward", 1.00001)],
)
def test_an_activation_or_its_derivative_that_is_scaled(config, layer, method, factor, tmp_path, monkeypatch):
    by = np.float32(factor)
    scaled(monkeypatch, scratch.Tanh, method, lambda result: (result[0] * by, result[1]))
    assert f"forced layer {layer}" in failed(config, tmp_path)


@pytest.mark.parametrize("config", [LENET5, MLP, small(epochs=1, log_every=20, momentum=0.0, weight_decay=1e-3)])
def test_an_update_that_is_one_part_in_ten_thousand_too_long(config, tmp_path, monkeypatch):
    real = scratch.SGD.step

    def step(self, params, grads):
        before = {name: p.copy() for name, p in params.items()}
        real(self, params, grads)
        for name, p in params.items():
            p += np.float32(1e-4) * (p - before[name])

    monkeypatch.setattr(scratch.SGD, "step", step)
    assert "update param/" in failed(config, tmp_path)["forced part update"]


def test_a_velocity_that_forgets(tmp_path, monkeypatch):
    real = scratch.SGD.step

    def step(self, params, grads):
        real(self, params, grads)
        self.velocity["fc1.weight"] *= np.float32(0.999)

    monkeypatch.setattr(scratch.SGD, "step", step)
    assert "update velocity/fc1.weight" in failed(MLP, tmp_path)["forced part update"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["Tanh", "Logistic", "ReLU", "Identity"])
def test_correct_activations_are_within_their_bounds_and_wrong_ones_are_not(name, dtype):
    x, dy = (np.random.default_rng(seed).normal(0, 20, (50, 40)).astype(dtype) for seed in (1, 2))
    x.ravel()[:7] = 0.0, -0.0, 1e-30, 1e3, -1e3, 1e-3, -1e-3
    ours, twin = getattr(scratch, name)(), getattr(torchref, name)()
    values = Values(torch.from_numpy(x), twin(torch.from_numpy(x)), torch.from_numpy(dy))
    assert [c.tensor for c in parts.judge_layer(ours, twin, values)] == ["y", "dx"]
    assert max(c.ratio for c in parts.judge_layer(ours, twin, values)) <= 1

    class Wrong(type(ours)):
        def forward(self, x):
            y, cache = super().forward(x)
            return y * (1 + 20 * np.finfo(dtype).eps).astype(dtype), cache

        def backward(self, dy, cache):
            dx, grads = super().backward(dy, cache)
            return dx * (1 + 100 * np.finfo(dtype).eps).astype(dtype), grads

    assert min(c.ratio for c in parts.judge_layer(Wrong(), twin, values)) > 1


def test_a_layer_without_a_criterion_is_refused_and_wrong_names_are_a_fault():
    x = torch.ones(2, 3)
    with pytest.raises(NotImplementedError, match="Softmax"):
        parts.judge_layer(scratch.Softmax(), torchref.Softmax(), Values(x, x, x))
    (fault,) = parts.judge_layer(scratch.Linear(3, 3), torchref.ReLU(), Values(x, x, x))
    assert not fault.passed
    assert "grad weight" in fault.fault


@pytest.mark.parametrize(
    "config", [small(dropout=0.3, hidden=(5, 4)), small_lenet5(pooling="max", activation="relu", dtype="float64")]
)
def test_a_step_is_its_parts_bit_for_bit(config):
    shape = DataShape((28, 28), 10)
    rng = np.random.default_rng(0)
    net = scratch_network(config, shape, rng)
    twin = torch_network(config, shape, torch.device("cpu"))
    backend = ScratchBackend.configured(config, shape)
    backend.load_parameters(net.state_dict())
    x = rng.normal(size=(3, 784) if config.model == "mlp" else (3, 1, 28, 28)).astype(config.dtype)
    labels = np.array([3, 0, 9])
    masks = {name: rng.random((3, size)) < 0.5 for name, size in zip(twin.dropouts(), (5, 4), strict=False)} or None
    step, trace = backend.gradients(x, labels, masks), backend.trace(x, masks)
    composed = parts.compose(backend.net, backend.criterion, x, labels, masks)
    found = parts.judge_step(step, trace, composed)
    assert len(found) == 2 + len(trace) + len(step.grads)
    assert {c.ratio for c in found} == {0.0}
    last = list(step.grads)[-1]
    other = {**step.grads, last: np.nextafter(step.grads[last], np.array(1, config.dtype))}
    found = parts.judge_step(Step(step.loss, step.outputs, other), trace, composed)
    assert [c.tensor for c in found if c.ratio > 0] == [f"grad/{last}"]
    (fault,) = parts.judge_step(Step(step.loss, step.outputs, dict(list(step.grads.items())[1:])), trace, composed)
    assert not fault.passed
