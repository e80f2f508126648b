"""What every test shares: the harness's seed, given on the command line and printed, and quiet thread pools."""

import pytest
import torch

# Tensors here are tiny; two thread pools fighting for two cores only slow each other down.
torch.set_num_threads(1)

DEFAULT_SEED = 20201219  # the date on the lecture's title page


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--harness-seed", type=int, default=DEFAULT_SEED, help="seed of the shared harness")


def pytest_report_header(config: pytest.Config) -> str:
    return f"harness seed: {config.getoption('--harness-seed')}"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of the shared harness."""
    return int(request.config.getoption("--harness-seed"))
