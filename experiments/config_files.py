"""Settings read back: from `config.json` of a run, and from a TOML file of the user's."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.config import CONFIGS, TrainConfig, field_types, flag, misplaced
from experiments.errors import USAGE_ERROR, UserError, close_matches
from experiments.flags import parse_hidden
from experiments.validation import find_problem


def from_json(text: str, source: str = "config.json") -> TrainConfig:
    """Read what `TrainConfig.to_json` wrote.

    Parameters
    ----------
    text:
        A JSON object; keys that are missing take their defaults, the model that of the first issue, mlp.
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
    model = values.get("model", "mlp")
    if not isinstance(model, str) or model not in CONFIGS:
        raise UserError(_unknown_model(source, model), USAGE_ERROR)
    return CONFIGS[model](**_settings(values, model, source))


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
    given = values.get("model", model)
    if not isinstance(given, str) or given not in CONFIGS:
        raise UserError(_unknown_model(str(path), given), USAGE_ERROR)
    if given != model:
        raise UserError(f"{path}: model {given!r} contradicts the command `train {model}`", USAGE_ERROR)
    return _settings(values, model, str(path))


def _unknown_model(source: str, model: Any) -> str:
    return f"{source}: model: expected one of {', '.join(CONFIGS)}; got {model!r}{close_matches(str(model), CONFIGS)}"


def _settings(values: Mapping[str, Any], model: str, source: str) -> dict[str, Any]:
    """Return the values of a file in the types of the fields; refuse unknown keys, wrong types and ranges."""
    known = field_types(CONFIGS[model])
    for name in values:
        elsewhere = misplaced(name, model)
        if elsewhere:
            raise UserError(f"{source}: {name} {elsewhere}", USAGE_ERROR)
        if name not in known:
            raise UserError(
                f"{source}: unknown key {name!r}{close_matches(name, known)}\nknown keys: {', '.join(known)}",
                USAGE_ERROR,
            )
    settings = {name: _from_file(name, value) for name, value in values.items()}
    for name, value in settings.items():
        problem = find_problem(name, value, known[name])
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
