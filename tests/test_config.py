"""The settings of a run: defaults, ranges, files, round trips, differences."""

import dataclasses
import typing
from pathlib import Path

import pytest

from experiments import config as config_module
from experiments.config import FIELDS, DatasetName, TrainConfig, difference, load_toml
from experiments.errors import UserError

CHANGED: dict[str, typing.Any] = {
    "model": "mlp",
    "dataset": "kmnist",
    "backend": "torch",
    "hidden": (30, 20, 10),
    "activation": "lecun-tanh",
    "loss": "squared-error",
    "dtype": "float64",
    "batch_size": 1,
    "lr": 0.1,
    "momentum": 0.0,
    "weight_decay": 1e-4,
    "epochs": 3,
    "seed": 7,
    "device": "cuda:1",
    "data_dir": Path("some/where"),
    "log_every": 5,
    "checkpoint_every": 6,
    "threads": 2,
}


def test_the_table_of_changed_values_has_every_field() -> None:
    assert tuple(CHANGED) == FIELDS


@pytest.mark.parametrize("config", [TrainConfig(), TrainConfig(**CHANGED)], ids=["defaults", "all changed"])
def test_json_round_trip_keeps_every_field_and_type(config: TrainConfig) -> None:
    again = TrainConfig.from_json(config.to_json())
    assert again == config
    for name in FIELDS:
        assert type(getattr(again, name)) is type(getattr(config, name)), name


def test_json_with_a_setting_of_a_later_version_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"old/config\.json: unknown key 'lr_decay'"):
        TrainConfig.from_json('{"lr_decay": 1}', "old/config.json")


@pytest.mark.parametrize("text", ["", "{", "[1]", "7"])
def test_json_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"config\.json"):
        TrainConfig.from_json(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("lr", 0),
        ("lr", -0.1),
        ("lr", "fast"),
        ("lr", True),
        ("momentum", 1.0),
        ("momentum", -0.1),
        ("momentum", float("nan")),
        ("weight_decay", -1e-9),
        ("weight_decay", float("nan")),
        ("weight_decay", float("inf")),
        ("batch_size", 0),
        ("batch_size", -1),
        ("batch_size", 1.5),
        ("batch_size", 2**63),
        ("epochs", 0),
        ("seed", -1),
        ("log_every", 0),
        ("checkpoint_every", 0),
        ("threads", -1),
        ("threads", 1025),
        ("hidden", (1_000_001,)),
        ("hidden", ()),
        ("hidden", (300, 0)),
        ("hidden", (300, -1)),
        ("hidden", (1.5,)),
        ("hidden", (True,)),
        ("hidden", [300]),
        ("hidden", 300),
        ("activation", "sigmoid"),
        ("dataset", "mnst"),
        ("dtype", "float16"),
        ("device", "gpu"),
        ("device", "cuda:x"),
        ("device", 0),
        ("data_dir", "a string"),
    ],
)
def test_out_of_range_is_a_usage_error_naming_flag_and_value(name: str, value: typing.Any) -> None:
    with pytest.raises(UserError) as refusal:
        TrainConfig(**{name: value})
    assert refusal.value.exit_code == 2
    message = str(refusal.value)
    assert message.startswith(f"--{name.replace('_', '-')}: expected")
    assert repr(value) in message


@pytest.mark.parametrize(
    "settings",
    [{"momentum": 0}, {"seed": 0}, {"lr": 1}, {"weight_decay": 0}, {"threads": 0}, {"hidden": (1,)}, {"batch_size": 1}],
)
def test_the_edges_of_the_ranges_are_allowed(settings: dict[str, typing.Any]) -> None:
    config = TrainConfig(**settings)
    assert {name: getattr(config, name) for name in settings} == settings


def test_a_device_for_a_backend_without_one_is_refused() -> None:
    with pytest.raises(UserError, match=r"--device: 'cuda' has no effect with --backend scratch"):
        TrainConfig(backend="scratch", device="cuda")


def test_equal_settings_hash_alike_and_epochs_and_place_do_not_count() -> None:
    base = TrainConfig(lr=1.0)
    assert TrainConfig(lr=1, epochs=99, data_dir=Path("elsewhere")).hash() == base.hash()
    for name, value in CHANGED.items():
        if name not in ("model", "epochs", "data_dir"):
            assert dataclasses.replace(base, **{name: value, "backend": "torch"}).hash() != base.hash(), name


def test_difference_lists_each_changed_setting_with_both_values() -> None:
    old, new = TrainConfig(), TrainConfig(**CHANGED)
    expected = {
        name: (getattr(old, name), value) for name, value in CHANGED.items() if name not in ("model", "data_dir")
    }
    assert difference(old, new) == expected
    assert difference(new, new) == {}


def test_toml_gives_typed_values_of_what_it_names_only(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('model = "mlp"\nhidden = [30, 20]\nbatch-size = 8\nlr = 1\ndata-dir = "d"\n')
    expected = {"model": "mlp", "hidden": (30, 20), "batch_size": 8, "lr": 1, "data_dir": Path("d")}
    assert load_toml(file, "mlp") == expected
    file.write_text('hidden = "30,20"\n')
    assert load_toml(file, "mlp") == {"hidden": (30, 20)}


def test_dataset_names_are_those_of_the_data_code() -> None:
    from experiments.data import DATASETS

    assert typing.get_args(DatasetName) == DATASETS


def test_every_field_has_help_text() -> None:
    source = Path(config_module.__file__).read_text()
    body = source[source.index("class TrainConfig") : source.index("def __post_init__")]
    for name in FIELDS:
        after = body[body.index(f"    {name}: ") :].split("\n", 2)[1]
        assert after.strip().startswith('"""'), name
