"""Losses that do in another process what a process should not do: in a module that it can import, without torch."""

import json
import os
import signal
import sys
import threading
import time
import warnings
from typing import Any

from scratch import SquaredError


class Elsewhere(SquaredError):
    """What it does, it does not in the process that made it."""

    def __init__(self) -> None:
        super().__init__()
        self.home = os.getpid()

    def forward(self, output: Any, target: Any) -> Any:
        if os.getpid() != self.home:
            self.act()
        return super().forward(output, target)

    def act(self) -> None:
        raise NotImplementedError


class Killed(Elsewhere):
    def act(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Reporting(Elsewhere):
    def act(self) -> None:
        report = {"modules": list(sys.modules), "session": os.getsid(0), "threads": os.environ["OMP_NUM_THREADS"]}
        raise LookupError(json.dumps(report))


class Counting(Elsewhere):
    """Notes in how many threads BLAS computes here."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, output: Any, target: Any) -> Any:
        if os.getpid() == self.home:
            from threadpoolctl import threadpool_info

            self.seen += [blas["num_threads"] for blas in threadpool_info() if blas["user_api"] == "blas"]
        return super().forward(output, target)

    def act(self) -> None:
        pass


class Interrupted(Elsewhere):
    """Ctrl-C here, while the other has not answered yet and will not soon."""

    def forward(self, output: Any, target: Any) -> Any:
        if os.getpid() == self.home:
            raise KeyboardInterrupt
        return super().forward(output, target)

    def act(self) -> None:
        time.sleep(60)


class Word(UserWarning):
    """Can be sent, but arrives as a word that is no number."""

    def __reduce__(self) -> Any:
        return int, ("five",)


class Unreadable(Elsewhere):
    def act(self) -> None:
        warnings.warn(Word(), stacklevel=1)


class TwoWordsError(Exception):
    """Copied by its one argument, made of two: it cannot be made again."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


ERRORS = {
    "plain": lambda: ArithmeticError("for no reason"),
    "not to be copied": lambda: ArithmeticError(threading.Lock()),
    "not to be made again": lambda: TwoWordsError("one", "two"),
}


class Raising(SquaredError):
    """Raises an error of `ERRORS`."""

    def __init__(self, error: str) -> None:
        super().__init__()
        self.error = error

    def forward(self, output: Any, target: Any) -> Any:  # noqa: ARG002
        raise ERRORS[self.error]()
