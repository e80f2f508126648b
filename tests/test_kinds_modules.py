"""Any torch module or callable as `like`: what is understood, measured and refused; and that it can fail."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import scratch
import torchref
from tests import handmade
from tests.judged import FreeSubject, failures, trials
from torchref import oracle
from torchref.oracle.kinds import find
from torchref.oracle.kinds.module_kind import ModuleKind, _measured, probe
from torchref.oracle.kinds.module_loss import ModuleLossKind

FAST = ("GELU", "batch norm of maps", "block", "attention")


@pytest.mark.parametrize("name", FAST)
def test_layers_by_hand_pass(name: str, seed: int) -> None:
    module, made, shape = handmade.LAYERS[name]
    kind = find(module, shape)
    assert isinstance(kind, ModuleKind)
    seen = set()
    for trial in trials(kind, FreeSubject(made), seed):
        assert not trial.failures, f"{trial.case.slug}, {trial.variety}, {trial.dtype}: {trial.failures[0]}"
        seen |= {c.tensor for c in trial.comparisons}
    assert seen >= set(kind.columns(FreeSubject(made)))


@pytest.mark.slow
@pytest.mark.parametrize("name", handmade.LAYERS)
def test_all_layers_by_hand_pass(name: str, seed: int) -> None:
    module, made, shape = handmade.LAYERS[name]
    assert not failures(find(module, shape), FreeSubject(made), seed=seed)


@pytest.mark.parametrize("name", handmade.LOSSES)
def test_losses_by_hand_pass(name: str, seed: int) -> None:
    module, loss = handmade.LOSSES[name]
    kind = find(module, (6, 4))
    assert isinstance(kind, ModuleLossKind)
    assert not failures(kind, FreeSubject(lambda: loss), seed=seed, cases="plain")


KNOWN: dict[str, tuple[nn.Module, Callable[..., Any], tuple[int, ...], str]] = {
    "linear": (nn.Linear(5, 4, bias=False), scratch.Linear, (3, 5), "2 linear operation"),
    "conv2d": (nn.Conv2d(2, 3, 3, stride=2, padding=1), scratch.Conv2d, (2, 2, 7, 6), "1 integers"),
    "table": (
        torchref.Conv2d(2, 2, 3, connections=[[True, False], [True, True]]),
        scratch.Conv2d,
        (2, 2, 5, 6),
        "6 absent links",
    ),
    "tanh": (nn.Tanh(), scratch.Tanh, (3, 5), "3 elementwise"),
    "max": (nn.MaxPool2d(2, 1), scratch.MaxPool2d, (2, 3, 6, 5), "1 selection"),
    "dropout": (nn.Dropout(0.4).eval(), scratch.Dropout, (3, 4), "1 selection"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_understood_is_a_kind_of_torchref(name: str, seed: int) -> None:
    module, made, shape, criterion = KNOWN[name]
    kind = find(module, shape)
    assert not isinstance(kind, ModuleKind)
    found = list(trials(kind, FreeSubject(made), seed))
    assert not [trial.failures for trial in found if trial.failures]
    assert criterion in {c.criterion for trial in found for c in trial.comparisons}
    assert {trial.case.slug for trial in found} == {"plain", "n1", "n0"}


class Grouped(handmade.Handmade):
    """nn.Conv1d(4, 2, 1, groups=2): each half of the channels feeds one output."""

    def forward(self, x: Any) -> Any:
        w = self.p["weight"].reshape(2, 2)
        halves = x.reshape(len(x), 2, 2, x.shape[2])
        return (halves * w[:, :, None]).sum(axis=2) + self.p["bias"][:, None], halves

    def backward(self, dy: Any, halves: Any) -> Any:
        w = self.p["weight"].reshape(2, 2)
        dx = dy[:, :, None] * w[:, :, None]
        dw = (dy[:, :, None] * halves).sum(axis=(0, 3)).reshape(2, 2, 1)
        return dx.reshape(len(dy), 4, dy.shape[2]), {"weight": dw, "bias": dy.sum(axis=(0, 2))}


def test_a_grouped_convolution_has_analytic_criteria_too() -> None:
    kind = find(nn.Conv1d(4, 2, 1, groups=2), (3, 4, 5))
    assert not isinstance(kind, ModuleKind)
    assert not failures(kind, FreeSubject(Grouped))
    assert any(c.criterion == "1 integers" for t in trials(kind, FreeSubject(Grouped)) for c in t.comparisons)
    assert not isinstance(find(nn.Conv1d(2, 3, 2, dilation=2), (3, 2, 5)), ModuleKind)


def test_large_activations_and_networks_are_measured() -> None:
    assert isinstance(find(nn.Tanh(), (100, 51)), ModuleKind)
    assert isinstance(find(nn.Sequential(nn.Linear(5, 4)), (3, 5)), ModuleKind)
    assert isinstance(find(nn.Softmax(dim=1), (2, 3, 4, 5)), ModuleKind)


@pytest.mark.parametrize("part", ["y", "dx", "grad weight", "grad bias"])
def test_an_error_of_a_millionth_is_seen(part: str) -> None:
    class Off(handmade.LayerNorm):
        def forward(self, x: Any) -> Any:
            y, cache = super().forward(x)
            return y * (1 + 1e-6 * (part == "y")), cache

        def backward(self, dy: Any, cache: Any) -> Any:
            dx, grads = super().backward(dy, cache)
            grads = {name: grad * (1 + 1e-6 * (part == f"grad {name}")) for name, grad in grads.items()}
            return dx * (1 + 1e-6 * (part == "dx")), grads

    kind = find(nn.LayerNorm(6), (4, 6))
    found = failures(kind, FreeSubject(Off), cases="plain", dtypes=("float64",))
    assert list(found) == [part]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["linear", "conv2d", "conv1d", "avgpool2d", "maxpool2d", "subsample2d", "tanh", "softmax"]
)
def test_our_own_layers_pass_when_measured(name: str, seed: int) -> None:
    kind = find(name)
    case = kind.cases[0]
    module = kind.twin(**case.config)
    measured = _measured(module, name, case.shape, probe(module, case.shape, name))

    def make(**dtyped: Any) -> Any:
        return getattr(scratch, kind.twin.__name__)(**case.config, **dtyped)

    assert not failures(measured, FreeSubject(make), seed=seed)


def test_wrong_layers_fail() -> None:
    class Approximate(handmade.GELU):
        f = staticmethod(handmade.TanhGELU.f)

    class Forgets(handmade.BatchNorm2d):
        """As if mean and variance did not depend on x."""

        def backward(self, dy: Any, cache: Any) -> Any:
            _, grads = super().backward(dy, cache)
            return dy * self._shaped(self.p["weight"], 4) / cache[1], grads

    def millionth(z: Any, t: Any) -> Any:
        return handmade.LOSSES["Huber"][1].value(z, t) * (1 + 1e-6)

    assert list(failures(find(nn.GELU(), (3, 5)), FreeSubject(Approximate))) == ["y", "dx"]
    module, _, shape = handmade.LAYERS["batch norm of maps"]
    assert list(failures(find(module, shape), FreeSubject(Forgets), cases="plain")) == ["dx"]
    loss = handmade.Loss(millionth, handmade.LOSSES["Huber"][1].gradient)
    found = failures(find(nn.HuberLoss(), (6, 4)), FreeSubject(lambda: loss), dtypes=("float64",))
    assert list(found) == ["loss"]


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (nn.BatchNorm1d(3), ["running_mean, running_var, num_batches_tracked: not judged"]),
        (nn.BatchNorm1d(3).eval(), []),
    ],
)
def test_what_a_module_keeps_of_its_passes_is_not_judged_and_that_is_said(module: nn.Module, said: list[str]) -> None:
    def norm(x: Any, weight: Any, bias: Any) -> Any:
        mean, variance = (x.mean(axis=0), x.var(axis=0)) if module.training else (0, 1)
        return weight * (x - mean) / np.sqrt(variance + x.dtype.type(1e-5)) + bias

    verdict = oracle.check(norm, like=module, shape=(5, 3), dtypes="float64")
    assert verdict.passed
    assert [remark for remark in verdict.remarks if "judged" in remark] == said


class Scale:
    """A layer that asks for its size by the name that torch's has."""

    def __init__(self, num_features: int) -> None:
        self.weight, self.bias = np.zeros(num_features), np.zeros(num_features)

    def forward(self, x: Any) -> Any:
        return x * self.weight + self.bias


def test_a_class_is_given_the_sizes_of_the_module() -> None:
    module = nn.BatchNorm1d(3, eps=0.0).eval()
    verdict = oracle.check(Scale, like=module, shape=(5, 3), dtypes="float64")
    assert verdict.passed
    assert "Scale: num_features is 3, as the torch module has it" in verdict.guesses
    with pytest.raises(ValueError, match=r"'num_features', which is not known.*or pass an object instead"):
        oracle.check(Scale, like=nn.GELU(), shape=(5, 3))


@pytest.mark.parametrize(
    ("module", "labels"), [(nn.CrossEntropyLoss(reduction="sum"), True), (torchref.SquaredError(), False)]
)
def test_known_losses_are_judged_on_nan_and_large_outputs_too(module: nn.Module, labels: bool) -> None:
    kind = find(module, (6, 4))
    made = scratch.CrossEntropy("sum") if labels else scratch.SquaredError()
    found = list(trials(kind, FreeSubject(lambda: made)))
    assert not [t.failures for t in found if t.failures]
    assert {"NaN inside", "outputs of 1e4"} <= {t.variety for t in found}
    assert all((t.given["target"].ndim == 1) == labels for t in found)


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (nn.KLDivLoss(reduction="sum"), "shares"),
        (nn.BCELoss(), "shares of shares"),
        (nn.NLLLoss(), "labels"),
        (F.mse_loss, "dense"),
        (lambda z, t: F.cross_entropy(z, t.reshape(-1)) if t.ndim == 1 else t.no_such_attribute, "labels"),
    ],
)
def test_the_kind_of_target_is_found_out(loss: Any, target: str) -> None:
    kind = find(loss, (6, 4))
    assert isinstance(kind, ModuleLossKind)
    assert kind.target == target


@pytest.mark.parametrize(
    ("like", "shape", "error", "said"),
    [
        (nn.GELU, (3, 5), TypeError, "like is the class GELU, expected an instance"),
        (nn.GELU(), None, ValueError, "shape is None"),
        (nn.LayerNorm(6), (3, 5), ValueError, "like fails on x of shape"),
        (nn.Dropout(0.5), (3, 5), ValueError, "draws random numbers"),
        (nn.LazyLinear(4), (3, 5), ValueError, "parameters without a shape"),
        (nn.Bilinear(4, 4, 2), (6, 4), ValueError, r"dense: gives \(6, 2\) of torch.float64, expected a scalar"),
        (nn.LSTM(5, 4), (2, 3, 5), ValueError, "gives a tuple"),
        (lambda x: x.double(), (3, 5), ValueError, "gives a tensor of torch.float64 for x of torch.float32"),
        (nn.MSELoss(reduction="none"), (6, 4), ValueError, "expected a scalar"),
        (lambda z, t: float((z - t).sum()), (6, 4), ValueError, "dense: gives a .*float.*, expected a scalar"),
        (lambda z, t: (z - t).sum() / 0, (6, 4), ValueError, "dense: gives"),
    ],
)
def test_what_is_no_kind_is_refused(like: Any, shape: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        find(like, shape)


def test_a_module_that_takes_one_batch_size_is_asked_for_no_other() -> None:
    class Fixed(handmade.Handmade):
        def forward(self, x: Any) -> Any:
            assert x.shape == (4, 6), "only this shape"
            return x.reshape(3, 8).copy(), None

        def backward(self, dy: Any, _: Any) -> Any:
            return dy.reshape(4, 6).copy(), {}

    kind = find(lambda x: x.reshape(3, 8), (4, 6))
    assert [case.slug for case in kind.cases] == ["plain"]
    assert not failures(kind, FreeSubject(Fixed))


def test_callables_without_gradients_and_of_odd_signatures() -> None:
    kind = find(lambda x: x.detach().round(), (3, 5))
    assert kind.columns(FreeSubject(handmade.GELU)) == ("y",)

    class Rounded(handmade.Handmade):
        def forward(self, x: Any) -> Any:
            return np.round(x), None

        def backward(self, dy: Any, _: Any) -> Any:
            return np.zeros_like(dy), {}

    assert not failures(kind, FreeSubject(Rounded))
    assert isinstance(find(torch.special.erf, (7,)), ModuleKind)  # a builtin, whose arguments cannot be looked at


def standardise(x: np.ndarray) -> np.ndarray:
    """Preprocessing by hand."""
    return (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)


def test_preprocessing_is_checked_against_a_callable() -> None:
    def theirs(x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean(0)) / x.std(0)

    options: dict[str, Any] = {"like": theirs, "shape": (30, 4), "unsupported": "strided"}
    assert oracle.check(standardise, **options).passed
    biased = oracle.check(lambda x: (x - x.mean(axis=0)) / x.std(axis=0), **options)
    assert [finding.tensor for finding in biased.findings] == ["forward"]
