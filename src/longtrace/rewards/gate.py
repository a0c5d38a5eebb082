"""What stands before every request: token, queue, size, time, counters and one log line.

Nothing of a request's text is ever logged or counted. What was accepted is finished; what does not
fit into the queue is refused at once with a time to come back.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple, TypeAlias

import orjson

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("longtrace.serve")
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_OPEN_PATHS = {"/healthz"}
_PATHS = {"/evaluate", "/score", "/score/group", "/healthz", "/metrics"}
_RETRY_AFTER_S = 1


class Limits(NamedTuple):
    """What the gate lets in."""

    concurrency: int
    queue: int
    max_bytes: int
    timeout_s: float
    token: str = ""


class TooLarge(Exception):
    """The body is longer than is accepted."""


class Metrics:
    """Counters of one process, in the Prometheus text format."""

    def __init__(self) -> None:
        self.requests = Counter[tuple[str, int]]()
        self.outcomes = Counter[str]()
        self.running = 0
        self.waiting = 0
        self._buckets = [0] * (len(_BUCKETS_S) + 1)
        self._seconds = 0.0

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Count a finished request."""
        self.requests[path, status] += 1
        self._seconds += seconds
        place = sum(seconds > bound for bound in _BUCKETS_S)
        self._buckets[place] += 1

    def render(self, extra: dict[str, float]) -> str:
        """Everything counted so far, and `extra` gauges by name."""
        lines = ["# TYPE longtrace_requests_total counter"]
        for (path, status), count in sorted(self.requests.items()):
            lines.append(f'longtrace_requests_total{{path="{path}",status="{status}"}} {count}')
        lines.append("# TYPE longtrace_outcomes_total counter")
        for outcome, count in sorted(self.outcomes.items()):
            lines.append(f'longtrace_outcomes_total{{outcome="{outcome}"}} {count}')
        lines.append("# TYPE longtrace_request_seconds histogram")
        total = 0
        for bound, count in zip((*_BUCKETS_S, "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(f'longtrace_request_seconds_bucket{{le="{bound}"}} {total}')
        lines.append(f"longtrace_request_seconds_sum {self._seconds:.6f}")
        lines.append(f"longtrace_request_seconds_count {total}")
        gauges = {"running": self.running, "waiting": self.waiting, **extra}
        for name, value in gauges.items():
            lines += [f"# TYPE longtrace_{name} gauge", f"longtrace_{name} {value:g}"]
        return "\n".join(lines) + "\n"


class Gate:
    """An ASGI application around another that enforces `limits`.

    Args:
        app: what is protected.
        limits: see `Limits`.
        metrics: where requests are counted.
    """

    def __init__(self, app: App, limits: Limits, metrics: Metrics) -> None:
        self._app = app
        self._limits = limits
        self._metrics = metrics
        self._slots = asyncio.Semaphore(limits.concurrency)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of the ASGI protocol."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        path = str(scope["path"])
        status = 500

        async def watched(event: Event) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
            await send(event)

        try:
            refusal = self._refusal(scope, path)
            if refusal is not None:
                await _say(watched, *refusal)
            elif scope["method"] == "POST":
                await self._queued(scope, receive, watched)
            else:
                await self._app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - started
            known = path if path in _PATHS else "other"
            self._metrics.observe(known, status, seconds)
            _log.info("request", extra={"path": known, "status": status, "seconds": seconds})

    def _refusal(self, scope: Scope, path: str) -> tuple[int, str] | None:
        """Status and reason if the request is not let in."""
        headers = dict(scope["headers"])
        if self._limits.token and path not in _OPEN_PATHS:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self._limits.token.encode()):
                return 401, "a bearer token is needed"
        if scope["method"] != "POST":
            return None
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._limits.max_bytes:
            return 413, f"the body is longer than {self._limits.max_bytes} bytes"
        if self._metrics.running + self._metrics.waiting >= (
            self._limits.concurrency + self._limits.queue
        ):
            return 429, "the queue is full; come back later"
        return None

    async def _queued(self, scope: Scope, receive: Receive, send: Send) -> None:
        metrics = self._metrics
        metrics.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            metrics.waiting -= 1
        metrics.running += 1
        try:
            await self._timed(scope, self._limited(receive), send)
        finally:
            metrics.running -= 1
            self._slots.release()

    async def _timed(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(event: Event) -> None:
            nonlocal started
            started = True
            await send(event)

        try:
            async with asyncio.timeout(self._limits.timeout_s):
                await self._app(scope, receive, watched)
        except TimeoutError:
            if not started:
                await _say(send, 503, f"not done in {self._limits.timeout_s:g} seconds")
        except TooLarge:
            await _say(send, 413, f"the body is longer than {self._limits.max_bytes} bytes")

    def _limited(self, receive: Receive) -> Receive:
        read = 0

        async def limited() -> Event:
            nonlocal read
            event = await receive()
            read += len(event.get("body", b""))
            if read > self._limits.max_bytes:
                raise TooLarge
            return event

        return limited


async def _say(send: Send, status: int, detail: str) -> None:
    body = orjson.dumps({"detail": detail})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status in (429, 503):
        headers.append((b"retry-after", b"%d" % _RETRY_AFTER_S))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == 413:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
