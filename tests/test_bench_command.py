"""`twice bench`: what it prints, writes and refuses, with competitors whose times are given."""

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.bench import networks, scaling, sections
from experiments.bench.cells import Cell
from experiments.bench.competitors import COMPETITORS
from experiments.bench.figures import throughput
from experiments.bench.publishing import BEGIN, END, Figure, Section
from experiments.bench.workers import Entrant, Prepared, WorkerError
from experiments.bench_command import Bench
from experiments.cli import main


class Fake:
    """A worker that takes the seconds it is given, and comes to the initial weights after a step, or beside them."""

    times: dict[str, float]
    moved: dict[str, float]

    def __init__(self, entrant: Entrant) -> None:
        self.entrant = entrant

    def prepare(self, cell: Cell) -> Prepared:
        if self.times[self.entrant.name] < 0:
            raise WorkerError(f"{self.entrant}: MemoryError: too large")
        moved = 0.001 + self.moved.get(self.entrant.name, 0.0)
        state = {name: value + value.dtype.type(moved) for name, value in networks.initial_state(cell).items()}
        return Prepared({"threads": self.entrant.threads}, {"loss": np.array(2.3), **state}, 0.1)

    def measure(self, _: float) -> float:
        if self.times[self.entrant.name] == math.inf:
            raise WorkerError(f"{self.entrant} ended with status -9")
        return self.times[self.entrant.name] * self.entrant.threads


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> type[Fake]:
    @contextlib.contextmanager
    def started(entrants: list[Entrant]) -> Iterator[dict[Entrant, Fake]]:
        yield {entrant: Fake(entrant) for entrant in entrants}

    monkeypatch.setattr(sections, "started", started)
    monkeypatch.setattr(scaling, "started", started)
    monkeypatch.setattr("experiments.bench.timing.PAUSE", 0.0)
    monkeypatch.setattr(Fake, "times", {"scratch": 0.01, "torch": 0.04, "jax": 0.02, "sklearn": 0.03}, raising=False)
    monkeypatch.setattr(Fake, "moved", {}, raising=False)
    monkeypatch.setattr("experiments.bench.figures.throughput", lambda *_: ())
    return Fake


def bench(tmp_path: Path, *words: str) -> int:
    cells = ("--models", "lenet5", "--modes", "train", "--batch-sizes", "16", "--rounds", "2")
    return main(["bench", *cells, "--runs-dir", str(tmp_path), *words])


def test_a_met_target_is_success_and_everything_is_recorded(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.bench.figures.throughput", throughput)
    assert bench(tmp_path, "--peers", "torch", "jax") == 0
    printed = capsys.readouterr().out
    assert "lenet5 train batch 16 float32: scratch 1,600, torch 400, jax 800 images/s" in printed
    assert "4.00 ≥ 3 ✓" in printed
    assert "2 of 2 targets met" in printed
    record = json.loads((tmp_path / "bench" / "bench.json").read_text())
    assert record["exit_code"] == 0
    assert record["machine"]["argv"]
    assert record["machine"]["versions"]["numpy"] == np.__version__
    (cell,) = record["steps"]["cells"]
    assert [timing["rounds"] for timing in cell["timings"] if timing["name"] == "torch"] == [[0.04] * 2, [0.08] * 2]
    assert cell["ratio"]["torch"]["median"] == 4
    page = (tmp_path / "bench" / "bench.md").read_text()
    assert "| lenet5 | train | float32 | 16 | 1,600 (1) | 400 (1) | 800 (1) |" in page
    assert "| lenet5 | train | float32 | 16 | 4.00 (4.00–4.00) ≥ 3 ✓ | 2.00 (2.00–2.00) > 1 ✓ |" in page
    assert sorted(path.name for path in (tmp_path / "bench").glob("*.svg")) == [
        *("throughput-float32-dark.svg", "throughput-float32.svg"),
    ]


def test_a_missed_target_is_failure(fakes: type[Fake], tmp_path: Path, capsys) -> None:
    fakes.times["torch"] = 0.029
    assert bench(tmp_path, "--peers", "torch") == 1
    assert "missed: lenet5 train batch 16 float32 against torch, 2.90 of 3" in capsys.readouterr().out
    assert bench(tmp_path, "--peers", "torch", "--quick") == 0, "a quick run is not judged"
    assert bench(tmp_path, "--peers", "none") == 0


def test_who_computes_something_else_or_fails_is_refused_with_the_reason(
    fakes: type[Fake], tmp_path: Path, capsys
) -> None:
    fakes.moved["torch"] = 0.01
    assert bench(tmp_path, "--peers", "torch") == 1
    printed = capsys.readouterr().out
    assert "torch@1 was refused: lenet5 train batch 16 float32: differs from scratch in" in printed
    assert "c1.weight by 0.01" in printed
    fakes.times["jax"] = -1.0
    assert bench(tmp_path, "--peers", "jax", "--quick") == 1, "a quick run too"
    assert "jax@1 was refused: jax@1: MemoryError: too large" in capsys.readouterr().out
    fakes.times["torch"], fakes.moved["torch"] = math.inf, 0.0
    assert bench(tmp_path, "--peers", "torch", "jax") == 1
    printed = capsys.readouterr().out
    assert "torch@2 was refused: torch@2 ended with status -9" in printed
    assert "against torch, not measured of 3" in printed
    fakes.times["scratch"] = -1.0
    assert bench(tmp_path, "--peers", "none") == 1
    assert "error: the measurement cannot go on: scratch@1: MemoryError" in capsys.readouterr().err


def test_who_cannot_compute_a_network_is_passed_over(tmp_path: Path, capsys) -> None:
    assert bench(tmp_path, "--models", "lenet5", "mlp", "--peers", "sklearn") == 0
    rows = [
        line.split() for line in capsys.readouterr().out.splitlines() if "float32" in line and "images/s" not in line
    ]
    assert [row[-1] for row in rows[:2]] == ["–", "(1)"]


def test_json_is_one_object(tmp_path: Path, capsys) -> None:
    assert bench(tmp_path, "--peers", "torch", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["steps"]["verdicts"][0]["held"] is True
    assert "targets met" in err


def test_an_absent_peer_is_left_out_unless_it_was_named(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("jax", "mygrad", "sklearn", "torch-compile"):
        monkeypatch.setitem(COMPETITORS, name, COMPETITORS[name]._replace(needs=f"no_such_{name.replace('-', '_')}"))
    assert bench(tmp_path) == 0
    sentence = "jax is left out: no_such_jax is not installed; pip install 'twice-nn[bench]' brings it"
    assert sentence in capsys.readouterr().out
    assert sentence in (tmp_path / "bench" / "bench.md").read_text()
    assert bench(tmp_path, "--peers", "jax") == 2
    assert f"error: --peers: {sentence}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--models", "lent5"], "got 'lent5'; did you mean 'lenet5'?"),
        (["--models"], "--models: expected at least one"),
        (["--models", "mlp", "mlp"], "--models: got 'mlp' twice"),
        (["--batch-sizes", "16", "0"], "--batch-sizes: expected a whole number of at least 1; got 0"),
        (["--peers", "none", "torch"], "--peers: all and none stand alone"),
        (["--threads", "0"], "--threads: expected a whole number of at least 1; got 0"),
        (["--rounds", "0"], "--rounds: expected a whole number of at least 1; got 0"),
        (["--seconds", "0"], "--seconds: expected a number greater than 0; got 0"),
        (["--seconds", "nan"], "--seconds: expected a number greater than 0; got nan"),
        (["--publish", "docs"], "--publish: expected with --what all or ideas, without --quick"),
        (["--what", "all", "--publish", "nowhere"], "--publish: there is no folder nowhere"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(words: list[str], said: str, tmp_path: Path, capsys) -> None:
    assert main(["bench", "--runs-dir", str(tmp_path), *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_publishing_needs_its_marks_before_anything_is_measured(fakes: type[Fake], tmp_path: Path, capsys) -> None:
    (tmp_path / "results.md").write_text("no marks\n")
    fakes.times["scratch"] = -1.0
    assert bench(tmp_path, "--what", "all", "--publish", str(tmp_path)) == 1
    assert "expected a part between" in capsys.readouterr().err


def test_all_measures_every_part_and_publishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "results.md").write_text(f"{BEGIN}\n{END}\n")
    for part in ("profile", "epoch", "memory", "scaling"):
        section = Section(part, part.title(), f"the {part}", {"seconds": 1}, held=part != "memory")
        monkeypatch.setitem(sections.PARTS, part, lambda _, section=section: section)
    words = ("--what", "all", "--peers", "torch", "--publish", str(tmp_path))
    assert bench(tmp_path, *words) == 1, "memory has missed its target"
    text = (tmp_path / "results.md").read_text()
    places = [text.index(f"### {part}") for part in ("Steps", "Scaling", "Profile", "Epoch", "Memory")]
    assert places == sorted(places)
    assert json.loads((tmp_path / "bench" / "bench.json").read_text())["memory"] == {"seconds": 1}


@dataclasses.dataclass
class Study:
    """What a study of an epoch came to."""

    met: bool | None

    def to_json(self) -> dict[str, Any]:
        return {"met": self.met}


@pytest.mark.parametrize("what", ["epoch", "memory"])
@pytest.mark.parametrize("met", [True, False, None])
def test_a_study_that_misses_its_target_is_failure(
    what: str, met: bool | None, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    module = f"experiments.bench.{what}"
    monkeypatch.setattr(f"{module}.measure", lambda **keywords: asked.append(keywords) or Study(met))
    monkeypatch.setattr(f"{module}.show", lambda found, console: console.print(f"shown: {found.met}"))
    monkeypatch.setattr(f"{module}.markdown", lambda found: f"| {found.met} |")
    assert bench(tmp_path, "--what", what, "--threads", "3") == int(met is False)
    assert bench(tmp_path, "--what", what, "--quick") == 0
    assert [keywords["threads"] for keywords in asked] == [3, 1]
    assert json.loads((tmp_path / "bench" / "bench.json").read_text())[what] == {"met": met}
    assert f"| {met} |" in (tmp_path / "bench" / "bench.md").read_text()
    assert f"shown: {met}" in capsys.readouterr().out


def test_growth_is_measured_drawn_and_recorded(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = tuple(Cell(model="conv", mode="train", batch=1, image=image) for image in (12, 16))
    study = scaling.Study("image", "larger images", "pixels", (12, 16), cells)
    monkeypatch.setattr(scaling, "studies", lambda _: (study,))
    monkeypatch.setattr("experiments.bench.figures.growth", lambda _, folder: (Figure("growth", f"in {folder.name}"),))
    assert bench(tmp_path, "--what", "scaling", "--peers", "torch", "jax", "--rounds", "1") == 0
    assert "multiply-adds" in capsys.readouterr().out
    assert 'alt="in bench" src="./growth.svg"' in (tmp_path / "bench" / "bench.md").read_text()
    record = json.loads((tmp_path / "bench" / "bench.json").read_text())
    assert {timing["name"] for timing in record["scaling"][0]["cells"][0]["timings"]} == {"scratch", "torch"}
    Fake.moved["torch"] = 0.01
    assert bench(tmp_path, "--what", "scaling", "--peers", "torch", "--rounds", "1") == 1, "torch has been refused"


def test_what_is_asked_for_is_measured_and_nothing_else() -> None:
    assert sections.asked_for(Bench()) == ["steps"]
    assert sections.asked_for(Bench(profile=True)) == ["steps", "profile"]
    assert sections.asked_for(Bench(what="memory", profile=True)) == ["profile", "memory"]
    assert sections.asked_for(Bench(what="all")) == ["steps", "scaling", "profile", "epoch", "memory"]


def test_quick_is_small() -> None:
    assert Bench().reduced().threads == 1
    assert Bench().reduced().peers == ("torch",)
    assert Bench(peers=("jax",)).reduced().peers == ("jax",)
    assert len(sections.cells(Bench().reduced())) == 4
    assert len(sections.cells(Bench())) == 16
