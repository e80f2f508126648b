"""One training epoch of LeNet-5 in `scratch`, in a process of its own: through `twice train`, or its steps alone.

`python -m experiments.bench.epoch_worker {train|steps} DATASET BATCH THREADS RUNS_DIR` prints the seconds, and a digest
of the parameters that came out, as JSON. Both ways import the same, and read the same data.
"""

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast
from unittest import mock

from experiments import cli, data, training
from experiments.backend import Array
from experiments.backends import ScratchBackend, initial_parameters
from experiments.batches import batches, epoch_order
from experiments.config import DatasetName, LeNet5Config
from experiments.networks import data_shape, inputs
from experiments.summary import Summary
from experiments.threads import limited_threads


class Timed(NamedTuple):
    """An epoch: its seconds, those of them in which gradients were computed and updates made, and its parameters."""

    seconds: float
    inside: float
    parameters: Mapping[str, Array]


class Clocked(training.Training):
    """A training that notes when its epochs begin and end: the end is when the last checkpoint has been written.

    Before lie the data's reading and the networks' making, after it the test set.
    """

    epoch: "Timed"

    def run(self) -> Summary:
        """See `Training`."""
        self.begun = time.perf_counter()
        return super().run()

    def finish(self) -> Summary:
        """See `Training`."""
        seconds, (wing,) = time.perf_counter() - self.begun, self.wings
        type(self).epoch = Timed(seconds, wing.last_epoch["seconds"], wing.backend.parameters())
        return super().finish()


def through_train(dataset: str, batch: int, threads: int, runs_dir: Path) -> Timed:
    """Run the command, and return the epoch as `Clocked` takes its time."""
    words = f"train lenet5 --backend scratch --epochs 1 --dataset {dataset} --batch-size {batch} --threads {threads}"
    with (
        mock.patch.object(training, "Training", Clocked),
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        status = cli.main([*words.split(), "--runs-dir", str(runs_dir)])
    if status:
        raise SystemExit(status)
    return Clocked.epoch


def steps_alone(dataset: str, batch: int, threads: int) -> Timed:
    """Make the same steps on batches that lie ready, and nothing else."""
    config = LeNet5Config(
        dataset=cast(DatasetName, dataset), backend="scratch", epochs=1, batch_size=batch, threads=threads
    )
    with limited_threads(threads):
        found = data.load(dataset)
        shape, train = data_shape(found), found.train
        order = epoch_order(config.seed, 1, len(train.labels))
        ready = [(inputs(config, train.images[chosen]), train.labels[chosen]) for chosen in batches(order, batch)]
        backend = ScratchBackend.configured(config, shape)
        backend.load_parameters(initial_parameters(config, shape))
        with contextlib.closing(backend):
            begun = time.perf_counter()
            for images, labels in ready:
                backend.update(backend.gradients(images, labels).grads)
            seconds = time.perf_counter() - begun
        return Timed(seconds, seconds, backend.parameters())


def digest(parameters: Mapping[str, Array]) -> str:
    """Return the SHA-256 of all bytes of all parameters, in hexadecimal."""
    found = hashlib.sha256()
    for name, value in parameters.items():
        found.update(name.encode() + value.tobytes())
    return found.hexdigest()


def main(way: str, dataset: str, batch: int, threads: int, runs_dir: Path) -> dict[str, Any]:
    """Train one epoch in one of the ways; see the module."""
    words = (dataset, batch, threads)
    timed = through_train(*words, runs_dir) if way == "train" else steps_alone(*words)
    return {"seconds": timed.seconds, "inside": timed.inside, "sha256": digest(timed.parameters)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))))
