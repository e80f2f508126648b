"""`twice lecture learning-modes`: what it claims holds, can fail, and is measured rightly where the answer is known."""

import functools
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import scratch
from experiments.errors import UserError
from experiments.lecture import learning_modes, learning_modes_descent
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.lab import WINGS
from experiments.lecture.learning_modes import (
    MODES,
    QUICK,
    SHARED,
    Config,
    best_rate,
    gap,
    judge,
    measure,
    samples,
    tune,
)
from experiments.lecture.learning_modes_descent import (
    Descent,
    Measured,
    descend,
    gradient_spread,
    held_bytes,
    pooled,
)
from experiments.lecture.running import run
from experiments.lecture.small_digits import network, rows

CLAIMS = ("epochs", "parallel", "spread", "unsteady", "memory", "copies", "sum", "wings")
SMALL = Config(samples=4, copies=10, threshold=0.1)
TIMES = {wing.name: {"batch": 1.0, "mini-batch": 2.0, "online": 9.0} for wing in WINGS}


def descent(updates: int, epochs: float, rises: float = 0.0, reached: bool = True) -> Descent:
    """A loss that falls from 2 to 0.1, but for so many of the updates, after which it is greater."""
    losses = np.linspace(2, 0.1, updates + 1)
    losses[1 : 1 + 2 * round(rises * updates) : 2] += 3.8 / updates
    return Descent(losses, np.linspace(0, 1, updates + 1), np.linspace(0, epochs, updates + 1), reached)


def right() -> Measured:
    once = {"batch": descent(100, 100), "mini-batch": descent(200, 20), "online": descent(1000, 10, 0.4)}
    copied = {"batch": descent(100, 100), "mini-batch": descent(200, 2), "online": descent(1000, 1, 0.4)}
    summed = {"kept": descent(200, 200, reached=False), "divided": descent(100, 100)}
    spread = {1: 3.0, 2: 1.7, 4: 0.0}
    return Measured(once, copied, summed, spread, spread, {1: 50, 2: 100, 4: 200})


def failed(wrong=None, wing="torch", times=None) -> set[str]:
    """The claims that do not hold when one wing's fields are other ones in the last of two seeds."""
    found = [{wing.name: right() for wing in WINGS} for _ in range(2)]
    found[-1][wing] = found[-1][wing]._replace(**(wrong or {}))
    claims = judge(SMALL, found, times or TIMES)
    assert len(claims) == len(CLAIMS)
    return {name for name, claim in zip(CLAIMS, claims, strict=True) if not claim.held}


def test_the_quick_version_holds_and_leaves_figures_and_curves(tmp_path: Path) -> None:
    outcome = run(ENTRIES["learning-modes"], tmp_path, quick=True)
    assert outcome.held, [claim.measured for claim in outcome.claims if not claim.held]
    folder = tmp_path / "lecture-quick" / "learning-modes"
    for stem in ("modes", "noise-and-memory", "copies"):
        assert all((folder / "figures" / f"{stem}{end}").is_file() for end in (".png", ".svg", "-dark.svg"))
    boards = [EventAccumulator(str(folder / wing.name)).Reload() for wing in WINGS]
    tags = boards[0].Tags()["scalars"]
    assert sorted(tags) == sorted(boards[1].Tags()["scalars"])
    assert {f"loss_by_{clock}/{mode}" for clock in ("update", "samples") for mode in MODES} < set(tags)
    held = boards[1].Scalars("bytes_held_by_batch_size")
    assert [event.step for event in held] == list(QUICK.sizes())


def test_what_is_right_holds() -> None:
    assert failed() == set()


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize(
    ("field", "key", "wrong", "claims"),
    [
        ("once", "online", descent(1000, 50, 0.4), {"epochs", "copies"}),
        ("once", "online", descent(200, 10, 0.4), {"epochs", "wings"}),
        ("once", "online", descent(1000, 10, 0.4, reached=False), {"epochs"}),
        ("once", "online", descent(1000, 10, 0.3), {"unsteady"}),
        ("once", "batch", descent(100, 100, 0.41), {"unsteady", "copies", "sum", "wings"}),
        ("once", "mini-batch", descent(200, 20, reached=False), set()),
        ("once", "mini-batch", descent(40, 20), {"wings"}),
        ("copied", "online", descent(1000, 10, 0.4), {"copies"}),
        ("copied", "online", descent(1000, 0.1, 0.4), {"copies"}),
        ("copied", "batch", descent(10, 10), {"copies", "wings"}),
        ("summed", "kept", descent(100, 100), {"sum"}),
        ("summed", "divided", descent(10, 10), {"sum"}),
        ("spread", 2, 2.5, {"spread"}),
        ("spread", 4, 1e-6, {"spread"}),
        ("predicted", 1, 4.0, {"spread"}),
        ("spread", 1, np.nan, {"spread"}),
    ],
)
def test_every_claim_can_fail_in_either_wing(field, key, wrong, claims, wing) -> None:
    assert failed({field: {**getattr(right(), field), key: wrong}}, wing) == claims


def test_runs_that_do_not_arrive_are_counted() -> None:
    found = [{wing.name: right() for wing in WINGS} for _ in range(2)]
    assert "runs reached it" not in judge(SMALL, found, TIMES)[0].measured
    lost = {**right().once, "batch": descent(100, 100, reached=False)}
    found[-1]["scratch"] = right()._replace(once=lost)
    claim = judge(SMALL, found, TIMES)[0]
    assert not claim.held
    assert claim.measured.endswith("; 7 of 8 runs reached it")


def test_roundings_count_until_chaos_may_have_made_them_large() -> None:
    """A loss that differs by 1e-8: at the last of the updates that are compared, and at the next."""
    for update, claims in ((SHARED, {"wings"}), (SHARED + 1, set())):
        other = descent(1000, 10, 0.4)
        other.losses[update] *= 1 + 1e-8
        assert failed({"once": {**right().once, "online": other}}) == claims


def test_the_best_rate_is_the_one_of_the_fewest_epochs_in_the_worst_seed() -> None:
    config = Config(rates=(0.1, 0.2, 0.4), batch_patience=77)
    assert best_rate(config, "batch", [[5.0, 4.0, 1.0], [5.0, 6.0, np.inf]]) == 0.1
    with pytest.raises(UserError, match=r"no rate of 0\.1, 0\.2, 0\.4 brings batch learning to .* within 77 epochs"):
        best_rate(config, "batch", [[np.inf, np.inf, 1.0], [5.0, np.inf, np.inf]])


def test_memory_that_does_not_grow_with_the_batch_fails_its_claim() -> None:
    found = [{wing.name: right() for wing in WINGS}]
    for wrong in ({1: 50, 2: 100, 4: 190}, {1: 200, 2: 200, 4: 200}):
        for wing in ("scratch", "torch"):
            some = [{**found[0], wing: right()._replace(held=wrong)}]
            assert [claim.held for claim in judge(SMALL, some, TIMES)] == [name != "memory" for name in CLAIMS]


@pytest.mark.parametrize("online", [4.0, np.nan])
def test_batches_that_save_no_time_fail_their_claim(online) -> None:
    assert failed(times={**TIMES, "torch": {**TIMES["torch"], "online": online}}) == {"parallel"}


def test_losses_that_are_not_a_number_fail_their_claims() -> None:
    lost = descent(100, 100)._replace(losses=np.full(101, np.nan))
    assert failed({"once": {**right().once, "batch": lost}}) == {"copies", "sum", "wings"}


def verdict(config: Config) -> set[str]:
    claims = judge(config, [measure(config, {"batch": 1.0, "mini-batch": 0.5, "online": 1 / 8}, 0)], TIMES)
    return {name for name, claim in zip(CLAIMS, claims, strict=True) if not claim.held}


@pytest.fixture
def tiny() -> Config:
    """A few updates of each kind, which ask for no threshold that is hard to reach."""
    return Config(samples=20, hidden=4, mini=5, threshold=2.0, batch_patience=10, online_patience=2, draws=100)


def test_a_rate_that_one_wing_takes_otherwise_is_seen(tiny, monkeypatch) -> None:
    assert "wings" not in verdict(tiny)
    step = scratch.SGD.step

    def longer(self, params, grads):
        step(self, params, {name: (1 + 1e-6) * grad for name, grad in grads.items()})

    monkeypatch.setattr(scratch.SGD, "step", longer)
    assert "wings" in verdict(tiny)


def test_a_mean_over_the_whole_batch_that_is_a_sum_is_seen(tiny, monkeypatch) -> None:
    backward = scratch.CrossEntropy.backward
    monkeypatch.setattr(scratch.CrossEntropy, "backward", lambda _, cache: backward(_, cache._replace(divisor=1)))
    assert {"copies", "spread", "wings"} <= verdict(tiny)


def test_batches_that_have_samples_twice_are_seen(tiny, monkeypatch) -> None:
    """They are noisier than those of an epoch, and N of them are not the whole."""

    class Twice:
        def __init__(self, generator):
            self.generator = generator

        def permutation(self, n):
            return self.generator.integers(0, n, n)

    one = learning_modes.learner(WINGS[0], tiny, 0, 1.0)
    generator = np.random.default_rng
    x, labels = samples(tiny, 0)
    monkeypatch.setattr(learning_modes_descent.np.random, "default_rng", lambda seed: Twice(generator(seed)))
    spread, predicted = gradient_spread(one, x, labels, sizes=(16, 20), draws=50, seed=0)
    assert spread[16] > 1.3 * predicted[16]
    assert predicted[20] == 0 < spread[20]


def line(params=None):
    """One weight, no more: y = wx with squared error."""
    return functools.partial(
        WINGS[0].learner,
        lambda w, d, rng: w.Sequential({"fc1": w.Linear(1, 1, bias=False, dtype=d, rng=rng)}),
        lambda w: w.SquaredError(),
        params or {"fc1.weight": np.array([[0.0]])},
    )


def test_a_descent_that_is_known() -> None:
    """J = ½(w − 1)², from w = 0 at α = ½: the error is halved by each update, the loss quartered."""
    x, t = np.ones((4, 1)), np.ones((4, 1))
    go = functools.partial(descend, x=x, labels=t, seed=0, threshold=0.01)
    batch, online = go(line()(lr=0.5), batch_size=4), go(line()(lr=0.5), batch_size=1)
    for one in (batch, online):
        np.testing.assert_allclose(one.losses, [0.5, 0.125, 0.03125, 0.0078125])
        assert (one.updates, one.reached, one.rises) == (3, True, 0)
    np.testing.assert_allclose(batch.epochs, [0, 1, 2, 3])
    np.testing.assert_allclose(online.epochs, [0, 0.25, 0.5, 0.75])
    copied = go(line()(lr=0.5), batch_size=1, copies=10)
    np.testing.assert_allclose(copied.epochs, [0, 1 / 40, 2 / 40, 3 / 40])
    tired = go(line()(lr=1e-3), batch_size=4, patience=5)
    assert (tired.updates, tired.reached) == (5, False)
    wild = go(line()(lr=2.5), batch_size=4, patience=5)
    assert wild.rises == 1


def test_the_spread_of_two_gradients_is_known() -> None:
    """Targets 1 and 3 at w = 0: gradients −1 and −3, their mean −2; each is half of that away from it."""
    x, t = np.ones((2, 1)), np.array([[1.0], [3.0]])
    spread, predicted = gradient_spread(line()(lr=1.0), x, t, sizes=(1, 2), draws=5, seed=0)
    assert spread == predicted == {1: 0.5, 2: 0.0}


def test_the_bytes_of_a_forward_pass_are_known() -> None:
    """49 pixels, what the hidden layer gives, 10 outputs of softmax, and the label; torch keeps tanh and a·tanh."""
    make = functools.partial(network, 8)
    x, labels = samples(SMALL, 0)
    assert held_bytes(WINGS[0], make, x, labels) == 4 * 8 * (49 + 8 + 10 + 1)
    weight = 8  # of the samples together, a scalar
    assert held_bytes(WINGS[1], make, x, labels) == 4 * 8 * (49 + 2 * 8 + 10 + 1) + weight


def test_the_spread_is_pooled_as_squares() -> None:
    found = [{"scratch": right()._replace(spread={1: a}, predicted={1: 5.0})} for a in (1.0, 7.0)]
    assert pooled(found) == {"scratch": {1: (5.0, 5.0)}}


def test_seconds_are_of_this_thread_and_not_of_the_clock(monkeypatch) -> None:
    """A machine that is busy with other things looks like an update that sleeps."""
    one = line()(lr=0.5)
    update = one.update
    monkeypatch.setattr(one, "update", lambda grads: (time.sleep(0.1), update(grads)))
    found = descend(one, np.ones((4, 1)), np.ones((4, 1)), batch_size=4, seed=0, threshold=0.2)
    assert found.updates == 1
    assert 0 < found.seconds[-1] < 0.05


def test_digits_are_means_of_4_by_4_pixels() -> None:
    images = np.zeros((2, 28, 28), np.uint8)
    images[1, :4, 24:] = 120
    small = rows(images)
    assert small.shape == (2, 49)
    assert small[0] == pytest.approx(-0.1)
    assert small[1, 6] == pytest.approx(0.5)
    assert small[1, [5, 7, 13]] == pytest.approx(-0.1)


def test_tuning_is_on_other_digits_and_gives_up() -> None:
    config = Config(samples=20, hidden=4, mini=5, threshold=1e-9, rates=(0.1, 0.2), batch_patience=2, online_patience=1)
    assert tune(config, 0) == {mode: [np.inf, np.inf] for mode in MODES}
    own, other = samples(config, 0)[0], samples(config, learning_modes.TUNING)[0]
    assert not np.array_equal(own, other)


def test_descents_of_other_lengths_are_infinitely_apart() -> None:
    assert gap(np.ones(3), np.ones(2)) == np.inf
    assert gap(np.array([1.0, 2.2]), np.array([1.0, 2.0])) == pytest.approx(0.1)
