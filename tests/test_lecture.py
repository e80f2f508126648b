"""`twice lecture`: an experiment from its name to a folder, a page, a gallery and an exit status.

What each experiment claims is tested beside it, in test_lecture_<name>.py; here a small one stands for all.
"""

import dataclasses
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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
from experiments.terminal import Screen

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
    assert (module.__doc__ or "").startswith(re.split("[:,]", ENTRIES[name].heading)[0])


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
    with pytest.raises(UserError, match="no experiment of the lecture: a folder with a verdict"):
        run(SAMPLE, tmp_path)
    assert (tmp_path / "lecture" / "sample" / "thesis.txt").read_text() == "mine"


@pytest.mark.usefixtures("sample")
def test_two_processes_do_not_write_one_experiment(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "lecture" / ".sample.partial"),
        pytest.raises(UserError, match=r"another process \(pid \d+\) runs this experiment"),
    ):
        run(SAMPLE, tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "{",
        lambda _: "[]",
        lambda _: "{}",
        lambda text: text.replace('"seconds": ', '"seconds": null, "was": '),
        lambda text: text.replace('"held": true', '"held": "false"'),
        lambda text: text.replace('"name": "sample"', '"name": "../sample"'),
        lambda text: text.replace('"numbers": {', '"numbers": null, "were": {'),
        lambda text: text.replace('"drawings": [', '"drawings": {}, "were": ['),
        lambda text: text.replace('"steps": 3.0', '"steps": "three"'),
    ],
)
@pytest.mark.usefixtures("sample")
def test_a_damaged_verdict_is_named(tmp_path: Path, damage: Callable[[str], str]) -> None:
    run(SAMPLE, tmp_path)
    place = tmp_path / "lecture" / "sample" / "verdict.json"
    whole = place.read_text("utf-8")
    place.write_text(damage(whole), "utf-8")
    assert place.read_text("utf-8") != whole
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
        (f"lecture neuron --seed {2**63}", "--seed: expected a whole number of at least 0 and below 2^62; got 9223"),
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
    assert "Not run here: neuron, regularization" in page
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


@pytest.mark.parametrize("moment", ["removing what was there", "moving the new one"])
@pytest.mark.usefixtures("sample")
def test_whenever_it_is_interrupted_there_is_a_whole_experiment(tmp_path: Path, monkeypatch, moment: str) -> None:
    first = run(SAMPLE, tmp_path)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "removing what was there":
            real = shutil.rmtree
            patch.setattr(
                shutil, "rmtree", lambda path, **kw: interrupted() if Path(path).exists() else real(path, **kw)
            )
        else:
            patch.setattr("experiments.lecture.running._replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(SAMPLE, tmp_path)
    assert read(tmp_path / "lecture" / "sample").claims == first.claims
    run(SAMPLE, tmp_path)
    assert [path.name for path in (tmp_path / "lecture").iterdir()] == ["sample"]


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("half-way"), "ValueError: half-way"), (UserError("no room"), "no room")]
)
def test_an_experiment_that_raises_does_not_end_the_others(
    sample, tmp_path: Path, capsys, monkeypatch, error, status
) -> None:
    broken = Sample("experiments.lecture.broken")
    broken.fault = error
    monkeypatch.setitem(sys.modules, broken.__name__, broken)
    both = {"broken": SAMPLE._replace(name="broken"), "sample": SAMPLE}
    monkeypatch.setattr("experiments.lecture_command.ENTRIES", both)
    monkeypatch.setattr(session, "ENTRIES", both)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "results.md").write_text(f"{BEGIN}\nold\n{END}\n", "utf-8")
    assert main(["lecture", "all", "--json", "--runs-dir", str(tmp_path), "--publish", str(tmp_path / "docs")]) == 1
    printed = capsys.readouterr()
    first, second = json.loads(printed.out)["experiments"]
    assert (first["held"], first["error"], second["held"]) == (False, status, True)
    assert ("Traceback" in printed.err) is isinstance(error, ValueError)
    assert "FAILED  1 of 1 claims" in printed.err
    assert "old" in (tmp_path / "docs" / "results.md").read_text("utf-8")  # half a gallery is not published
    assert sample.fault is None


def test_documents_without_the_marks_are_refused_at_once(tmp_path: Path, capsys) -> None:
    assert main(["lecture", "all", "--runs-dir", str(tmp_path), "--publish", str(tmp_path)]) == 1
    assert "expected a part between the lines" in capsys.readouterr().err
    assert not (tmp_path / "lecture").exists()


def test_tables_are_never_cut(sample, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(session, "screen", lambda: Screen(highlight=False, no_color=True, width=40))
    monkeypatch.setattr(sample, "run", wide)
    assert main(["lecture", "sample", "--runs-dir", str(tmp_path)]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("row")]
    assert row.split() == ["row", *["0.12345678901234567890"] * 4]


def wide(lab, config):
    lab.table("wide", [f"heading {n}, which is long" for n in range(5)], [["row", *["0.12345678901234567890"] * 4]])
    return [Claim("1 < 2", f"{config.steps} steps", True)]


SLEEPER = """
import sys, time
from pathlib import Path
from experiments.lecture.lab.seeds import over_seeds
def work(seed):
    Path(sys.argv[1], str(seed)).write_text(str(__import__("os").getpid()))
    time.sleep(600)
if __name__ == "__main__":
    from experiments.lecture.session import _ended_by_sigterm
    with _ended_by_sigterm():
        over_seeds(work, range(2), jobs=2)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_when_the_command_is_killed(tmp_path: Path, number: int) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "sleeper.py", str(tmp_path)], cwd=tmp_path, env=environment) as process:
        wait_until(
            lambda: all((tmp_path / str(seed)).is_file() and (tmp_path / str(seed)).read_text() for seed in range(2))
        )
        workers = [int((tmp_path / str(seed)).read_text()) for seed in range(2)]
        process.send_signal(number)
        assert process.wait(60) == (128 + number if number == signal.SIGTERM else -number)
    wait_until(lambda: not any(map(lives, workers)))


def lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # ended, though nobody has asked


def wait_until(done: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)
