"""The pytest plugin, in pytest runs of its own: what a class with Twice installed sees."""

import subprocess
import sys
import textwrap
from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]

RELU = """
    import numpy as np

    def relu_forward(x):
        return np.maximum(x, 0), x

    def relu_backward(dout, x):
        return np.where(x > 0, dout, 0)
"""
LINEAR = """
    def linear_forward(x, w, b):
        return x @ w.T + b, (x, w)

    def linear_backward(dout, cache):
        x, w = cache
        return dout @ w, dout.T @ x, dout.sum(axis=0)
"""
TEST_RELU = """
    from torchref import oracle

    test_relu = oracle.conforms("homework:relu_forward,relu_backward", like="relu", unsupported="nonfinite")
"""
TEST_LINEAR = """
    from torchref import oracle

    test_linear = oracle.conforms("homework:linear_forward,linear_backward", like="linear", unsupported="bias-free")
"""


def run(pytester: pytest.Pytester, homework: str, tests: str, *arguments: str) -> pytest.RunResult:
    """A pytest run of these two files; no plugin of ours is asked for."""
    for name, text in (("homework", homework), ("test_homework", tests)):
        (pytester.path / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:randomly", *arguments)


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
    result = run(pytester, wrong, TEST_LINEAR, "--oracle-seed", "7")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(
        [
            "oracle seed: 7",
            "*test_linear?db?*",
            "db is wrong*",
            "*reproduce: pytest test_homework.py::test_linear --oracle-seed 7",
            "FAILED test_homework.py::test_linear?db? - Failed: db is wrong*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*.py:*")


def test_parts_are_selected_and_collected_as_any_tests(pytester: pytest.Pytester) -> None:
    run(pytester, LINEAR, TEST_LINEAR, "-k", "linear and dw").assert_outcomes(passed=1, deselected=4)
    run(pytester, LINEAR, TEST_LINEAR, "test_homework.py::test_linear").assert_outcomes(passed=5)
    run(pytester, LINEAR, TEST_LINEAR, "test_homework.py::test_linear[dx]").assert_outcomes(passed=1)
    collected = run(pytester, "syntax error", TEST_LINEAR, "--collect-only", "-q")
    collected.stdout.fnmatch_lines(["test_homework.py::test_linear?forward?", "*behaviour?", "", "5 tests collected*"])


def test_the_work_is_done_once_for_all_parts(pytester: pytest.Pytester) -> None:
    counted = LINEAR.replace("return x @", "open('calls', 'a').write('.')\n        return x @")
    tests = TEST_LINEAR.replace('"bias-free"', '"bias-free", cases="n1", dtypes="float64"')
    run(pytester, counted, tests, "-k", "forward")
    once = len((pytester.path / "calls").read_text())
    (pytester.path / "calls").unlink()
    run(pytester, counted, tests).assert_outcomes(passed=5)
    assert len((pytester.path / "calls").read_text()) == once
