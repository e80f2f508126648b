"""A run that was stopped continues bit for bit as if it had not been; real kills included."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.checkpoint import Checkpoints
from experiments.errors import UserError
from experiments.metrics import read_rows
from experiments.wing import Wing
from tests.reading import until
from tests.running import Recorder, arrays, assert_same_bits, finished, rows_without_times, run, small
from tests.test_tensorboard import read

ROOT = Path(__file__).parent.parent
LAST = Path("checkpoints/last.npz")


class KilledError(BaseException):
    """Stands for a kill at a chosen place: nothing catches it."""


def assert_same_run(ours: Path, theirs: Path) -> None:
    """All that two lockstep runs computed is the same: parameters, optimiser state, every number logged."""
    for name in ("scratch", "torch"):
        for file in ("last.npz", "best.npz"):
            assert_same_bits(ours / name / "checkpoints" / file, theirs / name / "checkpoints" / file)
    for name in ("scratch", "torch", "diff"):
        assert rows_without_times(ours / name / "metrics.jsonl") == rows_without_times(theirs / name / "metrics.jsonl")


def stop_at(images: int, epoch: int = 1, number: int = signal.SIGTERM) -> Recorder:
    """Return a reporter that sends this process a signal once so many images of the epoch are done."""

    def at(epoch_now: int, done: int) -> None:
        if (epoch_now, done) == (epoch, images):
            os.kill(os.getpid(), number)

    return Recorder(at)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_batch_saves_and_the_run_continues_bit_for_bit(tmp_path, number):
    before = signal.getsignal(number)
    report = stop_at(64 * 6, number=number)
    summary = run(small(), tmp_path, report=report)
    assert report.summary is summary
    assert summary.interrupted == number
    assert summary.exit_code == 128 + number
    assert summary.parity is None
    assert summary.backends["torch"]["updates"] == 6
    assert summary.backends["torch"]["test_error"] is None
    assert signal.getsignal(number) is before, "the handlers are put back"
    resumed = run(small(), tmp_path, resume=True)
    assert resumed.interrupted is None
    assert_same_run(tmp_path / "mlp-digits-s0", finished() / "mlp-digits-s0")
    manifest = json.loads((tmp_path / "mlp-digits-s0" / "torch" / "manifest.json").read_text())
    assert [entry["after_update"] for entry in manifest["resumed"]] == [6]


def test_a_second_signal_aborts_at_once_without_a_traceback():
    program = (
        "import os, signal\n"
        "from experiments.interrupt import Interrupt\n"
        "with Interrupt() as interrupt:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print(int(interrupt.signal), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    said = "finishing this batch; once more aborts\n"
    assert (done.stdout, done.stderr, done.returncode) == ("15\n", said, -signal.SIGINT)


def test_the_first_signal_gives_a_terminal_its_cursor_back():
    """A second one ends the process where it stands: it has to be visible by then."""
    pty = pytest.importorskip("pty")
    program = (
        "import os, signal\n"
        "from experiments.interrupt import Interrupt\n"
        "print('\\x1b[?25l', end='', flush=True)\n"
        "with Interrupt():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    ours, theirs = pty.openpty()
    done = subprocess.run([sys.executable, "-c", program], stdout=theirs, stderr=theirs, cwd=ROOT, check=False)
    # A terminal may hand over one write at a time; with what we write last we know that all of it has come.
    os.write(theirs, b"over")
    text = until(b"over", ours)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == -signal.SIGINT
    assert b"once more aborts" in text
    assert text.rindex(b"\x1b[?25h") > text.rindex(b"\x1b[?25l")


def test_a_signal_between_two_looks_at_it_loses_no_update(tmp_path, monkeypatch):
    """The signal is there at the second look: what is reported must be what is saved."""

    class Late:
        looks = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        @property
        def signal(self):
            self.looks += 1
            return signal.SIGTERM if self.looks > 1 else None

    monkeypatch.setattr("experiments.training.Interrupt", Late)
    summary = run(small(backend="scratch"), tmp_path)
    saved = arrays_updates(tmp_path / "mlp-digits-s0" / "scratch" / LAST)
    assert saved == summary.backends["scratch"]["updates"] == 2


@pytest.mark.parametrize("ways", [{"overwrite": True}, {"resume": True}])
def test_a_run_that_another_process_trains_is_left_alone(tmp_path, ways):
    pytest.importorskip("fcntl")
    config = small(backend="scratch", epochs=1)
    run(config, tmp_path)
    program = (
        "import pathlib, sys, time\n"
        "from experiments.lock import exclusive\n"
        "with exclusive(pathlib.Path(sys.argv[1])):\n"
        "    print('locked', flush=True)\n"
        "    time.sleep(60)\n"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "mlp-digits-s0")]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(UserError, match=rf"another process \(pid {holder.pid}\) is training this run"):
            run(config, tmp_path, **ways)
        holder.kill()
    assert {path: path.read_bytes() for path in before} == before
    assert run(config, tmp_path, **ways).exit_code == 0, "a kill releases the lock"


@pytest.mark.parametrize(
    ("saves", "position"),
    [
        (1, 0),  # scratch has its first checkpoint, torch has none
        (3, 0),  # scratch has saved after update 4, torch not yet
        (13, 20),  # at the end of the first epoch, where best.npz is written too
    ],
)
def test_killed_between_the_two_backends_checkpoints(tmp_path, monkeypatch, saves, position):
    """One backend is one checkpoint ahead of the other; both must go back to where both have been."""
    real, count = Wing.save, 0

    def save(self, update, per_epoch, *, best=False):
        nonlocal count
        real(self, update, per_epoch, best=best)
        count += 1
        if count == saves:
            raise KilledError

    monkeypatch.setattr(Wing, "save", save)
    with pytest.raises(KilledError):
        run(small(), tmp_path)
    monkeypatch.undo()
    report = Recorder()
    run(small(), tmp_path, resume=True, report=report)
    assert any("starts at its beginning" in line for line in report.lines) is (saves == 1)
    assert_same_run(tmp_path / "mlp-digits-s0", finished() / "mlp-digits-s0")
    manifest = json.loads((tmp_path / "mlp-digits-s0" / "scratch" / "manifest.json").read_text())
    assert [entry["after_update"] for entry in manifest["resumed"]] == [position]


def test_killed_again_and_again(tmp_path, monkeypatch):
    """Resuming from a previous checkpoint, then dying again at the next save, must not lose the common position."""
    real = Wing.save
    run(small(), tmp_path, report=stop_at(64 * 9))
    for _ in range(4):
        count = 0

        def save(self, update, per_epoch, *, best=False):
            nonlocal count
            real(self, update, per_epoch, best=best)
            count += 1
            if count == 3:  # scratch alone has made its second checkpoint
                raise KilledError

        monkeypatch.setattr(Wing, "save", save)
        with pytest.raises(KilledError):
            run(small(), tmp_path, resume=True)
        monkeypatch.undo()
    run(small(), tmp_path, resume=True)
    assert_same_run(tmp_path / "mlp-digits-s0", finished() / "mlp-digits-s0")


@pytest.mark.parametrize("broken", ["scratch", "torch"])
def test_a_checkpoint_cut_in_half_is_refused_and_the_previous_one_used(tmp_path, broken):
    run(small(), tmp_path, report=stop_at(64 * 10))
    path = tmp_path / "mlp-digits-s0" / broken / LAST
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    report = Recorder()
    run(small(), tmp_path, resume=True, report=report)
    (said,) = [line for line in report.lines if "refused" in line]
    assert re.search(
        rf"{broken}/checkpoints/last\.npz is refused: it is cut off or damaged .* after update 8, is used", said
    )
    assert_same_run(tmp_path / "mlp-digits-s0", finished() / "mlp-digits-s0")


def test_without_a_usable_checkpoint_nothing_is_touched(tmp_path):
    run(small(), tmp_path, report=stop_at(64 * 10))
    store = Checkpoints(tmp_path / "mlp-digits-s0" / "torch" / "checkpoints")
    for path in (store.last, store.previous):
        path.write_bytes(path.read_bytes()[:300])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "events" not in path.name}
    with pytest.raises(
        UserError, match=r"torch has no checkpoint to continue from: .*last\.npz is refused.*--overwrite"
    ):
        run(small(), tmp_path, resume=True)
    assert {path: path.read_bytes() for path in before} == before


def test_changed_settings_are_refused_with_the_difference(tmp_path):
    run(small(), tmp_path, report=stop_at(64 * 10))
    with pytest.raises(UserError, match=r"--lr: 0\.05 -> 0\.1\n"):
        run(small(lr=0.1), tmp_path, resume=True)
    with pytest.raises(UserError, match=r"--backend: 'both' -> 'torch'"):
        run(small(backend="torch"), tmp_path, resume=True)
    with pytest.raises(UserError, match="there is no run"):
        run(small(seed=1), tmp_path, resume=True)


def test_other_data_are_refused(tmp_path):
    run(small(), tmp_path, report=stop_at(64 * 10))
    path = tmp_path / "mlp-digits-s0" / "scratch" / "manifest.json"
    manifest = json.loads(path.read_text())
    name = next(iter(manifest["data"]["sha256"]))
    manifest["data"]["sha256"][name] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=rf"the data are not those that .*scratch began with: {re.escape(name)}"):
        run(small(), tmp_path, resume=True)


def test_more_epochs_continue_a_finished_run_as_if_they_had_been_asked_for_at_once(tmp_path):
    run(small(epochs=1), tmp_path)
    run(small(epochs=2), tmp_path, resume=True)
    assert_same_run(tmp_path / "mlp-digits-s0", finished() / "mlp-digits-s0")


def test_resuming_a_finished_run_gives_its_summary_and_changes_nothing(tmp_path):
    shutil.copytree(finished(), tmp_path, dirs_exist_ok=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    report = Recorder()
    # Where the data lie is no reason to open the test set again.
    summary = run(small(data_dir=Path("elsewhere")), tmp_path, resume=True, report=report)
    assert report.lines == ["already finished; a larger --epochs continues it"]
    assert summary.backends["torch"]["updates"] == 42
    assert summary.parity is not None
    assert summary.parity["passed"]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("damage", ["missing", "garbage"])
def test_a_finished_run_without_its_comparison_is_not_judged_anew(tmp_path, damage):
    shutil.copytree(finished(), tmp_path, dirs_exist_ok=True)
    diff = tmp_path / "mlp-digits-s0" / "diff"
    if damage == "missing":
        shutil.rmtree(diff)
    else:
        (diff / "metrics.jsonl").write_text("garbage\n")
    reason = r"diff is missing or another run's.*--overwrite" if damage == "missing" else r"jsonl, line 1, is damaged"
    with pytest.raises(UserError, match=reason):
        run(small(), tmp_path, resume=True)
    assert diff.exists() is (damage == "garbage")


def test_an_interrupted_run_without_its_comparison_cannot_be_continued(tmp_path):
    run(small(), tmp_path, report=stop_at(64 * 10))
    (tmp_path / "mlp-digits-s0" / "diff" / "metrics.jsonl").unlink()
    with pytest.raises(UserError, match=r"lacks the comparisons of 3 updates, the first of them 1: .*--overwrite"):
        run(small(), tmp_path, resume=True)


def test_what_was_recorded_before_counts_in_the_verdict(tmp_path):
    """A bad comparison before the interruption must fail the run that finishes after it."""
    run(small(), tmp_path, report=stop_at(64 * 10))
    path = tmp_path / "mlp-digits-s0" / "diff" / "metrics.jsonl"
    rows = read_rows(path)
    rows[0]["forced"]["grad/fc1.bias"] = 1e6
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = run(small(), tmp_path, resume=True)
    assert summary.parity is not None
    assert [check["name"] for check in summary.parity["checks"] if not check["passed"]] == ["forced grad/fc1.bias"]


def test_rows_and_events_after_the_checkpoint_are_replaced(tmp_path, monkeypatch):
    """Die at update 11, after rows at 1, 5 and 10, with the last checkpoint after update 8; and leave half a line."""
    real = Wing.compute

    def compute(self, images, labels, masks):
        if self.progress.total_images == 64 * 11:
            raise KilledError
        return real(self, images, labels, masks)

    monkeypatch.setattr(Wing, "compute", compute)
    with pytest.raises(KilledError):
        run(small(), tmp_path)
    monkeypatch.undo()
    path = tmp_path / "mlp-digits-s0" / "scratch" / "metrics.jsonl"
    assert [row["update"] for row in read_rows(path)] == [1, 5, 10]
    with path.open("a") as file:
        file.write('{"kind": "tra')
    run(small(), tmp_path, resume=True)
    assert_same_run(tmp_path / "mlp-digits-s0", finished() / "mlp-digits-s0")
    for name in ("scratch", "torch"):
        events = read(tmp_path / "mlp-digits-s0" / name)
        assert [event.step for event in events.Scalars("loss/train")] == [1, 5, 10, 15, 20, 25, 30, 35, 40]


def kill_and_resume(
    tmp_path: Path, kills: int, rng: random.Random, epochs: int, say: Callable[[str], object] = print
) -> None:
    """Kill a training process with SIGKILL at random moments, each time resume, and compare with the unbroken run."""
    # Online learning: 1,297 updates per epoch give the kills something to hit.
    settings: dict[str, Any] = {"batch_size": 1, "hidden": (16,), "lr": 0.005, "log_every": 50, "checkpoint_every": 40}
    config, unbroken = small(**settings, epochs=epochs), finished(**settings, epochs=epochs)
    words = ["--batch-size", "1", "--hidden", "16", "--lr", "0.005", "--log-every", "50", "--checkpoint-every", "40"]
    command = [sys.executable, "-m", "experiments", "train", "mlp", *words, "--epochs", str(epochs), "--threads", "1"]
    command += ["--runs-dir", str(tmp_path)]
    folder = tmp_path / "mlp-digits-s0"
    total = arrays_updates(unbroken / "mlp-digits-s0" / "torch" / LAST)
    for kill in range(kills):
        done = arrays_updates(folder / "torch" / LAST) if (folder / "torch" / LAST).exists() else 0
        # Somewhere in what is left, so that the last kill still finds the process alive.
        goal = done + rng.uniform(0.1, 1) * (total - done) / (kills - kill + 1)
        process = subprocess.Popen(
            [*command, *(["--resume"] if kill else [])], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        log, deadline = folder / "torch" / "metrics.jsonl", time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            rows = read_rows(log, "train")
            if rows and goal <= rows[-1]["update"]:
                time.sleep(rng.uniform(0, 0.05))
                break
            time.sleep(0.005)
        process.kill()
        _, stderr = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"it ended by itself: {stderr.decode()}"
        left = [arrays_updates(folder / name / LAST) for name in ("scratch", "torch")]
        say(f"kill {kill + 1}: checkpoints after updates {left[0]} (scratch), {left[1]} (torch) of {total}")
    run(config, tmp_path, resume=True)
    assert_same_run(folder, unbroken / "mlp-digits-s0")
    say(f"after {kills} kills: parameters and optimiser state of both backends equal the unbroken run's, bit for bit")


def arrays_updates(path: Path) -> int:
    """Return the number of updates that a checkpoint has; 0 if the kill fell between its two renames."""
    if not path.exists():
        return 0
    with np.load(path, allow_pickle=False) as archive:
        return int(json.loads(str(archive["head"]))["update"])


def test_kill_9_twice_then_resume_gives_the_bits_of_the_unbroken_run(tmp_path):
    kill_and_resume(tmp_path, 2, random.Random(0), epochs=1)


@pytest.mark.slow
def test_kill_9_ten_times_then_resume_gives_the_bits_of_the_unbroken_run(tmp_path, capsys):
    with capsys.disabled():
        print()
        kill_and_resume(tmp_path, 10, random.Random(1), epochs=2)


def test_the_bitwise_comparison_can_fail(tmp_path):
    """Train with another seed: the comparison that all of the above rest on must see it."""
    run(small(seed=1, epochs=1), tmp_path)
    ours, theirs = tmp_path / "mlp-digits-s1" / "torch" / LAST, finished() / "mlp-digits-s0" / "torch" / LAST
    with pytest.raises(AssertionError, match="differs by"):
        assert_same_bits(ours, theirs)
    changed = arrays(theirs)
    weight = changed["param/fc1.weight"]
    weight[0, 0] = np.nextafter(weight[0, 0], np.float32(9))
    np.savez(tmp_path / "one-bit.npz", **changed)
    with pytest.raises(AssertionError, match="differs by"):
        assert_same_bits(tmp_path / "one-bit.npz", theirs)
