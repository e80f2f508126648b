"""Mistakes in pooling, sub-sampling, flattening, the canvas and dropout."""

from tests.mutants.mutant import in_buffer, mutant

FILE = "pooling.py"

_AREA = "math.prod(self.kernel_size)"
_AVERAGED = f"        y /= {_AREA}\n"
_SHARED = f"share = dy / {_AREA}"
_AVERAGE = "        return y, PoolingCache("
_MAXIMUM = "        return y, MaxPoolCache("
_AVERAGE_DX = "        return sum_pool2d_backward(share, cache.size, self.kernel_size, self.stride), {}\n"
_BETTER = "better = (tap > y) | np.isnan(tap)"
_WON = "        tap += np.where(winner == index, dy, 0)\n"
_STRIDE = '        self.stride = self.kernel_size if stride is None else check_pair("stride", stride)\n'
_TAPS = "    for i, j in np.ndindex(kh, kw):\n"
_ENTRIES = "    for i in range(kernel_size):\n"
_ADDED = "        entry += dy\n"
_TILES = "if stride == kernel_size and size == dy.shape[axis] * kernel_size:"
_CLEARED = (
    "dx = np.empty_like(dy, shape=shape)",
    "dx = np.zeros_like(dy, shape=shape)",
)  # so the mistake is the same in each run
_SUBSAMPLED = "        y = sums * in_maps(self.weight, sums)\n        y += in_maps(self.bias, sums)\n"
_DCOEFFICIENT, _DBIAS = 'np.einsum("nchw,nchw->c", dy, cache.sums)', 'np.einsum("nchw->c", dy)'
_SUMS = "sums = sum_pool2d(x, self.kernel_size, self.stride)"
_MIDDLE = "top, left = (canvas.shape[2] - size[0]) // 2, (canvas.shape[3] - size[1]) // 2"
_KEPT = "y = x.reshape(len(x), math.prod(x.shape[1:])).copy()"
_SCALE = "scale = mask.astype(x.dtype) * x.dtype.type(1 / (1 - p))"
_OFF = "            y = x.copy()\n            return y, DropoutCache(y, None)\n"
_DROPPED = "(dy.copy() if cache.mask is None else dropout(dy, cache.mask, self.p))"
_DRAWN = "rng.random(shape) >= p"

MUTANTS = (
    # windows
    mutant(
        "window's last tap skipped", FILE, (_TAPS, "    for i, j in list(np.ndindex(kh, kw))[: max(1, kh * kw - 1)]:\n")
    ),
    mutant(
        "window's last row and column skipped",
        FILE,
        (_ENTRIES, "    for i in range(max(1, kernel_size - 1)):\n"),
        _CLEARED,
    ),
    mutant(
        "window's kh and kw swapped", FILE, (_STRIDE, f"{_STRIDE}        self.kernel_size = self.kernel_size[::-1]\n")
    ),
    mutant("pooling's sh and sw swapped", FILE, (_STRIDE, f"{_STRIDE}        self.stride = self.stride[::-1]\n")),
    mutant(
        "stride 1 unless told", FILE, ("self.stride = self.kernel_size if stride", "self.stride = (1, 1) if stride")
    ),
    mutant("window's second row and column twice", FILE, ("for entry in rest[1:]:", "for entry in rest:")),
    mutant("windows of more than two rows lose the third", FILE, ("for entry in rest[1:]:", "for entry in rest[2:]:")),
    mutant(
        "rows added up in the image itself",
        FILE,
        ("np.add(first, rest[0])", "np.add(first, rest[0], out=first if first.flags.writeable else None)"),
    ),
    mutant("a 1×1 window's output is a view", FILE, ("else np.copy(first)  #", "else first  #")),
    mutant(
        "pooling aligned to the end",
        FILE,
        (
            _TAPS,
            "    x = x[:, :, (x.shape[2] - kh) % sh :, (x.shape[3] - kw) % sw :]\n" + _TAPS,
        ),
        (
            _ENTRIES,
            "    rest = (x.shape[axis] - kernel_size) % stride\n    for i in range(rest, rest + kernel_size):\n",
        ),
    ),
    # average
    mutant("average not divided", FILE, (_AVERAGED, "")),
    mutant("average's gradient not divided", FILE, (_SHARED, "share = dy.copy()")),
    mutant("average divided by k", FILE, (_AVERAGED, "        y /= self.kernel_size[0]\n")),
    mutant("average's gradient divided by k", FILE, (_SHARED, "share = dy / self.kernel_size[0]")),
    mutant("average divided by the stride's area", FILE, (_AVERAGED, _AVERAGED.replace("kernel_size", "stride"))),
    mutant("average's gradient divided twice", FILE, (_SHARED, f"{_SHARED} / {_AREA}")),
    mutant("last window wins in pooling's dx", FILE, (_ADDED, "        entry[...] = dy\n")),
    mutant("overlapping windows taken for tiles", FILE, (_TILES, "if stride <= kernel_size:"), _CLEARED),
    mutant(
        "tiles' rest not cleared",  # ones stand for what the memory happens to hold
        FILE,
        (_TILES, "if stride == kernel_size:"),
        ("dx = np.empty_like(dy, shape=shape)", "dx = np.ones_like(dy, shape=shape)"),
    ),
    mutant(
        "tiles' first row and column only",
        FILE,
        (
            "        for entry in entries(dx, axis, kernel_size, stride):",
            "        dx[...] = 0\n        for entry in entries(dx, axis, 1, stride):",
        ),
    ),
    mutant(
        "average's gradient to the window's first pixel",
        FILE,
        (_TILES, "if False:"),
        (_ADDED, f"{_ADDED}        break\n"),
    ),
    mutant(
        "float32 leak in the average",
        FILE,
        (_AVERAGED, f"{_AVERAGED}        y = y.astype(np.float32).astype(x.dtype)\n"),
    ),
    mutant("average in a buffer", FILE, (_AVERAGE, in_buffer("y") + _AVERAGE)),
    mutant(
        "average's dx in a buffer",
        FILE,
        (
            _AVERAGE_DX,
            f"{_AVERAGE_DX[:-5].replace('return', 'dx =')}\n{in_buffer('dx')}        return dx, {{}}\n",
        ),
    ),
    # maximum
    mutant("maximum in a buffer", FILE, (_MAXIMUM, in_buffer("y") + _MAXIMUM)),
    mutant("ties to the last", FILE, (_BETTER, "better = (tap >= y) | np.isnan(tap)")),
    mutant("maximum drops NaN", FILE, (_BETTER, "better = (tap > y) | np.isnan(y)")),
    mutant("maximum sees NaN in the first pixel only", FILE, (_BETTER, "better = tap > y")),
    mutant("the first NaN wins", FILE, (_BETTER, "better = (tap > y) | (np.isnan(tap) & ~np.isnan(y))")),
    mutant("maximum of absolute values", FILE, (_BETTER, "better = (np.abs(tap) > np.abs(y)) | np.isnan(tap)")),
    mutant("minimum", FILE, (_BETTER, "better = (tap < y) | np.isnan(tap)")),
    mutant("maximum from 0 on", FILE, ("    y = np.copy(first)\n", "    y = np.maximum(first, 0)\n")),
    mutant("winner off by one", FILE, ("np.copyto(winner, index,", "np.copyto(winner, index - 1,")),
    mutant(
        "winner in a byte", FILE, ("np.copyto(winner, index,", "np.copyto(winner, np.array(index).astype(np.int8),")
    ),
    mutant("winner not noted", FILE, ("        np.copyto(winner, index, where=better)\n", "")),
    mutant("last window wins in the maximum's dx", FILE, (_WON, "        np.copyto(tap, dy, where=winner == index)\n")),
    mutant("maximum's gradient shared out", FILE, (_WON, "        tap += dy / (kernel_size[0] * kernel_size[1])\n")),
    mutant("maximum's gradient as dy·(winner)", FILE, (_WON, "        tap += dy * (winner == index)\n")),
    mutant(
        "winner read column by column",
        FILE,
        (
            "enumerate(taps(dx, kernel_size, stride)):",
            "enumerate(taps(dx.swapaxes(2, 3), kernel_size[::-1], stride[::-1])):",
        ),
        (_WON, "        tap = tap.swapaxes(2, 3)\n" + _WON),
    ),
    mutant(
        "winners kept on the layer",
        FILE,
        ("        return y, MaxPoolCache(", "        self.winner = winner\n        return y, MaxPoolCache("),
        ("max_pool2d_backward(dy, cache.winner,", "max_pool2d_backward(dy, self.winner[: len(dy)],"),
    ),
    # sub-sampling
    mutant("coefficient not applied in dx", FILE, ("dy * in_maps(self.weight, dy), cache.size", "dy, cache.size")),
    mutant("coefficient's gradient missing", FILE, (_DCOEFFICIENT, f"0 * {_DCOEFFICIENT}")),
    mutant("coefficient's gradient of the average", FILE, (_DCOEFFICIENT, f"{_DCOEFFICIENT} / {_AREA}")),
    mutant(
        "coefficient's gradient of the output",
        FILE,
        ("return y, SubsampleCache(sums,", "return y, SubsampleCache(y,"),
    ),
    mutant(
        "coefficient's gradient averaged over the batch",
        FILE,
        (_DCOEFFICIENT, f"{_DCOEFFICIENT} / max(len(dy), 1)"),
    ),
    mutant("mean for sum (sub-sampling)", FILE, (_SUMS, f"{_SUMS} / {_AREA}")),
    mutant("sub-sampling's bias forgotten", FILE, ("        y += in_maps(self.bias, sums)\n", "")),
    mutant(
        "sub-sampling's bias within the coefficient",
        FILE,
        (_SUBSAMPLED, "        y = (sums + in_maps(self.bias, sums)) * in_maps(self.weight, sums)\n"),
    ),
    mutant(
        "sub-sampling's bias gradient over the batch only",
        FILE,
        (_DBIAS, "dy.sum(axis=0)[:, 0, 0]"),
    ),
    mutant(
        "sub-sampling's bias gradient averaged over the places",
        FILE,
        (_DBIAS, "dy.mean(axis=(2, 3)).sum(axis=0)"),
    ),
    mutant(
        "one coefficient for all maps",
        "unfolding.py",
        ("along(per_channel[:, None, None]", "along(per_channel[:1, None, None]"),
    ),
    mutant("coefficients start at 1", FILE, (f"1 / {_AREA}, check", "1, check")),
    mutant(
        "sub-sampling ignores the dtype",
        FILE,
        (f'1 / {_AREA}, check_dtype("dtype", dtype))', f'1 / {_AREA}, check_dtype("dtype", np.float32))'),
    ),
    mutant(
        "coefficients' gradients summed over the maps",
        FILE,
        (_DCOEFFICIENT, 'np.einsum("nchw,nkhw->c", dy, cache.sums)'),
    ),
    # flatten.py
    mutant(
        "flattened in Fortran order",
        "flatten.py",
        (_KEPT, 'y = x.reshape(len(x), math.prod(x.shape[1:]), order="F").copy()'),
    ),
    mutant(
        "flattened with the channels inside",
        "flatten.py",
        (_KEPT, _KEPT.replace("x.reshape", "np.moveaxis(x, 1, -1).reshape")),
        ("import math\n", "import math\n\nimport numpy as np\n"),
    ),
    mutant(
        "unflattened in Fortran order",
        "flatten.py",
        ("dy.reshape(cache.x.shape).copy()", 'dy.reshape(cache.x.shape, order="F").copy()'),
    ),
    mutant("flattened into a view", "flatten.py", (_KEPT, _KEPT.replace(".copy()", ""))),
    mutant(
        "unflattened into a view of δ", "flatten.py", ("dy.reshape(cache.x.shape).copy()", "dy.reshape(cache.x.shape)")
    ),
    # padding.py
    mutant("canvas off centre", "padding.py", (_MIDDLE, "top, left = 0, 0")),
    mutant("canvas's rows and columns swapped", "padding.py", (_MIDDLE, _MIDDLE.replace("top, left", "left, top"))),
    mutant("canvas's border zero", "padding.py", ("self.value, ", "0, ")),
    mutant(
        "canvas's gradient not cropped",
        "padding.py",
        ("middle(dy, cache.size).copy()", "dy[:, :, : cache.size[0], : cache.size[1]].copy()"),
    ),
    mutant("canvas's gradient a view of δ", "padding.py", ("middle(dy, cache.size).copy()", "middle(dy, cache.size)")),
    mutant(
        "canvas in double whatever came",
        "padding.py",
        ("        return y, CanvasCache(", "        y = y.astype(np.float64)\n        return y, CanvasCache("),
    ),
    # regularization.py: dropout
    mutant("dropout not scaled", "regularization.py", (_SCALE, "scale = mask.astype(x.dtype)")),
    mutant("dropout's gradient not scaled", "regularization.py", (_DROPPED, _DROPPED.replace("self.p", "0"))),
    mutant("dropout scaled by 1/p", "regularization.py", (_SCALE, _SCALE.replace("(1 - p)", "p"))),
    mutant("dropout scaled by 1 − p", "regularization.py", (_SCALE, _SCALE.replace("1 / (1 - p)", "1 - p"))),
    mutant("dropout drops what it should keep", "regularization.py", (_SCALE, _SCALE.replace("mask.", "(~mask).", 1))),
    mutant(
        "mask drawn again in backward",
        "regularization.py",
        (_DROPPED, _DROPPED.replace("dy, cache.mask", "dy, dropout_mask(dy.shape, self.p, np.random.default_rng(0))")),
    ),
    mutant("dropout not in backward", "regularization.py", (_DROPPED, "dy.copy()")),
    mutant(
        "one mask for the whole batch",
        "regularization.py",
        (_DRAWN, "np.broadcast_to(rng.random(shape[1:]) >= p, shape)"),
    ),
    mutant("units kept with probability p", "regularization.py", (_DRAWN, "rng.random(shape) < p")),
    mutant(
        "one draw for each map",
        "regularization.py",
        (_DRAWN, "np.broadcast_to(rng.random((*shape[:2], *(1,) * (len(shape) - 2))) >= p, shape)"),
    ),
    mutant(
        "one draw for each row of a map",
        "regularization.py",
        (_DRAWN, "np.broadcast_to(rng.random((*shape[:-1], 1)) >= p, shape)"),
    ),
    mutant(
        "dropout passes the generator over",
        "regularization.py",
        ("dropout_mask(x.shape, self.p, mask)", "dropout_mask(x.shape, self.p, np.random.default_rng())"),
    ),
    mutant("dropout on without a mask", "regularization.py", (_OFF, "            mask = np.random.default_rng(0)\n")),
    mutant("dropout off returns its argument", "regularization.py", (_OFF, _OFF.replace("x.copy()", "x"))),
    mutant(
        "dropout off scales all the same",
        "regularization.py",
        (_OFF, _OFF.replace("x.copy()", "x * x.dtype.type(1 - self.p)")),
    ),
    mutant(
        "dropped NaN vanish",
        "regularization.py",
        ("y: Array = x * scale", "y: Array = np.where(mask, x * scale, x.dtype.type(0))"),
    ),
    mutant(
        "mask kept on the layer",
        "regularization.py",
        ("        y = dropout(x, mask, self.p)\n", "        y = dropout(x, mask, self.p)\n        self.mask = mask\n"),
        (_DROPPED, _DROPPED.replace("dy, cache.mask", "dy, self.mask[: len(dy)]")),
    ),
)
