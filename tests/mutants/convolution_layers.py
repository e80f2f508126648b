"""Mistakes in convolutional layers: the table, precision and memory, sizes, initial weights."""

from tests.mutants.mutant import Edit, Mutant, in_buffer, mutant

FILE = "convolution.py"
UNFOLDING = "unfolding.py"

# forward
_FORWARD = "    if has_one_place(x.shape[2:], weight.shape[2:], padding):\n"
_PRODUCT = "as_matrix(weight) @ windows(columns, weight.shape[2], stride[0])"
# dW
_UNDER = "windows(columns, kh, stride), delta.transpose(0, 2, 1)"
_DBIAS = 'np.einsum("pos->o", delta)'
# dx
_DELTA = "    delta = rows_of(dy)\n    delta = delta if"
_TO_FOLD = "dcolumns.reshape(len(dcolumns), channels, kw, cols, samples), size, stride[1], padding)"
# the layer
_MASKED_DW = "        dweight = masked(dweight.reshape(self.weight.shape), self.connections)\n"
_TABLE = '        self.connections = None if connections is None else check_table("connections", connections, links)\n'
_MASK = "links = np.broadcast_to(connections.reshape("
_RETURNED = "        return y, ConvolutionCache(columns, weight, x.shape, y.shape)\n"

MUTANTS = (
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
    mutant(
        "table not used in dx",
        FILE,
        ("conv2d_dx(in_plane(dy), cache.weight,", "conv2d_dx(in_plane(dy), in_plane(self.weight),"),
    ),
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
        UNFOLDING,
        (
            f"y = {_PRODUCT}",
            f"y = ({_PRODUCT.replace(' @', '.astype(np.float32) @')}).astype(weight.dtype)",
        ),
        ("columns = unfold(x,", "columns = unfold(x.astype(np.float32),"),
    ),
    mutant(
        "float32 leak in convolution's dW",
        UNFOLDING,
        (_UNDER, _UNDER.replace("delta.transpose", "delta.astype(np.float32).astype(delta.dtype).transpose")),
    ),
    mutant(
        "convolution in double whatever came",
        UNFOLDING,
        ("columns = unfold(x,", "columns = unfold(x.astype(np.float64),"),
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
        (
            "conv2d_dweight(in_plane(dy), cache.columns,",
            "conv2d_dweight(in_plane(dy), np.ascontiguousarray(self.columns[..., : len(dy)]),",
        ),
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
        UNFOLDING,
        (_DELTA, f"    if dy.flags.writeable:\n        dy *= dy.dtype.type(0.5)\n{_DELTA}"),
    ),
    # sizes that small cases would not have
    mutant(
        "dW of the first 16 samples only",
        UNFOLDING,
        (
            _UNDER,
            _UNDER.replace("delta.", "(delta * (np.arange(delta.shape[2]) % max(len(dy), 1) < 16)).").replace("\n", ""),
        ),
    ),
    mutant(
        "bias gradient averaged over more than 8 samples",
        UNFOLDING,
        (_DBIAS, f"{_DBIAS} / (len(dy) if len(dy) > 8 else 1)"),
    ),
    mutant(
        "channels beyond the 16th not used",
        UNFOLDING,
        (
            _FORWARD,
            "    weight = np.where(np.arange(weight.shape[1])[:, None, None] < 16, weight, 0)\n" + _FORWARD,
        ),
    ),
    mutant(
        "filters of more than 5 rows lose the last",
        UNFOLDING,
        (
            _FORWARD,
            "    if weight.shape[2] > 5:\n        weight = weight.copy()\n        weight[:, :, -1] = 0\n" + _FORWARD,
        ),
    ),
    mutant(
        "filters of more than 5 columns lose the last",
        UNFOLDING,
        (
            _FORWARD,
            "    if weight.shape[3] > 5:\n        weight = weight.copy()\n        weight[..., -1] = 0\n" + _FORWARD,
        ),
    ),
    mutant(
        "no dx where the padding is beyond the filter",
        UNFOLDING,
        (f"return fold({_TO_FOLD}", f"dcolumns *= padding[0] <= kh\n    return fold({_TO_FOLD}"),
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
    # how many places
    Mutant(
        "ceil for floor",
        (
            Edit(
                UNFOLDING, "(width + 2 * pw - kernel_width) // stride", "-((kernel_width - width - 2 * pw) // stride)"
            ),
            Edit(UNFOLDING, "(rows - kernel_height) // stride", "-((kernel_height - rows) // stride)"),
        ),
    ),
    Mutant(
        "padding counted once",
        (
            Edit(UNFOLDING, "(width + 2 * pw - kernel_width) // stride", "(width + pw - kernel_width) // stride"),
            Edit(UNFOLDING, _PRODUCT, _PRODUCT.replace("columns", "columns[: len(columns) - padding[0]]", 1)),
        ),
    ),
)
