"""What a user did that cannot work, said in a sentence: the command line prints it without a traceback."""

import difflib
from collections.abc import Iterable
from typing import Final

USAGE_ERROR: Final = 2


class UserError(Exception):
    """A refusal addressed to the user.

    Parameters
    ----------
    message:
        What came, what was expected, and what to do about it.
    exit_code:
        Process exit status: 1 for a failure, 2 for a usage error.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def close_matches(word: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the known word nearest to this one, or nothing."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else ""
