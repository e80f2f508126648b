"""The commands of `twice`: one dataclass each, whose fields are its flags and whose `run` does the work.

Nothing heavy is imported outside `run`: `--help` and a mistyped flag are answered before torch or NumPy would have
loaded.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

import tyro

from experiments.bench_command import Bench
from experiments.check_command import Check
from experiments.config import CONFIGS, DatasetName, LeNet5Config, MlpConfig, TrainConfig, flag
from experiments.errors import USAGE_ERROR, UserError, close_matches
from experiments.flags import Folder, commas, one_of, parse_whole_number, word
from experiments.invocation import command
from experiments.lecture_command import Lecture

RunsDir = Annotated[Path, word(Path, "DIR")]
RunName = tyro.conf.Positional[Annotated[str, word(str, "RUN")]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where the run is written and how it is shown: not part of the recorded configuration."""

    config: Annotated[Path | None, word(Path, "FILE", lambda path: "none" if path is None else str(path))] = None
    """TOML file of settings; flags override it."""

    runs_dir: RunsDir = Path("runs")
    """Folder in which the run folder is made."""

    resume: bool = False
    """Continue the run that is there, bit for bit."""

    overwrite: bool = False
    """Throw away the run that is there."""

    json: bool = False
    """Print the summary as one JSON object; everything else goes to stderr."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """What the training commands share; each has the settings of its network."""

    settings: Annotated[TrainConfig, tyro.conf.arg(name="")]
    options: Annotated[RunOptions, tyro.conf.arg(name="")] = dataclasses.field(default_factory=RunOptions)

    def run(self) -> int:
        """Train."""
        options = self.options
        from experiments.console import make_reporter
        from experiments.training import train

        reporter = make_reporter(options.json, resume_command(self.settings, options))
        try:
            summary = train(
                self.settings,
                runs_dir=options.runs_dir,
                resume=options.resume,
                overwrite=options.overwrite,
                report=reporter,
            )
        finally:
            reporter.close()
        return summary.exit_code


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainMlp(Train):
    """Train a multilayer perceptron, in NumPy, in PyTorch, or in both in lockstep.

    A lockstep run ends with PASS (exit status 0) or FAIL (1): did the two backends stay as close as rounding allows?
    """

    settings: Annotated[MlpConfig, tyro.conf.arg(name="")] = dataclasses.field(default_factory=MlpConfig)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainLeNet5(Train):
    """Train LeNet-5, the convolutional network of 1998, in NumPy, in PyTorch, or in both in lockstep.

    A lockstep run ends with PASS (exit status 0) or FAIL (1): did the two backends stay as close as rounding allows?
    """

    settings: Annotated[LeNet5Config, tyro.conf.arg(name="")] = dataclasses.field(default_factory=LeNet5Config)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Eval:
    """Measure a finished run's last and best parameters on the test set."""

    operands: ClassVar[str] = "RUN"

    run_name: RunName
    """Run folder, or its name under the runs folder."""

    runs_dir: RunsDir = Path("runs")
    """Folder with the run folders."""

    data_dir: Folder = None
    """Folder with the data, if it has moved since the run."""

    json: bool = False
    """Print the result as one JSON object."""

    def run(self) -> int:
        """Evaluate."""
        run = find_run(self.run_name, self.runs_dir)

        from experiments.evaluation import evaluate_run

        return evaluate_run(run, self.data_dir, as_json=self.json)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Show:
    """Print what a run was and what it reached: configuration, versions, results."""

    operands: ClassVar[str] = "RUN"

    run_name: RunName
    """Run folder, or its name under the runs folder."""

    runs_dir: RunsDir = Path("runs")
    """Folder with the run folders."""

    json: bool = False
    """Print it as one JSON object."""

    def run(self) -> int:
        """Show."""
        run = find_run(self.run_name, self.runs_dir)

        from experiments.description import describe_run

        return describe_run(run, as_json=self.json)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorBoard:
    """Open TensorBoard on this machine for a run, or for all of them; Ctrl-C ends it."""

    operands: ClassVar[str] = "[DIR]"

    folder: tyro.conf.Positional[RunsDir] = Path("runs")
    """Folder with event files, at any depth."""

    port: Annotated[
        int | None, word(parse_whole_number, "N", lambda port: "first free from 6006" if port is None else str(port))
    ] = None
    """Port on the loopback interface."""

    def run(self) -> int:
        """Serve until interrupted."""
        from experiments.tensorboard_server import serve

        return serve(self.folder, self.port)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """Fetch a data set, or check the one that is there, and print where it is and what it holds."""

    operands: ClassVar[str] = ""

    dataset: Annotated[DatasetName, one_of(DatasetName)] = "mnist"
    """Which data set."""

    source: Annotated[str | None, word(str, "DIR|URL", lambda _: "the public mirrors"), tyro.conf.arg(name="from")] = (
        None
    )
    """Where to take the files from: a folder or zip archive on this machine, or a mirror's address."""

    data_dir: Folder = None
    """Where to look and to keep them; if not given, look in MNIST_DIR and the user's cache, keep in the cache."""

    def run(self) -> int:
        """Fetch and check."""
        from experiments.data_command import fetch_and_show

        return fetch_and_show(self.dataset, self.source, self.data_dir)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Doctor:
    """Check the installation: versions, BLAS, threads, data, folders.

    Exit status 1 if something that every run needs is broken.
    """

    operands: ClassVar[str] = ""

    data_dir: Folder = None
    """Folder with the data; MNIST_DIR if not given, then the cache."""

    runs_dir: RunsDir = Path("runs")
    """Folder for the run folders."""

    json: bool = False
    """Print the findings as one JSON object."""

    def run(self) -> int:
        """Examine and report."""
        from experiments.doctor import report

        return report(self.data_dir, self.runs_dir, as_json=self.json)


#: A new network is one entry here, and one in `config.CONFIGS`.
MODELS: Final[dict[str, type[TrainMlp] | type[TrainLeNet5]]] = {"mlp": TrainMlp, "lenet5": TrainLeNet5}
#: In the order of the help text; `train` comes before them.
COMMANDS: Final[dict[str, type[Any]]] = {
    "eval": Eval,
    "show": Show,
    "tb": TensorBoard,
    "data": Data,
    "check": Check,
    "lecture": Lecture,
    "bench": Bench,
    "doctor": Doctor,
}


def resume_command(settings: TrainConfig, options: RunOptions) -> str:
    """Return what to type to continue a run: every setting that is not the default, and `--resume`."""
    default = CONFIGS[settings.model]()
    words = ["train", settings.model]
    for name, value in dataclasses.asdict(settings).items():
        if value != getattr(default, name):
            words += [flag(name), commas(value) if isinstance(value, tuple) else str(value)]
    if options.runs_dir != RunOptions().runs_dir:
        words += ["--runs-dir", str(options.runs_dir)]
    return command(*words, "--resume")


def find_run(name: str, runs_dir: Path) -> Path:
    """Return the folder of a run that was given by its path or by its name.

    Raises
    ------
    UserError
        If there is none; the message names those that are there, the nearest first.
    """
    for folder in (Path(name), runs_dir / name):
        if folder.is_dir():
            return folder
    known = sorted(folder.name for folder in runs_dir.iterdir() if folder.is_dir()) if runs_dir.is_dir() else []
    if not known:
        raise UserError(
            f"no run {name!r}: there are no runs in {runs_dir}; {command('train', 'mlp')} makes one", USAGE_ERROR
        )
    raise UserError(f"no run {name!r}{close_matches(name, known)}\nruns in {runs_dir}: {', '.join(known)}", USAGE_ERROR)
