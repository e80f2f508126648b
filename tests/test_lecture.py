"""`twice lecture`: an experiment from its name to a folder, a page, a gallery and an exit status.

What each experiment claims is tested beside it, in test_lecture_<name>.py; here a small one stands for all.
"""

import dataclasses
import importlib
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from experiments.cli import main
from experiments.errors import UserError
from experiments.lecture import session
from experiments.lecture.catalogue import ENTRIES, Entry
from experiments.lecture.lab import WINGS, Claim
from experiments.lecture.pages import write_index
from experiments.lecture.publishing import BEGIN, END, publish
from experiments.lecture.running import Outcome, lecture_folder, read, run
from experiments.lock import exclusive

SAMPLE = Entry("sample", "神经元的运算", "a sample", "what all experiments share")


@dataclasses.dataclass(frozen=True)
class Config:
    steps: int


class Sample(ModuleType):
    """An experiment with one claim that holds, and a second one on request."""

    FULL, QUICK = Config(3), Config(2)
    second: Claim | None = None
    fault: Exception | None = None

    def run(self, lab, config):
        for wing in WINGS:
            lab.curve(wing.name, "loss/online", [1 / step for step in range(1, config.steps + 1)])
        lab.figure("line", draw, size=(3, 2), caption="A <line> & |x|", alt='a "line"')
        lab.table("numbers", ("what", "value"), [("|x|", 1.5), ("*y*", lab.seed)])
        if self.fault:
            raise self.fault
        claims = [Claim("1 < 2 and a·tanh(b·v) * 2", f"{config.steps} steps", True, {"steps": config.steps})]
        return [*claims, self.second] if self.second else claims


def draw(figure, theme):
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1 / 3], color=theme.blue)
    axes.set(xlabel="x", ylabel="y")


@pytest.fixture
def sample(monkeypatch):
    module = Sample(SAMPLE.module)
    monkeypatch.setitem(sys.modules, SAMPLE.module, module)
    monkeypatch.setitem(ENTRIES, SAMPLE.name, SAMPLE)
    return module


FAILED = Claim("2 < 1", "2 is 2", False, {"value": float("nan")})


def files(folder: Path) -> set[str]:
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {re.sub(r"tfevents.*", "tfevents", name) for name in found}


@pytest.mark.parametrize("name", ENTRIES)
def test_every_experiment_is_written_in_the_same_form(name: str) -> None:
    module = importlib.import_module(ENTRIES[name].module)
    assert type(module.FULL) is type(module.QUICK) is module.Config
    assert module.FULL != module.QUICK
    assert dataclasses.is_dataclass(module.Config)
    assert callable(module.run)
    assert (module.__doc__ or "").split(":")[0].split(",")[0] in ENTRIES[name].heading


@pytest.mark.usefixtures("sample")
def test_a_run_leaves_curves_figures_and_a_verdict_and_nothing_else(tmp_path: Path) -> None:
    outcome = run(SAMPLE, tmp_path)
    folder = tmp_path / "lecture" / "sample"
    events = {f"{wing}/events.out.tfevents" for wing in ("scratch", "torch", "summary")}
    assert files(folder) == {*events, "verdict.json", *(f"figures/line{end}" for end in (".svg", "-dark.svg", ".png"))}
    assert [path.name for path in (tmp_path / "lecture").iterdir()] == ["sample"]
    assert read(folder) == outcome
    assert outcome.held
    record = json.loads((folder / "verdict.json").read_text("utf-8"))
    assert record["config"] == {"steps": 3}
    assert record["claims"][0]["numbers"] == {"steps": 3.0}
    assert record["made_with"]["versions"]["numpy"]


@pytest.mark.usefixtures("sample")
def test_the_reduced_version_and_other_seeds_have_folders_of_their_own(tmp_path: Path) -> None:
    assert run(SAMPLE, tmp_path, quick=True, seed=7).claims[0].measured == "2 steps"
    assert read(lecture_folder(tmp_path, quick=True, seed=7) / "sample").tables[0].rows[1] == ("*y*", "7")
    assert {lecture_folder(tmp_path, quick=q, seed=s).name for q in (True, False) for s in (0, 1)} == {
        *("lecture", "lecture-quick", "lecture-s1", "lecture-quick-s1")
    }


def test_an_earlier_run_is_replaced_when_the_new_one_is_complete_and_not_before(sample, tmp_path: Path) -> None:
    first = run(SAMPLE, tmp_path)
    sample.fault = RuntimeError("half-way")
    with pytest.raises(RuntimeError, match="half-way"):
        run(SAMPLE, tmp_path)
    assert read(tmp_path / "lecture" / "sample") == first
    sample.fault, sample.second = None, FAILED
    second = run(SAMPLE, tmp_path)
    assert len(second.claims) == 2
    assert read(tmp_path / "lecture" / "sample").claims[0] == first.claims[0]
    assert [path.name for path in (tmp_path / "lecture").iterdir()] == ["sample"]


@pytest.mark.usefixtures("sample")
def test_what_no_experiment_has_written_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "lecture" / "sample").mkdir(parents=True)
    (tmp_path / "lecture" / "sample" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"no experiment of the lecture: it has no verdict\.json"):
        run(SAMPLE, tmp_path)
    assert (tmp_path / "lecture" / "sample" / "thesis.txt").read_text() == "mine"


@pytest.mark.usefixtures("sample")
def test_two_processes_do_not_write_one_experiment(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "lecture" / ".sample.partial"),
        pytest.raises(UserError, match=r"another process \(pid \d+\)"),
    ):
        run(SAMPLE, tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"name": 1}'])
@pytest.mark.usefixtures("sample")
def test_a_damaged_verdict_is_named(tmp_path: Path, text: str) -> None:
    run(SAMPLE, tmp_path)
    (tmp_path / "lecture" / "sample" / "verdict.json").write_text(text)
    with pytest.raises(UserError, match=r"verdict\.json"):
        read(tmp_path / "lecture" / "sample")
    page = write_index(tmp_path / "lecture").read_text("utf-8")
    assert "0 of 0 claims held" in page
    assert "verdict.json" in page


def test_an_experiment_without_claims_has_not_held() -> None:
    assert not Outcome("x", "x", "x", False, 0, 0.0, (), (), ()).held


def test_the_command_says_what_was_claimed_measured_and_held(sample, tmp_path: Path, capsys) -> None:
    assert main(["lecture", "sample", "--runs-dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for part in (
        "sample  神经元的运算 · a sample",
        "numbers",
        "|x|",
        "✓ held  1 < 2",
        "3 steps",
        "index.html",
        "twice tb",
    ):
        assert part in printed or part == "twice tb"
    sample.second = FAILED
    assert main(["lecture", "sample", "--runs-dir", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "✗ FAILED  2 < 1" in printed
    assert "✗ failed" in (tmp_path / "lecture" / "index.html").read_text("utf-8")


def test_all_runs_every_one_and_ends_with_a_table(sample, tmp_path: Path, capsys, monkeypatch) -> None:
    other = SAMPLE._replace(name="other")
    monkeypatch.setitem(sys.modules, other.module, sample)
    monkeypatch.setattr("experiments.lecture_command.ENTRIES", {"sample": SAMPLE, "other": other})
    monkeypatch.setattr(session, "ENTRIES", {"sample": SAMPLE, "other": other})
    assert main(["lecture", "all", "--runs-dir", str(tmp_path)]) == 0
    assert "HELD  2 of 2 claims" in capsys.readouterr().out
    sample.second = FAILED
    assert main(["lecture", "all", "--runs-dir", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "FAILED  2 of 4 claims" in printed
    assert "1 of 2" in printed


def test_for_machines_there_is_one_object(sample, tmp_path: Path, capsys) -> None:
    sample.second = FAILED
    assert main(["lecture", "sample", "--json", "--runs-dir", str(tmp_path)]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["exit_code"] == 1
    (experiment,) = answer["experiments"]
    assert [claim["held"] for claim in experiment["claims"]] == [True, False]
    assert experiment["claims"][1]["numbers"] == {"value": None}


def test_the_list_has_every_experiment_with_its_slide(capsys) -> None:
    assert main(["lecture"]) == 0
    printed = capsys.readouterr().out
    for entry in ENTRIES.values():
        assert entry.name in printed
        assert entry.heading in printed
    assert main(["lecture", "--json"]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == list(ENTRIES)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("lecture backprob", "unknown experiment 'backprob'; did you mean 'backprop'?"),
        ("lecture --quick", "which experiment is to be run?"),
        ("lecture neuron --seed -1", "--seed: expected a whole number of at least 0; got -1"),
        ("lecture neuron --jobs -1", "--jobs: expected a whole number of at least 0; got -1"),
        ("lecture neuron --publish docs", "--publish: expected with all"),
        ("lecture all --quick --publish docs", "--publish: expected with all, without --quick and --seed"),
        ("lecture all --publish nowhere", "--publish: there is no folder nowhere"),
    ],
)
def test_what_cannot_be_is_refused(words: str, said: str, capsys) -> None:
    assert main(words.split()) == 2
    assert said in capsys.readouterr().err


def test_the_page_shows_what_was_found_and_names_what_is_missing(sample, tmp_path: Path) -> None:
    sample.second = FAILED
    run(SAMPLE, tmp_path)
    page = write_index(tmp_path / "lecture").read_text("utf-8")
    assert "1 of 2 claims held" in page
    assert "a &#34;line&#34;" in page
    assert "A &lt;line&gt; &amp; |x|" in page
    assert "Not run here: neuron, backprop" in page
    for linked in re.findall(r'(?:src|srcset)="([^"]+)"', page):
        assert (tmp_path / "lecture" / linked).is_file()


def test_what_is_published_is_markdown_with_both_themes(sample, tmp_path: Path) -> None:
    sample.second = FAILED
    documents = tmp_path / "docs"
    (documents / "images" / "lecture").mkdir(parents=True)
    (documents / "images" / "lecture" / "old.svg").write_text("an older figure")
    (documents / "results.md").write_text(f"# Before\n\n{BEGIN}\nold\n{END}\n\n# After\n", "utf-8")
    outcome = run(SAMPLE, tmp_path)
    publish([outcome], tmp_path / "lecture", documents)
    results = (documents / "results.md").read_text("utf-8")
    assert results.startswith("# Before")
    assert results.endswith("# After\n")
    assert "old" not in results
    assert "1 of 2 claims held" in results
    assert "| [sample](gallery.md#sample) | 1 \\< 2 and a·tanh(b·v) \\* 2 | 3 steps | ✓ |" in results
    assert "| **✗ no** |" in results
    gallery = (documents / "gallery.md").read_text("utf-8")
    assert "| \\|x\\| | 1.5 |" in gallery
    linked = re.findall(r'(?:src|srcset)="([^"]+)"', gallery)
    assert sorted(linked) == ["images/lecture/sample-line-dark.svg", "images/lecture/sample-line.svg"]
    assert {path.name for path in (documents / "images" / "lecture").iterdir()} == {Path(name).name for name in linked}
    publish([outcome], tmp_path / "lecture", documents)
    assert (documents / "results.md").read_text("utf-8") == results


@pytest.mark.usefixtures("sample")
def test_documents_without_the_marks_are_left_alone(tmp_path: Path) -> None:
    outcome = run(SAMPLE, tmp_path)
    with pytest.raises(UserError, match=r"results\.md: expected a part between the lines"):
        publish([outcome], tmp_path / "lecture", tmp_path)
    assert not (tmp_path / "gallery.md").exists()
