"""Random convolutional networks by criteria 4 and 6, and each of their layers by criteria 1, 2 and 6 on its own."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests import harness, random_maps
from torchref import oracle
from torchref.oracle.comparison import Report


@st.composite
def drawings(draw: st.DrawFn) -> random_maps.Drawing:
    return random_maps.drawing(random_maps.Drawn(draw))


def reports(drawn: random_maps.Drawing) -> Iterator[Report]:
    """The network, then its layers one by one; nothing if every draw is at a kink."""
    if (built := random_maps.build(drawn)) is not None:
        candidate, _, twin, twin_loss, x, labels = built
        yield oracle.check_network(str(drawn), *built)
        yield from harness.layer_by_layer(str(drawn), candidate, twin, twin_loss, x, labels)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(drawings())
def test_random_convolutional_networks_agree(drawn: random_maps.Drawing) -> None:
    found = list(reports(drawn))
    assume(found)
    for report in found:
        report.require()


@pytest.mark.slow
def test_thousands_of_random_convolutional_networks_agree(seed: int) -> None:
    judged = 0
    for number in range(seed, seed + 4000):
        found = list(reports(random_maps.drawing(random_maps.Rolled(number))))
        for report in found:
            report.require()
        judged += bool(found)
    assert judged > 3000


def test_the_drawings_hold_every_kind_of_layer() -> None:
    """What is never drawn is never tested."""
    drawn = [random_maps.drawing(random_maps.Rolled(number)) for number in range(200)]
    layers = [layer for one in drawn for layer in one.net.layers]
    kinds = {kind for _, kind, _, _ in layers}
    assert kinds >= {"Conv1d", "Conv2d", "AvgPool2d", "MaxPool2d", "Subsample2d", "Canvas2d", "Dropout", "Flatten"}
    assert kinds >= {*random_maps.UNIT_ACTIVATIONS, "Linear"}
    maps = [(args, kwargs) for _, kind, args, kwargs in layers if kind == "Conv2d"]
    assert any(kwargs["connections"] for _, kwargs in maps)
    assert any(not kwargs["bias"] for _, kwargs in maps)
    assert any(padding[0] != padding[1] for (*_, padding), _ in maps)
    assert any(np.any(np.array(stride) > kernel) for (_, _, kernel, stride, _), _ in maps)
