"""A kind of thing the oracle can judge, its cases, and one trial of a candidate."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from torchref.oracle.comparison import Array, Comparison
from torchref.oracle.subjects.subject import Incident, Misbehaviour, Subject

DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Case:
    """One configuration of a kind with the shape of its input.

    Attributes
    ----------
    slug:
        Short name, as `--case` takes it: "s2p1".
    label:
        What the table shows: "3x3 s2 p1  N2 C3 O4 7x6".
    config:
        Constructor arguments of torchref's class, by name; without the dtype.
    shape:
        Of the input (of the network's output, for a loss).
    needs:
        The features beyond the plainest that it uses: "stride", "padding", "empty", …; a candidate declared to be
        without one of them is not run on it.
    values:
        What the inputs are drawn from instead: so few that many are equal (ties), or as many as there are entries, each
        once.
    thorough:
        Whether it is also run in odd memory layouts, on special values and on NaN and infinity.
    """

    slug: str
    label: str
    config: Mapping[str, Any]
    shape: tuple[int, ...]
    needs: frozenset[str] = frozenset()
    values: tuple[float, ...] = ()
    thorough: bool = False


@dataclass(frozen=True)
class Trial:
    """One run of a candidate beside the oracle, with all that a diagnosis could want to look at.

    Attributes
    ----------
    case, dtype, variety, seed:
        What was run: "float64" or "float32"; "normal", "integers", or one of the kind's other varieties of input.
    given:
        The arrays by name: "x", "dy" and parameters ("weight"); for a loss "output" and "target".
    reference:
        The torch module that holds these parameters.
    mine:
        The candidate's results by the oracle's names: "y", "dx", "grad weight"; of what came, only.
    oracle:
        The oracle's, in the order of computation.
    comparisons:
        The verdicts, in the order of computation; conduct last ("5 purity", "5 conduct").
    misbehaviour:
        What a part did instead of answering, or None. It stands among the comparisons as well.
    incidents:
        What happened beside the answers.
    """

    case: Case
    dtype: str
    variety: str
    seed: int
    given: Mapping[str, Array]
    reference: Any
    mine: Mapping[str, Array]
    oracle: Mapping[str, Array]
    comparisons: tuple[Comparison, ...]
    misbehaviour: Misbehaviour | None = None
    incidents: tuple[Incident, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return all(c.passed for c in self.comparisons)

    @property
    def failures(self) -> tuple[Comparison, ...]:
        """What is wrong, the first first."""
        return tuple(c for c in self.comparisons if not c.passed)


class Kind(Protocol):
    """Something torchref has, by the name that `like` takes.

    Attributes
    ----------
    name:
        "conv2d".
    aliases:
        Other names that people have for it: ("sigmoid",) of "logistic".
    family:
        "layer", "activation", "loss", "optimizer", "initializer", "penalty" or "network": decides how a candidate is
        called (`torchref.oracle.candidate`). An optimiser need not have `state_dict` and `load_state_dict`; an
        initializer's `make` returns the array itself, from the arguments of torchref's function with a NumPy generator
        as `rng` and a NumPy dtype.
    twin:
        torchref's class.
    parameters:
        Names of its parameters, in the order of functions' arguments: ("weight", "bias").
    settings:
        Names of the constructor arguments that cases vary, in order: ("stride", "padding").
    axes:
        The letters of its input's axes, such as "NCHW", "" where any number will do; and those of each parameter.
    cases:
        The catalogue.
    features:
        What can be declared missing, with a description.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def aliases(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def family(self) -> str: ...  # noqa: D102

    @property
    def twin(self) -> Callable[..., Any]: ...  # noqa: D102

    @property
    def parameters(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def settings(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def axes(self) -> Mapping[str, str]: ...  # noqa: D102

    @property
    def cases(self) -> tuple[Case, ...]: ...  # noqa: D102

    @property
    def features(self) -> Mapping[str, str]: ...  # noqa: D102

    def columns(self, subject: Subject) -> tuple[str, ...]:
        """The names of the tensors that are judged, in the order of computation: "y", "dx", "grad weight"."""

    def varieties(self, case: Case) -> tuple[str, ...]:
        """The varieties of input that a case is run on."""

    def needs(self, variety: str) -> frozenset[str]:
        """The features that a variety asks for."""

    def run(self, subject: Subject, case: Case, dtype: str, variety: str, seed: int) -> Trial:
        """Run a candidate once beside the oracle; whatever it does, a `Trial` comes back."""


@dataclass
class Draw:
    """Numbers for one trial: a generator of its own for each seed, case, dtype and variety."""

    seed: int
    words: tuple[str, ...]
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng([self.seed, *(zlib.crc32(word.encode()) for word in self.words)])

    def normal(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Random normal numbers; never all ones, which hide errors."""
        return self.rng.normal(size=shape).astype(dtype)

    def integers(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Small whole numbers, whose sums and products no rounding touches."""
        return self.rng.integers(-4, 5, shape).astype(dtype)
