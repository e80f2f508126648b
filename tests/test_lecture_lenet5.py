"""`twice lecture lenet5`: what it claims holds, can fail, and is measured rightly where the answer is known."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import scratch.convolution
from experiments.lecture import lenet5, lenet5_counts, lenet5_figures
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.lab import WINGS, Wing, initial
from experiments.lecture.lenet5 import Absent, Found, Learnt
from experiments.lecture.running import run

CLAIMS = ("counts", "table", "saved", "absent", "learnt", "wings")
BOTH = pytest.mark.parametrize("wing", ["scratch", "torch"])
Measured = dict[str, Any]


def found(**changes: Any) -> Found:
    one = Learnt((changes.pop("course", 1.0), 0.5), (0.2, 0.04), Absent(0.0, 0.0, 0.0, 1e-3), {})
    apart = changes.pop("apart", 1e-13)
    maps_apart = changes.pop("maps_apart", 1e-13)
    wing = changes.pop("wing", "torch")
    learnt = {"scratch": one, "torch": one}
    return Found({**learnt, wing: one._replace(**changes)}, apart, {"c1_f": 0.0, "output": maps_apart})


@pytest.fixture
def measured() -> Measured:
    return {
        "counts": {wing.name: lenet5_counts.count(wing) for wing in WINGS},
        "tables": {wing.name: lenet5_counts.table(wing) for wing in WINGS},
        "dense_c3": lenet5_counts.dense(),
        "found": [found(course=1.0 + seed) for seed in range(3)],
    }


def failed(measured: Mapping[str, Any]) -> set[str]:
    claims = lenet5.judge(**measured, config=lenet5.FULL)
    return {name for name, claim in zip(CLAIMS, claims, strict=True) if not claim.held}


def test_the_quick_version_holds_and_leaves_figures_and_curves(tmp_path: Path) -> None:
    outcome = run(ENTRIES["lenet5"], tmp_path, quick=True)
    assert outcome.held, [claim.measured for claim in outcome.claims if not claim.held]
    assert len(outcome.claims) == len(CLAIMS)
    folder = tmp_path / "lecture-quick" / "lenet5"
    for stem in ("architecture", "table", "digit"):
        assert all((folder / "figures" / f"{stem}{end}").is_file() for end in (".png", ".svg", "-dark.svg"))
    boards = [EventAccumulator(str(folder / wing.name)).Reload() for wing in WINGS]
    tags = [sorted(board.Tags()["scalars"]) for board in boards]
    assert tags[0] == tags[1] == ["loss/seed_0", "test_error/seed_0"]
    assert outcome.tables[0].rows[2] == ("C3", "16@10×10", "1,516", "1,516", "151,600", "151,600")


def test_what_is_right_holds(measured: Measured) -> None:
    assert failed(measured) == set()


@BOTH
@pytest.mark.parametrize("change", [{"shape": (6, 27, 28)}, {"parameters": 155}, {"connections": 122_303}])
def test_a_wrong_size_or_count_fails(measured: Measured, wing: str, change: dict[str, Any]) -> None:
    measured["counts"][wing]["c1"] = measured["counts"][wing]["c1"]._replace(**change)
    assert failed(measured) == {"counts"}


@BOTH
def test_a_link_elsewhere_fails(measured: Measured, wing: str) -> None:
    table = measured["tables"][wing].copy()
    table[0, [0, 3]] = table[0, [3, 0]]
    measured["tables"][wing] = table
    assert failed(measured) == {"table"}


def test_tables_that_are_alike_and_wrong_fail(measured: Measured) -> None:
    for wing in ("scratch", "torch"):
        table = measured["tables"][wing].copy()
        table[1] = table[0]  # two maps see the same
        measured["tables"][wing] = table
    assert failed(measured) == {"table"}


@BOTH
def test_a_dense_layer_that_is_none_fails(measured: Measured, wing: str) -> None:
    measured["dense_c3"][wing] = 1_516
    assert failed(measured) == {"saved"}


@BOTH
@pytest.mark.parametrize(
    ("change", "claim"),
    [
        ({"absent": Absent(1e-300, 0.0, 0.0, 1e-3)}, "absent"),
        ({"absent": Absent(0.0, 1e-300, 0.0, 1e-3)}, "absent"),
        ({"absent": Absent(0.0, 0.0, 1e-16, 1e-3)}, "absent"),
        ({"absent": Absent(0.0, 0.0, float("nan"), 1e-3)}, "absent"),
        ({"absent": Absent(0.0, 0.0, 0.0, 0.0)}, "absent"),
        ({"error": (0.01, 0.081)}, "learnt"),
        ({"apart": 1e-8}, "wings"),
        ({"maps_apart": 1e-8}, "wings"),
        ({"apart": float("nan")}, "wings"),
        ({"maps_apart": float("nan")}, "wings"),
    ],
)
def test_one_seed_of_one_wing_is_enough_to_fail(
    measured: Measured, wing: str, change: dict[str, Any], claim: str
) -> None:
    measured["found"][1] = found(**change, wing=wing, course=2.0)
    assert failed(measured) == {claim}


def test_seeds_that_are_one_fail(measured: Measured) -> None:
    measured["found"][1] = measured["found"][0]
    assert failed(measured) == {"wings"}


def absent(wing: Wing, change: Callable[[dict[str, Any]], None] = lambda _: None) -> Absent:
    params = initial(lenet5_counts.make, 1)
    change(params)
    x, labels, _, _ = lenet5.images(dataclasses.replace(lenet5.QUICK, images=4))
    return lenet5.absent_links(wing, params, lenet5_counts.table(wing), x, labels)


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.name)
def test_absent_links_are_nothing_and_present_ones_are(wing: Wing) -> None:
    assert absent(wing)[:3] == (0.0, 0.0, 0.0)
    assert absent(wing).present > 1e-6
    links = lenet5_counts.table(wing)

    def store(params: dict[str, Any]) -> None:
        params["c3.weight"][~links] = -7

    assert absent(wing, store)[:3] == (0.0, 7.0, 0.0)


def test_a_mask_that_is_forgotten_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch.convolution, "masked", lambda weight, _: weight)
    assert absent(WINGS[0]).effect > 1e-3


def test_a_digit_is_followed_and_the_wings_agree() -> None:
    one = lenet5.work(dataclasses.replace(lenet5.QUICK, images=32, epochs=1), 0)
    maps = one.learnt["torch"].maps
    assert [lenet5_figures.size(maps[name]) for name in lenet5_figures.LAYERS] == [
        *("32×32", "6@28×28", "6@14×14", "16@10×10", "16@5×5", "120", "84", "10")
    ]
    assert one.apart < 1e-12
    assert max(one.maps_apart.values()) < 1e-12
    assert one.maps_apart["canvas"] == 0 < one.maps_apart["output"]


def test_maps_are_laid_out_row_by_row_with_gaps() -> None:
    picture = lenet5_figures.mosaic(np.arange(12.0).reshape(3, 2, 2), 2)
    gap = np.nan
    np.testing.assert_array_equal(
        picture,
        [[0, 1, gap, 4, 5], [2, 3, gap, 6, 7], [gap] * 5, [8, 9, gap, gap, gap], [10, 11, gap, gap, gap]],
    )
    np.testing.assert_array_equal(lenet5_figures.mosaic(np.arange(4.0), 2), [[0, 1], [2, 3]])
