"""BP 基本思想, BP 算法: one small network with all its numbers, computed in every way; and what the gradient costs.

The ways: the slide's loops over units; its matrix formula, with diag(f′(z)) and with ⊙; both wings; and central
differences of J in both wings' forward passes. All from the same weights, with J = ½(y − t)².
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from experiments.backend import Array
from experiments.lecture.backprop_cost import Products, Seconds, counted, formula, multiply_adds, num_parameters, timed
from experiments.lecture.backprop_figures import draw_cost, draw_network
from experiments.lecture.backprop_tables import cost_rows, quantity_rows
from experiments.lecture.backprop_ways import (
    LAYERS,
    Problem,
    Quantities,
    by_autograd,
    by_differences,
    by_loops,
    by_matrices,
    by_scratch,
    pose,
)
from experiments.lecture.lab import WINGS, Claim, Lab, most_apart


@dataclasses.dataclass(frozen=True)
class Config:
    """Step of the central differences; widths whose products are counted and whose seconds are measured."""

    step: float = 1e-5
    counted: tuple[int, ...] = (2, 4, 8)
    widths: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512)
    whole: int = 16
    batch: int = 64
    rounds: int = 21


FULL: Final = Config()
QUICK: Final = Config(counted=(2, 4), widths=(8, 32, 128), whole=8, rounds=7)

Costs = Mapping[str, Mapping[int, Seconds]]
"""By wing and width."""


def run(lab: Lab, config: Config) -> list[Claim]:
    """Measure both wings, draw, judge."""
    problem = pose(lab.seed)
    ways = every_way(problem)
    differences = {wing.name: by_differences(wing, problem, config.step) for wing in WINGS}
    products = {width: (formula(square(width)), counted(square(width), LAYERS[1])) for width in config.counted}
    passes = {wing.name: {width: multiply_adds(wing, square(width)) for width in config.widths} for wing in WINGS}
    seconds: Costs = {
        wing.name: {
            width: timed(wing, square(width), config.batch, config.rounds, lab.seed, whole=width == config.whole)
            for width in config.widths
        }
        for wing in WINGS
    }
    _tabulate(lab, ways, differences, seconds)
    _record(lab, seconds)
    lab.figure(
        "network",
        lambda figure, theme: draw_network(figure, theme, problem, ways["loops"]),
        size=(8, 6.2),
        caption="Two directions: the function signals a on their way to J, above, and the error signals δ on their way "
        "back, below, with w and ∂J/∂w on the links. No δ goes on to the inputs: nothing is to be learnt there.",
        alt="The 2-3-2-1 network twice, with blue arrows forward and vermillion arrows backward, and all its numbers.",
    )
    lab.figure(
        "cost",
        lambda figure, theme: draw_cost(figure, theme, {w: formula(square(w)) for w in config.widths}, seconds),
        size=(8, 3.6),
        caption="Cost of the gradient against the width of three layers, in products and in seconds of one thread: "
        "back-propagation stays beside the forward pass; a pass per parameter, its time reckoned from a few of them, "
        "leaves both behind.",
        alt="Two charts on logarithmic axes: back-propagation close above a forward pass, a pass per weight steeper.",
    )
    return judge(ways, differences, products, passes, seconds)


def every_way(problem: Problem) -> dict[str, dict[str, Array]]:
    """The network's signals and gradients: by the slide's loops, by its two matrix formulas, and in both wings."""
    scratch, torch = WINGS
    return {
        "loops": by_loops(problem),
        "diag(f′)Wᵀδ": by_matrices(problem, lambda slope, w, delta: np.diag(slope) @ w.T @ delta),
        "f′⊙(Wᵀδ)": by_matrices(problem, lambda slope, w, delta: slope * (w.T @ delta)),
        "scratch": by_scratch(scratch, problem),
        "torch": by_autograd(torch, problem),
    }


def square(width: int) -> tuple[int, ...]:
    """Sizes of the networks whose cost is looked at: three layers of as many units, and as many inputs."""
    return (width,) * 4


def judge(
    ways: Mapping[str, Quantities],
    differences: Mapping[str, Quantities],
    products: Mapping[int, tuple[Products, Products]],
    passes: Mapping[str, Mapping[int, int]],
    seconds: Costs,
) -> list[Claim]:
    """The numbers are the same in every way; and what they cost, counted and timed."""
    return [
        _signals(ways),
        _gradients(ways),
        _differences(ways, differences),
        _counted(products, passes),
        _few_passes(seconds),
        _in_proportion(seconds),
        _whole(seconds),
    ]


def _signals(ways: Mapping[str, Quantities]) -> Claim:
    off = _off(ways, [name for name in ways["loops"] if name[0] in "zaJ"])
    return Claim(
        "Forward: z, a and J of every unit are the same by the slide's loops, its matrices, in scratch, in torch, to "
        "2e-15 (a few roundings of numbers of size 1).",
        "from the loops: " + ", ".join(f"{way} {value:.1e}" for way, value in off.items()),
        all(value <= 2e-15 for value in off.values()),
        off,
    )


def _gradients(ways: Mapping[str, Quantities]) -> Claim:
    off = _off(ways, _gradient_names(ways["loops"]))
    return Claim(
        "Backward: every δ, ∂J/∂w and ∂J/∂b is the same unit by unit, by diag(f′(z))·Wᵀ·δ, by f′(z) ⊙ (Wᵀδ), in "
        "scratch and by torch's autograd, to 2e-15.",
        "from the loops: " + ", ".join(f"{way} {value:.1e}" for way, value in off.items()),
        all(value <= 2e-15 for value in off.values()),
        off,
    )


def _differences(ways: Mapping[str, Quantities], differences: Mapping[str, Quantities]) -> Claim:
    names = _gradient_names(ways["loops"])
    off = _off({"loops": ways["loops"], **differences}, names)
    return Claim(
        "They are the slopes of J: central differences of either wing's forward pass agree to 1e-9 (h = 1e-5 leaves "
        "h²·J‴/6 + 2⁻⁵²·J/h, about 1e-10).",
        ", ".join(f"{wing} {value:.1e}" for wing, value in off.items())
        + f"; largest of the {sum(ways['loops'][name].size for name in names)} numbers "
        + f"{max(float(np.abs(ways['loops'][name]).max()) for name in names):.2f}",
        all(value <= 1e-9 for value in off.values()),
        off,
    )


def _counted(products: Mapping[int, tuple[Products, Products]], passes: Mapping[str, Mapping[int, int]]) -> Claim:
    same = all(ours == theirs for ours, theirs in products.values())
    agree = all(found == formula(square(width)).forward for of in passes.values() for width, found in of.items())
    width = max(products)
    one = products[width][1]
    return Claim(
        "Counted one by one in the slide's loops: W products, one per weight, for a forward pass; for back-propagation "
        "with its own 3W less those of layer 1, and one per unit; (P + 1)·W for a pass per parameter. Exactly; and "
        "both wings' summaries say W.",
        f"width {width}: {one.forward:,}, {one.backprop:,} ({one.backprop / one.forward:.2f} forward passes), "
        f"{one.naive:,}; the formula's at {len(products)} widths: {same}; the summaries' at "
        f"{len(passes['scratch'])}: {agree}",
        same and agree,
        one._asdict(),
    )


def _few_passes(seconds: Costs) -> Claim:
    widths = list(seconds["scratch"])
    ratios = {"counted": [one.backprop / one.forward for one in (formula(square(width)) for width in widths)]}
    ratios |= {wing: [one.backprop / one.forward for one in found.values()] for wing, found in seconds.items()}
    bounds = {way: (2, 3) if way == "counted" else (1.3, 6) for way in ratios}
    return Claim(
        "The whole gradient by back-propagation costs a few forward passes, whatever the width from "
        f"{widths[0]} to {widths[-1]}: 2 to 3 as counted, 1.3 to 6 as timed in both wings (seconds of one thread, "
        "medians, measured alternately).",
        "; ".join(f"{way} {min(ratio):.2f} to {max(ratio):.2f}" for way, ratio in ratios.items()),
        all(low <= ratio <= high for way, (low, high) in bounds.items() for ratio in ratios[way]),
        {f"{way} {what.__name__}": what(ratio) for way, ratio in ratios.items() for what in (min, max)},
    )


def _in_proportion(seconds: Costs) -> Claim:
    widths = list(seconds["scratch"])
    ratios = {"counted": [one.naive / one.backprop for one in (formula(square(width)) for width in widths)]}
    ratios |= {wing: [one.naive / one.backprop for one in found.values()] for wing, found in seconds.items()}
    parameters = [num_parameters(square(width)) for width in widths]
    powers = {way: _power(parameters, ratio) for way, ratio in ratios.items()}
    return Claim(
        "A forward pass per parameter costs more than back-propagation in proportion to their number: the ratio grows "
        "as its power 0.8 to 1.2 (fit on logarithmic axes), as counted and as timed in both wings.",
        "; ".join(f"{way} power {power:.3f}, {ratios[way][-1]:,.0f}-fold in the end" for way, power in powers.items()),
        all(0.8 <= power <= 1.2 for power in powers.values()),
        powers,
    )


def _whole(seconds: Costs) -> Claim:
    runs = {wing: one for wing, found in seconds.items() for one in found.values() if not np.isnan(one.whole)}
    off = {wing: one.apart for wing, one in runs.items()}
    share = {wing: one.whole / one.naive for wing, one in runs.items()}
    return Claim(
        "Where naive differentiation was run to its end, it gave back-propagation's gradient, to 1e-5 (h = 1e-7, "
        "one-sided), and took as many times one pass as there are passes, within a factor of 2.",
        "; ".join(f"{wing} {off[wing]:.1e}, {share[wing]:.2f} of the time reckoned" for wing in runs),
        len(runs) == len(seconds) and all(off[wing] <= 1e-5 and 0.5 <= share[wing] <= 2 for wing in runs),
        {f"{wing} {what}": of[wing] for what, of in (("apart", off), ("share", share)) for wing in runs},
    )


def _off(ways: Mapping[str, Quantities], names: Sequence[str]) -> dict[str, float]:
    """How far each way is from the slide's loops, over the quantities of these names."""
    loops = {name: ways["loops"][name] for name in names}
    return {way: most_apart(loops, found) for way, found in ways.items() if way != "loops"}


def _gradient_names(quantities: Quantities) -> list[str]:
    return [name for name in quantities if name[0] in "dWb"]


def _power(x: Sequence[float], y: Sequence[float]) -> float:
    """The power of x that y grows as: least squares on logarithmic axes."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _tabulate(lab: Lab, ways: Mapping[str, Quantities], differences: Mapping[str, Quantities], seconds: Costs) -> None:
    loops, diag, hadamard, scratch, torch = ways.values()
    forward = {"unit by unit": loops, "Wa + b": diag, "scratch": scratch, "torch": torch}
    value = ("J", *(f"{found['J'][0]:.8f}" for found in forward.values()))
    lab.table("function signals, forward", ("", *forward), [*quantity_rows(forward, ("z", "a")), value])
    backward = {
        "unit by unit": loops,
        "diag(f′)·Wᵀδ": diag,
        "f′⊙(Wᵀδ)": hadamard,
        "scratch": scratch,
        "autograd": torch,
    }
    lab.table(
        "error signals, backward, and gradients; w₁₂ leads from unit 1 to unit 2, and ∂J/∂b is δ",
        ("", *backward, "differences"),
        quantity_rows({**backward, "differences": differences["scratch"]}, ("delta", "W")),
    )
    lab.table(
        "products for one sample; by the clock, BP in forward passes and naive in BPs",
        ("width", "parameters", "forward", "BP", "naive", "scratch: BP", "naive", "torch: BP", "naive"),
        cost_rows({width: square(width) for width in seconds["scratch"]}, seconds),
    )


def _record(lab: Lab, seconds: Costs) -> None:
    """Write the seconds to TensorBoard, x = width."""
    for wing, found in seconds.items():
        for what in ("forward", "backprop", "naive"):
            lab.curve(wing, f"seconds/{what}", [getattr(one, what) for one in found.values()], found)
        lab.curve(wing, "seconds/naive over backprop", [one.naive / one.backprop for one in found.values()], found)
