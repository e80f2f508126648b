"""Measure what the criteria's constants stand on: `python -m tests.measure`.

Prints, per criterion, the worst error of correct code in the criterion's own unit (eps·S, eps·C, eps·max S) over many
random draws, beside the constant. docs/equivalence.md keeps the figures.
"""

import argparse
import copy
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import torch

import scratch
import torchref
from tests import cases, handmade, harness, random_maps, test_random_maps
from tests.test_networks import ACTIVATIONS, build
from torchref import oracle
from torchref.oracle import criteria, measured, truth
from torchref.oracle.network import observe


def draw(seed: int) -> dict[str, Any]:
    """A random perceptron of 1 to 5 layers of 1 to 12 units, weights from tiny to saturating, either loss and dtype."""
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(1, 6))
    return {
        "sizes": [int(n) for n in rng.integers(1, 13, depth + 1)],
        "activations": [str(a) for a in rng.choice(sorted(ACTIVATIONS), depth - 1)],
        "loss": str(rng.choice(["CrossEntropy", "SquaredError"])),
        "reduction": str(rng.choice(["mean", "sum"])),
        "samples": int(rng.integers(1, 10)),
        "weight_scale": float(10 ** rng.uniform(-1, 0.7)),
        "input_scale": float(10 ** rng.uniform(-1, 1)),
        "dtype": str(rng.choice(harness.DTYPES)),
        "seed": seed,
    }


def draw_wide(seed: int) -> dict[str, Any]:
    """A random perceptron of the size people train: long sums, over inputs of which most are the same number."""
    rng = np.random.default_rng(seed)
    return draw(seed) | {
        "sizes": [784, *(int(n) for n in rng.integers(50, 1000, int(rng.integers(1, 4)))), 10],
        "activations": [],
        "activation": str(rng.choice(["Tanh", "Tanh.lecun", "Logistic", "Softmax"])),
        "samples": 64,
        "weight_scale": float(10 ** rng.uniform(-2, -0.5)),
        "input_scale": 1.0,
    }


def measure_networks(what: str, draws: Iterable[dict[str, Any]]) -> None:
    """Criterion 4, and what it would take if errors were scaled by the result instead of by S."""
    worst: dict[str, float] = defaultdict(float)
    naive = 0.0
    tensors = count = 0
    for count, drawn in enumerate(draws, start=1):
        if kind := drawn.pop("activation", None):
            drawn["activations"] = [kind] * (len(drawn["sizes"]) - 2)
        net, loss, twin, twin_loss, x, labels = build(drawn)
        if len(x) == 64:
            # An image: four pixels of five are background, the same number everywhere.
            x = np.where(np.random.default_rng(count).random(x.shape) < 0.8, x.dtype.type(-0.1), np.abs(x))
        truth = oracle.run(twin, twin_loss, x, labels)
        mine = observe(net, loss, x, labels)
        for comparison in oracle.judge_pass(truth, mine, "").comparisons:
            kind = comparison.tensor.split("/")[0]
            worst[kind] = max(worst[kind], comparison.ratio * criteria.NETWORK)
            tensors += 1
        for name, tensor in truth.tensors.items():
            if name in mine:
                naive = max(naive, criteria.relative_distance(mine[name], tensor) / criteria.unit(tensor))
    print(f"criterion 4: {tensors} tensors of {count} {what} perceptrons, constant {criteria.NETWORK} eps·max S")
    for kind, value in worst.items():
        print(f"  {kind:8} worst {value:.2f} eps·max S")
    print(f"  scaled by max|t| instead of max S, the worst would be {naive:.3g} eps")


def measure_maps(count: int) -> None:
    """Criteria 1, 2, 4 and 6 over random convolutional networks."""
    shares = Shares()
    judged = 0
    for seed in range(count):
        with redirect_stdout(None):  # what is drawn again
            found = list(test_random_maps.reports(random_maps.drawing(random_maps.Rolled(seed))))
        judged += bool(found)
        for report in found:
            # "…, 3_conv2d alone": the layer's kind
            shares.add(report, report.case.split("_")[-1].removesuffix(" alone") * report.case.endswith(" alone"))
    print(f"{judged} random convolutional networks judged, {count - judged} at a kink in 20 draws")
    shares.show()


def measure_lenets(count: int) -> None:
    """The same over LeNet-5 as people train it: batches of 64 images that are mostly background, long sums."""
    shares = Shares()
    growth: dict[str, list[float]] = defaultdict(list)
    for seed in range(count):
        rng = np.random.default_rng(seed)
        dtype = harness.DTYPES[seed % 2]
        pooling, scale = str(rng.choice(["subsample", "average"])), float(10 ** rng.uniform(-1.5, -0.5))
        net, twin = harness.pair(
            lambda w, d, pooling=pooling: w.LeNet5(pooling=pooling, dtype=d),
            scratch,
            dtype,
            lambda shape, dtype=dtype, scale=scale, rng=rng: harness.normal(rng, shape, dtype, scale),
        )
        ink = np.abs(harness.normal(rng, (64, 1, 28, 28), dtype))
        x, labels = np.where(rng.random(ink.shape) < 0.8, ink.dtype.type(-0.1), ink), rng.integers(0, 10, 64)
        loss, twin_loss = scratch.CrossEntropy(), torchref.CrossEntropy()
        shares.add(oracle.check_network("", net, loss, twin, twin_loss, x, labels))
        for report in harness.layer_by_layer("", net, twin, twin_loss, x, labels):
            shares.add(report, report.case.split(" ")[1])
        found, mine = oracle.run(twin, twin_loss, x, labels), observe(net, loss, x, labels)
        size = harness.own_sizes(twin, found)
        own = (criteria.own_size(name, value, found.tensors[name], size[name]) for name, value in mine.items())
        shares.add(oracle.Report("", tuple(own)))
        for name, s in found.magnitudes.items():
            growth[name.split("/")[0]].append(float(s.max() / size[name].max()))
    print(f"{count} LeNet-5s, batches of 64 with a background")
    shares.show()
    for kind, ratios in growth.items():
        print(f"  {kind}: max S is {np.median(ratios):.2g} times max Σ|terms| in the median, at most {max(ratios):.2g}")


class Shares:
    """The largest share of its bound by criterion and kind of tensor."""

    def __init__(self) -> None:
        self.worst: dict[str, float] = defaultdict(float)
        self.counts: dict[str, int] = defaultdict(int)

    def add(self, report: oracle.Report, kind: str = "") -> None:
        """Note the comparisons of a network, or of a layer of one kind."""
        for c in report.comparisons:
            tensor = f"{kind} {c.tensor}" if kind else c.tensor.split("/")[0]
            key = f"criterion {c.criterion}: {tensor}"
            self.counts[key] += 1
            self.worst[key] = max(self.worst[key], c.ratio)

    def show(self) -> None:
        """Print them."""
        for key, worst in sorted(self.worst.items()):
            unit = f" ({worst * criteria.NETWORK:.2f} eps·max S)" if "4 network" in key else ""
            print(f"  {key}: {self.counts[key]} tensors, worst {worst:.3f} of the bound{unit}")


def measure_rows(seeds: int) -> None:
    """Every other criterion over the whole table, as the share of the bound that was used."""
    worst: dict[str, tuple[float, str]] = {}
    counts: dict[str, int] = defaultdict(int)
    for seed in range(seeds):
        for report in harness.reports(scratch, seed):
            for c in report.comparisons:
                counts[c.criterion] += 1
                if c.ratio >= worst.get(c.criterion, (-1.0, ""))[0]:
                    worst[c.criterion] = (c.ratio, f"{report.case}, {c.tensor}")
    for criterion in sorted(worst):
        ratio, where = worst[criterion]
        print(f"criterion {criterion}: {counts[criterion]} tensors of {seeds} seeds, worst {ratio:.3f} of the bound")
        print(f"  {where}")


def measure_twin(seeds: int) -> None:
    """Criterion 3 for torch itself: both wings stand before the same truth."""
    worst = 0.0
    kinds = {kind.__name__ for kind in truth.ELEMENTWISE}
    elementwise = [case for case in cases.LAYERS if case.name in kinds]
    for seed in range(seeds):
        for case in elementwise:
            for dtype in harness.DTYPES:
                rng = harness.generator(seed, case.label, dtype)
                twin = case.make(torchref, harness.TORCH_DTYPES[dtype])
                x, dy = harness.normal(rng, (20, 5), dtype, 3.0), harness.normal(rng, (20, 5), dtype)
                theirs = oracle.layer.gradients(twin, oracle.candidate.to_tensor(x), oracle.candidate.to_tensor(dy))
                mine = {name: tensor.numpy() for name, tensor in theirs.items()}
                for comparison in oracle.layer.judge(twin, x, dy, mine, theirs):
                    worst = max(worst, comparison.ratio)
    print(f"criterion 3, torch itself: worst {worst:.3f} of the bound over {seeds} seeds")


def measure_modules(count: int) -> None:
    """Criterion 9: layers and losses by hand, and perceptrons of `scratch` whose criterion 4 is put aside."""
    worst: dict[str, float] = defaultdict(float)
    sights: list[float] = []
    tensors = kinked = judged = 0
    for seed in range(count):
        for name, module, mine, inputs, upstream in by_hand(seed):
            precision = inputs[0].dtype
            sizes = measured.measure(module, inputs, upstream, seed=seed, precision=precision)
            kinked += sizes.kinked
            judged += not sizes.kinked
            if sizes.kinked:
                continue
            theirs = measured.differentiate(module, inputs, upstream).named()
            for key, size in sizes.named().items():
                verdict = measured.judge(key, mine[key], theirs[key], size)
                tensors += 1
                worst[name] = max(worst[name], verdict.ratio * criteria.MEASURED)
                if precision == torch.float64:
                    largest = float(theirs[key].abs().max())
                    sights.append(criteria.MEASURED * criteria.unit(theirs[key]) * size / largest if largest else 0.0)
    print(f"criterion 9: {tensors} tensors of {judged} draws, constant {criteria.MEASURED} eps·D; {kinked} at a kink")
    if sights:
        seen = ", ".join(f"{100 * q:g}%: {np.quantile(sights, q):.2g}" for q in (0.5, 0.9, 0.95, 0.99))
        print(f"  in float64 an error is seen from these shares of max|t| on, by quantile: {seen}")
    for name, value in sorted(worst.items(), key=lambda pair: -pair[1]):
        print(f"  {name:20} worst {value:.2f} eps·D")


def by_hand(seed: int) -> Iterator[tuple[str, torch.nn.Module, dict[str, Any], list[torch.Tensor], Any]]:
    """Correct results of many modules on one draw each: the module, the results, its inputs and what arrives."""
    rng = np.random.default_rng(seed)
    dtype = harness.DTYPES[seed % 2]
    scale, shift = float(10 ** rng.uniform(-1, 0.5)), float(rng.choice([0.0, 0.0, 3.0]))

    def x_of(shape: tuple[int, ...]) -> np.ndarray:
        return (scale * rng.normal(size=shape) + shift).astype(dtype)

    def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
        return [oracle.candidate.to_tensor(array) for array in arrays]

    for name, (like, made, (samples, *rest)) in handmade.LAYERS.items():
        module = copy.deepcopy(like) if isinstance(like, torch.nn.Module) else measured.Function(like)
        module.to(getattr(torch, dtype))
        state = {key: harness.normal(rng, tuple(p.shape), dtype) for key, p in module.named_parameters()}
        module.load_state_dict({key: torch.from_numpy(array) for key, array in state.items()}, strict=False)
        layer = made()
        layer.load_state_dict(state)
        x = x_of((samples + int(rng.integers(0, 60)), *rest))
        y, cache = layer.forward(x)
        dy = harness.normal(rng, y.shape, dtype)
        dx, grads = layer.backward(dy, cache)
        mine = {"y": y, "dx": dx} | {f"grad {key}": grads[key] for key in state}
        yield name, module, mine, tensors(x), tensors(dy)[0]
    for name, (like, loss) in handmade.LOSSES.items():
        module = copy.deepcopy(like) if isinstance(like, torch.nn.Module) else measured.Function(like)
        module.to(getattr(torch, dtype))
        output, target = (
            x_of((6, 4)),
            rng.integers(0, 4, 6) if isinstance(like, torch.nn.CrossEntropyLoss) else x_of((6, 4)),
        )
        value, cache = loss.forward(output, target)
        yield name, module, {"y": value, "dx": loss.backward(cache)}, tensors(output, target), None
    net, _, twin, _, x, _ = build(draw(seed) | {"dtype": dtype})
    y, cache = net.forward(x)
    dy = harness.normal(rng, y.shape, dtype)
    dx, grads = net.backward(dy, cache)
    mine = {"y": y, "dx": dx} | {f"grad {key}": grad for key, grad in grads.items()}
    yield "perceptron", twin, mine, tensors(x), tensors(dy)[0]


def main() -> None:
    """Run the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=6000, help="random perceptrons for criterion 4")
    parser.add_argument("--wide", type=int, default=200, help="random perceptrons of everyday size, likewise")
    parser.add_argument("--maps", type=int, default=4000, help="random convolutional networks for criteria 1, 2 and 4")
    parser.add_argument("--lenets", type=int, default=100, help="LeNet-5s, likewise")
    parser.add_argument("--modules", type=int, default=300, help="draws of every module by hand for criterion 9")
    parser.add_argument("--seeds", type=int, default=50, help="seeds of the whole table for the other criteria")
    arguments = parser.parse_args()
    measure_networks("small", (draw(seed) for seed in range(arguments.networks)))
    measure_networks("wide", (draw_wide(seed) for seed in range(arguments.wide)))
    measure_maps(arguments.maps)
    measure_lenets(arguments.lenets)
    measure_modules(arguments.modules)
    measure_rows(arguments.seeds)
    measure_twin(arguments.seeds)


if __name__ == "__main__":
    main()
