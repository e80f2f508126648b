"""Mistakes in convolution and its table of connections."""

from tests.mutants.mutant import in_buffer, mutant

FILE = "convolution.py"

_PRODUCT = "y = weight.reshape(len(weight), -1) @ columns.reshape(weight[0].size, -1)"
_DW = "dweight = (delta @ columns.reshape(flat.shape[1], -1).T).reshape(weight.shape)"
_DELTA = "delta = dy.transpose(1, 2, 3, 0).reshape(len(weight), -1)"
_FLAT = "    flat = weight.reshape(len(weight), -1)\n"
_FOLDED = "return padded[:, ph : ph + h, pw : pw + w].transpose(3, 0, 1, 2)"
_ADDED = "        padded[:, i : i + sh * rows : sh, j : j + sw * cols : sw] += columns[:, i, j]\n"
_WINDOWS = "return np.ascontiguousarray(windows.transpose(0, 4, 5, 1, 2, 3))"
_MASKED_DW = "        dweight = masked(dweight.reshape(self.weight.shape), self.connections)\n"
_TABLE = '        self.connections = None if connections is None else check_table("connections", connections, links)\n'
_MASK = "return weight * connections.reshape(*connections.shape,"
_RETURNED = "        return y.reshape(len(x), *shape), ConvolutionCache(columns, weight, x.shape)\n"
_STEPS = "return (sh[0] if sh else 1, sw), (ph[0] if ph else 0, pw)"
_BACKWARD = "conv2d_backward(in_plane(dy), cache.columns, cache.weight, (height, width), *steps)"

MUTANTS = (
    # the filter
    mutant("filter flipped", FILE, (_PRODUCT, _PRODUCT.replace("weight.", "weight[:, :, ::-1, ::-1].", 1))),
    mutant("filter's rows flipped", FILE, (_PRODUCT, _PRODUCT.replace("weight.", "weight[:, :, ::-1].", 1))),
    mutant("dW flipped", FILE, (_DW, f"{_DW}[:, :, ::-1, ::-1]")),
    mutant("filter flipped in dx", FILE, (_FLAT, "    flat = weight[:, :, ::-1, ::-1].reshape(len(weight), -1)\n")),
    mutant(
        "filter transposed, where square",
        FILE,
        (
            _WINDOWS,
            "order = (0, 5, 4, 1, 2, 3) if kernel_size[0] == kernel_size[1] else (0, 4, 5, 1, 2, 3)\n    return np.ascontiguousarray(windows.transpose(order))",
        ),
    ),
    mutant("kh and kw swapped", FILE, ("(weight.shape[2], weight.shape[3])", "(weight.shape[3], weight.shape[2])")),
    mutant(
        "dW's filters transposed, where square",
        FILE,
        (
            _DW,
            f"{_DW}\n    if weight.shape[2] == weight.shape[3]:\n        dweight = dweight.swapaxes(2, 3)",
        ),
    ),
    mutant(
        "columns with the channels inside",
        FILE,
        (
            _WINDOWS,
            "return np.ascontiguousarray(windows.transpose(4, 5, 0, 1, 2, 3)).reshape(len(windows), *kernel_size, *windows.shape[1:4])",
        ),
    ),
    # stride and padding
    mutant("sh and sw swapped", FILE, (_STEPS, "return (sw, sh[0] if sh else 1), (ph[0] if ph else 0, pw)")),
    mutant("ph and pw swapped", FILE, (_STEPS, "return (sh[0] if sh else 1, sw), (pw, ph[0] if ph else 0)")),
    mutant("padding on one side", FILE, ("(ph, ph), (pw, pw)", "(2 * ph, 0), (2 * pw, 0)")),
    mutant("padding repeats the border", FILE, ("(pw, pw), (0, 0)))", '(pw, pw), (0, 0)), mode="edge")')),
    mutant(
        "padding not cropped from dx",
        FILE,
        (_FOLDED, _FOLDED.replace("ph : ph + h", ":h").replace("pw : pw + w", ":w")),
    ),
    mutant("padding cropped in rows only", FILE, (_FOLDED, _FOLDED.replace("pw : pw + w", ":w"))),
    mutant(
        "windows aligned to the end",
        FILE,
        (
            "[:, ::sh, ::sw]",
            "[:, (padded.shape[1] - kernel_size[0]) % sh :: sh, (padded.shape[2] - kernel_size[1]) % sw :: sw]",
        ),
    ),
    mutant(
        "stride ignored in dx",
        FILE,
        (_ADDED, _ADDED.replace("sh * rows : sh", "rows").replace("sw * cols : sw", "cols")),
    ),
    mutant(
        "padding above and below Conv1d's signals too", FILE, ("ph[0] if ph else 0, pw)", "ph[0] if ph else pw, pw)")
    ),
    mutant(
        "signals stood upright", FILE, ("return x[:, :, None] if x.ndim == 3", "return x[..., None] if x.ndim == 3")
    ),
    # overlapping windows
    mutant("last window wins in dx", FILE, (_ADDED, _ADDED.replace("+=", "="))),
    mutant(
        "overlaps averaged in dx",
        FILE,
        (_ADDED, f"{_ADDED}{_ADDED.replace('padded', 'uses').replace('columns[:, i, j]', '1')}"),
        (
            "    for i, j in np.ndindex(kh, kw):\n",
            "    uses = np.zeros_like(padded)\n    for i, j in np.ndindex(kh, kw):\n",
        ),
        (_FOLDED, f"padded /= np.maximum(uses, 1)\n    {_FOLDED}"),
    ),
    mutant(
        "last tap skipped in dx",
        FILE,
        ("in np.ndindex(kh, kw):\n", "in list(np.ndindex(kh, kw))[: max(1, kh * kw - 1)]:\n"),
    ),
    mutant(
        "last tap skipped in dW",
        FILE,
        (_DW, f"{_DW}\n    if weight[0, 0].size > 1:\n        dweight[:, :, -1, -1] = 0"),
    ),
    # batch and places
    mutant("batch and places mixed up in δ", FILE, (_DELTA, _DELTA.replace("1, 2, 3, 0", "1, 0, 2, 3"))),
    mutant(
        "batch and places mixed up in y",
        FILE,
        (
            "y.reshape(len(weight), rows, cols, samples).transpose(3, 0, 1, 2)",
            "y.reshape(len(weight), samples, rows, cols).transpose(1, 0, 2, 3)",
        ),
    ),
    mutant("convolution's dW averaged over the batch", FILE, (_DW, f"{_DW} / max(len(dy), 1)")),
    mutant("convolution's dW averaged over the places", FILE, (_DW, f"{_DW} / (dy.shape[2] * dy.shape[3])")),
    mutant(
        "convolution's dW of the first place only",
        FILE,
        (_DW, _DW.replace("delta @", "np.where(np.arange(delta.shape[1]) < len(dy), delta, 0) @")),
    ),
    # bias
    mutant("convolution's bias forgotten", FILE, ("y += bias[:, None]", "pass")),
    mutant("convolution's bias added twice", FILE, ("y += bias[:, None]", "y += 2 * bias[:, None]")),
    mutant(
        "convolution's bias added at each tap",
        FILE,
        ("y += bias[:, None]", "y += weight[0, 0].size * bias[:, None]"),
    ),
    mutant(
        "convolution's bias gradient averaged over the places",
        FILE,
        ("delta.sum(axis=1)", "delta.sum(axis=1) / (dy.shape[2] * dy.shape[3])"),
    ),
    mutant(
        "convolution's bias gradient averaged over the batch",
        FILE,
        ("delta.sum(axis=1)", "delta.sum(axis=1) / max(len(dy), 1)"),
    ),
    mutant(
        "convolution's bias gradient of the first place only",
        FILE,
        ("delta.sum(axis=1)", "dy[:, :, 0, 0].sum(axis=0)"),
    ),
    # the table
    mutant(
        "table transposed, where square",
        FILE,
        (
            _MASK,
            "if len(set(connections.shape)) == 1:\n        connections = connections.T\n    " + _MASK,
        ),
    ),
    mutant("table rolled by one", FILE, (_MASK, _MASK.replace("connections.", "np.roll(connections, 1, axis=1).", 1))),
    mutant(
        "one link missing",
        FILE,
        (
            _TABLE,
            f"{_TABLE}        if connections is not None:\n            self.connections[tuple(np.argwhere(self.connections)[0])] = False\n",
        ),
    ),
    mutant(
        "one link too many",
        FILE,
        (
            _TABLE,
            f"{_TABLE}        if connections is not None:\n            self.connections[tuple(np.argwhere(~self.connections)[:1].T)] = True\n",
        ),
    ),
    mutant("table inverted", FILE, (_MASK, _MASK.replace("connections.", "(~connections).", 1))),
    mutant(
        "table not used forward", FILE, ("in_plane(masked(self.weight, self.connections))", "in_plane(self.weight)")
    ),
    mutant("table not used in dx", FILE, (_BACKWARD, _BACKWARD.replace("cache.weight", "in_plane(self.weight)"))),
    mutant("table not used in dW", FILE, (_MASKED_DW, "        dweight = dweight.reshape(self.weight.shape)\n")),
    mutant(
        "absent links' gradient 1e-20 of what it would be",
        FILE,
        (
            _MASKED_DW,
            "        dweight = dweight.reshape(self.weight.shape)\n        dweight = masked(dweight, self.connections) + dweight.dtype.type(1e-20) * dweight\n",
        ),
    ),
    mutant(
        "table applied to the parameter itself",
        FILE,
        (
            "in_plane(masked(self.weight, self.connections))",
            "in_plane(np.multiply(self.weight, masked(np.ones_like(self.weight), self.connections), out=self.weight))",
        ),
    ),
    # precision, memory
    mutant(
        "float32 leak in the convolution",
        FILE,
        (
            _PRODUCT,
            "y = (weight.reshape(len(weight), -1).astype(np.float32) @ columns.reshape(weight[0].size, -1)).astype(weight.dtype)",
        ),
        ("columns = unfold(x,", "columns = unfold(x.astype(np.float32),"),
    ),
    mutant(
        "float32 leak in convolution's dW",
        FILE,
        ("(delta @ columns", "(delta.astype(np.float32).astype(delta.dtype) @ columns"),
    ),
    mutant(
        "convolution in double whatever came", FILE, ("columns = unfold(x,", "columns = unfold(x.astype(np.float64),")
    ),
    mutant(
        "columns in a buffer that the next pass overwrites",
        FILE,
        (
            _RETURNED,
            "        if getattr(self, 'buffer', x).shape != columns.shape:\n            self.buffer = np.empty(columns.shape, columns.dtype)\n        self.buffer[...] = columns\n"
            + _RETURNED.replace("ConvolutionCache(columns", "ConvolutionCache(self.buffer"),
        ),
    ),
    mutant(
        "columns kept on the layer",
        FILE,
        (_RETURNED, f"        self.columns = columns\n{_RETURNED}"),
        (_BACKWARD, _BACKWARD.replace("cache.columns", "self.columns[..., : len(dy)]")),
    ),
    mutant("convolution's y in a buffer", FILE, (_RETURNED, in_buffer("y") + _RETURNED)),
    mutant("convolution's dW in a buffer", FILE, (_MASKED_DW, _MASKED_DW + in_buffer("dweight"))),
    mutant(
        "image's size kept on the layer",
        FILE,
        (_RETURNED, f"        self.shape = x.shape\n{_RETURNED}"),
        ("height, width = (1, *cache.shape[2:])", "height, width = (1, *self.shape[2:])"),
    ),
    mutant(
        "convolution's gradient accumulated from call to call",
        FILE,
        (_MASKED_DW, f"{_MASKED_DW}        dweight = self.dweight = dweight + getattr(self, 'dweight', 0)\n"),
    ),
    mutant(
        "image scaled in place",
        FILE,
        (
            "        plane, weight = in_plane(x)",
            "        if x.flags.writeable:\n            x *= x.dtype.type(0.999)\n        plane, weight = in_plane(x)",
        ),
    ),
    mutant(
        "δ multiplied in place",
        FILE,
        (_DELTA, f"{_DELTA}\n    if dy.flags.writeable:\n        dy *= dy.dtype.type(0.5)"),
    ),
    # sizes that small cases would not have
    mutant(
        "dW of the first 16 samples only",
        FILE,
        (
            _DW,
            f"{_DW.replace('delta @', 'np.where(np.arange(delta.shape[1]) % max(len(dy), 1) < 16, delta, 0) @')}",
        ),
    ),
    mutant(
        "bias gradient averaged over more than 8 samples",
        FILE,
        ("delta.sum(axis=1)", "delta.sum(axis=1) / (len(dy) if len(dy) > 8 else 1)"),
    ),
    mutant(
        "channels beyond the 16th not used",
        FILE,
        (
            "    columns = unfold(x,",
            "    weight = np.where(np.arange(weight.shape[1])[:, None, None] < 16, weight, 0)\n    columns = unfold(x,",
        ),
    ),
    mutant(
        "filters of more than 5 rows lose the last",
        FILE,
        (
            "    columns = unfold(x,",
            "    if weight.shape[2] > 5:\n        weight = weight.copy()\n        weight[:, :, -1] = 0\n    columns = unfold(x,",
        ),
    ),
    mutant(
        "filters of more than 5 columns lose the last",
        FILE,
        (
            "    columns = unfold(x,",
            "    if weight.shape[3] > 5:\n        weight = weight.copy()\n        weight[..., -1] = 0\n    columns = unfold(x,",
        ),
    ),
    mutant(
        "no dx where the padding is beyond the filter",
        FILE,
        (_FOLDED, f"if ph > kh:\n        padded[:] = 0\n    {_FOLDED}"),
    ),
    mutant(
        "padding no larger than the filter",
        FILE,
        (
            "        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding\n",
            "        self.kernel_size, self.stride = kernel_size, stride\n        self.padding = tuple(min(p, k) for p, k in zip(padding, kernel_size))\n",
        ),
    ),
    # initial weights
    mutant("fan-in as if all links were there", FILE, ("dtype=dtype, fan_in=fan_in)", "dtype=dtype)")),
    mutant(
        "fan-in without the filter's size",
        FILE,
        ("connections.sum(axis=1) * math.prod(shape[2:])", "connections.sum(axis=1)"),
    ),
    mutant(
        "fan-in of the table's columns",
        FILE,
        ("connections.sum(axis=1) *", "np.resize(connections.sum(axis=0), len(connections)) *"),
    ),
    mutant("weights on absent links", FILE, ("    weight[~connections] = 0\n", "")),
    mutant(
        "initial weights of fresh entropy",
        FILE,
        ('rng = check_generator("rng", rng)', 'rng = check_generator("rng", None)'),
    ),
    mutant(
        "initial weights from the global generator",
        "init.py",
        ('check_generator("rng", rng).uniform', "np.random.uniform"),
    ),
    mutant("initial weights positive", "init.py", ("uniform(-bound, bound, shape)", "uniform(0, bound, shape)")),
    mutant("initial weights of half the size", "init.py", ("np.sqrt(3 / fans)", "np.sqrt(0.75 / fans)")),
    # sizes.py
    mutant(
        "ceil for floor",
        "sizes.py",
        ("(size + 2 * padding - kernel_size) // stride", "-((kernel_size - size - 2 * padding) // stride)"),
    ),
    mutant(
        "padding counted once",
        "sizes.py",
        ("(size + 2 * padding - kernel_size) //", "(size + padding - kernel_size) //"),
    ),
)
