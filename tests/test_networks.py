"""Whole networks: random architectures by criterion 4, training by criterion 8, initialisation, sharing, threads."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scratch
import torchref
from tests import harness
from torchref import oracle
from torchref.oracle import criteria

ACTIVATIONS = {
    "Tanh": lambda w: w.Tanh(),
    "Tanh.lecun": lambda w: w.Tanh.lecun(),
    "Logistic": lambda w: w.Logistic(),
    "Logistic(2)": lambda w: w.Logistic(2.0),
    "ReLU": lambda w: w.ReLU(),
    "Identity": lambda w: w.Identity(),
    "Softmax": lambda w: w.Softmax(),
    "Threshold": lambda w: w.Threshold(),
}


@st.composite
def architectures(draw: st.DrawFn) -> dict[str, Any]:
    """A perceptron of 1 to 5 layers of 1 to 12 units (bottlenecks included), with its data, by a seed."""
    depth = draw(st.integers(1, 5))
    hidden = draw(st.lists(st.sampled_from(sorted(ACTIVATIONS)), min_size=depth - 1, max_size=depth - 1))
    return {
        "sizes": draw(st.lists(st.integers(1, 12), min_size=depth + 1, max_size=depth + 1)),
        "activations": hidden + draw(st.sampled_from([[], ["Logistic"], ["Tanh"], ["Softmax"]])),
        "loss": draw(st.sampled_from(["CrossEntropy", "SquaredError"])),
        "reduction": draw(st.sampled_from(["mean", "sum"])),
        "samples": draw(st.integers(1, 9)),
        "weight_scale": draw(st.sampled_from([0.1, 0.5, 1.0, 3.0])),
        "input_scale": draw(st.sampled_from([0.1, 1.0, 10.0])),
        "dtype": draw(st.sampled_from(harness.DTYPES)),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


def build(drawn: dict[str, Any]) -> tuple[Any, ...]:
    """Candidate, its loss, twin, its loss, x and labels; drawn again, visibly, while a kink is too close to judge."""
    dtype = drawn["dtype"]
    rng = np.random.default_rng(drawn["seed"])
    losses = [getattr(wing, drawn["loss"])(drawn["reduction"]) for wing in (scratch, torchref)]
    for redrawn in range(1000):
        nets = harness.pair(
            lambda w, d: w.MLP(drawn["sizes"], [ACTIVATIONS[name](w) for name in drawn["activations"]], dtype=d),
            scratch,
            dtype,
            lambda shape: harness.normal(rng, shape, dtype, drawn["weight_scale"]),
        )
        x = harness.normal(rng, (drawn["samples"], drawn["sizes"][0]), dtype, drawn["input_scale"])
        labels = rng.integers(0, drawn["sizes"][-1], drawn["samples"])
        if not oracle.run(nets[1], losses[1], x, labels).kinked:
            return nets[0], losses[0], nets[1], losses[1], x, labels
        print(f"draw {redrawn} has a pre-activation at a kink, drawn again: {drawn}")
    raise AssertionError(f"no draw without a kink: {drawn}")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(architectures())
def test_random_perceptrons_agree(drawn: dict[str, Any]) -> None:
    oracle.check_network(str(drawn), *build(drawn)).require()


def train(dtype: str, steps: int, seed: int) -> tuple[Any, Any]:
    """The same start and the same batches through both wings, each with its own optimiser, running free."""
    rng = np.random.default_rng(seed)
    net, twin = harness.pair(
        lambda w, d: w.MLP((20, 15, 12, 5), dtype=d), scratch, dtype, lambda s: harness.normal(rng, s, dtype, 0.3)
    )
    loss, twin_loss = scratch.CrossEntropy(), torchref.CrossEntropy()
    optimizer, twin_optimizer = scratch.SGD(0.05, 0.9, 1e-4), torchref.SGD(0.05, 0.9, 1e-4)
    x, labels = harness.normal(rng, (200, 20), dtype), rng.integers(0, 5, 200)
    for _ in range(steps):
        batch = rng.integers(0, 200, 16)
        output, cache = net.forward(x[batch])
        _, loss_cache = loss.forward(output, labels[batch])
        _, grads = net.backward(loss.backward(loss_cache), cache)
        optimizer.step(net.parameters(), grads)
        params = dict(twin.named_parameters())
        value = twin_loss(twin(torch.from_numpy(x[batch])), torch.from_numpy(labels[batch]))
        twin_grads = torch.autograd.grad(value, list(params.values()))
        twin_optimizer.step(params, dict(zip(params, twin_grads, strict=True)))
    return net, twin


def test_a_thousand_steps_stay_within_criterion_8(seed: int) -> None:
    net, twin = train("float64", criteria.DRIFT_STEPS, seed)
    comparisons = [criteria.drift(name, net.parameters()[name], tensor) for name, tensor in twin.state_dict().items()]
    oracle.Report("1,000 steps", tuple(comparisons)).require()


def test_maps_with_dropout_stay_within_criterion_8(seed: int) -> None:
    """Running free, the twin with the masks that the candidate drew; links that are absent stay 0."""
    rng = np.random.default_rng(seed)

    def generator(w: Any) -> Any:
        return rng if w is scratch else torch.Generator().manual_seed(int(rng.integers(2**32)))

    def make(w: Any, d: Any) -> Any:
        table = [[True, o != 1, o != 2] for o in range(4)]
        layers = {
            "c1": w.Conv2d(1, 3, 3, padding=1, dtype=d, rng=generator(w)),
            "c1_f": w.Tanh.lecun(),
            "s2": w.Subsample2d(3, 2, dtype=d),
            "c3": w.Conv2d(3, 4, 2, connections=table, dtype=d, rng=generator(w)),
            "c3_f": w.Tanh.lecun(),
            "drop": w.Dropout(0.4),
            "flatten": w.Flatten(),
            "output": w.Linear(16, 3, dtype=d, rng=generator(w)),
        }
        return w.Sequential(layers)

    net, twin = make(scratch, np.float64), make(torchref, torch.float64)
    net.load_state_dict({name: tensor.numpy() for name, tensor in twin.state_dict().items()})
    absent = ~net.layers["c3"].connections
    loss, twin_loss = scratch.CrossEntropy(), torchref.CrossEntropy()
    optimizer, twin_optimizer = scratch.SGD(0.03, 0.9, 1e-4), torchref.SGD(0.03, 0.9, 1e-4)
    x, labels = rng.normal(size=(50, 1, 6, 6)), rng.integers(0, 3, 50)
    for _ in range(300):
        batch = rng.integers(0, 50, 8)
        output, cache = net.forward(x[batch], rng)
        _, loss_cache = loss.forward(output, labels[batch])
        optimizer.step(net.parameters(), net.backward(loss.backward(loss_cache), cache)[1])
        masks = {name: torch.from_numpy(mask) for name, mask in cache.masks.items()}
        params = dict(twin.named_parameters())
        value = twin_loss(twin(torch.from_numpy(x[batch]), masks), torch.from_numpy(labels[batch]))
        twin_optimizer.step(params, dict(zip(params, torch.autograd.grad(value, list(params.values())), strict=True)))
    comparisons = [criteria.drift(name, net.parameters()[name], tensor) for name, tensor in twin.state_dict().items()]
    oracle.Report("300 steps", tuple(comparisons)).require()
    for weight in (net.parameters()["c3.weight"], twin.c3.weight.detach().numpy()):
        assert not weight[absent].any()
        assert weight[~absent].all()


@pytest.mark.parametrize("batch_size", [1, 7, 20])
def test_online_mini_batch_and_batch_learning_sum_the_same_gradient(batch_size: int, seed: int) -> None:
    """Σ over batches of the summed loss's gradients is the gradient of the whole, whatever the batch size."""
    rng = np.random.default_rng(seed)
    net = scratch.MLP((6, 5, 3), dtype=np.float64, rng=rng)
    x, labels, loss = rng.normal(size=(20, 6)), rng.integers(0, 3, 20), scratch.CrossEntropy("sum")

    def gradient(rows: slice) -> dict[str, np.ndarray]:
        output, cache = net.forward(x[rows])
        _, loss_cache = loss.forward(output, labels[rows])
        return net.backward(loss.backward(loss_cache), cache)[1]

    parts = [gradient(slice(start, start + batch_size)) for start in range(0, 20, batch_size)]
    for name, whole in gradient(slice(None)).items():
        np.testing.assert_allclose(sum(part[name] for part in parts), whole, rtol=0, atol=1e-13)


def test_two_threads_share_a_layer(seed: int) -> None:
    """No hidden state: two threads on two halves of a batch, each with its own cache, get what one gets alone."""
    rng = np.random.default_rng(seed)
    net = scratch.MLP((30, 40, 10), dtype=np.float64, rng=rng)
    halves = [rng.normal(size=(50, 30)) for _ in range(2)]
    dys = [rng.normal(size=(50, 10)) for _ in range(2)]

    def work(i: int) -> np.ndarray:
        for _ in range(50):
            _, cache = net.forward(halves[i])
            dx, _ = net.backward(dys[i], cache)
        return dx

    alone = [work(0), work(1)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(work, range(2)))
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("wing", [scratch, torchref])
def test_an_activation_object_may_stand_in_several_layers(wing: Any) -> None:
    net = wing.MLP((3, 4, 5, 2), wing.ReLU())
    x = np.ones((2, 3), np.float32)
    names = list(net.trace(x if wing is scratch else torch.from_numpy(x)))
    assert names == ["fc1", "f1", "fc2", "f2", "fc3"]


@pytest.mark.parametrize(
    ("wing", "generator"), [(scratch, np.random.default_rng), (torchref, torch.Generator().manual_seed)]
)
def test_a_traced_pass_of_lenet5_is_the_pass_and_refuses_what_that_refuses(wing: Any, generator: Any) -> None:
    net = wing.LeNet5(rng=generator(0))
    x = np.random.default_rng(1).normal(size=(2, 1, 28, 28)).astype(np.float32)
    images = x if wing is scratch else torch.from_numpy(x)
    passed = net.forward(images)
    *_, last = net.trace(images).values()
    assert bool((last == (passed[0] if wing is scratch else passed)).all())
    for refused in (net.forward, net.trace):
        with pytest.raises(ValueError, match="shape"):
            refused(images[:, :, :-1])


def test_initialisers_draw_what_they_say(seed: int) -> None:
    ours = scratch.init.lecun_uniform((300, 200), rng=np.random.default_rng(seed), dtype=np.float64)
    theirs = torchref.init.lecun_uniform((300, 200), rng=torch.Generator().manual_seed(seed), dtype=torch.float64)
    bound = np.sqrt(3 / 200)
    for weight in (ours, theirs.numpy()):
        assert np.abs(weight).max() <= bound
        assert np.abs(weight).max() > 0.999 * bound
        assert abs(weight.mean()) < 4 * bound / np.sqrt(3 * weight.size)
        assert weight.var() == pytest.approx(1 / 200, rel=0.02)
    single = scratch.init.lecun_uniform((300, 200), rng=np.random.default_rng(seed))
    np.testing.assert_array_equal(single, ours.astype(np.float32))
    np.testing.assert_array_equal(scratch.init.zeros((2, 3)), np.zeros((2, 3), np.float32))


@pytest.mark.parametrize(
    ("wing", "generator"), [(scratch, np.random.default_rng), (torchref, torch.Generator().manual_seed)]
)
def test_the_same_seed_gives_the_same_network(wing: Any, generator: Any) -> None:
    first, second, other = (wing.MLP((4, 3, 2), rng=generator(seed)).state_dict() for seed in (1, 1, 2))
    assert all(bool((first[name] == second[name]).all()) for name in first)
    assert bool((first["fc1.weight"] != other["fc1.weight"]).any())
    assert bool((first["fc1.weight"][:, :2].ravel()[:4] != first["fc2.weight"].ravel()[:4]).any())


def test_numbers_of_either_library_are_numbers() -> None:
    for wing in (scratch, torchref):
        assert wing.Linear(np.int64(3), np.int32(2)).out_features == 2
        assert wing.Logistic(np.float32(0.5)).a == 0.5


def test_nothing_touches_global_random_state() -> None:
    numpy_before = np.random.get_state()[1].tobytes()  # noqa: NPY002 - the global state is what is looked at
    torch_before = torch.get_rng_state()
    for wing in (scratch, torchref):
        first, second = (wing.MLP((4, 3)).state_dict()["fc1.weight"] for _ in range(2))
        assert bool((first != second).any()), "without a generator, weights come from fresh entropy"
    assert np.random.get_state()[1].tobytes() == numpy_before  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_a_plain_torch_network_takes_our_state() -> None:
    """State dicts move unchanged: an nn.Sequential of nn.Linear under the same names loads scratch's, and back."""
    net = scratch.MLP((4, 3, 2), rng=np.random.default_rng(0))
    plain = torch.nn.Sequential()
    for name, layer in {"fc1": torch.nn.Linear(4, 3), "f1": torch.nn.Tanh(), "fc2": torch.nn.Linear(3, 2)}.items():
        plain.add_module(name, layer)
    plain.load_state_dict({name: torch.from_numpy(value) for name, value in net.state_dict().items()})
    x = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_allclose(plain(torch.from_numpy(x)).detach().numpy(), net.forward(x)[0], atol=1e-6)
    net.load_state_dict({name: tensor.numpy() for name, tensor in plain.state_dict().items()})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_twin_works_on_cuda() -> None:
    twin = torchref.MLP((4, 3, 2), dtype=torch.float64, device="cuda")
    assert {p.device.type for p in twin.parameters()} == {"cuda"}
    net = scratch.MLP((4, 3, 2), dtype=np.float64)
    net.load_state_dict({name: tensor.cpu().numpy() for name, tensor in twin.state_dict().items()})
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(5, 4)), rng.integers(0, 2, 5)
    oracle.check_network("cuda", net, scratch.CrossEntropy(), twin, torchref.CrossEntropy(), x, labels).require()
    oracle.check_layer("cuda", net.layers["fc1"], twin.fc1, x, rng.normal(size=(5, 3))).require()
    net.parameters()["fc1.bias"][0] += 1
    report = oracle.check_network("cuda", net, scratch.CrossEntropy(), twin, torchref.CrossEntropy(), x, labels)
    assert "fc1 forced, y" in {c.tensor for c in report.failures}


def lenet5(w: Any, d: Any, **where: Any) -> Any:
    return w.LeNet5(dtype=d, **where)


def thinned_maps(w: Any, d: Any, **where: Any) -> Any:
    """Convolution, with a table of links too, sub-sampling and units to drop, some in a network within."""
    layers = {
        "c1": w.Conv2d(2, 3, (3, 2), (1, 2), (1, 0), dtype=d, **where),
        "drop": w.Dropout(0.3),
        "c3": w.Conv2d(3, 4, 2, connections=[[True, o != 1, o != 2] for o in range(4)], dtype=d, **where),
        "s4": w.Subsample2d(4, 2, dtype=d, **where),
        "block": w.Sequential({"squash": w.Tanh.lecun(), "drop": w.Dropout(0.4)}),
        "flatten": w.Flatten(),
        "output": w.Linear(12, 3, dtype=d, **where),
    }
    return w.Sequential(layers)


def thinned_signals(w: Any, d: Any, **where: Any) -> Any:
    layers = {
        "conv": w.Conv1d(2, 3, 4, 2, 1, connections=[[True, False], [True, True], [False, True]], dtype=d, **where),
        "drop": w.Dropout(0.3),
        "flatten": w.Flatten(),
        "output": w.Linear(12, 3, dtype=d, **where),
    }
    return w.Sequential(layers)


ON_A_DEVICE = {"LeNet5": (lenet5, (1, 28, 28)), "maps": (thinned_maps, (2, 7, 6)), "signals": (thinned_signals, (2, 9))}
CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"))


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("name", ON_A_DEVICE)
def test_twins_of_maps_work_on_a_device(name: str, device: str, seed: int) -> None:
    make, inputs = ON_A_DEVICE[name]
    twin, net = make(torchref, torch.float64, device=device), make(scratch, np.float64)
    assert {p.device.type for p in (*twin.parameters(), *twin.buffers())} == {device}
    net.load_state_dict({key: tensor.cpu().numpy() for key, tensor in twin.state_dict().items()})
    rng = np.random.default_rng(seed)
    x, labels = rng.normal(size=(4, *inputs)), rng.integers(0, 3, 4)
    masks = net.forward(x, rng)[1].masks if twin.dropouts() else None
    mine, theirs = harness.thin(net, twin, masks)
    losses = scratch.CrossEntropy(), torchref.CrossEntropy()
    oracle.check_network(device, mine, losses[0], theirs, losses[1], x, labels).require()
    if masks is None:
        return
    there = torch.from_numpy(x).to(device)
    from_here = {key: torch.from_numpy(mask) for key, mask in masks.items()}  # masks may live elsewhere than x
    expected = net.forward(x, masks)[0]
    for drops in (from_here, {key: mask.to(device) for key, mask in from_here.items()}):
        np.testing.assert_allclose(twin(there, drops).detach().cpu().numpy(), expected, rtol=0, atol=1e-12)
    first, again = (twin(there, torch.Generator(device).manual_seed(1)) for _ in range(2))
    np.testing.assert_allclose(first.detach().cpu(), again.detach().cpu(), rtol=0, atol=1e-12)
    assert bool((first != twin(there)).any())
