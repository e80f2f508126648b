"""Mistakes beside the passes: in `gradients` and `predict`, in steps some rows at a time, and in sizes foretold."""

from tests.mutants.mutant import in_buffer, mutant

FILE = "module.py"

_LAST = "last = next((name for name, layer in self.layers.items() if layer.parameters()), None)"
_FIRST = "                own[name] = layer.gradients(dy, cache.layers[name])\n"
_PASSED = "            dy, own[name] = layer.backward(dy, cache.layers[name])\n        return joined(own)\n"
_JOINED = "        return joined(own)\n"
_PREDICTED = "        for layer in self.layers.values():\n            x = layer.forward(x)[0]\n        return x\n"
_BLOCKS = "for i in range(0, len(step), rows):"
_DESCENDED = "parameter[i : i + rows] -= lr * step[i : i + rows]"

MUTANTS = (
    # Sequential.gradients
    mutant("the first trained layer left out", FILE, (_FIRST, "")),
    mutant(
        "gradients down to the last trained layer only",
        FILE,
        (_LAST, _LAST.replace("items()", "items().__reversed__()")),
    ),
    mutant(
        "gradients down to the last layer but one",
        FILE,
        (_LAST, "last = list(self.layers)[min(1, len(self.layers) - 1)]"),
    ),
    mutant(
        "gradients(): a layer's error signal not passed on",
        FILE,
        (_PASSED, _PASSED.replace("            dy,", "            _,")),
    ),
    mutant(
        "gradients() with the first layer's cache",
        FILE,
        (_PASSED, _PASSED.replace("cache.layers[name]", "cache.layers.get(last, cache.layers[name])")),
    ),
    mutant("gradients() in backward order", FILE, (_JOINED, "        return joined(dict(reversed(own.items())))\n")),
    mutant(
        "gradients() under the first layer's name",
        FILE,
        (_FIRST, _FIRST.replace("own[name]", "own[next(iter(self.layers))]")),
    ),
    mutant(
        "gradients() of the parameters that stand first",
        FILE,
        (_JOINED, "        return joined({last: own[last]} if last else own)\n"),
    ),
    mutant(
        "gradients() writes δ into the argument",
        FILE,
        (
            _PASSED,
            _PASSED.replace("            dy, own", "            given = dy\n            dy, own").replace(
                "        return",
                "            if given.shape == dy.shape and given.flags.writeable:\n                given[...] = dy\n        return",
            ),
        ),
    ),
    mutant(
        "gradients() in a buffer",
        FILE,
        (
            _JOINED,
            "        grads = joined(own)\n        for grad, buffer in zip(grads.values(), self.__dict__.setdefault('grads', grads).values()):\n            buffer[...] = grad\n        return self.grads\n",
        ),
    ),
    # Sequential.predict
    mutant(
        "predict in backward order",
        FILE,
        (_PREDICTED, _PREDICTED.replace("self.layers.values()", "reversed(self.layers.values())")),
    ),
    mutant(
        "predict in the order of the names",
        FILE,
        (_PREDICTED, _PREDICTED.replace("self.layers.values()", "dict(sorted(self.layers.items())).values()")),
    ),
    mutant(
        "predict without the last layer",
        FILE,
        (_PREDICTED, _PREDICTED.replace("self.layers.values()", "list(self.layers.values())[:-1]")),
    ),
    mutant(
        "predict with the units dropped",
        FILE,
        (
            _PREDICTED,
            _PREDICTED.replace("forward(x)", "forward(x, *[np.random.default_rng(0)] * bool(layer.dropouts()))"),
        ),
    ),
    mutant(
        "predict in float32",
        FILE,
        (_PREDICTED, _PREDICTED.replace("        return x", "        return x.astype(np.float32).astype(x.dtype)")),
    ),
    mutant(
        "predict in place",
        FILE,
        (
            _PREDICTED,
            "        for layer in self.layers.values():\n            y = layer.forward(x)[0]\n            if y.shape == x.shape and x.flags.writeable:\n                x[...] = y\n            else:\n                x = y\n        return x\n",
        ),
    ),
    mutant(
        "predict in a buffer",
        FILE,
        (_PREDICTED, _PREDICTED.replace("        return x\n", f"{in_buffer('x')}        return x\n")),
    ),
    # sizes.py
    mutant(
        "ceil for floor in what is foretold",
        "sizes.py",
        ("(size + 2 * padding - kernel_size) // stride", "-((kernel_size - size - 2 * padding) // stride)"),
    ),
    mutant(
        "padding counted once in what is foretold",
        "sizes.py",
        ("(size + 2 * padding - kernel_size) //", "(size + padding - kernel_size) //"),
    ),
    # optim.py: rows at a time
    mutant(
        "the last rows of a large parameter left out",
        "optim.py",
        (_BLOCKS, "for i in range(0, len(step) - rows + 1, rows):"),
    ),
    mutant("only the first rows of a large parameter", "optim.py", (_BLOCKS, "for i in range(0, rows, rows):")),
    mutant(
        "rows of a large parameter moved twice",
        "optim.py",
        (_DESCENDED, "parameter[i : i + rows + 1] -= lr * step[i : i + rows + 1]"),
    ),
    mutant(
        "the first rows' gradient for all",
        "optim.py",
        (_DESCENDED, "parameter[i : i + rows] -= lr * step[: len(parameter) - i][:rows]"),
    ),
)
