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
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
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
_BODY_S = 30.0
"""Seconds for the body of a request to come."""
_MOST_HELD = 64
"""Longest bodies that may be held at a time by requests that wait."""
_GONE = 499
"""Of the log and the counters alone: nobody is there to be answered."""


class Limits(NamedTuple):
    """What the gate lets in."""

    concurrency: int
    queue: int
    max_bytes: int
    timeout_s: float
    token: str = ""


class Refused(Exception):
    """A request that is answered without being worked on."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


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
            lines += [f"# TYPE longtrace_{name} gauge", f"longtrace_{name} {value!r}"]
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
        self._held = 0

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
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            known = hmac.compare_digest(given.strip(), self._limits.token.encode())
            if scheme.lower() != b"bearer" or not known:
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
        """Read the body, wait for a place and work, all within one limit of time.

        The body is read first, so that clients that send slowly or never end keep no place.
        """
        started = False

        async def watched(event: Event) -> None:
            nonlocal started
            started = True
            await send(event)

        try:
            async with asyncio.timeout(self._limits.timeout_s):
                async with self._waits(receive) as body:
                    await self._app(scope, _replay(body, receive), watched)
        except TimeoutError:
            if not started:
                await _say(send, 503, f"not done in {self._limits.timeout_s:g} seconds")
        except Refused as refused:
            await _say(send, refused.status, str(refused))

    @asynccontextmanager
    async def _waits(self, receive: Receive) -> AsyncIterator[bytes]:
        """The request's body, while it has a place among those that are worked on."""
        metrics, parts = self._metrics, bytearray()
        metrics.waiting += 1
        try:
            await self._read(receive, parts)
            await self._slots.acquire()
        finally:
            self._held -= len(parts)
            metrics.waiting -= 1
        metrics.running += 1
        try:
            yield bytes(parts)
        finally:
            metrics.running -= 1
            self._slots.release()

    async def _read(self, receive: Receive, parts: bytearray) -> None:
        """Append the whole body of a request to `parts`; what is appended counts as held.

        Raises:
            Refused: it is too long, comes too slowly, ends early, or there is no room for it.
        """
        most = self._limits.max_bytes
        try:
            async with asyncio.timeout(_BODY_S):
                while True:
                    event = await receive()
                    if event["type"] == "http.disconnect":
                        raise Refused(_GONE, "the client left")
                    parts += event.get("body", b"")
                    self._held += len(event.get("body", b""))
                    if len(parts) > most:
                        raise Refused(413, f"the body is longer than {most} bytes")
                    if self._held > _MOST_HELD * most:
                        raise Refused(429, "too much is waiting; come back later")
                    if not event.get("more_body"):
                        return
        except TimeoutError:
            raise Refused(408, f"the body did not come in {_BODY_S:g} seconds") from None


def _replay(body: bytes, receive: Receive) -> Receive:
    """What hands out `body` once, and then whatever else comes."""
    left = [body]

    async def replayed() -> Event:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return replayed


async def _say(send: Send, status: int, detail: str) -> None:
    body = orjson.dumps({"detail": detail})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status in (429, 503):
        headers.append((b"retry-after", b"%d" % _RETRY_AFTER_S))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
