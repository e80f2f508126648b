"""`twice lecture subsampling`: what it claims holds, can fail, and is measured rightly where the answer is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import scratch
from experiments.lecture import subsampling, subsampling_rates, subsampling_shifts
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.lab import WINGS, initial
from experiments.lecture.running import run
from experiments.lecture.subsampling import EXAMPLES, Measured
from experiments.lecture.subsampling_shifts import KINDS, POOLINGS, Seed, Training

SCRATCH, TORCH = WINGS
CLAIMS = ("sizes", "parameters", "own map", "windows")
SHIFT_CLAIMS = ("change", "errors", "not indifferent", "wings")
BOTH = pytest.mark.parametrize("wing", ["scratch", "torch"])
EACH = pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.name)
SEEDS = 12


@pytest.fixture(scope="module")
def measured() -> dict[str, Measured]:
    small = subsampling.Config(largest=3)
    return {wing.name: subsampling.measure(wing, small, 0) for wing in WINGS}


def failed(found: dict[str, Measured]) -> set[str]:
    claims = subsampling.judge(found)
    return {name for name, claim in zip(CLAIMS, claims, strict=True) if not claim.held}


def planted() -> dict[str, list[Seed]]:
    """Twelve seeds of both wings, made up as the claims want them, so that a test may spoil them."""
    kept = {"stride": 1.0, "average": 0.9, "max": 0.95, "sub-sampling": 0.9}
    errors = {kind: [0.05, 0.35 if kind == "stride" else 0.3, 0.8] for kind in KINDS}
    return {
        wing.name: [
            Seed(dict(kept), {k: [2.0] for k in KINDS}, dict(errors), {k: np.ones((2, 3)) for k in KINDS})
            for _ in range(SEEDS)
        ]
        for wing in WINGS
    }


def failed_shifts(found: dict[str, list[Seed]]) -> set[str]:
    claims = subsampling_shifts.judge_shifts(found, Training())
    return {name for name, claim in zip(SHIFT_CLAIMS, claims, strict=True) if not claim.held}


def test_the_quick_version_holds_and_leaves_figures_and_curves(tmp_path: Path) -> None:
    outcome = run(ENTRIES["subsampling"], tmp_path, quick=True)
    assert outcome.held, [claim.measured for claim in outcome.claims if not claim.held]
    assert len(outcome.claims) == len(CLAIMS) + len(SHIFT_CLAIMS)
    folder = tmp_path / "lecture-quick" / "subsampling"
    for stem in ("maps", "moved"):
        assert all((folder / "figures" / f"{stem}{end}").is_file() for end in (".png", ".svg", "-dark.svg"))
    boards = [EventAccumulator(str(folder / wing.name)).Reload() for wing in WINGS]
    tags = [f"{what}/{kind}" for what in ("error by pixels moved", "loss") for kind in KINDS]
    assert all(sorted(board.Tags()["scalars"]) == sorted(tags) for board in boards)
    assert [event.step for event in boards[0].Scalars("error by pixels moved/max")] == [0, 1, 2]
    s2 = ("LeNet-5, S2", "28×28×6", "2", "2", "14", "14×14×6 / 14×14×6", "0 / 0", "0 / 0", "12 / 12")
    assert outcome.tables[0].rows[0] == s2


def test_what_is_right_holds(measured: dict[str, Measured]) -> None:
    assert failed(measured) == set()
    assert failed_shifts(planted()) == set()


def example(found: Measured, index: int, kind: str, shape: tuple[int, ...], parameters: int) -> Measured:
    return found._replace(examples={**found.examples, (EXAMPLES[index], kind): (shape, parameters)})


@BOTH
@pytest.mark.parametrize(
    ("spoil", "claim"),
    [
        (lambda found: example(found, 0, "max", (6, 15, 15), 0), "sizes"),
        (lambda found: example(found, 1, "average", (1, 5, 5), 0), "sizes"),
        (lambda found: found._replace(grid={**found.grid, ("max", 3, 2, 2): (3, 2, 2)}), "sizes"),
        (lambda found: example(found, 0, "max", (6, 14, 14), 12), "parameters"),
        (lambda found: example(found, 1, "sub-sampling", (16, 5, 5), 16), "parameters"),
        (lambda found: found._replace(across={**found.across, "max": (1, 36)}), "own map"),
        (lambda found: found._replace(across={**found.across, "average": (0, 35)}), "own map"),
        (lambda found: found._replace(from_literal={**found.from_literal, "average": 1e-13}), "windows"),
        (lambda found: found._replace(from_literal={**found.from_literal, "max": 1e-16}), "windows"),
        (lambda found: found._replace(from_literal={**found.from_literal, "start": float("nan")}), "windows"),
    ],
)
def test_each_claim_can_fail_in_either_wing(
    measured: dict[str, Measured], wing: str, spoil: Callable[[Measured], Measured], claim: str
) -> None:
    assert failed({**measured, wing: spoil(measured[wing])}) == {claim}


@BOTH
@pytest.mark.parametrize("kind", POOLINGS)
@pytest.mark.parametrize(("seeds", "value"), [(range(4), 1.3), ([7], float("nan"))])
def test_maps_that_change_more_than_before_are_found(wing: str, kind: str, seeds: Any, value: float) -> None:
    found = planted()
    for seed in seeds:
        found[wing][seed].kept[kind] = value
    assert failed_shifts(found) == {"change"}


@BOTH
def test_a_stride_that_helps_is_found(wing: str) -> None:
    found = planted()
    for seed in found[wing]:
        seed.kept["stride"] = 0.9
    assert failed_shifts(found) == {"change"}


@BOTH
@pytest.mark.parametrize("kind", ["average", "max"])
def test_pooling_that_harms_in_four_seeds_has_shown_nothing(wing: str, kind: str) -> None:
    found = planted()
    found[wing][0].errors[kind] = [0.05, 0.36, 0.8]
    assert failed_shifts(found) == set()
    for seed in range(4):
        found[wing][seed].errors[kind] = [0.05, 0.45, 0.8]
    assert failed_shifts(found) == {"errors"}


def test_what_is_not_claimed_is_said_and_may_harm() -> None:
    found = planted()
    for seed in found["scratch"]:
        seed.errors["sub-sampling"] = [0.05, 0.45, 0.8]
    assert failed_shifts(found) == set()
    claim = subsampling_shifts.judge_shifts(found, Training())[1]
    assert "not claimed: sub-sampling." in claim.statement
    assert claim.measured.endswith("not shown: sub-sampling")


def test_the_search_takes_the_rate_that_misreads_fewest_over_the_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    def errors(_: Training, seed: int) -> list[list[float]]:
        best = {kind: place for place, kind in enumerate(KINDS)}
        return [[abs(best[kind] - rate) + (seed == 1003) * rate / 2 for rate in range(4)] for kind in KINDS]

    monkeypatch.setattr(subsampling_rates, "validation_errors", errors)
    assert subsampling_rates.search(Training()) == dict(zip(KINDS, subsampling_rates.RATES, strict=True))


@pytest.mark.slow
def test_the_rates_are_those_that_the_search_finds() -> None:
    assert subsampling_rates.search(Training(), jobs=2) == Training().rates


@BOTH
def test_a_network_that_is_indifferent_is_found(wing: str) -> None:
    found = planted()
    for seed in found[wing]:
        seed.errors["max"] = [0.2, 0.3, 0.8]
    assert failed_shifts(found) == {"not indifferent"}


@pytest.mark.parametrize("value", [1 + 1e-5, float("nan")])
def test_wings_that_part_are_found(value: float) -> None:
    found = planted()
    found["scratch"][3].outputs["stride"][1, 2] = value
    assert failed_shifts(found) == {"wings"}


@pytest.mark.parametrize("value", [2 + 1e-12, float("nan")])
def test_wings_that_part_at_once_are_found(value: float) -> None:
    found = planted()
    found["scratch"][3].losses["max"] = [value]
    assert failed_shifts(found) == {"wings"}


def test_choices_of_signs_by_hand() -> None:
    """Of the differences −1, 2, 3, 4, 5 the sum is 13; only the choice without the − has a larger one."""
    assert subsampling_shifts.sign_flips([3, 5, 7, 9, 10], [4, 3, 4, 5, 5]) == 2 / 32
    assert subsampling_shifts.sign_flips([1, 2], [1, 2]) == 1
    assert subsampling_shifts.sign_flips([1, float("nan")], [0, 0]) == 1


def test_a_map_that_leaks_into_its_neighbour_is_found(measured: dict[str, Measured], monkeypatch: Any) -> None:
    right = scratch.pooling.sum_pool2d

    def leaking(x: Any, *rest: Any) -> Any:
        return right(x + 1e-9 * np.roll(x, 1, axis=1), *rest)

    monkeypatch.setattr(scratch.pooling, "sum_pool2d", leaking)
    rng = np.random.default_rng(0)
    across = {kind: subsampling.across(SCRATCH, kind, rng) for kind in POOLINGS}
    wrong = measured["scratch"]._replace(across=across, from_literal=subsampling.from_literal(SCRATCH, rng))
    assert failed({**measured, "scratch": wrong}) == {"own map", "windows"}


@pytest.mark.parametrize("kind", POOLINGS)
def test_stride_and_poolings_make_maps_of_the_same_sizes(kind: str) -> None:
    make, without = subsampling_shifts.network(kind), subsampling_shifts.network("stride")
    shapes = [make(scratch, np.float64, np.random.default_rng(0)).shapes((1, 14, 14)) for make in (make, without)]
    assert shapes[0]["flatten"] == shapes[1]["flatten"] == (48,)
    assert shapes[0]["c1_pool"] == shapes[1]["c1"] == (6, 6, 6)
    ours, theirs = initial(make, 3), initial(without, 3)
    assert all(np.array_equal(ours[name], value) for name, value in theirs.items())  # the same start
    assert (set(ours) == set(theirs)) == (kind != "sub-sampling")


@EACH
def test_ways_to_shrink_a_map(wing: Any) -> None:
    maps = np.zeros((1, 6, 2, 4))
    maps[0, 2] = [[1.0, 2, 0, 4], [3, 6, 8, 0]]
    shrunk = {kind: subsampling_shifts.shrink(wing, kind)(maps)[0, 2] for kind in KINDS}
    assert shrunk["stride"].tolist() == [[1, 0]]
    assert shrunk["average"].tolist() == [[3, 3]]
    assert shrunk["max"].tolist() == [[6, 8]]
    assert shrunk["sub-sampling"] == pytest.approx(1.7159 * np.tanh(2 / 3 * shrunk["average"]))


def test_the_relative_change_is_that_of_what_tells_digits_apart() -> None:
    still = np.array([[[[5.0, 1.0]]], [[[5.0, -1.0]]]])  # the mean is (5, 0): each is 1 from it
    moved = [still + 0.5, still[::-1]]  # √0.5 from where they were, and 2
    assert subsampling_shifts.relative_change(still, moved) == pytest.approx((np.sqrt(0.5) + 2) / 2)


def test_digits_are_halved_and_moved_within_their_picture() -> None:
    images = np.zeros((1, 28, 28), np.uint8)
    images[0, 4:6, 6:8] = 220, 20
    x = subsampling_shifts.halved(images)
    assert x.shape == (1, 1, 14, 14)
    assert x[0, 0, 2, 3] == pytest.approx((1.0 + 0.0) / 2)  # (p − 20)/200
    assert x.sum() == pytest.approx(0.5 - 0.1 * 195)
    assert np.argwhere(subsampling_shifts.move(x, 1, -2)[0, 0] > 0).tolist() == [[3, 1]]
