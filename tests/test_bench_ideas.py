"""What each idea brings: the plain ways compute the same, are really in place, and are given the same chances."""

import contextlib
import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratch
from experiments.bench import gains, networks, plain_ways, sections
from experiments.bench.cells import Cell
from experiments.bench.gains import Gain, Version
from experiments.bench.ideas import ALL, IDEAS, Idea
from experiments.bench.publishing import IDEAS as PAGE
from experiments.bench.workers import ROOT
from experiments.bench_command import Bench
from experiments.cli import main
from experiments.marks import around_the_marks
from scratch import activation, convolution, validation
from scratch.capture import Captured
from scratch.parallel import DataParallel

EACH = {**IDEAS, "all": ALL}


def cell_of(idea: Idea) -> Cell:
    """The smallest step that an idea concerns."""
    return Cell(model=idea.models[0], mode="train", batch=min(max(idea.least, 2), idea.most))


def watched(idea: Idea, used: Counter[str]) -> Idea:
    """The idea with its replacements counted when they are called."""

    def counted(place: str, function: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            used[place] += 1
            return function(*arguments, **keywords)

        if callable(function):
            call.__module__ = function.__module__  # as a method of `scratch` it is recorded
            return call
        return function

    return dataclasses.replace(idea, instead={place: counted(place, one) for place, one in idea.instead.items()})


@pytest.mark.parametrize("letter", EACH)
def test_a_plain_way_computes_the_same_and_is_what_is_timed(letter: str) -> None:
    idea, used = EACH[letter], Counter[str]()
    cell = cell_of(idea)
    now = Version(cell, contextlib.nullcontext)
    instead = Version(cell, watched(idea, used).put_in_place)
    gains.same_steps(cell, now, instead)
    unused = {place for place, function in idea.instead.items() if callable(function)} - set(used)
    # Without d, C5 is no fully connected layer.
    hidden = {f"scratch.unfolding.{name}" for name in ("linear", "linear_dx", "linear_dweight")}
    assert unused == (hidden if letter == "all" else set())
    # Replayed where the step as it is is replayed: a step may not be slower because it cannot be recorded.
    recorded = instead.steps.parts._quick
    assert isinstance(recorded, Captured) == (letter not in ("n", "all", "j (no n)", "l (no n)"))
    if isinstance(recorded, Captured):
        assert recorded._traceable
        assert len(recorded._recordings) == 1  # there and back; of three steps, the first is made plainly
    for version in (now, instead):
        version.steps.close()


def test_what_was_in_place_is_there_again() -> None:
    before = convolution.conv2d, activation.tanh

    def interrupted() -> None:
        with ALL.put_in_place():
            assert convolution.conv2d is plain_ways.conv2d
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert (convolution.conv2d, activation.tanh) == before


def steeper(dy: Any, y: Any, a: float, b: float) -> Any:
    return 1.001 * plain_ways.tanh_backward(dy, y, a, b)


def without_bias(x: Any, weight: Any, _: Any) -> Any:
    """Right as long as the biases are 0, as they are before the first step."""
    return plain_ways.linear(x, weight, None)


def too_far(parameter: Any, step: Any, lr: float) -> None:
    plain_ways.descend(parameter, step, 1.01 * lr)


@pytest.mark.parametrize(
    ("place", "wrong", "said"),
    [
        ("scratch.activation.tanh_backward", steeper, "differs from scratch in fc1.weight by"),
        ("scratch.linear.linear", without_bias, "the gradient of fc1.weight differs by"),
        ("scratch.optim.descend", too_far, "differs from scratch in fc1.weight by"),
    ],
)
def test_what_computes_something_else_is_refused_with_figures(place: str, wrong: Any, said: str) -> None:
    cell = Cell(model="mlp", mode="train", batch=2)
    gain = gains.compare("z", Idea("a wrong one", {place: wrong}), cell, rounds=1, seconds=0.001)
    assert said in gain.refused
    assert not gain.now
    assert gain.to_json()["ratio"] is None


def test_gradients_of_other_names_and_shapes_are_refused() -> None:
    cell, one = Cell(model="mlp", mode="train", batch=2), np.ones(3, np.float32)
    gains.same_gradients(cell, {"a": one}, {"a": one * np.float32(1 + 1e-5)})
    for other in ({"b": one}, {"a": one[:2]}, {"a": one * np.float32(np.nan)}, {"a": one * np.float32(1.01)}):
        with pytest.raises(gains.DisagreementError):
            gains.same_gradients(cell, {"a": one}, other)


def test_both_ways_are_timed_in_turns_and_in_processes_of_their_own_where_it_matters() -> None:
    cell = Cell(model="mlp", mode="train", batch=1)
    together = gains.compare("f", IDEAS["f"], cell, rounds=2, seconds=0.001)
    (apart,) = gains.compare_apart("l (no n)", IDEAS["l (no n)"], [cell], rounds=2, seconds=0.001)
    for gain in (together, apart):
        assert not gain.refused
        assert len(gain.now) == len(gain.instead) == 2
        assert min(*gain.now, *gain.instead) > 0


def test_an_idea_is_measured_where_it_makes_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Cell]] = []

    def compare(letter: str, idea: Idea, cell: Cell, **_: float) -> Gain:
        asked.append((letter, cell))
        return Gain(letter, idea, cell, (1.0,), (1.0,))

    monkeypatch.setattr(gains, "compare", compare)
    monkeypatch.setattr(
        gains, "compare_apart", lambda letter, idea, cells, **_: [compare(letter, idea, cell) for cell in cells]
    )
    assert len(gains.measure(sections.cells(Bench()), rounds=1, seconds=1)) == len(asked)
    assert all(cell.mode == "train" for _, cell in asked)
    places = {letter: [(cell.model, cell.batch) for own, cell in asked if own == letter] for letter, _ in asked}
    assert set(places) == {*IDEAS, ""}
    assert places["j (no n)"] == places["a"]
    assert places["f"] == [("lenet5", 1), ("mlp", 1)]
    assert places["m"] == [("lenet5", 64), ("lenet5", 256)]
    assert len(places["a"]) == 4
    assert len(places[""]) == 8


def test_parts_and_pieces_are_there_where_they_are_compared() -> None:
    net = networks.scratch_network(Cell(model="lenet5", mode="train", batch=1))

    def plan(samples: int, threads: int) -> list[int]:
        parts = DataParallel(net, scratch.CrossEntropy(), threads)
        return [len(pieces) for pieces in parts.plan(np.zeros((samples, 1, 28, 28), np.float32))]

    assert (plan(32, 1), min(plan(IDEAS["m"].least, 1)) > 1) == ([1], True)
    assert (len(plan(8, 2)), len(plan(IDEAS["o"].least, 2)), len(plan(IDEAS["two threads"].least, 2))) == (1, 2, 2)


def some_gains() -> list[Gain]:
    """A gain of twice the speed, a loss, and one that was refused."""
    cell = Cell(model="lenet5", mode="train", batch=16)
    return [
        Gain("c", IDEAS["c"], cell, (1.0, 2.0), (2.0, 4.0)),
        Gain("c", IDEAS["c"], dataclasses.replace(cell, batch=64), refused="it differs in c1.weight"),
        Gain("two threads", IDEAS["two threads"], cell, (1.0, 2.0), (2.0, 4.0)),
    ]


def test_a_table_says_how_much_faster_the_idea_makes_it() -> None:
    found = some_gains()
    kept, thrown = (gains.table(found, kept=kept) for kept in (True, False))
    assert kept.headings == ("", "idea", "network", "batch 16", "batch 64")
    assert kept.rows == (("c", "no gradient of the image", "lenet5", "2.00 (2.00–2.00)", "refused"),)
    assert thrown.rows == (("", "two threads in one process", "lenet5", "0.50 (0.50–0.50)", "–"),)
    assert gains.table(found, kept=True, quartiles=False).rows[0][3] == "2.00"


def test_the_command_shows_records_and_publishes_what_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(gains, "measure", lambda _, **keywords: asked.append(keywords) or some_gains())
    words = ("bench", "--what", "ideas", "--runs-dir", str(tmp_path), "--publish", str(tmp_path))
    assert main([*words]) == 1
    assert "speed.md: expected a part between" in capsys.readouterr().err
    assert not asked
    (tmp_path / "speed.md").write_text(f"before\n{PAGE.begin}\nold\n{PAGE.end}\nafter\n")
    (tmp_path / "images" / "speed").mkdir(parents=True)
    assert main([*words]) == 1, "one was refused"
    assert (asked[0]["rounds"], asked[0]["seconds"]) == (7, 0.3 / 4)
    out = capsys.readouterr().out
    assert "no gradient of the image was refused: it differs in c1.weight" in out
    text = (tmp_path / "speed.md").read_text()
    assert text.startswith(f"before\n{PAGE.begin}\n\nMeasured ")
    assert "7 rounds of 0.075 s in turns.\n" in text
    assert "| c | no gradient of the image | lenet5 | 2.00 (2.00–2.00) | refused |" in text
    assert text.endswith(f"{PAGE.end}\nafter\n")
    assert (tmp_path / "images" / "speed").is_dir()
    record = json.loads((tmp_path / "bench" / "bench.json").read_text())["ideas"]
    assert [one["ratio"] and one["ratio"]["median"] for one in record] == [2.0, None, 0.5]


def test_ideas_have_a_page_of_their_own() -> None:
    before, after = around_the_marks(ROOT / "docs", PAGE)
    assert all(f"**{letter}. " in before + after for letter in IDEAS if len(letter) == 1)
    assert sections.asked_for(Bench(what="ideas", profile=True)) == ["profile", "ideas"]
    assert "ideas" not in sections.asked_for(Bench(what="all"))


def test_what_is_given_is_in_place_with_the_idea_and_without() -> None:
    idea, cell = IDEAS["j (no n)"], Cell(model="lenet5", mode="train", batch=1)
    fits = validation.fits
    with idea.put_in_place(instead=False):
        assert not isinstance(Version(cell, contextlib.nullcontext).steps.parts._quick, Captured)
        assert validation.fits is fits
    with idea.put_in_place():
        assert validation.fits is plain_ways.fits
