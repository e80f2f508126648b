"""The command line as a user meets it: bad input is refused with a sentence and a status, help is at once."""

import errno
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments import invocation
from experiments.cli import main, parse_train
from experiments.commands import COMMANDS, MODELS, RunOptions, resume_command
from experiments.config import CONFIGS, MlpConfig
from experiments.errors import UserError
from tests.processes import Commands

PROJECT = Path(__file__).parent.parent
QUICK = "--dataset digits --backend scratch --hidden 4 --epochs 1"


# `{tmp}` has these files; each name says what is wrong with it.
FILES = {
    "unknown-key.toml": "learning_rate = 0.1\n",
    "near-key.toml": "epoch = 3\n",
    "string-for-number.toml": 'batch_size = "64"\n',
    "float-for-whole.toml": "epochs = 1.5\n",
    "true-for-number.toml": "lr = true\n",
    "number-for-string.toml": "activation = 3\n",
    "bad-hidden.toml": "hidden = [300, 1.5]\n",
    "bad-choice.toml": 'activation = "tnh"\n',
    "out-of-range.toml": "lr = nan\n",
    "twice-given.toml": "batch-size = 1\nbatch_size = 2\n",
    "other-model.toml": 'model = "lenet5"\n',
    "unknown-model.toml": 'model = "lenet"\n',
    "other-models-key.toml": 'pooling = "max"\n',
    "run-option.toml": "resume = true\n",
    "no-toml.toml": "lr 0.1\n",
    "a-file": "",
    "empty-folder/.keep": "",
    "runs/mlp-digits-s0/scratch/config.json": "{}",
    "runs/mlp-mnist-s3/scratch/config.json": "{}",
}

TRAIN = "train mlp"
#: command, exit status, fragments of the message.
BAD_INPUT: list[tuple[str, int, list[str]]] = [
    ("", 2, ["usage: twice COMMAND", "train MODEL", "doctor"]),
    ("trian mlp", 2, ["unknown command 'trian'", "did you mean 'train'?", "commands: train, eval, show, tb"]),
    ("--verbose", 2, ["got '--verbose' where the command is expected"]),
    ("train", 2, ["usage: twice train MODEL", "mlp"]),
    ("train mpl", 2, ["unknown model 'mpl'", "did you mean 'mlp'?", "models: mlp, lenet5"]),
    ("train --epochs 3 mlp", 2, ["got '--epochs' where the model is expected", "twice train MODEL [flags]"]),
    (f"{TRAIN} --batch-sise 3", 2, ["Unrecognized options", "--batch-sise", "Perhaps you meant", "--batch-size N"]),
    (f"{TRAIN} extra", 2, ["Unrecognized options", "extra"]),
    (f"{TRAIN} --lr", 2, ["Missing value for argument '--lr'"]),
    (f"{TRAIN} --lr nan", 2, ["--lr: expected a finite number greater than 0, got nan"]),
    (f"{TRAIN} --lr inf", 2, ["--lr: expected a finite number", "got inf"]),
    (f"{TRAIN} --lr 0", 2, ["--lr: expected a finite number greater than 0, got 0.0"]),
    (f"{TRAIN} --lr -0.1", 2, ["--lr: expected", "got -0.1"]),
    (f"{TRAIN} --lr fast", 2, ["--lr", "expected a number, got 'fast'"]),
    (f"{TRAIN} --batch-size 0", 2, ["--batch-size: expected a whole number of at least 1", "got 0"]),
    (f"{TRAIN} --batch-size -8", 2, ["--batch-size: expected", "got -8"]),
    (f"{TRAIN} --batch-size 1.5", 2, ["--batch-size", "expected a whole number, got '1.5'"]),
    (f"{TRAIN} --momentum 1", 2, ["--momentum: expected a number from 0 to below 1, got 1.0"]),
    (f"{TRAIN} --weight-decay -1", 2, ["--weight-decay: expected a finite number of at least 0, got -1.0"]),
    (f"{TRAIN} --epochs 0", 2, ["--epochs: expected a whole number of at least 1, got 0"]),
    (f"{TRAIN} --seed -1", 2, ["--seed: expected a whole number of at least 0, got -1"]),
    (f"{TRAIN} --log-every 0", 2, ["--log-every: expected", "got 0"]),
    (f"{TRAIN} --threads -2", 2, ["--threads: expected", "got -2"]),
    (f"{TRAIN} --threads 1025", 2, ["--threads: expected a whole number from 0", "to 1024, got 1025"]),
    (f"{TRAIN} --hidden 99999999999999999999", 2, ["--hidden: expected at most 1,000,000 units in a layer"]),
    (f"{TRAIN} --hidden 300,x", 2, ["--hidden", "separated by commas", "got '300,x'"]),
    (f"{TRAIN} --hidden 0", 2, ["--hidden: expected at least one layer and at least 1 unit in each"]),
    (f"{TRAIN} --hidden 300 100", 2, ["Unrecognized options", "100"]),
    (f"{TRAIN} --dataset fashion", 2, ["--dataset", "got 'fashion'", "did you mean 'fashion-mnist'?"]),
    (f"{TRAIN} --activation tahn", 2, ["--activation", "did you mean 'tanh'?"]),
    (f"{TRAIN} --dtype float16", 2, ["--dtype", "expected one of float32, float64", "got 'float16'"]),
    (f"{TRAIN} --device gpu", 2, ["--device: expected cpu, cuda or cuda:N", "got 'gpu'"]),
    (f"{TRAIN} --device cuda --backend scratch", 2, ["--device: 'cuda' has no effect with --backend scratch"]),
    (f"{TRAIN} --resume --overwrite", 2, ["--resume", "--overwrite", "give one"]),
    (f"{TRAIN} --config {{tmp}}/none.toml", 2, ["--config: cannot read", "none.toml", "No such file"]),
    (f"{TRAIN} --config {{tmp}}", 2, ["--config: cannot read", "Is a directory"]),
    (f"{TRAIN} --config {{tmp}}/no-toml.toml", 2, ["no-toml.toml is not valid TOML", "line 1"]),
    (f"{TRAIN} --config {{tmp}}/binary.toml", 2, ["binary.toml is not UTF-8 text"]),
    (
        f"{TRAIN} --config {{tmp}}/unknown-key.toml",
        2,
        ["unknown-key.toml: unknown key 'learning_rate'", "known keys: "],
    ),
    (f"{TRAIN} --config {{tmp}}/near-key.toml", 2, ["unknown key 'epoch'", "did you mean 'epochs'?"]),
    (f"{TRAIN} --config {{tmp}}/run-option.toml", 2, ["run-option.toml: unknown key 'resume'", "known keys: "]),
    (f"{TRAIN} --config {{tmp}}/string-for-number.toml", 2, ["batch_size: expected a whole number, got '64'"]),
    (f"{TRAIN} --config {{tmp}}/float-for-whole.toml", 2, ["epochs: expected a whole number, got 1.5"]),
    (f"{TRAIN} --config {{tmp}}/true-for-number.toml", 2, ["lr: expected a number, got True"]),
    (f"{TRAIN} --config {{tmp}}/number-for-string.toml", 2, ["activation: expected one of tanh", "got 3"]),
    (f"{TRAIN} --config {{tmp}}/bad-hidden.toml", 2, ["hidden: expected whole numbers"]),
    (f"{TRAIN} --config {{tmp}}/bad-choice.toml", 2, ["bad-choice.toml: activation", "did you mean 'tanh'?"]),
    (f"{TRAIN} --config {{tmp}}/out-of-range.toml", 2, ["out-of-range.toml: lr: expected a finite number"]),
    (f"{TRAIN} --config {{tmp}}/twice-given.toml", 2, ["given twice", "batch_size", "batch-size"]),
    (f"{TRAIN} --config {{tmp}}/other-model.toml", 2, ["model 'lenet5' contradicts the command `train mlp`"]),
    (
        f"{TRAIN} --config {{tmp}}/unknown-model.toml",
        2,
        ["unknown-model.toml: model: expected one of mlp, lenet5; got 'lenet'", "did you mean 'lenet5'?"],
    ),
    (
        f"{TRAIN} --config {{tmp}}/other-models-key.toml",
        2,
        ["other-models-key.toml: pooling is a setting of lenet5, not of mlp"],
    ),
    (f"{TRAIN} --schedule cos", 2, ["--schedule", "got 'cos'", "did you mean 'cosine'?"]),
    (f"{TRAIN} --pooling max", 2, ["error: --pooling is a setting of lenet5, not of mlp"]),
    ("train lenet", 2, ["unknown model 'lenet'", "did you mean 'lenet5'?"]),
    ("train lenet5 --hidden 300", 2, ["error: --hidden is a setting of mlp, not of lenet5"]),
    ("train lenet5 --dropout=.5 --epochs 1", 2, ["error: --dropout is a setting of mlp, not of lenet5"]),
    ("train lenet5 --poling max", 2, ["Unrecognized options", "Perhaps you meant", "--pooling"]),
    ("train lenet5 --pooling mean", 2, ["--pooling", "expected one of subsample, average, max; got 'mean'"]),
    ("train lenet5 --c3 tabel", 2, ["--c3", "did you mean 'table'?"]),
    ("eval", 2, ["Missing from twice eval", "RUN"]),
    ("eval mlp-digits-s1 --runs-dir {tmp}/runs", 2, ["no run 'mlp-digits-s1'", "did you mean 'mlp-digits-s0'?"]),
    ("show mlp-mnist --runs-dir {tmp}/runs", 2, ["did you mean 'mlp-mnist-s3'?", "mlp-digits-s0, mlp-mnist-s3"]),
    ("show x --runs-dir {tmp}/nowhere", 2, ["no run 'x'", "there are no runs in", "nowhere"]),
    ("show {tmp}/empty-folder", 1, ["empty-folder is not a run"]),
    ("eval {tmp}/empty-folder", 1, ["empty-folder is not a run"]),
    ("tb {tmp}/nowhere", 1, ["no folder", "nowhere"]),
    ("tb {tmp}/empty-folder", 1, ["no event files in", "empty-folder", invocation.command("train", "mlp")]),
    ("tb {tmp}/a-file", 1, ["a-file is a file"]),
    ("tb {tmp}/events --port 70000", 2, ["--port: expected a number from 1 to 65535, got 70000"]),
    ("tb {tmp}/events --port http", 2, ["--port", "expected a whole number, got 'http'"]),
    ("data --dataset minst", 2, ["--dataset", "did you mean 'mnist'?"]),
    ("data --dataset digits --from x", 2, ["--from x", "scikit-learn"]),
    ("data --dataset mnist --from {tmp}/nowhere --data-dir {tmp}/data", 1, ["--from", "nowhere", "no such file"]),
    ("data --dataset mnist --from {tmp}/empty-folder --data-dir {tmp}/data", 1, ["empty-folder", "train-images"]),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, text in {**FILES, "events/events.out.tfevents.1": ""}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "status", "fragments"), BAD_INPUT, ids=[case[0] or "(nothing)" for case in BAD_INPUT]
)
def test_bad_input_is_refused_with_a_sentence(
    command: str, status: int, fragments: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.replace("{tmp}", str(place)) for word in command.split()]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    said = " ".join(err.replace("│", " ").split())  # tyro breaks lines within its frames
    for fragment in fragments:
        assert fragment in said


def test_the_table_is_as_large_as_promised() -> None:
    assert len(BAD_INPUT) >= 25


@pytest.mark.parametrize(
    "command", [["--help"], ["train", "mlp", "--help"], ["train", "mlp", "--lr", "nan"], ["--version"]]
)
def test_help_and_refusals_import_nothing_heavy(command: list[str]) -> None:
    script = (
        "import sys; from experiments.cli import main; main(sys.argv[1:]);"
        "heavy = {'torch', 'torchvision', 'numpy', 'sklearn', 'scipy', 'matplotlib', 'tensorboard', 'rich', 'pooch'};"
        "sys.exit(f'imported: {sorted(heavy & set(sys.modules))}' if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, check=False, cwd=PROJECT, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", MODELS)
def test_help_promises_what_happens(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", name, "--help"]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "compared every --log-every updates" in said
    assert ("dropped" in said) == (name == "mlp"), "only the perceptron has dropout"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert f"  {name}" in capsys.readouterr().out
    assert main([name, "--help"]) == 0
    assert f"usage: twice {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_help_with_every_setting(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    assert f"  {name} " in capsys.readouterr().out
    assert main(["train", name, "--help"]) == 0
    out = capsys.readouterr().out
    for field in CONFIGS[name]().to_dict():
        assert (f"--{field.replace('_', '-')} " in out) is (field != "model"), field
    for option in ("--config FILE", "--resume", "--overwrite", "--runs-dir DIR", "--json"):
        assert option in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "twice 0.1.0\n"


def test_flags_override_the_file_which_overrides_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("lr = 0.5\nepochs = 7\nhidden = [8]\n")
    settings = parse_train("mlp", ["--config", str(file), "--epochs", "9"]).settings
    assert settings == MlpConfig(lr=0.5, epochs=9, hidden=(8,))
    back_to_default = parse_train("mlp", [f"--config={file}", "--lr", "0.05"]).settings
    assert back_to_default == MlpConfig(epochs=7, hidden=(8,))


def test_the_resume_command_parses_to_the_same_settings() -> None:
    settings = MlpConfig(dataset="kmnist", hidden=(30, 20), lr=1e-3, seed=4, data_dir=Path("a b"))
    words = shlex.split(resume_command(settings, RunOptions(runs_dir=Path("my runs"))))
    begin = shlex.split(invocation.command("train", "mlp"))
    assert words[: len(begin)] == begin
    parsed = parse_train("mlp", words[len(begin) :])
    assert parsed.settings == settings
    assert parsed.options == RunOptions(runs_dir=Path("my runs"), resume=True)
    assert resume_command(MlpConfig(), RunOptions()) == invocation.command("train", "mlp", "--resume")


def _raise(error: BaseException) -> Callable[..., Any]:
    def train(*_: Any, **__: Any) -> Any:
        raise error

    return train


@pytest.mark.parametrize(
    ("error", "status", "fragments"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/x/last.npz"), 1, ["runs/x/last.npz", "no room left"]),
        (OSError(errno.ENOSPC, "No space left on device"), 1, ["no room left", "continue with --resume"]),
        (PermissionError(errno.EACCES, "Permission denied", "/runs"), 1, ["/runs: not allowed", "Permission denied"]),
        (OSError(errno.EROFS, "Read-only file system", "/runs"), 1, ["/runs: not allowed", "Read-only"]),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"), 1, ["a/b: Not a directory"]),
        (MemoryError("Unable to allocate 3 TiB"), 1, ["not enough memory: Unable to allocate 3 TiB"]),
        (KeyboardInterrupt(), 130, ["interrupted"]),
        (UserError("said so", 7), 7, ["error: said so"]),
    ],
)
def test_what_the_system_refuses_becomes_a_sentence(
    error: BaseException,
    status: int,
    fragments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("experiments.training.train", _raise(error))
    assert main(["train", "mlp"]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    for fragment in fragments:
        assert fragment in err


def test_only_training_is_advised_to_resume(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("experiments.description.describe", _raise(OSError(errno.ENOSPC, "No space left on device")))
    assert main(["show", str(place / "runs" / "mlp-digits-s0")]) == 1
    err = capsys.readouterr().err
    assert "no room left" in err
    assert "--resume" not in err


@pytest.mark.parametrize(
    ("error", "status"), [(UserError("said so", 7), 7), (OSError(errno.EROFS, "Read-only file system", "/runs"), 1)]
)
def test_a_failure_is_an_object_too_where_one_is_waited_for(
    error: Exception, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("experiments.training.train", _raise(error))
    assert main(["train", "mlp", "--json"]) == status
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert set(said) == {"error", "exit_code"}
    assert said["exit_code"] == status
    assert err == f"error: {said['error']}\n"


@pytest.mark.parametrize("command", ["train mlp --json --bogus 3", "show --json"])
def test_a_usage_error_is_an_object_too(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": "the command line was not understood; stderr says why", "exit_code": 2}
    assert err


@pytest.mark.parametrize("error", [ValueError("bug"), OSError("raised by code, not by the system")])
def test_a_bug_is_not_hidden(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.training.train", _raise(error))
    with pytest.raises(type(error), match=str(error)):
        main(["train", "mlp"])


def test_a_reader_that_leaves_early_causes_no_complaint() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m experiments train mlp --help | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")  # 0 if the pipe took everything before its reader had left


# With the training code


@pytest.fixture(scope="module")
def run_twice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with Commands(tmp_path_factory.mktemp("said")) as commands:
        yield commands


def test_training_outlives_its_reader_and_what_only_shows_does_not(run_twice: Commands, tmp_path: Path) -> None:
    done = run_twice("train", "mlp", *QUICK.split(), "--runs-dir", str(tmp_path), broken=True)
    assert (done.returncode, done.stderr) == (0, "")
    run = tmp_path / "mlp-digits-s0"
    assert '"kind": "summary"' in (run / "scratch" / "metrics.jsonl").read_text()
    for command in ("show", "eval"):
        done = run_twice(command, str(run), broken=True)
        assert (done.returncode, done.stderr) == (141, ""), command


def test_training_ends_with_a_table_and_the_next_command(run_twice: Commands, tmp_path: Path) -> None:
    done = run_twice("train", "mlp", *QUICK.split(), "--runs-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "epoch 1/1" in done.stdout
    assert "test error" in done.stdout
    assert f"python -m experiments tb {tmp_path}/mlp-digits-s0" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_json_is_the_only_thing_on_stdout(run_twice: Commands, tmp_path: Path) -> None:
    done = run_twice("train", "mlp", *QUICK.split(), "--backend", "both", "--json", "--runs-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert set(summary["backends"]) == {"scratch", "torch"}
    assert summary["parity"]["passed"] is True
    assert summary["exit_code"] == 0
    assert "epoch 1/1" in done.stderr


def test_a_finished_run_can_be_shown_and_measured_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "mlp", *QUICK.split(), "--runs-dir", str(tmp_path), "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)["backends"]["scratch"]
    where = ["mlp-digits-s0", "--runs-dir", str(tmp_path)]
    assert main(["show", *where, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["finished"] is True
    assert shown["backends"]["scratch"] == trained
    assert main(["eval", *where, "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)["evaluations"]
    assert measured[0]["test_error"] == trained["test_error"]
    for command in ("show", "eval"):
        assert main([command, str(tmp_path / "mlp-digits-s0")]) == 0
        assert "test error" in capsys.readouterr().out
        assert main([command, *where, "--data-dri", "x"]) == 2
        capsys.readouterr()


def test_an_existing_run_is_refused_and_the_ways_on_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "mlp", *QUICK.split(), "--runs-dir", str(tmp_path)]
    (tmp_path / "mlp-digits-s0" / "scratch").mkdir(parents=True)
    (tmp_path / "mlp-digits-s0" / "scratch" / "config.json").write_text(MlpConfig().to_json())
    assert main(words) == 1
    err = capsys.readouterr().err
    assert "exists" in err
    assert "--resume" in err
    assert "--overwrite" in err
    assert main([*words, "--resume"]) == 1
    err = capsys.readouterr().err
    assert "--hidden" in err
    assert "(300, 100) -> (4,)" in err


@pytest.mark.parametrize(
    ("flags", "status", "fragments"),
    [
        ("--resume --runs-dir {tmp}/empty", 1, ["there is no run", "mlp-digits-s0"]),
        ("--runs-dir {tmp}/a-file/below", 1, ["a-file", "Not a directory"]),
        ("--runs-dir /proc/nowhere", 1, ["/proc/nowhere"]),
        (
            "--dataset mnist --data-dir {tmp}/no-data",
            1,
            ["MNIST", "not found", "no-data", "data --dataset mnist --data-dir"],
        ),
        ("--device cuda --backend torch", 2, ["--device", "cuda"]),
    ],
)
def test_what_training_refuses(
    flags: str,
    status: int,
    fragments: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "a-file").write_text("")
    words = [word.replace("{tmp}", str(tmp_path)) for word in flags.split()]
    runs = [] if "--runs-dir" in words else ["--runs-dir", str(tmp_path / "runs")]
    quick = ["--hidden", "4", "--epochs", "1"]
    assert main(["train", "mlp", *quick, *words, *runs]) == status
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert err.startswith("error: ")
    for fragment in fragments:
        assert fragment in err, err
    assert out == ""


def test_a_full_disk_ends_with_a_sentence_and_names_the_file(run_twice: Commands, tmp_path: Path) -> None:
    command = ["train", "mlp", *QUICK.split(), "--hidden", "300", "--runs-dir", str(tmp_path)]
    done = run_twice(*command, file_size=100_000)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr
    assert str(tmp_path) in done.stderr
