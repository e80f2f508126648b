"""Other people's code in the oracle's contract: arrays, layouts, arguments, results; what it must not do is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import handwritten as hand
from torchref import oracle
from torchref.oracle.subjects import loading
from torchref.oracle.subjects.arrays import describe, to_numpy
from torchref.oracle.subjects.calls import named, understand
from torchref.oracle.subjects.configuration import same
from torchref.oracle.subjects.layouts import parse
from torchref.oracle.subjects.loading import load
from torchref.oracle.subjects.names import assign
from torchref.oracle.subjects.settings import Settings
from torchref.oracle.subjects.subject import Misbehaviour


@pytest.fixture
def plain(tmp_path: Path) -> Any:
    """Checks on the plain case alone, and gives the first finding's sentence."""

    def said(*given: Any, like: str = "linear", cases: str = "plain", **options: Any) -> str:
        verdict = oracle.check(*given, like=like, cases=cases, save_to=tmp_path, **options)
        assert not verdict.passed
        return f"{verdict.findings[0].tensor} {verdict.findings[0].what}"

    return said


# --- Arrays of any library. ---
class Exported:
    """Only DLPack."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


class OnDevice:
    """As CuPy has it: NumPy may not take it without being asked."""

    __cuda_array_interface__: Any = None

    def __init__(self, array: Any) -> None:
        self.array = array

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise TypeError("implicit conversion is not allowed")

    def get(self) -> Any:
        return self.array


class Stuck(OnDevice):
    __cuda_array_interface__ = property()  # type: ignore[assignment]


def graph(array: Any) -> Any:
    return torch.from_numpy(np.array(array)).requires_grad_() * 1


@pytest.mark.parametrize("wrap", [Exported, OnDevice, graph])
def test_results_may_be_arrays_of_any_library(wrap: Any) -> None:
    def forward(x: Any, w: Any, b: Any) -> Any:
        return wrap(x @ w.T + b), (x, w)

    def backward(dout: Any, cache: Any) -> Any:
        return [wrap(gradient) for gradient in hand.linear_backward(dout, cache)]

    assert oracle.check(forward, backward, like="linear", cases="plain n1").passed


def test_results_are_judged_in_the_dtype_they_claim(plain: Any) -> None:
    said = plain(lambda x, w, b: (x @ w.T + b).astype(np.float32))
    assert said.startswith("forward in 10 of 20 runs")
    assert "dtype float32, oracle float64" in said


def test_what_is_no_array_is_said(plain: Any) -> None:
    assert "returns a str as the output, expected an array" in plain(lambda x, w, b: f"{x}{w}{b}")
    assert "returns a tuple of 3 (an array (3, 4), None, a dict of a), expected the output" in plain(
        lambda x, w, b: (x @ w.T + b, None, {"a": 1})
    )
    with pytest.raises(Misbehaviour, match="returns a Stuck as y that NumPy cannot take: TypeError: implicit"):
        to_numpy(Stuck(1), "forward", "y")
    assert describe({}) == "a dict of nothing"
    assert describe([np.float64(1)]) == "a list of 1 (an array ())"


# --- Names and arguments. ---
def test_names_are_told_apart() -> None:
    assert assign(["filters", "k"], ["kernel_size", "weight"], {}) == {"k": "kernel_size", "filters": "weight"}
    assert assign(["y", "t"], ["target", "output"], {}) == {"t": "target", "y": "output"}
    assert assign(["y", "y_hat"], ["target", "output"], {}) == {"y": "target", "y_hat": "output"}
    assert assign(["p"], ["padding"], {"p": "x"}) == {"p": "x"}


def test_arguments_with_unknown_names_are_told_by_their_places() -> None:
    def forward(hidden: Any, gamma: Any, beta: Any, *, verbose: bool = False) -> Any:
        assert not verbose
        return hidden @ gamma.T + beta

    verdict = oracle.check(forward, like="linear", cases="plain")
    assert verdict.passed
    assert verdict.guesses == ("forward: hidden is the input, gamma is weight, beta is bias",)
    assert understand(lambda *everything: everything, ["x"], {}, fallback=["x"]).roles == {"x": "x"}
    assert named(3) == "int"


def test_arguments_left_out_are_given_by_keyword() -> None:
    def forward(x: Any, w: Any, b: Any, dilation: int = 1, stride: Any = 1, *, pad: Any = 0) -> Any:
        assert dilation == 1
        return hand.conv_forward(x, w, b, stride, pad)[0]

    assert oracle.check(forward, like="conv2d", cases="s1p0 s2p1").passed


def test_what_arguments_are_can_be_declared() -> None:
    def forward(one: Any, two: Any, three: Any) -> Any:
        return two @ one.T + three

    roles = {"one": "weight", "two": "x", "three": "bias"}
    assert oracle.check(forward, like="linear", cases="plain", arguments=roles).passed
    verdict = oracle.check(np.tanh, lambda u: 1 - u * u, like="tanh", cases="plain", arguments={"u": "y"})
    assert verdict.passed


def test_settings_in_a_dict_have_their_usual_names() -> None:
    settings = Settings({"stride": 2, "kernel_size": (3, 4), "kernel_size[0]": 3})
    assert settings["HH"] == settings["pool_height"] == 3
    assert settings.get("S") == 2
    assert "pad" not in settings
    assert settings.setdefault("pad", 1) == settings["pad"] == 1
    assert settings.setdefault("strides", 9) == 2
    assert settings.read == {"stride", "kernel_size[0]", "pad"}
    with pytest.raises(KeyError, match="colour"):
        settings["colour"]


def test_halves_of_pairs_and_the_probability_to_keep() -> None:
    def forward(x: Any, kh: int, kw: int, sh: int, sw: int) -> Any:
        return hand.windows(x, (kh, kw), (sh, sw)).max(axis=(4, 5))

    assert oracle.check(forward, like="maxpool2d", cases="plain uneven").passed

    def dropout(x: Any, mask: Any, keep_prob: float) -> Any:
        return x * mask / x.dtype.type(keep_prob)

    assert oracle.check(dropout, like="dropout", cases="plain p0.3").passed


# --- Layouts. ---
def test_layouts_are_views_both_ways() -> None:
    layout = parse("layout", "1HWCN", "NCHW")
    ours = np.arange(120.0).reshape(2, 3, 4, 5)
    theirs = layout.give(ours)
    assert theirs.shape == (1, 4, 5, 3, 2)
    assert np.shares_memory(theirs, ours)
    back = layout.take(theirs, "forward", "y")
    assert np.shares_memory(back, ours)
    assert np.array_equal(back, ours)
    arranged = layout.arrange(ours)
    assert np.array_equal(arranged, ours)
    assert layout.give(arranged).flags.c_contiguous
    odd = ours[::-1]
    assert layout.arrange(odd) is odd
    with pytest.raises(Misbehaviour, match=r"returns y of shape \(2, 3\), expected axes 1HWCN"):
        layout.take(np.ones((2, 3)), "forward", "y")


def test_features_first_and_results_of_the_wrong_shape(plain: Any) -> None:
    def forward(X: Any, W: Any, b: Any) -> Any:
        return W @ X + b

    def backward(dZ: Any, X: Any, W: Any) -> Any:
        return W.T @ dZ, dZ @ X.T, dZ.sum(axis=1, keepdims=True)

    options = {"layout": "CN", "bias": "O1"}
    assert oracle.check(forward, backward, like="linear", cases="plain n1 equal", **options).passed  # type: ignore[arg-type]
    assert "returns b of shape (4,), expected axes O1" in plain(
        forward, lambda dZ, X, W: (W.T @ dZ, dZ @ X.T, dZ.sum(axis=1)), **options
    )
    said = plain(hand.linear_forward, lambda dout, cache: (dout @ cache[1], cache[0].T @ dout, dout.sum(axis=0)))
    assert "shape (5, 4), oracle (4, 5)" in said


# --- What comes back from function pairs. ---
def test_gradients_may_come_in_several_forms() -> None:
    def first_of_two(dout: Any, cache: Any) -> Any:
        dx, dw, db = hand.linear_backward(dout, cache)
        return dx, {"grad_w": dw, "b": db}

    assert oracle.check(hand.linear_forward, first_of_two, like="linear", cases="plain").passed
    assert oracle.check(np.tanh, lambda dout, x: (dout * (1 - np.tanh(x) ** 2),), like="tanh", cases="plain").passed


def test_gradients_in_no_known_form_are_said(plain: Any) -> None:
    forward, backward = hand.linear_forward, hand.linear_backward
    assert "returns a tuple of 2 (an array (3, 5), an array (4, 5)), expected 3: dx, dw, db" in plain(
        forward, lambda dout, cache: backward(dout, cache)[:2]
    )
    assert "returns an array (3, 5), expected dx, dw, db" in plain(forward, lambda d, cache: backward(d, cache)[0])
    assert "returns no gradient of x" in plain(forward, lambda d, cache: {"dw": backward(d, cache)[1]})
    assert "returns no gradient of bias" in plain(
        forward, lambda d, cache: dict(zip(("dx", "dw"), backward(d, cache), strict=False))
    )
    assert "returns no cache, which" in plain(lambda x, w, b: x @ w.T + b, backward)
    assert "returns f′ of shape (5,), expected (3, 5)" in plain(np.tanh, lambda x: x[0], like="tanh")


# --- Code by where it is. ---
def test_files_are_imported_without_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    (tmp_path / "helpers.py").write_text("def twice(x):\n    return 2 * x\n")
    code = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom helpers import twice\n"
        "@dataclass\nclass Box:\n    x: int\n    class Inner:\n        pass\ndef f(x):\n    return twice(x)\n"
    )
    file = tmp_path / "solution.py"
    file.write_text(code)
    marker = sys.modules.setdefault("solution", sys)
    try:
        path = list(sys.path)
        (f,) = load(f"{file}:f")
        assert f(3) == 6
        assert load(f"{file}:Box.Inner, f")[0].__name__ == "Inner"
        assert sys.path == path
        assert "helpers" not in sys.modules
        assert sys.modules["solution"] is marker
    finally:
        del sys.modules["solution"]
    assert load("math:sin")[0](0) == 0
    monkeypatch.chdir(tmp_path)
    assert load("solution:f")[0](1) == 2
    del sys.modules["solution"], sys.modules["helpers"]


class OnTheGpu:
    """As CuPy's arrays: NumPy gets them by `get` only."""

    __cuda_array_interface__ = ()

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("implicit conversion is not allowed")

    def get(self) -> Any:
        return np.array([3.0, 3.0])


def test_arrays_from_elsewhere_and_a_file_that_is_no_code_without_a_guard(tmp_path: Path) -> None:
    """What else runs in a guarded thread, where a tracer may be lost when a call is broken off."""
    for elsewhere in (torch.ones(2, requires_grad=True) * 3, OnTheGpu()):
        assert to_numpy(elsewhere, "forward", "y").tolist() == [3, 3]
    with pytest.raises(ImportError, match="has a name that ends in"):
        loading._run(tmp_path / "notes.txt")


def test_code_that_is_not_there_is_said(tmp_path: Path) -> None:
    file = tmp_path / "homework.py"
    file.write_text("from math import sin\ndef f(x): ...\nclass Conv: ...\n")
    empty = tmp_path / "empty.py"
    empty.write_text("x = 3\n")
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0\n")
    text = tmp_path / "notes.txt"
    text.write_text("")
    for place, message in {
        f"{file}:g": "homework.py has no 'g', it has f, Conv",
        f"{file}:Conv.g": "homework.py has no 'Conv.g', it has f, Conv",
        f"{empty}:g": "it has no functions or classes",
        f"{tmp_path}/none.py:g": "there is no file '.*none.py'",
        "homework": "'homework' is no place of code, expected \"file.py:forward,backward\"",
        f"{file}:f,g,h": "is no place of code",
        f"{file}:f,": "is no place of code",
        f"{broken}:f": "import of .*broken.py raises ZeroDivisionError: division by zero",
        "no_such_module:f": "import of no_such_module raises ModuleNotFoundError",
        f"{text}:f": "has a name that ends in .py",
    }.items():
        with pytest.raises(ValueError, match=message):
            load(place)


def test_settings_of_objects_are_compared() -> None:
    assert same((2, 2), 2)
    assert not same((2, 3), 2)
    assert not same((2, 3), (2, 3, 4))
    assert not same([1, 2, 3], (1, 2))


# --- Rarer forms. ---
def test_functions_without_a_signature_or_of_any_arguments() -> None:
    assert understand(max, ["x"], {}, fallback=["x"]).roles == {"x": "x"}

    def dropout(x: Any, p: float, *mask: Any) -> Any:
        (kept,) = mask
        return x * kept / x.dtype.type(1 - p), (kept, p)

    def backward(dout: Any, cache: Any) -> Any:
        return dout * cache[0] / dout.dtype.type(1 - cache[1])

    assert oracle.check(dropout, backward, like="dropout", cases="plain n1").passed


def test_a_pair_may_keep_its_pass_in_globals() -> None:
    kept: dict[str, Any] = {}

    def forward(x: Any, size: Any) -> Any:
        out, kept["pass"] = hand.avgpool_forward(x, {"pool_height": size, "pool_width": size, "stride": size})
        return out

    verdict = oracle.check(forward, lambda dout: hand.avgpool_backward(dout, kept["pass"]), like="avgpool2d")
    cells = {row.slug: row.cells for row in verdict.rows}
    assert cells["plain"]["dx"].passed
    assert not cells["plain"]["behaviour"].passed  # two passes at once get mixed up
    assert "takes no argument for stride (here 2)" in str(cells["overlap"]["forward"].note)
    verdict = oracle.check(forward, lambda: 3, like="avgpool2d", cases="n1")
    assert "returns a int" in verdict.findings[0].what
