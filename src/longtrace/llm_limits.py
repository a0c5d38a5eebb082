"""What keeps a client within bounds: pace, budget, calls at once, and a cache of replies.

The cache makes a rerun free.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import orjson

from longtrace.errors import InputError, LongtraceError
from longtrace.records import Usage

ItemT = TypeVar("ItemT")
OutT = TypeVar("OutT")
Settle: TypeAlias = Callable[[Usage], None]
"""Tells the budget what a request really used."""
_BURST_S = 5.0
_COLLECT_AFTER = 50_000
"""New objects after which to look for cyclic garbage: with hundreds of attempts alive, looking
after every 700 takes a quarter of all processor time."""


class LLMError(LongtraceError):
    """An endpoint could not be reached or refused; nothing is known about the answer."""


class BudgetError(LLMError):
    """The next request might exceed the budget; every reply so far is in the cache."""


class Pace:
    """At most `per_minute` units a minute, with at most five seconds' worth at once."""

    def __init__(self, per_minute: int | None) -> None:
        self._unit_s = 60.0 / per_minute if per_minute else 0.0
        self._due = 0.0

    async def wait(self, units: float) -> None:
        """Return when `units` more may be used."""
        if not self._unit_s:
            return
        now = time.monotonic()
        self._due = max(self._due, now - _BURST_S) + units * self._unit_s
        if self._due > now:
            await asyncio.sleep(self._due - now)

    def correct(self, units: float) -> None:
        """Count `units` more (or fewer, if negative) than were waited for."""
        self._due += units * self._unit_s


class Budget:
    """Tokens and cost that one client may use; what is under way counts with its estimate."""

    def __init__(self, tokens: int | None, cost: float | None) -> None:
        self.tokens, self.cost = tokens, cost
        self.used = Usage()
        self._held = Usage()
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def reserve(self, guess: Usage) -> AsyncIterator[Settle]:
        """Hold `guess` until the block ends; waits while only requests under way are in the way.

        Raises:
            BudgetError: what has been used leaves no room for `guess`.
        """
        if self.tokens is None and self.cost is None:
            yield self._settle
            return
        async with self._freed:
            while not self._fits(add(self._held, guess)):
                if not self._fits(guess):
                    raise BudgetError(self._message(guess))
                await self._freed.wait()
            self._held = add(self._held, guess)

        try:
            yield self._settle
        finally:
            async with self._freed:
                self._held = add(self._held, guess, -1)
                self._freed.notify_all()

    def _settle(self, usage: Usage) -> None:
        self.used = add(self.used, usage)

    def _fits(self, more: Usage) -> bool:
        after = add(self.used, more)
        tokens, cost = after.prompt_tokens + after.completion_tokens, after.cost
        return (self.tokens is None or tokens <= self.tokens) and (
            self.cost is None or cost <= self.cost + 1e-12
        )

    def _message(self, guess: Usage) -> str:
        used, need = total(self.used), total(guess)
        if self.tokens is not None and used + need > self.tokens:
            return (
                f"budget of {self.tokens} tokens: {used} used, the next request may need {need}; "
                "raise the budget and run the same command again"
            )
        return (
            f"budget of {self.cost:g}: {self.used.cost:.4f} spent, the next request may cost "
            f"{guess.cost:.4f}; raise the budget and run the same command again"
        )


async def in_order(
    function: Callable[[ItemT], Awaitable[OutT]],
    items: Iterable[ItemT],
    *,
    ahead: int,
    held: int = 0,
) -> AsyncGenerator[OutT, None]:
    """`function` of every item, in the order of the items, many of them under way at once.

    When one fails or the caller stops, those under way are cancelled; when the budget is used up
    they go on until they meet it too, since what was asked is paid and its reply is to be kept, and
    no other is begun. Until then Python looks for cyclic garbage more rarely.

    Args:
        function: called once an item.
        items: taken as they are needed.
        ahead: most items under way at a time.
        held: results that may wait for an earlier one while others are begun in their place; with 0
            a slow item soon leaves nothing under way but itself.
    """
    usual, *older = gc.get_threshold()
    gc.set_threshold(max(usual, _COLLECT_AFTER), *older)
    free, over = asyncio.Semaphore(ahead), list[BudgetError]()

    async def begin(item: ItemT) -> OutT:
        async with free:
            if over:
                raise over[0]
            return await function(item)

    coming = iter(items)
    begun = deque(asyncio.ensure_future(begin(item)) for item in islice(coming, ahead + held))
    try:
        while begun:
            yield await begun[0]
            begun.popleft()
            begun.extend(asyncio.ensure_future(begin(item)) for item in islice(coming, 1))
    except BudgetError as error:
        over.append(error)
        await asyncio.gather(*begun, return_exceptions=True)
        raise
    finally:
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
        gc.set_threshold(usual, *older)


class Cache:
    """Responses by request in one SQLite file; each process has one connection that writes."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._base = sqlite3.connect(path or ":memory:", timeout=60, isolation_level=None)
            self._base.execute("pragma journal_mode = wal")
            self._base.execute("pragma synchronous = normal")
            self._base.execute(
                "create table if not exists replies (key text primary key, value blob not null)"
                " without rowid"
            )
        except sqlite3.Error as error:
            raise InputError(f"{path}: not a cache of replies ({error}); delete it") from None

    def get(self, key: str) -> dict[str, Any] | None:
        """The response stored under `key`."""
        row = self._base.execute("select value from replies where key = ?", (key,)).fetchone()
        value: dict[str, Any] | None = orjson.loads(row[0]) if row else None
        return value

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Store a response; it survives the process at once."""
        self._base.execute(
            "insert or replace into replies values (?, ?)", (key, orjson.dumps(value))
        )

    def close(self) -> None:
        """Close the file."""
        self._base.close()


def add(left: Usage, right: Usage, sign: int = 1) -> Usage:
    """`left` plus `sign` times `right`."""
    return Usage(
        prompt_tokens=left.prompt_tokens + sign * right.prompt_tokens,
        completion_tokens=left.completion_tokens + sign * right.completion_tokens,
        cost=left.cost + sign * right.cost,
    )


def total(usage: Usage) -> int:
    """Prompt and completion tokens together."""
    return usage.prompt_tokens + usage.completion_tokens
