"""Mistakes in the losses, the penalty and the optimiser."""

from tests.mutants.mutant import in_buffer, mutant

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
        "cross-entropy gradient in a buffer",
        "loss.py",
        (
            "        return doutput / cache.divisor\n",
            f"        doutput = doutput / cache.divisor\n{in_buffer('doutput')}        return doutput\n",
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
)
