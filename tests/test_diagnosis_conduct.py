"""Ways of behaving and draws that are wrong: what the diagnosis says of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.diagnosing import SEEDS, behaved, problem, trials, wronged
from torchref.oracle.comparison import Comparison
from torchref.oracle.diagnosis import Diagnosis, diagnose
from torchref.oracle.kinds import Trial


def noise(t: Trial, tensor: str, seed: int = 5) -> Any:
    return np.random.default_rng([seed, t.seed, t.oracle[tensor].size]).normal(size=t.oracle[tensor].shape)


BEHAVIOUR = [
    ("conduct:mutation", [("forward leaves its arguments alone", "mutates x")]),
    ("conduct:mutation", [("rerun", "y differ in a rerun"), ("forward leaves its arguments alone", "mutates x")]),
    ("conduct:mutation", [("y survives backward", "y differ after backward")]),
    ("conduct:aliasing", [("y is not aliased", "y is a view of x")]),
    ("conduct:global-state", [("changes NumPy's global random state", "in forward")]),
    ("conduct:global-state", [("global random state", "seeds the global generator")]),
    ("memory:buffer", [("y is returned anew", "y differ after another forward pass")]),
    ("memory:stale-cache", [("rerun", "grad weight differ in a rerun, or by another pass between")]),
    ("memory:stale-cache", [("backward", "raises IndexError, when called again or on another batch size")]),
    ("memory:accumulated", [("rerun", "grad weight differ in a rerun; each pass adds the same to grad weight")]),
    ("memory:other", [("backward twice from one cache", "dx differ the second time")]),
    ("", [("rerun", "y differ in a rerun")]),
    ("", [("rerun", "output, grad/fc.weight differ in a rerun, after another pass")]),
    ("", [("rerun", "output/fc, dx/fc differ in a rerun, after another pass")]),
    ("memory:stale-cache", [("rerun", "doutput, grad/fc.weight differ in a rerun, after another pass")]),
    ("", [("something else", "is wrong")]),
    ("optim:state-lost", [("state", "has velocities of []")]),
    ("optim:aliased", [("state_dict gives copies", "changing what it gave changes the state")]),
    ("conduct:mutation", [("step leaves the gradients alone", "mutates the gradient of w")]),
    ("optim:decay-bias", [("gradients", "are given for b, w, by the oracle for w")]),
    ("", [("gradients", "are given for b, by the oracle for w")]),
]


@pytest.mark.parametrize(("code", "faults"), BEHAVIOUR, ids=lambda v: v if isinstance(v, str) else v[0][0])
def test_conduct(code: str, faults: list[tuple[str, str]]) -> None:
    found = behaved(faults[0][0], *faults)
    assert found.code == code
    assert found.evidence == (faults[0][1],)


@pytest.mark.parametrize(("slugs", "code"), [("momentum", "optim:aliased"), ("decay both", "conduct:mutation")])
def test_a_step_that_changes_the_gradient(slugs: str, code: str) -> None:
    fault = ("step leaves the gradients alone", "mutates the gradient of w")
    assert behaved(fault[0], fault, kind="sgd", slugs=slugs).code == code


def test_what_accumulates_explains_a_gradient() -> None:
    fault = Comparison(
        "rerun", "5 purity", np.inf, "grad weight differ in a rerun; each pass adds the same to grad weight"
    )
    runs = []
    for seed in SEEDS:
        wrong = [
            wronged(t, "grad weight", lambda t: noise(t, "grad weight")) for t in trials("linear", ("plain",), seed)
        ]
        runs.append([replace(t, comparisons=(*t.comparisons, fault)) for t in wrong])
    assert diagnose(problem("grad weight", *runs)).code == "memory:accumulated"


def test_conduct_speaks_the_users_names() -> None:
    fault = Comparison("rerun", "5 purity", np.inf, "grad weight differ in a rerun")
    runs = [[replace(t, comparisons=(fault,)) for t in trials("linear", ("plain",), seed)] for seed in SEEDS]
    named = replace(problem("rerun", *runs), called=lambda name: "dW" if name == "grad weight" else name)
    assert "dW differ" in diagnose(named).hint


def test_conduct_that_is_right_on_the_second_seed_is_not_explained() -> None:
    fault = Comparison("y is not aliased", "5 purity", np.inf, "y is a view of x")
    first = [replace(t, comparisons=(fault,)) for t in trials("linear", ("plain",), SEEDS[0])]
    assert diagnose(problem(fault.tensor, first, trials("linear", ("plain",), SEEDS[1]))).code == ""


def drawn(tensor: str, kind: str, slug: str, values: Any, fault: str = "wrong") -> Diagnosis:
    from torchref.oracle.kinds import KINDS

    case = next(c for c in KINDS[kind].cases if c.slug == slug)
    runs = []
    for seed in SEEDS:
        mine = values(np.random.default_rng(seed), case)
        own = Trial(
            case=case,
            dtype="float64",
            variety="normal",
            seed=seed,
            given={},
            reference=None,
            mine={tensor: mine},
            oracle={tensor: mine},
            comparisons=(Comparison(tensor, "5 form", np.inf, fault),),
        )
        runs.append([own])
    return diagnose(problem(tensor, *runs))


def uniform(low: float, high: float) -> Any:
    return lambda rng, case: rng.uniform(low, high, case.shape) * np.sqrt(3 / np.prod(case.shape[1:]))


@pytest.mark.parametrize(
    ("code", "kind", "slug", "values"),
    [
        ("init:scale", "lecun_uniform", "units", uniform(-0.5, 0.5)),
        ("init:scale", "lecun_uniform", "maps", uniform(-(2**0.5), 2**0.5)),
        ("init:sign", "lecun_uniform", "maps", uniform(0, 1)),
        ("init:links", "lecun_uniform", "table", uniform(-1, 1)),
        ("", "lecun_uniform", "units", uniform(-0.37, 0.37)),
        ("mask:shared", "dropout_mask", "half", lambda r, c: np.broadcast_to(r.random((1, 30)) < 0.5, c.shape)),
        ("mask:shared", "dropout_mask", "maps", lambda r, c: np.broadcast_to(r.random((20, 3, 1, 1)) < 0.7, c.shape)),
        ("mask:shared", "dropout_mask", "maps", lambda r, c: np.broadcast_to(r.random((20, 3, 5, 1)) < 0.7, c.shape)),
        ("mask:inverted", "dropout_mask", "few", lambda r, c: r.random(c.shape) < 0.2),
        ("", "dropout_mask", "few", lambda r, c: r.random(c.shape) < 0.5),
        ("", "zeros", "units", lambda r, c: np.ones(c.shape)),
    ],
)
def test_what_is_drawn(code: str, kind: str, slug: str, values: Any) -> None:
    tensor = {"lecun_uniform": "weights", "dropout_mask": "mask", "zeros": "biases"}[kind]
    assert drawn(tensor, kind, slug, values).code == code


def test_whose_numbers_are_drawn() -> None:
    found = drawn("seed", "lecun_uniform", "units", uniform(-1, 1), "are the same for another seed")
    assert found.code == "init:seed"
    assert "are the same for another seed" in found.hint
