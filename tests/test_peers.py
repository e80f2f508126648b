"""Correct code that nobody here wrote passes: published packages, adapted in a few lines, in both precisions.

`pip install -e '.[peers]'` brings them; what is not installed is skipped. Each difference from torch's conventions is
declared with its reason (`WITHOUT` in tests/peers), and so skipped visibly by the oracle: no bound is widened.
"""

import importlib
from typing import Any

import numpy as np
import pytest
import torch

import torchref
from torchref import oracle
from torchref.oracle.kinds import DTYPES, find

KINDS = {
    "autograd": "linear conv2d avgpool2d maxpool2d tanh logistic relu softmax cross_entropy squared_error",
    "mygrad": "linear conv2d maxpool2d tanh logistic relu softmax cross_entropy squared_error",
    "jax": "linear conv2d avgpool2d maxpool2d tanh logistic relu softmax cross_entropy squared_error",
    "sklearn": "tanh logistic relu identity",
}
"""What each package can express."""
COMPILED = {"linear": ("plain",), "logistic": ("a3",), "conv2d": ("s2p1",), "cross_entropy": ("sum",)}
"""JAX compiles for each shape: in the default suite these cases only, of the other kinds none."""
WITHOUT_SETTINGS = {("sklearn", "tanh"), ("sklearn", "logistic")}


def peer(name: str) -> Any:
    """The adapted package; what it needs is skipped where it is not installed."""
    pytest.importorskip(name, reason=f"{name} comes with pip install -e '.[peers]'")
    return importlib.import_module(f"tests.peers.with_{name}")


def check(name: str, kind: str, cases: tuple[str, ...] = ()) -> oracle.Verdict:
    adapted = peer(name)
    without = [*adapted.WITHOUT.get(kind, {}), *(["settings"] if (name, kind) in WITHOUT_SETTINGS else [])]
    verdict = oracle.check(*adapted.PAIRS[kind], like=kind, unsupported=without, cases=cases)
    assert verdict.passed, str(verdict)
    return verdict


EVERY = [(name, kind) for name, kinds in KINDS.items() for kind in kinds.split()]


@pytest.mark.parametrize(("name", "kind"), [pair for pair in EVERY if pair[0] != "jax"])
def test_a_peer_passes(name: str, kind: str) -> None:
    verdict = check(name, kind)
    judged = [row for row in verdict.rows if not row.skipped]
    assert len(judged) >= len(verdict.rows) / 3


@pytest.mark.parametrize("kind", COMPILED)
def test_jax_passes(kind: str) -> None:
    check("jax", kind, COMPILED[kind])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS["jax"].split())
def test_jax_passes_every_case(kind: str) -> None:
    check("jax", kind)


@pytest.mark.parametrize("name", KINDS)
def test_what_a_peer_can_express_and_differs_in_is_listed(name: str) -> None:
    adapted = peer(name)
    assert set(adapted.PAIRS) == set(KINDS[name].split())
    for kind, reasons in adapted.WITHOUT.items():
        assert set(reasons) <= set(find(kind).features)


def perceptron(kind: str, activation: Any, dtype: str) -> tuple[Any, torch.nn.Module]:
    """A peer's network and torch's."""
    sizes = (7, 6, 4) if kind == "jax" else (7, 6, 5, 4)
    twin = torchref.MLP(sizes, activation, dtype=getattr(torch, dtype))
    if kind == "sklearn":
        return peer(kind).Perceptron(sizes, activation.__name__.lower(), dtype), twin
    shapes = {"W1": (6, 7), "b1": (6,), "W2": (4, 6), "b2": (4,)}
    return peer(kind).Perceptron({name: np.zeros(shape, dtype) for name, shape in shapes.items()}), twin


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("kind", "activation"),
    [
        ("sklearn", torchref.Tanh),
        ("sklearn", torchref.Logistic),
        ("sklearn", torchref.ReLU),
        ("jax", torchref.Tanh),
    ],
)
def test_a_peers_network_passes(kind: str, activation: Any, dtype: str) -> None:
    mine, twin = perceptron(kind, activation, dtype)
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=(9, 7)).astype(dtype), rng.integers(0, 4, 9)
    verdict = oracle.compare(mine, twin, x, labels, loss="cross_entropy")
    assert verdict.passed, str(verdict)
