"""One asynchronous client for every OpenAI-compatible endpoint.

Replies are cached by the content of the request in SQLite, so that a killed run replays for free.
Retries honour Retry-After; requests and tokens a minute are paced; a token or money budget stops
before it is exceeded. An outage raises `LLMError`, which callers turn into "unknown", never into
"wrong". The key is read from the environment variable whose name is configured, at the moment of
the request, and is never stored or logged.
"""

from __future__ import annotations

import asyncio
import email.utils
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from pydantic import Field

from longtrace.config import Config
from longtrace.errors import InputError
from longtrace.llm_http import Http, HttpError
from longtrace.llm_limits import Budget, BudgetError, Cache, LLMError, Pace, total
from longtrace.llm_wire import RUNGS, Ask, Chat, Reply, Rung, Schema, Tool, payload, read_reply
from longtrace.records import Message, Record, Usage, content_id

_log = logging.getLogger(__name__)
_RETRIED = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_MAX_WAIT_S = 120.0
__all__ = ["LLM", "BudgetError", "Endpoint", "LLMError", "Reply", "Spent", "Tool"]
_PROBE_TOOL = Tool(
    name="note",
    description="Write a word down.",
    parameters={
        "type": "object",
        "properties": {"word": {"type": "string"}},
        "required": ["word"],
    },
)


class Endpoint(Config):
    """An OpenAI-compatible endpoint and what may be spent on it."""

    base_url: str = ""
    """Address up to and including /v1; empty for none."""
    model: str = ""
    """Name of the model, as the endpoint knows it."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; it may be unset for a local server."""
    rung: Rung | None = None
    """How structure is asked for: tools, json or plain; found out by asking if not given."""
    timeout_s: float = Field(default=120.0, gt=0)
    """Seconds for one attempt at one request."""
    retries: int = Field(default=6, ge=0)
    """Attempts after the first; the waits double from --retry-wait-s."""
    retry_wait_s: float = Field(default=1.0, ge=0)
    """Seconds before the first retry, half of it chance; Retry-After wins if it is longer."""
    concurrency: int = Field(default=64, ge=1)
    """Requests under way at a time."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """Requests a minute at most."""
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """Prompt and completion tokens a minute at most."""
    budget_tokens: int | None = Field(default=None, ge=1)
    """Stop before prompt and completion tokens of one run together exceed this."""
    budget_cost: float | None = Field(default=None, gt=0)
    """Stop before the cost of one run exceeds this; needs the prices."""
    prompt_price: float = Field(default=0.0, ge=0)
    """Price of a million prompt tokens, in any currency."""
    completion_price: float = Field(default=0.0, ge=0)
    """Price of a million completion tokens."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Further keys of the request body as a JSON object, such as chat_template_kwargs."""

    @property
    def priced(self) -> bool:
        """Whether a cost can be told."""
        return self.prompt_price > 0 or self.completion_price > 0

    def identity(self) -> dict[str, Any]:
        """What replies depend on; limits, prices and waits do not belong to it."""
        keys = {"base_url", "model", "rung", "extra_body"}
        return self.model_dump(mode="json", include=keys)


class Spent(Record):
    """What a client has used so far."""

    requests: int = 0
    """Requests that were answered; retries and cached replies are not among them."""
    cached: int = 0
    retries: int = 0
    failed: int = 0
    """Requests given up."""
    usage: Usage = Usage()

    @property
    def text(self) -> str:
        """All of it in words."""
        cost = f", cost {self.usage.cost:.4f}" if self.usage.cost else ""
        return (
            f"{self.requests} requests, {self.cached} from the cache, {self.failed} failed, "
            f"{self.usage.prompt_tokens} + {self.usage.completion_tokens} tokens{cost}"
        )


class LLM:
    """A client for one endpoint. Use as an asynchronous context manager on one event loop.

    Args:
        endpoint: where to ask.
        cache: SQLite file of replies, made if missing; None keeps them in memory.
    """

    def __init__(self, endpoint: Endpoint, cache: Path | None = None) -> None:
        if not endpoint.base_url or not endpoint.model:
            raise InputError("no model to ask: give the endpoint's base URL and the model's name")
        if endpoint.budget_cost is not None and not endpoint.priced:
            raise InputError("--budget-cost needs --prompt-price or --completion-price; give them")
        self.endpoint = endpoint
        self._counts = Counter[str]()
        self._cache = Cache(cache)
        self._rung: Rung | None = endpoint.rung
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._once: dict[str, asyncio.Lock] = {}
        self._probing = asyncio.Lock()
        self._requests = Pace(endpoint.requests_per_minute)
        self._tokens = Pace(endpoint.tokens_per_minute)
        self._budget = Budget(endpoint.budget_tokens, endpoint.budget_cost)
        self._not_before = 0.0
        self._jitter = random.Random()
        self._http = Http(endpoint.base_url, endpoint.api_key_env, endpoint.timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.close()
        self._cache.close()

    @property
    def spent(self) -> Spent:
        """What has been used so far."""
        return Spent(**self._counts, usage=self._budget.used)

    async def complete(
        self,
        messages: Sequence[Chat],
        *,
        tools: Sequence[Tool] = (),
        schema: Schema | None = None,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        sample: int = 0,
        usable: Callable[[Reply], bool] | None = None,
    ) -> Reply:
        """The model's reply, from the cache where the same was asked before.

        Args:
            messages: the conversation.
            tools: functions the model may call; the reply's `tool_calls` on every rung.
            schema: JSON schema of an object the reply must be; the reply's `data`, or None if the
                model gave no such object.
            temperature: 0 for the likeliest reply.
            max_tokens: longest reply.
            sample: a number that sets equal requests apart, for several draws of the same.
            usable: whether a reply is worth keeping; another one is given back, but asked for again
                by the next equal request. All are kept if None.

        Raises:
            LLMError: the endpoint failed, refused or timed out after all retries.
            BudgetError: the request might exceed the budget.
        """
        ask = Ask(messages, tools, schema, temperature, max_tokens)
        rung = await self._ladder() if tools or schema is not None else "plain"
        return await self._ask(ask, rung, sample, usable=usable)

    async def _ask(
        self,
        ask: Ask,
        rung: Rung,
        sample: int,
        *,
        retries: int | None = None,
        usable: Callable[[Reply], bool] | None = None,
    ) -> Reply:
        body = {**payload(ask, self.endpoint.model, rung), **self.endpoint.extra_body}
        key = content_id(self.endpoint.base_url, body, sample)
        raw = orjson.dumps(body)
        async with self._once.setdefault(key, asyncio.Lock()):
            try:
                known = self._cache.get(key)
                reply = read_reply(known, ask, rung) if known is not None else None
                if known is not None and reply is not None and (usable is None or usable(reply)):
                    self._counts["cached"] += 1
                    paid = _told(known, self.endpoint, self._guess(raw, ask))
                    return reply.model_copy(update={"cached": True, "paid": paid})
                said, reply = await self._send(raw, ask, rung, retries)
                if usable is None or usable(reply):
                    self._cache.put(key, said)
                return reply
            finally:
                self._once.pop(key, None)

    async def _send(
        self, body: bytes, ask: Ask, rung: Rung, retries: int | None
    ) -> tuple[dict[str, Any], Reply]:
        tries = 1 + (self.endpoint.retries if retries is None else retries)
        guess = self._guess(body, ask)
        async with self._slots, self._budget.reserve(guess) as settle:
            for attempt in range(tries):
                await self._wait_turn(guess)
                try:
                    said = await self._http.post(body)
                    reply = read_reply(said, ask, rung)
                except Exception as error:
                    wait = self._wait_s(error, attempt)
                    if wait is None or attempt + 1 == tries:
                        self._counts["failed"] += 1
                        raise LLMError(self._explain(error, attempt + 1)) from None
                    self._counts["retries"] += 1
                    self._not_before = max(self._not_before, time.monotonic() + wait[1])
                    await asyncio.sleep(wait[0])
                    continue
                usage = _told(said, self.endpoint, guess)
                settle(usage)
                self._tokens.correct(total(usage) - total(guess))
                self._counts["requests"] += 1
                return said, reply.model_copy(update={"usage": usage, "paid": usage})
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _guess(self, body: bytes, ask: Ask) -> Usage:
        """What a request may use at most, from its length."""
        return _usage(self.endpoint, len(body) // 3, ask.max_tokens)

    async def _wait_turn(self, guess: Usage) -> None:
        pause = self._not_before - time.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        await self._requests.wait(1)
        await self._tokens.wait(total(guess))

    def _wait_s(self, error: Exception, attempt: int) -> tuple[float, float] | None:
        """Seconds before this request's next attempt, and before anyone's; None to give up."""
        http = error if isinstance(error, HttpError) else None
        if http and (http.status not in _RETRIED or http.code == "insufficient_quota"):
            return None
        longest = min(_MAX_WAIT_S, self.endpoint.retry_wait_s * 2**attempt)
        own = longest * (0.5 + self._jitter.random() / 2)
        told = _retry_after(http.retry_after) if http else 0.0
        if told > _MAX_WAIT_S:
            return None
        return max(own, told), told

    def _explain(self, error: Exception, attempts: int) -> str:
        where = f"{self.endpoint.base_url} ({self.endpoint.model})"
        status = error.status if isinstance(error, HttpError) else None
        what = (
            "timed out" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        )
        key = os.environ.get(self.endpoint.api_key_env)
        what = " ".join((what.replace(key, "***") if key else what).split())[:300]
        if status in (401, 403):
            return f"{where}: {what}; put a valid key in ${self.endpoint.api_key_env}"
        if status is not None and status not in _RETRIED:
            return f"{where}: {what}; the request was refused, check model and options"
        if isinstance(error, HttpError) and error.code == "insufficient_quota":
            return f"{where}: {what}; top up the account and run the same command again"
        rest = _retry_after(error.retry_after) if isinstance(error, HttpError) else 0.0
        if rest > _MAX_WAIT_S:
            return f"{where}: {what}; it asks for {rest:.0f} s of rest, run the same command then"
        return f"{where}: {what}; gave up after {attempts} attempts, run the same command again"

    async def _ladder(self) -> Rung:
        """The best rung the endpoint has, asked once and remembered in the cache."""
        async with self._probing:
            if self._rung is None:
                self._rung = await self._probe()
        return self._rung

    async def _probe(self) -> Rung:
        key = content_id("rung", self.endpoint.identity())
        known = self._cache.get(key)
        if known is not None:
            found: Rung = known["rung"]
            return found
        said = Message(role="user", content="Note the word: tree. Use the tool `note`.")
        problem = ""
        for rung in RUNGS[:2]:
            tools = (_PROBE_TOOL,) if rung == "tools" else ()
            schema = None if tools else _PROBE_TOOL.parameters
            try:
                reply = await self._ask(Ask((said,), tools, schema, 0.0, 64), rung, 0, retries=1)
            except BudgetError:
                raise
            except LLMError as error:
                problem = str(error)
                continue
            if reply.tool_calls or reply.data is not None:
                break
        else:
            rung = "plain"
            await self._ask(Ask((said,), max_tokens=64), rung, 0)  # an outage is not a capability
        _log.info("%s: structure by %s %s", self.endpoint.base_url, rung, problem)
        self._cache.put(key, {"rung": rung})
        return rung


def _told(said: dict[str, Any], endpoint: Endpoint, guess: Usage) -> Usage:
    """The usage a response states; the estimate for what it does not state."""
    told = said.get("usage")
    told = told if isinstance(told, dict) else {}
    prompt, completion = told.get("prompt_tokens"), told.get("completion_tokens")
    return _usage(
        endpoint,
        prompt if isinstance(prompt, int) else guess.prompt_tokens,
        completion if isinstance(completion, int) else guess.completion_tokens,
    )


def _usage(endpoint: Endpoint, prompt: int, completion: int) -> Usage:
    cost = (prompt * endpoint.prompt_price + completion * endpoint.completion_price) / 1e6
    return Usage(prompt_tokens=prompt, completion_tokens=completion, cost=cost)


def _retry_after(value: str | None) -> float:
    """Seconds a Retry-After header asks for, as a number or a date; 0 for none."""
    if not value:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        until = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
