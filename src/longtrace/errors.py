"""The errors a user may see, each a single line that says what to do next.

`LongtraceError` means we failed (exit code 1), `InputError` that something given to us must change
(exit code 2). They are raised at boundaries only: a file read, a configuration, a run folder, an
optional dependency. A question without an answer, a trajectory without a citation or a verdict
without a judge are data, not errors.
"""

from __future__ import annotations

import shlex
from pathlib import Path


class LongtraceError(Exception):
    """Something failed on our side; the message names the remedy."""

    exit_code = 1

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross process borders with their message alone."""
        return _restore, (type(self), str(self))


def _restore(kind: type[LongtraceError], message: str) -> LongtraceError:
    error = kind.__new__(kind)
    error.args = (message,)
    return error


class InputError(LongtraceError, ValueError):
    """The caller's input must change: a file, a row, an option or a configuration key."""

    exit_code = 2


class RowError(InputError):
    """A row of an input file cannot be read."""

    def __init__(self, path: Path | str, line: int, what: str, remedy: str) -> None:
        super().__init__(f"{path}:{line}: {what}; {remedy}")


class MissingExtraError(LongtraceError):
    """A verb needs packages that the core install leaves out."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; run: pip install 'longtrace[{extra}]'")
        self.package, self.extra = package, extra


class RunFolderError(InputError):
    """A run folder was made otherwise than asked now, or an earlier stage is missing."""


def command(verb: str, run: Path, *more: str) -> str:
    """What to type to run `verb` on the run folder `run`, quoted for a shell."""
    return shlex.join(["longtrace", verb, *more, "--run", str(run)])
