"""Verdicts to be shown: real ones, and some made by hand that have in them whatever a report may meet."""

import numpy as np

from torchref.oracle.verdict import Cell, Finding, Picture, Row, Verdict

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror='document.title=7'>\"\x1b[31m\x00\ud800"
COLUMNS = ("forward", "dx", "dweight", "dbias", "behaviour")
INFINITY = float("inf")


def good(ratio: float = 0.11) -> Cell:
    return Cell(ratio, passed=True)


def bad(ratio: float, note: str = "✗ dx: too far", status: str = "wrong") -> Cell:
    return Cell(ratio, passed=False, status=status, note=note)


def shifted(shape: tuple[int, ...] = (2, 3, 6, 5)) -> Picture:
    """The oracle's array and the same one shifted, in which one sample is right."""
    oracle = np.random.default_rng(0).normal(size=shape)
    mine = np.roll(oracle, (1, 1), (-2, -1))
    mine[0] = oracle[0]
    return Picture(mine, oracle, (1, 2, 3, 4), "NCHW")


def layer() -> Verdict:
    """A convolution with a wrong dx, a skipped case, and faults of several kinds."""
    fine = dict.fromkeys(COLUMNS, good())
    return Verdict(
        title="homework.py:conv_forward,conv_backward",
        like="conv2d",
        seed=7,
        columns=COLUMNS,
        rows=(
            Row("plain", "3x3 s1 p0  N2 C3 O4 7x5", {**fine, "dbias": Cell(0.0, passed=True, status="not judged")}),
            Row("s2p1", "3x3 s2 p1  N2 C3 O4 7x6", {**fine, "dx": bad(4.2e13)}),
            Row("table", "2x3 table", skipped="declared unsupported: connections"),
            Row(
                "n0",
                "3x3  N0",
                {**fine, "forward": bad(INFINITY, "✗ y: shape (2, 3), oracle (2, 4)")},
            ),
        ),
        findings=(
            Finding(
                "dx",
                "in 3 of 12 runs, 1 of 3 cases; at worst 4.2e+13 × the bound at [1, 2, 3, 4]: mine 1, oracle 2",
                rows=("s2p1",),
                hint="the border was not cropped after the scatter",
                code="padding:uncropped",
                evidence=("dx equals the oracle's shifted by (1, 1)", "it holds on a second seed"),
                reproduce="twice check homework.py:conv_forward,conv_backward --like conv2d --case s2p1 --seed 7",
                saved="/tmp/dx.npz",
                picture=shifted(),
                when="only with a border of zeros",
            ),
            Finding(
                "forward leaves its arguments alone",
                "in 2 of 2 runs; at worst mutates x",
                rows=("plain",),
                fault="mutates x",
            ),
            Finding("backward", "in 3 of 3 runs", missing=True, fault="raises NotImplementedError"),
        ),
        guesses=("dx is the first of three results",),
        remarks=("forward prints 'shape (2, 3)'",),
        seconds=1.25,
        tensors=352,
    )


def network() -> Verdict:
    """A network in which one layer's backward is wrong and the layers before it inherit the error."""
    fine = {"forward": good(0.03), "dx": good(0.2), "dweight": good(0.1), "dbias": good(0.0)}
    inherited = {"forward": good(0.02), **dict.fromkeys(("dx", "dweight", "dbias"), bad(3e5, "", "inherited"))}
    flat = {"forward": good(0.02), "dx": bad(2e5, "", "inherited")}
    guilty = {**fine, "dx": bad(8e6, "✗ dx: 8e6 of the bound")}
    diagram = (
        ("conv1", "Conv2d(1, 6, 5)  → N 6 28 28"),
        ("act1", "Tanh  → N 6 28 28"),
        ("conv2", "Conv2d(6, 16, 5)  → N 16 10 10"),
        ("act2", "Tanh  → N 16 10 10"),
        ("fc", "Linear(120, 10)  → N 10"),
        ("loss", "CrossEntropy"),
    )
    cells = (inherited, flat, guilty, {"forward": good(), "dx": good()}, fine, {"forward": good(), "dx": good()})
    return Verdict(
        title="my LeNet",
        like="LeNet5(Sequential)",
        seed=0,
        columns=("forward", "dx", "dweight", "dbias"),
        rows=tuple(Row(name, name, own) for (name, _), own in zip(diagram, cells, strict=True)),
        findings=(
            Finding(
                "dx",
                "at worst 8e6 × the bound at [1, 2, 3, 4]",
                layer="conv2",
                rows=("conv2",),
                hint="the kernel was not flipped",
                code="flip:kernel",
                evidence=("dx equals the oracle's with w[:, :, ::-1, ::-1]",),
                reproduce="oracle.compare(mine, LeNet5(), x, target, seed=0)",
                picture=shifted((2, 6, 14, 14)),
            ),
        ),
        diagram=diagram,
        seconds=2.5,
    )


def hostile() -> Verdict:
    """A verdict in which every text tries to be more than text."""
    note = f"✗ y: raises ValueError: {HOSTILE}"
    return Verdict(
        title=HOSTILE,
        like=HOSTILE,
        seed=0,
        columns=(HOSTILE, "behaviour"),
        rows=(Row(HOSTILE, HOSTILE, {HOSTILE: bad(INFINITY, note)}), Row("b", "b", skipped=HOSTILE)),
        findings=(
            Finding(
                HOSTILE,
                HOSTILE,
                layer=HOSTILE,
                rows=(HOSTILE,),
                hint=HOSTILE,
                evidence=(HOSTILE,),
                reproduce=HOSTILE,
                saved=HOSTILE,
                picture=Picture(np.array([np.nan, np.inf, 1.0]), np.array([-np.inf, 1.0, 1.0]), axes="<"),
                when=HOSTILE,
            ),
        ),
        guesses=(HOSTILE,),
        remarks=(HOSTILE,),
        diagram=((HOSTILE, HOSTILE), ("elsewhere", "")),
    )


PASSING = Verdict("mine", "relu", 3, ("forward",), (Row("a", "3x5", {"forward": good()}),), (), seconds=0.5)
EMPTY = Verdict("mine", "relu", 3, ("forward",), (Row("a", "a", skipped="declared unsupported: empty"),), ())
