"""Reports say what the verdict says: in the terminal, to programs, to CI; and text stays text."""

import json
import math
import re
from dataclasses import replace
from io import StringIO
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from tests import report_samples as samples
from torchref.oracle.circumstances import when
from torchref.oracle.comparison import Comparison, EquivalenceError
from torchref.oracle.kinds.kind import Case, Trial
from torchref.oracle.reports import render, save, show
from torchref.oracle.reports.page import embedded, heat, to_html
from torchref.oracle.reports.window import ENTRIES, SIDE, difference, summary, views, window, worst
from torchref.oracle.reports.words import amount, clean, headline, outcome, said, some, word
from torchref.oracle.verdict import Cell, Finding, Picture, Row, Verdict

LAYER, NETWORK, HOSTILE = samples.layer(), samples.network(), samples.hostile()
PASSING = Verdict("mine", "relu", 3, ("forward",), (Row("a", "3x5", {"forward": samples.good()}),), (), seconds=0.5)
EMPTY = Verdict("mine", "relu", 3, ("forward",), (Row("a", "a", skipped="declared unsupported: empty"),), ())


# Terminal


def test_the_first_line_says_the_outcome_in_words():
    assert render(PASSING).splitlines()[0] == "PASS  mine agrees with relu (1 tensor compared in 1 case, 0.5 s, seed 3)"
    first = render(LAYER).splitlines()[0]
    assert first.startswith("FAIL  homework.py:conv_forward,conv_backward differs from conv2d: dx is wrong, and 2 more")
    assert first.endswith("(352 tensors compared in 3 cases, 1.2 s, seed 7)")
    assert "nothing was run" in render(EMPTY).splitlines()[0]
    assert len(render(replace(EMPTY, rows=())).splitlines()) == 1
    assert "dx of conv2 is wrong (18 tensors compared in 6 layers" in render(NETWORK)


def test_the_table_is_aligned_and_says_what_was_skipped():
    lines = render(LAYER).splitlines()
    assert lines[1].split() == ["case", *samples.COLUMNS]
    assert " ".join(lines[3].split()) == "3x3 s2 p1 N2 C3 O4 7x6 ✓ 0.11 ✗ 4e13 ✓ 0.11 ✓ 0.11 ✓"
    assert lines[4].split(maxsplit=2) == ["2x3", "table", "skipped: declared unsupported: connections"]
    assert "✗ shape" in lines[5]
    assert lines[6].strip() == "(error in units of the bound; ✓ ≤ 1; – not judged)"
    at = lines[1].index("dx")
    assert [line[at] for line in (lines[2], lines[3], lines[5])] == ["✓", "✗", "✓"]


def test_columns_are_as_wide_as_they_look():
    cell = {"forward": samples.good()}
    rows = (Row("a", "卷积 é", cell), Row("b", "conv", cell))
    lines = render(replace(PASSING, rows=rows)).splitlines()
    ends = {cell_len(line.split("✓")[0]) for line in lines[2:4]}
    assert ends == {len("卷积") * 2 + 2 + 2}


def test_inherited_errors_are_told_apart():
    text = render(NETWORK)
    assert "↳ 3e5" in text
    assert "↳ only inherited" in text
    assert "inherited" not in render(LAYER)


def test_findings_carry_hint_evidence_and_how_to_see_it_again():
    text = render(LAYER)
    assert "✗ dx is wrong only with a border of zeros: the border was not cropped after the scatter\n" in text
    assert "\n  dx equals the oracle's shifted by (1, 1)\n" in text
    assert "\n  where: s2p1\n" in text
    assert "\n  reproduce: twice check homework.py:conv_forward,conv_backward --like conv2d" in text
    assert "\n  arrays: /tmp/dx.npz\n" in text
    assert "\n✗ forward must not change its arguments: mutates x\n  in 2 of 2 runs\n" in text
    assert text.endswith("\n✗ backward is not implemented yet (raises NotImplementedError)")
    assert "\nguessed: dx is the first of three results\nnote: forward prints 'shape (2, 3)'\n" in text


def test_snippets_keep_their_lines():
    finding = Finding("dx", "far off", reproduce="import x\nx.go()")
    assert "  reproduce: import x\n    x.go()" in render(replace(LAYER, findings=(finding,)))


def test_colour_is_for_terminals_only():
    plain, painted = StringIO(), StringIO()
    show(LAYER, Console(file=plain, width=40))
    show(LAYER, Console(file=painted, force_terminal=True, color_system="truecolor", width=40))
    assert plain.getvalue() == f"{render(LAYER)}\n"
    assert re.sub(r"\x1b\[[\d;]*m", "", painted.getvalue()) == plain.getvalue()
    assert "\x1b[1;31mFAIL" in painted.getvalue()


def test_no_control_character_of_a_candidate_reaches_the_terminal():
    text = render(HOSTILE)
    assert "\x1b" not in text
    assert "\\x1b[31m\\x00\\ud800" in text
    assert clean("a\u202eb\tc\nd") == "a\\u202eb\tc\nd"


# Words


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.0, "0"),
        (0.001, "<0.01"),
        (0.114, "0.11"),
        (1.0, "1.00"),
        (1.001, ">1"),
        (7.77, "7.8"),
        (99.7, "100"),
        (4.2e13, "4e13"),
        (999.6, "1e3"),
        (float("inf"), "∞"),
        (float("nan"), "NaN"),
    ],
)
def test_amounts_are_short(ratio, text):
    assert amount(ratio) == text


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        ("✗ y: shape (2,), oracle (3,) (criterion 5 form) (normal, float64)", "shape"),
        ("✗ forward: raises ZeroDivisionError: division by zero", "raises"),
        ("✗ forward: needs a GPU: raises RuntimeError: CUDA", "GPU"),
        ("✗ forward: runs longer than 10 s", "hangs"),
        ("✗ forward: returns None", "None"),
        ("✗ backward: returns no gradient of bias", "missing"),
        ("✗ construction: takes no argument for stride", "lacks it"),
        ("✗ y: NaN pattern differs at [0]: mine 0, oracle nan", "NaN"),
        ("✗ y: +inf pattern differs at [0]: mine 0, oracle inf", "infinity"),
        ("✗ dx: dtype float64, oracle float32", "dtype"),
        ("✗ y: is a list, expected a NumPy array", "type"),
        ("✗ rerun: y differ in a rerun", "memory"),
        ("✗ gradients are not aliased: dx shares memory with dy", "aliased"),
        ("✗ changes NumPy's global random state: in forward", "changes"),
        ("✗ y: inf of the bound (criterion 1 integers)", "differs"),
    ],
)
def test_faults_are_one_word_in_the_table(note, expected):
    assert word(note) == expected
    assert said(Cell(float("inf"), False, "wrong", note)) == f"✗ {expected}"


def test_cells_not_judged_show_a_dash():
    assert said(None) == said(Cell(0.0, True, "not judged")) == "–"


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (Finding("dx", "…"), "dx is wrong: unexplained"),
        (Finding("dx", "…", layer="c1", when="only in float32", hint="h"), "dx of c1 is wrong only in float32: h"),
        (Finding("dx", "…", when="only here", hint="dx is wrong when a > 0: h: i"), "dx is wrong when a > 0: h: i"),
        (Finding("dx", "…", layer="c1", hint="dx is wrong when a > 0: h"), "dx of c1 is wrong when a > 0: h"),
        (Finding("dx", "…", fault="dtype float64, oracle float32"), "dx is wrong: dtype float64, oracle float32"),
        (Finding("forward", "…", fault="raises E: e", when="only on NaN"), "forward raises E: e (only on NaN)"),
        (Finding("changes the locale", "…", fault="in forward"), "changes the locale in forward"),
        (Finding("changes the locale", "…", hint="h"), "changes the locale: h"),
        (Finding("y is not aliased", "…", fault="f"), "y must not share memory with what was given: f"),
        (Finding("rerun", "…", layer="c1", fault="f"), "a rerun must give the same (c1): f"),
        (Finding("backward", "…", missing=True), "backward is not implemented yet"),
    ],
)
def test_headlines(finding, expected):
    assert headline(finding) == expected


def test_the_outcome_names_the_first_finding_without_its_circumstances():
    assert outcome(replace(LAYER, findings=LAYER.findings[:1])) == "differs from conv2d: dx is wrong"
    assert outcome(replace(LAYER, findings=LAYER.findings[1:])).endswith("its arguments, and 1 more finding")


def test_long_lists_are_cut():
    assert some([str(i) for i in range(15)], 3) == "0, 1, 2 and 12 more"


# Circumstances


def trial(slug: str, *needs: str, dtype: str = "float64", variety: str = "normal") -> Trial:
    return Trial(Case(slug, slug, {}, (1,), frozenset(needs)), dtype, variety, 0, {}, None, {}, {}, ())


def test_what_wrong_runs_have_in_common():
    features = {"padding": "a border of zeros (of any width)"}
    plain, padded, both = trial("a"), trial("b", "padding"), trial("c", "padding", "stride")
    assert when([padded, both], [plain, padded, both], features) == "only with a border of zeros"
    assert when([both], [plain, padded, both], features) == "only with stride"
    assert when([plain, padded, both], [plain, padded, both], features) == ""
    assert when([padded], [padded], features) == ""  # nothing to hold it against
    many = [trial(str(i), "padding") for i in range(6)]
    assert when(many[:1], [plain, *many], features) == ""  # most that have it are right
    narrow, odd = trial("a", dtype="float32"), trial("a", variety="NaN and infinity", dtype="float32")
    assert when([narrow], [plain, narrow], {}) == "only in float32"
    assert when([odd], [plain, narrow, odd], {}) == "only in float32 and on NaN and infinity"


def test_the_worst_element_in_a_sentence():
    far = Comparison("dx", "2", 37.0, index=(0, 1), mine=1.5, oracle=1.25, bound=0.1)
    assert far.said == "37 × the bound at [0, 1]: mine 1.5, oracle 1.25, error 0.25, allowed 0.1"
    close = Comparison("dx", "2", math.inf, index=(), mine=1.0, oracle=1.0 + 2**-52, bound=0.0)
    assert close.said == "not equal: mine 1, oracle 1.0000000000000002, error 2.2e-16, allowed 0"
    assert Comparison("dx", "2", 2.0).said == "2 × the bound"
    assert Comparison("dx", "2", math.inf, "shape").said == "shape"


# JSON


def test_json_holds_the_whole_verdict_in_finite_numbers(tmp_path):
    path = tmp_path / "report.json"
    LAYER.save(path)

    def refuse(token):
        raise AssertionError(token)

    read = json.loads(path.read_text(), parse_constant=refuse)
    assert read["schema"] == "twice-oracle-verdict/1"
    assert read["passed"] is False
    assert read["worst"] == "Infinity"
    assert read["tensors"] == 352
    assert [row["slug"] for row in read["rows"]] == ["plain", "s2p1", "table", "n0"]
    assert read["rows"][1]["cells"]["dx"]["ratio"] == 4.2e13
    assert read["rows"][3]["cells"]["forward"] == {
        "passed": False,
        "status": "wrong",
        "ratio": "Infinity",
        "said": "✗ shape",
        "note": "✗ y: shape (2, 3), oracle (2, 4)",
    }
    first = read["findings"][0]
    assert first["code"] == "padding:uncropped"
    picture = LAYER.findings[0].picture
    assert first["picture"]["at"] == [1, 2, 3, 4]
    assert np.array_equal(first["picture"]["mine"]["values"], picture.mine)
    assert np.array_equal(first["picture"]["oracle"]["values"], picture.oracle)
    assert read["findings"][1]["picture"] is None


def test_json_leaves_out_large_pictures_and_writes_nan_as_text(tmp_path):
    large = Finding("dx", "…", picture=Picture(np.full((), np.nan), np.zeros(5000, "float32")))
    none = Finding("dx", "…", picture=Picture(None, np.array([-np.inf, 1.0])))
    replace(LAYER, findings=(large, none)).save(tmp_path / "r.json")
    first, second = (f["picture"] for f in json.loads((tmp_path / "r.json").read_text())["findings"])
    assert first["oracle"] == {"shape": [5000], "dtype": "float32", "values": None}
    assert first["mine"] == {"shape": [], "dtype": "float64", "values": "NaN"}
    assert second["mine"] is None
    assert second["oracle"]["values"] == ["-Infinity", 1.0]


# JUnit


def parsed(verdict, path):
    save(verdict, path)
    return ElementTree.parse(path).getroot()


def test_junit_has_a_case_for_each_row_and_column(tmp_path):
    root = parsed(LAYER, tmp_path / "report.xml")
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert len(cases) == 4 * 5 == int(root.get("tests"))
    failed = {name: case.find("failure") for name, case in cases.items() if case.find("failure") is not None}
    assert list(failed) == ["s2p1 dx", "n0 forward"]
    assert int(root.get("failures")) == 2
    assert failed["s2p1 dx"].get("message") == "✗ 4e13"
    assert "--case s2p1 --seed 7" in failed["s2p1 dx"].text
    assert "must not change" not in failed["s2p1 dx"].text
    assert cases["table dx"].find("skipped").get("message") == "declared unsupported: connections"
    assert cases["plain dbias"].find("skipped").get("message") == "not judged"
    assert int(root.get("skipped")) == 6
    assert root.find("testsuite/system-out").text.startswith("guessed: ")


def test_junit_tells_what_a_fault_without_a_column_is_about(tmp_path):
    broken = Finding("y is not aliased", "…", rows=("a",), fault="y shares memory with x")
    cell = samples.bad(samples.INFINITY, "✗ y is not aliased: y shares memory with x")
    verdict = replace(PASSING, rows=(Row("a", "a", {"behaviour": cell}),), columns=("behaviour",), findings=(broken,))
    assert "must not share memory" in parsed(verdict, tmp_path / "r.xml").find(".//failure").text


def test_junit_never_passes_what_did_not(tmp_path):
    assert parsed(PASSING, tmp_path / "r.xml").get("failures") == "0"
    failure = parsed(EMPTY, tmp_path / "r.xml").find(".//failure")
    assert "nothing was run" in failure.get("message")
    odd = replace(PASSING, findings=(Finding("loss", "far off"),))
    assert "far off" in parsed(odd, tmp_path / "r.xml").find(".//failure").text


def test_junit_holds_only_characters_that_xml_has(tmp_path):
    root = parsed(HOSTILE, tmp_path / "report.xml")
    assert "\\x00" in root.get("name")
    assert "<img" in root.find(".//failure").text


# The page; what a browser makes of it is in test_reports_browser.py


def test_the_page_asks_nothing_of_the_network_and_shows_text_as_text():
    for verdict in (LAYER, NETWORK, HOSTILE, PASSING, EMPTY):
        text = to_html(verdict)
        assert not re.search(r"https?:|url\(|@import|src=[\"']?(?!x )", text.replace("data:,", ""))
        assert text.count("<script") == 2
        assert text.count("</script") == 2
        assert "<img" not in text
    assert "document.title=&#39;owned&#39;" in to_html(HOSTILE)


def test_embedded_data_cannot_end_its_element():
    data = {"x": "</script><!-- & \u2028"}
    assert not set(embedded(data)) & set("<>&\u2028")
    assert json.loads(embedded(data)) == data


def test_the_page_links_cells_to_their_findings():
    text = to_html(LAYER)
    assert '<a href="#finding-0">✗ 4e13</a>' in text
    assert "✗ shape</td>" in text  # no finding has it
    cell = samples.bad(samples.INFINITY, "✗ rerun: y differ")
    verdict = replace(LAYER, rows=(Row("plain", "plain", {"behaviour": cell}),))
    assert '<a href="#finding-1">✗ memory</a>' in to_html(verdict)


def test_the_network_is_drawn_in_order_with_links():
    text = to_html(NETWORK)
    drawing = text[text.index("<svg") : text.index("</svg>")]
    names = re.findall(r'class="name"[^>]*>([^<]*)<', drawing)
    assert names == [name for name, _ in NETWORK.diagram]
    assert re.search(r'href="#finding-0" aria-label="conv2, backward: wrong, ✗ 8e6 dx"', drawing)
    assert re.search(r'href="#row-0" aria-label="conv1, backward: inherited, ↳ 3e5 dx, dweight', drawing)
    assert drawing.count('class="side inherited"') == 2


def test_heat_grows_with_the_error():
    cells = [None, samples.good(), samples.bad(2.0), samples.bad(1e8), samples.bad(math.inf)]
    assert [heat(cell) for cell in cells] == ["0", "0", "0.15", "0.50", "1.00"]


# Windows


def test_large_arrays_are_cut_around_the_worst_element():
    shape, at = (50, 9, 100, 70), (49, 0, 99, 35)
    cut = window(shape, at)
    sizes = [s.stop - s.start for s in cut]
    assert sizes[2:] == [SIDE, SIDE]
    assert math.prod(sizes) <= ENTRIES
    assert all(s.start <= i < s.stop <= n and s.start >= 0 for s, i, n in zip(cut, at, shape, strict=True))
    assert window((3, 4), (0, 0)) == (slice(0, 3), slice(0, 4))
    assert window((), ()) == ()


def test_a_view_holds_mine_oracle_and_difference():
    oracle = np.arange(200.0).reshape(2, 100)
    mine = oracle.copy()
    mine[1, 90] += 5000
    (view,) = views(Picture(mine, oracle))
    assert view["cut"]
    assert view["full"] == [2, 100]
    assert view["shape"] == [2, 64]
    assert view["start"] == [0, 36]
    assert view["at"] == [1, 54]
    assert view["axes"] == []
    assert [m["name"] for m in view["maps"]] == ["mine", "oracle", "difference"]
    assert [m["scale"] for m in view["maps"]] == [4 * 199, 4 * 199, 5000]  # mine reaches further, and is clipped
    assert view["maps"][2]["values"][64 + 54] == 5000


def test_views_of_what_cannot_be_held_side_by_side():
    oracle = np.zeros((2, 3))
    assert [len(v["maps"]) for v in views(Picture(np.zeros((3, 2)), oracle))] == [1, 1]
    assert [v["maps"][0]["name"] for v in views(Picture(None, oracle))] == ["oracle"]
    assert [v["maps"][0]["name"] for v in views(Picture(np.array([["a"]]), oracle))] == ["oracle"]
    assert views(Picture(oracle, np.zeros(2, complex))) == []
    (empty,) = views(Picture(np.zeros((0, 3)), np.zeros((0, 3)), axes="NC"))
    assert empty["shape"] == [0, 3]
    assert empty["axes"] == ["N", "C"]


def test_the_worst_element_is_found_where_none_is_named():
    nan = np.array([[0.0, np.nan], [9.0, 0.0]])
    assert worst(Picture(nan, np.zeros((2, 2)))) == (0, 1)
    assert worst(Picture(nan, np.zeros((2, 2)), (1, 0))) == (1, 0)
    assert worst(Picture(None, np.zeros((2, 2)))) == (0, 0)
    (elsewhere,) = views(Picture(nan, np.zeros((2, 2)), (0,)))  # an index of another array
    assert elsewhere["at"] == [0, 0]


def test_equal_infinities_do_not_differ():
    a = np.array([np.inf, np.nan, 1.0, np.inf])
    b = np.array([np.inf, np.nan, 3.0, -np.inf])
    assert difference(a, b).tolist() == [0, 0, -2, np.inf]


@pytest.mark.parametrize(
    ("picture", "text"),
    [
        (Picture(None, np.zeros(())), "Nothing came; the oracle's is a single number."),
        (Picture(np.zeros(2), np.zeros(3)), "Mine is an array of 2, the oracle's an array of 3."),
        (Picture(np.zeros(2, complex), np.zeros(2)), "Mine holds complex128, the oracle's float64: only real"),
        (Picture(np.full(2, np.nan), np.ones(2)), "An array of 2: 2 of 2 entries differ visibly, in sign, NaN"),
        (samples.shifted(), "An array of 2 × 3 × 6 × 5: 90 of 180 entries differ visibly, by up to 3"),
    ],
)
def test_pictures_are_described(picture, text):
    assert summary(picture).startswith(text)


# Saving


@pytest.mark.parametrize("suffix", [".html", ".json", ".xml", ".txt", ".HTML"])
def test_the_suffix_decides(tmp_path, suffix):
    path = tmp_path / f"report{suffix}"
    path.write_text("old")
    for verdict in (LAYER, HOSTILE):
        verdict.save(str(path))
        assert len(path.read_text("utf-8")) > 100
    assert list(tmp_path.iterdir()) == [path]


def test_other_suffixes_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"report.pdf', expected a name that ends in .html, .json, .xml, .txt"):
        LAYER.save(tmp_path / "report.pdf")
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere' for the report 'r.html'"):
        LAYER.save(tmp_path / "nowhere" / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "r.txt"
    path.write_text("old")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        LAYER.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["r.txt"]
    assert path.read_text() == "old"


def test_a_failing_verdict_raises_its_report():
    with pytest.raises(EquivalenceError, match="dx is wrong only with a border of zeros"):
        LAYER.require()
    PASSING.require()
