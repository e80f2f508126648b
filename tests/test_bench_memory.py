import io
import json
import mmap
import os
import subprocess
import sys

import pytest
from rich.console import Console

from experiments.bench import isolated, memory, memory_worker
from experiments.bench.memory import Memory, Usage
from experiments.errors import UserError

MEGA = 2**20
MADE = Memory(
    *("mnist", 55_000, 256, 2, "VmHWM"),
    {
        "scratch": (Usage(50 * MEGA, 80 * MEGA), Usage(52 * MEGA, 72 * MEGA), Usage(50 * MEGA, 90 * MEGA)),
        "torch": (Usage(300 * MEGA, 350 * MEGA), Usage(300 * MEGA, 360 * MEGA), Usage(300 * MEGA, 355 * MEGA)),
    },
    {"scratch": 0.25, "torch": 0.25},
)

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


def answer(**others):
    return {"before": 10, "peak": 30, "counter": "VmHWM", "loss": 0.5, **others}


def test_scratch_trains_in_a_process_without_torch(monkeypatch):
    run = isolated.run

    def scratch_alone(module, wing, *words, threads):
        return answer(loaded=["torch", "torchref"]) if wing == "torch" else run(module, wing, *words, threads=threads)

    monkeypatch.setattr(isolated, "run", scratch_alone)
    monkeypatch.setattr(memory, "SAME_LOSS", 10.0)
    (usage,) = memory.measure(repeats=1, batch=16, dataset="digits", most=40).usage["scratch"]
    assert usage.peak >= usage.before > MEGA


@pytest.mark.slow
def test_each_wing_trains_in_a_process_that_has_its_own_library_only():
    found = memory.measure(repeats=1, batch=16, dataset="digits", most=40)
    assert (found.dataset, found.images, found.batch, found.threads) == ("digits", 40, 16, 1)
    assert found.losses["scratch"] == pytest.approx(found.losses["torch"], rel=1e-4)
    for wing in memory.WINGS:
        (usage,) = found.usage[wing]
        assert usage.peak >= usage.before > MEGA


@linux
def test_the_peak_begins_again_and_sees_what_comes_after():
    def hold(megabytes: int) -> None:
        with mmap.mmap(-1, megabytes * MEGA) as fresh:  # not of the heap, which may have kept as much
            for page in range(0, len(fresh), mmap.PAGESIZE):
                fresh[page] = 1

    hold(64)
    counter = memory_worker.reset_peak()
    before = memory_worker.resident(counter)
    assert counter == "VmHWM"
    assert memory_worker.peak(counter) - before < 20 * MEGA, "what was before the reset is forgotten"
    hold(32)
    assert 28 * MEGA < memory_worker.peak(counter) - before < 40 * MEGA


@linux
def test_a_process_that_helps_is_counted():
    code = "import sys; kept = bytearray(64 * 2**20); print(1, flush=True); sys.stdin.read()"
    alone = memory_worker.resident("VmHWM")
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as helper:
        helper.stdout.readline()
        assert memory_worker.family(os.getpid())[-1].name == str(helper.pid)
        assert memory_worker.resident("VmHWM") - alone > 60 * MEGA
        helper.stdin.close()


def test_where_the_peak_cannot_be_reset_it_is_the_whole_life_s(monkeypatch):
    def refuse(_):
        raise PermissionError

    monkeypatch.setattr(memory_worker, "family", refuse)
    counter = memory_worker.reset_peak()
    assert counter == "ru_maxrss"
    assert memory_worker.peak(counter) == memory_worker.resident(counter) > MEGA


def test_the_ratio_is_of_the_medians_of_what_the_epoch_took():
    assert MADE.above("scratch") == 30 * MEGA
    assert MADE.above("torch") == 55 * MEGA
    assert MADE.ratio == 30 / 55
    assert MADE.met
    turned = {"scratch": MADE.usage["torch"], "torch": MADE.usage["scratch"]}
    assert not Memory("mnist", 1, 1, 1, "VmHWM", turned, MADE.losses).met


def test_terminal_markdown_and_json_say_the_same():
    stream = io.StringIO()
    memory.show(MADE, Console(file=stream, width=160))
    text, table = stream.getvalue(), memory.markdown(MADE)
    for word in ("50.0", "80.0", "30.0", "20.0 to 40.0", "0.55 times", "met"):
        assert word in text
        assert word in table
    assert "| scratch | 50.0 | 80.0 | 30.0 | 20.0 to 40.0 |" in table
    again = json.loads(json.dumps(MADE.to_json()))
    assert (again["met"], again["usage"]["torch"][0]) == (True, {"before": 300 * MEGA, "peak": 350 * MEGA})


def test_the_wings_take_turns_in_going_first(monkeypatch):
    asked = []

    def run(_, wing, *words, threads):
        asked.append((wing, words[-1], threads))
        return answer(loaded=["scratch"] if wing == "scratch" else ["torch", "torchref"])

    monkeypatch.setattr(isolated, "run", run)
    found = memory.measure(threads=2, repeats=3, dataset="digits", most=4)
    assert [wing for wing, *_ in asked] == ["scratch", "torch", "torch", "scratch", "scratch", "torch"]
    assert {words for _, *words in map(tuple, asked) for words in [tuple(words)]} == {("2", 2)}
    assert len(found.usage["scratch"]) == len(found.usage["torch"]) == 3


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"loaded": ["scratch", "torch"]}, "has loaded"),
        ({"loss": float("nan")}, "did not train the same"),
    ],
)
def test_what_was_not_the_same_computation_is_refused(monkeypatch, others, said):
    def run(_, wing, *__, **___):
        own = answer(loaded=["scratch"] if wing == "scratch" else ["torch", "torchref"])
        return {**own, **others} if wing == "scratch" else own

    monkeypatch.setattr(isolated, "run", run)
    with pytest.raises(UserError, match=said):
        memory.measure(repeats=1, dataset="digits", most=4)


def test_a_process_that_fails_says_why(tmp_path):
    with pytest.raises(UserError, match=r"memory_worker .* ended with status 1: FileNotFoundError: .*images.npy"):
        isolated.run("experiments.bench.memory_worker", "scratch", str(tmp_path), "1", "1", threads=1)
