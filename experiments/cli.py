"""The command `twice`: finds the command's dataclass, lets tyro parse its flags, and turns every end into a status.

0 success, 1 failure or parity FAIL, 2 usage error, 128 + n ended by signal n. A refusal is one sentence on stderr. A
traceback appears only for what no user can have caused: it is a bug, and its place is what a maintainer needs.
"""

import dataclasses
import errno
import functools
import importlib.metadata
import json
import os
import signal
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import tyro

from experiments.commands import COMMANDS, MODELS, Train
from experiments.config import flag, misplaced
from experiments.config_files import load_toml
from experiments.errors import USAGE_ERROR, UserError, close_matches

DESCRIPTION: Final = "The neural networks of one lecture, built twice: by hand in NumPy, and in torch.nn."
EXAMPLES: Final = """\
examples
  twice train mlp                                           learns the digits that come with scikit-learn
  twice train lenet5 --dataset mnist --epochs 3 --seed 1
  twice tb                                                  shows all runs in TensorBoard
"""
HELP_FLAGS: Final = ("-h", "--help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv:
        Words after `twice`; those of the process if None.

    Returns
    -------
    int
        Exit status.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not all stand-ins have it; a bar of "?" is better than no training
            stream.reconfigure(errors="replace")
    refuse = functools.partial(_refuse, as_json="--json" in words)
    try:
        status = _dispatch(words)
        sys.stdout.flush()
    except SystemExit as end:  # tyro's, after it has printed help or a usage error
        status = end.code if isinstance(end.code, int) else USAGE_ERROR
        if status and "--json" in words:
            print(json.dumps({"error": "the command line was not understood; stderr says why", "exit_code": status}))
    except UserError as refusal:
        status = refuse(str(refusal), refusal.exit_code)
    except KeyboardInterrupt:
        status = refuse("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:
        # The reader has left, as `head` does. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 128 + signal.SIGPIPE
    except MemoryError as error:
        status = refuse(f"not enough memory{f': {error}' * bool(str(error))}", 1)
    except OSError as error:
        if error.errno is None:  # raised by code, not by the system
            raise
        status = refuse(_explained(error, training=words[:1] == ["train"]), 1)
    return status


def parse(model_or_command: type[Any], words: Sequence[str], prog: str, default: Any = None) -> Any:
    """Let tyro turn words into a command; it answers `--help` and usage errors itself, by `SystemExit`."""
    keywords = {} if default is None else {"default": default}
    return tyro.cli(
        model_or_command,
        args=words,
        prog=prog,
        config=(tyro.conf.FlagCreatePairsOff,),  # --resume needs no --no-resume
        add_help=True,
        **keywords,
    )


def parse_train(model: str, words: Sequence[str]) -> Train:
    """Parse the flags of `twice train MODEL`: defaults, then the file of `--config`, then flags."""
    prog = f"twice train {model}"
    _check_settings(words, model)
    command: Train = parse(MODELS[model], words, prog)
    if command.options.config is None:
        return command
    default: Train = MODELS[model]()
    settings = dataclasses.replace(default.settings, **load_toml(command.options.config, model))
    with_file: Train = parse(MODELS[model], words, prog, dataclasses.replace(default, settings=settings))
    return with_file


def version() -> str:
    """Return the version of the distribution, or of the checkout that is run without being installed."""
    try:
        return importlib.metadata.version("twice-nn")
    except importlib.metadata.PackageNotFoundError:
        project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
        return str(project["project"]["version"])


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in HELP_FLAGS:
        return _show_help(_top_help(), asked=bool(words))
    first, rest = words[0], words[1:]
    if first == "--version":
        print(f"twice {version()}")
        return 0
    if first == "train":
        if not rest or rest[0] in HELP_FLAGS:
            return _show_help(_train_help(), asked=bool(rest))
        _check_known("model", rest[0], MODELS, "twice train MODEL [flags]")
        return parse_train(rest[0], rest[1:]).run()
    _check_known("command", first, ("train", *COMMANDS), "twice COMMAND [flags]")
    status: int = parse(COMMANDS[first], rest, f"twice {first}").run()
    return status


def _check_settings(words: Sequence[str], model: str) -> None:
    """Refuse flags of another network's settings; tyro would only say that it does not know them."""
    if any(asked in words for asked in HELP_FLAGS):
        return
    for given in words:
        name = given.partition("=")[0].removeprefix("--").replace("-", "_")
        elsewhere = misplaced(name, model) if given.startswith("--") else None
        if elsewhere:
            raise UserError(f"{flag(name)} {elsewhere}", USAGE_ERROR)


def _check_known(kind: str, name: str, known: Mapping[str, Any] | Sequence[str], usage: str) -> None:
    if name in known:
        return
    if name.startswith("-"):
        raise UserError(f"got {name!r} where the {kind} is expected: {usage}", USAGE_ERROR)
    raise UserError(f"unknown {kind} {name!r}{close_matches(name, known)}\n{kind}s: {', '.join(known)}", USAGE_ERROR)


def _top_help() -> str:
    rows = {"train MODEL": f"Train a network: {', '.join(MODELS)}."}
    rows |= {f"{name} {command.operands}".strip(): _first_line(command) for name, command in COMMANDS.items()}
    return (
        f"usage: twice COMMAND [flags]\n\n{DESCRIPTION}\n\n{_listed('commands', rows)}\n"
        f"{_listed('options', {'-h, --help': 'After a command: its flags.', '--version': 'Print the version.'})}\n"
        f"{EXAMPLES}"
    )


def _train_help() -> str:
    rows = {name: _first_line(command) for name, command in MODELS.items()}
    return (
        f"usage: twice train MODEL [flags]\n\n{_listed('models', rows)}\n`twice train MODEL --help` lists the flags.\n"
    )


def _listed(title: str, rows: Mapping[str, str]) -> str:
    width = max(14, *(len(name) + 2 for name in rows))
    return f"{title}\n" + "".join(f"  {name:<{width}}{text}\n" for name, text in rows.items())


def _first_line(command: type[Any]) -> str:
    return (command.__doc__ or "").splitlines()[0]


def _show_help(text: str, *, asked: bool) -> int:
    """Print help: to stdout if it was asked for, else to stderr as the answer to a usage error."""
    print(text, end="", file=sys.stdout if asked else sys.stderr)
    return 0 if asked else USAGE_ERROR


def _refuse(message: str, status: int, *, as_json: bool) -> int:
    """Say on stderr what went wrong; to a machine that waits for an object on stdout, there too."""
    print(f"error: {message}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": message, "exit_code": status}))
    return status


def _explained(error: OSError, *, training: bool) -> str:
    """Say in a sentence what the system refused, and for which path."""
    place = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"{place}no room left on the disk ({error.strerror}); free some{', then continue with --resume' * training}"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{place}not allowed ({error.strerror}); choose a folder that you may write to"
    return f"{place}{error.strerror}"
