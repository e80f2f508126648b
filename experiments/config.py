"""The settings of one training run: flags, help text, TOML keys and the recorded configuration have this one source.

Only what decides the numbers of a run is a field here. Where it is written, whether it resumes and how it is printed
are options of the command (`experiments.cli`): two runs of equal settings must have equal configurations.
"""

import dataclasses
import hashlib
import json
import math
import re
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import tyro

from experiments.errors import UserError, close_matches
from experiments.flags import Folder, Real, Whole, commas, one_of, parse_hidden, word

Model = Literal["mlp"]
DatasetName = Literal["digits", "mnist", "fashion-mnist", "kmnist", "emnist-digits", "qmnist"]
Backend = Literal["scratch", "torch", "both"]
ActivationName = Literal["tanh", "lecun-tanh", "logistic", "relu", "identity"]
LossName = Literal["cross-entropy", "squared-error"]
DType = Literal["float32", "float64"]

USAGE_ERROR: Final = 2
#: Above these, only a slip of the finger is meant; beyond them NumPy or the system fails in ways of their own.
MOST_UNITS: Final = 1_000_000
MOST_THREADS: Final = 1024
#: Settings that say where something lies, not what is computed: the manifest's sha256 guards the data itself.
LOCATIONS: Final = frozenset({"data_dir"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides the numbers of a run.

    Raises
    ------
    UserError
        With exit status 2, if a value is out of its range (`validate`).
    """

    model: tyro.conf.Suppress[Model] = "mlp"
    """The network; the command line chooses it by its subcommand."""

    dataset: Annotated[DatasetName, one_of(DatasetName)] = "digits"
    """What to learn. digits comes with scikit-learn and needs no network."""

    backend: Annotated[Backend, one_of(Backend)] = "both"
    """NumPy by hand (scratch), torch.nn with autograd (torch), or both in lockstep, compared at every update."""

    hidden: Annotated[tuple[int, ...], word(parse_hidden, "N,N,...", commas)] = (300, 100)
    """Units in each hidden layer, from the input side to the output side."""

    activation: Annotated[ActivationName, one_of(ActivationName)] = "tanh"
    """Activation of the hidden layers; lecun-tanh is 1.7159 tanh(2z/3). The output layer is linear."""

    loss: Annotated[LossName, one_of(LossName)] = "cross-entropy"
    """What is minimised, averaged over the batch: cross-entropy of the softmax (nats), or half the squared distance
    to the one-hot target."""

    dtype: Annotated[DType, one_of(DType)] = "float32"
    """Precision of parameters, inputs and gradients."""

    batch_size: Whole = 64
    """Images per update: 1 is online learning, the size of the training set is batch learning."""

    lr: Real = 0.05
    """Learning rate: the step along the negative gradient."""

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
    """Updates between two points in TensorBoard."""

    checkpoint_every: Whole = 200
    """Updates between two checkpoints."""

    threads: Whole = 1
    """Threads of BLAS and of torch; 0 leaves them as they are. 1 keeps the two thread pools from fighting over the
    cores, and the results from depending on how many there are."""

    def __post_init__(self) -> None:
        validate(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON's types: the tuple as a list, the path as a string."""
        return {field.name: _to_file(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)}

    def to_json(self) -> str:
        """Return the text of `config.json`; `from_json` reads it back to an equal configuration."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = "config.json") -> "TrainConfig":
        """Read what `to_json` wrote.

        Parameters
        ----------
        text:
            A JSON object; keys that are missing take their defaults.
        source:
            What to call the text in a message, normally its path.

        Raises
        ------
        UserError
            If it is not a JSON object of known settings with values of the right type and range.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise UserError(f"{source} is not valid JSON: {error}") from None
        if not isinstance(values, dict):
            raise UserError(f"{source}: expected a JSON object of settings, got {type(values).__name__}")
        return cls(**_settings(values, source))

    def hash(self) -> str:
        """Return the sha256 (hex) of all settings that a resumed run must share with the run it continues."""
        values = {name: value for name, value in self.to_dict().items() if name not in {*LOCATIONS, "epochs"}}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


FIELDS: Final = tuple(field.name for field in dataclasses.fields(TrainConfig))
_TYPES: Final[Mapping[str, Any]] = typing.get_type_hints(TrainConfig)


def flag(name: str) -> str:
    """Return the command-line spelling of a setting: `batch_size` is `--batch-size`."""
    return "--" + name.replace("_", "-")


def validate(config: TrainConfig) -> None:
    """Refuse settings out of range.

    Raises
    ------
    UserError
        With exit status 2; the message names the flag, what came and what was expected.
    """
    for name in FIELDS:
        problem = _problem(name, getattr(config, name))
        if problem:
            raise UserError(f"{flag(name)}: {problem}", USAGE_ERROR)
    if config.device != "cpu" and config.backend == "scratch":
        raise UserError(
            f"--device: {config.device!r} has no effect with --backend scratch, which computes with NumPy on the CPU; "
            "choose --backend torch or both, or leave --device out",
            USAGE_ERROR,
        )


def load_toml(path: Path, model: str) -> dict[str, Any]:
    """Read settings from a TOML file: the layer between the defaults and the flags.

    Parameters
    ----------
    path:
        A flat table of settings; names as flags (`batch-size`) or as fields (`batch_size`).
    model:
        The model of the command; the file may repeat it but not contradict it.

    Returns
    -------
    dict
        Field name to value, of the fields' types; only what the file gives.

    Raises
    ------
    UserError
        With exit status 2, if the file cannot be read, is not TOML, has an unknown key, or a value of a wrong type or
        range. The message names the file, the key and the known keys.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"--config: cannot read {path}: {error.strerror}", USAGE_ERROR) from None
    except UnicodeDecodeError as error:
        raise UserError(f"--config: {path} is not UTF-8 text: {error}", USAGE_ERROR) from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"--config: {path} is not valid TOML: {error}", USAGE_ERROR) from None
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name in values:
            raise UserError(f"{path}: {key!r} is given twice, as {name!r} and {flag(name)[2:]!r}", USAGE_ERROR)
        values[name] = value
    settings = _settings(values, str(path))
    if settings.get("model", model) != model:
        raise UserError(f"{path}: model {settings['model']!r} contradicts the command `train {model}`", USAGE_ERROR)
    return settings


def difference(old: TrainConfig, new: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Compare two configurations, as resuming does.

    Returns
    -------
    dict
        Field name to (old, new) for every setting that differs, `LOCATIONS` excepted.
    """
    pairs = {name: (getattr(old, name), getattr(new, name)) for name in FIELDS if name not in LOCATIONS}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _problem(name: str, value: Any) -> str | None:
    """Say what is wrong with the type or the range of one setting, if anything is."""
    annotation = _TYPES[name]
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    got = f"got {value!r}"
    if typing.get_origin(annotation) is Literal:
        choices = typing.get_args(annotation)
        if value not in choices:
            return f"expected one of {', '.join(choices)}; {got}{close_matches(str(value), choices)}"
    elif annotation is int:
        least = 0 if name in ("seed", "threads") else 1
        if not is_whole:
            return f"expected a whole number, {got}"
        if name == "threads" and not 0 <= value <= MOST_THREADS:
            return f"expected a whole number from 0 (as it is) to {MOST_THREADS}, {got}"
        if not least <= value < 2**63:
            return f"expected a whole number of at least {least}{' and below 2^63' * (value > least)}, {got}"
    elif annotation is float:
        if not (is_whole or isinstance(value, float)):
            return f"expected a number, {got}"
        if name == "lr" and not (math.isfinite(value) and value > 0):
            return f"expected a finite number greater than 0, {got}"
        if name == "momentum" and not 0 <= value < 1:
            return f"expected a number from 0 to below 1, {got}"
        if name == "weight_decay" and not (math.isfinite(value) and value >= 0):
            return f"expected a finite number of at least 0, {got}"
    elif name == "hidden":
        if not isinstance(value, tuple) or not all(isinstance(size, int) and size is not True for size in value):
            return f"expected whole numbers, such as 300,100; {got}"
        if not value or min(value) < 1:
            return f"expected at least one layer and at least 1 unit in each, such as 300,100; {got}"
        if max(value) > MOST_UNITS:
            return f"expected at most {MOST_UNITS:,} units in a layer; {got}"
    elif name == "device":
        if not (isinstance(value, str) and re.fullmatch(r"cpu|cuda(:\d+)?", value)):
            return f"expected cpu, cuda or cuda:N; {got}{close_matches(str(value), ('cpu', 'cuda'))}"
    elif not (value is None or isinstance(value, Path)):
        return f"expected the path of a folder, {got}"
    return None


def _settings(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the values of a file in the types of the fields; refuse unknown keys, wrong types and ranges."""
    for name in values:
        if name not in FIELDS:
            raise UserError(
                f"{source}: unknown key {name!r}{close_matches(name, FIELDS)}\nknown keys: {', '.join(FIELDS)}",
                USAGE_ERROR,
            )
    settings = {name: _from_file(name, value) for name, value in values.items()}
    for name, value in settings.items():
        problem = _problem(name, value)
        if problem:
            raise UserError(f"{source}: {name}: {problem}", USAGE_ERROR)
    return settings


def _from_file(name: str, value: Any) -> Any:
    """Turn what TOML and JSON cannot say into the field's type, guessing nothing: `"64"` stays a string."""
    if name == "hidden" and isinstance(value, str):
        try:
            return parse_hidden(value)
        except ValueError:
            return value
    if name == "hidden" and isinstance(value, list):
        return tuple(value)
    return Path(value) if name == "data_dir" and isinstance(value, str) else value


def _to_file(name: str, value: Any) -> Any:
    """Turn a field into JSON's types; whole numbers given for floats become floats: equal settings hash alike."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Path):
        return str(value)
    return float(value) if _TYPES[name] is float else value
