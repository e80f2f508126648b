"""`twice lecture convolution`: what it claims holds, can fail, and is measured rightly where the answer is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import scratch
from experiments.lecture import convolution, convolution_sizes
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.convolution import EDGES, PICTURE, Measured
from experiments.lecture.convolution_sizes import EXAMPLES, MISFIT, Sizes
from experiments.lecture.lab import WINGS
from experiments.lecture.running import run

SCRATCH, TORCH = WINGS
CLAIMS = ("links", "matrix", "gradient", "values", "moved")
SIZE_CLAIMS = ("sizes", "misfit", "parameters")
BOTH = pytest.mark.parametrize("wing", ["scratch", "torch"])


@pytest.fixture(scope="module")
def measured() -> dict[str, Measured]:
    return {wing.name: convolution.measure(wing, convolution.QUICK, 0) for wing in WINGS}


@pytest.fixture(scope="module")
def sizes() -> dict[str, Sizes]:
    return {wing.name: convolution_sizes.measure_sizes(wing, 3) for wing in WINGS}


def failed(found: dict[str, Measured]) -> set[str]:
    claims = convolution.judge(found)
    return {name for name, claim in zip(CLAIMS, claims, strict=True) if not claim.held}


def failed_sizes(found: dict[str, Sizes]) -> set[str]:
    claims = convolution_sizes.judge_sizes(found)
    return {name for name, claim in zip(SIZE_CLAIMS, claims, strict=True) if not claim.held}


def test_the_quick_version_holds_and_leaves_figures_and_curves(tmp_path: Path) -> None:
    outcome = run(ENTRIES["convolution"], tmp_path, quick=True)
    assert outcome.held, [claim.measured for claim in outcome.claims if not claim.held]
    assert len(outcome.claims) == len(CLAIMS) + len(SIZE_CLAIMS)
    folder = tmp_path / "lecture-quick" / "convolution"
    for stem in ("links", "sliding", "volume"):
        assert all((folder / "figures" / f"{stem}{end}").is_file() for end in (".png", ".svg", "-dark.svg"))
    boards = [EventAccumulator(str(folder / wing.name)).Reload() for wing in WINGS]
    assert sorted(boards[0].Tags()["scalars"]) == sorted(boards[1].Tags()["scalars"])
    widths = {event.step: event.value for event in boards[1].Scalars("output size/3x3, stride 2")}
    assert widths == {3: 1, 4: 1, 5: 2}
    last = ("slide", "32×32×3", "10 of 5×5", "1", "2", "32", "32×32×10", "32×32×10", "760", "760", "760")
    assert outcome.tables[0].rows[-2] == last


def test_what_is_right_holds(measured: dict[str, Measured], sizes: dict[str, Sizes]) -> None:
    assert failed(measured) == set()
    assert failed_sizes(sizes) == set()


def one_weight_more(found: Measured) -> Measured:
    shared = found.matrices["shared"].copy()
    shared[0, 0] += 1
    return found._replace(matrices={**found.matrices, "shared": shared})


def links_elsewhere(found: Measured) -> Measured:
    return found._replace(matrices={**found.matrices, "local": found.matrices["local"][:, ::-1]})


def one_weight_is(found: Measured, kind: str, value: float) -> Measured:
    """A layer that multiplies by another weight at one link of those that it should have: no count changes."""
    matrix = found.matrices[kind].copy()
    matrix[1, 2] = value
    return found._replace(matrices={**found.matrices, kind: matrix})


def given_and_found(found: Measured, value: float) -> Measured:
    spoilt = one_weight_is(found, "full", value)
    return spoilt._replace(given={**found.given, "full": spoilt.matrices["full"]})


def one_value_off(found: Measured) -> Measured:
    slid = found.slid.copy()
    slid[2, 3] += 1
    return found._replace(slid=slid)


def bias_forgotten(found: Measured) -> Measured:
    return found._replace(volume=found.volume._replace(output=found.volume.output - found.volume.bias))


def one_move(found: Measured, kind: str, value: float) -> Measured:
    ratios = found.moved[kind].copy()
    ratios[1, 2] = value
    return found._replace(moved={**found.moved, kind: ratios})


@BOTH
@pytest.mark.parametrize(
    ("spoil", "claim"),
    [
        (one_weight_more, "links"),
        (links_elsewhere, "links"),
        *(
            (lambda found, kind=kind, value=value: one_weight_is(found, kind, value), "links")
            for kind in ("full", "local")
            for value in (0.123, float("nan"), float("inf"))
        ),
        (lambda found: given_and_found(found, float("inf")), "links"),
        (lambda found: found._replace(from_literal=1e-12), "matrix"),
        (lambda found: found._replace(from_literal=float("nan")), "matrix"),
        (lambda found: found._replace(from_copies=1e-12), "gradient"),
        (lambda found: found._replace(from_copies=float("nan")), "gradient"),
        (one_value_off, "values"),
        (bias_forgotten, "values"),
        (lambda found: one_move(found, "shared", 1e-11), "moved"),
        (lambda found: one_move(found, "own", 0.4), "moved"),
        (lambda found: one_move(found, "own", float("nan")), "moved"),
    ],
)
def test_each_claim_can_fail_in_either_wing(
    measured: dict[str, Measured], wing: str, spoil: Callable[[Measured], Measured], claim: str
) -> None:
    assert failed({**measured, wing: spoil(measured[wing])}) == {claim}


@BOTH
@pytest.mark.parametrize(
    ("spoil", "claim"),
    [
        (lambda found: found._replace(grid={**found.grid, (3, 2, 2, 0): (3, 2, 2)}), "sizes"),
        (lambda found: found._replace(examples={**found.examples, EXAMPLES[1]: ((1, 5, 5), 10)}), "sizes"),
        (lambda found: found._replace(examples={**found.examples, EXAMPLES[4]: ((1, 32, 32), 760)}), "sizes"),
        (lambda found: found._replace(examples={**found.examples, MISFIT: ((1, 3, 3), 10)}), "misfit"),
        (lambda found: found._replace(unseen=0), "misfit"),
        (lambda found: found._replace(examples={**found.examples, EXAMPLES[3]: ((1, 32, 32), 75)}), "parameters"),
    ],
)
def test_each_claim_on_sizes_can_fail_in_either_wing(
    sizes: dict[str, Sizes], wing: str, spoil: Callable[[Sizes], Sizes], claim: str
) -> None:
    assert failed_sizes({**sizes, wing: spoil(sizes[wing])}) == {claim}


def test_a_filter_that_is_turned_round_is_found(measured: dict[str, Measured], monkeypatch: Any) -> None:
    right = scratch.convolution.conv2d
    turned = lambda x, weight, *rest: right(x, weight[..., ::-1, ::-1], *rest)  # noqa: E731
    monkeypatch.setattr(scratch.convolution, "conv2d", turned)
    apart, values = convolution.from_literal(SCRATCH, np.random.default_rng(0)), convolution.slide(SCRATCH)
    wrong = measured["scratch"]._replace(from_literal=apart, slid=values)
    assert failed({**measured, "scratch": wrong}) == {"matrix", "values"}


def test_a_gradient_that_is_averaged_over_the_places_is_found(measured: dict[str, Measured], monkeypatch: Any) -> None:
    right = scratch.convolution.conv2d_dweight

    def averaged(dy: Any, *rest: Any) -> Any:
        dweight, dbias = right(dy, *rest)
        return dweight / dy[0, 0].size, dbias

    monkeypatch.setattr(scratch.convolution, "conv2d_dweight", averaged)
    wrong = measured["scratch"]._replace(from_copies=convolution.from_copies(SCRATCH, np.random.default_rng(0)))
    assert failed({**measured, "scratch": wrong}) == {"gradient"}


def test_a_bias_that_is_not_counted_is_found(sizes: dict[str, Sizes], monkeypatch: Any) -> None:
    right = scratch.convolution.convolution_parameters
    monkeypatch.setattr(scratch.convolution, "convolution_parameters", lambda d, k, f, _, m: right(d, k, f, False, m))
    assert failed_sizes({**sizes, "scratch": convolution_sizes.measure_sizes(SCRATCH, 3)}) == {"parameters"}


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.name)
def test_units_that_go_in_bring_the_matrix_out(wing: Any) -> None:
    found = convolution.matrices(wing, convolution.drawn(np.random.default_rng(3)))
    w = found["full"][0, :3]
    expected = [[w[t - z] if 0 <= t - z < 3 else 0 for t in range(7)] for z in range(5)]
    assert np.array_equal(found["shared"], expected)
    assert np.array_equal(found["local"], found["full"] * (np.array(expected) != 0))


def test_a_map_that_moves_along_keeps_nothing_behind_and_one_that_weighs_places_does() -> None:
    x = np.zeros((2, 1, 6, 6))
    x[0, 0, 2, 3], x[1, 0, 3, 2] = 1, 2
    along = convolution.beyond(lambda maps: 3 * maps, x, 0, 1)
    assert along.tolist() == [0, 0]
    weigh = np.arange(1.0, 7)
    ratios = convolution.beyond(lambda maps: maps * weigh, x, 0, 1)
    assert ratios == pytest.approx([1 / 4, 1 / 3])  # weighed 5 where 4 was moved, 4 where 3 was


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.name)
def test_the_shares_of_the_channels_are_sums_of_products(wing: Any) -> None:
    found = convolution.volume(wing, np.random.default_rng(5))
    x, w = found.x[:, 1:4, 2:5], found.weight
    assert found.parts[:, 1, 2].tolist() == (x * w).sum(axis=(1, 2)).tolist()
    assert found.output[1, 2] == (x * w).sum() + found.bias
    assert convolution.exact(found) == 9
    assert convolution.exact(found._replace(parts=found.parts + 1)) == 0


def test_counts_are_of_different_weights_and_of_links() -> None:
    assert convolution.counts(np.array([[1.0, 2, 0], [0, 1, 2]])) == (2, 4)


def test_the_window_over_the_sevens_bar() -> None:
    """The first place of the strip: the bar's left end is under the right of the filter."""
    assert (PICTURE[0, :3, :3] * EDGES[0, 0]).sum() == -2
