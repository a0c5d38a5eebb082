"""One attempt of a model: what it may spend, and the log of what it did spend.

Both ways of driving a model (`converse`, `scaffold`) talk to it through `Talk`, so limits on steps,
tokens and time mean the same for them. Tokens count what a reply cost when it was first asked: an
attempt replayed from the cache ends where the first one did.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from longtrace.llm import Reply, Tool
from longtrace.llm_limits import add, total
from longtrace.llm_wire import Chat, Schema
from longtrace.records import Usage

Limit = Literal["step_limit", "token_limit", "time_limit"]


class Asked(Protocol):
    """Whoever answers requests: `LLM`, or a rehearsal that costs nothing."""

    async def complete(
        self,
        messages: Sequence[Chat],
        *,
        tools: Sequence[Tool] = (),
        schema: Schema | None = None,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        sample: int = 0,
    ) -> Reply:
        """See `LLM.complete`."""
        ...


class Limits(NamedTuple):
    """What one attempt may use."""

    steps: int = 30
    """Requests to the model."""
    tokens: int = 400_000
    """Prompt and completion tokens over all requests."""
    seconds: float | None = None
    """Wall time; None for any. Attempts that it ends differ from run to run."""
    reply_tokens: int = 1024
    """Longest reply."""
    page_chars: int = 6000
    """Characters of a document that one `open` shows."""
    window_tokens: int = 24_000
    """Longest conversation; older results are shortened beyond."""


class LimitReached(Exception):
    """The attempt has used up what it had; never leaves the attempt."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.limit = limit


class Talk:
    """Requests of one attempt.

    Args:
        llm: who is asked.
        limits: what may be used.
        temperature: of every request.
        attempt: its number; equal requests of different attempts are drawn anew.
    """

    def __init__(
        self, llm: Asked, limits: Limits, *, temperature: float = 0.0, attempt: int = 0
    ) -> None:
        self._llm, self.limits = llm, limits
        self._temperature, self._attempt = temperature, attempt
        self._started = time.monotonic()
        self.usage = Usage()
        self.requests = 0
        self.last_prompt_tokens = 0

    @property
    def steps_left(self) -> int:
        """Requests that may still be made."""
        return self.limits.steps - self.requests

    async def ask(
        self,
        messages: Sequence[Chat],
        *,
        tools: Sequence[Tool] = (),
        schema: Schema | None = None,
    ) -> Reply:
        """The model's reply.

        Raises:
            LimitReached: nothing is left for a request.
            LLMError: the endpoint failed.
        """
        if self.steps_left <= 0:
            raise LimitReached("step_limit")
        if total(self.usage) >= self.limits.tokens:
            raise LimitReached("token_limit")
        seconds = self.limits.seconds
        if seconds is not None and time.monotonic() - self._started >= seconds:
            raise LimitReached("time_limit")
        reply = await self._llm.complete(
            messages,
            tools=tools,
            schema=schema,
            temperature=self._temperature,
            max_tokens=self.limits.reply_tokens,
            sample=self._attempt,
        )
        self.requests += 1
        self.usage = add(self.usage, reply.paid)
        self.last_prompt_tokens = reply.paid.prompt_tokens
        return reply
