"""Hypotheses about forward, asked of a gradient: where forward is right, only backward can be wrong."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from torchref.oracle.diagnosis.hypothesis import Hypothesis, Seen

FACTORS = ("bias:missing", "bias:doubled", "bias:negated", "bias:per-tap", "bias:per-product")
"""The bias's gradient shows them as a factor, which says nothing of how the bias is added."""
OF_FORWARD = ("bias", "channels", "padding", "stride")
"""Families that tell what forward does."""


def only_backward(tensor: str, looked: Sequence[Seen]) -> bool:
    """Whether a gradient is wrong in trials in which y is right, or was not judged."""
    failed = [s for s in looked if s.failed]
    return tensor != "y" and not all(any(c.tensor == "y" for c in s.trial.failures) for s in failed)


def of_gradient(hypotheses: Iterable[Hypothesis]) -> Iterator[Hypothesis]:
    """What is left of hypotheses about forward, and as they must be said, where forward is right."""
    for hypothesis in hypotheses:
        if hypothesis.code in FACTORS:
            continue
        says = hypothesis.says
        if hypothesis.code.split(":")[0] in OF_FORWARD:
            says = f"{{it}}: it belongs to another forward pass than yours, one in which {says.removeprefix('{it}: ')}"
        yield replace(hypothesis, says=says)
