"""The ideas that make a training step of `scratch` fast, each with what there was, or would be, in its place."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final
from unittest import mock

from experiments.bench import plain_ways
from experiments.bench.cells import Cell, ModelName

_EVERYTHING: Final = 1 << 62  # numbers: no batch is cut into pieces


@dataclasses.dataclass(frozen=True)
class Idea:
    """One idea, and what there was, or would be, in its place.

    Parameters
    ----------
    name:
        What it is called in the tables.
    instead:
        By the place in `scratch`, the plain way; for an idea that was thrown away, the idea itself.
    given:
        The same for what is in place with the idea and without: to see it where another idea does not hide it.
    models:
        The networks that it concerns.
    least, most:
        Images in the batches that it concerns.
    kept:
        Whether it stayed.
    apart:
        Whether each way needs a process of its own.
    threads:
        That the step with the idea has, in processes; the other has 1.
    """

    name: str
    instead: Mapping[str, Any]
    models: tuple[ModelName, ...] = ("lenet5", "mlp")
    least: int = 1
    most: int = _EVERYTHING
    kept: bool = True
    apart: bool = False
    threads: int = 1
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def put_in_place(self, instead: bool = True) -> Iterator[None]:
        """Have `given`, and `instead` if it is asked for, in the place of what is there, until the block is left."""
        with contextlib.ExitStack() as stack:
            for place, function in {**self.given, **(self.instead if instead else {})}.items():
                stack.enter_context(mock.patch(place, function))
            yield

    def concerns(self, cell: Cell) -> bool:
        """Whether it makes a difference there."""
        return cell.mode == "train" and cell.model in self.models and self.least <= cell.batch <= self.most


_CONV: Final[tuple[ModelName, ...]] = ("lenet5",)
_NOT_RECORDED: Final = {"scratch.parallel.quickened": lambda net: net}
_SLOW_CHECKS: Final = {
    "scratch.validation.fits": plain_ways.fits,
    "scratch.validation.alike": lambda *_: False,
    "scratch.optim.alike": lambda *_: False,
    "scratch.pooling.Subsample2d.check_input": plain_ways.check_input,
    "scratch.convolution.Conv2d._check_room": plain_ways.check_room,
}

IDEAS: Final[dict[str, Idea]] = {
    "a": Idea(
        "rows outermost, the batch last: 5 copies of a pixel instead of 25",
        {
            "scratch.convolution.conv2d": plain_ways.conv2d,
            "scratch.convolution.conv2d_dweight": plain_ways.conv2d_dweight,
            "scratch.convolution.conv2d_dx": plain_ways.conv2d_dx,
        },
        _CONV,
    ),
    "b": Idea(
        "input gradient: a product for each row of the input, columns folded",
        {"scratch.convolution.conv2d_dx": plain_ways.conv2d_dx_by_entries},
        _CONV,
    ),
    "c": Idea("no gradient of the image", {"scratch.module.Sequential.gradients": plain_ways.gradients}),
    "d": Idea("C5 as a fully connected layer", {"scratch.unfolding.has_one_place": lambda *_: False}, _CONV),
    "e": Idea(
        "linear layers with a column per sample",
        {
            "scratch.linear.linear": plain_ways.linear,
            "scratch.linear.linear_dx": plain_ways.linear_dx,
            "scratch.unfolding.linear": plain_ways.linear,
            "scratch.unfolding.linear_dx": plain_ways.linear_dx,
        },
    ),
    "f": Idea(
        "outer product of one sample without BLAS",
        {
            "scratch.linear.linear_dweight": plain_ways.linear_dweight,
            "scratch.unfolding.linear_dweight": plain_ways.linear_dweight,
        },
        most=1,
    ),
    "g": Idea(
        "tanh and its derivative in place",
        {
            "scratch.activation.tanh": plain_ways.tanh,
            "scratch.activation.tanh_backward": plain_ways.tanh_backward,
        },
    ),
    "h": Idea(
        "windows summed by rows, then columns; tiles assigned",
        {
            "scratch.pooling.sum_pool2d": plain_ways.sum_pool2d,
            "scratch.pooling.sum_pool2d_backward": plain_ways.sum_pool2d_backward,
        },
        _CONV,
    ),
    "i": Idea(
        "sub-sampling's gradients by einsum",
        {"scratch.pooling.Subsample2d.backward": plain_ways.subsample_backward},
        _CONV,
    ),
    "j": Idea("checks that take a fast way", _SLOW_CHECKS),
    "j (no n)": Idea("the same where no pass is recorded", _SLOW_CHECKS, _CONV, given=_NOT_RECORDED),
    "k": Idea("an update some rows at a time", {"scratch.optim.descend": plain_ways.descend}),
    "l": Idea("freed memory kept", {"scratch.parallel.keep_memory": lambda: None}, apart=True),
    "l (no n)": Idea(
        "the same where no pass is recorded",
        {"scratch.parallel.keep_memory": lambda: None},
        _CONV,
        apart=True,
        given=_NOT_RECORDED,
    ),
    "m": Idea(
        "a large batch in pieces that fit in the cache", {"scratch.parallel._CACHED": _EVERYTHING}, _CONV, least=64
    ),
    "n": Idea("passes recorded and replayed", _NOT_RECORDED),
    "o": Idea("two processes", {}, _CONV, least=16, apart=True, threads=2),
    "p": Idea("δ turned round: both matrices lie row by row", {"scratch.unfolding._DEEP": _EVERYTHING}, _CONV),
    "q": Idea(
        "numbers per map written out along a row",
        {"scratch.unfolding.along": plain_ways.along},
        _CONV,
    ),
    "r": Idea("the table as numbers, not booleans", {"scratch.convolution.masked": plain_ways.masked}, _CONV),
    "s": Idea(
        "gradients lent, not copied",
        {"experiments.bench.competitors.scratch_steps.DataParallel": plain_ways.keeping},
        most=32,
    ),
    "two threads": Idea(
        "two threads in one process",
        {"experiments.bench.competitors.scratch_steps.DataParallel": plain_ways.InThreads},
        _CONV,
        least=32,
        kept=False,
    ),
    "products by row": Idea(
        "input gradient: a product for each row of the filter, added up",
        {"scratch.convolution.conv2d_dx": plain_ways.conv2d_dx_by_rows},
        _CONV,
        kept=False,
    ),
    "all products": Idea(
        "input gradient: products for all rows of the filter at once",
        {"scratch.convolution.conv2d_dx": plain_ways.conv2d_dx_at_once},
        _CONV,
        kept=False,
    ),
}
"""By the letter that docs/speed.md has for it; at the end those that were thrown away."""

ALL: Final = Idea(
    "all of these but b, l and o, at once",
    {
        place: function
        for letter, idea in IDEAS.items()
        if idea.kept and not idea.apart and not idea.given and letter != "b"  # a brings its own way back
        for place, function in idea.instead.items()
    },
)
