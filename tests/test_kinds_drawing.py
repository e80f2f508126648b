"""Optimisers and initialisers as kinds: what theirs may look like, and how each verdict on them can fail."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import scratch
from scratch import init, regularization
from tests.judged import FreeSubject, failures, trials
from torchref.oracle.kinds import find

# optimisers


class Stateless:
    """Plain descent, or with a momentum that nobody can look at."""

    def __init__(self, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        self._sgd = scratch.SGD(lr, momentum, weight_decay)

    def step(self, params: Any, grads: Any) -> None:
        self._sgd.step(params, grads)


def test_an_optimiser_need_not_show_its_state() -> None:
    found = list(trials(find("sgd"), FreeSubject(Stateless)))
    assert not [trial.failures for trial in found if trial.failures]
    judged = {c.tensor for trial in found for c in trial.comparisons}
    assert {"fc1.weight", "s2.weight", "weighted.bias", "step leaves the gradients alone"} == judged


def test_an_optimiser_that_hides_some_velocities_is_told_so() -> None:
    class Hiding(scratch.SGD):
        def state_dict(self) -> Any:
            return {k: v for k, v in super().state_dict().items() if k != "s2.weight"}

        def load_state_dict(self, state: Mapping[str, Any]) -> None:
            super().load_state_dict(dict(state) | {k: v for k, v in self.velocity.items() if k not in state})

    found = failures(find("sgd"), FreeSubject(Hiding), cases="momentum")
    assert "has velocities of ['fc1.weight', 'weighted.bias'], the oracle of" in found["state"]


def test_an_optimiser_whose_velocity_changes_shape_is_told_so() -> None:
    class Growing(scratch.SGD):
        steps = 0

        def state_dict(self) -> Any:
            self.steps += 1
            return {k: np.zeros((self.steps, *v.shape)) for k, v in super().state_dict().items()}

        def load_state_dict(self, state: Mapping[str, Any]) -> None:
            pass

    kind = find("sgd")
    found = list(trials(kind, FreeSubject(Growing), cases="momentum"))
    assert all("velocity s2.weight" not in t.mine for t in found)
    assert all("velocity s2.weight" in t.oracle for t in found)
    assert all(not t.passed for t in found)


# initialisers


def drawn(name: str, make: Callable[..., Any]) -> dict[str, str]:
    return failures(find(name), FreeSubject(make))


@pytest.mark.parametrize(
    ("column", "said", "make"),
    [
        ("weights", "go up to", lambda shape, **k: 2 * init.lecun_uniform(shape, **k)),
        ("weights", "get no farther than", lambda shape, **k: abs(init.lecun_uniform(shape, **k))),
        (
            "weights",
            "dtype float32, oracle float64",
            lambda shape, **k: init.lecun_uniform(shape, **k | {"dtype": np.float32}),
        ),
        (
            "weights",
            "not spread evenly",
            lambda shape, rng, dtype, fan_in=None: (
                np.cbrt(rng.uniform(-1, 1, shape)) * np.sqrt(3 / (np.array(fan_in or [np.prod(shape[1:])])[:, None]))
                if len(shape) == 2
                else init.lecun_uniform(shape, rng=rng, dtype=np.float64, fan_in=fan_in)
            ).astype(dtype),
        ),
        (
            "seed",
            "the same for another seed",
            lambda shape, **k: init.lecun_uniform(shape, **k | {"rng": np.random.default_rng(3)}),
        ),
        (
            "seed",
            "are others when drawn again",
            lambda shape, **k: init.lecun_uniform(shape, **k | {"rng": np.random.default_rng()}),
        ),
        ("construction", "returns a list", lambda **_: [1.0]),
    ],
)
def test_wrong_weights_are_told_apart(column: str, said: str, make: Callable[..., Any]) -> None:
    assert said in drawn("lecun_uniform", make)[column]


@pytest.mark.parametrize(
    ("column", "said", "make"),
    [
        ("mask", "keeps 1 − p", lambda shape, p, rng: ~regularization.dropout_mask(shape, p, rng)),
        (
            "mask",
            "differs along axis 0",
            lambda shape, p, rng: np.broadcast_to(rng.random(shape[1:]) >= p, shape).copy(),
        ),
        ("seed", "is the seed's", lambda shape, p, **_: np.random.default_rng().random(shape) >= p),
        ("seed", "another each time", lambda shape, p, **_: np.random.default_rng(1).random(shape) >= p),
    ],
)
def test_wrong_masks_are_told_apart(column: str, said: str, make: Callable[..., Any]) -> None:
    assert said in drawn("dropout_mask", make)[column]


def test_biases_that_are_not_0_are_told_so() -> None:
    assert "are not all 0" in drawn("zeros", lambda shape, dtype: np.full(shape, 1e-3, dtype))["biases"]


def test_the_global_generator_is_watched() -> None:
    def make(shape: Any, **k: Any) -> Any:
        np.random.seed(0)  # noqa: NPY002
        return init.lecun_uniform(shape, **k)

    before = np.random.get_state()  # noqa: NPY002
    try:
        assert "global generator" in drawn("lecun_uniform", make)["global random state"]
    finally:
        np.random.set_state(before)  # noqa: NPY002


def test_a_trial_holds_what_the_oracle_started_from() -> None:
    kind = find("sgd")
    case = next(case for case in kind.cases if case.slug == "state")
    trial = kind.run(FreeSubject(scratch.SGD), case, "float64", "normal", 3)
    start, grad, handed = (trial.given[f"{what}s2.weight"] for what in ("start ", "grad ", "start velocity "))
    velocity = 0.9 * handed + grad[0]
    np.testing.assert_allclose(trial.oracle["s2.weight"][0], start - 0.1 * velocity, rtol=1e-12)
