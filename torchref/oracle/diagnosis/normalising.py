"""Mistakes in layers that normalise: the variance's divisor, its eps, statistics taken for constants."""

import math
from collections.abc import Callable, Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from torchref.oracle.diagnosis.convolving import hypothesis
from torchref.oracle.diagnosis.hypothesis import Hypothesis
from torchref.oracle.diagnosis.ingredients import Leaves
from torchref.oracle.kinds.kind import Trial

Formula = Callable[[Tensor, Tensor, Tensor, float, int], Tensor]
"""From x, its mean and variance, eps, and of how many entries they are, to x as it is normalised."""

FORMULAS: dict[str, tuple[str, Formula]] = {
    "norm:unbiased": (
        "the variance is divided by n − 1 (ddof=1), not by n",
        lambda x, mean, var, eps, n: (x - mean) / (var * n / max(n - 1, 1) + eps).sqrt(),
    ),
    "norm:eps": (
        "eps is added to the standard deviation, not to the variance",
        lambda x, mean, var, eps, n: (x - mean) / (var.sqrt() + eps),
    ),
    "norm:eps missing": ("eps is missing", lambda x, mean, var, eps, n: (x - mean) / var.sqrt()),
    "norm:constant": (
        "mean and variance are taken for constants, though they depend on x",
        lambda x, mean, var, eps, n: (x - mean.detach()) / (var.detach() + eps).sqrt(),
    ),
    "norm:constant variance": (
        "the variance is taken for a constant, though it depends on x",
        lambda x, mean, var, eps, n: (x - mean) / (var.detach() + eps).sqrt(),
    ),
    "norm:constant mean": (
        "the mean is taken for a constant, though it depends on x",
        lambda x, mean, var, eps, n: (x - mean.detach()) / (var + eps).sqrt(),
    ),
}
"""By code: what is said of it, and how x is normalised."""


def normalisations(tensor: str, trial: Trial) -> Iterator[Hypothesis]:
    """All that fits batch normalisation in training, and layer normalisation."""
    module = trial.reference
    if not (isinstance(module, nn.LayerNorm) or (isinstance(module, _BatchNorm) and module.training)):
        return
    for code, (says, formula) in FORMULAS.items():

        def forward(trial: Trial, leaves: Leaves, formula: Formula = formula) -> Tensor:
            x, module = leaves["x"], trial.reference
            over = [a for a in range(x.ndim) if a != 1]
            shape = [1, -1] + [1] * (x.ndim - 2)
            if isinstance(module, nn.LayerNorm):
                over = list(range(-len(module.normalized_shape), 0))
                shape = list(module.normalized_shape)
            mean, var = x.mean(over, keepdim=True), x.var(over, correction=0, keepdim=True)
            y = formula(x, mean, var, module.eps, math.prod(x.shape[a] for a in over))
            if "weight" in leaves:
                y = y * leaves["weight"].reshape(shape)
            return y + leaves["bias"].reshape(shape) if "bias" in leaves else y

        yield hypothesis(tensor, code.split(" ")[0], f"{{it}}: {says}", forward)
