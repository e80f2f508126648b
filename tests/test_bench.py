"""`twice bench`: what is timed, how turns are taken, and what follows from the figures."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import scratch
from experiments.bench import networks, publishing, tables
from experiments.bench.agreement import Difference
from experiments.bench.alternating import alternate, ratios, spread
from experiments.bench.cells import BATCH_SIZES, TARGETS, Cell, met, target
from experiments.bench.competitors import COMPETITORS, PEERS
from experiments.bench.publishing import Figure, Section
from experiments.bench.results import Measured, Timing, verdicts
from experiments.bench.timing import entrants, installed
from experiments.bench.worker import measure
from experiments.errors import UserError

CELL = Cell(model="lenet5", mode="train", batch=64)


def timing(name: str, *rounds: float, threads: int = 1) -> Timing:
    return Timing(name, threads, rounds, 0.5, Difference("loss", 0.0, 1e-6), {"threads": threads})


def measured(torch: float, jax: float = 0.011, cell: Cell = CELL) -> Measured:
    """A cell in which `scratch` takes 10 ms with one thread and 20 with two, and torch so long with two."""
    return Measured(
        cell,
        (
            timing("scratch", 0.010, 0.008, 0.012),
            timing("scratch", 0.020, 0.020, 0.020, threads=2),
            timing("torch", 0.5, 0.5, 0.5),
            timing("torch", torch, torch, torch, threads=2),
            timing("jax", jax, jax, jax),
        ),
        {"mygrad@1": "differs"},
    )


def test_every_network_starts_from_the_same_weights_and_images() -> None:
    for cell in (CELL, Cell(model="mlp", mode="infer", batch=3), Cell(model="conv", mode="train", batch=2, image=20)):
        first, second = networks.initial_state(cell), networks.initial_state(cell)
        assert all(np.array_equal(first[name], second[name]) for name in first)
        images, labels = networks.batch(cell)
        assert np.array_equal(images, networks.batch(cell).images)
        output, _ = networks.scratch_network(cell).forward(images)
        assert output.shape == (cell.batch, 10)
        assert output.dtype == images.dtype == cell.dtype
        assert set(labels) <= set(range(10))
    wide = Cell(model="mlp", mode="train", batch=1, width=2, image=14)
    assert [w.shape for w in networks.initial_state(wide).values() if w.ndim == 2] == [
        (600, 196),
        (200, 600),
        (10, 200),
    ]


def test_the_cost_of_the_network_that_grows_follows_image_and_width() -> None:
    def cost(image: int, width: float) -> int:
        cell = Cell(model="conv", mode="train", batch=1, image=image, width=width)
        return scratch.summarize(networks.scratch_network(cell), (1, image, image)).multiply_adds

    assert cost(56, 1) / cost(28, 1) == pytest.approx(4, rel=0.4)
    assert cost(28, 16) / cost(28, 8) == pytest.approx(4, rel=0.1)


def test_lenet5_cannot_grow() -> None:
    with pytest.raises(ValueError, match=r"28 pixels and width 1, got 32 and 1; use conv"):
        Cell(model="lenet5", mode="train", batch=1, image=32)


def test_the_targets_are_those_of_the_issue() -> None:
    assert TARGETS["lenet5", "train"] == dict(zip(BATCH_SIZES, (3.0, 3.0, 3.0, 2.5), strict=True))
    assert TARGETS["mlp", "train"] == dict(zip(BATCH_SIZES, (1.5, 2.0, 2.0, 1.5), strict=True))
    assert [target(CELL, peer) for peer in PEERS] == [3.0, 1.0, 1.0, None, None]
    assert target(dataclasses.replace(CELL, dtype="float64"), "torch") == 2.0
    assert target(dataclasses.replace(CELL, batch=32), "torch") is None
    assert target(Cell(model="mlp", mode="train", batch=64, width=2), "torch") is None
    assert met(3.0, 3.0)
    assert not met(2.99, 3.0)
    assert met(1.001, 1.0)
    assert not met(1.0, 1.0)


def test_turns_rotate_and_every_measure_lands_with_its_name() -> None:
    order: list[str] = []

    def turn(name: str) -> float:
        order.append(name)
        return float(len(order))

    taken = alternate({name: (lambda name=name: turn(name)) for name in "abc"}, 3, pause=0.0)
    assert "".join(order) == "abc" + "bca" + "cab"
    assert taken == {"a": (1.0, 6.0, 8.0), "b": (2.0, 4.0, 9.0), "c": (3.0, 5.0, 7.0)}


def test_a_ratio_is_taken_round_by_round() -> None:
    # In the third round the machine was ten times slower for both: no single ratio is moved by it.
    peer, own = (3.0, 3.3, 30.0), (1.0, 1.0, 10.0)
    assert ratios(peer, own) == [3.0, 3.3, 3.0]
    assert spread(ratios(peer, own)) == pytest.approx((3.0, 3.0, 3.15))


def test_a_measure_lasts_as_long_as_asked_and_counts_its_steps() -> None:
    steps: list[int] = []
    seconds, counted = measure(lambda: steps.append(1), 0.01, burst=7)
    assert counted == len(steps)
    assert counted % 7 == 0
    assert 0.01 <= seconds * counted < 1


def test_the_faster_number_of_threads_counts_for_both() -> None:
    one = measured(torch=0.032)
    assert [best.threads for name in ("scratch", "torch") if (best := one.best(name))] == [1, 2]
    assert one.ratio("torch") == pytest.approx((3.2, (3.2 + 0.032 / 0.012) / 2, (3.2 + 4) / 2))
    assert one.images_per_second("scratch") == pytest.approx(6400)
    assert one.ratio("mygrad") is None
    record = one.to_dict()
    assert record["best_threads"] == {"scratch": 1, "torch": 2, "jax": 1}
    assert record["timings"][0]["rounds"] == (0.010, 0.008, 0.012)


def test_a_target_that_is_missed_or_was_not_measured_is_not_met() -> None:
    held = list(verdicts([measured(torch=0.032)], ("torch", "jax", "sklearn")))
    assert [(verdict.peer, verdict.held) for verdict in held] == [("torch", True), ("jax", True)]
    assert tables.summary(held) == ["2 of 2 targets met"]
    missed = list(verdicts([measured(torch=0.029, jax=0.009)], ("torch", "jax", "torch-compile")))
    assert [verdict.held for verdict in missed] == [False, False, False]
    assert tables.summary(missed) == [
        "0 of 3 targets met",
        "missed: lenet5 train batch 64 float32 against torch, 2.90 of 3",
        "missed: lenet5 train batch 64 float32 against jax, 0.90 of 1",
        "missed: lenet5 train batch 64 float32 against torch-compile, not measured of 1",
    ]


def test_the_tables_say_what_was_measured() -> None:
    one = measured(torch=0.032, jax=0.009)
    assert list(tables.markdown(tables.speeds([one], ("scratch", "torch", "jax", "mygrad"))))[2:] == [
        "| network | step | dtype | batch | scratch | torch | jax | mygrad |",
        "|---|---|---|---:|---:|---:|---:|---:|",
        "| lenet5 | train | float32 | 64 | 6,400 (1) | 2,000 (2) | 7,111 (1) | – |",
    ]
    assert tables.comparison([one], ("torch", "jax", "mygrad")).rows[0][4:] == (
        "3.20 (2.93–3.60) ≥ 3 ✓",
        "0.90 (0.82–1.01) > 1 ✗",
        "–",
    )
    assert tables.comparison([one], ("torch",), quartiles=False).rows[0][4:] == ("3.20 ≥ 3 ✓",)
    assert tables.refusals([one]) == ["lenet5 train batch 64 float32: mygrad@1 was refused: differs"]
    assert tables.line(one) == "lenet5 train batch 64 float32: scratch 6,400, torch 2,000, jax 7,111 images/s"


def test_each_competitor_takes_part_with_one_thread_and_with_all() -> None:
    assert [str(entrant) for entrant in entrants(("scratch", "torch"), 2)] == [
        *("scratch@1", "scratch@2"),
        *("torch@1", "torch@2"),
    ]
    assert [str(entrant) for entrant in entrants(("scratch",), 1)] == ["scratch@1"]


def test_who_is_not_installed_is_left_out_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMPETITORS, "jax", COMPETITORS["jax"]._replace(needs="no_such_library"))
    assert installed(("torch", "jax")) == (
        ("torch",),
        ["jax is left out: no_such_library is not installed; pip install 'twice-nn[bench]' brings it"],
    )


def test_publishing_writes_between_the_marks_and_nowhere_else(tmp_path: Path) -> None:
    folder, documents = tmp_path / "bench", tmp_path / "docs"
    folder.mkdir()
    documents.mkdir()
    results = documents / "results.md"
    section = Section("steps", "Steps", "| a |\n|---|\n| 1 |\n", {}, figures=(Figure("speed", 'fast "est"'),))
    for text in ("", f"before\n{publishing.BEGIN}\n", f"before\n{publishing.END}\n"):
        results.write_text(text)
        with pytest.raises(UserError, match="expected a part between"):
            publishing.publish("when", [section], folder, documents)
        assert results.read_text() == text
    (folder / "speed.svg").write_text("light")
    (folder / "speed-dark.svg").write_text("dark")
    results.write_text(f"before\n\n{publishing.BEGIN}\nold\n{publishing.END}\nafter\n")
    for _ in range(2):
        images, written = publishing.publish("when", [section], folder, documents)
        assert sorted(path.name for path in images.iterdir()) == ["speed-dark.svg", "speed.svg"]
        assert written.read_text() == (
            f"before\n\n{publishing.BEGIN}\n\nwhen\n\n### Steps\n\n| a |\n|---|\n| 1 |\n\n"
            '<picture>\n<source media="(prefers-color-scheme: dark)" srcset="images/speed/speed-dark.svg">\n'
            '<img alt="fast &quot;est&quot;" src="images/speed/speed.svg">\n</picture>\n'
            f"{publishing.END}\nafter\n"
        )
