"""The catalogue of layers: of each, the configurations and shapes on which hand-written code goes wrong.

Sizes differ on every axis, so that a transposition changes a shape; one case has all axes equal, where only values can
tell. Strides that leave a rest, strides beyond the kernel, padding, 1×1 and full-size kernels, one channel, a batch of
one and of none.
"""

from typing import Any

import torchref
from torchref.oracle.kinds.kind import Case
from torchref.oracle.kinds.layer_kind import LayerKind

TABLE = ((True, False, True), (False, True, False), (True, True, False), (False, False, True))
INFINITY = float("inf")
NEGATIVE = tuple(-1e6 - i for i in range(4 * 2 * 6 * 8))
"""Numbers below what a search for the largest may start with in place of −∞; as many as there are entries: no ties."""

COMMON = {
    "empty": "a batch of no samples",
    "single": "a batch of one sample",
    "strided": "inputs that are not contiguous, read-only or broadcast",
    "special": "zeros of both signs, saturating and subnormal values",
    "nonfinite": "NaN and infinity",
}
WINDOWS = {
    "stride": "a stride other than 1 (pooling: other than the window)",
    "rectangular": "kernels or windows that are not square",
    "gaps": "strides beyond the kernel, so that some pixels belong to no window",
    "rest": "strides that do not divide the size, so that the last rows or columns belong to no window",
}
CONVOLUTION = (
    COMMON
    | WINDOWS
    | {
        "padding": "a border of zeros",
        "bias-free": "no bias",
        "connections": "a table of connections between channels",
    }
)
POOLING = COMMON | WINDOWS | {"overlap": "windows that overlap"}


def _case(slug: str, label: str, shape: tuple[int, ...], needs: str = "", **config: Any) -> Case:
    return Case(slug, label, config, shape, frozenset(needs.split()))


def _thorough(slug: str, label: str, shape: tuple[int, ...], needs: str = "", **config: Any) -> Case:
    return Case(slug, label, config, shape, frozenset(needs.split()), thorough=True)


def _linear(slug: str, samples: int, inputs: int, outputs: int, needs: str = "", *, bias: bool = True) -> Case:
    config = {"in_features": inputs, "out_features": outputs, "bias": bias}
    label = f"{inputs}->{outputs}{'' if bias else ' no bias'}  N{samples}"
    return Case(slug, label, config, (samples, inputs), frozenset(needs.split()), thorough=slug == "plain")


def _conv(
    slug: str,
    shape: tuple[int, ...],
    out_channels: int,
    kernel: Any,
    stride: Any = 1,
    padding: Any = 0,
    needs: str = "",
    **more: Any,
) -> Case:
    def said(value: Any) -> str:
        return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)

    square = f"{kernel}x{kernel}" if isinstance(kernel, int) and len(shape) == 4 else said(kernel)
    extras = "".join(f" {name}" for name in ("table", "no bias") if name in _extras(more))
    label = f"{square} s{said(stride)} p{said(padding)}{extras}  N{shape[0]} C{shape[1]} O{out_channels} "
    config = {"in_channels": shape[1], "out_channels": out_channels, "kernel_size": kernel, "stride": stride}
    config |= {"padding": padding, **more}
    return Case(slug, label + said(shape[2:]), config, shape, frozenset(needs.split()), thorough=slug == "s1p0")


def _extras(more: dict[str, Any]) -> tuple[str, ...]:
    return ("table",) * ("connections" in more) + ("no bias",) * (more.get("bias") is False)


def _pool(slug: str, shape: tuple[int, ...], kernel: Any, stride: Any = None, needs: str = "", **more: Any) -> Case:
    def said(value: Any) -> str:
        return "x".join(map(str, value)) if isinstance(value, tuple) else f"{value}x{value}"

    stride = kernel if stride is None else stride
    label = f"{said(kernel)} s{'x'.join(map(str, stride)) if isinstance(stride, tuple) else stride}"
    label += f"  N{shape[0]} C{shape[1]} {said(shape[2:])}"
    values = more.pop("values", ())
    config = {"kernel_size": kernel, "stride": stride, **more}
    return Case(slug, label, config, shape, frozenset(needs.split()), values, thorough=slug == "plain")


LINEAR = LayerKind(
    name="linear",
    aliases=("affine", "dense", "fc", "fully_connected"),
    twin=torchref.Linear,
    parameters=("weight", "bias"),
    settings=(),
    axes={"x": "NC", "y": "NO", "weight": "OC", "bias": "O"},
    features=COMMON | {"bias-free": "no bias"},
    cases=(
        _linear("plain", 3, 5, 4),
        _linear("n1", 1, 5, 4, "single"),
        _linear("n0", 0, 5, 4, "empty"),
        _linear("equal", 4, 4, 4),
        _linear("one-in", 2, 1, 3),
        _linear("one-out", 2, 6, 1),
        _linear("long", 131, 257, 31),
        _linear("nobias", 3, 5, 4, "bias-free", bias=False),
    ),
)

CONV2D = LayerKind(
    name="conv2d",
    aliases=("conv", "convolution"),
    twin=torchref.Conv2d,
    parameters=("weight", "bias"),
    settings=("stride", "padding", "connections"),
    axes={"x": "NCHW", "y": "NOHW", "weight": "OCIJ", "bias": "O"},
    features=CONVOLUTION | {"pairs": "strides and borders given as (rows, columns), where they differ"},
    cases=(
        _conv("s1p0", (2, 3, 7, 5), 4, 3),
        _conv("s1p1", (2, 3, 5, 6), 4, 3, 1, 1, "padding"),
        _conv("s2p0", (2, 3, 7, 9), 4, 3, 2, 0, "stride"),
        _conv("s2p1", (2, 3, 7, 6), 4, 3, 2, 1, "stride padding rest"),
        _conv("s3p2", (2, 5, 9, 7), 4, 3, 3, 2, "stride padding rest"),
        _conv("s3p0", (2, 4, 8, 7), 3, 2, 3, 0, "stride gaps rest"),
        _conv("s1p3", (2, 4, 3, 5), 3, 2, 1, 3, "padding"),
        _conv("rect", (2, 3, 7, 6), 4, (2, 3), 1, 0, "rectangular"),
        _conv("uneven", (6, 2, 8, 7), 3, (5, 4), (2, 3), (1, 2), "rectangular stride padding pairs rest"),
        _conv("gaps", (4, 2, 8, 9), 3, (1, 2), (3, 4), 0, "rectangular stride pairs gaps rest"),
        _conv("wide", (3, 1, 4, 5), 2, 2, 1, (3, 4), "padding pairs"),
        _conv("1x1", (4, 3, 5, 6), 2, 1),
        _conv("full", (2, 1, 3, 5), 4, (3, 5), 1, 0, "rectangular"),
        _conv("n1", (1, 2, 6, 7), 3, 3, 1, 0, "single"),
        _conv("n0", (0, 2, 6, 7), 3, 3, 1, 0, "empty"),
        _conv("equal", (3, 3, 3, 3), 3, 3, 1, 1, "padding"),
        _conv("square", (2, 2, 5, 5), 2, 2, 2, 0, "stride rest"),
        _conv("large", (33, 17, 7, 8), 2, (7, 6), 1, 3, "rectangular padding"),
        _conv("nobias", (2, 3, 7, 5), 4, 3, 1, 0, "bias-free", bias=False),
        _conv("table", (5, 3, 4, 6), 4, (2, 3), 1, (0, 1), "rectangular padding pairs connections", connections=TABLE),
        _conv("square-table", (3, 3, 4, 4), 3, 2, 2, 0, "stride connections", connections=TABLE[:3]),
    ),
)

CONV1D = LayerKind(
    name="conv1d",
    twin=torchref.Conv1d,
    parameters=("weight", "bias"),
    settings=("stride", "padding", "connections"),
    axes={"x": "NCL", "y": "NOL", "weight": "OCJ", "bias": "O"},
    features={name: text for name, text in CONVOLUTION.items() if name != "rectangular"},
    cases=(
        _conv("s1p0", (2, 3, 7), 4, 3),
        _conv("s1p1", (2, 3, 5), 4, 3, 1, 1, "padding"),
        _conv("s2p0", (2, 3, 7), 4, 3, 2, 0, "stride"),
        _conv("s3p2", (5, 2, 9), 3, 4, 3, 2, "stride padding rest"),
        _conv("gaps", (4, 2, 9), 3, 2, 4, 0, "stride gaps rest"),
        _conv("wide", (3, 1, 4), 2, 2, 1, 3, "padding"),
        _conv("full", (2, 1, 5), 4, 5),
        _conv("n1", (1, 2, 6), 3, 3, 1, 0, "single"),
        _conv("n0", (0, 2, 6), 3, 3, 1, 0, "empty"),
        _conv("equal", (3, 3, 3), 3, 3, 1, 1, "padding"),
        _conv("nobias", (2, 3, 7), 4, 3, 1, 0, "bias-free", bias=False),
        _conv("table", (2, 3, 6), 4, 5, 1, 0, "connections", connections=TABLE),
    ),
)

_POOLED = (
    _pool("plain", (4, 2, 6, 8), 2),
    _pool("rest", (4, 2, 7, 5), 2, needs="rest"),
    _pool("overlap", (4, 2, 7, 6), 3, 2, "stride overlap rest"),
    _pool("k3s1", (4, 2, 5, 6), 3, 1, "stride overlap"),
    _pool("k2s3", (4, 2, 8, 6), 2, 3, "stride gaps rest"),
    _pool("rect", (3, 2, 7, 6), (3, 2), needs="rectangular rest"),
    _pool("uneven", (4, 2, 7, 6), (2, 4), (1, 3), "rectangular stride overlap rest"),
    _pool("gaps", (4, 2, 7, 6), (1, 2), (3, 4), "rectangular stride gaps rest"),
    _pool("1x1", (3, 2, 4, 5), 1),
    _pool("n1", (1, 2, 4, 6), 2, needs="single"),
    _pool("n0", (0, 2, 4, 6), 2, needs="empty"),
    _pool("equal", (2, 2, 2, 2), 2),
)

AVGPOOL2D = LayerKind(
    name="avgpool2d",
    aliases=("avg_pool2d", "average_pool", "meanpool2d"),
    twin=torchref.AvgPool2d,
    settings=("kernel_size", "stride"),
    axes={"x": "NCHW", "y": "NCHW"},
    features=POOLING,
    cases=_POOLED,
)

MAXPOOL2D = LayerKind(
    name="maxpool2d",
    aliases=("max_pool2d", "max_pool", "maxpool"),
    twin=torchref.MaxPool2d,
    settings=("kernel_size", "stride"),
    axes={"x": "NCHW", "y": "NCHW"},
    features=POOLING | {"ties": "equal entries in a window"},
    cases=(
        *_POOLED,
        _pool("negative", (2, 4, 6, 8), 2, values=NEGATIVE),
        _pool("16x9", (4, 3, 18, 10), (16, 9), 1, "rectangular stride overlap"),
        _pool("ties", (4, 2, 7, 6), (2, 3), (1, 2), "rectangular stride overlap rest ties", values=(2.0, 2.0, -1.0)),
        _pool("zeros", (4, 2, 7, 6), 2, 1, "stride overlap ties special", values=(0.0, -0.0)),
        _pool("minus-inf", (4, 2, 7, 6), 2, 1, "stride overlap ties nonfinite", values=(-INFINITY,)),
        _pool(
            "nan",
            (4, 2, 7, 6),
            (2, 3),
            (1, 2),
            "rectangular stride overlap rest ties nonfinite",
            values=(float("nan"), INFINITY, -INFINITY, -INFINITY, 1.0),
        ),
    ),
)

SUBSAMPLE2D = LayerKind(
    name="subsample2d",
    aliases=("subsample", "subsampling"),
    twin=torchref.Subsample2d,
    parameters=("weight", "bias"),
    settings=("kernel_size", "stride"),
    axes={"x": "NCHW", "y": "NCHW", "weight": "C", "bias": "C"},
    features=POOLING,
    cases=tuple(
        Case(c.slug, c.label, {"channels": c.shape[1], **c.config}, c.shape, c.needs, thorough=c.thorough)
        for c in _POOLED
    ),
)

FLATTEN = LayerKind(
    name="flatten",
    twin=torchref.Flatten,
    axes={"x": "NCHW", "y": "NK"},
    features=COMMON,
    cases=(
        _thorough("plain", "N4 C2 7x6", (4, 2, 7, 6)),
        _case("n1", "N1 C2 5x8", (1, 2, 5, 8), "single"),
        _case("n0", "N0 C2 7x6", (0, 2, 7, 6), "empty"),
        _case("equal", "N3 C3 3x3", (3, 3, 3, 3)),
    ),
)

CANVAS2D = LayerKind(
    name="canvas2d",
    aliases=("pad2d", "constant_pad"),
    twin=torchref.Canvas2d,
    settings=("size", "value"),
    axes={"x": "NCHW", "y": "NCHW"},
    features=COMMON | {"rectangular": "a canvas that is not square"},
    cases=(
        _thorough("plain", "to 9x12, -0.3  N4 C2 7x6", (4, 2, 7, 6), "rectangular", size=(9, 12), value=-0.3),
        _case("n1", "to 9x12, -0.3  N1 C2 5x8", (1, 2, 5, 8), "rectangular single", size=(9, 12), value=-0.3),
        _case("n0", "to 9x12, -0.3  N0 C2 7x6", (0, 2, 7, 6), "rectangular empty", size=(9, 12), value=-0.3),
        _case("same", "to 9x12, 0.5  N2 C3 9x12", (2, 3, 9, 12), "rectangular", size=(9, 12), value=0.5),
        _case("equal", "to 3x3, 0  N3 C3 3x3", (3, 3, 3, 3), size=3, value=0.0),
        _case("point", "to 3x3, 1  N3 C3 1x1", (3, 3, 1, 1), size=3, value=1.0),
    ),
)

DROPOUT = LayerKind(
    name="dropout",
    twin=torchref.Dropout,
    settings=("p",),
    axes={"x": "", "y": ""},
    features=COMMON | {"maps": "images, not only vectors"},
    masked=True,
    cases=(
        _thorough("plain", "p=0.5  N3 K5", (3, 5), p=0.5),
        _case("n1", "p=0.5  N1 K5", (1, 5), "single", p=0.5),
        _case("n0", "p=0.5  N0 K5", (0, 5), "empty", p=0.5),
        _case("p0.3", "p=0.3  N4 C2 7x6", (4, 2, 7, 6), "maps", p=0.3),
        _case("p0", "p=0  N3 K5", (3, 5), p=0.0),
        _case("equal", "p=0.3  N4 K4", (4, 4), p=0.3),
    ),
)

LAYERS = (LINEAR, CONV2D, CONV1D, AVGPOOL2D, MAXPOOL2D, SUBSAMPLE2D, FLATTEN, CANVAS2D, DROPOUT)
