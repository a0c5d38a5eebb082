"""The `serve` verb: rewards over HTTP, with the published `/evaluate` among the routes."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

import longtrace.config
from longtrace.config import Options, Result
from longtrace.errors import InputError, LongtraceError, MissingExtraError
from longtrace.llm import LLM, Endpoint
from longtrace.rewards.evaluate import Rules
from longtrace.rewards.gate import Limits
from longtrace.rewards.judge import Judge, UpstreamJudge
from longtrace.rewards.outcome import KindOption

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_log = logging.getLogger("longtrace.serve")


class Config(longtrace.config.Config):
    """Serve rewards over HTTP."""

    host: str = "127.0.0.1"
    """Address to listen on; anything but this machine's own should have a token."""
    port: int = Field(default=7248, ge=0, le=65535)
    """Port to listen on; 0 for a free one, which the log names."""
    rules: Rules = "longtrace"
    """longtrace, or upstream: the published server's behaviour, defects included."""
    outcome: KindOption = "exact_then_judge"
    """How answers are judged: exact, two-way-substring, judge, exact-then-judge."""
    judge: Endpoint = Endpoint()
    """The judge's endpoint."""
    judge_max_tokens: int = Field(default=1024, ge=16)
    """Longest reply of the judge; one that thinks needs more."""
    verdicts: Path | None = None
    """SQLite file of the judge's replies; RUN/cache/judge.sqlite if not given."""
    token_env: str = "LONGTRACE_TOKEN"
    """Name of the environment variable with the bearer token; no token is asked for if unset."""
    concurrency: int = Field(default=256, ge=1)
    """Requests worked on at a time."""
    queue: int = Field(default=4096, ge=0)
    """Requests that may wait; more are refused with 429."""
    max_bytes: int = Field(default=16_000_000, ge=1000)
    """Longest request body."""
    timeout_s: float = Field(default=110.0, gt=0)
    """Seconds for one request, waiting included; the published client gives up after 120."""
    grace_s: float = Field(default=120.0, ge=0)
    """Seconds that accepted requests are given when the server is stopped."""


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, and the numbers given with it."""

    _KEYS = ("path", "status", "seconds", "port", "host", "rules", "outcome")

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; never anything of a request's text."""
        known = {key: getattr(record, key) for key in self._KEYS if hasattr(record, key)}
        if "seconds" in known:
            known["seconds"] = round(known["seconds"], 4)
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": record.levelname.lower(), "event": record.getMessage(), **known}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
        return json.dumps(line)


def _needs_judge(config: Config) -> bool:
    return config.rules == "upstream" or config.outcome in ("judge", "exact_then_judge")


def run(config: Config, options: Options) -> Result:
    """Serve until stopped; what was accepted is finished first."""
    if _needs_judge(config) and not (config.judge.base_url and config.judge.model):
        raise InputError(
            "--judge.base-url and --judge.model are needed: who judges what the rules leave open; "
            "or choose --outcome exact"
        )
    cache = config.verdicts or options.run / "cache" / "judge.sqlite"
    token = os.environ.get(config.token_env, "")
    if options.dry_run:
        return Result(json={"config": config.identity()}, text=[f"would listen on {config.host}"])
    try:
        import uvicorn

        from longtrace.rewards import app
    except ImportError as error:
        raise MissingExtraError(error.name or "fastapi", "serve") from None

    @asynccontextmanager
    async def judging() -> AsyncIterator[app.Judging]:
        if not _needs_judge(config):
            yield app.Judging(None, dict)
            return
        async with LLM(config.judge, cache) as llm:
            kind = UpstreamJudge if config.rules == "upstream" else Judge

            def gauges() -> dict[str, float]:
                spent = llm.spent
                return {
                    "judge_requests": spent.requests,
                    "judge_cached": spent.cached,
                    "judge_retries": spent.retries,
                    "judge_failed": spent.failed,
                    "judge_prompt_tokens": spent.usage.prompt_tokens,
                    "judge_completion_tokens": spent.usage.completion_tokens,
                    "judge_cost": spent.usage.cost,
                }

            yield app.Judging(kind(llm, max_tokens=config.judge_max_tokens), gauges)

    limits = Limits(config.concurrency, config.queue, config.max_bytes, config.timeout_s, token)
    kind = "judge" if config.rules == "upstream" else config.outcome
    served = app.build(app.Settings(kind, config.rules, limits), judging)
    _logging()
    if config.host not in _LOOPBACK and not token:
        _log.warning("open to the network without a token; set $%s", config.token_env)
    server = uvicorn.Server(
        uvicorn.Config(
            served,
            host=config.host,
            port=config.port,
            log_config=None,
            access_log=False,
            backlog=4096,
            timeout_graceful_shutdown=int(config.grace_s),
        )
    )
    with _stopping_is_success():
        try:
            server.run()
        except SystemExit:
            where = f"{config.host}:{config.port}"
            raise LongtraceError(f"could not listen on {where}; try another --port") from None
    return Result(json={"stopped": True}, text=["stopped; every accepted request was answered"])


@contextmanager
def _stopping_is_success() -> Iterator[None]:
    """The server hands its stop signal on when it is done; that is the end we want, not a crash."""
    before = {sig: signal.signal(sig, lambda *_: None) for sig in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


def _logging() -> None:
    """Structured lines on stderr for our own events, warnings and errors of the server's."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("longtrace", logging.INFO), ("uvicorn", logging.INFO)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
