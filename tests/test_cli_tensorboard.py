"""`twice tb`: it serves what is there on a free loopback port, and a signal ends it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from experiments.errors import UserError
from experiments.tensorboard_server import FIRST_PORT, HOST, check_port, find_events, free_port
from tests.reading import until

PROJECT = Path(__file__).parent.parent


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something listens to."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_is_not_free(taken: int) -> None:
    with pytest.raises(UserError, match=rf"--port: {taken} is taken"):
        check_port(taken)


def test_the_first_free_port_is_found(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.tensorboard_server.FIRST_PORT", taken)
    port = free_port()
    assert taken < port < taken + 100
    assert check_port(port) == port
    monkeypatch.setattr("experiments.tensorboard_server.PORTS_TRIED", 1)
    with pytest.raises(UserError, match=f"no free port from {taken} to {taken}"):
        free_port()
    assert FIRST_PORT == 6006


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_no_port(port: int) -> None:
    with pytest.raises(UserError, match=f"--port: expected a number from 1 to 65535, got {port}") as refusal:
        check_port(port)
    assert refusal.value.exit_code == 2


def test_event_files_are_found_at_any_depth_and_through_links(tmp_path: Path) -> None:
    deep = tmp_path / "real" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "events.out.tfevents.1").touch()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "linked").symlink_to(tmp_path / "real")
    assert find_events(tmp_path / "runs") == [tmp_path / "runs" / "linked" / "a" / "b" / "events.out.tfevents.1"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_on_loopback_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    _write_event_file(tmp_path / "some-run")
    server = subprocess.Popen(
        [sys.executable, "-m", "experiments", "tb", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    try:
        url = _read_url(server)
        assert url.startswith("http://127.0.0.1:")
        with urlopen(url, timeout=20) as page:
            assert b"TensorBoard" in page.read()
        _wait_for_run(f"{url}data/runs", b'"some-run"')
        server.send_signal(number)
        out, err = server.communicate(timeout=20)
    finally:
        server.kill()
    assert server.returncode == 0, err
    assert out.strip() == "TensorBoard ended"
    assert err == ""


def _write_event_file(folder: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    value = Summary.Value(tag="loss/train", simple_value=1.0)
    writer.add_event(Event(wall_time=1.0, step=1, summary=Summary(value=[value])))
    writer.close()


def _read_url(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    said = until(b"Ctrl-C ends it\n", server.stdout.fileno()).decode()
    found = re.search(r"http://\S+", said)
    assert found, f"no address: {said} {server.poll()}"
    return found.group()


def _wait_for_run(url: str, name: bytes, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with urlopen(url, timeout=20) as answer:
            if name in answer.read():
                return
        time.sleep(0.2)
    raise AssertionError(f"{name!r} never appeared at {url}")
