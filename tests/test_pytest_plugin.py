"""The pytest plugin, in pytest runs of its own: what a class with Twice installed sees."""

import subprocess
import sys
import textwrap
from importlib.metadata import entry_points
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from torchref import oracle

pytest_plugins = ["pytester"]

LINEAR = """
    def linear_forward(x, w, b):
        return x @ w.T + b, (x, w)

    def linear_backward(dout, cache):
        x, w = cache
        return dout @ w, dout.T @ x, dout.sum(axis=0)
"""
TEST_LINEAR = """
    from torchref import oracle

    FEW = dict(cases="n1 equal", dtypes="float64")  # these runs are about pytest

    test_linear = oracle.conforms("homework:linear_forward,linear_backward", like="linear", **FEW)
"""


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """What torch imports on first use stays; what a run within this one imports is forgotten, and imported anew."""
    oracle.check(
        lambda x: np.maximum(x, 0), lambda dout, x: dout * (x > 0), like="relu", cases="n1 equal", dtypes="float64"
    )


def run(pytester: pytest.Pytester, homework: str, tests: str, *arguments: str) -> pytest.RunResult:
    """A pytest run of these two files; no plugin of ours is asked for."""
    for name, text in (("homework", homework), ("test_homework", tests)):
        (pytester.path / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:hypothesispytest", *arguments)


def test_installing_activates_it() -> None:
    (plugin,) = entry_points(group="pytest11", name="twice")
    assert plugin.value == "experiments.pytest_plugin"


def test_loading_it_costs_nothing() -> None:
    heavy = "{'torch', 'torchref', 'scratch', 'numpy', 'rich', 'matplotlib'}"
    program = f"import sys, pytest, experiments.pytest_plugin; sys.exit(str({heavy} & set(sys.modules) or '') or None)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_run_without_oracle_tests_stays_light(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import sys\ndef test_light(): assert not {'torch', 'torchref'} & set(sys.modules)")
    result = pytester.runpytest_subprocess("-p", "no:hypothesispytest", "-p", "no:cov")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*oracle seed*")


def test_one_line_is_a_test_for_each_part(pytester: pytest.Pytester) -> None:
    result = run(pytester, LINEAR, TEST_LINEAR, "-v")
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(
        ["oracle seed: 0", *(f"*::test_linear?{part}? PASSED*" for part in ("forward", "dx", "dw", "db", "behaviour"))]
    )


def test_each_wrong_part_fails_with_a_report_and_no_traceback(pytester: pytest.Pytester) -> None:
    wrong = LINEAR.replace("dout.sum(axis=0)", "dout.mean(axis=0)")
    result = run(pytester, wrong, TEST_LINEAR, "--oracle-seed", "7", "--junitxml", "result.xml")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(
        [
            "oracle seed: 7",
            "*test_linear?db?*",
            "db is wrong*",
            "*reproduce: pytest test_homework.py::test_linear --oracle-seed 7",
            "*arrays: *-7.npz",
            "FAILED test_homework.py::test_linear?db? - Failed: db is wrong*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*experiments*")
    marks = {case.get("name"): [mark.tag for mark in case] for case in ElementTree.parse("result.xml").iter("testcase")}
    parts = ("forward", "dx", "dw", "behaviour")
    assert marks == {"test_linear[db]": ["failure"]} | {f"test_linear[{part}]": [] for part in parts}


def test_parts_are_selected_and_collected_as_any_tests(pytester: pytest.Pytester) -> None:
    run(pytester, LINEAR, TEST_LINEAR, "-k", "linear and dw").assert_outcomes(passed=1, deselected=4)
    run(pytester, LINEAR, TEST_LINEAR, "test_homework.py::test_linear").assert_outcomes(passed=5)
    run(pytester, LINEAR, TEST_LINEAR, "test_homework.py::test_linear[dx]").assert_outcomes(passed=1)
    collected = run(pytester, "syntax error", TEST_LINEAR, "--collect-only", "-q")
    collected.stdout.fnmatch_lines(["test_homework.py::test_linear?forward?", "*behaviour?", "", "5 tests collected*"])


def test_it_needs_no_particular_way_to_import(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = LINEAR.replace("dout.sum(axis=0)", "dout.mean(axis=0)")
    run(pytester, wrong, TEST_LINEAR, "--collect-only")
    folder = pytester.mkdir("elsewhere")
    monkeypatch.chdir(folder)
    result = pytester.runpytest_inprocess("--import-mode=importlib", "-p", "no:hypothesispytest", "..")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*reproduce: pytest ../test_homework.py::test_linear --oracle-seed 0"])


def test_a_seed_is_a_whole_number(pytester: pytest.Pytester) -> None:
    result = run(pytester, LINEAR, TEST_LINEAR, "--oracle-seed", "-1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--oracle-seed: expected a whole number of at least 0; got '-1'"])


def test_the_work_is_done_once_for_all_parts(pytester: pytest.Pytester) -> None:
    counted = LINEAR.replace("return x @", "open('calls', 'a').write('.')\n        return x @")
    run(pytester, counted, TEST_LINEAR, "-k", "forward")
    once = len((pytester.path / "calls").read_text())
    (pytester.path / "calls").unlink()
    run(pytester, counted, TEST_LINEAR).assert_outcomes(passed=5)
    assert len((pytester.path / "calls").read_text()) == once


def test_what_is_not_there_yet_is_one_failure_for_each_part(pytester: pytest.Pytester) -> None:
    stubs = "def f(x, w, b):\n    raise NotImplementedError\n\ndef g(dout, cache):\n    raise NotImplementedError\n"
    half = LINEAR.replace("x, w = cache\n", "raise NotImplementedError\n")
    result = run(pytester, stubs, TEST_LINEAR.replace("linear_forward,linear_backward", "f,g"), "-rfs")
    result.assert_outcomes(failed=2, skipped=3)
    result.stdout.fnmatch_lines(
        [
            "forward is not implemented yet: raises NotImplementedError*homework.py:2*",
            "backward is not implemented yet: raises NotImplementedError*homework.py:5*",
            "SKIPPED ?3? test_homework.py:6: backward is not implemented yet*",
        ]
    )
    result = run(pytester, half, TEST_LINEAR, "-rfs")
    result.assert_outcomes(passed=1, failed=1, skipped=3)
    result.stdout.fnmatch_lines(["*test_linear?dx?*", "backward is not implemented yet: raises NotImpl*homework.py:6*"])
    empty = run(pytester, "def linear_forward(x, w, b): pass\ndef linear_backward(dout, cache): pass", TEST_LINEAR)
    empty.assert_outcomes(failed=2, skipped=3)
    backward_only = LINEAR.replace("return x @", "raise NotImplementedError; return x @")
    result = run(pytester, backward_only, TEST_LINEAR, "-rs")
    result.assert_outcomes(failed=1, skipped=4)
    result.stdout.fnmatch_lines(["SKIPPED ?4? *: forward is not implemented yet*"])
    lone = "def f(x, w, b): raise NotImplementedError\ndef g(dout, cache): return dout"  # wrong, but not empty
    for names in ("f", "f,g"):
        result = run(pytester, lone, TEST_LINEAR.replace("linear_forward,linear_backward", names))
        result.assert_outcomes(failed=1, skipped=4)


@pytest.mark.parametrize(
    ("homework", "said"),
    [
        ("def linear_forward(x, w, b): return x", "homework.py has no 'linear_backward'*"),
        ("def linear_forward(x, w, b):\nreturn", "import of homework.py raises IndentationError: *line 2*"),
        ("import nothing_of_that_name", "import of homework.py raises ModuleNotFoundError: *homework.py:1*"),
        ("raise SystemExit('bye')", "import of homework.py raises SystemExit: bye*"),
    ],
)
def test_a_homework_that_cannot_be_loaded_is_one_failure(pytester: pytest.Pytester, homework: str, said: str) -> None:
    result = run(pytester, homework, TEST_LINEAR)
    result.assert_outcomes(failed=1, skipped=4)
    result.stdout.fnmatch_lines([said, "*Failed: *"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_it_decorates_a_test_function_or_a_class(pytester: pytest.Pytester) -> None:
    tests = """
        import numpy as np
        import pytest
        from torchref import oracle

        FEW = dict(like="relu", cases="n1", dtypes="float64")

        def forward(x):
            return np.maximum(x, 0), x

        def backward(dout, x):
            return dout * (x > 0)

        class Rectifier:
            def forward(self, x):
                self.x = x
                return np.maximum(x, 0)

            def backward(self, dout):
                return dout

        @oracle.conforms(**FEW)
        @pytest.mark.filterwarnings("ignore")
        def test_pair():
            return forward, backward

        @oracle.conforms(**FEW)
        def test_object():
            return Rectifier()

        @oracle.conforms(**FEW)
        def test_broken():
            1 / 0

        @oracle.conforms(**FEW)
        class Mine(Rectifier):
            pass

        test_one_function = oracle.conforms(forward, **FEW)
        test_nothing = oracle.conforms(**FEW)

        class TestInAClass:
            test_pair = oracle.conforms(forward, backward, **FEW)

            @oracle.conforms(**FEW)
            def test_method(self):
                return self.parts()

            def parts(self):
                return forward, backward

        def test_the_class_is_still_a_class():
            assert Mine().forward(np.ones(1)) == 1
    """
    result = run(pytester, "", tests, "-v")
    for name, said in {
        "::test_pair[dx]": "PASSED",
        "::test_object[forward]": "PASSED",
        "::test_object[dx]": "FAILED",
        "::test_broken[forward]": "FAILED",
        "::test_broken[dx]": "SKIPPED",
        "::Mine[dx]": "FAILED",
        "::test_one_function[forward]": "PASSED",
        "::test_one_function[behaviour]": "PASSED",
        "::test_nothing[forward]": "FAILED",
        "::TestInAClass::test_pair[behaviour]": "PASSED",
        "::TestInAClass::test_method[dx]": "PASSED",
        "::test_the_class_is_still_a_class": "PASSED",
    }.items():
        assert f"test_homework.py{name} {said}" in result.stdout.str()
    result.stdout.no_fnmatch_line("*test_one_function?dx*")
    result.stdout.fnmatch_lines(["the test function raises ZeroDivisionError*test_homework.py:33*"])


def test_marks_and_selections_hold_for_every_part(pytester: pytest.Pytester) -> None:
    tests = """
        import pytest
        from torchref import oracle

        FEW = dict(like="linear", cases="n1", dtypes="float64")
        NAMES = "homework:linear_forward,linear_backward"

        @oracle.conforms(**FEW)
        @pytest.mark.skip(reason="next week")
        def test_marked():
            return NAMES

        def test_fixture(oracle_check):
            assert oracle_check(NAMES, **FEW).passed
    """
    result = run(pytester, LINEAR, tests, "-rs", "--oracle-seed", "3")
    result.assert_outcomes(passed=1, skipped=5)
    result.stdout.fnmatch_lines(["oracle seed: 3", "*next week*"])


def test_the_fixture_fails_with_the_report(pytester: pytest.Pytester) -> None:
    tests = """
        def test_fixture(oracle_check):
            from homework import linear_forward, linear_backward

            oracle_check(linear_forward, linear_backward, like="linear", cases="n1 equal", dtypes="float64")
    """
    wrong = LINEAR.replace("dout.sum(axis=0)", "dout.mean(axis=0)")
    result = run(pytester, wrong, tests, "--oracle-seed", "3", "--oracle-html", "pages")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "oracle seed: 3",
            "FAIL  linear_forward, linear_backward*seed 3)",
            "5->4  N1*✓*",
            "✗ db is wrong*",
            "*reproduce: pytest test_homework.py::test_fixture --oracle-seed 3",
            "*page: pages*test_fixture.html",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def test_pages_of_what_fails_are_written_where_one_asks(pytester: pytest.Pytester) -> None:
    wrong = LINEAR.replace("dout.sum(axis=0)", "dout.mean(axis=0)")
    result = run(pytester, wrong, TEST_LINEAR, "--oracle-html", "pages")
    result.stdout.fnmatch_lines(["*page: pages*"])
    (page,) = (pytester.path / "pages").iterdir()
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_parts_are_named_after_what_is_judged() -> None:
    assert oracle.conforms("homework:SGD", like="sgd").parts == ("update", "behaviour")
    assert oracle.conforms("homework:f,g", like="cross_entropy").parts == ("loss", "doutput", "behaviour")
    gelu = oracle.conforms("homework:f,g", like=torch.nn.GELU(), shape=(2, 3))
    assert gelu.parts == ("forward", "dx", "behaviour")


def test_a_network_is_judged_forward_and_backward(pytester: pytest.Pytester) -> None:
    homework = """
        import scratch

        class Net(scratch.MLP):
            def backward(self, dy, cache):
                dx, grads = super().backward(dy, cache)
                return dx, {name: 2 * grad for name, grad in grads.items()}
    """
    tests = """
        from torchref import oracle

        test_net = oracle.conforms("homework:Net", like="mlp", cases="plain", dtypes="float64")
    """
    result = run(pytester, homework, tests, "-v")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*::test_net?backward? FAILED*", "*reproduce: pytest *::test_net --oracle-seed 0"])


def test_a_kind_that_there_is_not_fails_its_own_test_only(pytester: pytest.Pytester) -> None:
    tests = """
        from torchref import oracle

        test_typo = oracle.conforms(len, like="maxpole")
        test_other = oracle.conforms(abs, like="relu", cases="n1", dtypes="float64")
    """
    result = run(pytester, "", tests, "-v")
    result.stdout.fnmatch_lines(["*::test_typo?forward? FAILED*", "*::test_other?forward? FAILED*"])
    result.stdout.fnmatch_lines(["like is 'maxpole', expected one of *"])


def test_what_makes_no_sense_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="decorates something as well"):
        oracle.conforms("homework:f,g", like="relu")(lambda: None)


@pytest.mark.slow
def test_workers_share_the_parts(pytester: pytest.Pytester) -> None:
    wrong = LINEAR.replace("dout.sum(axis=0)", "dout.mean(axis=0)")
    run(pytester, wrong, TEST_LINEAR, "--collect-only")
    result = pytester.runpytest_subprocess("-n", "2", "--dist", "load", "--oracle-seed", "5")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*reproduce: pytest test_homework.py::test_linear --oracle-seed 5"])
