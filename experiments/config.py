"""The settings of one training run: flags, help text, TOML keys and the recorded configuration have this one source.

Only what decides the numbers of a run is a field here. Where it is written, whether it resumes and how it is printed
are options of the command (`experiments.cli`): two runs of equal settings must have equal configurations.
`experiments.config_files` reads them back.
"""

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import tyro

from experiments.errors import USAGE_ERROR, UserError
from experiments.flags import Folder, Real, Whole, commas, one_of, parse_hidden, word
from experiments.validation import find_problem

Model = Literal["mlp", "lenet5"]
DatasetName = Literal["digits", "mnist", "fashion-mnist", "kmnist", "emnist-digits", "qmnist"]
Backend = Literal["scratch", "torch", "both"]
ActivationName = Literal["tanh", "lecun-tanh", "logistic", "relu", "identity"]
LossName = Literal["cross-entropy", "squared-error"]
DType = Literal["float32", "float64"]
Schedule = Literal["constant", "cosine"]
Pooling = Literal["subsample", "average", "max"]
C3 = Literal["table", "dense"]

#: Settings that say where something lies, not what is computed: the manifest's sha256 guards the data itself.
LOCATIONS: Final = frozenset({"data_dir"})

#: Settings that came later, with what runs without them did: at that value they do not enter the hash, so that older
#: checkpoints fit.
LATER: Final[Mapping[str, Any]] = {"schedule": "constant", "dropout": 0.0}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides the numbers of a run, whatever the network; each network adds settings of its own.

    Raises
    ------
    UserError
        With exit status 2, if a value is out of its range.
    """

    model: tyro.conf.Suppress[Model]
    """The network; the command line chooses it by its subcommand."""

    dataset: Annotated[DatasetName, one_of(DatasetName)] = "digits"
    """What to learn. digits comes with scikit-learn and needs no network."""

    backend: Annotated[Backend, one_of(Backend)] = "both"
    """NumPy by hand (scratch), torch.nn with autograd (torch), or both in lockstep, compared every --log-every
    updates."""

    activation: Annotated[ActivationName, one_of(ActivationName)]
    """Activation of the hidden layers."""

    loss: Annotated[LossName, one_of(LossName)] = "cross-entropy"
    """What is minimised, averaged over the batch: cross-entropy of the softmax (nats), or half the squared distance
    to the one-hot target."""

    dtype: Annotated[DType, one_of(DType)] = "float32"
    """Precision of parameters, inputs and gradients."""

    batch_size: Whole = 64
    """Images per update: 1 is online learning, the size of the training set is batch learning."""

    lr: Real = 0.05
    """Learning rate: the step along the negative gradient; with a schedule, that of the first update."""

    schedule: Annotated[Schedule, one_of(Schedule)] = "constant"
    """Course of the learning rate: as it is, or falling as half a cosine, lr (1 + cos(pi t/T)) / 2 at update t of T."""

    momentum: Real = 0.9
    """Share of the previous step kept in the next one, from 0 to below 1."""

    weight_decay: Real = 0.0
    """The lambda of the penalty (lambda/2) |W|^2; weights only, not biases."""

    epochs: Whole = 10
    """Passes over the training images."""

    seed: Whole = 0
    """Decides the initial weights and the order of the images."""

    device: str = "cpu"
    """Where the torch backend computes: cpu, cuda or cuda:N. scratch is always on the CPU."""

    data_dir: Folder = None
    """Folder with the IDX files of the MNIST family; MNIST_DIR if not given, then the download cache."""

    log_every: Whole = 20
    """Updates between two points in TensorBoard, and in lockstep between two comparisons on the same weights."""

    checkpoint_every: Whole = 200
    """Updates between two checkpoints."""

    threads: Whole = 1
    """How many cores each backend computes on: torch in threads, scratch in threads of BLAS, or with the parts of a
    batch in processes; 0 leaves the threads as they are. The last bits of a result depend on it."""

    def __post_init__(self) -> None:
        annotations = field_types(type(self))
        for name, annotation in annotations.items():
            problem = find_problem(name, getattr(self, name), annotation)
            if problem:
                raise UserError(f"{flag(name)}: {problem}", USAGE_ERROR)
        if self.device != "cpu" and self.backend == "scratch":
            raise UserError(
                f"--device: {self.device!r} has no effect with --backend scratch, which computes with NumPy on the "
                "CPU; choose --backend torch or both, or leave --device out",
                USAGE_ERROR,
            )

    @property
    def may_grow(self) -> bool:
        """Whether a run of these settings may be continued with more epochs.

        Not with a schedule that ends with the run: the updates already made would have had other learning rates.
        """
        return self.schedule == "constant"

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON's types: the tuple as a list, the path as a string."""
        annotations = field_types(type(self))
        return {name: _to_file(getattr(self, name), annotation) for name, annotation in annotations.items()}

    def to_json(self) -> str:
        """Return the text of `config.json`; `config_files.from_json` reads it back to an equal configuration."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    def hash(self) -> str:
        """Return the sha256 (hex) of all settings that a resumed run must share with the run it continues."""
        values = self.to_dict()
        apart = {*LOCATIONS, *(name for name, value in LATER.items() if values.get(name) == value)}
        if self.may_grow:
            apart.add("epochs")
        values = {name: value for name, value in values.items() if name not in apart}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class MlpConfig(TrainConfig):
    """Settings of a multilayer perceptron's run."""

    model: tyro.conf.Suppress[Literal["mlp"]] = "mlp"
    """The network; the command line chooses it by its subcommand."""

    activation: Annotated[ActivationName, one_of(ActivationName)] = "tanh"
    """Activation of the hidden layers; lecun-tanh is 1.7159 tanh(2z/3). The output layer is linear."""

    seed: Whole = 0
    """Decides the initial weights, the order of the images and the units that are dropped."""

    hidden: Annotated[tuple[int, ...], word(parse_hidden, "N,N,...", commas)] = (300, 100)
    """Units in each hidden layer, from the input side to the output side."""

    dropout: Real = 0.0
    """Probability with which training drops a hidden unit, from 0 to below 1. Training losses and errors are then those
    of the thinned network; validation and test drop nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeNet5Config(TrainConfig):
    """Settings of a LeNet-5's run."""

    model: tyro.conf.Suppress[Literal["lenet5"]] = "lenet5"
    """The network; the command line chooses it by its subcommand."""

    activation: Annotated[ActivationName, one_of(ActivationName)] = "lecun-tanh"
    """Activation of all layers up to F6; lecun-tanh is the paper's 1.7159 tanh(2z/3). The output layer is linear."""

    # A comparison costs as much as ten updates in lockstep: every 20 it would take a third of the run.
    log_every: Whole = 50
    """Updates between two points in TensorBoard, and in lockstep between two comparisons on the same weights."""

    pooling: Annotated[Pooling, one_of(Pooling)] = "subsample"
    """S2 and S4: the paper's sum with a trainable coefficient and bias per map, the average, or the maximum."""

    c3: Annotated[C3, one_of(C3)] = "table"
    """Which maps of S2 each map of C3 sees: those of the paper's table, or all of them."""


#: The settings of each network, by its name.
CONFIGS: Final[Mapping[str, type[MlpConfig] | type[LeNet5Config]]] = {"mlp": MlpConfig, "lenet5": LeNet5Config}


def field_types(kind: type[TrainConfig]) -> Mapping[str, Any]:
    """Return the type of each setting by name, in the order of the fields."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def flag(name: str) -> str:
    """Return the command-line spelling of a setting: `batch_size` is `--batch-size`."""
    return "--" + name.replace("_", "-")


def misplaced(name: str, model: str) -> str | None:
    """Say which network's setting a name is, if it is one of another network only, else None."""
    if name in field_types(CONFIGS[model]):
        return None
    owners = [other for other, kind in CONFIGS.items() if name in field_types(kind)]
    return f"is a setting of {' and '.join(owners)}, not of {model}" if owners else None


def difference(old: TrainConfig, new: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Compare two configurations, as resuming does.

    Returns
    -------
    dict
        Field name to (old, new) for every setting that differs, `LOCATIONS` excepted; None stands for a setting that
        one of two networks does not have.
    """
    names = [name for name in {**field_types(type(old)), **field_types(type(new))} if name not in LOCATIONS]
    pairs = {name: (getattr(old, name, None), getattr(new, name, None)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _to_file(value: Any, annotation: Any) -> Any:
    """Turn a field into JSON's types; whole numbers given for floats become floats: equal settings hash alike."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Path):
        return str(value)
    return float(value) if annotation is float else value
