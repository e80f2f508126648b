"""Mistakes in the fully connected layer, the activations and the networks."""

from tests.mutants.mutant import in_buffer, mutant

_Z = "    z = weight @ x.T\n"
_BIAS = "z += bias[:, None]"
_DW = 'dweight = np.einsum("no,ni->oi", dy, x) if len(x) == 1 else dy.T @ x'
_DX = "return (weight.T @ dy.T).T"
_LINEAR = "        return linear(x, self.weight, self.bias), LinearCache(x)\n"
_BACKWARD = "        return linear_dx(dy, self.weight), grads\n"
_GRADIENTS = "        dweight, dbias = linear_dweight(dy, cache.x)\n"
_SQUARE = "if weight.shape[0] == weight.shape[1] else"
_TANH = "    y: Array = b * x\n"
_SLOPE = "    np.subtract(limit * limit, dx, out=dx)\n"
_TIMES = "    dx *= dy\n"
_REVERSED = "        for name, layer in reversed(self.layers.items()):\n            dy, own"
_PASSED = "            dy, own[name] = layer.backward(dy, cache.layers[name])\n        return dy, joined(own)\n"

MUTANTS = (
    # linear.py
    mutant("bias forgotten in forward", "linear.py", (_BIAS, "pass")),
    mutant("bias added twice", "linear.py", (_BIAS, "z += 2 * bias[:, None]")),
    mutant(
        "W instead of Wᵀ forward, where square",
        "linear.py",
        (_Z, f"    z = (weight.T {_SQUARE} weight) @ x.T\n"),
    ),
    mutant(
        "Wᵀ instead of W in dx, where square",
        "linear.py",
        (_DX, f"return ((weight {_SQUARE} weight.T) @ dy.T).T"),
    ),
    mutant(
        "dW transposed, where square",
        "linear.py",
        (_DW, f"{_DW}\n    dweight = dweight.T if dy.shape[1] == x.shape[1] else dweight"),
    ),
    mutant("bias gradient of the first sample only", "linear.py", ("dy.sum(axis=0)", "dy[:1].sum(axis=0)")),
    mutant(
        "bias gradient averaged over the batch", "linear.py", ("dy.sum(axis=0)", "dy.sum(axis=0) / max(len(dy), 1)")
    ),
    mutant(
        "bias gradient a view of δ for one sample",
        "linear.py",
        ("dy.sum(axis=0)", "(dy[0] if len(dy) == 1 else dy.sum(axis=0))"),
    ),
    mutant("dW averaged over the batch", "linear.py", (_DW, f"{_DW} / max(len(x), 1)")),
    mutant("dW of the last sample only", "linear.py", (_DW, _DW.replace("dy.T @ x", "dy[-1:].T @ x[-1:]"))),
    mutant(
        "last sample left out of dW",
        "linear.py",
        (_DW, _DW.replace("dy.T @ x", "dy[:-1].T @ x[:-1]")),
    ),
    mutant(
        "last feature skipped in forward",
        "linear.py",
        (_Z, "    z = weight[:, : max(1, x.shape[1] - 1)] @ x[:, : max(1, x.shape[1] - 1)].T\n"),
    ),
    mutant(
        "float32 leak in forward",
        "linear.py",
        (_Z, "    z = (weight.astype(np.float32) @ x.T.astype(np.float32)).astype(x.dtype)\n"),
    ),
    mutant(
        "float32 leak in dW",
        "linear.py",
        (
            _DW,
            f"{_DW.replace('dy.T @ x', 'dy.T.astype(np.float32) @ x.astype(np.float32)')}\n    dweight = dweight.astype(x.dtype)",
        ),
    ),
    mutant("result in double whatever came", "linear.py", (_Z, "    z = weight.astype(np.float64) @ x.T\n")),
    mutant(
        "weights updated inside backward, before dx",
        "linear.py",
        (_BACKWARD, '        self.weight -= 0.01 * grads["weight"]\n' + _BACKWARD),
    ),
    mutant(
        "input kept on the layer (stale cache)",
        "linear.py",
        (
            "        return linear(x, self.weight, self.bias), LinearCache(x)",
            "        self.x = x\n        return linear(x, self.weight, self.bias), LinearCache(x)",
        ),
        (_GRADIENTS, _GRADIENTS.replace("cache.x", "self.x[: len(dy)]")),
    ),
    mutant(
        "gradient accumulated from call to call",
        "linear.py",
        (_GRADIENTS, f"{_GRADIENTS}        dweight = self.dweight = dweight + getattr(self, 'dweight', 0)\n"),
    ),
    mutant(
        "input scaled in place",
        "linear.py",
        (
            "        return linear(x, self.weight",
            "        if x.flags.writeable:\n            x *= x.dtype.type(0.999)\n        return linear(x, self.weight",
        ),
    ),
    mutant("dW of one sample transposed", "linear.py", (_DW, _DW.replace("->oi", "->io"))),
    mutant(
        "dW of two samples as of one",
        "linear.py",
        (_DW, _DW.replace('"no,ni->oi", dy, x) if len(x) == 1', '"no,ni->oi", dy[:1], x[:1]) if len(x) < 3')),
    ),
    mutant(
        "bias along the batch, where square",
        "linear.py",
        (_BIAS, "z += bias if z.shape[0] == z.shape[1] else bias[:, None]"),
    ),
    mutant(
        "samples left in columns, where square",
        "linear.py",
        ("return z.T", "return z if z.shape[0] == z.shape[1] else z.T"),
    ),
    mutant(
        "dx's samples left in columns, where square",
        "linear.py",
        (_DX, "dx = weight.T @ dy.T\n    return dx if dx.shape[0] == dx.shape[1] else dx.T"),
    ),
    # activation.py
    mutant(
        "tanh′ = 1 − z², of the input",
        "activation.py",
        (
            "        y = tanh(x, self.a, self.b)\n        return y, OutputCache(y)",
            "        y = tanh(x, self.a, self.b)\n        return y, OutputCache(x)",
        ),
    ),
    mutant(
        "tanh′ = 1 − y² whatever a and b",
        "activation.py",
        (_SLOPE, "    np.subtract(1, dx, out=dx)\n"),
        ("    dx *= b / a\n", ""),
    ),
    mutant("tanh′ with a/b for b/a", "activation.py", ("dx *= b / a", "dx *= a / b")),
    mutant("tanh without b", "activation.py", (_TANH, "    y: Array = x.copy()\n")),
    mutant("tanh′ taken twice", "activation.py", (_TIMES, f"    dx *= dx\n{_TIMES}")),
    mutant("δ without f′ (tanh)", "activation.py", (_TIMES, "    dx[...] = dy\n")),
    mutant(
        "tanh in place",
        "activation.py",
        (_TANH, "    y: Array = np.multiply(x, b, out=x if x.flags.writeable else None)\n"),
    ),
    mutant(
        "tanh′ written into the cache",
        "activation.py",
        ("    dx: Array = y * y", "    dx: Array = np.multiply(y, y, out=y)"),
    ),
    mutant(
        "tanh′ written into δ",
        "activation.py",
        (_TIMES, "    dx = np.multiply(dx, dy, out=dy if dy.flags.writeable else dx)\n"),
    ),
    mutant("δ without f′ (logistic)", "activation.py", ("return dy * (a * y * (1 - y))", "return dy.copy()")),
    mutant("logistic′ without a", "activation.py", ("(a * y * (1 - y))", "(y * (1 - y))")),
    mutant("logistic′ = y(1 + y)", "activation.py", ("(a * y * (1 - y))", "(a * y * (1 + y))")),
    mutant(
        "logistic as exp(x)/(1 + exp(x))",
        "activation.py",
        ("1 / (1 + np.exp(-a * x))", "np.exp(a * x) / (1 + np.exp(a * x))"),
    ),
    mutant("logistic without a", "activation.py", ("np.exp(-a * x)", "np.exp(-x)")),
    mutant("relu′(0) = 1", "activation.py", ("np.where(y <= 0, 0, dy)", "np.where(y < 0, 0, dy)")),
    mutant("relu masks by the sign of δ", "activation.py", ("np.where(y <= 0, 0, dy)", "np.where(dy <= 0, 0, dy)")),
    mutant(
        "relu leaks 1e-6",
        "activation.py",
        ("np.where(y <= 0, 0, dy)", "np.where(y <= 0, dy.dtype.type(1e-6) * dy, dy)"),
    ),
    mutant(
        "relu in place", "activation.py", ("np.maximum(x, 0)", "np.maximum(x, 0, out=x if x.flags.writeable else None)")
    ),
    mutant("relu swallows NaN", "activation.py", ("np.maximum(x, 0)", "np.fmax(x, 0)")),
    mutant("hard limit 0 at 0", "activation.py", ("np.heaviside(x, 1)", "np.heaviside(x, 0)")),
    mutant("hard limit lets δ through", "activation.py", ("np.zeros_like(dy), {}", "dy.copy(), {}")),
    mutant("identity returns its argument", "activation.py", ("y = x.copy()", "y = x")),
    mutant("identity returns δ itself", "activation.py", ("return dy.copy(), {}", "return dy, {}")),
    mutant(
        "softmax′ diagonal only",
        "activation.py",
        ("y * (dy - (dy * y).sum(axis=1, keepdims=True))", "dy * y * (1 - y)"),
    ),
    mutant(
        "softmax′ summed over the batch",
        "activation.py",
        ("(dy * y).sum(axis=1, keepdims=True)", "(dy * y).sum(axis=0, keepdims=True)"),
    ),
    mutant(
        "softmax over the batch",
        "activation.py",
        ("x.max(axis=1, keepdims=True, initial=-np.inf)", "x.max(axis=0, keepdims=True, initial=-np.inf)"),
        ("exp.sum(axis=1, keepdims=True)", "exp.sum(axis=0, keepdims=True)"),
    ),
    mutant(
        "softmax not shifted",
        "activation.py",
        ("np.exp(x - x.max(axis=1, keepdims=True, initial=-np.inf))", "np.exp(x)"),
    ),
    # module.py
    mutant(
        "layers run backward in forward order",
        "module.py",
        (_REVERSED, _REVERSED.replace("reversed(self.layers.items())", "self.layers.items()")),
    ),
    mutant(
        "gradients under the next layer's name",
        "module.py",
        ("return dy, joined(own)", "return dy, dict(zip(self.parameters(), reversed(joined(own).values())))"),
    ),
    mutant(
        "a layer's error signal not passed on",
        "module.py",
        (_PASSED, _PASSED.replace("            dy,", "            _,")),
    ),
    mutant(
        "state_dict hands out the live arrays", "module.py", ("{name: parameter.copy() for", "{name: parameter for")
    ),
    mutant(
        "state half loaded before it is refused",
        "module.py",
        (
            "        if faults := state_faults(state, own, strict=strict):",
            "        for name in own:\n            if name in state and state[name].shape == own[name].shape:\n                own[name][...] = state[name]\n        if faults := state_faults(state, own, strict=strict):",
        ),
    ),
    # what a stranger found the harness blind to, once
    mutant("relu′ as dy·(y > 0)", "activation.py", ("np.where(y <= 0, 0, dy)", "dy * (y > 0)")),
    mutant("relu′ stops δ at NaN", "activation.py", ("np.where(y <= 0, 0, dy)", "np.where(y > 0, dy, 0)")),
    mutant("hard limit's gradient 0·δ", "activation.py", ("np.zeros_like(dy), {}", "0 * dy, {}")),
    mutant(
        "gradients in backward order",
        "module.py",
        ("for name, own in reversed(grads.items())", "for name, own in grads.items()"),
    ),
    mutant(
        "input read with the sign of its strides dropped",
        "linear.py",
        (_Z, f"    if x.strides[1] < 0 < x.size:\n        x = np.ascontiguousarray(x[:, ::-1])\n{_Z}"),
    ),
    mutant(
        "Linear's y in a buffer",
        "linear.py",
        (
            _LINEAR,
            f"        y = linear(x, self.weight, self.bias)\n{in_buffer('y')}        return y, LinearCache(x)\n",
        ),
    ),
    mutant(
        "Linear's dx in a buffer",
        "linear.py",
        (_BACKWARD, f"        dx = linear_dx(dy, self.weight)\n{in_buffer('dx')}        return dx, grads\n"),
    ),
    mutant("Linear's dW in a buffer", "linear.py", (_GRADIENTS, _GRADIENTS + in_buffer("dweight"))),
    # models.py
    mutant(
        "no bias in the MLP",
        "models.py",
        ("Linear(below, here, dtype=dtype, rng=rng)", "Linear(below, here, bias=False, dtype=dtype, rng=rng)"),
    ),
    mutant(
        "one activation for all layers",
        "models.py",
        ("[make_activation(one) for one in activation]", "[make_activation(activation[0]) for _ in activation]"),
    ),
    mutant(
        "an activation after the logits", "models.py", ("for _ in range(depth)][: depth - 1]", "for _ in range(depth)]")
    ),
    mutant(
        "the MLP ignores the dtype",
        "models.py",
        ("Linear(below, here, dtype=dtype, rng=rng)", "Linear(below, here, rng=rng)"),
    ),
    mutant("the MLP keeps with probability p", "models.py", ("Dropout(dropout)", "Dropout(1 - dropout)")),
    mutant("the MLP drops outputs too", "models.py", ("if dropout and i < len(self.sizes) - 1:", "if dropout:")),
    mutant(
        "the MLP drops before the squash",
        "models.py",
        (
            '                layers[f"d{i}"] = Dropout(dropout)\n',
            '                layers[f"d{i}"] = Dropout(dropout)\n                layers[f"f{i}"] = layers.pop(f"f{i}")\n',
        ),
    ),
)
