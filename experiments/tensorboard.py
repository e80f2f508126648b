"""One TensorBoard folder: what is written there, and the traps that are avoided.

Every backend writes the same tags into a folder of its own, x = number of updates, so their curves overlay. Nothing
here makes a folder more: `SummaryWriter.add_scalars` and `add_hparams` would.
"""

import contextlib
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.summary.writer import record_writer
from tensorboard.summary.writer.event_file_writer import _AsyncWriterThread
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from experiments.checksum import masked_crc32c
from experiments.histogram import Tally

Array = NDArray[np.floating[Any]]
_LARGEST: Final = 1e20  # where the bins of TensorBoard's own writer end
_hparams: Any = hparams  # Any, as the writer below: torch ships them without types

record_writer.masked_crc32c = masked_crc32c  # the same, sooner


class Board:
    """Writer of one run's events.

    Parameters
    ----------
    folder:
        The run's folder.
    after_update:
        When a run continues, the update it continues from: events of later updates, which a killed process may have
        left, are declared void. None for a new run.
    """

    def __init__(self, folder: Path, after_update: int | None = None) -> None:
        self.folder = folder
        purge = None if after_update is None else after_update + 1
        _await_later_name(folder)
        self._writer: Any = SummaryWriter(str(folder), purge_step=purge)

    def scalars(self, values: Mapping[str, float], update: int) -> None:
        """Write numbers by tag. TensorBoard keeps them as float32."""
        shown = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._summary(Summary(value=shown), update)

    def histograms(self, group: str, lots: Iterable[Mapping[str, Array]], update: int) -> None:
        """Write the distribution of arrays as `group/<name>`; those of one name in several lots are counted together.

        Values that are not finite are left out, and those beyond 1e20, as in TensorBoard's own histograms.
        """
        tallies: dict[str, Tally] = {}
        for name, array in (item for lot in lots for item in lot.items()):
            few = not (array.min(initial=0) > -_LARGEST and array.max(initial=0) < _LARGEST)  # or one is no number
            tally = tallies[name] = tallies.get(name) or Tally(array.dtype)
            tally.add(array[np.abs(array) < _LARGEST] if few else array)
        shown = []
        for name, tally in tallies.items():
            if tally.size:
                found = tally.histogram()
                proto = HistogramProto(
                    min=found.low,
                    max=found.high,
                    num=tally.size,
                    sum=found.total,
                    sum_squares=found.squares,
                    bucket_limit=found.limits.tolist(),
                    bucket=found.counts.tolist(),
                )
                shown.append(Summary.Value(tag=f"{group}/{name}", histo=proto))
        self._summary(Summary(value=shown), update)

    def images(self, pictures: Mapping[str, tuple[bytes, tuple[int, ...]]], update: int) -> None:
        """Write RGB pictures by tag: each encoded as PNG, with its shape (H, W, 3)."""
        shown = []
        for tag, (png, (height, width, channels)) in pictures.items():
            image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png)
            shown.append(Summary.Value(tag=tag, image=image))
        self._summary(Summary(value=shown), update)

    def text(self, tag: str, markdown: str, update: int) -> None:
        """Write a text; TensorBoard renders Markdown."""
        self._writer.add_text(tag, markdown, update)

    def precision_recall(self, labels: NDArray[np.int64], scores: Array, update: int) -> None:
        """Write one precision-recall curve per class, that class against all others, as `pr/<class>`.

        Parameters
        ----------
        labels:
            (N,).
        scores:
            Probability of each class, (N, classes), in [0, 1].
        update:
            Number of updates.
        """
        for digit in range(scores.shape[1]):
            self._writer.add_pr_curve(f"pr/{digit}", labels == digit, scores[:, digit], update)

    def embedding(
        self, tag: str, vectors: Array, labels: NDArray[np.int64], images: NDArray[np.uint8], update: int
    ) -> None:
        """Write points for the projector, with their classes and images.

        Parameters
        ----------
        tag:
            Name in the projector.
        vectors:
            (N, dimensions).
        labels:
            (N,).
        images:
            (N, H, W), shown as dark on light.
        update:
            Number of updates.
        """
        # A run that finishes a second time writes it again; the writer would print a warning about the folder.
        for folder in self.folder.glob("[0-9]" * 5 + "*"):
            shutil.rmtree(folder)
        sprite = torch.from_numpy(1 - images[:, None].astype(np.float32) / 255)
        self._writer.add_embedding(vectors, metadata=labels.tolist(), label_img=sprite, global_step=update, tag=tag)

    def begin_hparams(self, settings: Mapping[str, Any], metrics: Sequence[str]) -> None:
        """Say which settings this run has, and which of its scalars are its results."""
        plain = {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in settings.items()
        }
        experiment, start, _ = _hparams(plain, dict.fromkeys(metrics, 0.0))
        self._summary(experiment)
        self._summary(start)

    def end_hparams(self) -> None:
        """Say that the run has finished."""
        self._summary(_hparams({}, {})[2])

    def flush(self) -> None:
        """Hand everything to the system, as before a checkpoint: what lies before it survives a kill."""
        self._writer.flush()

    def close(self) -> None:
        """Close the file. What had to be safe has been flushed: a full disk is not reported a second time."""
        with contextlib.suppress(OSError):
            self._writer.close()

    def _summary(self, summary: Any, update: int | None = None) -> None:
        """Write an event: what belongs together, for the thread of the writer takes a turn for each."""
        self._writer._get_file_writer().add_summary(summary, update)


def _await_later_name(folder: Path) -> None:
    """Wait until a new event file's name sorts after those that are there, at most a second.

    Files are read in the order of their names, which have the time in whole seconds: of two in the same second, the
    events that a resumed run declares void might come after those that replace them.
    """
    seconds = [path.name.split(".")[3] for path in folder.glob("events.out.tfevents.*")]
    newest = max((int(each) for each in seconds if each.isdigit()), default=0)
    ahead = newest + 1 - time.time()
    if 0 < ahead <= 1:
        time.sleep(ahead)


@contextlib.contextmanager
def quiet_writer_threads() -> Iterator[None]:
    """Keep the writers' threads from printing a traceback when the disk is full.

    Nothing is lost: the next call of the writer, in the thread that can handle it, raises the same error.
    """
    usual = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        if not (isinstance(failure.exc_value, OSError) and isinstance(failure.thread, _AsyncWriterThread)):
            usual(failure)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = usual


def table(settings: Mapping[str, Any]) -> str:
    """Return a Markdown table of names and values."""
    rows = "".join(f"| {name} | {value} |\n" for name, value in settings.items())
    return f"| | |\n|---|---|\n{rows}"
