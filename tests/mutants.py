"""Planted bugs: realistic mistakes in hand-written back-propagation, each a small edit of `scratch`'s source.

A mutant is a name and the edits that make it. `mutated` gives a copy of the package with the edits applied, importable
beside the original; an edit whose text does not stand exactly once in its file is an error: no mutant goes stale in
silence.
"""

import importlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import scratch


@dataclass(frozen=True)
class Edit:
    """In `file`, `old` becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A named mistake."""

    name: str
    edits: tuple[Edit, ...]


def mutant(name: str, file: str, *replacements: tuple[str, str]) -> Mutant:
    """A mutant of one file."""
    return Mutant(name, tuple(Edit(file, old, new) for old, new in replacements))


_DX = "return dy @ weight, dy.T @ x, dy.sum(axis=0)"
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
    # loss.py
    mutant(
        "label shifted by one",
        "loss.py",
        (
            "np.log(total) - shifted[np.arange(len(labels)), labels]",
            "np.log(total) - shifted[np.arange(len(labels)), (labels + 1) % shifted.shape[1]]",
        ),
    ),
    mutant(
        "label shifted by one in the gradient",
        "loss.py",
        (
            "doutput[np.arange(len(cache.labels)), cache.labels] -= 1",
            "doutput[np.arange(len(cache.labels)), cache.labels - 1] -= 1",
        ),
    ),
    mutant(
        "onehot forgotten in the gradient",
        "loss.py",
        ("        doutput[np.arange(len(cache.labels)), cache.labels] -= 1\n", ""),
    ),
    mutant(
        "softmax Jacobian applied on top",
        "loss.py",
        (
            "        return doutput / cache.divisor\n",
            "        y = cache.softmax\n        doutput = y * (doutput - (doutput * y).sum(axis=1, keepdims=True))\n        return doutput / cache.divisor\n",
        ),
    ),
    mutant("cross-entropy gradient not divided by N", "loss.py", ("return doutput / cache.divisor", "return doutput")),
    mutant(
        "cross-entropy gradient written into the cache",
        "loss.py",
        ("doutput = cache.softmax.copy()", "doutput = cache.softmax"),
    ),
    mutant(
        "cross-entropy as −ln(softmax)",
        "loss.py",
        (
            "np.log(total) - shifted[np.arange(len(labels)), labels]",
            "-np.log((exp / total[:, None])[np.arange(len(labels)), labels])",
        ),
    ),
    mutant(
        "cross-entropy not shifted",
        "loss.py",
        ("shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)", "shifted = logits"),
    ),
    mutant(
        "cross-entropy in bits",
        "loss.py",
        (
            "return np.log(total) - shifted[np.arange(len(labels)), labels], exp",
            "return (np.log(total) - shifted[np.arange(len(labels)), labels]) / np.log(2).astype(exp.dtype), exp",
        ),
    ),
    mutant(
        "mean for sum (cross-entropy)",
        "loss.py",
        ('divisor = len(output) if self.reduction == "mean" else 1', "divisor = len(output)"),
    ),
    mutant(
        "sum for mean (squared error)",
        "loss.py",
        ('divisor = samples if self.reduction == "mean" else 1', "divisor = 1"),
    ),
    mutant(
        "mean over the units too",
        "loss.py",
        (
            'divisor = samples if self.reduction == "mean" else 1',
            'divisor = output.size if self.reduction == "mean" else 1',
        ),
    ),
    mutant("squared error without ½", "loss.py", ("0.5 * (residual", "(residual")),
    mutant(
        "squared error's gradient doubled",
        "loss.py",
        ("return cache.residual / cache.divisor", "return 2 * cache.residual / cache.divisor"),
    ),
    mutant(
        "squared error's gradient with the sign of t − y",
        "loss.py",
        ("return cache.residual / cache.divisor", "return -cache.residual / cache.divisor"),
    ),
    mutant(
        "targets of −1 and 1",
        "loss.py",
        (
            "dense = np.eye(classes, dtype=output.dtype)[target]",
            "dense = 2 * np.eye(classes, dtype=output.dtype)[target] - 1",
        ),
    ),
    # regularization.py, optim.py
    mutant("decay on biases", "regularization.py", ('return name.rpartition(".")[2] == "weight"', "return True")),
    mutant(
        "decay on everything with weight in its name",
        "regularization.py",
        ('name.rpartition(".")[2] == "weight"', '"weight" in name'),
    ),
    mutant(
        "penalty without ½", "regularization.py", ("self.decay * (0.5 * squares.sum())", "self.decay * squares.sum()")
    ),
    mutant(
        "penalty's gradient λW/2",
        "regularization.py",
        ("{name: self.decay * weight for", "{name: self.decay * weight / 2 for"),
    ),
    mutant("penalty of ‖W‖, not of ‖W‖²", "regularization.py", ("squares.sum())", "np.sqrt(squares.sum()))")),
    mutant("momentum with the wrong sign", "optim.py", ("velocity *= self.momentum", "velocity *= -self.momentum")),
    mutant("momentum dampened by 1 − μ", "optim.py", ("velocity += step", "velocity += (1 - self.momentum) * step")),
    mutant(
        "momentum's velocity not kept",
        "optim.py",
        ("self.velocity.setdefault(name, np.zeros_like(parameter))", "np.zeros_like(parameter)"),
    ),
    mutant(
        "Nesterov's step",
        "optim.py",
        ("                step = velocity\n", "                step = step + self.momentum * velocity\n"),
    ),
    mutant("ascent", "optim.py", ("parameter -= self.lr * step", "parameter += self.lr * step")),
    mutant(
        "decay after the momentum",
        "optim.py",
        (
            "                step = step + self.weight_decay * parameter\n",
            "                parameter -= self.lr * self.weight_decay * parameter\n",
        ),
    ),
    mutant(
        "decay written into the gradient",
        "optim.py",
        ("step = step + self.weight_decay * parameter", "step += self.weight_decay * parameter"),
    ),
    mutant(
        "decay with the wrong sign",
        "optim.py",
        ("step + self.weight_decay * parameter", "step - self.weight_decay * parameter"),
    ),
    mutant(
        "velocity is the gradient's own array",
        "optim.py",
        (
            "                velocity = self.velocity.setdefault(name, np.zeros_like(parameter))\n                velocity *= self.momentum\n                velocity += step\n",
            "                velocity = self.velocity.get(name)\n                if velocity is None:\n                    velocity = self.velocity[name] = step\n                else:\n                    velocity *= self.momentum\n                    velocity += step\n",
        ),
    ),
    # what a stranger found the harness blind to, once
    mutant("relu′ as dy·(y > 0)", "activation.py", ("np.where(y <= 0, 0, dy)", "dy * (y > 0)")),
    mutant("relu′ stops δ at NaN", "activation.py", ("np.where(y <= 0, 0, dy)", "np.where(y > 0, dy, 0)")),
    mutant("hard limit's gradient 0·δ", "activation.py", ("np.zeros_like(dy), {}", "0 * dy, {}")),
    mutant("the mean skips NaN", "loss.py", ("losses.sum() / losses", "np.nansum(losses) / losses")),
    mutant(
        "squared error skips NaN",
        "loss.py",
        (
            "0.5 * (residual * residual).sum(axis=1)",
            "0.5 * np.nansum(residual * residual, axis=1).astype(residual.dtype)",
        ),
    ),
    mutant(
        "labels kept on the loss",
        "loss.py",
        (
            "        losses, softmax = cross_entropy(output, target)",
            "        self.labels = target\n        losses, softmax = cross_entropy(output, target)",
        ),
        (
            "doutput[np.arange(len(cache.labels)), cache.labels] -= 1",
            "doutput[np.arange(len(cache.labels)), self.labels[: len(doutput)]] -= 1",
        ),
    ),
    mutant(
        "divisor kept on the loss",
        "loss.py",
        ("divisor = len(output) if self.reduction", "divisor = self.divisor = len(output) if self.reduction"),
        ("return doutput / cache.divisor", "return doutput / self.divisor"),
    ),
    mutant(
        "labels narrowed to int8",
        "loss.py",
        (
            "doutput[np.arange(len(cache.labels)), cache.labels] -= 1",
            "doutput[np.arange(len(cache.labels)), cache.labels.astype(np.int8)] -= 1",
        ),
    ),
    mutant("the loss of the first 32 samples", "loss.py", ("losses.sum() / losses", "losses[:32].sum() / losses")),
    mutant(
        "dense target read in memory order",
        "loss.py",
        ("            dense = target\n", "            dense = target.ravel(order='K').reshape(target.shape)\n"),
    ),
    mutant(
        "penalty's weights made positive",
        "regularization.py",
        (
            "        squares = np.array(",
            "        for w in weights.values():\n            np.abs(w, out=w)\n        squares = np.array(",
        ),
    ),
    mutant(
        "optimiser hands out its velocities",
        "optim.py",
        ("{name: velocity.copy() for name, velocity in self.velocity.items()}", "dict(self.velocity)"),
    ),
    mutant(
        "optimiser keeps what it was handed",
        "optim.py",
        ("{name: velocity.copy() for name, velocity in state.items()}", "dict(state)"),
    ),
    mutant("decay by the number of axes", "optim.py", ("is_weight(name):", "parameter.ndim > 1:")),
    mutant(
        "gradient read in memory order",
        "optim.py",
        (
            "            step = grads[name]\n",
            "            step = grads[name].ravel(order='K').reshape(parameter.shape)\n",
        ),
    ),
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
)


@contextmanager
def mutated(bug: Mutant, folder: Path) -> Iterator[ModuleType]:
    """A copy of `scratch` with the bug in it, imported from `folder`; the original is back in place afterwards.

    Raises
    ------
    ValueError
        If an edit's text does not stand exactly once in its file.
    """
    source = Path(scratch.__file__).parent
    copy = folder / "scratch"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in bug.edits:
        path = copy / edit.file
        text = path.read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            raise ValueError(f"mutant {bug.name!r}: {edit.old!r} stands {text.count(edit.old)} times in {edit.file}")
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    original = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "scratch"}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield importlib.import_module("scratch")
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] == "scratch"]:
            del sys.modules[name]
        sys.modules.update(original)
