"""`oracle.check` from end to end: right code in many styles passes, wrong code fails, nonsense is refused."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import scratch
from tests import handwritten as hand
from torchref import oracle

X_W = {"like": "linear", "weight": "IO", "cases": "plain n1 n0 equal"}
STYLES: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "pair": ((hand.linear_forward, hand.linear_backward), {"like": "linear"}, "w is weight, b is bias"),
    "x @ W": ((hand.affine_forward, hand.affine_backward), X_W, "dout is the gradient that arrives"),
    "convolution": (
        (hand.conv_forward, hand.conv_backward),
        {"like": "conv2d", "cases": "s1p0 s2p1 uneven nobias table"},
        "pad is padding",
    ),
    "channels last": (
        (hand.conv_forward_nhwc, hand.conv_backward_nhwc),
        {"like": "conv2d", "layout": "NHWC", "weight": "HWIO", "bias": "1O", "cases": ["s2p1", "equal"]},
        "conv_param is a dict of the settings",
    ),
    "dict of settings": (
        (hand.avgpool_forward, hand.avgpool_backward),
        {"like": "avgpool2d", "cases": "plain uneven"},
        "pool_param is a dict of the settings",
    ),
    "forward alone": ((hand.softmax,), {"like": "softmax"}, "z is the input"),
    "f′ of the output": ((hand.sigmoid, hand.sigmoid_prime), {"like": "sigmoid"}, "f′ as a function of the output"),
    "f′ of the input": ((hand.sigmoid, hand.sigmoid_slope), {"like": "logistic"}, "f′ as a function of the input"),
    "no signature": ((np.tanh, lambda y: 1 - y * y), {"like": "tanh"}, "f′ as a function of the output"),
    "by the input": ((np.tanh, hand.tanh_backward), {"like": "tanh"}, "Z is the input"),
    "Jacobian": (
        (hand.softmax, hand.softmax_jacobian),
        {"like": "softmax", "unsupported": "nonfinite"},
        "function of the output",
    ),
    "callable object": ((hand.Sigmoid(),), {"like": "sigmoid"}, "gradient is the backward part"),
    "made of arrays": ((hand.Affine,), X_W, "gradient of W is what the backward part leaves"),
    "results on attributes": ((hand.Dense,), {**X_W, "bias": "1O"}, "the output is what the forward part leaves"),
    "updating": ((hand.Updating,), {**X_W, "bias": "1O"}, "gradients are read off that update"),
    "lists": ((hand.Listed,), X_W, "gradient of weight is what"),
    "dicts": (
        (hand.InDicts,),
        {"like": "linear", "cases": "plain nobias"},
        "zero_grad() is called before each backward pass",
    ),
    "factory": ((lambda nin, nout: hand.InDicts(nin, nout),), {"like": "linear", "cases": "n1"}, "nin is in_features"),
    "object": ((hand.InDicts(5, 4),), {"like": "linear"}, "weight is params['W']"),
    "Parameter objects": ((hand.Wrapped,), {"like": "linear", "cases": "plain n1"}, "weight is w.data"),
    "methods": ((hand.Given,), {"like": "linear", "cases": "plain n1"}, "bias is get_params()['b']"),
    "ours": ((scratch.Conv1d,), {"like": "conv1d", "cases": "s1p1 table nobias"}, ""),
    "ours, masked": ((scratch.Dropout,), {"like": "dropout"}, ""),
    "loss and gradient": ((hand.softmax_loss,), {"like": "cross_entropy", "unsupported": "empty"}, "and its gradient"),
    "one-hot": ((hand.SoftmaxWithLoss,), {"like": "cross_entropy", "unsupported": "empty"}, "one-hot target"),
    "pair of a loss": ((hand.half_squared, hand.half_squared_prime), {"like": "squared_error"}, "y_hat is output"),
    "loss object": ((hand.Leaving,), {"like": "squared_error"}, "leaves its gradient on the object"),
    "penalty": ((hand.l2, hand.l2_grad), {"like": "l2_penalty"}, "lam is decay"),
    "penalty object": ((scratch.L2Penalty,), {"like": "l2_penalty"}, ""),
    "config": ((hand.sgd,), {"like": "sgd"}, "config is a dict of the settings"),
    "config with velocity": ((hand.sgd_momentum,), {"like": "sgd"}, "config is a dict of the settings"),
    "velocity": ((hand.with_velocity,), {"like": "sgd"}, "mu is momentum"),
    "new arrays": ((hand.all_at_once,), {"like": "sgd"}, "grads is gradients"),
    "in place": ((hand.Momentum,), {"like": "sgd"}, "update: grads is gradients"),
    "ours, optimiser": ((scratch.SGD,), {"like": "sgd"}, "step: grads is gradients"),
    "one optimiser": ((scratch.SGD(0.1, 0.9),), {"like": "sgd", "cases": "momentum"}, ""),
    "initialiser": ((scratch.init.lecun_uniform,), {"like": "lecun_uniform"}, ""),
    "a module": ((hand.InDicts(7, 3),), {"like": nn.Linear(7, 3), "shape": (4, 7)}, "weight is params['W']"),
    "a callable": ((np.square, lambda x: 2 * x), {"like": torch.square, "shape": (3, 4)}, "function of the input"),
}


@pytest.mark.parametrize("name", STYLES)
def test_right_code_passes_and_guesses_are_printed(name: str, seed: int) -> None:
    given, options, guess = STYLES[name]
    verdict = oracle.check(*given, seed=seed, **options)
    assert verdict.passed, str(verdict)
    assert guess in "; ".join(verdict.guesses)
    for sentence in verdict.guesses:
        assert sentence in str(verdict)


def test_a_check_takes_less_than_two_seconds() -> None:
    began = time.process_time()
    assert oracle.check(hand.conv_forward, hand.conv_backward, like="conv2d").passed
    assert time.process_time() - began < 2


def scaled(backward: Any, *which: int) -> Any:
    def wrong(dout: Any, cache: Any) -> Any:
        results = backward(dout, cache)
        return tuple(2 * r if i in which else r for i, r in enumerate(results))

    return wrong


class WrongAffine(hand.Affine):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dW = 2 * self.dW
        return dx


class WrongDense(hand.Dense):
    def backward(self, dvalues: Any) -> None:
        super().backward(dvalues)
        self.dinputs = -self.dinputs


class WrongListed(hand.Listed):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.grads[1][...] *= 2
        return dx


class WrongUpdating(hand.Updating):
    def backward_propagation(self, output_error: Any, learning_rate: float) -> Any:
        super().backward_propagation(output_error, learning_rate)
        return output_error @ self.weights.T  # too late: they are new


class Forgetful(hand.InDicts):
    """What it adds up is never set to zero."""

    zero_grad: Any = None

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        hand.InDicts.zero_grad(self)

    def backward(self, g: Any) -> Any:
        self.grads = {name: array.astype(g.dtype) for name, array in self.grads.items()}
        return super().backward(g)


def late(w: Any, g: Any, v: Any, lr: float, mu: float) -> Any:
    return w - lr * v, mu * v + g


W_X = {**X_W, "cases": "plain"}
WRONG: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "pair": ((hand.linear_forward, scaled(hand.linear_backward, 0)), {"like": "linear", "cases": "plain"}, "dx"),
    "convolution": (
        (hand.conv_forward, scaled(hand.conv_backward, 1)),
        {"like": "conv2d", "cases": "s1p0"},
        "dw",
    ),
    "transposed": ((hand.affine_forward, hand.affine_backward), {"like": "linear", "cases": "plain"}, "forward"),
    "f′ of the wrong one": (
        (hand.sigmoid, lambda x: hand.sigmoid_prime(x)),
        {"like": "logistic", "cases": "plain"},
        "dz",
    ),
    "attribute": ((WrongAffine,), W_X, "dW"),
    "left on the layer": ((WrongDense,), {**W_X, "bias": "1O"}, "dx"),
    "list": ((WrongListed,), W_X, "dbias"),
    "after the update": ((WrongUpdating,), {**W_X, "bias": "1O"}, "dx"),
    "adding up": ((Forgetful,), {"like": "linear", "cases": "plain"}, "rerun"),
    "loss": ((lambda x, y: (2 * hand.softmax_loss(x, y)[0], x),), {"like": "cross_entropy", "cases": "mean"}, "loss"),
    "pair of a loss": (
        (hand.half_squared, lambda y_hat, y: y_hat - y),
        {"like": "squared_error", "cases": "mean"},
        "doutput",
    ),
    "penalty": ((hand.l2, lambda w, lam: 2 * lam * w), {"like": "l2"}, "dfc1.weight"),
    "optimiser": ((late,), {"like": "sgd", "cases": "momentum"}, "fc1.weight"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_code_fails_at_the_right_tensor(name: str, tmp_path: Path) -> None:
    given, options, tensor = WRONG[name]
    verdict = oracle.check(*given, save_to=tmp_path, **options)
    assert not verdict.passed
    assert verdict.findings[0].tensor == tensor, str(verdict)


def test_what_a_signature_is_without_is_skipped_visibly() -> None:
    verdict = oracle.check(
        hand.linear_forward, hand.linear_backward, like="linear", unsupported=["empty"], cases="n1 n0 nobias"
    )
    skipped = {row.slug: row.skipped for row in verdict.rows if row.skipped}
    assert skipped == {"n0": "declared unsupported: empty", "nobias": "linear_forward always takes a bias"}
    verdict = oracle.check(hand.sigmoid, like="logistic")
    assert {row.skipped for row in verdict.rows if row.slug.startswith("a")} == {"sigmoid takes no a"}


def test_a_missing_argument_is_a_fault_unless_declared() -> None:
    def forward(x: Any, w: Any, b: Any, stride: Any = 1) -> Any:
        return hand.conv_forward(x, w, b, stride)

    verdict = oracle.check(forward, hand.conv_backward, like="conv2d", cases="s1p1 s1p0")
    assert [row.cells["forward"].passed for row in verdict.rows] == [True, False]
    assert "takes no argument for padding (here 1); declare unsupported='padding'" in verdict.findings[0].what
    verdict = oracle.check(forward, hand.conv_backward, like="conv2d", cases="s1p1 s2p0", unsupported="padding, rest")
    assert verdict.passed


def test_a_layer_without_a_bias_is_declared_to_be_one() -> None:
    def forward(x: Any, w: Any) -> Any:
        return x @ w.T

    def backward(dout: Any, x: Any, w: Any) -> Any:
        return dout @ w, dout.T @ x

    with pytest.raises(ValueError, match="forward takes no bias, which linear has; declare unsupported='bias'"):
        oracle.check(forward, backward, like="linear")
    verdict = oracle.check(forward, backward, like="linear", unsupported="bias", cases="plain nobias")
    assert verdict.passed
    assert verdict.columns == ("forward", "dx", "dw", "behaviour")
    assert oracle.check(hand.InDicts, like="linear", unsupported="bias", cases="n1").passed


def test_a_failure_is_reproduced_by_a_snippet(tmp_path: Path) -> None:
    def backward(dout: Any, cache: Any) -> Any:
        return scaled(hand.linear_backward, 2)(dout, cache)

    options: dict[str, Any] = {"like": "linear", "seed": 7, "cases": "n1", "save_to": tmp_path}
    verdict = oracle.check(hand.linear_forward, backward, arguments={"w": "weight"}, **options)
    said = 'oracle.check(linear_forward, backward, like="linear", arguments={"w": "weight"}, cases="n1", seed=7)'
    assert verdict.findings[0].reproduce == said
    assert Path(verdict.findings[0].saved).parent == tmp_path
    verdict = oracle.check(hand.linear_forward, backward, command=lambda slug: f"do {slug}", **options)
    assert verdict.findings[0].reproduce.startswith("do ")
    like = torch.square
    verdict = oracle.check(np.square, lambda x: x, like=like, shape=(3, 4), save_to=tmp_path, title="f", cases="plain")
    assert verdict.findings[0].reproduce == 'oracle.check(f, like=square, shape=(3, 4), cases="plain", seed=0)'


def test_what_has_no_name_is_to_be_filled_in(tmp_path: Path) -> None:
    options: dict[str, Any] = {"shape": (3, 4), "save_to": tmp_path, "dtypes": "float64", "cases": "plain"}
    verdict = oracle.check(lambda x: 2 * x, like=nn.GELU(), **options)
    assert verdict.findings[0].reproduce == (
        'oracle.check(…, like=…, shape=(3, 4), cases="plain", seed=0)  # … is your code, then what it is held against'
    )
    verdict = oracle.check(np.sin, like=torch.cos, **options)
    assert verdict.findings[0].reproduce == 'oracle.check(sin, like=cos, shape=(3, 4), cases="plain", seed=0)'


def test_code_by_where_it_is(tmp_path: Path) -> None:
    file = tmp_path / "homework.py"
    file.write_text("def forward(x, w, b):\n    return x @ w.T + b\ndef backward(d, x, w):\n    pass\n")
    verdict = oracle.check(f"{file}:forward,backward", like="linear", cases="plain", save_to=tmp_path)
    assert verdict.title == f"{file}:forward,backward"
    assert verdict.findings[0].missing
    said = f'oracle.check("{file}:forward,backward", like="linear", cases="plain", seed=0)'
    assert verdict.findings[0].reproduce == said
    assert oracle.check("tests.handwritten:Affine", like="linear", weight="IO", cases="plain").passed


def test_global_random_state_is_left_as_it_was() -> None:
    np.random.seed(3)  # noqa: NPY002
    drawn = np.random.rand()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    assert oracle.check(hand.Dense, like="linear", weight="IO", bias="1O", cases="n1").passed
    assert np.random.rand() == drawn  # noqa: NPY002


def test_partial_functions_are_called_by_their_name() -> None:
    forward = partial(hand.conv_forward, pad=0)
    verdict = oracle.check(forward, hand.conv_backward, like="conv2d", cases="s1p0", title="")
    assert verdict.title == "conv_forward, conv_backward"


def test_a_weight_that_does_not_fit_comes_with_advice(tmp_path: Path) -> None:
    verdict = oracle.check(hand.affine_forward, like="linear", cases="plain", save_to=tmp_path)
    assert "declare weight=, such as 'IO'" in verdict.findings[0].what
    verdict = oracle.check(hand.InDicts, like="linear", weight="IO", cases="plain", save_to=tmp_path)
    assert "makes params['W'] of shape (4, 5), expected (5, 4); declare weight=" in verdict.findings[0].what
    verdict = oracle.check(lambda x, y: x[y > 9, 9], like="cross_entropy", cases="mean", save_to=tmp_path)
    assert "if yours is one-hot, say arguments=" in verdict.findings[0].what


def test_code_that_refuses_a_batch_of_none_is_told_how_to_say_so(tmp_path: Path) -> None:
    def flatten(x: Any) -> Any:
        return x.reshape(len(x), -1).copy()

    options: dict[str, Any] = {"like": "flatten", "dtypes": "float64", "save_to": tmp_path}
    (finding,) = oracle.check(flatten, **options).findings
    assert "cannot reshape array of size 0" in finding.what
    assert "if yours is to do without such, declare unsupported='empty'" in finding.what
    assert oracle.check(flatten, unsupported="empty", **options).passed


def strange(x: Any, weight: Any, bias: Any, hurdle: Any) -> Any:
    return x @ weight.T + bias + hurdle


LINEAR = (hand.linear_forward, hand.linear_backward)
REFUSED: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "unknown kind": (LINEAR, {"like": "linaer"}, "like is 'linaer', expected one of linear, "),
    "no kind": (LINEAR, {"like": 3}, "like is 3, expected a name"),
    "feature": (LINEAR, {"like": "linear", "unsupported": "stride"}, "linear has no feature 'stride'"),
    "case": (LINEAR, {"like": "linear", "cases": "big"}, "linear has no case 'big'"),
    "dtype": (LINEAR, {"like": "linear", "dtypes": "float16"}, "linear has no dtype 'float16'"),
    "words": (LINEAR, {"like": "linear", "cases": [1]}, "cases is \\[1\\], expected text"),
    "time": (LINEAR, {"like": "linear", "time_limit": 0}, "time_limit is 0, expected a number of seconds above 0"),
    "seed": (LINEAR, {"like": "linear", "seed": -1}, "seed is -1, expected a whole number from 0"),
    "shape": (LINEAR, {"like": "linear", "shape": (3, 4)}, "shape is \\(3, 4\\), but linear has a catalogue"),
    "letters": (LINEAR, {"like": "conv2d", "layout": "NHWD"}, "layout is 'NHWD', expected the letters NCHW"),
    "weight": (LINEAR, {"like": "linear", "weight": "XO"}, "weight is 'XO', expected the letters OI"),
    "no weight": (LINEAR, {"like": "maxpool2d", "weight": "IO"}, "weight is 'IO', but maxpool2d has no weight"),
    "any layout": (LINEAR, {"like": "flatten", "layout": "NHWC"}, "layout is 'NHWC', but flatten"),
    "argument": (
        (strange,),
        {"like": "linear"},
        "asks for 'hurdle', which is not known; say what it is by arguments={'hurdle': …}",
    ),
    "nothing": ((None,), {"like": "linear"}, "forward is None, expected a function"),
    "number": ((3,), {"like": "linear"}, "forward is 3, expected a function"),
    "backward": ((hand.linear_forward, 3), {"like": "linear"}, "backward is 3, expected a function"),
    "class and function": ((hand.Affine, hand.linear_backward), {"like": "linear"}, "goes with a forward function"),
    "text and function": (("a:b", hand.linear_backward), {"like": "linear"}, "expected both in one"),
    "object": ((hand.InDicts(50, 4),), {"like": "linear"}, "InDicts: no case can be asked of it .* pass the class"),
    "methods": ((object(),), {"like": "linear"}, "object has no forward method, it has no methods"),
    "mask": ((np.negative,), {"like": "dropout"}, "takes no mask"),
    "mask of an object": ((hand.Sigmoid(),), {"like": "dropout", "cases": "plain"}, "takes no mask"),
    "known role": (
        LINEAR,
        {"like": "linear", "arguments": {"w": "wait"}},
        "w is 'wait', expected one of weight, bias, ",
    ),
    "known argument": (LINEAR, {"like": "linear", "arguments": {"u": "weight"}}, "no argument is called 'u'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_nonsense_is_refused_at_the_door(name: str) -> None:
    given, options, message = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=message):
        oracle.check(*given, **options)
