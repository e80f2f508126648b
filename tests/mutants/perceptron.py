"""Mistakes in the fully connected layer, the activations and the networks."""

from tests.mutants.mutant import in_buffer, mutant

_DX = "return dy @ weight, dy.T @ x, dy.sum(axis=0)"
_LINEAR = "        return linear(x, self.weight, self.bias), LinearCache(x)\n"
_BACKWARD = "        dx, dweight, dbias = linear_backward(dy, cache.x, self.weight)\n"
_SQUARE = "if weight.shape[0] == weight.shape[1] else"

MUTANTS = (
    # linear.py
    mutant("bias forgotten in forward", "linear.py", ("return z if bias is None else z + bias", "return z")),
    mutant("bias added twice", "linear.py", ("else z + bias", "else z + bias + bias")),
    mutant(
        "W instead of Wᵀ forward, where square",
        "linear.py",
        ("z = x @ weight.T", f"z = x @ (weight {_SQUARE} weight.T)"),
    ),
    mutant(
        "Wᵀ instead of W in dx, where square",
        "linear.py",
        (_DX, f"return dy @ (weight.T {_SQUARE} weight), dy.T @ x, dy.sum(axis=0)"),
    ),
    mutant(
        "dW transposed, where square",
        "linear.py",
        (_DX, f"return dy @ weight, (x.T @ dy {_SQUARE} dy.T @ x), dy.sum(axis=0)"),
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
    mutant("dW averaged over the batch", "linear.py", ("dy.T @ x, dy", "dy.T @ x / max(len(x), 1), dy")),
    mutant("dW of the last sample only", "linear.py", ("dy.T @ x, dy", "dy[-1:].T @ x[-1:], dy")),
    mutant(
        "last sample left out of dW",
        "linear.py",
        ("dy.T @ x, dy", "(dy[:-1].T @ x[:-1] if len(x) > 1 else dy.T @ x), dy"),
    ),
    mutant(
        "last feature skipped in forward",
        "linear.py",
        ("z = x @ weight.T", "z = x[:, : max(1, x.shape[1] - 1)] @ weight[:, : max(1, x.shape[1] - 1)].T"),
    ),
    mutant(
        "float32 leak in forward",
        "linear.py",
        ("z = x @ weight.T", "z = (x.astype(np.float32) @ weight.T.astype(np.float32)).astype(x.dtype)"),
    ),
    mutant(
        "float32 leak in dW",
        "linear.py",
        ("dy.T @ x, dy", "(dy.T.astype(np.float32) @ x.astype(np.float32)).astype(x.dtype), dy"),
    ),
    mutant("result in double whatever came", "linear.py", ("z = x @ weight.T", "z = x.astype(np.float64) @ weight.T")),
    mutant(
        "weights updated inside backward, before dx",
        "linear.py",
        (
            "        dx, dweight, dbias = linear_backward",
            "        self.weight -= 0.01 * (dy.T @ cache.x)\n        dx, dweight, dbias = linear_backward",
        ),
    ),
    mutant(
        "input kept on the layer (stale cache)",
        "linear.py",
        (
            "        return linear(x, self.weight, self.bias), LinearCache(x)",
            "        self.x = x\n        return linear(x, self.weight, self.bias), LinearCache(x)",
        ),
        ("linear_backward(dy, cache.x, self.weight)", "linear_backward(dy, self.x[: len(dy)], self.weight)"),
    ),
    mutant(
        "gradient accumulated from call to call",
        "linear.py",
        (
            "linear_backward(dy, cache.x, self.weight)\n",
            "linear_backward(dy, cache.x, self.weight)\n        dweight = self.dweight = dweight + getattr(self, 'dweight', 0)\n",
        ),
    ),
    mutant(
        "input scaled in place",
        "linear.py",
        (
            "        return linear(x, self.weight",
            "        if x.flags.writeable:\n            x *= x.dtype.type(0.999)\n        return linear(x, self.weight",
        ),
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
    mutant("tanh′ = 1 − y² whatever a and b", "activation.py", ("((b / a) * (a - y) * (a + y))", "(1 - y * y)")),
    mutant("tanh′ with a/b for b/a", "activation.py", ("((b / a) *", "((a / b) *")),
    mutant("tanh without b", "activation.py", ("a * np.tanh(b * x)", "a * np.tanh(x)")),
    mutant(
        "tanh′ taken twice",
        "activation.py",
        (
            "    return dy * ((b / a) * (a - y) * (a + y))",
            "    slope = (b / a) * (a - y) * (a + y)\n    return dy * slope * slope",
        ),
    ),
    mutant("δ without f′ (tanh)", "activation.py", ("return dy * ((b / a) * (a - y) * (a + y))", "return dy.copy()")),
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
        ("in reversed(self.layers.items()):", "in self.layers.items():"),
    ),
    mutant(
        "gradients under the next layer's name",
        "module.py",
        (
            "return dy, {name: grads[name] for name in self.parameters()}",
            "return dy, dict(zip(self.parameters(), reversed(grads.values())))",
        ),
    ),
    mutant(
        "a layer's error signal not passed on",
        "module.py",
        ("            dy, own = layer.backward", "            _, own = layer.backward"),
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
        ("return dy, {name: grads[name] for name in self.parameters()}", "return dy, grads"),
    ),
    mutant(
        "input read with the sign of its strides dropped",
        "linear.py",
        (
            "    z = x @ weight.T\n",
            "    if x.strides[1] < 0 < x.size:\n        x = np.ascontiguousarray(x[:, ::-1])\n    z = x @ weight.T\n",
        ),
    ),
    mutant(
        "Linear's y in a buffer",
        "linear.py",
        (
            _LINEAR,
            f"        y = linear(x, self.weight, self.bias)\n{in_buffer('y')}        return y, LinearCache(x)\n",
        ),
    ),
    mutant("Linear's dx in a buffer", "linear.py", (_BACKWARD, _BACKWARD + in_buffer("dx"))),
    mutant("Linear's dW in a buffer", "linear.py", (_BACKWARD, _BACKWARD + in_buffer("dweight"))),
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
