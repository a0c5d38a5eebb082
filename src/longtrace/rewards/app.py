"""The reward server's routes. Imported by `serve` alone: it needs the extra `[serve]`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal, NamedTuple

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

import longtrace
from longtrace.errors import InputError, LongtraceError
from longtrace.llm import BudgetError
from longtrace.records import Entity, Score, Verdict
from longtrace.rewards.answer import Raw, split_thinking
from longtrace.rewards.combine import (
    Best,
    CreditOption,
    NormalizeOption,
    advantages,
    combine,
)
from longtrace.rewards.evaluate import Rules, answer, read
from longtrace.rewards.gate import Gate, Limits, Metrics
from longtrace.rewards.outcome import Asks, Kind, outcome
from longtrace.rewards.rubric import Match, score_response


class _Strict(Request):
    """A request whose JSON is read strictly: no NaN, no half characters, no endless nesting."""

    async def json(self) -> Any:
        """The body; ValueError if it is not JSON."""
        return orjson.loads(await self.body())


class _Route(APIRoute):
    """A route that reads requests as `_Strict`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given the stricter request."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_Strict(request.scope, request.receive))

        return strict


class UnjudgedError(LongtraceError):
    """Nobody could tell whether the answer is right; answered with 503, never with 0."""


class Judging(NamedTuple):
    """Who judges, and what that has used."""

    judge: Asks | None
    gauges: Callable[[], dict[str, float]]
    """Requests and tokens of the judge so far."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Given(_Body):
    """A response in full."""

    text: str = ""
    """Raw text, or content alone if `thinking` is given."""
    thinking: str = ""
    truncated: bool = False
    """It was cut off: outcome and rubric are 0."""


class Asked(_Body):
    """What a response is measured by."""

    question: str = ""
    answer: str = Field(pattern=r"\S")
    """Not empty."""
    answer_aliases: tuple[str, ...] = ()
    entities: tuple[Entity | str, ...] = ()
    thinks: bool = False
    """A response must have one thinking part that is closed; else it is ill-formed."""
    match: Match = "words"


class ScoreBody(Asked):
    """One response."""

    response: str | Given


class GroupBody(Asked):
    """All responses to one prompt."""

    responses: tuple[str | Given, ...] = Field(min_length=1)
    eta: float = Field(default=0.3, ge=0, le=1)
    credit: CreditOption = "positive_only"
    normalize: NormalizeOption = "group_max"
    best: Best = "all"


class Settings(NamedTuple):
    """How the server judges and what it lets in."""

    kind: Kind
    rules: Rules
    limits: Limits


def build(
    settings: Settings, judging: Callable[[], AbstractAsyncContextManager[Judging]]
) -> FastAPI:
    """The application; `judging` is entered when it starts and left when all work is done."""
    metrics = Metrics()
    state: dict[str, Judging] = {}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with judging() as found:
            state["judging"] = found
            yield

    app = FastAPI(title="longtrace rewards", version=longtrace.__version__, lifespan=lifespan)
    app.router.route_class = _Route
    app.add_middleware(Gate, limits=settings.limits, metrics=metrics)
    server = _Server(settings, metrics, state)
    app.post("/evaluate")(server.evaluate)
    app.post("/score")(server.score)
    app.post("/score/group")(server.score_group)
    app.get("/healthz")(server.healthz)
    app.get("/metrics")(server.metrics)
    app.exception_handler(InputError)(_bad_request)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(UnjudgedError)(_unjudged)
    return app


class _Server:
    """The routes, over one state."""

    def __init__(self, settings: Settings, metrics: Metrics, state: dict[str, Judging]) -> None:
        self._settings = settings
        self._metrics = metrics
        self._state = state

    async def evaluate(self, request: Request) -> Response:
        """The published contract: `label`, `extra_reward_info`, and `history` or `response`."""
        rules = self._settings.rules
        try:
            try:
                asked = read(orjson.loads(await request.body()), rules)
            except orjson.JSONDecodeError as error:
                raise InputError(f"the body is not JSON: {error.msg}") from None
            correct = False
            if asked.needs_outcome:
                verdict = await self._verdict(asked.judged, asked.question, asked.label, ())
                correct = _known(verdict)
            return _json(answer(asked, correct, rules)._asdict())
        except InputError as error:
            if rules == "upstream":
                return _json({"detail": f"Internal server error: {error}"}, 500)
            raise

    async def score(self, body: ScoreBody) -> Response:
        """Outcome and rubric of one response."""
        score, verdict = await self._scored(body, body.response)
        _known(verdict)
        return _json(
            {
                **score.model_dump(mode="json"),
                "extracted": verdict.extracted,
                "judge": verdict.judge,
            }
        )

    async def score_group(self, body: GroupBody) -> Response:
        """Scores, rewards and advantages of a group; null for members nobody could judge."""
        scored = await asyncio.gather(*(self._scored(body, given) for given in body.responses))
        if all(verdict.correct is None for _, verdict in scored):
            _known(scored[0][1])
        scores_G = [score for score, _ in scored]
        rewards_G = combine(
            scores_G,
            eta=body.eta,
            credit=body.credit,
            normalize=body.normalize,
            best=body.best,
        )
        return _json(
            {
                "rewards": rewards_G,
                "advantages": advantages(rewards_G),
                "scores": [score.model_dump(mode="json") for score in scores_G],
                "unjudged": rewards_G.count(None),
            }
        )

    async def healthz(self) -> Response:
        """Whether the server is up, and how busy it is."""
        busy = {"running": self._metrics.running, "waiting": self._metrics.waiting}
        return _json({"status": "ok", "version": longtrace.__version__, **busy})

    async def metrics(self) -> Response:
        """Counters in the Prometheus text format."""
        text = self._metrics.render(self._state["judging"].gauges())
        return Response(text, media_type="text/plain; version=0.0.4")

    async def _scored(self, asked: Asked, response: str | Given) -> tuple[Score, Verdict]:
        given = response if isinstance(response, Given) else Given(text=response)
        raw: Raw = given.text
        if given.thinking:
            raw = {"content": given.text, "reasoning_content": given.thinking}
        split = split_thinking(raw, thinks=asked.thinks)
        if given.truncated or not split.well_formed:
            score = score_response("", asked.entities, outcome=0.0, ill_formed=True)
            problem = "truncated" if given.truncated else "ill_formed"
            return score.model_copy(update={"problem": problem}), Verdict(
                correct=False, judge=f"rule:{problem}"
            )
        verdict = await self._verdict(
            split.content, asked.question, asked.answer, asked.answer_aliases
        )
        right = None if verdict.correct is None else float(verdict.correct)
        score = score_response(split.content, asked.entities, outcome=right, match=asked.match)
        return score.model_copy(update={"problem": verdict.problem or score.problem}), verdict

    async def _verdict(
        self, response: str, question: str, gold: str, aliases: Sequence[str]
    ) -> Verdict:
        judge = self._state["judging"].judge
        kind = self._settings.kind
        try:
            if self._settings.rules == "upstream" and judge is not None:
                verdict = await judge.verdict(question, gold, aliases, response)
            else:
                verdict = await outcome(
                    response,
                    question=question,
                    answer=gold,
                    aliases=aliases,
                    kind=kind,
                    judge=judge,
                )
        except BudgetError as error:
            self._metrics.outcomes["unknown"] += 1
            raise UnjudgedError(str(error)) from None
        told: Literal["unknown", "right", "wrong"] = "unknown"
        if verdict.correct is not None:
            told = "right" if verdict.correct else "wrong"
        self._metrics.outcomes[told] += 1
        return verdict


def _known(verdict: Verdict) -> bool:
    if verdict.correct is None:
        raise UnjudgedError(verdict.problem or "nobody could judge this")
    return verdict.correct


def _json(value: dict[str, Any], status: int = 200) -> Response:
    headers = {"retry-after": "1"} if status == 503 else None
    return Response(orjson.dumps(value), status, headers, "application/json")


async def _bad_request(_: Request, error: Exception) -> Response:
    return _json({"detail": str(error)}, 400)


async def _invalid(request: Request, error: Exception) -> Response:
    if "json" not in request.headers.get("content-type", ""):
        return _json({"detail": "send the body with content-type: application/json"}, 400)
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    where = ".".join(str(part) for part in first.get("loc", ())[1:])
    return _json({"detail": f"{where}: {first.get('msg', 'not valid')}".lstrip(": ")}, 400)


async def _unjudged(_: Request, error: Exception) -> Response:
    return _json({"detail": f"not judged: {error}"}, 503)
