"""A small experiment that stands for all where it does not matter what is claimed."""

import dataclasses
import sys
from types import ModuleType

from experiments.lecture.catalogue import ENTRIES, Entry
from experiments.lecture.lab import WINGS, Claim

SAMPLE = Entry("sample", "神经元的运算", "a sample", "what all experiments share")


@dataclasses.dataclass(frozen=True)
class Config:
    steps: int


class Sample(ModuleType):
    """An experiment with one claim that holds, and a second one on request."""

    FULL, QUICK = Config(3), Config(2)
    second: Claim | None = None
    fault: Exception | None = None

    def run(self, lab, config):
        for wing in WINGS:
            lab.curve(wing.name, "loss/online", [1 / step for step in range(1, config.steps + 1)])
        lab.figure("line", draw, size=(3, 2), caption="A <line> & |x|", alt='a "line"')
        lab.table("numbers", ("what", "value"), [("|x|", 1.5), ("*y*", lab.seed)])
        if self.fault:
            raise self.fault
        claims = [Claim("1 < 2 and a·tanh(b·v) * 2", f"{config.steps} steps", True, {"steps": config.steps})]
        return [*claims, self.second] if self.second else claims


def draw(figure, theme):
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1 / 3], color=theme.blue)
    axes.set(xlabel="x", ylabel="y")


FAILED = Claim("2 < 1", "2 is 2", False, {"value": float("nan")})


def installed(monkeypatch) -> Sample:
    """The sample as an experiment of the catalogue, until the test ends."""
    module = Sample(SAMPLE.module)
    monkeypatch.setitem(sys.modules, SAMPLE.module, module)
    monkeypatch.setitem(ENTRIES, SAMPLE.name, SAMPLE)
    return module
