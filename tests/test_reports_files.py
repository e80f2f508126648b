"""Reports as files: JSON, JUnit and the page; what a browser makes of the page is in test_reports_browser.py."""

import json
import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from tests import report_samples as samples
from tests.report_samples import EMPTY, PASSING
from torchref.oracle.comparison import EquivalenceError
from torchref.oracle.reports import save
from torchref.oracle.reports.page import embedded, heat, to_html
from torchref.oracle.reports.window import ENTRIES, SIDE, difference, summary, views, window, worst
from torchref.oracle.verdict import Finding, Picture, Row

LAYER, NETWORK, HOSTILE = samples.layer(), samples.network(), samples.hostile()


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


# The page


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
