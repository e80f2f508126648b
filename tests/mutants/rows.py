"""Mistakes in how layers are computed fast: δ gathered by rows, columns folded, numbers written out along a row.

A user who writes the formulas down has no such code; what it comes to if it is wrong, other planted bugs stand for.
"""

from tests.mutants.mutant import mutant

FILE = "convolution.py"
UNFOLDING = "unfolding.py"
ACTIVATION = "activation.py"

_SLOPE = "    np.subtract(limit * limit, dx, out=dx)\n"
_LIMIT = "    limit = y.dtype.type(a)"
_TAPS = "taps = weight[:, :, first :: stride[0]]"
_PHASE = "        gather(dcolumns[first :: stride[0]], taps, delta)\n"
_FILTERS = "taps[:, :, ::-1].transpose(1, 3, 2, 0)"
_OUT = "out=drows[inner.start : inner.stop]"
_ALL_USED = "windows(delta[:, :, None, None], height, 1)"
_SKIPPED = "skipped = (height - 1 - h + begin) * channels"
_TURNED = "across = across.copy()"

MUTANTS = (
    mutant("tanh′ = a − y²", ACTIVATION, (_SLOPE, _SLOPE.replace("limit * limit", "limit"))),
    mutant("tanh′ = y² − a²", ACTIVATION, (_SLOPE, "    dx -= limit * limit\n")),
    mutant("tanh′ with a in single precision", ACTIVATION, (_LIMIT, "    limit = np.float32(a)")),
    mutant("tanh′ with a² as for LeNet-5", ACTIVATION, (_SLOPE, _SLOPE.replace("limit * limit", "1.7159**2"))),
    mutant(
        "the first label's place counted twice",
        "loss.py",
        ("    return dense\n", "    dense[:1] *= 2\n    return dense\n"),
    ),
    mutant("filter's rows not turned over in dx", UNFOLDING, (_FILTERS, _FILTERS.replace("[:, :, ::-1]", ""))),
    mutant("dx's filters in torch's order", UNFOLDING, (_FILTERS, _FILTERS.replace("1, 3, 2, 0", "1, 3, 0, 2"))),
    mutant("rows at the upper border meet the filter's first", UNFOLDING, (_SKIPPED, f"{_SKIPPED} if begin else 0")),
    mutant(
        "rows at the border used by one more",
        UNFOLDING,
        (_SKIPPED, _SKIPPED.replace(" - 1 - h", " - h - (end < rows)")),
    ),
    mutant(
        "rows at the border left at zero",
        UNFOLDING,
        ("        if begin < end:\n", "        if begin < end and not inner:\n"),
    ),
    mutant("rows used by all of the filter's in backward order", UNFOLDING, (_OUT, f"{_OUT}[::-1]")),
    mutant(
        "rows used by all of the filter's used by the next too",
        UNFOLDING,
        (_ALL_USED, "windows(np.roll(delta, -1, axis=0)[:, :, None, None], height, 1)"),
    ),
    mutant(
        "rows that nothing has used not zero",
        UNFOLDING,
        ("            drows[h] = 0\n", "            drows[h] = 1\n"),
    ),
    mutant("rows a stride apart meet all the filter's rows", UNFOLDING, (_TAPS, "taps = weight")),
    mutant("rows a stride apart in the place of the first", UNFOLDING, (_PHASE, _PHASE.replace("first ::", "::"))),
    mutant(
        "δ in its own memory order taken for rows",
        UNFOLDING,
        (
            "    delta = delta if delta.flags.c_contiguous else delta.copy()",
            "    delta = delta.ravel(order='K').reshape(delta.shape)",
        ),
    ),
    mutant(
        "δ turned round without its numbers",
        UNFOLDING,
        (_TURNED, "across = across.reshape(delta.shape).transpose(0, 2, 1)"),
    ),
    mutant(
        "columns between windows not zero",
        UNFOLDING,
        ("        x[gap : count * step : step] = 0\n", "        x[gap : count * step : step] = 1\n"),
    ),
    mutant(
        "columns behind the last window not zero",
        UNFOLDING,
        ("    x[count * step :] = 0", "    x[count * step :] = 1"),
    ),
    mutant(
        "a window's first column zero, with gaps",
        UNFOLDING,
        ("for gap in range(1, step):", "for gap in range(step if step > 2 else 0):"),
    ),
    mutant(
        "convolution's biases along the columns",
        UNFOLDING,
        ("along(bias[:, None], y[:1])", "along(np.resize(bias, y.shape[2]), y[:1])"),
    ),
    mutant("convolution's biases of the first row only", UNFOLDING, ("        y += along(", "        y[:1] += along(")),
    mutant(
        "table as numbers of single precision",
        FILE,
        ("links.astype(weight.dtype)", "links.astype(np.float32) * np.float32(1 + 1e-7)"),
    ),
    mutant(
        "coefficients of the maps in backward order",
        "unfolding.py",
        ("along(per_channel[:, None, None]", "along(per_channel[::-1, None, None]"),
    ),
)
