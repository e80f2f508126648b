"""The training loop: one code path for one backend and for two in lockstep."""

import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

from experiments import data, manifest, parity, resuming, runs
from experiments.backend import Array, Labels, Step
from experiments.backends import ScratchBackend, build, find_device, initial_parameters
from experiments.batches import epoch_order, in_words, updates_per_epoch
from experiments.checkpoint import Checkpoint
from experiments.config import TrainConfig
from experiments.console import Reporter
from experiments.data import Dataset
from experiments.dropout import draw_masks
from experiments.errors import UserError
from experiments.interrupt import Interrupt
from experiments.lock import exclusive
from experiments.metrics import cut_after, read_rows
from experiments.networks import data_shape, read, title
from experiments.nonfinite import find_nonfinite
from experiments.schedule import learning_rate
from experiments.summary import BackendResult, Parity, Summary, loss_text
from experiments.tensorboard import quiet_writer_threads
from experiments.threads import limited_threads
from experiments.verdict import missing_updates, verdict
from experiments.wing import Wing
from torchref.oracle.criteria import DRIFT_STEPS


def train(config: TrainConfig, *, runs_dir: Path, resume: bool, overwrite: bool, report: Reporter) -> Summary:
    """Train as the settings say, and write the run folder.

    Parameters
    ----------
    config:
        The settings.
    runs_dir:
        Folder in which the run's folder is made.
    resume:
        Continue the run that is there; it goes on bit for bit as if it had never stopped.
    overwrite:
        Replace the run that is there.
    report:
        Told what happens.

    Returns
    -------
    Summary
        What was reached; if SIGINT or SIGTERM came, with `interrupted` set: everything is saved then.

    Raises
    ------
    UserError
        If the run exists, another process is training it, it cannot be continued, its data or device is not there, the
        system refuses to write, or a number stops being finite.
    """
    if resume and overwrite:
        raise UserError("--resume continues the run that is there, --overwrite replaces it; give one", exit_code=2)
    with limited_threads(config.threads), quiet_writer_threads(), contextlib.ExitStack() as stack:
        dataset = data.load(config.dataset, config.data_dir)
        training = Training(config, runs_dir, dataset, report, stack)
        find_device(config.device)
        if resume:
            runs.check_resumable(training.folders, config)
        stack.enter_context(exclusive(training.root))  # after all that can be refused without making a folder
        finished = resuming.finished(training.folders, config, training.root, training.updates) if resume else None
        if finished:
            report.epoch_line("already finished" + "; a larger --epochs continues it" * config.may_grow)
        else:
            training.open(resume=resume, overwrite=overwrite)
            finished = training.run()
        report.finish(finished)
        return finished


class Training:
    """One call of `train`: what its steps share.

    Parameters
    ----------
    config, runs_dir, report:
        As in `train`.
    dataset:
        The data, loaded.
    stack:
        Closes what is opened.
    """

    def __init__(
        self, config: TrainConfig, runs_dir: Path, dataset: Dataset, report: Reporter, stack: contextlib.ExitStack
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.report = report
        self.stack = stack
        self.root = runs.run_root(runs_dir, config)
        self.folders = runs.folders(runs_dir, config)
        self.per_epoch = updates_per_epoch(len(dataset.train.labels), config.batch_size)
        self.shape = data_shape(dataset)
        self.updates = config.epochs * self.per_epoch
        self.wings: list[Wing] = []
        self.lockstep: parity.Lockstep | None = None
        self.done = 0

    def open(self, *, resume: bool, overwrite: bool) -> None:
        """Make or reopen the run folder, build the networks, and put them where the run begins or continues."""
        config = self.config
        params = initial_parameters(config, self.shape)
        backends = {name: build(name, config, params, self.shape) for name in runs.backend_names(config)}
        description = manifest.describe(self.dataset, config.dtype, config.device)
        start: dict[str, Checkpoint] | None = None
        if resume:
            resuming.check_data(self.folders, self.dataset)
            start = resuming.find_start(self.folders, config, params, self.report.epoch_line)
        else:
            runs.create(self.folders, config, overwrite=overwrite)
        self.done = next(iter(start.values())).update if start else 0
        if resume and config.backend == "both":
            resuming.check_comparison(self.folders["diff"], config, self.done)
        if resume:
            runs.record(self.folders, config)
        for folder in self.folders.values():
            if resume:
                cut_after(folder.metrics, self.done)
                manifest.resume(folder.manifest, description, self.done)
            else:
                manifest.start(folder.manifest, description)
        sha256 = ""
        after = self.done if start else None
        for name, backend in backends.items():
            folder = self.folders[name]
            runs.make_subfolders(folder)
            sha256 = runs.write_init(folder, params)
            wing = Wing(backend, folder, config, after)
            self.stack.callback(wing.close)
            self.wings.append(wing)
            if start:
                wing.restore(start[name])
            else:
                wing.save(0, self.per_epoch)
        if config.backend == "both":
            self.lockstep = parity.Lockstep(config, self.folders["diff"], self.shape, after)
            self.stack.callback(self.lockstep.close)
        self._header(sha256)

    def run(self) -> Summary:
        """Train from where the run stands to its last epoch, test, and judge."""
        config, train = self.config, self.dataset.train
        with Interrupt() as interrupt:
            for epoch in range(self.done // self.per_epoch + 1, config.epochs + 1):
                order = epoch_order(config.seed, epoch, len(train.labels))
                begun, first = time.perf_counter(), self.done % self.per_epoch
                for batch, (images, labels) in enumerate(read(config, train, order, first), first + 1):
                    update = (epoch - 1) * self.per_epoch + batch
                    steps = self._update(update, epoch, batch, images, labels)
                    self.done = update
                    loss, fresh = steps[0].loss, (batch - first) * config.batch_size
                    rate = fresh / (time.perf_counter() - begun)
                    self.report.progress(
                        epoch,
                        config.epochs,
                        min(batch * config.batch_size, len(train.labels)),
                        len(train.labels),
                        loss,
                        rate,
                    )
                    best = [False] * len(self.wings)
                    if batch == self.per_epoch:
                        best = self._end_epoch(update, epoch, steps)
                    stop = interrupt.signal  # read once: what is saved and what is reported must be one decision
                    if batch == self.per_epoch or update % config.checkpoint_every == 0 or stop:
                        self._save(best)
                    if stop:
                        return self._summary(None, None, stop)
            return self.finish()

    def finish(self) -> Summary:
        """Open the test set, once per finished run, and write the summary."""
        test, epoch = self.dataset.test, self.config.epochs
        results, predicted = zip(
            *(wing.test(self.done, epoch, test.images, test.labels) for wing in self.wings), strict=True
        )
        found = None
        if self.lockstep:
            rows = read_rows(self.folders["diff"].metrics, "parity")
            errors = (results[0]["error"], results[1]["error"])
            gaps = missing_updates(rows, self.config.log_every, self.done, finished=True)
            found = verdict(rows, self.config.dtype, errors, (predicted[0], predicted[1]), gaps)
            self.lockstep.finish(self.done, found)
        summary = self._summary(list(results), found, None)
        for wing in self.wings:
            wing.finish(self.done, summary.backends[wing.backend.name])
        for folder in self.folders.values():
            manifest.finish(folder.manifest)
        return summary

    def _update(self, update: int, epoch: int, batch: int, images: Array, labels: Labels) -> list[Step]:
        """Make one update in every backend, and log it when it is due."""
        lr = learning_rate(self.config.schedule, self.config.lr, update - 1, self.updates)
        for wing in self.wings:
            wing.backend.lr = lr
        masks = draw_masks(self.config, update, len(labels))
        steps = [wing.compute(images, labels, masks) for wing in self.wings]
        for wing, step in zip(self.wings, steps, strict=True):
            began = find_nonfinite(wing.backend, images, step, masks)
            if began:
                raise UserError(
                    f"training stopped at update {update:,} (epoch {epoch}, batch {batch}): in the {wing.backend.name} "
                    f"backend the {began} is infinite or NaN, the first in the order of computation; the last good "
                    f"checkpoint {wing.checkpoints.last} is untouched; try a smaller --lr"
                )
        logged = update == 1 or not update % self.config.log_every
        # The network that an epoch ends with is compared too: with few updates it would be the untrained one only.
        if not logged and not (self.lockstep and batch == self.per_epoch):
            for wing, step in zip(self.wings, steps, strict=True):
                wing.update(step)
            if self.lockstep and update == DRIFT_STEPS:
                self.lockstep.log_params(update, epoch, self._both_parameters())
            return steps
        traces = [wing.backend.trace(images, masks) for wing in self.wings]
        before = [{name: p.copy() for name, p in wing.backend.parameters().items()} for wing in self.wings]
        first, forced, velocity = self.wings[0].backend, {}, {}
        if self.lockstep and isinstance(first, ScratchBackend):
            forced, velocity = self.lockstep.forced(first, images, labels, steps[0], traces[0], masks), first.state()
        for wing, step, old, trace in zip(self.wings, steps, before, traces, strict=True):
            wing.update(step)
            if logged:
                wing.log(update, epoch, step, labels, old, trace)
        if self.lockstep and isinstance(first, ScratchBackend):
            row = self.lockstep.forced_update(first, lr, steps[0].grads, before[0], velocity)
            forced |= {key: forced[key] | row[key] for key in row}
        if self.lockstep:
            self.lockstep.log(
                update, epoch, (steps[0], steps[1]), (traces[0], traces[1]), self._both_parameters(), forced
            )
        return steps

    def _end_epoch(self, update: int, epoch: int, steps: list[Step]) -> list[bool]:
        """Validate, and say how the epoch went; return which backends are at their best so far."""
        validation = self.dataset.validation
        seconds = [wing.progress.seconds for wing in self.wings]
        best = [
            wing.end_epoch(update, epoch, step, validation.images, validation.labels)
            for wing, step in zip(self.wings, steps, strict=True)
        ]
        parts = []
        for wing, spent in zip(self.wings, seconds, strict=True):
            row = wing.last_epoch
            loss, validated = (loss_text(row[split]["loss"]) for split in ("train", "validation"))
            parts.append(
                f"{wing.backend.name}: loss {loss}, validation {validated}, "
                f"error {row['validation']['error']:.2%}, {spent:.1f} s"
            )
        self.report.epoch_line(f"epoch {epoch}/{self.config.epochs}  " + "   ".join(parts))
        return best

    def _summary(self, tests: list[dict[str, float]] | None, found: Parity | None, interrupted: int | None) -> Summary:
        backends: dict[str, BackendResult] = {}
        for number, wing in enumerate(self.wings):
            test = tests[number] if tests else None
            backends[wing.backend.name] = wing.result(test, self.done, self.per_epoch)
        return Summary(self.root, backends, found, interrupted)

    def _save(self, best: list[bool]) -> None:
        """Save every backend. A kill between two of them is why the previous checkpoints are kept."""
        if self.lockstep:
            self.lockstep.save()
        for wing, is_best in zip(self.wings, best, strict=True):
            wing.save(self.done, self.per_epoch, best=is_best)

    def _both_parameters(self) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
        return self.wings[0].backend.parameters(), self.wings[1].backend.parameters()

    def _header(self, sha256: str) -> None:
        sizes = [len(split.labels) for split in (self.dataset.train, self.dataset.validation, self.dataset.test)]
        counts = " / ".join(f"{size:,}" for size in sizes)
        network = title(self.config, self.shape, self.wings[0].backend.num_parameters())
        where = f"   continues after update {self.done:,}" if self.done else ""
        self.report.header(
            [
                f"run {self.root}   weights init.npz sha256 {sha256[:16]}…{where}",
                f"data {self.dataset.name} {counts} (train/validation/test, {self._verified()})   "
                f"{in_words(self.per_epoch, self.config.batch_size)}",
                f"net {network}, {self.config.activation}, {self.config.loss}, {self.config.dtype}, "
                f"{' and '.join(runs.backend_names(self.config))}   "
                "losses shown are the data's, without the weight decay's penalty",
            ]
        )

    def _verified(self) -> str:
        unverified, files = len(self.dataset.unverified), len(self.dataset.sha256)
        return f"no published digest for {unverified} of {files} files" if unverified else "sha256 ok"
