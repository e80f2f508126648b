"""Mistakes in torch's own layers that normalise."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.diagnosing import SEEDS, problem, wronged
from torchref.oracle.diagnosis import diagnose
from torchref.oracle.kinds import Case, Trial
from torchref.oracle.linear import gradients

Formula = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

MISTAKES: list[tuple[str, str, Formula]] = [
    ("norm:unbiased", "y", lambda x, mean, var: (x - mean) / (var * N / (N - 1) + EPS).sqrt()),
    ("norm:eps", "y", lambda x, mean, var: (x - mean) / (var.sqrt() + EPS)),
    ("norm:constant", "dx", lambda x, mean, var: (x - mean.detach()) / (var.detach() + EPS).sqrt()),
    ("norm:constant", "dx", lambda x, mean, var: (x - mean) / (var.detach() + EPS).sqrt()),
    ("norm:constant", "dx", lambda x, mean, var: (x - mean.detach()) / (var + EPS).sqrt()),
    ("ratio:2", "dx", lambda x, mean, var: 2 * (x - mean) / (var + EPS).sqrt()),
]
N, EPS = 6, 1e-3
LAYERS = [
    (nn.BatchNorm1d(4, EPS), (N, 4), 0),
    (nn.BatchNorm2d(4, EPS, affine=False), (1, 4, 2, 3), (0, 2, 3)),
    (nn.LayerNorm(N, EPS), (4, N), 1),
]


def diagnosed(layer: nn.Module, shape: tuple[int, ...], tensor: str, wrong: Callable[[Trial], Any]) -> str:
    runs = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        given = {"x": rng.normal(size=shape), "dy": rng.normal(size=shape)}
        module = copy.deepcopy(layer).double()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += torch.tensor(rng.normal(size=parameter.shape))
        results = gradients(module, *(torch.tensor(given[n]) for n in ("x", "dy")))
        oracle = {name: np.asarray(t) for name, t in results.items()}
        given |= {name: p.detach().numpy() for name, p in module.named_parameters()}
        usual = Trial(Case("norm", "", {}, shape), "float64", "normal", seed, given, module, oracle, oracle, ())
        runs.append([wronged(usual, tensor, wrong)])
    return diagnose(problem(tensor, *runs)).code


@pytest.mark.parametrize(("code", "tensor", "formula"), MISTAKES)
@pytest.mark.parametrize(("layer", "shape", "over"), LAYERS, ids=lambda v: type(v).__name__)
def test_normalisation(
    layer: nn.Module, shape: tuple[int, ...], over: Any, code: str, tensor: str, formula: Formula
) -> None:
    def wrong(t: Trial) -> Any:
        x = torch.tensor(t.given["x"]).requires_grad_()
        y = formula(x, x.mean(over, keepdim=True), x.var(over, correction=0, keepdim=True))
        if "weight" in t.given:
            y = y * torch.tensor(t.given["weight"]) + torch.tensor(t.given["bias"])
        (dx,) = torch.autograd.grad(y, x, torch.tensor(t.given["dy"]))
        return y.detach() if tensor == "y" else dx

    assert diagnosed(layer, shape, tensor, wrong) == code


def test_a_layer_that_does_not_train_has_its_own_statistics() -> None:
    layer = nn.BatchNorm1d(4).eval()
    assert diagnosed(layer, (N, 4), "y", lambda t: 2 * t.oracle["y"]) == "ratio:2"
