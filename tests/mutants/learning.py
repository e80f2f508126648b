"""Mistakes in the losses, the penalty and the optimiser."""

from tests.mutants.mutant import in_buffer, mutant

_DIVIDED = "        doutput /= cache.divisor\n"
_MEAN_OF_ENTROPIES = """cross_entropy(output, target)
        divisor = len(output) if self.reduction == "mean" else 1"""
_MEAN_OF_SQUARES = """one_hot(target, output)
        divisor = len(output) if self.reduction == "mean" else 1"""

MUTANTS = (
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
            _DIVIDED,
            f"        y = cache.softmax\n        doutput = y * (doutput - (doutput * y).sum(axis=1, keepdims=True))\n{_DIVIDED}",
        ),
    ),
    mutant("cross-entropy gradient not divided by N", "loss.py", (_DIVIDED, "")),
    mutant(
        "cross-entropy gradient written into the cache",
        "loss.py",
        ("doutput = cache.softmax.copy()", "doutput = cache.softmax"),
    ),
    mutant(
        "cross-entropy gradient in a buffer",
        "loss.py",
        (
            _DIVIDED,
            f"{_DIVIDED}{in_buffer('doutput')}",
        ),
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
        (_MEAN_OF_ENTROPIES, _MEAN_OF_ENTROPIES.replace(' if self.reduction == "mean" else 1', "")),
    ),
    mutant(
        "sum for mean (squared error)",
        "loss.py",
        (_MEAN_OF_SQUARES, _MEAN_OF_SQUARES.replace('len(output) if self.reduction == "mean" else 1', "1")),
    ),
    mutant(
        "mean over the units too",
        "loss.py",
        (
            _MEAN_OF_SQUARES,
            _MEAN_OF_SQUARES.replace("len(output) if", "output.size if"),
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
            "one_hot(target, output)\n        divisor",
            "2 * one_hot(target, output) - 1\n        divisor",
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
    mutant(
        "ascent",
        "optim.py",
        ("            descend(parameter, step, self.lr)", "            descend(parameter, step, -self.lr)"),
    ),
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
    mutant("the mean skips NaN", "loss.py", ("losses.sum() / scalar", "np.nansum(losses) / scalar")),
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
        (_MEAN_OF_ENTROPIES, _MEAN_OF_ENTROPIES.replace("divisor =", "divisor = self.divisor =")),
        (_DIVIDED, _DIVIDED.replace("cache", "self")),
    ),
    mutant(
        "labels narrowed to int8",
        "loss.py",
        (
            "doutput[np.arange(len(cache.labels)), cache.labels] -= 1",
            "doutput[np.arange(len(cache.labels)), cache.labels.astype(np.int8)] -= 1",
        ),
    ),
    mutant("the loss of the first 32 samples", "loss.py", ("losses.sum() / scalar", "losses[:32].sum() / scalar")),
    mutant(
        "dense target read in memory order",
        "loss.py",
        ("dense = target if", "dense = target.ravel(order='K').reshape(target.shape) if"),
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
)
