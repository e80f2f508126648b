import copy
from typing import NoReturn

import numpy as np
import pytest

from experiments.backends import ScratchBackend, TorchBackend, build, find_device, initial_parameters
from experiments.errors import UserError
from experiments.networks import DataShape
from scratch.parallel import DataParallel
from scratch.worker import WorkerEndedError
from tests.running import small

SHAPE = DataShape(image=(2, 3), classes=3)
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 7)


def images(dtype="float64"):
    return np.random.default_rng(1).standard_normal((7, 6)).astype(dtype)


def pair(**settings):
    config = small(**{"hidden": (5, 4), "dtype": "float64", **settings})
    params = initial_parameters(config, SHAPE)
    return build("scratch", config, params, SHAPE), build("torch", config, params, SHAPE)


def test_the_initial_parameters_depend_on_the_seed_but_not_on_the_backend():
    draws = [
        initial_parameters(small(backend=backend, hidden=(5, 4)), SHAPE) for backend in ("scratch", "torch", "both")
    ]
    for name, value in draws[0].items():
        assert all(np.array_equal(value, other[name]) for other in draws)
    assert not np.array_equal(
        initial_parameters(small(seed=1, hidden=(5, 4)), SHAPE)["fc1.weight"], draws[0]["fc1.weight"]
    )


@pytest.mark.parametrize("activation", ["tanh", "lecun-tanh", "logistic", "relu", "identity"])
@pytest.mark.parametrize("loss", ["cross-entropy", "squared-error"])
def test_the_two_backends_agree_in_everything_the_loop_asks_for(activation, loss):
    ours, twin = pair(activation=activation, loss=loss, weight_decay=0.01)
    x = images()
    for _ in range(3):
        a, t = ours.gradients(x, LABELS), twin.gradients(x, LABELS)
        assert a.loss == pytest.approx(t.loss, rel=1e-13)
        np.testing.assert_allclose(a.outputs, t.outputs, rtol=1e-12, atol=1e-14)
        assert list(a.grads) == list(t.grads) == list(ours.parameters()) == list(twin.parameters())
        for name in a.grads:
            np.testing.assert_allclose(a.grads[name], t.grads[name], rtol=1e-11, atol=1e-14)
        ours.update(a.grads)
        twin.update(t.grads)
    for name, value in ours.parameters().items():
        np.testing.assert_allclose(value, twin.parameters()[name], rtol=1e-12, atol=1e-14)
    assert list(ours.trace(x)) == list(twin.trace(x)) == ["fc1", "f1", "fc2", "f2", "fc3"]
    np.testing.assert_array_equal(ours.trace(x)["fc3"], ours.predict(x))
    np.testing.assert_allclose(ours.predict(x), twin.predict(x), rtol=1e-12, atol=1e-14)
    assert ours.loss(a.outputs, LABELS) == pytest.approx(a.loss, rel=1e-15)
    assert twin.loss(a.outputs, LABELS) == pytest.approx(a.loss, rel=1e-13)


@pytest.mark.parametrize("index", [0, 1])
def test_the_loss_reported_has_no_penalty_and_the_update_has_it(index):
    plain, decayed = pair()[index], pair(weight_decay=0.5)[index]
    a, b = plain.gradients(images(), LABELS), decayed.gradients(images(), LABELS)
    assert a.loss == b.loss
    assert all(np.array_equal(a.grads[name], b.grads[name]) for name in a.grads)
    before = {name: value.copy() for name, value in plain.parameters().items()}
    plain.update(a.grads)
    decayed.update(b.grads)
    for name, value in plain.parameters().items():
        expected = -0.05 * 0.5 * before[name] if name.endswith("weight") else np.zeros_like(value)
        np.testing.assert_allclose(decayed.parameters()[name] - value, expected, atol=1e-15)


@pytest.mark.parametrize("index", [0, 1])
def test_the_state_goes_out_and_comes_back(index):
    one, other = pair()[index], pair(seed=9)[index]
    step = one.gradients(images(), LABELS)
    one.update(step.grads)
    other.load_parameters({name: value.copy() for name, value in one.parameters().items()})
    state = copy.deepcopy(one.state())
    other.load_state(state)
    for backend in (one, other):
        backend.update(backend.gradients(images(), LABELS).grads)
    for name, value in one.parameters().items():
        assert value.tobytes() == other.parameters()[name].tobytes()
    for name, value in one.state().items():
        assert not np.array_equal(value, state[name]), "the state handed in is not the live one"


@pytest.mark.parametrize("index", [0, 1])
def test_prediction_in_blocks_is_the_forward_pass(index):
    backend = pair()[index]
    x = np.random.default_rng(2).standard_normal((2300, 6))
    outputs = backend.predict(x)
    assert outputs.shape == (2300, 3)
    np.testing.assert_allclose(outputs, list(backend.trace(x).values())[-1], rtol=1e-12, atol=1e-14)


def test_read_only_data_are_taken():
    x, labels = images(), LABELS.copy()
    x.setflags(write=False)
    labels.setflags(write=False)
    ours, twin = pair()
    assert ours.gradients(x, labels).loss == pytest.approx(twin.gradients(x, labels).loss)


def test_overflow_is_no_warning_here_but_a_number():
    ours, _ = pair(activation="identity")
    assert isinstance(ours, ScratchBackend)
    ours.load_parameters({name: np.full_like(value, 1e200) for name, value in ours.parameters().items()})
    assert not np.isfinite(ours.gradients(images(), LABELS).loss)


def test_a_device_that_is_not_there_is_a_usage_error():
    with pytest.raises(UserError, match="--device: 'cuda:7' is not there") as refusal:
        find_device("cuda:7")
    assert refusal.value.exit_code == 2
    with pytest.raises(UserError, match="--device"):
        TorchBackend.configured(small(device="cuda:7"), SHAPE)


def test_a_process_that_was_ended_is_said_to_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = ScratchBackend.configured(small(), SHAPE, np.random.default_rng(0))

    def ended(*_: object) -> NoReturn:
        raise WorkerEndedError("the process has ended, status -9")

    for method, call in (
        ("gradients", lambda: backend.gradients(np.zeros((1, 6), np.float32), np.zeros(1, np.int64))),
        ("predict", lambda: backend.predict(np.zeros((1, 6), np.float32))),
    ):
        monkeypatch.setattr(DataParallel, method, ended)
        with pytest.raises(UserError, match=r"^the process has ended, status -9; .* continue with --resume$"):
            call()
