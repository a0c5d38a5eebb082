"""What keeps a client within bounds: pace, budget, and the cache that makes a rerun free."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from longtrace.errors import InputError, LongtraceError
from longtrace.records import Usage

Settle: TypeAlias = Callable[[Usage], None]
"""Tells the budget what a request really used."""
_BURST_S = 5.0


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
