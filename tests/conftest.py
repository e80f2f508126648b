"""What every test shares: the harness's seed, given on the command line and printed, and quiet thread pools."""

import gc
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch

# Tensors here are tiny; two thread pools fighting for two cores only slow each other down.
torch.set_num_threads(1)

DEFAULT_SEED = 20201219  # the date on the lecture's title page

# What these files test lies in `experiments`, or is the whole of the oracle at once. No line of `scratch` or `torchref`
# is run by them alone, and to trace what they run takes a quarter of their time.
UNTRACED = (
    "bench",
    "cli",
    "course",
    "documents",
    "dropout",
    "evaluation",
    "lecture",
    "lenet5",
    "parity",
    "parts",
    "peers",
    "resume",
    "schedule",
    "tensorboard",
    "training",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--harness-seed", type=int, default=DEFAULT_SEED, help="seed of the shared harness")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem.removeprefix("test_").startswith(UNTRACED):
            item.add_marker("no_cover")


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """End the threads that the oracle keeps: begun while nothing is traced, they would not be in the next test."""
    from torchref.oracle.subjects import worker

    def end() -> None:
        raise worker.Stopped

    if item.get_closest_marker("no_cover"):
        while worker._idle:
            worker._idle.pop().give(end)


def pytest_collection_finish() -> None:
    """What is there before the first test stays: it is not looked through whenever garbage is collected."""
    gc.collect()
    gc.freeze()


def pytest_report_header(config: pytest.Config) -> str:
    return f"harness seed: {config.getoption('--harness-seed')}"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of the shared harness."""
    return int(request.config.getoption("--harness-seed"))


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt here and in every Python that is started meanwhile.

    A shell starts its background jobs with SIGINT ignored. Python leaves that so, and its children inherit it.
    """
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """pytest's own, which forgets what was imported meanwhile; here only what lies in its folder.

    NumPy's modules in C refuse to be imported a second time, in whatever test comes next.
    """
    from _pytest.pytester import SysModulesSnapshot

    restore = SysModulesSnapshot.restore

    def restore_theirs(snapshot: Any) -> None:
        imported = dict(sys.modules)
        restore(snapshot)
        for name, module in imported.items():
            if not str(getattr(module, "__file__", "") or "").startswith(str(pytester.path)):
                sys.modules.setdefault(name, module)

    monkeypatch.setattr(SysModulesSnapshot, "restore", restore_theirs)
    return pytester


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the harness proved: the table of mutants with their killers, and the seeds without a false alarm."""
    reports = [r for outcome in ("passed", "failed") for r in terminalreporter.stats.get(outcome, [])]
    properties = [p for report in reports for p in getattr(report, "user_properties", [])]
    if killed := [value for name, value in properties if name == "mutant"]:
        terminalreporter.section(f"{len(killed)} mutants, {sum(bool(by) for _, by in killed)} killed")
        width = max(len(name) for name, _ in killed)
        for name, by in killed:
            terminalreporter.write_line(f"{name:<{width}}  {by[:130] or 'SURVIVED'}")
    if blocks := [value for name, value in properties if name == "seeds"]:
        seeds, tensors, worst = sum(b[0] for b in blocks), sum(b[1] for b in blocks), max(b[2] for b in blocks)
        terminalreporter.section(f"{seeds} seeds without a false alarm")
        terminalreporter.write_line(f"{tensors:,} tensors compared, the worst at {worst:.3f} of its bound")
