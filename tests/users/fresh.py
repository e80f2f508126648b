"""More planted bugs, written after the diagnosis was and by somebody who had not seen its hypotheses for them.

The figures for tests/mutants are of bugs that the hypotheses were written beside; these say what to expect of others.
"""

from tests.mutants.mutant import mutant

_DX = "return dy @ weight, dy.T @ x, dy.sum(axis=0)"
_TANH = "((b / a) * (a - y) * (a + y))"
_SLOPE = "(a * y * (1 - y))"
_PRODUCT = "y = weight.reshape(len(weight), -1) @ columns.reshape(weight[0].size, -1)"
_DW = "dweight = (delta @ columns.reshape(flat.shape[1], -1).T).reshape(weight.shape)"
_FOLDED = "return padded[:, ph : ph + h, pw : pw + w].transpose(3, 0, 1, 2)"
_AVERAGED = "        y /= math.prod(self.kernel_size)\n"
_SUBSAMPLED = "(dy * cache.sums).sum(axis=(0, 2, 3)), dy.sum(axis=(0, 2, 3))"
_KEPT = "y = x.reshape(len(x), math.prod(x.shape[1:])).copy()"

FRESH = (
    mutant("dW times the learning rate", "linear.py", ("dy.T @ x, dy", "dy.T @ x * x.dtype.type(0.01), dy")),
    mutant("bias subtracted", "linear.py", ("else z + bias", "else z - bias")),
    mutant("dx negated", "linear.py", (_DX, "return -(dy @ weight), dy.T @ x, dy.sum(axis=0)")),
    mutant("dW of the inputs' signs", "linear.py", ("dy.T @ x, dy", "dy.T @ np.sign(x), dy")),
    mutant(
        "bias gradient of the units' sum",
        "linear.py",
        ("dy.sum(axis=0)", "np.full_like(dy[0], dy.sum()) if len(dy) else dy.sum(axis=0)"),
    ),
    mutant("tanh′ = 1 − y", "activation.py", (_TANH, "((b / a) * (a - y))")),
    mutant("logistic′ squared in (1 − y)", "activation.py", (_SLOPE, "(a * y * (1 - y) ** 2)")),
    mutant(
        "logistic rounded to three digits",
        "activation.py",
        ("y: Array = 1 / (1 + np.exp(-a * x))", "y: Array = np.round(1 / (1 + np.exp(-a * x)), 3)"),
    ),
    mutant("relu cut off at 1", "activation.py", ("np.maximum(x, 0)", "np.clip(x, 0, 1)")),
    mutant("relu leaks a tenth forward", "activation.py", ("np.maximum(x, 0)", "np.maximum(x, x.dtype.type(0.1) * x)")),
    mutant("softmax over the whole batch", "activation.py", ("exp.sum(axis=1, keepdims=True)", "exp.sum()")),
    mutant("softmax of 2·x", "activation.py", ("np.exp(x - x.max(", "np.exp(2 * x - 2 * x.max(")),
    mutant(
        "softmax′ with the sign turned",
        "activation.py",
        ("y * (dy - (dy * y).sum(axis=1, keepdims=True))", "y * ((dy * y).sum(axis=1, keepdims=True) - dy)"),
    ),
    mutant(
        "filter's columns flipped", "convolution.py", (_PRODUCT, _PRODUCT.replace("weight.", "weight[..., ::-1].", 1))
    ),
    mutant("padding of ones", "convolution.py", ("(pw, pw), (0, 0)))", "(pw, pw), (0, 0)), constant_values=1)")),
    mutant("the neighbour's bias", "convolution.py", ("y += bias[:, None]", "y += np.roll(bias, 1)[:, None]")),
    mutant(
        "dW without the last sample",
        "convolution.py",
        (
            _DW,
            _DW.replace(
                "delta @", "np.where(np.arange(delta.shape[1]) % max(len(dy), 1) < max(1, len(dy) - 1), delta, 0) @"
            ),
        ),
    ),
    mutant("dx moved by one pixel", "convolution.py", (_FOLDED, f"padded = np.roll(padded, 1, axis=2)\n    {_FOLDED}")),
    mutant("dx of the filters' absolute values", "convolution.py", ("(flat.T @ delta)", "(np.abs(flat).T @ delta)")),
    mutant("bias gradient doubled", "convolution.py", ("delta.sum(axis=1)", "2 * delta.sum(axis=1)")),
    mutant("average divided by kh + kw", "pooling.py", (_AVERAGED, "        y /= sum(self.kernel_size)\n")),
    mutant(
        "coefficient's gradient of the first sample",
        "pooling.py",
        (
            _SUBSAMPLED,
            _SUBSAMPLED.replace("(dy * cache.sums).sum(axis=(0, 2, 3))", "(dy * cache.sums)[:1].sum(axis=(0, 2, 3))"),
        ),
    ),
    mutant(
        "coefficients squared",
        "pooling.py",
        ("return sums * in_maps(self.weight) +", "return sums * in_maps(self.weight) ** 2 +"),
    ),
    mutant(
        "batch turned round in flattening",
        "flatten.py",
        (_KEPT, "y = x[::-1].reshape(len(x), math.prod(x.shape[1:])).copy()"),
    ),
    mutant(
        "cross-entropy gradient divided by K",
        "loss.py",
        ("return doutput / cache.divisor", "return doutput / (cache.divisor * doutput.shape[1])"),
    ),
    mutant(
        "labels smoothed",
        "loss.py",
        (
            "doutput[np.arange(len(cache.labels)), cache.labels] -= 1",
            "doutput[np.arange(len(cache.labels)), cache.labels] -= doutput.dtype.type(0.9)",
        ),
    ),
    mutant("absolute error", "loss.py", ("0.5 * (residual * residual)", "np.abs(residual)")),
    mutant("learning rate squared", "optim.py", ("parameter -= self.lr * step", "parameter -= self.lr**2 * step")),
    mutant("momentum forgets the sign", "optim.py", ("velocity += step", "velocity += np.abs(step)")),
    mutant(
        "penalty of the weights' mean", "regularization.py", ("(weight * weight).sum()", "(weight * weight).mean()")
    ),
)
"""With their answers in tables/fresh/fresh.txt."""
