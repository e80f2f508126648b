"""Both wings draw their masks alike, if not the same: with probability p, each unit its own, all by one generator."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import scratch
import torchref
from torchref.oracle.drawing import check_drawn
from torchref.oracle.network import leaves

SHAPE = (20, 3, 5, 6)
FAR_FROM_HALF = 0.2


def units(wing: ModuleType, shape: tuple[int, ...] = SHAPE) -> Any:
    """Random units, none of them 0."""
    x = np.random.default_rng(3).uniform(0.5, 1.0, shape).astype(np.float32)
    return x if wing is scratch else torch.from_numpy(x)


def generator(wing: ModuleType) -> Any:
    return np.random.default_rng if wing is scratch else torch.Generator().manual_seed


def draw(net: Any, x: Any, rng: Any) -> dict[str, np.ndarray]:
    """The masks by layer; torch's, which leave no cache behind, from what goes into each layer and what comes out."""
    if isinstance(net, scratch.Module):
        _, cache = net.forward(x, rng)
        return {"": cache.mask} if isinstance(net, scratch.Dropout) else dict(cache.masks)
    masks = {}

    def watch(name: str) -> Any:
        def note(_: Any, given: tuple[Any, ...], y: torch.Tensor) -> None:
            assert (given[0] != 0).all(), "a unit of 0 does not show whether it is dropped"
            masks[name] = (y != 0).numpy()

        return note

    dropouts = {name: layer for name, layer in leaves(net).items() if isinstance(layer, torchref.Dropout)}
    hooks = [layer.register_forward_hook(watch(name)) for name, layer in dropouts.items()]
    with torch.no_grad():
        net(x, rng)
    for hook in hooks:
        hook.remove()
    return masks


def network(wing: ModuleType) -> Any:
    """Layers and a network within that drop units; between them, logistic units, which leave no 0."""
    p = FAR_FROM_HALF
    within = {"drop": wing.Dropout(p), "squash": wing.Logistic(), "again": wing.Dropout(p)}
    layers = {
        "first": wing.Dropout(p),
        "squash": wing.Logistic(),
        "second": wing.Dropout(p),
        "squash2": wing.Logistic(),
        "block": wing.Sequential(within),
        "squash3": wing.Logistic(),
        "twin": wing.Sequential({"drop": wing.Dropout(p)}),
    }
    return wing.Sequential(layers)


@pytest.mark.parametrize("wing", [scratch, torchref])
def test_a_generator_drops_units_with_probability_p(wing: ModuleType, seed: int) -> None:
    for p in (FAR_FROM_HALF, 0.9, 0.0):
        layer, x = wing.Dropout(p), units(wing)
        check_drawn(f"p={p}", lambda rng: draw(layer, x, rng), generator(wing), {"": p}, seed).require()  # noqa: B023


@pytest.mark.parametrize("wing", [scratch, torchref])
def test_one_generator_draws_for_a_network_and_those_within_it(wing: ModuleType, seed: int) -> None:
    net, x = network(wing), units(wing)
    names = ("first", "second", "block.drop", "block.again", "twin.drop")
    assert net.dropouts() == names
    p = dict.fromkeys(names, FAR_FROM_HALF)
    check_drawn("nested", lambda rng: draw(net, x, rng), generator(wing), p, seed).require()


@pytest.mark.parametrize("wing", [scratch, torchref])
def test_one_generator_draws_for_a_perceptron(wing: ModuleType, seed: int) -> None:
    net, x = wing.MLP((6, 8, 8, 3), wing.Logistic, dropout=FAR_FROM_HALF), units(wing, (90, 6))
    p = {"d1": FAR_FROM_HALF, "d2": FAR_FROM_HALF}
    check_drawn("MLP", lambda rng: draw(net, x, rng), generator(wing), p, seed).require()


@pytest.mark.parametrize("wing", [scratch, torchref])
def test_a_traced_pass_drops_the_same_units(wing: ModuleType) -> None:
    net, x, new = network(wing), units(wing), generator(wing)
    *_, traced = net.trace(x, new(5)).values()
    y = net.forward(x, new(5))
    np.testing.assert_array_equal(traced, y[0] if wing is scratch else y)


def test_each_fault_of_a_draw_is_seen() -> None:
    shape, p = (30, 4, 5), {"a": 0.3, "b": 0.3}

    def found(draw: Any, p: Any = p) -> set[str]:
        return {c.tensor for c in check_drawn("", draw, np.random.default_rng, p, 1).failures}

    def both(draw: Any) -> set[str]:
        return found(lambda rng: {name: draw(rng) for name in p})

    assert both(lambda rng: rng.random(shape) >= 0.3) == set()
    assert both(lambda rng: rng.random(shape) < 0.3) == {f"mask {name} keeps 1 − p of the units" for name in p}
    assert {f"mask {name} is the seed's" for name in p} <= both(lambda _: np.random.default_rng().random(shape) >= 0.3)
    assert found(lambda rng: {"a": rng.random(shape) >= 0.3}) == {"masks are drawn for each layer"}
    for axis in range(3):
        less = (*shape[:axis], 1, *shape[axis + 1 :])
        faults = both(lambda rng: np.broadcast_to(rng.random(less) >= 0.3, shape))  # noqa: B023
        assert {f"mask {name} differs along axis {axis}" for name in p} <= faults
    fixed = both(lambda _: np.random.default_rng(0).random(shape) >= 0.3)
    assert fixed == {"mask a is another each time", "mask b is another each time", "masks a and b are two"}
    assert "masks a and b are two" in found(
        lambda _: {name: np.random.default_rng(0).random(shape) >= q for name, q in {"a": 0.3, "b": 0.4}.items()},
        {"a": 0.3, "b": 0.4},
    )
