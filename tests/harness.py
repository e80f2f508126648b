"""The shared harness: every row of the table through the oracle, for one wing and one seed.

`reports` is a function of the wing it judges, so that the same code holds `scratch` itself, a mutated copy of it
(test_mutants.py) and 200 random seeds (test_harness.py) to the same criteria.
"""

import math
import zlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch

import torchref
from tests import cases
from tests.alone import check_gradients_alone, check_prediction, same
from tests.standardizing import standardizer_reports
from tests.starting import STARTS, StartCase, start_reports
from torchref import oracle
from torchref.oracle import criteria
from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Comparison, Report
from torchref.oracle.criteria import beside
from torchref.oracle.drawing import check_drawn
from torchref.oracle.inputs import LAYOUTS, NON_FINITE, SPECIAL, plain_kernels
from torchref.oracle.layer import LINEAR, absent_links, gradients, judge, observe
from torchref.oracle.linear import SELECTION, absolute_pass
from torchref.oracle.loss import loss_gradient
from torchref.oracle.network import find, force, leaves
from torchref.oracle.network import observe as observe_network
from torchref.oracle.truth import ELEMENTWISE

DTYPES = ("float64", "float32")
TORCH_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def generator(seed: int, *words: str) -> np.random.Generator:
    """A generator of its own for each seed and case, so that adding a case leaves the others' numbers alone."""
    return np.random.default_rng([seed, *(zlib.crc32(word.encode()) for word in words)])


def normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, scale: float = 1.0) -> np.ndarray:
    """Random normal numbers; never all ones, which hide errors."""
    return (scale * rng.normal(size=shape)).astype(dtype)


def integers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Small whole numbers, whose sums and products no rounding touches."""
    return rng.integers(-4, 5, shape).astype(dtype)


def pair(
    make: cases.Make, wing: ModuleType, dtype: str, fill: Callable[[tuple[int, ...]], np.ndarray]
) -> tuple[Any, Any]:
    """The candidate and its twin with the same parameters, each entry (biases too) set by `fill`."""
    candidate, twin = make(wing, np.dtype(dtype)), make(torchref, TORCH_DTYPES[dtype])
    state = {name: fill(tuple(tensor.shape)) for name, tensor in twin.state_dict().items()}
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    candidate.load_state_dict(state)
    return candidate, twin


def layer_reports(case: cases.LayerCase, wing: ModuleType, dtype: str, seed: int) -> Iterator[Report]:
    """A layer: criteria 1 to 3 and 5 on every shape, in odd layouts, on special values and on NaN and infinity."""
    title = f"{case.name} {case.label} {dtype}".replace("  ", " ")
    rng = generator(seed, case.name, case.label, dtype)
    candidate, twin = pair(case.make, wing, dtype, lambda shape: normal(rng, shape, dtype))
    yield oracle.check_state(f"{title}, state", candidate, twin)

    def output_shape(x: np.ndarray) -> tuple[int, ...]:
        with torch.no_grad():
            return tuple(twin(torch.from_numpy(np.array(x))).shape)

    def check(label: str, x: np.ndarray, dy: np.ndarray, *, integers: bool = False) -> Report:
        mask = draw_mask(rng, x.shape) if case.masked else None
        return oracle.check_layer(f"{title}, {label}", *thin(candidate, twin, mask), x, dy, integers=integers)

    def check_strange(label: str, x: np.ndarray, dy: np.ndarray) -> Report:
        mask = draw_mask(rng, x.shape) if case.masked else None
        with np.errstate(all="ignore"):
            return check_non_finite(f"{title}, {label}", *thin(candidate, twin, mask), x, dy)

    for shape in case.shapes:
        x = normal(rng, shape, dtype)
        dy = normal(rng, output_shape(x), dtype)
        yield check(f"x {shape}", x, dy)
        foretold = same("shape foretold", (len(x), *candidate.output_shape(shape[1:])), dy.shape)
        yield Report(f"{title}, x {shape}, alone", (foretold, *check_gradients_alone(candidate, x, dy)))
    first = case.shapes[0]
    for name, layout in LAYOUTS.items():
        x = layout(normal(rng, first, dtype))
        dy = layout(normal(rng, output_shape(x), dtype))
        yield check(name, x, dy)

    def row(values: tuple[float, ...]) -> np.ndarray:
        filled = normal(rng, first, dtype)
        filled.ravel()[: len(values)] = np.array(values)[: filled.size]
        return filled

    x = row(SPECIAL)
    yield check("special values", x, normal(rng, output_shape(x), dtype))
    x = row(NON_FINITE)
    yield check_strange("NaN and infinity", x, normal(rng, output_shape(x), dtype))
    x = normal(rng, (8, *first[1:]), dtype)
    dy = normal(rng, output_shape(x), dtype)
    dy.ravel()[::2] = np.resize(np.array(NON_FINITE, dtype), dy.ravel()[::2].shape)
    yield check_strange("NaN and infinity arriving", x, dy)
    if case.values:
        x = rng.choice(case.values, first).astype(dtype)
        yield check_strange(f"of {case.values}", x, normal(rng, output_shape(x), dtype))
    if is_whole(twin, masked=case.masked):
        candidate, twin = pair(case.make, wing, dtype, lambda shape: integers(rng, shape, dtype))
        x = integers(rng, first, dtype)
        yield check("integers", x, integers(rng, output_shape(x), dtype), integers=True)
    if case.masked:
        yield check_mask(f"{title}, drawn", candidate, twin, dtype, rng)


def draw_mask(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Which units stay, about every second."""
    return rng.random(shape) < 0.5


def thin(candidate: Any, twin: torch.nn.Module, masks: Any) -> tuple[Any, Any]:
    """Both with the same units dropped; with none dropped if there are no masks."""
    if masks is None:
        return candidate, twin
    return oracle.ThinnedCandidate(candidate, masks), oracle.thinned(twin, masks)


def is_whole(twin: torch.nn.Module, *, masked: bool) -> bool:
    """Whether no rounding touches small integers in this layer: it divides by nothing but powers of two."""
    if isinstance(twin, torchref.AvgPool2d):
        return math.log2(math.prod(twin.kernel_size)).is_integer()
    if isinstance(twin, torchref.Dropout) and masked:
        return math.log2(1 - twin.p).is_integer()
    return isinstance(twin, LINEAR + SELECTION + (torchref.MaxPool2d,))


def check_mask(title: str, candidate: Any, twin: Any, dtype: str, rng: np.random.Generator) -> Report:
    """A generator draws the mask (drawing.py), and the mask that the cache has is the one that was used."""
    x = np.ones((6, 5, 9, 10), dtype)
    y, cache = candidate.forward(x, rng)
    used = Comparison("the mask is the one that was used", "5 form", np.inf if ((y != 0) != cache.mask).any() else 0.0)

    def draw(generator: np.random.Generator) -> dict[str, np.ndarray]:
        return {"": candidate.forward(x, generator)[1].mask}

    drawn = check_drawn(title, draw, np.random.default_rng, {"": twin.p}, int(rng.integers(2**32)))
    return Report(title, (used, *drawn.comparisons))


def check_masks(title: str, candidate: Any, twin: Any, case: cases.NetworkCase, dtype: str, seed: int) -> Report:
    """One generator draws the masks of all layers in a network (drawing.py), in a traced pass as in another."""
    x = normal(np.random.default_rng(seed), (60, *case.inputs), dtype)

    def draw(generator: np.random.Generator) -> dict[str, np.ndarray]:
        return dict(candidate.forward(x, generator)[1].masks)

    p = {name: twin.get_submodule(name).p for name in twin.dropouts()}
    drawn = check_drawn(title, draw, np.random.default_rng, p, seed)
    *_, traced = candidate.trace(x, np.random.default_rng(seed)).values()
    same = np.array_equal(traced, candidate.forward(x, np.random.default_rng(seed))[0])
    return Report(title, (*drawn.comparisons, Comparison("traced output", "5 form", 0.0 if same else np.inf)))


def check_non_finite(title: str, candidate: Any, twin: Any, x: np.ndarray, dy: np.ndarray) -> Report:
    """NaN and ±∞ come out where they do in torch, forward and backward, and what is finite beside them agrees."""
    with plain_kernels():
        theirs = gradients(twin, to_tensor(x), to_tensor(dy))
        mine = observe(candidate, x, dy)
        if isinstance(twin, LINEAR + SELECTION + (torchref.MaxPool2d,)):
            # Not criterion 6: NaN times the table's 0 is NaN in both.
            return Report(title, tuple(judge(twin, x, dy, mine, theirs)))
    return Report(title, tuple(beside(name, mine[name], tensor) for name, tensor in theirs.items()))


def network_reports(case: cases.NetworkCase, wing: ModuleType, dtype: str, seed: int) -> Iterator[Report]:
    """A network with its loss: criteria 4, 5 and 7, and three steps of training."""
    title = f"{case.name} {case.label} {dtype}"
    rng = generator(seed, case.name, case.label, dtype)
    loss, twin_loss = case.loss(wing), case.loss(torchref)
    for redrawn in range(100):
        candidate, twin = pair(case.make, wing, dtype, lambda shape: normal(rng, shape, dtype, case.scale))
        x = normal(rng, (case.samples, *case.inputs), dtype)
        target = draw_target(rng, (case.samples, case.outputs), dtype, dense=case.dense_target)
        masks = candidate.forward(x, rng)[1].masks if twin.dropouts() else None
        if not any(oracle.run(thin(candidate, twin, m)[1], twin_loss, x, target).kinked for m in (None, masks)):
            break
        print(f"{title}: draw {redrawn} has a pre-activation or two entries of a window at a kink, drawn again")
    else:
        raise AssertionError(f"{title}: no draw without a kink")
    yield oracle.check_state(f"{title}, state", candidate, twin)
    dy = normal(rng, (case.samples, case.outputs), dtype)
    for label, drops in ((title, None), (f"{title}, units dropped", masks))[: 1 if masks is None else 2]:
        net, reference = thin(candidate, twin, drops)
        yield oracle.check_network(label, net, loss, reference, twin_loss, x, target)
        yield from layer_by_layer(label, net, reference, twin_loss, x, target)
        if case.own_size:
            found, mine = oracle.run(reference, twin_loss, x, target), observe_network(net, loss, x, target)
            size = own_sizes(reference, found)
            verdicts = (criteria.own_size(name, value, found.tensors[name], size[name]) for name, value in mine.items())
            yield Report(f"{label}, by its own size", tuple(verdicts))
        yield Report(f"{label}, purity", tuple(oracle.check_purity(net, x, dy)))
        alone = check_gradients_alone(candidate, x, dy, *([] if drops is None else [drops]))
        yield Report(f"{label}, alone", (*alone, *check_prediction(candidate, x)))
        if dtype == "float64" and not has_threshold(twin):
            some = {"entries": case.entries, "rng": rng, "kinks": has_kinks(twin)}
            yield oracle.check_gradients(f"{label}, finite differences", net, loss, x, target, **some)
    if twin.dropouts():
        yield check_masks(f"{title}, drawn", candidate, twin, case, dtype, seed)
    yield check_training(f"{title}, training", candidate, loss, twin, twin_loss, wing, x, target, rng)


def layer_by_layer(
    title: str, net: Any, twin: Any, twin_loss: Any, x: np.ndarray, target: np.ndarray
) -> Iterator[Report]:
    """Each layer of a network on the oracle's exact input and upstream gradient: criteria 1, 2 and 6.

    S of a network grows with its depth: in float32 criterion 4 says next to nothing about LeNet-5's gradients. What
    each layer adds is small. Elementwise activations have their own rows: their truth takes seconds.
    """
    seen = oracle.run(twin, twin_loss, x, target).seen
    for name, layer in leaves(twin).items():
        if not isinstance(layer, ELEMENTWISE):
            yield Report(f"{title}, {name} alone", tuple(force(find(net, name), layer, seen[name])))


def own_sizes(twin: torch.nn.Module, found: oracle.Pass) -> dict[str, torch.Tensor]:
    """|t| of every tensor of a pass; of a sum, Σ of its terms' absolute values: what cancels in it has been rounded."""
    sizes = {name: tensor.abs() for name, tensor in found.tensors.items()}
    for name, layer in leaves(twin).items():
        if isinstance(layer, LINEAR):
            seen = found.seen[name]
            s = absolute_pass(layer, seen.x, seen.dy)
            sizes |= {f"output/{name}": s["y"], f"dx/{name}": s["dx"]}
            sizes |= {f"grad/{name}.{key}": s[f"grad {key}"] for key, _ in layer.named_parameters()}
    return sizes


def has_threshold(twin: torch.nn.Module) -> bool:
    """Whether finite differences would see steps instead of slopes."""
    return any(isinstance(layer, torchref.Threshold) for layer in twin.modules())


def has_kinks(twin: torch.nn.Module) -> bool:
    """Whether a step of finite differences may bend a unit's slope."""
    return any(isinstance(layer, torchref.ReLU | torchref.MaxPool2d) for layer in twin.modules())


def check_training(
    title: str,
    candidate: Any,
    loss: Any,
    twin: Any,
    twin_loss: Any,
    wing: ModuleType,
    x: np.ndarray,
    target: np.ndarray,
    rng: np.random.Generator,
) -> Report:
    """Three steps, each side with its own SGD; before each, criterion 4 for the twin on the candidate's weights.

    The free-running parameters are criterion 8's business (test_networks.py); here it is the loop itself:
    a cache or a gradient kept over a step shows from the second step on. Where units are dropped, the candidate draws
    them in each step, and the twin drops the same.
    """
    optimizer = wing.SGD(0.01, 0.9, 1e-3)
    twin_optimizer = torchref.SGD(0.01, 0.9, 1e-3)
    reports = []
    for step in range(1, 4):
        twin.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in candidate.state_dict().items()})
        output, cache = candidate.forward(x, *([rng] if twin.dropouts() else []))
        truth = oracle.run(oracle.thinned(twin, cache.masks or None), twin_loss, x, target)
        if truth.kinked:
            break
        _, loss_cache = loss.forward(output, target)
        _, grads = candidate.backward(loss.backward(loss_cache), cache)
        mine = {f"grad/{name}": grad for name, grad in grads.items()}
        reports.append(oracle.judge_pass(truth, mine, f"step {step}"))
        reports.append(Report(f"step {step}", tuple(absent_links(twin, "grad/", mine))))
        before = {k: v.copy() for k, v in candidate.parameters().items()}
        optimizer.step(candidate.parameters(), grads)
        twin_optimizer.step(dict(twin.named_parameters()), {k: torch.from_numpy(np.array(grads[k])) for k in before})
        comparisons = tuple(
            oracle.compare_arrays(
                f"step of {name}",
                candidate.parameters()[name],
                tensor,
                4 * np.finfo(x.dtype).eps * (np.abs(before[name]) + np.abs(tensor.detach().numpy() - before[name])),
                "2 linear operation",
            )
            for name, tensor in twin.named_parameters()
        )
        reports.append(Report(f"step {step}", comparisons))
    return oracle.merge(title, reports)


def draw_target(rng: np.random.Generator, shape: tuple[int, int], dtype: str, *, dense: bool) -> np.ndarray:
    """Dense targets, or labels."""
    return normal(rng, shape, dtype) if dense else rng.integers(0, shape[1], shape[0])


def loss_reports(case: cases.LossCase, wing: ModuleType, dtype: str, seed: int) -> Iterator[Report]:
    """A loss on every shape, on labels of a narrow integer type, in odd layouts, on NaN and infinity."""
    title = f"{case.name} {case.label} {dtype}"
    rng = generator(seed, case.name, case.label, dtype)
    loss, twin = case.make(wing), case.make(torchref)
    for shape in case.shapes:
        output = normal(rng, shape, dtype, case.scale)
        target = draw_target(rng, shape, dtype, dense=case.dense_target)
        yield oracle.check_loss(f"{title}, output {shape}", loss, twin, output, target)
        if not case.dense_target and shape[1] < 256:
            yield oracle.check_loss(f"{title}, uint8 labels", loss, twin, output, target.astype(np.uint8))
    first = case.shapes[0]
    for name, layout in LAYOUTS.items():
        output = layout(normal(rng, first, dtype, case.scale))
        target = draw_target(rng, first, dtype, dense=case.dense_target)
        target = layout(target) if case.dense_target else target
        yield oracle.check_loss(f"{title}, {name}", loss, twin, output, target)
    for special in NON_FINITE[:3]:
        output = normal(rng, first, dtype)
        output[1, 1] = output[3, 2] = special
        target = draw_target(rng, first, dtype, dense=case.dense_target)
        if not case.dense_target:
            target[1], target[3] = 1, 0  # once the label itself, once another
        with np.errstate(all="ignore"):
            value, cache = loss.forward(output, target)
            theirs = loss_gradient(twin, to_tensor(output), to_tensor(target))
            pair = (beside("loss", value, theirs.value), beside("doutput", loss.backward(cache), theirs.doutput))
        yield Report(f"{title}, {special}", pair)


def penalty_reports(case: cases.LossCase, wing: ModuleType, dtype: str, seed: int) -> Iterator[Report]:
    """A penalty on named parameters, of which it must pick the weights."""
    rng = generator(seed, case.name, case.label, dtype)
    shapes = {"fc1.weight": (5, 3), "fc1.bias": (5,), "weight": (2, 3, 4), "fc2.weight_like": (4,), "bias": (1,)}
    params = {name: normal(rng, shape, dtype) for name, shape in shapes.items()}
    yield oracle.check_penalty(f"{case.name} {case.label} {dtype}", case.make(wing), case.make(torchref), params)


def optimizer_reports(case: cases.OptimizerCase, wing: ModuleType, dtype: str, seed: int) -> Iterator[Report]:
    """An optimiser over six steps, and once more from a state handed over in the middle."""
    rng = generator(seed, case.name, case.label, dtype)
    # What decays is told by the name, not by the number of axes.
    shapes = {"fc1.weight": (5, 3), "fc1.bias": (5,), "s2.weight": (4,), "odd.bias": (2, 3)}
    if case.large:
        shapes["fc2.weight"] = (3, 11_000)  # two rows are moved at a time, and then the third
    params = {name: normal(rng, shape, dtype) for name, shape in shapes.items()}
    layouts = [np.asarray, np.asfortranarray, *LAYOUTS.values()]
    grads = [{name: layout(normal(rng, shape, dtype)) for name, shape in shapes.items()} for layout in layouts[:6]]
    title = f"{case.name} {case.label} {dtype}"
    optimizer, twin = case.make(wing), case.make(torchref)
    yield oracle.check_sgd(title, optimizer, twin, params, grads)
    successor, twin_successor = case.make(wing), case.make(torchref)
    state = twin.state_dict()
    successor.load_state_dict({name: tensor.numpy() for name, tensor in state.items()})
    twin_successor.load_state_dict(state)
    yield oracle.check_sgd(f"{title}, from a state", successor, twin_successor, params, grads[:2])


RUNNERS: tuple[tuple[tuple[Any, ...], Callable[..., Iterator[Report]]], ...] = (
    (cases.LAYERS, layer_reports),
    (STARTS, start_reports),
    (cases.LOSSES, loss_reports),
    (cases.PENALTIES, penalty_reports),
    (cases.OPTIMIZERS, optimizer_reports),
    (cases.STANDARDIZERS, standardizer_reports),
    (cases.NETWORKS, network_reports),
)


def rows() -> Iterator[tuple[Any, Callable[..., Iterator[Report]]]]:
    """Every row of the table with what runs it."""
    for table, runner in RUNNERS:
        for case in table:
            yield case, runner


def of_maps(case: Any) -> bool:
    """Whether a row is about maps or signals, or about anything else that takes longer than vectors."""
    if isinstance(case, StartCase | cases.StandardizerCase):
        return True
    shape = case.shapes[0][1:] if isinstance(case, cases.LayerCase) else getattr(case, "inputs", ())
    return len(shape) > 1


def reports(wing: ModuleType, seed: int, dtypes: tuple[str, ...] = DTYPES, *, turns: int = 1) -> Iterator[Report]:
    """Every report on a wing for one seed, in both precisions.

    With `turns`, the rows take turns: each seed runs one in so many of those that take longer, whole and in one
    precision, and every second of the others.
    """
    turn = {True: seed, False: seed}
    for dtype in dtypes:
        for case, runner in rows():
            slow = of_maps(case)
            turn[slow] += 1
            if turn[slow] % (turns if slow else min(turns, 2)) == 0:
                yield from runner(case, wing, dtype, seed)
