"""Work in order on several processes, and progress on stderr.

Results come back in the order of the items whatever the number of workers, so a stage writes the
same bytes with one process or eight, and may stop early without having kept more than it asked
for.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

ItemT = TypeVar("ItemT")
OutT = TypeVar("OutT")


def ordered_map(
    function: Callable[[ItemT], OutT],
    items: Iterable[ItemT],
    *,
    workers: int,
    setup: Callable[..., None],
    setup_args: tuple[object, ...] = (),
) -> Iterator[OutT]:
    """`function` of every item, in order, at most `4 * workers` items ahead of what has been taken.

    `setup(*setup_args)` runs once in every worker before its first item. With one worker
    everything happens in this process. `function`, `setup` and the items must be picklable.
    """
    if workers == 1:
        setup(*setup_args)
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    start = partial(_start_worker, setup, setup_args)
    pool = ProcessPoolExecutor(workers, context, initializer=start)
    try:
        waiting = iter(items)
        ahead: deque[Future[OutT]] = deque()
        for item in itertools.islice(waiting, 4 * workers):
            ahead.append(pool.submit(_call, function, item))
        while ahead:
            yield ahead.popleft().result()
            for item in itertools.islice(waiting, 1):
                ahead.append(pool.submit(_call, function, item))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(setup: Callable[..., None], setup_args: tuple[object, ...]) -> None:
    """Prepare a worker that ends with its parent, also when the parent is killed."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    try:
        setup(*setup_args)
    except Exception as error:  # raised with the first item: a pool would only say it is broken
        _Worker.failure = error


class _Worker:
    """State of a worker process."""

    failure: Exception | None = None
    """What went wrong in its preparation."""


def _call(function: Callable[[ItemT], OutT], item: ItemT) -> OutT:
    if _Worker.failure is not None:
        raise _Worker.failure
    return function(item)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, silent where that is not a terminal; yields `advance_to(done)`."""
    columns = (
        TextColumn("{task.description:13}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)
