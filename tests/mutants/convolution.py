"""Mistakes in convolution: the filter, its places, strides, padding, sums and bias."""

from tests.mutants.mutant import Edit, Mutant, mutant

FILE = "convolution.py"
UNFOLDING = "unfolding.py"

# forward
_FORWARD = "    if has_one_place(x.shape[2:], weight.shape[2:], padding):\n"
_PRODUCT = "as_matrix(weight) @ windows(columns, weight.shape[2], stride[0])"
_MATRIX = "return weight.transpose(0, 2, 1, 3).reshape(len(weight), -1)"
_PADDED = "        image = padded\n"
_UNFOLDED = "(shape, x.dtype, image, strides=strides)"
_ROWS = "(shape, columns.dtype, columns, strides=strides)"
_Y = "y.reshape(*y.shape[:2], *columns.shape[3:]).transpose(3, 1, 0, 2)"
_PIXELS = "linear(pixels, weight.reshape(len(weight), -1), bias)"
# dW
_UNDER = "windows(columns, kh, stride), delta.transpose(0, 2, 1)"
_DW = "dweight = (under @ across).sum(axis=0)"
_DFILTERS = "dweight.reshape(kh, channels, kw, -1).transpose(3, 1, 0, 2)"
_DBIAS = 'np.einsum("pos->o", delta)'
# dx
_DX = "    (samples, *_, cols), (_, channels, kh, kw) = dy.shape, weight.shape\n"
_DROWS_OF = "return dy.transpose(2, 1, 3, 0).reshape(rows, channels, cols * samples)"
_DCOLUMNS_OF = "    dcolumns = np.empty_like(dy, shape="
_PHASES = "    for first in range(stride[0]):"
_PHASE = "        gather(dcolumns[first :: stride[0]], taps, delta)\n"
_TAPS = "taps = weight[:, :, first :: stride[0]]"
# gather
_INNER = "range(height - 1, rows) if height"
_BEGIN = "begin, end = max(0, h - height + 1), min(h + 1, rows)"
_LAST_USE = f"{_BEGIN}\n        begin = max(begin, end - 1)"
# fold
_TO_FOLD = "dcolumns.reshape(len(dcolumns), channels, kw, cols, samples), size, stride[1], padding)"
_DCOLUMNS = "padded[:, :, j : j + stride * across : stride] += dcolumns[ph : ph + h, :, j]"
_CROPPED = "return padded[:, :, pw : pw + w].transpose(3, 1, 0, 2)"
# the layer
_GRADIENTS = "        dweight, dbias = conv2d_dweight(in_plane(dy), cache.columns, (kh, kw), stride)\n"
_STEPS = "return (sh[0] if sh else 1, sw), (ph[0] if ph else 0, pw)"

MUTANTS = (
    # the filter
    mutant("filter flipped", UNFOLDING, (_FORWARD, f"    weight = weight[:, :, ::-1, ::-1]\n{_FORWARD}")),
    mutant("filter's rows flipped", UNFOLDING, (_FORWARD, f"    weight = weight[:, :, ::-1]\n{_FORWARD}")),
    mutant("dW flipped", FILE, (_GRADIENTS, f"{_GRADIENTS}        dweight = dweight[:, :, ::-1, ::-1]\n")),
    mutant("filter flipped in dx", UNFOLDING, (_DX, f"{_DX}    weight = weight[:, :, ::-1, ::-1]\n")),
    mutant(
        "filter transposed, where square",
        UNFOLDING,
        (
            _FORWARD,
            f"    weight = weight.swapaxes(*((2, 3) if weight.shape[2] == weight.shape[3] else (3, 3)))\n{_FORWARD}",
        ),
    ),
    mutant(
        "kh and kw swapped",
        UNFOLDING,
        (_FORWARD, f"    weight = weight.reshape(*weight.shape[:2], *weight.shape[:1:-1])\n{_FORWARD}"),
    ),
    mutant(
        "dW's filters transposed, where square",
        FILE,
        (_GRADIENTS, f"{_GRADIENTS}        dweight = dweight.swapaxes(*((2, 3) if kh == kw else (3, 3)))\n"),
    ),
    mutant(
        "columns with the channels inside",
        UNFOLDING,
        (_FORWARD, f"    weight = np.moveaxis(weight.reshape(len(weight), *weight.shape[2:], -1), 3, 1)\n{_FORWARD}"),
    ),
    mutant("filters in torch's order, row by row", UNFOLDING, (_MATRIX, _MATRIX.replace(".transpose(0, 2, 1, 3)", ""))),
    mutant(
        "dW's filters in torch's order, row by row",
        UNFOLDING,
        (_DFILTERS, "dweight.reshape(channels, kh, kw, -1).transpose(3, 0, 1, 2)"),
    ),
    # as large as the image
    mutant(
        "filters row by row where there is one place",
        UNFOLDING,
        (_PIXELS, _PIXELS.replace("weight.reshape(len(weight), -1)", "as_matrix(weight)")),
    ),
    mutant(
        "dx row by row where there is one place",
        UNFOLDING,
        (
            ".reshape(samples, channels, kh, kw)",
            ".reshape(samples, kh, channels, kw).transpose(0, 2, 1, 3)",
        ),
    ),
    mutant(
        "dW row by row where there is one place",
        UNFOLDING,
        ("dweight.reshape(len(dweight), -1, kh, kw)", "dweight.reshape(len(dweight), kh, -1, kw).swapaxes(1, 2)"),
    ),
    mutant(
        "one place in spite of the padding",
        UNFOLDING,
        ("size == kernel_size and padding == (0, 0)", "size == kernel_size"),
    ),
    mutant("no bias where there is one place", UNFOLDING, (_PIXELS, _PIXELS.replace("bias)", "None)"))),
    # stride and padding
    mutant("sh and sw swapped", FILE, (_STEPS, "return (sw, sh[0] if sh else 1), (ph[0] if ph else 0, pw)")),
    mutant("ph and pw swapped", FILE, (_STEPS, "return (sh[0] if sh else 1, sw), (pw, ph[0] if ph else 0)")),
    mutant(
        "padding on one side",
        UNFOLDING,
        ("padded[ph : ph + height, :, pw : pw + width]", "padded[2 * ph :, :, 2 * pw :]"),
    ),
    mutant(
        "padding repeats the border",
        UNFOLDING,
        (_PADDED, '        image = np.pad(image, ((ph, ph), (0, 0), (pw, pw), (0, 0)), mode="edge")\n'),
    ),
    mutant(
        "padding not cropped from dx",
        UNFOLDING,
        (_DCOLUMNS, _DCOLUMNS.replace("ph : ph + h", ":h")),
        (_CROPPED, _CROPPED.replace("pw : pw + w", ":w")),
    ),
    mutant("padding cropped in rows only", UNFOLDING, (_CROPPED, _CROPPED.replace("pw : pw + w", ":w"))),
    mutant("padding cropped in columns only", UNFOLDING, (_DCOLUMNS, _DCOLUMNS.replace("ph : ph + h", ":h"))),
    mutant(
        "windows aligned to the end",
        UNFOLDING,
        (
            _UNFOLDED,
            _UNFOLDED.replace("strides=", "offset=(width + 2 * pw - kernel_width) % stride * right, strides="),
        ),
        (_ROWS, _ROWS.replace("strides=", "offset=(rows - kernel_height) % stride * row * item, strides=")),
    ),
    mutant("windows down the image by sw", UNFOLDING, (_PRODUCT, _PRODUCT.replace("stride[0]", "stride[1]"))),
    mutant("stride ignored in dW", UNFOLDING, (_UNDER, _UNDER.replace("kh, stride)", "kh, 1)[: len(delta)]"))),
    mutant(
        "stride ignored in dx",
        UNFOLDING,
        (_PHASES, _PHASES.replace("stride[0]", "1")),
        (_TAPS, _TAPS.replace("stride[0]", "1")),
        (_PHASE, _PHASE.replace("stride[0]", "1")),
        (_TO_FOLD, _TO_FOLD.replace("stride[1]", "1")),
    ),
    mutant(
        "padding above and below Conv1d's signals too", FILE, ("ph[0] if ph else 0, pw)", "ph[0] if ph else pw, pw)")
    ),
    mutant(
        "signals stood upright", FILE, ("return x[:, :, None] if x.ndim == 3", "return x[..., None] if x.ndim == 3")
    ),
    # overlapping windows
    Mutant(
        "last window wins in dx",
        (
            Edit(UNFOLDING, _BEGIN, _LAST_USE),
            Edit(UNFOLDING, _INNER, "range(0) if height"),
            Edit(UNFOLDING, _DCOLUMNS, _DCOLUMNS.replace("+=", "=")),
        ),
    ),
    mutant(
        "the lower row wins in dx",
        UNFOLDING,
        (_BEGIN, _LAST_USE),
        (_INNER, "range(0) if height"),
    ),
    mutant("the right column wins in dx", UNFOLDING, (_DCOLUMNS, _DCOLUMNS.replace("+=", "="))),
    mutant(
        "overlaps averaged in dx",
        UNFOLDING,
        (
            _DCOLUMNS_OF,
            f"    uses = np.zeros_like(dy, shape=(size[0] + 2 * padding[0], channels * kw, cols * samples))\n{_DCOLUMNS_OF}",
        ),
        (_PHASE, f"{_PHASE}        gather(uses[first :: stride[0]], np.ones_like(taps), np.ones_like(delta))\n"),
        (
            f"return fold({_TO_FOLD}",
            f"uses = fold(uses.{_TO_FOLD.removeprefix('dcolumns.')}\n    return fold({_TO_FOLD} * len(weight) / np.maximum(uses, 1)",
        ),
    ),
    mutant(
        "last tap skipped in dx",
        UNFOLDING,
        (_DX, f"{_DX}    weight = weight.copy()\n    weight[:, :, -1, -1] *= kh * kw == 1\n"),
    ),
    mutant("last row skipped in dx", UNFOLDING, (_DX, f"{_DX}    weight = weight[:, :, : max(1, kh - 1)]\n")),
    mutant(
        "last column skipped in dx", UNFOLDING, ("    for j in range(1, kw):", "    for j in range(1, max(1, kw - 1)):")
    ),
    mutant(
        "last tap skipped in dW", FILE, (_GRADIENTS, f"{_GRADIENTS}        dweight[:, :, -1, -1] *= kh * kw == 1\n")
    ),
    # batch and places
    mutant(
        "batch and places mixed up in δ",
        UNFOLDING,
        (_DROWS_OF, "return dy.swapaxes(0, 1).reshape(channels, rows, cols * samples).swapaxes(0, 1)"),
    ),
    mutant("batch and columns mixed up in δ", UNFOLDING, (_DROWS_OF, _DROWS_OF.replace("2, 1, 3, 0", "2, 1, 0, 3"))),
    mutant(
        "batch and places mixed up in y",
        UNFOLDING,
        (
            _Y,
            "y.reshape(*y.shape[:2], *columns.shape[3:]).swapaxes(0, 1).reshape(y.shape[1], -1, len(y), columns.shape[3]).swapaxes(0, 1)",
        ),
    ),
    mutant(
        "batch and columns mixed up in y",
        UNFOLDING,
        (_Y, "y.reshape(*y.shape[:2], *columns.shape[:2:-1]).transpose(2, 1, 0, 3)"),
    ),
    mutant(
        "convolution's dW averaged over the batch",
        FILE,
        (_GRADIENTS, f"{_GRADIENTS}        dweight /= max(len(dy), 1)\n"),
    ),
    mutant("convolution's dW averaged over the places", UNFOLDING, (_DW, f"{_DW} / (dy.shape[2] * dy.shape[3])")),
    mutant(
        "convolution's dW of the first place only",
        UNFOLDING,
        (_DW, "dweight = under[0, :, : len(dy)] @ across[0, : len(dy)]"),
    ),
    # bias
    mutant("convolution's bias forgotten", UNFOLDING, (_FORWARD, f"    bias = None\n{_FORWARD}")),
    mutant(
        "convolution's bias added twice",
        UNFOLDING,
        (_FORWARD, f"    bias = None if bias is None else 2 * bias\n{_FORWARD}"),
    ),
    mutant(
        "convolution's bias added at each tap",
        UNFOLDING,
        (_FORWARD, f"    bias = None if bias is None else weight[0, 0].size * bias\n{_FORWARD}"),
    ),
    mutant(
        "convolution's bias gradient averaged over the places",
        UNFOLDING,
        (_DBIAS, f"{_DBIAS} / (dy.shape[2] * dy.shape[3])"),
    ),
    mutant(
        "convolution's bias gradient averaged over the batch",
        FILE,
        (_GRADIENTS, f"{_GRADIENTS}        dbias /= max(len(dy), 1)\n"),
    ),
    mutant(
        "convolution's bias gradient of the first place only",
        UNFOLDING,
        (_DBIAS, "dy[:, :, 0, 0].sum(axis=0)"),
    ),
)
