"""Training step by step against torch's: right loops pass, and the first wrong step and parameter are named."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import scratch
import torchref
from tests import own_networks as own
from torchref import oracle
from torchref.oracle.networks.followers import Follower

DTYPES = ("float64", "float32")


def batches(dtype: str = "float64") -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(4, 5)).astype(dtype), rng.integers(0, 3, 4)) for _ in range(3)]


class Loop:
    """Training of a scratch MLP with a rule for the update."""

    def __init__(self, update: Any, dtype: str = "float64") -> None:
        self.net = scratch.MLP((5, 6, 3), dtype=np.dtype(dtype), rng=np.random.default_rng(1))
        self.update = update
        self.loss = scratch.CrossEntropy()
        self.returns: Any = lambda value: value

    def __call__(self, x: Any, target: Any) -> Any:
        output, cache = self.net.forward(x)
        value, kept = self.loss.forward(output, target)
        _, grads = self.net.backward(self.loss.backward(kept), cache)
        self.update(self.net.parameters(), grads)
        return self.returns(value)


def twin(dtype: str = "float64") -> nn.Module:
    return torchref.MLP((5, 6, 3), dtype=getattr(torch, dtype), rng=torch.Generator().manual_seed(0))


def rule(lr: float = 0.1, mu: float = 0.0, *, gain: float = 1.0, sign: float = 1.0, from_step: int = 0) -> Any:
    velocity: dict[str, Any] = {}
    steps = [0]

    def update(parameters: Any, grads: Any) -> None:
        steps[0] += 1
        for name, p in parameters.items():
            velocity[name] = p.dtype.type(mu) * velocity.get(name, np.zeros_like(p)) + p.dtype.type(gain) * grads[name]
            p -= p.dtype.type(lr * (sign if steps[0] > from_step else 1)) * velocity[name]

    return update


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["torchref", "sgd", "adam"])
def test_right_training_passes(dtype: str, kind: str) -> None:
    module = twin(dtype)
    if kind == "torchref":
        update, optimizer = scratch.SGD(0.1, 0.9, 1e-3).step, torchref.SGD(0.1, 0.9, 1e-3)
    elif kind == "sgd":
        update, optimizer = rule(0.1, 0.9), torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
    else:
        update, optimizer = adam(), lambda parameters: torch.optim.Adam(parameters, 0.01)
    loop = Loop(update, dtype)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    verdict = oracle.compare_training(
        loop, module, optimizer, batches(dtype), steps=5, parameters=loop.net.parameters()
    )
    assert verdict.passed, str(verdict)
    assert verdict.rows[-1].slug == ("free run" if dtype == "float64" else "step5")
    assert all(p.equal(before[name]) for name, p in module.named_parameters())  # torch's side is not changed


def adam() -> Any:
    m: dict[str, Any] = {}
    s: dict[str, Any] = {}
    steps = [0]

    def update(parameters: Any, grads: Any) -> None:
        steps[0] += 1
        for name, p in parameters.items():
            m[name] = 0.9 * m.get(name, 0) + 0.1 * grads[name]
            s[name] = 0.999 * s.get(name, 0) + 0.001 * grads[name] ** 2
            root = np.sqrt(s[name] / (1 - 0.999 ** steps[0])) + 1e-8
            p -= (0.01 * m[name] / (1 - 0.9 ** steps[0]) / root).astype(p.dtype)

    return update


@pytest.mark.parametrize(
    ("update", "code", "step"),
    [
        (rule(0.1, 0.9, gain=0.1), "optim:dampened", "step1"),
        (rule(0.1, 0.9, sign=-1.0), "optim:sign", "step1"),
        (rule(0.1, 0.0), "optim:state-lost", "step2"),
        (rule(0.1, 0.9, sign=-1.0, from_step=2), "", "step3"),
    ],
)
def test_the_first_wrong_step_and_the_likely_mistake_are_named(update: Any, code: str, step: str) -> None:
    loop = Loop(update)
    verdict = oracle.compare_training(
        loop, twin(), torchref.SGD(0.1, 0.9), batches(), steps=4, parameters=loop.net.parameters()
    )
    found = verdict.findings[0]
    assert (found.tensor, found.rows[0]) == ("fc1.weight", step), str(verdict)
    if code:
        assert found.code == code, str(verdict)
    assert verdict.rows[-1].cells["fc1.weight"].status == "inherited"


def test_parameters_may_be_returned_read_or_laid_out_otherwise() -> None:
    loop, module, x = Loop(scratch.SGD(0.1, 0.5).step), twin(), np.zeros(1)
    loop.net.load_state_dict({name: p.detach().numpy() for name, p in module.named_parameters()})
    sgd = scratch.SGD(0.1, 0.5)
    loop.update = sgd.step
    velocities = lambda: {f"velocity {name}": v for name, v in sgd.velocity.items()} | {"velocity x": x}  # noqa: E731
    loop.returns = lambda value: {"loss": float(value), **loop.net.parameters(), **velocities()}
    verdict = oracle.compare_training(loop, module, torchref.SGD(0.1, 0.5), batches(), steps=3)
    assert verdict.passed, str(verdict)
    assert {"loss", "velocity fc1.weight"} <= set(verdict.columns)
    assert "your parameters are torch's before the first step" in verdict.guesses
    loop.returns = lambda _: None
    loop.update = rule(0.1)
    verdict = oracle.compare_training(
        loop, module, torchref.SGD(0.1), batches(), steps=3, parameters=lambda: dict(loop.net.parameters())
    )
    assert verdict.passed, str(verdict)
    assert any("torch starts from your parameters" in text for text in verdict.guesses)

    net = own.TwoLayerNet()

    def step(x: Any, y: Any) -> Any:
        loss, grads = net.loss(x, y)
        for name in net.params:
            net.params[name] -= 0.1 * grads[name]
        return np.float64(loss)

    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    optimizer = torch.optim.SGD(plain.parameters(), 0.1)
    verdict = oracle.compare_training(step, plain, optimizer, batches(), steps=3, parameters=net.params)
    assert verdict.passed, str(verdict)


def test_an_optimiser_that_has_stepped_goes_on_in_the_precision_of_x() -> None:
    """Its velocities, in float32, are 0; torch's dropout is off."""
    module = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Dropout(), nn.Linear(6, 3))
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    loop = Loop(rule(0.1, 0.9))
    verdict = oracle.compare_training(loop, module, optimizer, batches(), steps=3, parameters=loop.net.parameters())
    assert verdict.passed, str(verdict)
    adaptive = torch.optim.Adam(module.parameters())
    adaptive.step()
    follower = Follower(module, adaptive, torch.float64, None)
    dtypes = {name: value.dtype for name, value in next(iter(follower.optimizer.state.values())).items()}
    assert dtypes == {"step": torch.float32, "exp_avg": torch.float64, "exp_avg_sq": torch.float64}


def test_decay_of_everything_by_torchs_optimiser_has_no_rule_of_ours() -> None:
    loop, module = Loop(rule(0.1)), twin()
    optimizer = torch.optim.SGD(module.parameters(), 0.1, weight_decay=0.1)
    verdict = oracle.compare_training(loop, module, optimizer, batches(), steps=2, parameters=loop.net.parameters())
    assert verdict.findings[0].tensor == "fc1.weight"
    assert verdict.findings[0].code == ""
    adam = torch.optim.Adam(module.parameters(), 0.1)
    verdict = oracle.compare_training(loop, module, adam, batches(), steps=1, parameters=loop.net.parameters())
    assert not verdict.passed


def test_what_does_not_train_is_said() -> None:
    def nothing(*_: Any) -> None:
        raise NotImplementedError

    verdict = oracle.compare_training(nothing, twin(), torchref.SGD(0.1), batches(), steps=2)
    assert verdict.findings[0].missing
    assert not verdict.passed
    verdict = oracle.compare_training(lambda *_: None, twin(), torchref.SGD(0.1), batches(), steps=2)
    assert "shows no parameters" in verdict.findings[0].fault
    loop = Loop(lambda *_: None)
    verdict = oracle.compare_training(
        loop, twin(), torchref.SGD(0.1), batches(), steps=2, parameters=loop.net.parameters()
    )
    assert verdict.findings[0].code
    calls = [0]

    def tiring(*_: Any) -> None:
        calls[0] += 1
        if calls[0] > 2:
            raise RuntimeError("tired")

    loop = Loop(tiring)
    verdict = oracle.compare_training(
        loop, twin(), torchref.SGD(0.1), batches(), steps=2, parameters=loop.net.parameters()
    )
    assert verdict.findings[0].code == "optim:unchanged"
    assert "parameters= has to be a function" in verdict.findings[0].hint
    for steps, pairs in ((0, batches()), (1, [])):
        with pytest.raises(ValueError, match=f"steps is {steps} and there are {len(pairs)} batches"):
            oracle.compare_training(lambda *_: None, twin(), torchref.SGD(0.1), pairs, steps=steps)


def test_steps_near_a_kink_are_passed_over_and_losses_are_judged() -> None:
    module = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    with torch.no_grad():
        module[0].bias.zero_()
        module[0].weight[0] = torch.tensor([1.0, -1.0, 0.0, 0.0, 0.0])  # of ones it makes 0, as rounding will have it
    held = {name: np.array(p.detach().numpy()) for name, p in module.named_parameters()}

    def step(*_: Any) -> Any:
        return {"loss": 1.0, **held}

    x = np.ones((4, 5))
    verdict = oracle.compare_training(step, module, torchref.SGD(0.1), [(x, np.array([0, 1, 2, 0]))], steps=1)
    assert verdict.rows[0].skipped == "too near a kink of 1"
    loop = Loop(rule(0.1))
    loop.returns = lambda value: value * 2
    verdict = oracle.compare_training(
        loop, twin(), torchref.SGD(0.1), batches(), steps=1, parameters=loop.net.parameters()
    )
    assert [f.tensor for f in verdict.findings] == ["loss"]


def test_dense_targets_take_the_precision_of_x() -> None:
    x = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    loop = Loop(rule(0.1), "float32")
    loop.loss = scratch.SquaredError()
    verdict = oracle.compare_training(
        loop,
        twin("float32"),
        torchref.SGD(0.1),
        [(x, np.ones((4, 3)))],
        steps=2,
        loss="squared_error",
        parameters=loop.net.parameters(),
    )
    assert verdict.passed, str(verdict)


def test_other_parameters_are_refused() -> None:
    loop = Loop(rule(0.1))
    held = {"fc1.weight": np.zeros((2, 5))}
    with pytest.raises(ValueError, match=r"without a partner|fits fc1.weight in no layout"):
        oracle.compare_training(loop, twin(), torchref.SGD(0.1), batches(), steps=1, parameters=held)
