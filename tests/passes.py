"""Networks of the harness's table with a batch and its truth, and passes over it compared bit for bit."""

import numpy as np

import scratch
import torchref
from scratch.parallel import DataParallel
from scratch.passes import Pass
from tests import cases, harness
from torchref import oracle


class Drawn:
    """A network of the harness's table with its twin, a batch, and masks if it drops units."""

    def __init__(self, case: cases.NetworkCase, dtype: str, samples: int) -> None:
        rng = harness.generator(1, case.name, case.label, dtype)
        self.loss, self.twin_loss = case.loss(scratch), case.loss(torchref)
        self.masks: dict[str, np.ndarray] | None = None
        for _ in range(100):
            self.net, self.twin = harness.pair(
                case.make, scratch, dtype, lambda shape: harness.normal(rng, shape, dtype, case.scale)
            )
            self.x = harness.normal(rng, (samples, *case.inputs), dtype)
            self.target = harness.draw_target(rng, (samples, case.outputs), dtype, dense=case.dense_target)
            if self.net.dropouts():
                self.masks = self.net.forward(self.x, rng)[1].masks
            self.truth = oracle.run(oracle.thinned(self.twin, self.masks), self.twin_loss, self.x, self.target)
            if not self.truth.kinked:
                break

    def judge(self, found: Pass) -> oracle.Report:
        mine = {"output": found.output, "loss": found.value, **{f"grad/{k}": v for k, v in found.grads.items()}}
        return oracle.judge_pass(self.truth, mine, "in parts")


def same(one: Pass, other: Pass) -> bool:
    """Bit for bit, in the same order, of the same types."""
    return (
        one.value.dtype == other.value.dtype
        and one.value.tobytes() == other.value.tobytes()
        and one.output.tobytes() == other.output.tobytes()
        and list(one.grads) == list(other.grads)
        and all(grad.tobytes() == other.grads[name].tobytes() for name, grad in one.grads.items())
    )


def copied(found: Pass) -> Pass:
    return Pass(found.value, found.output.copy(), {name: grad.copy() for name, grad in found.grads.items()})


def images(samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((samples, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, samples)


def pids(parts: DataParallel) -> list[int]:
    return [worker._process.pid for worker in parts._workers]


def small() -> tuple[scratch.Sequential, np.ndarray, np.ndarray]:
    """A network of few parameters and more outputs, and a batch for it."""
    rng = np.random.default_rng(8)
    layers = {
        "conv": scratch.Conv2d(1, 2, 3, rng=rng),
        "flat": scratch.Flatten(),
        "top": scratch.Linear(72, 2, rng=rng),
    }
    x = rng.standard_normal((8, 1, 8, 8)).astype(np.float32)
    return scratch.Sequential(layers), x, rng.standard_normal((8, 2)).astype(np.float32)
