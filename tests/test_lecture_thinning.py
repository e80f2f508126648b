"""`twice lecture thinning`: what it claims holds, can fail, and is measured rightly where the answer is known."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.lecture import thinning, thinning_nets
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.lab import WINGS
from experiments.lecture.running import run
from experiments.lecture.thinning_nets import FORMS, Config, Found, Learnt, Part

CLAIMS = ("sharing", "fewer", "gap", "crossed", "cost", "wings")
CONFIG = Config()
TINY = Config(images=40, epochs=2, rates=(0.4,), shares=(0.0, 0.5), draws=1, seeds=2)
COUNTS = {"full": 41_410, "dropout": 41_410, "small": 1_873, "shared": 1_898}
ERRORS = {"full": 0.2, "dropout": 0.21, "small": 0.4, "shared": 0.1}


def learnt(form: str, course: float) -> Learnt:
    error = {"train": 0.0, "validation": ERRORS[form], "test": ERRORS[form]}
    loss = {"train": 0.1, "validation": 0.7, "test": 0.6 if form == "dropout" else 0.7}
    crossed = {"full": (0.2, 0.3, 0.4, 0.5), "dropout": (0.2, 0.22, 0.25, 0.4)}.get(form, ())
    return Learnt(0.4, COUNTS[form], (course,), error, loss, crossed)


def good() -> list[Found]:
    """What should be found: every seed as it should be."""
    return [
        Found({form: {wing.name: learnt(form, 1 + seed) for wing in WINGS} for form in FORMS}, 1e-12)
        for seed in range(11)
    ]


def failed(found: list[Found], config: Config = CONFIG) -> set[str]:
    return {name for name, claim in zip(CLAIMS, thinning.judge(found, config), strict=True) if not claim.held}


def planted(form: str, change: Callable[[Learnt], Learnt], seeds: int, wings: tuple[str, ...]) -> list[Found]:
    """One network of the first seeds measured otherwise."""
    return [
        one._replace(
            learnt={
                **one.learnt,
                form: {wing: change(net) if wing in wings else net for wing, net in one.learnt[form].items()},
            }
        )
        if index < seeds
        else one
        for index, one in enumerate(good())
    ]


def reads(error: float) -> Callable[[Learnt], Learnt]:
    return lambda net: net._replace(error={**net.error, "test": error})


def test_the_quick_version_holds_and_leaves_figures_and_curves(tmp_path: Path) -> None:
    outcome = run(ENTRIES["thinning"], tmp_path, quick=True)
    assert outcome.held, [claim.measured for claim in outcome.claims if not claim.held]
    assert len(outcome.claims) == len(CLAIMS)
    folder = tmp_path / "lecture-quick" / "thinning"
    for stem in ("networks", "errors", "dropout"):
        assert all((folder / "figures" / f"{stem}{end}").is_file() for end in (".png", ".svg", "-dark.svg"))
    boards = [EventAccumulator(str(folder / wing.name)).Reload() for wing in WINGS]
    tags = sorted(f"{kind}/{form}" for kind in ("loss", "test_error_by_seed") for form in FORMS)
    assert sorted(boards[0].Tags()["scalars"]) == sorted(boards[1].Tags()["scalars"]) == tags
    assert [row[1] for row in outcome.tables[0].rows] == ["41,410", "41,410", "1,873", "1,898"]


def test_what_should_be_found_holds() -> None:
    assert failed(good()) == set()


@pytest.mark.parametrize("wing", ["scratch", "torch"])
@pytest.mark.parametrize(
    ("form", "change", "claims"),
    [
        ("shared", reads(0.25), {"sharing", "wings"}),
        ("small", reads(0.15), {"fewer", "wings"}),
        ("dropout", lambda net: net._replace(loss={**net.loss, "test": 0.9}), {"gap"}),
        ("dropout", lambda net: net._replace(crossed=(0.2, 0.22, 0.45, 0.6)), {"crossed"}),
    ],
)
def test_three_seeds_of_eleven_in_one_wing_are_enough_to_fail(
    wing: str, form: str, change: Callable[[Learnt], Learnt], claims: set[str]
) -> None:
    assert failed(planted(form, change, 3, (wing,))) == claims
    assert failed(planted(form, change, 1, (wing,))) == claims & {"wings"}


@pytest.mark.parametrize("error", [0.15, 0.25])
def test_dropout_may_neither_cost_nor_gain(error: float) -> None:
    assert failed(planted("dropout", reads(error), 11, ("scratch", "torch"))) == {"cost"}


def counts(**of: int) -> list[Found]:
    return [
        one._replace(
            learnt={
                form: {wing: net._replace(parameters=of.get(form, net.parameters)) for wing, net in nets.items()}
                for form, nets in one.learnt.items()
            }
        )
        for one in good()
    ]


def test_too_many_parameters_fail() -> None:
    assert failed(counts(shared=4_142)) == {"sharing"}
    assert failed(counts(small=1_899)) == {"fewer"}
    assert failed(planted("small", lambda net: net._replace(parameters=1), 1, ("torch",))) == {"sharing", "fewer"}


@pytest.mark.parametrize("apart", [1e-7, float("nan")])
def test_wings_that_part_fail(apart: float) -> None:
    assert failed([*good()[1:], good()[0]._replace(apart=apart)]) == {"wings"}


@pytest.mark.parametrize("form", FORMS)
def test_seeds_that_are_one_fail(form: str) -> None:
    assert failed(planted(form, lambda net: net._replace(curve=(0.5,)), 1, ("scratch",))) == set()
    assert failed(planted(form, lambda net: net._replace(curve=(0.5,)), 2, ("scratch",))) == {"wings"}


def test_the_words_follow_the_rates() -> None:
    one_rate, several = (thinning.judge(good(), config)[4].statement for config in (thinning.QUICK, thinning.FULL))
    assert "all at the rate 0.3" in one_rate
    assert "each at its own best rate" in several


def test_the_wings_learn_the_same_and_dropout_is_what_tells_the_two_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = thinning_nets.work(TINY, 0)
    assert sound.apart < 1e-13
    assert sound.learnt["full"]["scratch"].loss != sound.learnt["dropout"]["scratch"].loss
    assert {form: nets["torch"].parameters for form, nets in sound.learnt.items()} == COUNTS
    monkeypatch.setattr(thinning_nets, "draw_masks", lambda *_: None)
    forgotten = thinning_nets.work(TINY, 0)
    assert forgotten.learnt["full"] == forgotten.learnt["dropout"]
    assert {"gap", "crossed"} <= failed([forgotten], dataclasses.replace(TINY, level=0.5))


def test_masks_drawn_anew_for_each_wing_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, calls = thinning_nets.draw_masks, iter(range(10_000))
    monkeypatch.setattr(thinning_nets, "draw_masks", lambda drops, update, n: drawn(drops, update + next(calls), n))
    assert "wings" in failed([thinning_nets.work(TINY, 0)], TINY)


def test_images_are_moved_by_whole_pixels_and_halved() -> None:
    images = np.zeros((50, 6, 6), np.uint8)
    images[:, 3, 3] = 7
    moved = thinning_nets.move(images, 2, np.random.default_rng(0))
    places = np.argwhere(moved == 7)
    assert len(places) == 50
    assert moved.sum() == 350
    assert set(places[:, 1].tolist()) == set(places[:, 2].tolist()) == {1, 2, 3, 4, 5}
    parts = thinning_nets.parts(TINY, 5)
    assert {name: part.x.shape for name, part in parts.items()} == {
        "train": (40, 14, 14),
        "validation": (200, 14, 14),
        "test": (300, 14, 14),
    }


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.name)
def test_crossing_out_takes_the_chosen_share_and_enlarges_the_others(wing: thinning_nets.Wing) -> None:
    """Four units say 1 each for class 3, and class 0 has 2.5: two units, twice as strong, still say more."""
    params = {
        "fc1.weight": np.zeros((4, 196)),
        "fc1.bias": np.ones(4),
        "fc2.weight": np.zeros((10, 4)),
        "fc2.bias": np.zeros(10),
    }
    params["fc2.weight"][3], params["fc2.bias"][0] = 1, 2.5
    test = Part(np.zeros((6, 14, 14)), np.array([3, 3, 3, 3, 0, 0]))
    assert thinning_nets.cross_out(wing, params, 0.0, test, 3, 0) == pytest.approx(2 / 6)
    assert thinning_nets.cross_out(wing, params, 0.5, test, 3, 0) == pytest.approx(2 / 6)
    params["fc2.weight"][3] = [3, 0, 0, 0]  # one unit says it all: half of the times it is crossed out
    found = thinning_nets.cross_out(wing, params, 0.5, test, 200, 0)
    assert found == pytest.approx((2 / 6 + 4 / 6) / 2, abs=0.05)
