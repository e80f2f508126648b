"""How the cost grows, counted and fitted; what the figures of the comparison show, and that no names overlap."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from experiments.bench import figures, scaling
from experiments.bench.agreement import Difference
from experiments.bench.cells import Cell
from experiments.bench.results import Measured, Timing
from experiments.bench.scaling import Growth
from experiments.lecture.lab.themes import LIGHT, THEMES


def measured(cell: Cell, seconds: Mapping[str, Mapping[int, float]]) -> Measured:
    """A cell with seconds per step by name and number of threads, in three rounds a little apart."""
    timings = [
        Timing(name, threads, (0.9 * value, value, 1.1 * value), 1.0, Difference("loss", 0.0, 1.0), {})
        for name, by_threads in seconds.items()
        for threads, value in by_threads.items()
    ]
    return Measured(cell, tuple(timings))


@pytest.fixture(scope="module")
def grown() -> Growth:
    """More maps: scratch as its multiply-adds, torch all the same, jax missing in the last cell."""
    _, study, _ = scaling.studies(batch=2)
    cells = []
    for cell in study.cells:
        products = scaling.multiply_adds(cell) * 1e-9
        seconds = {"scratch": {1: 2 * products, 2: products}, "torch": {1: 0.001}, "jax": {1: 0.002}}
        cells.append(measured(cell, seconds if cell is not study.cells[-1] else seconds | {"jax": {}}))
    return Growth(study, tuple(cells))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures themselves, in the order in which they are written."""
    kept: list[Figure] = []
    original = figures.svg

    def keep(figure: Figure) -> str:
        kept.append(figure)
        return original(figure)

    monkeypatch.setattr(figures, "svg", keep)
    return kept


@pytest.mark.parametrize(
    ("model", "first", "others"),
    [
        ("lenet5", 6 * 25 * 28**2, 6 * 14**2 + 60 * 25 * 10**2 + 16 * 5**2 + 120 * 400 + 84 * 120 + 10 * 84),
        ("conv", 6 * 25 * 28**2, 6 * 14**2 + 96 * 25 * 10**2 + 16 * 5**2 + 10 * 400),
        ("mlp", 784 * 300, 300 * 100 + 100 * 10),
    ],
)
def test_multiply_adds_are_counted_without_the_gradient_of_the_images(model: Any, first: int, others: int) -> None:
    assert scaling.multiply_adds(Cell(model=model, mode="infer", batch=7)) == first + others
    assert scaling.multiply_adds(Cell(model=model, mode="train", batch=7)) == 2 * first + 3 * others


def test_values_are_what_the_layers_put_out() -> None:
    maps = 6 * 28**2 * 2 + 6 * 14**2 * 2 + 16 * 10**2 * 2 + 16 * 5**2 * 2 + 400
    assert scaling.values(Cell(model="conv", mode="train", batch=7)) == maps + 10


def test_each_study_grows_in_one_size() -> None:
    image, maps, units = scaling.studies(batch=16)
    assert [cell.image for cell in image.cells] == [32, 48, 64, 96] == list(image.sizes)
    assert [6 * cell.width for cell in maps.cells] == list(maps.sizes) == [6, 12, 24, 48]
    assert [300 * cell.width for cell in units.cells] == list(units.sizes) == [300, 600, 1200, 2400]
    for study in (image, maps, units):
        assert {(cell.mode, cell.batch, cell.dtype) for cell in study.cells} == {("train", 16, "float32")}
        counts = [scaling.multiply_adds(cell) for cell in study.cells]
        assert all(below < above for below, above in pairwise(counts))


def test_a_power_is_found_from_its_values() -> None:
    sizes = np.array([2.0, 3.0, 7.0])
    assert scaling.slope(sizes, 0.01 * sizes**1.7) == pytest.approx(1.7, abs=1e-12)


def test_a_growth_is_that_of_the_better_number_of_threads(grown: Growth) -> None:
    assert grown.names == ["scratch", "torch"]  # who was not timed everywhere has no exponent
    assert grown.seconds("scratch") == pytest.approx([1e-9 / 2 * count for count in grown.multiply_adds])
    values, products = grown.expected
    assert grown.slope("scratch") == pytest.approx(products, abs=1e-12)
    assert grown.slope("torch") == pytest.approx(0, abs=1e-12)
    assert values == pytest.approx(1, abs=1e-3)  # all but the ten outputs
    assert 1 < products < 2  # C1 grows with n, C3 with its square
    assert [math.isnan(value) for value in grown.seconds("jax")] == [False, False, False, True]
    content = grown.to_json()
    assert content["exponents"] == {
        "values": values,
        "multiply-adds": products,
        "scratch": grown.slope("scratch"),
        "torch": grown.slope("torch"),
    }
    assert len(content["cells"]) == len(content["sizes"]) == 4


def test_the_table_has_a_row_per_network_and_the_exponents(grown: Growth) -> None:
    table = scaling.table([grown])
    assert table.headings[3:] == ("values", "multiply-adds", "scratch, µs per image", "torch, µs per image")
    assert all(len(row) == len(table.headings) for row in table.rows)
    assert [row[2] for row in table.rows] == ["6", "12", "24", "48", "exponent of n"]
    values, products = grown.values[0], grown.multiply_adds[0]
    assert table.rows[0][3:] == (f"{values:,}", f"{products:,}", f"{products / 2e3:,.1f}", "500.0")
    assert table.rows[-1][3:6] == (f"{grown.expected[0]:.2f}", *[f"{grown.expected[1]:.2f}"] * 2)


def test_every_network_is_timed_for_scratch_and_its_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, asked = [], []

    @contextlib.contextmanager
    def started(entrants: Any) -> Iterator[str]:
        begun.extend(map(str, entrants))
        yield "workers"

    def time_cell(cell: Cell, workers: Any, **keywords: Any) -> Measured:
        asked.append((cell, workers, keywords["rounds"], keywords["seconds"]))
        return measured(cell, {"scratch": {1: 1.0}})

    monkeypatch.setattr(scaling, "started", started)
    monkeypatch.setattr(scaling, "time_cell", time_cell)
    found = scaling.measure(threads=2, rounds=5, seconds=0.1, batch=3)
    assert begun == ["scratch@1", "scratch@2", "torch@1", "torch@2"]
    assert [growth.study for growth in found] == list(scaling.studies(3))
    assert asked == [(cell, "workers", 5, 0.1) for study in scaling.studies(3) for cell in study.cells]


def test_throughput_is_drawn_as_it_was_measured(tmp_path: Path, drawn: list[Figure]) -> None:
    cells = [
        measured(
            Cell(model=model, mode=mode, batch=batch),
            {
                "scratch": {1: 0.002, 2: 0.001 * factor},
                "torch": {1: 0.004},
                "sklearn": {1: 0.003} if model == "mlp" else {},
            },
        )
        for model in ("lenet5", "mlp")
        for mode, factor in (("train", 1.0), ("infer", 0.5))
        for batch in (1, 64)
    ]
    (made,) = figures.throughput(cells, tmp_path)
    assert made.name == "throughput-float32"
    assert (
        "At batch 64: LeNet-5, training: scratch 64,000, torch 16,000; LeNet-5, inference: scratch 128,000" in made.alt
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["throughput-float32-dark.svg", "throughput-float32.svg"]
    for figure, theme in zip(drawn, THEMES, strict=True):
        assert [axes.get_title(loc="left") for axes in figure.axes] == [
            *("LeNet-5, training", "LeNet-5, inference"),
            *("MLP 784-300-100-10, training", "MLP 784-300-100-10, inference"),
        ]
        first, second, third, _ = figure.axes
        assert [len(axes.lines) for axes in (first, third)] == [2, 3]
        for axes, rate in ((first, 1000), (second, 2000)):
            ours = axes.lines[0]
            assert ours.get_color() == theme.blue
            assert ours.get_xdata().tolist() == [1, 64]
            assert ours.get_ydata() == pytest.approx([rate, 64 * rate])
            (_, low), (_, high) = axes.collections[0].get_segments()[
                0
            ]  # of rounds of 0.9, 1 and 1.1 times as many seconds
            assert (low, high) == pytest.approx((rate / 1.05, rate / 0.95))
        assert sorted(text.get_text() for text in third.texts) == ["scratch", "sklearn", "torch"]
        assert {text.get_text(): text.get_color() for text in third.texts}["torch"] == theme.vermillion


def test_growth_is_drawn_beside_the_multiply_adds(tmp_path: Path, drawn: list[Figure], grown: Growth) -> None:
    (made,) = figures.growth([grown, grown], tmp_path)
    values, products = (f"{exponent:.2f}" for exponent in grown.expected)
    assert f"{values} for the values, {products} for the multiply-adds, {products} for scratch" in made.alt
    assert {path.name for path in tmp_path.iterdir()} == {"scaling.svg", "scaling-dark.svg"}
    ours, torch, slow, steep = drawn[0].axes[0].lines
    assert ours.get_ydata() == pytest.approx([1e-3 / 2 * count for count in grown.multiply_adds])
    assert torch.get_ydata() == pytest.approx([500] * 4)
    assert steep.get_ydata() == pytest.approx(ours.get_ydata())  # it costs what its products cost
    assert slow.get_ydata() / ours.get_ydata()[-1] == pytest.approx(np.array(grown.values) / grown.values[-1])
    texts = {text.get_text() for text in drawn[0].axes[1].texts}
    assert texts == {
        f"scratch  $n^{{{products}}}$",
        f"torch  $n^{{{grown.slope('torch'):.2f}}}$",
        f"· · ·  values  $n^{{{values}}}$\n– –  multiply-adds  $n^{{{products}}}$",
    }


def test_one_competitor_at_one_batch_size_can_be_drawn(tmp_path: Path) -> None:
    alone = [measured(Cell(model="mlp", mode="infer", batch=4, dtype="float64"), {"scratch": {1: 0.001}})]
    (made,) = figures.throughput(alone, tmp_path)
    assert (tmp_path / f"{made.name}.svg").read_text().startswith("<?xml")


def test_names_do_not_overlap_and_are_moved_no_more_than_it_takes() -> None:
    figure = Figure(figsize=(4, 3))
    axes = figure.subplots()
    values = {"scratch": 1000.0, "torch": 101.0, "torch-compile": 100.0, "jax": 99.0, "mygrad": 99.0, "sklearn": 3.0}
    axes.plot([1] * len(values), list(values.values()))
    axes.set_yscale("log")
    ends = [figures.End(name, name, 1, value) for name, value in values.items()]
    figures._name_the_ends(figure, LIGHT, {axes: ends})
    figure.draw_without_rendering()
    texts = {text.get_text(): text for text in axes.texts}
    # An annotation's own extent has its line in it.
    boxes = [Text.get_window_extent(texts[name]) for name in sorted(values, key=values.__getitem__)]
    assert all(below.y1 <= above.y0 for below, above in pairwise(boxes))
    upward = {name: text.xyann[1] for name, text in texts.items()}
    assert upward["scratch"] == upward["sklearn"] == 0
    assert upward["torch"] > 0 > min(upward["jax"], upward["mygrad"])
    assert sum(upward.values()) == pytest.approx(0, abs=1e-6)
