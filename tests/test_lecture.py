"""An experiment of the lecture from its name to its folder.

What each experiment claims is tested beside it, in test_lecture_<name>.py; here a small one stands for all.
"""

import dataclasses
import importlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.pages import write_index
from experiments.lecture.running import Outcome, lecture_folder, read, run
from experiments.lock import exclusive
from tests.lecture_sample import FAILED, SAMPLE, installed


@pytest.fixture
def sample(monkeypatch):
    return installed(monkeypatch)


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
