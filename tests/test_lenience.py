"""What is only a remark on NaN and infinity, and what is wrong there too."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from torchref import oracle


def rectifier(does: Callable[[Any], Any]) -> oracle.Verdict:
    """The verdict on a rectifier that does something on NaN and infinity."""

    def forward(x: Any) -> Any:
        strange = None if np.isfinite(x).all() else does(x)
        return (np.maximum(x, 0), x) if strange is None else strange

    def backward(dy: Any, x: Any) -> Any:
        return np.where(x > 0, dy, np.zeros_like(dy))

    return oracle.check(forward, backward, like="relu", time_limit=0.2)


def runs_on(_: Any) -> None:
    time.sleep(1.5)


def forgets(x: Any) -> Any:
    return None, x


def answers_a_list(x: Any) -> Any:
    return np.maximum(x, 0).tolist(), x


def cuts(x: Any) -> Any:
    return np.zeros(3, x.dtype), x


def narrows(x: Any) -> Any:
    return np.maximum(x, 0).astype(np.float16), x


def cleans(x: Any) -> None:
    np.nan_to_num(x, copy=False)


def seeds(_: Any) -> None:
    np.random.seed(0)  # noqa: NPY002


def leaves(_: Any) -> None:
    raise SystemExit


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (runs_on, "forward runs longer than 0.2 s (only on NaN and infinity)"),
        (forgets, "returns a tuple of 2 (None, an array (3, 5))"),
        (answers_a_list, "list"),
        (cuts, "shape (3,), oracle (3, 5)"),
        (narrows, "float16"),
        (cleans, "must not change its arguments"),
        (seeds, "changes NumPy's global random state"),
        (leaves, "raises SystemExit"),
    ],
)
def test_only_values_may_differ_on_nan_and_infinity(does: Callable[[Any], Any], said: str) -> None:
    verdict = rectifier(does)
    assert not verdict.passed
    assert said in str(verdict)


def test_cases_that_were_not_run_for_the_time_limit_are_no_pass() -> None:
    verdict = rectifier(runs_on)
    assert {row.skipped for row in verdict.rows[1:]} == {"the code ran into the time limit before"}
    assert not verdict.passed
    assert [finding.tensor for finding in verdict.findings] == ["forward"]


def test_what_runs_on_when_called_again_is_waited_for_once() -> None:
    began = []

    def forward(x: Any) -> Any:
        if len(x) > 3:
            began.append(len(x))
            time.sleep(1)
        return np.tanh(x)

    verdict = oracle.check(forward, like="tanh", cases="plain n1", time_limit=0.2, dtypes="float64")
    assert not verdict.passed
    assert "when called again" in verdict.findings[0].fault
    assert verdict.rows[1].skipped == "the code ran into the time limit before"
    assert len(began) <= 2  # and once with the second seed


def test_nan_and_infinity_may_be_refused() -> None:
    def refuses(_: Any) -> None:
        raise ValueError("not finite")

    verdict = rectifier(refuses)
    assert verdict.passed
    assert "forward raises an exception on NaN and infinity (strict=True or --strict counts it)" in verdict.remarks


def test_what_returns_none_at_times_is_written_and_wrong() -> None:
    def returns_nothing(x: Any) -> Any:
        return None if len(x) == 1 else np.maximum(x, 0)

    finding = oracle.check(returns_nothing, like="relu").findings[0]
    assert not finding.missing
    assert (finding.fault, finding.when) == ("returns None", "only with a batch of one sample")


BUFFERS: dict[Any, Any] = {}


def shared(x: Any) -> Any:
    result = BUFFERS.setdefault((x.shape, str(x.dtype)), np.empty_like(x))
    result[...] = np.tanh(x)
    return result


def counting(x: Any) -> Any:
    BUFFERS["calls"] = BUFFERS.get("calls", 0) + 1
    return np.tanh(x) * (1 + 1e-16 * (BUFFERS["calls"] % 7))


def overwriting(x: Any) -> Any:
    y = np.tanh(x)
    x[...] = y
    return y


@pytest.mark.parametrize(
    ("forward", "like", "said"),
    [
        (shared, "tanh", "y must not be overwritten by the next call"),
        (lambda x: x, "identity", "y must not share memory with what was given"),
        (counting, "tanh", "a rerun must give the same"),
        (overwriting, "tanh", "must not change its arguments"),
    ],
)
def test_a_forward_part_alone_must_behave_too(forward: Any, like: str, said: str) -> None:
    BUFFERS.clear()
    verdict = oracle.check(forward, like=like, cases="plain", dtypes="float64")
    assert verdict.rows[0].cells["behaviour"].status == "wrong"
    assert said in str(verdict)


def test_a_forward_part_alone_takes_another_batch_size() -> None:
    sizes: set[int] = set()

    def one_batch(x: Any) -> Any:
        sizes.add(len(x))
        if len(sizes) > 1:
            raise ValueError("not my size")
        return np.tanh(x)

    (finding,) = oracle.check(one_batch, like="tanh", cases="plain", dtypes="float64").findings
    assert "not my size" in finding.fault
    assert finding.fault.endswith("when called again or on another batch size")


def test_a_forward_part_alone_that_behaves_is_said_to() -> None:
    verdict = oracle.check(np.tanh, like="tanh", cases="plain")
    assert verdict.passed
    assert verdict.rows[0].cells["behaviour"].status == "ok"
