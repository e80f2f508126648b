"""More planted bugs, written after the diagnosis was and by somebody who had not seen its hypotheses for them.

The figures for tests/mutants are of bugs that the hypotheses were written beside; these say what to expect of others.
"""

from tests.mutants.mutant import mutant

_DW_LINEAR = 'dweight = np.einsum("no,ni->oi", dy, x) if len(x) == 1 else dy.T @ x'
_DX = "return (weight.T @ dy.T).T"
_BIAS = "z += bias[:, None]"
_SLOPE = "(a * y * (1 - y))"
_FORWARD = "    if has_one_place(x.shape[2:], weight.shape[2:], padding):\n"
_GRADIENTS = "        dweight, dbias = conv2d_dweight(in_plane(dy), cache.columns, (kh, kw), stride)\n"
_PADDED = "        image = padded\n"
_CROPPED = "return padded[:, :, pw : pw + w].transpose(3, 1, 0, 2)"
_AVERAGED = "        y /= math.prod(self.kernel_size)\n"
_DCOEFFICIENT = 'np.einsum("nchw,nchw->c", dy, cache.sums)'
_KEPT = "y = x.reshape(len(x), math.prod(x.shape[1:])).copy()"

FRESH = (
    mutant("dW times the learning rate", "linear.py", (_DW_LINEAR, f"{_DW_LINEAR}\n    dweight *= x.dtype.type(0.01)")),
    mutant("bias subtracted", "linear.py", (_BIAS, "z -= bias[:, None]")),
    mutant("dx negated", "linear.py", (_DX, "return -(weight.T @ dy.T).T")),
    mutant("dW of the inputs' signs", "linear.py", (_DW_LINEAR, f"x = np.sign(x)\n    {_DW_LINEAR}")),
    mutant(
        "bias gradient of the units' sum",
        "linear.py",
        ("dy.sum(axis=0)", "np.full_like(dy[0], dy.sum()) if len(dy) else dy.sum(axis=0)"),
    ),
    mutant("tanh′ = 1 − y", "activation.py", ("dx: Array = y * y", "dx: Array = limit * y")),
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
    mutant("filter's columns flipped", "unfolding.py", (_FORWARD, f"    weight = weight[..., ::-1]\n{_FORWARD}")),
    mutant(
        "padding of ones",
        "unfolding.py",
        (_PADDED, "        image = np.pad(image, ((ph, ph), (0, 0), (pw, pw), (0, 0)), constant_values=1)\n"),
    ),
    mutant(
        "the neighbour's bias",
        "unfolding.py",
        (_FORWARD, f"    bias = None if bias is None else np.roll(bias, 1)\n{_FORWARD}"),
    ),
    mutant(
        "dW without the last sample",
        "convolution.py",
        (
            _GRADIENTS,
            f"{_GRADIENTS}        seen = in_plane(dy).copy()\n        seen[max(1, len(dy) - 1) :] = 0\n        dweight, _ = conv2d_dweight(seen, cache.columns, (kh, kw), stride)\n",
        ),
    ),
    mutant("dx moved by one pixel", "unfolding.py", (_CROPPED, f"padded = np.roll(padded, 1, axis=2)\n    {_CROPPED}")),
    mutant(
        "dx of the filters' absolute values",
        "convolution.py",
        ("conv2d_dx(in_plane(dy), cache.weight,", "conv2d_dx(in_plane(dy), np.abs(cache.weight),"),
    ),
    mutant("bias gradient doubled", "convolution.py", (_GRADIENTS, f"{_GRADIENTS}        dbias *= 2\n")),
    mutant("average divided by kh + kw", "pooling.py", (_AVERAGED, "        y /= sum(self.kernel_size)\n")),
    mutant(
        "coefficient's gradient of the first sample",
        "pooling.py",
        (_DCOEFFICIENT, 'np.einsum("nchw,nchw->c", dy[:1], cache.sums[:1])'),
    ),
    mutant(
        "coefficients squared",
        "pooling.py",
        ("y = sums * in_maps(self.weight, sums)", "y = sums * in_maps(self.weight, sums) ** 2"),
    ),
    mutant(
        "batch turned round in flattening",
        "flatten.py",
        (_KEPT, "y = x[::-1].reshape(len(x), math.prod(x.shape[1:])).copy()"),
    ),
    mutant(
        "cross-entropy gradient divided by K",
        "loss.py",
        ("doutput /= cache.divisor", "doutput /= cache.divisor * doutput.shape[1]"),
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
    mutant(
        "learning rate squared",
        "optim.py",
        ("descend(parameter, step, self.lr)", "descend(parameter, step, self.lr**2)"),
    ),
    mutant("momentum forgets the sign", "optim.py", ("velocity += step", "velocity += np.abs(step)")),
    mutant(
        "penalty of the weights' mean", "regularization.py", ("(weight * weight).sum()", "(weight * weight).mean()")
    ),
)
"""With their answers in tables/fresh/fresh.txt."""
