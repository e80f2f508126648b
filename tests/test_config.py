"""The settings of a run: defaults, ranges, files, round trips, differences."""

import dataclasses
import inspect
import typing
from pathlib import Path

import pytest

from experiments.config import CONFIGS, LATER, DatasetName, LeNet5Config, MlpConfig, difference, field_types
from experiments.config_files import from_json, load_toml
from experiments.errors import UserError

CHANGED: dict[str, typing.Any] = {
    "model": "mlp",
    "dataset": "kmnist",
    "backend": "torch",
    "activation": "logistic",
    "loss": "squared-error",
    "dtype": "float64",
    "batch_size": 1,
    "lr": 0.1,
    "schedule": "cosine",
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
OWN: dict[str, dict[str, typing.Any]] = {
    "mlp": {"hidden": (30, 20, 10), "dropout": 0.5},
    "lenet5": {"pooling": "max", "c3": "dense"},
}


def changed(model: str) -> dict[str, typing.Any]:
    """Return a value for each setting of a model that is not the default, its name excepted."""
    return {**CHANGED, **OWN[model], "model": model}


@pytest.mark.parametrize("model", CONFIGS)
def test_the_table_of_changed_values_has_every_field(model: str) -> None:
    assert tuple(changed(model)) == tuple(field_types(CONFIGS[model]))


@pytest.mark.parametrize("model", CONFIGS)
def test_json_round_trip_keeps_every_field_and_type(model: str) -> None:
    for config in (CONFIGS[model](), CONFIGS[model](**changed(model))):
        again = from_json(config.to_json())
        assert again == config
        assert type(again) is CONFIGS[model]
        for name in field_types(CONFIGS[model]):
            assert type(getattr(again, name)) is type(getattr(config, name)), name


def test_the_defaults_of_the_two_networks_are_those_of_the_lecture_and_of_the_paper() -> None:
    assert MlpConfig().activation == "tanh"
    lenet5 = LeNet5Config()
    assert (lenet5.activation, lenet5.pooling, lenet5.c3) == ("lecun-tanh", "subsample", "table")


def test_json_of_before_there_were_models_and_schedules_is_a_perceptrons() -> None:
    assert from_json('{"hidden": [30], "lr": 0.1}') == MlpConfig(hidden=(30,), lr=0.1, schedule="constant")


def test_json_with_a_setting_of_a_later_version_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"old/config\.json: unknown key 'lr_decay'"):
        from_json('{"lr_decay": 1}', "old/config.json")


def test_json_with_a_setting_of_the_other_network_is_refused() -> None:
    with pytest.raises(UserError, match=r"config\.json: hidden is a setting of mlp, not of lenet5$"):
        from_json('{"model": "lenet5", "hidden": [3]}')


@pytest.mark.parametrize("model", ['"lenet"', "3", "[]", "{}", "null"])
def test_json_of_an_unknown_network_is_refused(model: str) -> None:
    with pytest.raises(UserError, match=r"config\.json: model: expected one of mlp, lenet5; got"):
        from_json(f'{{"model": {model}}}')


@pytest.mark.parametrize("text", ["", "{", "[1]", "7"])
def test_json_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"config\.json"):
        from_json(text)


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
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("dropout", float("nan")),
        ("dropout", "half"),
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
        ("schedule", "linear"),
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
        MlpConfig(**{name: value})
    assert refusal.value.exit_code == 2
    message = str(refusal.value)
    assert message.startswith(f"--{name.replace('_', '-')}: expected")
    assert repr(value) in message


@pytest.mark.parametrize(
    "settings",
    [
        {"momentum": 0},
        {"dropout": 0},
        {"seed": 0},
        {"lr": 1},
        {"weight_decay": 0},
        {"threads": 0},
        {"hidden": (1,)},
        {"batch_size": 1},
    ],
)
def test_the_edges_of_the_ranges_are_allowed(settings: dict[str, typing.Any]) -> None:
    config = MlpConfig(**settings)
    assert {name: getattr(config, name) for name in settings} == settings


def test_a_device_for_a_backend_without_one_is_refused() -> None:
    with pytest.raises(UserError, match=r"--device: 'cuda' has no effect with --backend scratch"):
        MlpConfig(backend="scratch", device="cuda")


@pytest.mark.parametrize("model", CONFIGS)
def test_equal_settings_hash_alike_and_epochs_and_place_do_not_count(model: str) -> None:
    kind = CONFIGS[model]
    base = kind(lr=1.0)
    assert kind(lr=1, epochs=99, data_dir=Path("elsewhere")).hash() == base.hash()
    for name, value in changed(model).items():
        if name not in ("model", "epochs", "data_dir"):
            assert dataclasses.replace(base, **{name: value, "backend": "torch"}).hash() != base.hash(), name


def test_runs_of_before_a_setting_existed_keep_their_hash() -> None:
    # Written down when there was neither a schedule nor dropout: checkpoints of that time have it.
    first = "986656f9a0e50a8feee1286e12386aefb3a23e71cdfba8ae81abe02a8912f15a"
    assert MlpConfig().hash() == MlpConfig(dropout=0, schedule="constant").hash() == first
    assert LATER == {"schedule": "constant", "dropout": 0.0}
    for name, default in LATER.items():
        assert getattr(MlpConfig(), name) == default, name
    assert from_json('{"hidden": [300, 100], "epochs": 2}').hash() == first
    assert len({MlpConfig(**settings).hash() for settings in ({}, {"dropout": 0.5}, {"schedule": "cosine"})}) == 3


def test_the_networks_hash_apart() -> None:
    assert MlpConfig().hash() != LeNet5Config().hash()


def test_with_a_schedule_that_spans_the_run_the_epochs_count_too() -> None:
    base = MlpConfig(schedule="cosine")
    assert not base.may_grow
    assert MlpConfig().may_grow
    assert dataclasses.replace(base, epochs=99).hash() != base.hash()
    assert dataclasses.replace(base, data_dir=Path("elsewhere")).hash() == base.hash()


@pytest.mark.parametrize("model", CONFIGS)
def test_difference_lists_each_changed_setting_with_both_values(model: str) -> None:
    old, new = CONFIGS[model](), CONFIGS[model](**changed(model))
    expected = {
        name: (getattr(old, name), value) for name, value in changed(model).items() if name not in ("model", "data_dir")
    }
    assert difference(old, new) == expected
    assert difference(new, new) == {}


def test_difference_of_two_networks_has_the_settings_that_one_of_them_lacks() -> None:
    found = difference(MlpConfig(), LeNet5Config())
    assert {name: found[name] for name in ("model", "hidden", "pooling")} == {
        "model": ("mlp", "lenet5"),
        "hidden": ((300, 100), None),
        "pooling": (None, "subsample"),
    }


def test_toml_gives_typed_values_of_what_it_names_only(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('model = "mlp"\nhidden = [30, 20]\nbatch-size = 8\nlr = 1\ndata-dir = "d"\n')
    expected = {"model": "mlp", "hidden": (30, 20), "batch_size": 8, "lr": 1, "data_dir": Path("d")}
    assert load_toml(file, "mlp") == expected
    file.write_text('hidden = "30,20"\n')
    assert load_toml(file, "mlp") == {"hidden": (30, 20)}
    file.write_text('pooling = "max"\nc3 = "dense"\nschedule = "cosine"\n')
    assert load_toml(file, "lenet5") == {"pooling": "max", "c3": "dense", "schedule": "cosine"}


def test_dataset_names_are_those_of_the_data_code() -> None:
    from experiments.data import DATASETS

    assert typing.get_args(DatasetName) == DATASETS


@pytest.mark.parametrize("model", CONFIGS)
def test_every_field_has_help_text(model: str) -> None:
    for kind in CONFIGS[model].__mro__[:2]:
        body = inspect.getsource(kind)
        for name in kind.__annotations__:
            after = body[body.index(f"    {name}: ") :].split("\n", 2)[1]
            assert after.strip().startswith('"""'), name
