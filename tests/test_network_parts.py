"""How networks are taken apart: chains of torch's modules, parameters and layers that belong together."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import scratch
import torchref
from tests import own_networks as own
from torchref import oracle
from torchref.oracle.kinds.networks import find_network
from torchref.oracle.networks import behaviour, chain, matching, recording, slots
from torchref.oracle.subjects.subject import Misbehaviour

X = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 5)))


def taken(module: nn.Module, x: torch.Tensor = X) -> list[str]:
    return list(chain.chain_of(chain.prepared(module, torch.float64), x).layers)


def test_chains_have_their_layers_in_the_order_of_computation() -> None:
    nested = nn.Sequential(nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True)), nn.Linear(4, 2))
    assert taken(nested) == ["0.0", "0.1", "1"]
    shared = nn.Tanh()
    assert taken(nn.Sequential(nn.Linear(5, 5), shared, nn.Linear(5, 5), shared)) == ["0", "1", "2", "1#2"]
    assert taken(nn.Tanh()) == ["layer"]

    class Ending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(5, 4)

        def forward(self, x: Any) -> Any:
            return torch.softmax(self.fc(torch.tanh(x)), 1)

    assert taken(Ending()) == ["tanh", "fc", "fc_softmax"]


def test_what_is_no_chain_is_taken_in_blocks_or_whole() -> None:
    found = chain.chain_of(chain.prepared(own.Residual(), torch.float64), X)
    assert list(found.layers) == ["network"]
    assert "between fc and the output it computes something else than layers" in found.guesses[0]
    assert taken(nn.Sequential(nn.Linear(5, 5), own.Residual(), nn.Tanh())) == ["0", "1", "2"]
    fc = nn.Linear(5, 5)
    assert taken(nn.Sequential(fc, fc)) == ["network"]

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Bilinear(5, 5, 4)

        def forward(self, x: Any) -> Any:
            return self.mix(x, x)

    assert taken(Both()) == ["network"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_has_no_rule_is_measured(dtype: str) -> None:
    class Adding(own.Dense):
        """x + x @ W + b."""

        def forward(self, x: Any) -> Any:
            return super().forward(x) + x

        def backward(self, dy: Any) -> Any:
            return super().backward(dy) + dy

    torch.manual_seed(0)
    twin = nn.Sequential(nn.Linear(5, 5), own.Residual(), nn.Softplus(), nn.Linear(5, 3))

    class Softplus(own.Relu):
        def forward(self, x: Any) -> Any:
            self.x = x
            return np.logaddexp(0, x).astype(x.dtype)

        def backward(self, dy: Any) -> Any:
            return dy / (1 + np.exp(-self.x))

    x, target = X.numpy().astype(dtype), np.array([0, 2, 1])
    ends = own.Dense(5, 5, dtype), own.Dense(5, 3, dtype)
    mine = own.Stack([ends[0], Adding(5, 5, dtype), Softplus(), ends[1]])
    said = {"0.W": ("0.weight", "IO"), "1.W": ("1.fc.weight", "IO")}
    verdict = oracle.compare(mine, twin, x, target, map=said, my_loss=own.softmax_loss)
    assert verdict.passed, str(verdict)
    assert verdict.worst > 1e-3
    assert any("no rule is known for 2, Softplus" in text for text in verdict.guesses)

    class Halved(Softplus):
        def backward(self, dy: Any) -> Any:
            return super().backward(dy) * (1 + (1e-10 if dtype == "float64" else 1e-4))

    mine.layers[2] = Halved()
    found = oracle.compare(mine, twin, x, target, map=said).findings
    assert [(f.layer, f.tensor) for f in found] == [("2", "dx")]
    kink = oracle.compare(own.Stack([own.Relu()]), nn.Sequential(nn.Hardtanh()), np.ones((2, 3)))
    assert any("too near a kink of 0" in text for text in kink.remarks)


def test_losses_are_known_by_module_function_and_name() -> None:
    assert isinstance(chain.loss_of(nn.CrossEntropyLoss()), torchref.CrossEntropy)
    assert isinstance(chain.loss_of(nn.functional.cross_entropy), torchref.CrossEntropy)
    assert isinstance(chain.loss_of("mse"), nn.MSELoss)
    for unknown in (nn.L1Loss(), "hinge"):
        with pytest.raises(ValueError, match="no criterion is known for the loss"):
            chain.loss_of(unknown)


OURS = {"a.weight": (6, 5), "a.bias": (6,), "b.weight": (3, 6), "b.bias": (3,)}


def test_parameters_are_matched_by_name_order_and_shape() -> None:
    partners, guesses, absent = matching.match_parameters(OURS, OURS, {})
    assert [p.torch for p in partners.values()] == list(OURS)
    assert not guesses
    assert not absent
    mine = {"W1": (5, 6), "W2": (6, 3), "b1": (1, 6), "b2": (3,)}
    found = matching.match_parameters(mine, OURS, {}).partners
    assert {name: (p.torch, p.layout) for name, p in found.items()} == {
        "W1": ("a.weight", "IO"),
        "W2": ("b.weight", "IO"),
        "b1": ("a.bias", "1O"),
        "b2": ("b.bias", "O"),
    }
    square = {"a.weight": (6, 5), "b.weight": (4, 4)}
    laid = matching.match_parameters({"V": (5, 6), "W": (4, 4)}, square, {}).partners
    assert laid["W"].layout == "IO"  # as the other one is
    less = matching.match_parameters({"a.weight": (6, 5)}, {"a.weight": (6, 5), "a.bias": (6,)}, {})
    assert less.absent == ("a.bias",)


def test_parameters_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"W may be OI or IO: say map=\{'W': \('a', 'OI'\)\}"):
        matching.match_parameters({"W": (4, 4)}, {"a": (4, 4)}, {})
    with pytest.raises(matching.MismatchError, match=r"without a partner: V, W of yours and a of torch's"):
        matching.match_parameters({"V": (2, 3), "W": (2, 3)}, {"a": (2, 3)}, {})
    with pytest.raises(matching.MismatchError, match="nothing of yours"):
        matching.match_parameters({}, {"a": (2, 3)}, {})
    with pytest.raises(matching.MismatchError, match="fits a in no layout"):
        matching.match_parameters({"W": (2, 4)}, {"a": (2, 3)}, {})
    with pytest.raises(ValueError, match="which torch has not"):
        matching.match_parameters({"W": (2, 3)}, {"a": (2, 3)}, {"W": "b"})
    with pytest.raises(ValueError, match="is not a"):
        matching.match_parameters({"W": (2, 4)}, {"a": (2, 3)}, {"W": "a"})
    with pytest.raises(ValueError, match="an order of the letters OI"):
        matching.match_parameters({"W": (2, 3)}, {"a": (2, 3)}, {"W": ("a", "OX")})


def test_values_go_into_a_layout_and_back() -> None:
    kernel = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    partner = matching.Partner("K", "conv.weight", "HWIO")
    assert partner.there(kernel).shape == (4, 5, 3, 2)
    np.testing.assert_array_equal(partner.back(partner.there(kernel)), kernel)
    column = matching.Partner("b", "bias", "O1")
    assert column.there(np.arange(3.0)).shape == (3, 1)
    np.testing.assert_array_equal(column.back(np.ones((3, 1))), np.ones(3))
    for odd in (np.ones((3, 2)), np.ones(3), None):
        assert column.back(odd) is odd


def test_layers_are_matched_by_what_was_said_names_parameters_and_order() -> None:
    def nearest(_: str, ends: list[str], *, entering: bool = False) -> str:
        return ends[0 if entering else -1]

    def match(mine: list[str], theirs: list[str], said: Any = None, **owned: str) -> matching.Blocks:
        partners = {n: matching.Partner(f"{n}.W", f"{t}.weight", "OI") for n, t in owned.items()}
        return matching.match_layers(mine, theirs, said or {}, partners, nearest)

    theirs = ["fc1", "f1", "fc2"]
    assert match(theirs, theirs).layers == {name: (name,) for name in theirs}
    assert match(["0", "1", "2"], theirs).guesses == ("layer 0 is fc1", "layer 1 is f1", "layer 2 is fc2")
    assert match(["first", "second"], theirs, first="fc1", second="fc2").layers == {
        "first": ("fc1", "f1"),
        "second": ("fc2",),
    }
    assert match(["all"], theirs, {"all": "fc2"}).layers == {"all": tuple(theirs)}
    assert match(["fc1", "odd", "even", "fc2"], theirs).extra == ("odd", "even")
    assert match(["fc2", "fc1"], theirs).misplaced == ("fc1",)


class Kept:
    """Parameters in a dict, with their gradients in another."""

    def __init__(self) -> None:
        self.params = {"W": np.zeros((2, 3)), "b": np.zeros(3)}
        self.grads = {"dW": np.ones((2, 3)), "b": np.ones(3)}


class Listed:
    def __init__(self) -> None:
        self.params = [np.zeros((2, 3)), np.zeros(3)]
        self.grads = [np.ones((2, 3)), np.ones(3)]


class Handed:
    def __init__(self) -> None:
        self.held = {"W": np.zeros((2, 3))}

    def parameters(self) -> dict[str, Any]:
        return self.held


def test_parameters_are_found_where_people_keep_them() -> None:
    for thing in (Kept(), Listed()):
        found = slots.slots(thing, {})
        assert len(found) == 2
        for slot in found:
            assert slot.gradient is not None
            assert slot.gradient().all()
            slot.set(slot.get() + 2)
            assert (slot.get() == 2).all()
    (slot,) = slots.slots(Handed(), {})
    assert slot.gradient is None
    dense = own.Dense(2, 3)
    assert slots.slots(dense, {}) == []  # before a pass there are no gradients
    dense.backward(dense.forward(np.ones((4, 2))))
    assert [slot.name for slot in slots.slots(dense, {"same": dense})] == ["W", "b"]
    first = slots.slots(dense, {})[0]
    dense.W.flags.writeable = False
    first.set(np.ones((2, 3)))
    assert (dense.W == 1).all()
    assert slots.needed(max) == 1  # which cannot be told
    kept = Kept()
    kept.params["W"].flags.writeable = False
    slots.slots(kept, {})[0].set(np.ones((2, 3)))
    assert (kept.params["W"] == 1).all()
    bare = Listed()
    bare.grads = []
    assert [slot.gradient for slot in slots.slots(bare, {})] == [None, None]


def test_parameters_that_cannot_be_set_are_said() -> None:
    def refuse(value: Any) -> None:
        raise TypeError(f"no {value.shape}")

    with pytest.raises(Misbehaviour, match="does not let its parameter W be set"):
        slots.Slot("W", lambda: np.zeros(2), refuse, live=False).set(np.ones(2))
    with pytest.raises(Misbehaviour, match="does not keep what its parameter W is set to"):
        slots.Slot("W", lambda: np.zeros(2), lambda _: None, live=False).set(np.ones(2))


def test_layers_that_cannot_be_watched_are_left_alone() -> None:
    class Slotted:
        __slots__ = ()

        def forward(self, x: Any) -> Any:
            return x

        def backward(self, dy: Any) -> Any:
            return dy

    class Patched(own.Relu):
        def __init__(self) -> None:
            self.forward = super().forward  # type: ignore[method-assign]

    seen = recording.Observation()
    layers = {"s": Slotted(), "p": Patched()}
    with recording.recorded(layers, seen, pairs=False):
        x = layers["p"].forward(layers["s"].forward(np.ones((2, 2))))
        layers["p"].forward(x)  # more often than it has names
        layers["p"].backward(x)
        layers["p"].backward(x)
    assert set(seen.tensors) == {"output/p", "dx/p"}
    assert seen.order == ["p"]
    assert "forward" in vars(layers["p"])
    assert "backward" not in vars(layers["p"])


def test_growth_is_told_of_equal_shapes_only() -> None:
    assert behaviour.grows(np.ones(2), np.full(2, 3.0), np.full(2, 2.0))
    assert not behaviour.grows(np.ones(2), np.ones(2), np.ones(3))
    assert find_network("linear") is None


def test_a_network_that_shows_nothing_is_judged_by_its_output() -> None:
    class Alone:
        def forward(self, x: Any) -> Any:
            return np.tanh(x), x

        def backward(self, dy: Any, x: Any) -> Any:
            return dy * (1 - np.tanh(x) ** 2), {}

    verdict = oracle.compare(Alone(), nn.Sequential(nn.Tanh()), X.numpy())
    assert verdict.passed, str(verdict)
    assert next(row for row in verdict.rows if row.slug == "output of the network").cells["forward"].passed


class Unruled:
    """GELU by hand; `off` is what its forward is multiplied by."""

    def __init__(self, off: float) -> None:
        self.off = off

    def forward(self, x):
        self.x = x
        return (self.off * x * self._share(x)).astype(x.dtype)

    def backward(self, dy):
        bell = np.exp(-self.x * self.x / 2) / np.sqrt(2 * np.pi)
        return (dy * (self._share(self.x) + self.x * bell)).astype(dy.dtype)

    @staticmethod
    def _share(x):
        return 0.5 * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_layers_without_a_rule_are_judged_as_strictly_in_either_precision(dtype, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(6, 5)).astype(dtype)
    for off, right in ((1.0, True), (1.001, False)):
        verdict = oracle.compare(Unruled(off), nn.Sequential(nn.GELU()), x, seed=seed)
        assert verdict.passed == right, str(verdict)


class Nonsense:
    """Wrong in everything."""

    def __init__(self):
        self.params = {"W1": np.zeros((4, 6)), "W2": np.zeros((6, 3))}

    def loss(self, x, y=None):
        scores = np.maximum(x @ self.params["W1"], 0) @ self.params["W2"]
        return 3 * scores + 1 if y is None else (7.0, {name: 0 * value for name, value in self.params.items()})


def test_blank_samples_are_no_kink_and_what_is_all_at_kinks_is_no_pass(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    twin = nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 3, bias=False))
    x = rng.normal(size=(5, 4))
    x[:2] = 0
    verdict = oracle.compare(Nonsense(), twin, x, rng.integers(0, 3, 5), seed=seed)
    assert not any("kink" in remark for remark in verdict.remarks)
    assert any(finding.tensor == "forward" for finding in verdict.findings)
    monkeypatch.setattr("torchref.oracle.networks.sizes.near_kink", lambda *_: True)
    unjudged = oracle.compare(Nonsense(), twin, x, rng.integers(0, 3, 5), seed=seed)
    assert not unjudged.passed
    assert "could not be judged" in unjudged.findings[-1].what


def test_batch_normalisation_stays_in_its_mode(seed):
    class Normalised:
        def forward(self, x):
            self.spread = np.sqrt(x.var(0) + 1e-5)
            self.y = (x - x.mean(0)) / self.spread
            return self.y.copy()

        def backward(self, dy):
            return (dy - dy.mean(0) - self.y * (dy * self.y).mean(0)) / self.spread

    x = np.random.default_rng(seed).normal(size=(6, 4)) + 2
    norm = nn.BatchNorm1d(4, affine=False).double()
    assert oracle.compare(Normalised(), nn.Sequential(norm.train()), x, seed=seed).passed
    assert norm.training
    assert not oracle.compare(Normalised(), nn.Sequential(norm.eval()), x, seed=seed).passed


def test_a_single_layer_with_a_mask_is_no_network():
    assert not hasattr(oracle.ThinnedCandidate(scratch.Dropout(), np.ones((2, 3), bool)), "layers")
