"""Reports say what the verdict says: in the terminal, to programs, to CI; and text stays text."""

import math
import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console

from tests import report_samples as samples
from tests.report_samples import EMPTY, PASSING
from torchref.oracle.circumstances import when
from torchref.oracle.comparison import Comparison
from torchref.oracle.kinds.kind import Case, Trial
from torchref.oracle.reports import render, show
from torchref.oracle.reports.words import amount, clean, headline, known, outcome, said, some, word
from torchref.oracle.verdict import Cell, Finding, Row

LAYER, NETWORK, HOSTILE = samples.layer(), samples.network(), samples.hostile()


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


def test_rows_of_a_training_are_steps():
    cells = {"fc.weight": samples.good(0.3)}
    rows = (Row("step1", "step 1", cells), Row("step2", "step 2", cells), Row("free", "free run, 2 steps", cells))
    lines = render(replace(PASSING, columns=("fc.weight",), rows=rows)).splitlines()
    assert "3 tensors compared in 2 steps" in lines[0]
    assert lines[1].split() == ["step", "fc.weight"]


def test_inherited_errors_are_told_apart():
    text = render(NETWORK)
    assert "↳ 3e5" in text
    assert "↳ only inherited" in text
    assert "inherited" not in render(LAYER)


def test_findings_carry_hint_evidence_and_how_to_see_it_again():
    text = render(LAYER)
    assert "✗ dx is wrong only with a border of zeros: the border was not cropped after the scatter\n" in text
    assert "\n  dx equals the oracle's shifted by (1, 1)\n" not in text, "evidence is for what is unexplained"
    assert "\n  where: s2p1\n" in text
    assert "\n  reproduce: twice check homework.py:conv_forward,conv_backward --like conv2d" in text
    assert "\n  arrays: /tmp/dx.npz\n" in text
    assert "\n✗ forward must not change its arguments: mutates x\n  in 2 of 2 runs\n" in text
    assert text.endswith("\n✗ backward is not implemented yet: raises NotImplementedError")
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
        ("✗ backward: raises NotImplementedError (homework.py:3)", "missing"),
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
        (Finding("changes it", "…", hint="it changes it, on which much depends"), "changes it, on which much depends"),
        (Finding("changes it", "…", hint="h"), "changes it: h"),
        (Finding("y is not aliased", "…", fault="f"), "y must not share memory with what was given: f"),
        (Finding("rerun", "…", layer="c1", fault="f"), "a rerun must give the same (c1): f"),
        (Finding("backward", "…", missing=True), "backward is not implemented yet"),
    ],
)
def test_headlines(finding, expected):
    assert headline(finding) == expected


def test_the_outcome_names_the_first_finding_without_its_circumstances():
    assert outcome(replace(LAYER, findings=LAYER.findings[:1])) == "differs from conv2d: dx is wrong"
    silent = Finding("backward", "…", fault="raises E: much text", when="only here")
    assert outcome(replace(LAYER, findings=(silent,))) == "differs from conv2d: backward raises E"
    assert outcome(replace(LAYER, findings=LAYER.findings[1:])).endswith("its arguments, and 1 more finding")


def test_long_lists_are_cut():
    assert some([str(i) for i in range(15)], 3) == "0, 1, 2 and 12 more"


def test_evidence_that_is_in_the_headline_is_left_out():
    finding = Finding("rerun", "in 2 of 2 runs; at worst f", fault="f", evidence=("f", "g"))
    assert known(finding) == ("in 2 of 2 runs", "g")
    assert known(replace(finding, hint="h")) == ("in 2 of 2 runs; at worst f",)


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
