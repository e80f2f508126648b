"""The engine behind `check`: the catalogue run on scratch's own layers, and on ones that go wrong."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratch
from torchref import oracle
from torchref.oracle.judging import BEHAVIOUR, Options, judge_subject
from torchref.oracle.kinds import DTYPES, KINDS, find
from torchref.oracle.kinds.kind import Trial
from torchref.oracle.subjects.plain import PlainSubject
from torchref.oracle.subjects.subject import Incident, Misbehaviour
from torchref.oracle.verdict import Verdict

LAYERS = [kind for kind in KINDS.values() if kind.family in ("layer", "activation")]


class Stateful(PlainSubject):
    """Scratch's layers, but each keeps its pass on itself."""

    stateful = True

    def make(self, config: Any, parameters: Any) -> Any:
        layer, kept = super().make(config, parameters), {}

        class Layer:
            def forward(self, x: Any, *masks: Any) -> Any:
                y, kept["cache"] = layer.forward(x, *masks)
                return y, None

            def backward(self, dy: Any, _: Any) -> Any:
                return layer.backward(dy, kept["cache"])

            def parameters(self) -> Any:
                return layer.parameters()

        return Layer()


def judged(cls: Any, like: str, subject: type[PlainSubject] = PlainSubject, **options: Any) -> Verdict:
    return judge_subject(subject(cls, cls.__name__), find(like), Options(**options))


@pytest.mark.parametrize("subject", [PlainSubject, Stateful])
@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.name)
def test_scratch_passes_the_catalogue(kind: Any, subject: type[PlainSubject], seed: int) -> None:
    verdict = judged(getattr(scratch, kind.twin.__name__), kind.name, subject, seed=seed, strict=True)
    assert verdict.passed, str(verdict)
    assert 0 < verdict.worst <= 0.6 or kind.name in ("threshold", "relu", "identity", "flatten", "canvas2d", "dropout")
    assert not verdict.findings
    assert [row.slug for row in verdict.rows] == [case.slug for case in kind.cases]
    assert verdict.columns[0] == "forward"
    assert verdict.columns[-1] == BEHAVIOUR


def test_every_layer_of_torchref_is_a_kind() -> None:
    networks = {"MLP", "LeNet5", "Sequential", "Module"}
    others = {"SGD", "L2Penalty", "CrossEntropy", "SquaredError", "Standardizer"}
    assert {kind.twin.__name__ for kind in LAYERS} == set(scratch.__all__) - networks - others


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.name)
def test_cases_use_features_that_can_be_declared(kind: Any) -> None:
    used = {feature for case in kind.cases for feature in case.needs}
    used |= {feature for case in kind.cases for variety in kind.varieties(case) for feature in kind.needs(variety)}
    assert used == set(kind.features)
    assert len({case.slug for case in kind.cases}) == len(kind.cases)
    assert kind.cases[0].thorough
    assert not kind.cases[0].needs - {"rectangular"}


class Shifted(scratch.Conv2d):
    """The border is cut off at one side only."""

    def backward(self, dy: Any, cache: Any) -> Any:
        dx, grads = super().backward(dy, cache)
        return (np.roll(dx, 1, axis=3) if any(self.padding) else dx), grads


def test_a_wrong_tensor_is_named_with_the_cases_it_is_wrong_in(seed: int, tmp_path: Path) -> None:
    verdict = judged(Shifted, "conv2d", seed=seed, save_to=tmp_path, command=lambda slug: f"again {slug}")
    assert not verdict.passed
    (finding,) = verdict.findings
    assert finding.tensor == "dx"
    padded = {case.slug for case in find("conv2d").cases if any(np.atleast_1d(case.config["padding"]))}
    assert set(finding.rows) == padded
    assert finding.reproduce == f"again {Path(finding.saved).stem.split('-', 2)[2].rsplit('-', 1)[0]}"
    for row in verdict.rows:
        assert row.cells["forward"].passed
        assert row.cells["dx"].passed == (row.slug not in padded)
        assert bool(row.cells["dx"].note) == (row.slug in padded)
    with np.load(finding.saved) as arrays:
        assert arrays["mine dx"].shape == arrays["oracle dx"].shape == arrays["given x"].shape
        assert not np.array_equal(arrays["mine dx"], arrays["oracle dx"])
    assert finding.picture is not None
    assert finding.picture.oracle.shape == finding.picture.mine.shape  # type: ignore[union-attr]
    with pytest.raises(AssertionError, match="dx"):
        verdict.require()


def test_unsupported_features_are_skipped_visibly(seed: int) -> None:
    verdict = judged(Shifted, "conv2d", seed=seed, unsupported=frozenset({"padding", "nonfinite"}))
    skipped = {row.slug: row.skipped for row in verdict.rows if row.skipped}
    assert skipped["s1p1"] == "declared unsupported: padding"
    assert verdict.passed
    assert {"s1p0", "s2p0"} <= {row.slug for row in verdict.rows} - skipped.keys()


def test_everything_skipped_is_no_pass(seed: int) -> None:
    assert not judged(scratch.Dropout, "dropout", seed=seed, cases=("n0",), unsupported=frozenset({"empty"})).passed


def test_cases_and_dtypes_are_chosen(seed: int) -> None:
    verdict = judged(scratch.Linear, "linear", seed=seed, cases=("n1", "equal"), dtypes=("float32",))
    assert [row.slug for row in verdict.rows] == ["n1", "equal"]
    runs: list[Trial] = []
    kind = find("linear")
    for case in kind.cases[:1]:
        for variety in kind.varieties(case):
            runs.append(kind.run(PlainSubject(scratch.Linear, ""), case, "float32", variety, seed))
    assert all(run.passed and run.mine["y"].dtype == np.float32 for run in runs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cases": ("s9",)}, "linear has no case 's9', expected one of plain, n1"),
        ({"unsupported": frozenset({"stride"})}, "linear has no feature 'stride', expected one of empty"),
        ({"dtypes": ("float16",)}, "linear has no dtype 'float16', expected one of float64, float32"),
    ],
)
def test_unknown_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        judged(scratch.Linear, "linear", **options)


def test_kinds_are_found_by_any_spelling() -> None:
    assert find("Conv2d") is find("conv_2d") is find("convolution") is KINDS["conv2d"]
    assert find("Sigmoid") is KINDS["logistic"]
    with pytest.raises(ValueError, match="like is 'lstm', expected one of linear, conv2d"):
        find("lstm")


def test_an_unfitting_constructor_is_a_finding(seed: int) -> None:
    verdict = judged(scratch.ReLU, "linear", seed=seed)
    assert [f.tensor for f in verdict.findings] == ["construction"]
    assert "TypeError" in verdict.findings[0].what
    assert not any(row.cells["forward"].passed for row in verdict.rows)


class Troubled(scratch.Linear):
    """Does what the class attribute says instead of answering."""

    forward_trouble: Misbehaviour | None = None
    backward_trouble: Misbehaviour | None = None

    def forward(self, x: Any) -> Any:
        if self.forward_trouble:
            raise self.forward_trouble
        return super().forward(x)

    def backward(self, dy: Any, cache: Any) -> Any:
        if self.backward_trouble:
            raise self.backward_trouble
        return super().backward(dy, cache)


def test_a_part_that_does_not_answer_is_one_finding(seed: int) -> None:
    class Unwritten(Troubled):
        backward_trouble = Misbehaviour("backward", "is not implemented", missing=True)

    verdict = judged(Unwritten, "linear", seed=seed)
    (finding,) = verdict.findings
    assert finding.missing
    assert finding.tensor == "backward"
    assert all(row.cells["forward"].passed and not row.cells["dx"].passed for row in verdict.rows)


def test_what_runs_on_forever_is_asked_once(seed: int) -> None:
    calls = []

    class Endless(Troubled):
        def forward(self, x: Any) -> Any:
            calls.append(x.shape)
            raise Misbehaviour("forward", "runs longer than 10 s", hangs=True)

    verdict = judged(Endless, "linear", seed=seed)
    assert len(calls) == 1
    assert not verdict.passed
    assert "longer than 10 s" in verdict.findings[0].what
    assert not verdict.rows[0].skipped
    assert {row.skipped for row in verdict.rows[1:]} == {"the code ran into the time limit before"}


def test_a_missing_gradient_is_named(seed: int) -> None:
    class Half(scratch.Linear):
        def backward(self, dy: Any, cache: Any) -> Any:
            dx, grads = super().backward(dy, cache)
            return dx, {"weight": grads["weight"]}

    verdict = judged(Half, "linear", seed=seed, cases=("plain",))
    assert "returns no gradient of bias" in verdict.findings[0].what
    assert verdict.rows[0].cells["dweight"].passed
    assert verdict.rows[0].cells["dbias"].status == "not judged"


def test_incidents_are_remarks_or_findings(seed: int) -> None:
    class Talker(PlainSubject):
        def incidents(self) -> tuple[Incident, ...]:
            return (Incident("prints 'hello'", "forward", harmless=True), Incident("changes the seed", "backward"))

    verdict = judged(scratch.Linear, "linear", Talker, seed=seed, cases=("n1",))
    assert verdict.remarks == ("forward prints 'hello'",)
    assert [finding.tensor for finding in verdict.findings] == ["changes the seed"]
    assert not verdict.rows[0].cells[BEHAVIOUR].passed


def test_forward_alone_can_be_judged(seed: int) -> None:
    class Forward(PlainSubject):
        backward = False

    verdict = judged(scratch.Tanh, "tanh", Forward, seed=seed)
    assert verdict.columns == ("forward", BEHAVIOUR)
    assert verdict.passed


class Remembering(scratch.Linear):
    """Adds each gradient to the last."""

    def backward(self, dy: Any, cache: Any) -> Any:
        dx, grads = super().backward(dy, cache)
        self.total = grads["weight"] + getattr(self, "total", 0)
        return dx, {**grads, "weight": self.total}


class OneBatchSize(scratch.Linear):
    """Does not take another batch than its first."""

    def forward(self, x: Any) -> Any:
        if getattr(self, "samples", len(x)) != len(x):
            raise Misbehaviour("forward", "raises ValueError: another batch")
        self.samples = len(x)
        return super().forward(x)


class Buffered(scratch.Linear):
    """Writes into the array it returned before."""

    def forward(self, x: Any) -> Any:
        y, cache = super().forward(x)
        self.buffer = getattr(self, "buffer", np.zeros((2 * len(y) + 9, y.shape[1]), y.dtype))
        self.buffer[: len(y)] = y
        return self.buffer[: len(y)], cache


@pytest.mark.parametrize("subject", [PlainSubject, Stateful])
@pytest.mark.parametrize(
    ("cls", "what"),
    [(Remembering, "rerun"), (OneBatchSize, "another batch"), (Buffered, "another")],
)
def test_memory_of_earlier_calls_is_behaviour(cls: Any, what: str, subject: type[PlainSubject], seed: int) -> None:
    verdict = judged(cls, "linear", subject, seed=seed, cases=("plain",), dtypes=("float64",))
    assert not verdict.passed
    assert what in str(verdict)


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_are_judged_in_the_dtype_that_came(dtype: str, seed: int) -> None:
    other = {"float64": np.float32, "float32": np.float64}[dtype]

    class Leaky(scratch.Linear):
        def forward(self, x: Any) -> Any:
            y, cache = super().forward(x)
            return y.astype(other), cache

    verdict = judged(Leaky, "linear", seed=seed, cases=("plain",), dtypes=(dtype,))
    assert f"dtype {np.dtype(other)}, oracle {dtype}" in verdict.findings[0].what


class OneNumber(scratch.AvgPool2d):
    """Takes no pairs."""

    def __init__(self, kernel_size: Any, stride: Any) -> None:
        super().__init__(int(kernel_size), int(stride))


class SmallerNumber(scratch.AvgPool2d):
    """Takes the smaller of a pair for both."""

    def __init__(self, kernel_size: Any, stride: Any) -> None:
        super().__init__(int(np.min(kernel_size)), int(np.min(stride)))


def test_code_may_refuse_pairs_but_not_misread_them(seed: int) -> None:
    verdict = judged(OneNumber, "avgpool2d", seed=seed)
    assert verdict.passed
    skipped = {row.slug: row.skipped for row in verdict.rows if row.skipped}
    assert skipped.keys() == {"rect", "uneven", "gaps"}
    assert skipped["rect"] == "taken to want one number: raises TypeError for kernel_size (3, 2), stride (3, 2)"
    misread = oracle.check(SmallerNumber, like="avgpool2d", seed=seed)
    assert not misread.passed
    assert not [row for row in misread.rows if row.skipped]


class Swapped(scratch.AvgPool2d):
    """Takes pairs, and refuses where the two differ, as its reshape would fail."""

    def __init__(self, kernel_size: Any, stride: Any) -> None:
        if isinstance(kernel_size, tuple) and kernel_size[0] != kernel_size[1]:
            raise ValueError("cannot reshape")
        super().__init__(kernel_size, stride)


def test_what_takes_pairs_of_equal_numbers_only_is_wrong(seed: int) -> None:
    verdict = judged(Swapped, "avgpool2d", seed=seed)
    assert not verdict.passed
    assert not [row for row in verdict.rows if row.skipped]


def test_where_no_case_has_one_number_for_both_axes_refusing_pairs_is_right(seed: int) -> None:
    kind = find("avgpool2d")
    uneven = replace(kind, cases=tuple(c for c in kind.cases if c.slug in ("uneven", "gaps")))
    verdict = judge_subject(PlainSubject(OneNumber, "mine"), uneven, Options(seed=seed))
    assert [row.skipped[:24] for row in verdict.rows] == ["taken to want one number"] * 2


class Textbook(scratch.ReLU):
    """As in every course: NaN does not pass."""

    def backward(self, dy: Any, cache: Any) -> Any:
        return np.where(cache.y > 0, dy, 0), {}


class LastZero(scratch.MaxPool2d):
    """Of 0.0 and −0.0 another than torch's comes out."""

    def forward(self, x: Any) -> Any:
        y, cache = super().forward(x)
        return np.where(y == 0, -y, y), cache


def test_nan_infinity_and_the_sign_of_zero_count_only_strictly(seed: int) -> None:
    for cls, like, what in (
        (Textbook, "relu", "dx differs on NaN and infinity"),
        (LastZero, "maxpool2d", "forward differs in"),
    ):
        lenient = judged(cls, like, seed=seed)
        assert lenient.passed, str(lenient)
        counts = "(strict=True or --strict counts it)"
        assert [remark for remark in lenient.remarks if what in remark and counts in remark]
        strict = judged(cls, like, seed=seed, strict=True)
        assert strict.findings[0].tensor in ("dx", "forward")

    class Doubled(Textbook):
        def backward(self, dy: Any, cache: Any) -> Any:
            return 2 * np.where(cache.y > 0, dy, 0), {}

    assert not judged(Doubled, "relu", seed=seed).passed
