"""One training epoch of LeNet-5 in one wing, in a process of its own that loads no other library: its memory.

`python -m experiments.bench.memory_worker WING FOLDER BATCH THREADS` prints it as JSON. The processes that a wing
shares its work with are counted with it; what two of them share is counted twice.
"""

import gc
import json
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]
Step = Callable[[Array, Labels], float]

LEARNING_RATE: Final = 0.01
WARM_UP: Final = 32
"""Images of the step before the epoch: few beside a batch, enough to be shared between processes."""
LIBRARIES: Final = ("scratch", "torch", "torchref")
_RESET_PEAK: Final = "5"  # proc_pid_clear_refs(5): VmHWM begins again at what is resident now


def main(wing: str, folder: Path, batch: int, threads: int) -> dict[str, Any]:
    """Train an epoch and return what it took, in bytes, and its mean loss.

    Parameters
    ----------
    wing:
        "scratch" or "torch".
    folder:
        With images.npy (N, 1, 28, 28), labels.npy, order.npy (N,) and the initial weights init.npz.
    batch:
        Images per update.
    threads:
        To compute in.
    """
    images, labels, order = (np.load(folder / f"{name}.npy") for name in ("images", "labels", "order"))
    with np.load(folder / "init.npz") as archive:
        state = {name: archive[name] for name in archive.files}
    step, close = WINGS[wing](state, threads)
    # It brings in the code that a library loads when it is first needed, and starts the processes that help.
    step(images[:WARM_UP], labels[:WARM_UP])
    gc.collect()
    counter = reset_peak()
    before = resident(counter)
    helpers = processes()
    total = 0.0
    for first in range(0, len(order), batch):
        chosen = order[first : first + batch]
        total += step(images[chosen], labels[chosen]) * len(chosen)
    most = peak(counter)
    if processes() != helpers:  # a whole Python with NumPy would be counted as the epoch's
        raise RuntimeError(f"the step with {WARM_UP} images did not start the processes that the epoch has")
    close()
    loaded = [name for name in LIBRARIES if name in sys.modules]
    return {"before": before, "peak": most, "counter": counter, "loss": total / len(order), "loaded": loaded}


def reset_peak() -> str:
    """Let the system's records of the peak begin again; return the name of the record that there is to read.

    Where they cannot be reset it is the peak since a process began, which may hide part of the epoch's.
    """
    try:
        for process in family(os.getpid()):
            (process / "clear_refs").write_text(_RESET_PEAK)
    except OSError:
        return "ru_maxrss"
    return "VmHWM"


def resident(counter: str) -> int:
    """Return the bytes in physical memory now; where the system does not tell, their peak so far."""
    return _status("VmRSS") if counter == "VmHWM" else peak(counter)


def peak(counter: str) -> int:
    """Return the most bytes that have been in physical memory at once: the sum of each process's own most."""
    if counter == "VmHWM":
        return _status("VmHWM")
    # Kilobytes, but for macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def processes() -> int:
    """Return how many processes compute here; 1 where the system does not tell."""
    try:
        return len(family(os.getpid()))
    except OSError:
        return 1


def family(pid: int) -> list[Path]:
    """Return the folders in /proc of a process and of all that it and its own have started."""
    folder = Path(f"/proc/{pid}")
    children = [child for task in (folder / "task").iterdir() for child in (task / "children").read_text().split()]
    return [folder, *(member for child in children for member in family(int(child)))]


def _status(name: str) -> int:
    """Return the sum of a line of each process's status, "VmHWM:  123 kB", in bytes."""
    total = 0
    for process in family(os.getpid()):
        lines = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        total += int(lines[name].split()[0]) * 1024
    return total


def _scratch(state: dict[str, Array], threads: int) -> tuple[Step, Callable[[], None]]:
    import scratch
    from scratch.parallel import DataParallel

    net, optimizer = scratch.LeNet5(), scratch.SGD(LEARNING_RATE)
    net.load_state_dict(state)
    parts = DataParallel(net, scratch.CrossEntropy(), threads, lends=True)

    def step(images: Array, labels: Labels) -> float:
        value, _, grads = parts.gradients(images, labels)
        optimizer.step(net.parameters(), grads)
        return float(value)

    return step, parts.close


def _torch(state: dict[str, Array], threads: int) -> tuple[Step, Callable[[], None]]:
    import torch

    import torchref

    torch.set_num_threads(threads)
    net, criterion = torchref.LeNet5(), torch.nn.CrossEntropyLoss()
    net.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    optimizer = torch.optim.SGD(net.parameters(), LEARNING_RATE)

    def step(images: Array, labels: Labels) -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(net(torch.from_numpy(images)), torch.from_numpy(labels))
        loss.backward()
        optimizer.step()
        return float(loss)

    return step, lambda: None


#: By name: from initial weights and threads, a training step and what gives back what it holds.
WINGS: Final = {"scratch": _scratch, "torch": _torch}

if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
