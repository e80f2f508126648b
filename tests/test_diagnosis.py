"""The engine of the diagnosis: what does not hold is not said, what is known is; conduct, precision, draws."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.diagnosing import SEEDS, problem, told, trials, wronged
from torchref.oracle.comparison import Comparison
from torchref.oracle.diagnosis import CODES, Diagnosis, diagnose
from torchref.oracle.diagnosis.conditions import common
from torchref.oracle.diagnosis.hypothesis import Hypothesis, holds, seen
from torchref.oracle.diagnosis.precision import SIZE
from torchref.oracle.kinds import DTYPES, Case, Trial
from torchref.oracle.linear import gradients


def noise(t: Trial, tensor: str, seed: int = 5) -> Any:
    return np.random.default_rng([seed, t.seed, t.oracle[tensor].size]).normal(size=t.oracle[tensor].shape)


@pytest.mark.parametrize(
    ("kind", "tensor"),
    [
        ("linear", "grad weight"),
        ("conv2d", "dx"),
        ("avgpool2d", "y"),
        ("maxpool2d", "dx"),
        ("subsample2d", "grad bias"),
        ("tanh", "dx"),
        ("relu", "y"),
        ("softmax", "dx"),
        ("flatten", "dx"),
        ("canvas2d", "y"),
        ("dropout", "y"),
        ("cross_entropy", "doutput"),
        ("squared_error", "loss"),
        ("sgd", "fc1.weight"),
        ("l2_penalty", "penalty"),
    ],
)
def test_noise_is_not_explained(kind: str, tensor: str) -> None:
    slugs = {"conv2d": "s1p0 s1p1 table", "maxpool2d": "plain overlap"}.get(kind, "")
    found = told(kind, tensor, lambda t: t.oracle[tensor] + 0.01 * noise(t, tensor), slugs)
    assert (found.code, found.hint) == ("", "")
    assert any("entries are wrong" in line for line in found.evidence)


def test_a_factor_or_a_transpose_with_the_opposite_sign() -> None:
    found = told("linear", "dx", lambda t: -t.oracle["dx"] / len(t.given["x"]))
    assert found.code == "ratio:1/N"
    assert found.hint.endswith("and it has the opposite sign")
    assert told("linear", "grad weight", lambda t: -t.oracle["grad weight"].T).code == "swap:transposed"


@pytest.mark.parametrize(
    ("tensor", "says"), [("dx", "weight"), ("grad weight", "bias"), ("grad bias", "x")], ids=["dx", "dw", "db"]
)
def test_results_in_another_order(tensor: str, says: str) -> None:
    """dw, db, dx in place of dx, dw, db."""

    def wrong(t: Trial) -> Any:
        other = {"dx": "grad weight", "grad weight": "grad bias", "grad bias": "dx"}[tensor]
        return t.oracle[other] if other in t.oracle else t.given["dy"].sum(0)

    found = told("linear", tensor, wrong)
    assert found.code == "order:results"
    assert f"it is the gradient of {says}:" in found.hint


def test_two_mistakes_at_once_are_not_explained() -> None:
    found = told("conv2d", "dx", lambda t: np.flip(t.oracle["dx"], 2) / len(t.given["x"]), "s1p0 s1p1 s2p1 uneven n1")
    assert found.code == ""
    assert any("the correlation" in line for line in found.evidence)


def test_a_ratio_on_one_seed_only_is_not_said() -> None:
    twice, thrice = (lambda t, k=k: k * t.oracle["dx"] for k in (2, 3))
    assert told("linear", "dx", twice).code == "ratio:2"
    assert told("linear", "dx", twice, later=thrice).code == ""
    assert told("linear", "dx", lambda t: 0.7 * t.oracle["dx"], later=lambda t: 0.8 * t.oracle["dx"]).code == ""


def test_a_hint_has_to_fit_the_runs_that_passed() -> None:
    """Wrong in some trials of every case: no rule sets them apart."""
    found = told("linear", "dx", lambda t: 2 * t.oracle["dx"] if noise(t, "dx").ravel()[0] > 0 else None)
    assert found.code == ""


def test_a_hint_may_hold_under_a_condition() -> None:
    found = told("linear", "dx", lambda t: t.oracle["dx"] * (2 if t.given["x"].shape[1] > 5 else 1))
    assert found.code == "ratio:2"
    assert found.hint == "dx is wrong: it is twice what it should be (where the number of input channels > 5)"


def test_a_condition_has_to_hold_on_the_second_seed() -> None:
    def wide(t: Trial) -> bool:
        return bool(t.given["x"].shape[1] > 5)

    found = told(
        "linear",
        "dx",
        lambda t: t.oracle["dx"] * (2 if wide(t) else 1),
        later=lambda t: t.oracle["dx"] * (1 if wide(t) else 2),
    )
    assert found.code == ""


def test_two_meanings_that_nothing_tells_apart_are_both_said() -> None:
    def first_pixel(t: Trial) -> Any:
        dx = np.array(t.oracle["dx"])
        dx[..., 1::4] = 0  # of windows of two pixels, four apart
        return dx

    found = told("avgpool2d", "dx", first_pixel, "gaps")
    assert found.code == "taps:last-skipped"
    assert "or, which comes to the same in all cases: only the first pixel" in found.hint


def test_correct_trials_have_no_diagnosis() -> None:
    runs = [[wronged(t, "dx", lambda t: None) for t in trials("linear", (), seed)] for seed in SEEDS]
    assert diagnose(problem("dx", *runs)) == Diagnosis("", "", ())
    everything = Hypothesis("ratio:2", "{it}: nothing", lambda t: t.oracle["dx"])
    assert not holds(everything, seen(runs[0], "dx"))


def test_rounding_alone_is_not_explained() -> None:
    """An error of a few eps is beyond a sharp bound, and no sign of any mistake."""
    found = told("linear", "y", lambda t: t.oracle["y"] * (1 + 5e-13) if t.dtype == "float64" else None)
    assert found.code == ""


def test_a_hint_says_when_and_speaks_the_users_names() -> None:
    found = told("conv2d", "y", lambda t: np.zeros_like(t.oracle["y"]) if t.case.slug == "s1p1" else None, "s1p0 s1p1")
    assert found.hint == "out is wrong when padding > 0: it is zero"


def test_what_is_known_is_said() -> None:
    def last_sample(t: Trial) -> Any:
        wrong = np.array(t.oracle["y"])
        wrong[-1] += noise(t, "y")[-1]
        return wrong

    found = told("linear", "y", last_sample, "plain equal")
    assert found.code == "location:one-sample"
    assert any("only row" in line for line in found.evidence)


def test_a_wrong_shape_is_said() -> None:
    found = told("conv2d", "y", lambda t: np.pad(noise(t, "y"), ((0, 0), (0, 0), (0, 1), (0, 0))), "s1p0 s1p1")
    assert any("the shape is" in line for line in found.evidence)


def test_only_where_x_is_zero_or_at_the_border() -> None:
    def at_zero(t: Trial) -> Any:
        return t.oracle["dx"] + (t.given["x"] == 0) * (3 + np.abs(noise(t, "dx")))

    assert told("relu", "dx", at_zero, "plain maps").code == "location:zeros"

    def at_border(t: Trial) -> Any:
        edge = np.pad(np.zeros([n - 2 for n in t.oracle["dx"].shape[2:]]), 1, constant_values=1)
        return t.oracle["dx"] + edge * noise(t, "dx")

    assert told("conv2d", "dx", at_border, "uneven square gaps wide").code == "location:borders"


def test_float32_on_the_way() -> None:
    def computed(t: Trial) -> Any:
        x, w = (t.given[n].astype(np.float32) for n in ("x", "weight"))
        return (x @ w.T).astype(t.oracle["y"].dtype) if "bias" not in t.given else None

    def rounded(t: Trial) -> Any:
        dy = t.given["dy"].astype(np.float32).astype(t.dtype)
        return dy.T @ t.given["x"]

    def somewhere(t: Trial) -> Any:
        return t.oracle["y"] * (1 + 3e-8 * noise(t, "y")) if t.dtype == "float64" and t.variety != "integers" else None

    assert "cast up" in told("linear", "y", computed, "nobias").hint
    assert "dy rounded to float32" in told("linear", "grad weight", rounded, "plain equal n1").hint
    by_chance = told("linear", "y", somewhere, "plain equal")
    assert (by_chance.code, by_chance.evidence[-1]) == ("", SIZE)
    assert told("linear", "y", multiplied_in_float32, "plain equal").code == "precision:float32"
    loss = told("squared_error", "doutput", lambda t: t.oracle["doutput"] + 3e-8 * (t.dtype == "float64"), "sum long")
    assert loss.code == ""  # a constant that is added, no rounding

    def decayed(t: Trial) -> Any:
        return t.oracle["grad weight"] * (1 + 3e-8 * noise(t, "grad weight") * (t.dtype == "float64"))

    assert told("l2_penalty", "grad weight", decayed).code == ""


def multiplied_in_float32(t: Trial) -> Any:
    x, w = (t.given[n].astype(np.float32) for n in ("x", "weight"))
    return (x @ w.T).astype(t.dtype) + t.given["bias"]


def test_errors_as_small_as_those_of_float32_are_no_float32() -> None:
    def waves(t: Trial) -> Any:
        return t.oracle["y"] * (1 + 5e-8 * np.sin(50 * t.given["x"]))

    found = told("tanh", "y", waves, "plain n1")
    assert (found.code, found.evidence[-1]) == ("", SIZE)
    nearly = told("linear", "grad weight", lambda t: t.oracle["grad weight"] * (1 + 1e-6))
    assert (nearly.code, nearly.hint) == (
        "ratio:constant",
        "grad weight is wrong: it is 1 + 1e-06 times what it should be, always",
    )
    assert any(line.endswith("mine/oracle is 1 + 1e-06") for line in nearly.evidence)
    less = told("linear", "dx", lambda t: t.oracle["dx"] * (1 - 2e-5))
    assert "it is 1 − 2e-05 times" in less.hint


@pytest.mark.parametrize(("factor", "code"), [(2, "ratio:2"), (0, "ratio:0"), (-1, "ratio:-1")])
@pytest.mark.parametrize("kind", ["linear", "conv2d", "subsample2d"])
def test_a_gradient_says_nothing_of_a_forward_that_is_right(kind: str, factor: int, code: str) -> None:
    def wrong(t: Trial) -> Any:
        return factor * t.oracle["grad bias"] if "grad bias" in t.oracle else None

    found = told(kind, "grad bias", wrong)
    assert found.code == code
    assert "added" not in found.hint
    if kind == "linear":
        runs = [
            [with_y_wrong(wronged(t, "grad bias", wrong)) for t in trials(kind, (), seed) if "bias" in t.given]
            for seed in SEEDS
        ]
        assert diagnose(problem("grad bias", *runs)).code.startswith("bias:")


def with_y_wrong(t: Trial) -> Trial:
    return replace(t, comparisons=(Comparison("y", "test", np.inf, "wrong"), *t.comparisons))


def test_a_border_is_cropped_on_one_side_though_forward_pads_right() -> None:
    def cropped(t: Trial) -> Any:
        layer = copy.deepcopy(t.reference)
        (top, left), (rows, columns) = layer.padding, t.given["x"].shape[2:]
        x = torch.zeros(*t.given["x"].shape[:2], rows + 2 * top, columns + 2 * left, dtype=torch.float64)
        x.requires_grad_()
        layer.padding = (0, 0)
        (dx,) = torch.autograd.grad(layer(x), x, torch.tensor(t.given["dy"]))
        return dx[:, :, 2 * top :, 2 * left :]

    found = told("conv2d", "dx", cropped, "s1p0 s1p1 uneven")
    assert found.code == "padding:one-side"
    assert "another forward pass than yours" in found.hint


def typed(t: Trial, dtype: str) -> Trial:
    verdict = Comparison("y", "5 form", 0.0 if t.dtype == dtype else np.inf)
    verdict = replace(verdict, fault="" if t.dtype == dtype else "dtype")
    return replace(t, mine={**t.oracle, "y": t.oracle["y"].astype(dtype)}, comparisons=(verdict,))


@pytest.mark.parametrize("dtype", DTYPES)
def test_another_dtype(dtype: str) -> None:
    runs = [[typed(t, dtype) for t in trials("linear", ("plain",), seed, DTYPES)] for seed in SEEDS]
    found = diagnose(problem("y", *runs))
    assert found.code == f"precision:{dtype}"
    assert dtype in found.hint


def test_another_dtype_and_wrong_numbers() -> None:
    runs = [[typed(t, "float32") for t in trials("linear", ("plain",), seed, DTYPES)] for seed in SEEDS]
    wrong = [[replace(t, mine={**t.mine, "y": t.mine["y"] + 1}) for t in own] for own in runs]
    assert diagnose(problem("y", *wrong)).code == ""


def test_what_cannot_be_looked_at_is_left_out() -> None:
    usual = [wronged(t, "dx", lambda t: 2 * t.oracle["dx"]) for t in trials("linear", ("plain",), SEEDS[0])]
    for mine in ({}, {"dx": np.array("text")}):
        assert seen([replace(t, mine=mine) for t in usual], "dx") == []
    assert seen(usual, "y") == []
    table = trials("conv2d", ("square-table",), SEEDS[0])
    absent = "grad weight, absent links"
    other = [replace(t, mine={"grad weight": np.zeros((1, 2))}) for t in table]
    assert len(seen(table, absent)) == len(table)
    assert seen(other, absent) == []


def test_absent_links() -> None:
    def judged(t: Trial, part: float) -> Trial:
        table = ~np.array(t.case.config["connections"])[:, :, None, None]
        whole = np.einsum("nohw,nchwij->ocij", t.given["dy"], unfolded(t))
        mine = t.oracle["grad weight"] + table * (part * whole)
        bad = Comparison("grad weight, absent links", "6 absent links", np.inf if part else 0.0)
        usual = Comparison("grad weight", "2 linear operation", bad.ratio)
        return replace(t, mine={**t.oracle, "grad weight": mine.astype(t.dtype)}, comparisons=(usual, bad))

    def unfolded(t: Trial) -> Any:
        s, k = t.case.config["stride"], t.given["weight"].shape[2:]
        return np.lib.stride_tricks.sliding_window_view(t.given["x"], k, (2, 3))[:, :, ::s, ::s]

    for part, code in ((1.0, "table:ignored"), (1e-20, "table:absent-nonzero")):
        runs = [[judged(t, part) for t in trials("conv2d", ("square-table",), seed, ("float64",))] for seed in SEEDS]
        for tensor in ("grad weight", "grad weight, absent links"):
            assert diagnose(problem(tensor, *runs)).code == code


def test_an_argument_changed_in_place_explains_the_numbers() -> None:
    fault = Comparison("forward leaves its arguments alone", "5 purity", np.inf, "mutates x, dy, weight")

    def judged(tensor: str, wrong: Any) -> str:
        runs = []
        for seed in SEEDS:
            own = [wronged(t, tensor, wrong) for t in trials("linear", ("plain", "equal", "nobias"), seed)]
            runs.append([replace(t, comparisons=(*t.comparisons, fault)) for t in own])
        return diagnose(problem(tensor, *runs)).code

    def scaled(t: Trial) -> Any:
        frozen = t.variety in ("read-only", "broadcast")
        return None if frozen else 0.9 * t.oracle["y"] + 0.1 * t.given.get("bias", 0)

    def moved(t: Trial) -> Any:
        return t.given["dy"] @ (t.given["weight"] - 0.1 * t.oracle["grad weight"])

    assert judged("y", scaled) == "conduct:mutation"
    assert judged("dx", moved) == "conduct:mutation"
    assert judged("y", lambda t: t.oracle["y"] + noise(t, "y")) == ""


def test_what_trials_have_in_common() -> None:
    slugs = ("s1p0", "s1p1", "s2p0", "uneven", "n1")
    usual = [t for t in trials("conv2d", slugs, SEEDS[0], DTYPES) if t.variety == "normal"]

    def wrong(rule: Any) -> str:
        own = [wronged(t, "dx", lambda t: 2 * t.oracle["dx"] if rule(t) else None) for t in usual]
        return common(seen(own, "dx"))

    assert wrong(lambda t: t.dtype == "float64") == "the dtype is float64"
    assert wrong(lambda t: t.case.config["padding"] != 0) == "padding > 0"
    assert wrong(lambda t: t.case.slug == "uneven" or t.case.slug == "s2p0") == "stride > 1"
    assert wrong(lambda t: len(t.given["x"]) == 1) == "the batch size is 1"
    assert wrong(lambda t: t.seed > 0) == ""


def test_torchs_own_layers_with_settings_that_ours_have_not() -> None:
    """Dilation and groups are part of the formula; a padding by name has no number, and breaks nothing."""

    def diagnosed(layer: nn.Module, wrong: Any) -> str:
        runs = []
        for seed in SEEDS:
            case = Case("dilated", "", {}, (2, 4, 9, 8))
            rng = np.random.default_rng(seed)
            x = rng.normal(size=case.shape)
            layer = copy.deepcopy(layer).double()
            with torch.no_grad():
                shape = layer(torch.tensor(x)).shape
            given = {"x": x, "dy": rng.normal(size=shape)}
            results = gradients(layer, *(torch.tensor(given[n]) for n in ("x", "dy")))
            oracle = {name: np.asarray(t) for name, t in results.items()}
            given |= {name: p.detach().numpy() for name, p in layer.named_parameters()}
            usual = Trial(case, "float64", "normal", seed, given, layer, oracle, oracle, ())
            runs.append([wronged(usual, "y", wrong)])
        return diagnose(problem("y", *runs)).code

    def without_bias(t: Trial) -> Any:
        return t.oracle["y"] - t.given["bias"][:, None, None]

    torch.manual_seed(0)
    assert diagnosed(nn.Conv2d(4, 6, 3, dilation=2, groups=2), without_bias) == "bias:missing"
    assert diagnosed(nn.Conv2d(4, 6, 3, padding="same"), lambda t: 2 * t.oracle["y"]) == "ratio:2"


def test_every_code_has_its_sentence() -> None:
    assert all(":" in code or code in ("shift", "roll") for code in CODES)
    assert all(CODES.values())
