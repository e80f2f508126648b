"""Losses, penalties, optimisers and initialisers as kinds: right code passes, and each verdict can fail."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import scratch
from scratch import init, regularization
from tests import mutants
from tests.judged import FreeSubject, failures, trials
from tests.mutants import convolution, learning
from torchref.oracle.judging import Options, judge_subject
from torchref.oracle.kinds import find
from torchref.oracle.subjects.plain import PlainSubject
from torchref.oracle.subjects.subject import Incident, Misbehaviour
from torchref.oracle.verdict import Cell, Row, Verdict

OURS: dict[str, Callable[..., Any]] = {
    "squared_error": scratch.SquaredError,
    "cross_entropy": scratch.CrossEntropy,
    "l2_penalty": scratch.L2Penalty,
    "sgd": scratch.SGD,
    "lecun_uniform": init.lecun_uniform,
    "zeros": init.zeros,
    "dropout_mask": regularization.dropout_mask,
}
KINDS_OF = {
    "loss.py": ("squared_error", "cross_entropy"),
    "regularization.py": ("l2_penalty", "sgd"),
    "optim.py": ("sgd",),
    "init.py": ("lecun_uniform",),
}
BUGS = {
    bug.name: bug
    for bug in (*learning.MUTANTS, *convolution.MUTANTS)
    if {edit.file for edit in bug.edits} <= KINDS_OF.keys()
}
FEW = (
    "softmax Jacobian applied on top",
    "cross-entropy not shifted",
    "mean over the units too",
    "the mean skips NaN",
    "labels narrowed to int8",
    "decay on everything with weight in its name",
    "penalty's weights made positive",
    "Nesterov's step",
    "velocity is the gradient's own array",
    "optimiser keeps what it was handed",
    "initial weights from the global generator",
    "initial weights of half the size",
)


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("name", OURS)
def test_our_own_pass(name: str, stateful: bool, seed: int) -> None:
    kind = find(name)
    seen = set()
    for trial in trials(kind, FreeSubject(OURS[name], stateful=stateful), seed):
        assert not trial.failures, f"{trial.case.slug}, {trial.variety}, {trial.dtype}: {trial.failures[0]}"
        seen |= {c.tensor for c in trial.comparisons}
    assert seen >= set(kind.columns(FreeSubject(OURS[name])))


def caught(bug: mutants.Mutant, folder: Path) -> dict[str, str]:
    """What the kinds say of a bug."""
    found: dict[str, str] = {}
    with mutants.mutated(bug, folder) as wing:
        for name in KINDS_OF[bug.edits[0].file]:
            made = wing.init.lecun_uniform if name == "lecun_uniform" else getattr(wing, find(name).twin.__name__)

            def make(*, made: Any = made, **config: Any) -> Any:
                return guarded(made(**config))

            found |= failures(find(name), PlainSubject(make, bug.name))
    return found


def guarded(candidate: Any) -> Any:
    """The guard's share: what a candidate raises is its misbehaviour."""
    if isinstance(candidate, np.ndarray):
        return candidate

    def call(part: str) -> Callable[..., Any]:
        def called(*args: Any) -> Any:
            try:
                return getattr(candidate, part)(*args)
            except Exception as error:
                raise Misbehaviour(part, f"raises {type(error).__name__}: {error}") from error

        return called

    parts = ("forward", "backward", "step", "state_dict", "load_state_dict")
    return SimpleNamespace(**{part: call(part) for part in parts if hasattr(candidate, part)})


@pytest.mark.parametrize("name", FEW)
def test_bugs_are_caught(name: str, tmp_path: Path) -> None:
    assert caught(BUGS[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_all_bugs_are_caught(name: str, tmp_path: Path) -> None:
    assert caught(BUGS[name], tmp_path)


def test_what_is_worth_knowing_of_a_bug_is_in_the_verdict(tmp_path: Path) -> None:
    with mutants.mutated(BUGS["decay on everything with weight in its name"], tmp_path) as wing:
        options = Options(save_to=tmp_path / "arrays")
        verdict = judge_subject(PlainSubject(wing.SGD, "sgd.py"), find("sgd"), options)
    assert not verdict.passed
    assert [f.tensor for f in verdict.findings] == ["weighted.bias", "velocity weighted.bias"]
    assert verdict.findings[0].rows == ("names",)


@pytest.mark.parametrize("name", OURS)
def test_what_cannot_be_made_is_told_so(name: str) -> None:
    found = failures(find(name), FreeSubject(OURS[name], trouble="raises OSError: no"))
    assert list(found) == ["construction"]
    assert "raises OSError: no" in found["construction"]


@pytest.mark.parametrize("name", OURS)
def test_incidents_fail_unless_they_are_harmless(name: str) -> None:
    subject = FreeSubject(OURS[name])
    subject.noted = (Incident("prints", "forward", harmless=True), Incident("forks", "forward"))
    assert list(failures(find(name), subject)) == ["forks"]


def test_the_part_that_raises_takes_the_first_column() -> None:
    verdict = judge_subject(FreeSubject(scratch.SGD, trouble="raises OSError"), find("sgd"), Options())
    assert {row.cells["fc1.weight"].status for row in verdict.rows} == {"wrong"}
    assert verdict.findings[0].tensor == "construction"


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("name", ["squared_error", "cross_entropy", "l2_penalty"])
def test_values_alone(name: str, stateful: bool) -> None:
    subject = FreeSubject(OURS[name], backward=False, stateful=stateful)
    assert len(find(name).columns(subject)) == 1
    assert not failures(find(name), subject)


# losses


class Loss:
    """Half the squared error with dense targets, over which tests put their own parts."""

    def __init__(self, reduction: str = "mean") -> None:
        self.mean = reduction == "mean"

    def forward(self, y: Any, t: Any) -> Any:
        divisor = len(y) if self.mean else 1
        residual = (y - t) / np.float32(divisor)
        return (0.5 * np.square(y - t).sum() / np.float32(divisor)).astype(y.dtype), residual.astype(y.dtype)

    def backward(self, cache: Any) -> Any:
        return cache.copy()


def dense(make: Callable[..., Any], **how: Any) -> dict[str, str]:
    return failures(find("squared_error"), FreeSubject(make, **how), cases="mean n1 equal sum")


def test_a_loss_may_be_a_python_number() -> None:
    class Number(Loss):
        def forward(self, y: Any, t: Any) -> Any:
            value, cache = super().forward(y, t)
            return float(value), cache

    assert not dense(Number)


def test_a_loss_of_another_precision_is_told_so() -> None:
    class Wide(Loss):
        def forward(self, y: Any, t: Any) -> Any:
            value, cache = super().forward(y, t)
            return np.float64(value), cache

    assert "dtype float64, oracle float32" in dense(Wide)["loss"]


def test_a_loss_that_writes_once_into_its_argument_is_seen() -> None:
    class Clipping(Loss):
        def forward(self, y: Any, t: Any) -> Any:
            if y.flags.writeable:
                np.clip(y, -0.5, 0.5, out=y)
            return super().forward(y, t)

    found = dense(Clipping)
    assert "mutates output" in found["the first pass leaves its arguments alone"]
    assert "mutates" in dense(Clipping, stateful=True)["the first pass leaves its arguments alone"]


def test_a_stateful_loss_that_remembers_is_seen() -> None:
    class Remembering(Loss):
        kept = None

        def forward(self, y: Any, t: Any) -> Any:
            value, _ = super().forward(y, t)
            return value, None

        def backward(self, cache: Any) -> Any:  # noqa: ARG002
            return np.zeros((1, 1))

    class Buffer(Loss):
        buffer = None

        def backward(self, cache: Any) -> Any:
            if self.buffer is None or self.buffer.shape != cache.shape:
                self.buffer = np.empty_like(cache)
            self.buffer[...] = cache
            return self.buffer

    class Growing(Loss):
        calls = 0

        def forward(self, y: Any, t: Any) -> Any:
            value, cache = super().forward(y, t)
            self.calls += 1
            return value, cache * self.calls

    assert "shape" in dense(Remembering, stateful=True)["doutput"]
    assert list(dense(Buffer, stateful=True)) == ["results are returned anew"]
    assert "rerun" in dense(Growing, stateful=True)


def test_a_loss_that_fails_when_called_again_is_seen() -> None:
    class Once(Loss):
        def __init__(self, reduction: str = "mean") -> None:
            super().__init__(reduction)
            self.calls = 0

        def backward(self, cache: Any) -> Any:
            self.calls += 1
            if self.calls > 1:
                raise Misbehaviour("backward", "raises KeyError: 'cache'")
            return cache.copy()

    assert "raises KeyError: 'cache', when called again" in dense(Once)["backward"]


# penalties


def test_a_penalty_on_biases_is_told_so() -> None:
    class All(scratch.L2Penalty):
        def backward(self, cache: Any) -> Any:
            return super().backward(cache) | {"bias": np.zeros(1)}

    assert (
        "are given for bias, fc1.weight, by the oracle for fc1.weight"
        in failures(find("l2_penalty"), FreeSubject(All))["gradients"]
    )


def test_a_penalty_may_be_a_python_number_and_a_stateful_one_is_rerun() -> None:
    class Number(scratch.L2Penalty):
        def forward(self, params: Any) -> Any:
            value, cache = super().forward(params)
            return float(value), cache

    class Growing(scratch.L2Penalty):
        calls = 0.0

        def forward(self, params: Any) -> Any:
            self.calls += 1
            value, cache = super().forward(params)
            return value * value.dtype.type(self.calls), cache

    assert not failures(find("l2_penalty"), FreeSubject(Number))
    assert "rerun" in failures(find("l2_penalty"), FreeSubject(Growing, stateful=True))


def test_a_penalty_that_fails_when_called_again_is_seen() -> None:
    class Once(scratch.L2Penalty):
        calls = 0

        def forward(self, params: Any) -> Any:
            self.calls += 1
            if self.calls > 1:
                raise Misbehaviour("forward", "raises KeyError")
            return super().forward(params)

    assert "raises KeyError, when called again" in failures(find("l2_penalty"), FreeSubject(Once))["forward"]


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


def test_names_and_aliases() -> None:
    assert find("Softmax-Loss") is find("cross_entropy")
    with pytest.raises(ValueError, match=r"expected one of linear, .*dropout_mask.*, or a torch"):
        find("mse")


def test_a_trial_holds_what_the_oracle_started_from() -> None:
    kind = find("sgd")
    case = next(case for case in kind.cases if case.slug == "state")
    trial = kind.run(FreeSubject(scratch.SGD), case, "float64", "normal", 3)
    start, grad, handed = (trial.given[f"{what}s2.weight"] for what in ("start ", "grad ", "start velocity "))
    velocity = 0.9 * handed + grad[0]
    np.testing.assert_allclose(trial.oracle["s2.weight"][0], start - 0.1 * velocity, rtol=1e-12)


def test_a_verdict_in_which_nothing_was_judged_is_no_pass() -> None:
    row = Row("plain", "3x5", {"y": Cell(0.0, passed=True, status="not judged")})
    assert not Verdict("mine", "theirs", 0, ("y",), (row,), ()).passed
