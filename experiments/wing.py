"""One backend in training: its network, its files and its clock. In lockstep there are two of these."""

import dataclasses
import itertools
import math
import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from experiments import metrics
from experiments.backend import Array, Backend, Labels, Masks, Step
from experiments.checkpoint import Checkpoint, Checkpoints
from experiments.config import TrainConfig
from experiments.errors import UserError
from experiments.gallery import Gallery
from experiments.layers import linked, stages
from experiments.networks import inputs, predict
from experiments.progress import Progress
from experiments.runs import RunFolder
from experiments.summary import BackendResult
from experiments.tensorboard import Board, table

#: Settings that decide no result: columns that would only widen TensorBoard's table.
NO_HPARAMS = frozenset({"data_dir", "log_every", "checkpoint_every", "threads"})
_TRACED: Final = 256  # validation images whose activations are shown
_LOT: Final = 64  # of them at once, to save memory: the outputs of all layers are kept
HPARAM_METRICS = ("error/test", "loss/test", "error/validation", "loss/validation")


class Wing:
    """One backend's run.

    Parameters
    ----------
    backend:
        The network.
    folder:
        Where its run is written.
    config:
        Settings of the run.
    after_update:
        Update from which the run continues; None for a new one.
    """

    def __init__(
        self, backend: Backend, folder: RunFolder, config: TrainConfig, after_update: int | None = None
    ) -> None:
        self.backend = backend
        self.folder = folder
        self.config = config
        self._hash = config.hash()
        self.progress = Progress()
        self.checkpoints = Checkpoints(folder.checkpoints)
        self.last_epoch: metrics.Row = {}
        self._rate = (0.0, 0.0)  # images, seconds at the last row
        self.metrics = metrics.MetricsFile(folder.metrics)
        self.board = Board(folder.path, after_update)
        self._gallery = Gallery(folder, self.board, backend.connections())
        if after_update is None:
            self.board.text("text/config", table(config.to_dict()), 0)
            settings = {name: value for name, value in config.to_dict().items() if name not in NO_HPARAMS}
            self.board.begin_hparams({**settings, "backend": backend.name}, HPARAM_METRICS)

    def compute(self, images: Array, labels: Labels, masks: Masks | None = None) -> Step:
        """Run the gradients of a batch, with the units dropped that `masks` leave out, on the clock."""
        begun = time.perf_counter()
        step = self.backend.gradients(images, labels, masks)
        self._clock(time.perf_counter() - begun)
        self.progress.loss += step.loss * len(labels)
        self.progress.wrong += round(metrics.error_rate(step.outputs, labels) * len(labels))
        self.progress.images += len(labels)
        self.progress.total_images += len(labels)
        return step

    def update(self, step: Step) -> None:
        """Make the update, on the clock."""
        begun = time.perf_counter()
        self.backend.update(step.grads)
        self._clock(time.perf_counter() - begun)

    def log(
        self,
        update: int,
        epoch: int,
        step: Step,
        labels: Labels,
        before: Mapping[str, Array],
        trace: Mapping[str, Array],
    ) -> None:
        """Write what this update was like.

        Parameters
        ----------
        update, epoch:
            Its number and its epoch, both counted from 1.
        step:
            Its loss and gradients.
        labels:
            Of the batch.
        before:
            Copies of the parameters before the update.
        trace:
            Output of every layer for the batch, before the update.
        """
        images, seconds = (now - then for now, then in zip(self._totals(), self._rate, strict=True))
        self._rate = self._totals()
        layers = stages(trace, before)
        # What squashes c1 is called c1_f; in a perceptron it is f1, which follows fc1.
        squashed = {y.removesuffix("_f"): trace[y] for layer, y in layers.items() if y != layer}
        row: dict[str, Any] = {
            "loss": step.loss,
            "error": metrics.error_rate(step.outputs, labels),
            "lr": self.backend.lr,
            "grad_norm": metrics.norm(step.grads),
            "images_per_s": images / seconds if seconds > 0 else 0.0,
            "update_ratio": metrics.update_ratios(before, self.backend.parameters()),
            "saturation": {name: metrics.saturation(self.config.activation, y) for name, y in squashed.items()},
        }
        self.metrics.write({"kind": "train", "epoch": epoch, "update": update, **row})
        self.board.scalars(
            {
                "loss/train": row["loss"],
                "error/train": row["error"],
                "optim/lr": row["lr"],
                "optim/grad_norm": row["grad_norm"],
                "speed/images_per_s": row["images_per_s"],
                **{f"update_ratio/{layer}": value for layer, value in row["update_ratio"].items()},
                **{f"saturation/{layer}": value for layer, value in row["saturation"].items()},
            },
            update,
        )
        if update == 1:
            self._gallery.connections(layers, trace, before, update)

    def end_epoch(self, update: int, epoch: int, step: Step, images: NDArray[np.uint8], labels: Labels) -> bool:
        """Validate, and write what the epoch was like.

        Parameters
        ----------
        update, epoch:
            Updates made so far; the epoch that they complete.
        step:
            Of its last update.
        images, labels:
            The validation set.

        Returns
        -------
        bool
            Whether the validation error is the least so far.
        """
        progress, board = self.progress, self.board
        outputs = predict(self.config, self.backend, images)
        validation = {"loss": self.backend.loss(outputs, labels), "error": metrics.error_rate(outputs, labels)}
        train = {"loss": progress.loss / progress.images, "error": progress.wrong / progress.images}
        self.last_epoch = {
            "kind": "epoch",
            "epoch": epoch,
            "update": update,
            "train": train,
            "validation": validation,
            "seconds": progress.seconds,
            "images_per_s": progress.images / progress.seconds,
        }
        self.metrics.write(self.last_epoch)
        board.scalars({f"{name}/validation": value for name, value in validation.items()}, update)
        params = self.backend.parameters()
        tables = self.backend.connections()
        board.histograms("params", [linked(params, tables)], update)
        board.histograms("grads", [linked(step.grads, tables)], update)
        traced = inputs(self.config, images[:_TRACED])
        traces = (self.backend.trace(traced[first : first + _LOT]) for first in range(0, len(traced), _LOT))
        trace = next(traces)
        layers = stages(trace, params)
        shown = {*layers, *layers.values()}
        lots = ({name: lot[name] for name in lot if name in shown} for lot in itertools.chain([trace], traces))
        board.histograms("activations", lots, update)
        self._gallery.layers(images[0], layers, trace, params, update)
        scores = metrics.probabilities(outputs, self.config.loss)
        title = f"{self.backend.name}, validation, epoch {epoch}"
        self._gallery.errors(title, outputs.argmax(axis=1), scores, images, labels, update)
        best = validation["error"] < progress.best_error
        self.progress = dataclasses.replace(
            progress,
            loss=0.0,
            wrong=0.0,
            images=0.0,
            seconds=0.0,
            best_error=min(validation["error"], progress.best_error),
            last_loss=train["loss"],
        )
        return best

    def test(
        self, update: int, epoch: int, images: NDArray[np.uint8], labels: Labels
    ) -> tuple[dict[str, float], NDArray[np.int64]]:
        """Open the test set: once, when the run has finished.

        Returns
        -------
        dict, ndarray
            Loss and error, and the class predicted for each image.
        """
        outputs, board = predict(self.config, self.backend, images), self.board
        result = {"loss": self.backend.loss(outputs, labels), "error": metrics.error_rate(outputs, labels)}
        self.metrics.write({"kind": "test", "epoch": epoch, "update": update, **result})
        board.scalars({f"{name}/test": value for name, value in result.items()}, update)
        scores = metrics.probabilities(outputs, self.config.loss)
        board.precision_recall(labels, scores, update)
        trace = self.backend.trace(inputs(self.config, images[:1000]))
        *_, penultimate, _ = stages(trace, self.backend.parameters()).values()
        board.embedding("embedding/penultimate", trace[penultimate], labels[:1000], images[:1000], update)
        predicted: Labels = outputs.argmax(axis=1)
        self._gallery.errors(f"{self.backend.name}, test", predicted, scores, images, labels, None, "-test")
        return result, predicted

    def result(self, test: Mapping[str, float] | None, update: int, per_epoch: int) -> BackendResult:
        """Return what has been reached; what has not been measured yet is None."""
        progress = self.progress
        return {
            "test_error": test["error"] if test else None,
            "test_loss": test["loss"] if test else None,
            "validation_error": progress.best_error if math.isfinite(progress.best_error) else None,
            "train_loss": progress.last_loss if math.isfinite(progress.last_loss) else None,
            "seconds": progress.total_seconds,
            "images_per_s": progress.total_images / progress.total_seconds if progress.total_seconds else 0.0,
            "updates": update,
            "epochs": update // per_epoch,
        }

    def finish(self, update: int, result: BackendResult) -> None:
        """Write the summary of a run that has finished."""
        self.metrics.write({"kind": "summary", "update": update, "result": result})
        self.board.text("text/summary", table(result), update)
        self.board.end_hparams()
        self.metrics.sync()
        self.board.flush()

    def save(self, update: int, per_epoch: int, *, best: bool = False) -> None:
        """Write a checkpoint, after everything that leads up to it is safe.

        Raises
        ------
        UserError
            If a parameter is not finite: the last good checkpoint stays.
        """
        params = self.backend.parameters()
        bad = [name for name, value in params.items() if not np.isfinite(value).all()]
        if bad:
            raise UserError(
                f"training stopped: update {update} of the {self.backend.name} backend made the parameter {bad[0]} "
                f"infinite or NaN; the last good checkpoint {self.checkpoints.last} is untouched; try a smaller --lr"
            )
        self.metrics.sync()
        self.board.flush()
        self.checkpoints.save(
            Checkpoint(
                update=update,
                epoch=update // per_epoch,
                batch=update % per_epoch,
                config_hash=self._hash,
                params=params,
                optimizer=self.backend.state(),
                progress=dataclasses.asdict(self.progress),
            ),
            best=best,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint that `experiments.checkpoint.load` has checked."""
        self.backend.load_parameters(checkpoint.params)
        self.backend.load_state(checkpoint.optimizer)
        self.progress = Progress(**checkpoint.progress)
        self._rate = self._totals()

    def close(self) -> None:
        """Close the files, and end what the backend started."""
        self.metrics.close()
        self.board.close()
        self.backend.close()

    def _clock(self, seconds: float) -> None:
        self.progress.seconds += seconds
        self.progress.total_seconds += seconds

    def _totals(self) -> tuple[float, float]:
        return self.progress.total_images, self.progress.total_seconds
