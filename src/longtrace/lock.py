"""One process at a time in a stage's folder: two would write their rows between each other's."""

from __future__ import annotations

import errno
import fcntl
import os
import weakref
from pathlib import Path
from typing import Self

from longtrace.errors import RunFolderError


class Lock:
    """Holds a folder against other processes until `release`, or until this process ends.

    The lock is the kernel's, on an empty file beside the folder: `kill -9` releases it, child
    processes do not inherit it, and `--fresh` does not delete it. This process may open the folder
    twice; the lock goes with the first that is closed. Where the file system has no locks, there is
    none.

    Raises:
        RunFolderError: another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        path = folder.with_name(f".{folder.name}.lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.release = weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                self.release()
                raise RunFolderError(
                    f"{folder}: another process is at work on this stage; "
                    "wait until it ends, or use another --run"
                ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()
