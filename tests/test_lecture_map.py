"""docs/lecture.md: every link leads where it says, no heading of the slides is missing; and both can fail."""

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import scratch
from experiments.lecture.catalogue import ENTRIES
from tests.lecture_slides import HEADINGS, PHRASES, Slide, headings, plain
from tests.markdown_pages import MATH, Heading, Link, definitions, faults, parse

ROOT = Path(__file__).parent.parent
MAP = ROOT / "docs" / "lecture.md"
GALLERY = MAP.with_name("gallery.md")
CHINESE = re.compile(r"(?:[A-Z0-9][A-Z0-9-]* )?[一-鿿][一-鿿（）、，“”？-]*")
"""A heading or a phrase of the slides, as it is quoted in English text."""


def squashed(text: str) -> str:
    """Without what is written now in one way and now in another: spaces, quotation marks."""
    return re.sub(r"[\s“”\"]", "", text)


def missing(slides: tuple[Slide, ...], found: list[Heading]) -> list[Slide]:
    """Headings of the slides that a page does not have at their place: one level down, their English behind a colon.

    What is numbered may be a heading or in bold.
    """
    lost, place = [], 0
    for slide in slides:
        for index, heading in enumerate(found[place:], start=place):
            ends = [*(found.start() for found in re.finditer(r": |(?<=？) ", heading.text)), len(heading.text)]
            said = {squashed(heading.text[:end]) for end in ends}
            numbered = heading.level == 0 or re.match(r"\(", slide.text)
            if squashed(slide.text) in {one.rstrip(".") for one in said} and (
                heading.level == slide.level + 1 or (numbered and slide.level != 1)
            ):
                place = index + 1
                break
        else:
            lost.append(slide)
    return lost


def strangers(text: str) -> list[str]:
    """What a text quotes in Chinese and the slides do not have."""
    slides = [squashed(known) for known in (*(slide.text for slide in HEADINGS), *PHRASES)]
    return [quoted for quoted in CHINESE.findall(text) if not any(squashed(quoted) in known for known in slides)]


# --- the map ----------------------------------------------------------------------------------------------------------


def in_gallery(link: Link) -> bool:
    return link.target.startswith(GALLERY.name)


def test_every_link_leads_where_it_says() -> None:
    links = parse(MAP.read_text("utf-8")).links
    assert sum(link.code for link in links) > 200
    assert faults(MAP, [link for link in links if not in_gallery(link)]) == []


def test_every_link_into_the_gallery_leads_where_it_says() -> None:
    assert faults(MAP, [link for link in parse(MAP.read_text("utf-8")).links if in_gallery(link)]) == []


def test_no_heading_of_the_slides_is_missing() -> None:
    assert missing(HEADINGS, parse(MAP.read_text("utf-8")).headings) == []


def test_everything_public_and_every_experiment_has_a_place() -> None:
    links = parse(MAP.read_text("utf-8")).links
    for wing in ("scratch", "torchref"):
        mapped = {link.text for link in links if link.code and link.target.startswith(f"../{wing}/")}
        assert set(scratch.__all__) - mapped == set(), wing
    texts, targets = {link.text for link in links}, {link.target for link in links}
    assert {f"twice lecture {name}" for name in ENTRIES} - texts == set()
    assert {f"{GALLERY.name}#{name}" for name in ENTRIES} - targets == set()


def test_every_slip_is_listed_once_with_links_to_it_and_to_its_slide() -> None:
    text = MAP.read_text("utf-8")
    _, listed = text.split("\n## All slips\n")
    slips = re.findall(r'^> <a id="(slip-[\w-]+)"></a>\*\*Slip (\d+) · (.+)\*\*$', text, flags=re.MULTILINE)
    rows = re.findall(r"^\| \[(\d+)\]\(#(slip-[\w-]+)\) \| (.+?) \| \[.+\]\(#(.+)\) \| ", listed, flags=re.MULTILINE)
    assert [int(number) for _, number, _ in slips] == list(range(1, len(slips) + 1))
    assert [(anchor, number, title) for number, anchor, title, _ in rows] == slips
    assert len(slips) == text.count("**Slip ") - 1  # one is the example of how they are marked
    slide, slides = "", {}
    for anchor in parse(text).anchors:
        if anchor.startswith("slip-"):
            slides[anchor] = slide
        else:
            slide = anchor
    assert [slides[anchor] for _, anchor, _, _ in rows] == [heading for _, _, _, heading in rows]


def test_mathematics_arrives_as_it_is_written() -> None:
    """Markdown takes a backslash before punctuation away, and makes emphasis of some pairs of _: there are none."""
    text = MAP.read_text("utf-8")
    shown = parse(text).text
    formulas = MATH.findall(text)
    assert len(formulas) > 30
    assert [formula for formula in formulas if formula not in shown] == []
    assert not set("<*") & set("".join(formulas))
    alone = re.findall(r"[^\s(]?\$[^$]+\$[^\s,.;:)]?", text.replace("$$", ""))
    assert [formula for formula in alone if not (formula.startswith("$") and formula.endswith("$"))] == []
    inside = [child for token in MarkdownIt("commonmark").enable("table").parse(text) for child in token.children or []]
    assert [child for child in inside if child.type == "em_open" and child.markup == "_"] == []


@pytest.mark.parametrize("room", ["scratch", "torchref", "experiments/lecture"])
def test_slides_that_sources_name_are_there(room: str) -> None:
    sources = sorted((ROOT / room).rglob("*.py"))
    texts = {source.relative_to(ROOT).as_posix(): source.read_text("utf-8") for source in sources}
    assert sum(bool(CHINESE.search(text)) for text in texts.values()) > 0
    assert {name: found for name, text in texts.items() if (found := strangers(text))} == {}


# --- what is asked of it can fail -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("[text](../scratch/nowhere.py)", "there is no such file"),
        ("[`Linear`](../scratch/activation.py)", "the file does not define this name"),
        ("[`Linear.backwards`](../scratch/linear.py)", "the file does not define this name"),
        ("[`backward`](../scratch/linear.py)", "the file does not define this name"),
        ("[`test_no_such_thing`](../tests/test_literal.py)", "the file does not define this name"),
        ("[`twice lecture lenet5`](../experiments/lecture/neuron.py)", "this is not the experiment's module"),
        ("[`twice lecture perceptron`](../experiments/lecture/neuron.py)", "this is not the experiment's module"),
        ("[text](equivalence.md#no-such-heading)", "there is no such heading or anchor"),
        ("[text](#激活-函数)", "there is no such heading or anchor"),
        ("| a | b |\n|---|---|\n| [`S2_C4`](../scratch/models.py) | |", "the file does not define this name"),
        ("![a figure](images/nowhere.png)", "there is no such file"),
    ],
)
def test_a_link_that_leads_nowhere_is_found(link: str, fault: str) -> None:
    page = parse(f"## 激活函数\n\n{link}\n")
    found = faults(MAP, page.links)
    assert [text.rpartition(": ")[2] for text in found] == [fault]


@pytest.mark.parametrize(
    "link",
    [
        "[`Linear`](../scratch/linear.py) and [`Linear.backward`](../scratch/linear.py)",
        "[`S2_C3`](../scratch/models.py), [`SequentialCache.masks`](../scratch/module.py)",
        "[`scratch/linear.py`](../scratch/linear.py), [the file](../scratch/linear.py)",
        "[`twice lecture neuron`](../experiments/lecture/neuron.py)",
        "[text](#激活函数-activation-functions) and [`text`](../README.md#read-it)",
        "[another site](https://example.org/nowhere)",
        "`[no link](nowhere.py)`",
    ],
)
def test_a_good_link_is_none(link: str, tmp_path: Path) -> None:
    document = tmp_path / "docs" / "page.md"
    for name in ("docs", "scratch", "experiments", "README.md"):
        if name != "docs":
            (tmp_path / name).symlink_to(ROOT / name)
    document.parent.mkdir()
    document.write_text(f"## 激活函数: activation functions\n\n{link}\n", encoding="utf-8")
    assert faults(document) == []


def test_anchors_are_githubs() -> None:
    page = parse(
        "# BP 算法: it's the *algorithm*, unit by unit\n\n## “多元--向量” 的求导\n\n## 附：BP 算法\n\n## `S2_C3`\n\n"
        "## 网络结构\n\n## 网络结构？\n\n<a id='yes'></a>\n\n> <a name=\"too\"></a>text\n"
    )
    assert page.anchors == [
        *("bp-算法-its-the-algorithm-unit-by-unit", "多元--向量-的求导", "附bp-算法", "s2_c3"),
        *("网络结构", "网络结构-1", "yes", "too"),
    ]


def test_names_are_those_at_the_top_of_a_file_and_of_its_classes(tmp_path: Path) -> None:
    source = tmp_path / "file.py"
    source.write_text(
        "A: int = 1\nB = 2\nclass C:\n    d = 3\n    def e(self):\n        f = 4\nasync def g():\n    h = 5\n"
    )
    assert definitions(source) == {"A", "B", "C", "C.d", "C.e", "g"}


SLIDES = """# 卷积网络

## 卷积层

一维情况为例

# 卷积网络

## 卷积层

### 操作流程

**Summary.** To summarize

**pad with 1 pixel border** => what is the output?

- (1) 数据 ( $x$ )

$$(2) \\text{ 参数: } w_1, (3) b$$

# 卷积网络

## 子采样层

### 操作流程

**14.3 卷积网络**
"""
FOUND = (
    *(Slide(1, "卷积网络"), Slide(2, "卷积层"), Slide(3, "操作流程"), Slide(0, "Summary"), Slide(0, "(1) 数据")),
    *(Slide(0, "(2) 参数"), Slide(2, "子采样层"), Slide(3, "操作流程"), Slide(0, "14.3 卷积网络")),
)


def test_headings_of_slides() -> None:
    assert tuple(headings(SLIDES)) == FOUND
    assert plain("(a) “与”问题 ( $x_1 \\wedge x_2$ )") == "(a) “与”问题"


GOOD = """## 卷积网络: networks

### 卷积层

#### 操作流程: in short

**Summary.** Text. **14.3 卷积网络** in passing.

| step |
|---|
| **(1) 数据**: data |

#### (2) 参数: parameters

### 子采样层

#### 操作流程

**14.3 卷积网络**
"""


def test_a_page_with_all_headings_lacks_none() -> None:
    assert missing(FOUND, parse(GOOD).headings) == []


@pytest.mark.parametrize(
    ("line", "instead", "lost"),
    [
        ("### 子采样层\n\n", "", Slide(2, "子采样层")),
        ("\n#### 操作流程\n", "", Slide(3, "操作流程")),
        ("#### 操作流程: in", "##### 操作流程: in", Slide(3, "操作流程")),
        ("### 卷积层", "### 卷积层的", Slide(2, "卷积层")),
        ("**Summary.** ", "Summary. ", Slide(0, "Summary")),
        ("| **(1) 数据**: data |", "| (1) 数据: data |", Slide(0, "(1) 数据")),
        ("\n\n**14.3 卷积网络**", "\n\nAs in **14.3 卷积网络**", Slide(0, "14.3 卷积网络")),
    ],
)
def test_a_missing_heading_is_found(line: str, instead: str, lost: Slide) -> None:
    assert GOOD.count(line) == 1
    assert lost in missing(FOUND, parse(GOOD.replace(line, instead)).headings)


def test_a_heading_that_is_no_slides_is_found() -> None:
    assert strangers('Source: 卷积层 / 一维卷积, the 1 个 filter 的卷积过程; "多元--向量" 的求导') == []
    assert strangers("Source: 池化层, 操作流程; 三维卷积") == ["池化层", "三维卷积"]


def test_mathematics_that_markdown_changes_is_seen() -> None:
    for formula in (r"$$\{ x \}$$", r"$$a \\ b$$", r"$$\chi_{\nu}+)_{a} b_{c}$$"):
        assert formula not in parse(f"text\n\n{formula}\n").text
    assert (good := r"$$\lbrace x_{ij}^{(l)} \rbrace \lVert W \rVert_F^2$$") in parse(f"text\n\n{good}\n").text
