"""The page of a runs folder, and the gallery of the documents."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.lecture import pages
from experiments.lecture.pages import write_index
from experiments.lecture.publishing import BEGIN, END, publish
from experiments.lecture.running import Outcome, run
from tests.lecture_sample import FAILED, SAMPLE, installed


@pytest.fixture
def sample(monkeypatch):
    return installed(monkeypatch)


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


@pytest.mark.usefixtures("sample")
def test_pages_that_are_written_at_once_are_written_in_turn(monkeypatch, tmp_path: Path) -> None:
    """Each call opens the folder for itself: to the system's lock threads are as strange to each other as processes."""
    pytest.importorskip("fcntl")
    run(SAMPLE, tmp_path)
    done: list[str] = []

    def looks(folder: Path) -> tuple[list[Outcome], list[str]]:
        done.append("looks")
        return found(folder)

    def writes(path: Path, text: str) -> None:
        time.sleep(0.05)  # whoever does not wait its turn looks meanwhile
        write(path, text)
        done.append("has written")

    found, write = pages._found, pages.write_text
    monkeypatch.setattr(pages, "_found", looks)
    monkeypatch.setattr(pages, "write_text", writes)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write_index, [tmp_path / "lecture"] * 4))
    assert done == ["looks", "has written"] * 4
    assert {path.name for path in (tmp_path / "lecture").iterdir()} == {"index.html", "sample"}


def test_a_page_without_a_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write .*index\.html: No such file or directory"):
        write_index(tmp_path / "nowhere")


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
