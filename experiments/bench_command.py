"""`twice bench`: how fast `scratch` is. Flags and refusals; the work is done in `experiments.bench`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import tyro

from experiments.errors import USAGE_ERROR, UserError
from experiments.flags import Folder, Real, Whole, one_of, parse_whole_number, word

Model = Literal["lenet5", "mlp"]
Peer = Literal["all", "none", "torch", "torch-compile", "jax", "mygrad", "sklearn"]
Mode = Literal["train", "infer"]
Dtype = Literal["float32", "float64"]
Study = Literal["steps", "epoch", "memory", "scaling", "ideas", "all"]

_MOST_THREADS: Final = 1024


def _several(one: Any) -> Any:
    """The command-line form of several words, each of the form `one`: a message then names the word that is wrong."""
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"{one.metavar} ...",
        instance_from_str=lambda words: tuple(one.instance_from_str([each]) for each in words),
        is_instance=lambda _: True,
        str_from_instance=lambda values: [str(value) for value in values],
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bench:
    """Measure the speed of scratch beside PyTorch and others, on this machine's CPU.

    Exit status 0 if every target that was measured is met and all computed the same, 1 if not.
    """

    operands: ClassVar[str] = ""

    models: Annotated[tuple[Model, ...], _several(one_of(Model))] = ("lenet5", "mlp")
    """Networks."""

    batch_sizes: Annotated[tuple[int, ...], _several(word(parse_whole_number, "N"))] = (1, 16, 64, 256)
    """Images in one step."""

    peers: Annotated[tuple[Peer, ...], _several(one_of(Peer))] = ("all",)
    """Whom to compare with; all takes those that are installed."""

    modes: Annotated[tuple[Mode, ...], _several(one_of(Mode))] = ("train", "infer")
    """train is a whole step with its update, infer a forward pass."""

    dtypes: Annotated[tuple[Dtype, ...], _several(one_of(Dtype))] = ("float32",)
    """Of images and parameters."""

    threads: Whole = 2
    """Threads that each may use; each is measured with one thread too, and the faster counts."""

    rounds: Whole = 7
    """How often each takes its turn."""

    seconds: Real = 0.3
    """How long each turn takes."""

    what: Annotated[Study, one_of(Study)] = "steps"
    """Steps, an epoch of training, peak memory, cost against image size and width, or all; or what each idea brings."""

    profile: bool = False
    """Print the time of each layer, forward and backward."""

    quick: bool = False
    """Does it run? Batches of 4, two short turns, one thread, torch alone if no peers are named; nothing is judged."""

    runs_dir: Annotated[Path, word(Path, "DIR")] = Path("runs")
    """Folder in which bench is made."""

    publish: Folder = None
    """With all or ideas: put tables and figures into this folder of documents."""

    json: bool = False
    """Print the outcome as one JSON object; everything else goes to stderr."""

    def run(self) -> int:
        """Measure."""
        self._refuse()
        settings = self.reduced() if self.quick else self
        from experiments.bench.session import run_bench

        return run_bench(settings)

    def reduced(self) -> "Bench":
        """Return what `--quick` makes of these settings."""
        peers: tuple[Peer, ...] = ("torch",) if self.peers == ("all",) else self.peers
        return dataclasses.replace(self, batch_sizes=(4,), rounds=2, seconds=0.02, threads=1, peers=peers)

    def _refuse(self) -> None:
        for name in ("models", "batch_sizes", "peers", "modes", "dtypes"):
            given = getattr(self, name)
            if not given:
                raise UserError(f"--{name.replace('_', '-')}: expected at least one", USAGE_ERROR)
            twice = [value for value in given if given.count(value) > 1]
            if twice:
                raise UserError(f"--{name.replace('_', '-')}: got {twice[0]!r} twice", USAGE_ERROR)
        if len(self.peers) > 1 and {"all", "none"} & set(self.peers):
            raise UserError("--peers: all and none stand alone", USAGE_ERROR)
        for flag, values, least in (
            ("batch-sizes", self.batch_sizes, 1),
            ("threads", (self.threads,), 1),
            ("rounds", (self.rounds,), 1),
        ):
            for value in values:
                if value < least:
                    raise UserError(f"--{flag}: expected a whole number of at least {least}; got {value}", USAGE_ERROR)
        if self.threads > _MOST_THREADS:
            raise UserError(f"--threads: expected at most {_MOST_THREADS}; got {self.threads}", USAGE_ERROR)
        if not 0 < self.seconds < float("inf"):
            raise UserError(f"--seconds: expected a number greater than 0; got {self.seconds}", USAGE_ERROR)
        if self.publish is not None and (self.what not in ("all", "ideas") or self.quick):
            raise UserError("--publish: expected with --what all or ideas, without --quick", USAGE_ERROR)
        if self.publish is not None and not self.publish.is_dir():
            raise UserError(f"--publish: there is no folder {self.publish}", USAGE_ERROR)
