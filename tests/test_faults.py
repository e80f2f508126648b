"""Failures of one tensor by their sorts, and what is said of each."""

from typing import Any

import numpy as np

import scratch
from torchref import oracle
from torchref.oracle.judging import Options, judge_subject
from torchref.oracle.kinds import find
from torchref.oracle.subjects.plain import PlainSubject


def test_a_derivative_in_float64_is_said_to_be_float64() -> None:
    verdict = oracle.check(lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(float), like="relu")
    (finding,) = verdict.findings
    assert finding.code == "precision:float64"
    assert "comes as float64 where float32 went in" in finding.hint


def test_a_wrong_dtype_and_a_wrong_value_are_two_findings() -> None:
    def backward(dy: Any, x: Any) -> Any:
        return 2.0 * (x > 0).astype(float) * dy

    value, dtype = oracle.check(lambda x: (np.maximum(x, 0), x), backward, like="relu").findings
    assert value.tensor == dtype.tensor == "dx"
    assert value.code == "ratio:2"
    assert dtype.code == "precision:float64"
    assert dtype.hint == "dx comes as float64 where float32 went in"
    assert dtype.when == "only in float32"
    assert not value.when


def test_where_all_has_the_wrong_dtype_both_are_said_in_one() -> None:
    def backward(dy: Any, x: Any) -> Any:
        return 2.0 * (x > 0).astype(float) * dy

    (finding,) = oracle.check(lambda x: (np.maximum(x, 0), x), backward, like="relu", dtypes="float32").findings
    assert finding.code == "ratio:2"
    assert finding.hint.endswith("; and dx comes as float64 where float32 went in")


def test_a_dtype_that_is_no_precision_has_no_code() -> None:
    def half(x: Any) -> Any:
        return (np.tanh(x) + np.cos(3 * x) * x**2).astype(np.float16)

    (finding,) = oracle.check(half, like="tanh", dtypes="float64").findings
    assert (finding.code, finding.hint) == ("", "forward comes as float16 where float64 went in")


def test_unexplained_numbers_and_unexplained_nan_are_two_findings() -> None:
    def strange(x: Any) -> Any:
        y = np.tanh(x) + np.cos(3 * x) * x**2
        return np.where(x > 1, np.nan, y).astype(x.dtype) if x.ndim > 2 else y.astype(x.dtype)

    value, nan = oracle.check(strange, like="tanh", dtypes="float64").findings
    assert not value.fault
    assert nan.fault.startswith("NaN pattern")
    assert "maps" in nan.rows
    assert "maps" not in value.rows


def test_the_headline_is_of_ordinary_numbers_and_not_of_the_empty_batch() -> None:
    def forward(output: Any, target: Any) -> Any:
        if len(output) == 0:
            return output.dtype.type(7)
        return ((output - target) ** 2).mean() * 3

    first = oracle.check(forward, like="squared_error").findings[0]
    assert 'cases="n0"' not in first.reproduce
    assert "n0," not in first.what
    assert first.picture is not None


def test_what_could_be_declared_is_offered_where_it_is_all_that_is_refused() -> None:
    def flattened(x: Any) -> Any:
        return np.tanh(x.reshape(x.shape[0], -1)).reshape(x.shape)

    (finding,) = oracle.check(flattened, like="tanh").findings
    line = "if yours is to do without (a batch of no samples), declare unsupported='empty'"
    assert line in finding.evidence
    assert line in str(oracle.check(flattened, like="tanh"))
    assert finding.when == "only with a batch of no samples"
    assert oracle.check(flattened, like="tanh", unsupported="empty").passed


def test_nothing_is_offered_where_everything_or_several_things_are_refused() -> None:
    def refuses(x: Any) -> Any:
        raise ValueError(f"no {len(x)} samples")

    def small(x: Any) -> Any:
        if len(x) < 2:
            raise ValueError("no")
        return np.tanh(x)

    for forward in (refuses, small):
        (finding,) = oracle.check(forward, like="tanh").findings
        assert not any("declare" in line for line in finding.evidence)


def test_circumstances_are_said_whole() -> None:
    def units(x: Any) -> Any:
        if x.ndim != 2:
            raise ValueError("not a matrix")
        return np.tanh(x)

    (finding,) = oracle.check(units, like="tanh").findings
    assert finding.when == "only with other shapes than (N, units)"
    assert "(other shapes than (N, units))" in str(finding.evidence)


def test_evidence_speaks_of_steps_entries_and_classes() -> None:
    def late(w: Any, dw: Any, lr: float) -> Any:
        return w - lr * dw * (1 + 0.1 * np.sin(9 * dw) * (np.arange(len(w)) > 1).reshape(-1, *(1,) * (w.ndim - 1)))

    lines = [line for f in oracle.check(late, like="sgd").findings for line in f.evidence]
    assert any("only entries 2, 3 of 4" in line for line in lines)
    assert not any("sample" in line or "entrys" in line for line in lines)

    def wide(output: Any, target: Any) -> Any:
        return ((output - target) ** 2).sum() / 2 / len(output) * (1.5 if output.shape[1] > 1 else 1)

    said = str(oracle.check(wide, like="squared_error", unsupported="empty"))
    assert "the number of classes or outputs > 1" in said
    assert "channel" not in said


def test_evidence_speaks_of_the_outputs_and_inputs_of_a_kernel() -> None:
    class Strange(scratch.Conv2d):
        def backward(self, dy: Any, cache: Any) -> Any:
            dx, grads = super().backward(dy, cache)
            weight = grads["weight"].copy()
            weight[-1] += np.cos(9 * weight[-1])
            return dx, {**grads, "weight": weight}

    subject = PlainSubject(Strange, "mine")
    verdict = judge_subject(subject, find("conv2d"), Options(cases=("s1p0",), dtypes=("float64",)))
    (finding,) = verdict.findings
    assert any("only output 3 of 4" in line for line in finding.evidence), finding.evidence


def test_evidence_on_a_gradient_of_a_loss_speaks_of_classes() -> None:
    def forward(output: Any, target: Any) -> Any:
        return ((output - target) ** 2).sum() / 2 / len(output), output - target

    def backward(difference: Any) -> Any:
        d = difference / len(difference)
        d[:, 1:3] += np.cos(9 * d[:, 1:3])
        return d

    findings = oracle.check(forward, backward, like="squared_error", cases="mean", dtypes="float64").findings
    assert any("only classes 1, 2 of 4" in line for line in findings[0].evidence), findings[0].evidence
