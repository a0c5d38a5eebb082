"""The client of language models, against a real HTTP server that fails in every way it can."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="needs longtrace[llm]")

from longtrace.errors import InputError
from longtrace.llm import LLM, BudgetError, Endpoint, LLMError, Reply, Tool
from longtrace.llm_limits import in_order
from longtrace.llm_wire import Chat, assistant, read_json, tool_result
from longtrace.records import Message
from tests.llm_server import Model, Raw, Request, Said, call, failure

HELLO = [Message(role="user", content="hello")]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"],
}
TOOLS = [
    Tool(name="search", description="Search.", parameters={"type": "object", "properties": {}}),
    Tool(name="open", description="Open.", parameters={"type": "object", "properties": {}}),
]


def ask(endpoint: Endpoint, do: Callable[[LLM], Awaitable[Any]], cache: Path | None = None) -> Any:
    async def main() -> Any:
        async with LLM(endpoint, cache) as llm:
            return await do(llm)

    return asyncio.run(main())


def hello(llm: LLM) -> Awaitable[Reply]:
    return llm.complete(HELLO)


def script(*said: Said) -> Callable[[Request], Said]:
    """Say these in turn, the last one for ever."""
    left = list(said)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def test_a_reply_has_text_and_usage_with_its_cost() -> None:
    with Model(lambda _: "hi", usage=(1000, 500)) as model:
        reply = ask(model.endpoint(prompt_price=1.0, completion_price=4.0), hello)
    assert (reply.text, reply.cached) == ("hi", False)
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (1000, 500)
    assert reply.usage.cost == pytest.approx(0.003)
    assert model.requests[0]["temperature"] == 0.0


def test_the_same_request_is_asked_once_and_then_costs_nothing(tmp_path: Path) -> None:
    with Model(lambda _: "hi") as model:
        first = ask(model.endpoint(), hello, tmp_path / "llm.sqlite")
        again = ask(model.endpoint(), hello, tmp_path / "llm.sqlite")
        other = ask(
            model.endpoint(), lambda m: m.complete(HELLO, sample=1), tmp_path / "llm.sqlite"
        )
    assert len(model.requests) == 2
    assert (first.cached, again.cached, other.cached) == (False, True, False)
    assert again.text == "hi"
    assert again.usage.prompt_tokens == 0


def test_equal_requests_at_the_same_time_are_one() -> None:
    async def many(llm: LLM) -> list[Reply]:
        return await asyncio.gather(*(llm.complete(HELLO) for _ in range(20)))

    with Model(lambda _: Raw(body='{"choices":[{"message":{"content":"a"}}]}', delay_s=0.1)) as m:
        replies = ask(m.endpoint(), many)
    assert len(m.requests) == 1
    assert {reply.text for reply in replies} == {"a"}


def test_a_cache_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "llm.sqlite").write_text("hello hello hello hello")
    with pytest.raises(InputError, match=r"llm\.sqlite: not a cache"):
        ask(Endpoint(base_url="http://127.0.0.1:9/v1", model="m"), hello, tmp_path / "llm.sqlite")


@pytest.mark.parametrize(
    "trouble",
    [
        failure(500),
        failure(503),
        failure(429),
        Raw(200, "<html>busy</html>"),
        Raw(200, "{}"),
        Raw(200, '{"choices": []}'),
        Raw(200, "null"),
        Raw(200, b"\xff\xfe"),
    ],
    ids=lambda raw: f"{raw.status} {raw.body!r:.12}",
)
def test_trouble_that_passes_is_retried(trouble: Raw) -> None:
    with Model(script(trouble, trouble, "hi")) as model:

        async def main(llm: LLM) -> tuple[Reply, int, int]:
            reply = await llm.complete(HELLO)
            return reply, llm.spent.retries, llm.spent.requests

        reply, retries, requests = ask(model.endpoint(), main)
    assert (reply.text, retries, requests) == ("hi", 2, 1)


def test_a_dropped_connection_is_retried() -> None:
    def drop(_: Request) -> Said:
        if len(model.requests) < 3:
            raise OSError
        return "hi"

    with Model(drop) as model:
        assert ask(model.endpoint(), hello).text == "hi"


def test_an_outage_is_an_error_that_says_what_to_do_and_is_not_cached(tmp_path: Path) -> None:
    with Model(lambda _: failure(503, "overloaded")) as model:
        with pytest.raises(LLMError, match=r"scripted.*overloaded.*after 4 attempts.*run the same"):
            ask(model.endpoint(), hello, tmp_path / "c")
        assert len(model.requests) == 4
        with pytest.raises(LLMError):
            ask(model.endpoint(retries=0), hello, tmp_path / "c")
        assert len(model.requests) == 5


def test_a_server_that_hangs_times_out() -> None:
    with Model(lambda _: Raw(delay_s=5)) as model:
        started = time.monotonic()
        with pytest.raises(LLMError, match="timed out"):
            ask(model.endpoint(timeout_s=0.2, retries=1), hello)
    assert time.monotonic() - started < 4


def test_nobody_there_is_an_llm_error() -> None:
    with pytest.raises(LLMError, match="gave up"):
        ask(Endpoint(base_url="http://127.0.0.1:9/v1", model="m", retries=1, retry_wait_s=0), hello)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_not_retried(status: int) -> None:
    with Model(lambda _: failure(status)) as model, pytest.raises(LLMError):
        ask(model.endpoint(), hello)
    assert len(model.requests) == 1


def test_an_exhausted_quota_is_not_retried() -> None:
    body = '{"error": {"message": "quota", "code": "insufficient_quota"}}'
    with Model(lambda _: Raw(429, body)) as model, pytest.raises(LLMError, match="quota; top up"):
        ask(model.endpoint(), hello)
    assert len(model.requests) == 1


def test_a_rest_of_an_hour_is_left_to_the_user() -> None:
    busy = failure(429, "slow down", retry_after="3600")
    with Model(lambda _: busy) as model, pytest.raises(LLMError, match="3600 s of rest"):
        ask(model.endpoint(), hello)
    assert len(model.requests) == 1


@pytest.mark.parametrize("dated", [False, True])
def test_retry_after_is_honoured(dated: bool) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    busy = failure(429, "slow down", retry_after=until if dated else "1")
    with Model(script(busy, "hi")) as model:
        started = time.monotonic()
        assert ask(model.endpoint(), hello).text == "hi"
    assert time.monotonic() - started >= 0.9


def test_the_key_is_read_by_name_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret-123")
    caplog.set_level(logging.DEBUG, "longtrace")
    with (
        Model(lambda _: failure(401, "bad key sk-secret-123")) as model,
        pytest.raises(LLMError, match=r"\*\*\*.*\$MY_KEY") as caught,
    ):
        ask(model.endpoint(api_key_env="MY_KEY"), hello, tmp_path / "c")
    assert model.headers[0]["authorization"] == "bearer sk-secret-123"
    assert "sk-secret" not in str(caught.value) + caplog.text
    assert all(b"sk-secret" not in file.read_bytes() for file in tmp_path.iterdir())


def test_tools_are_native_where_the_server_has_them() -> None:
    def reply(request: Request) -> Said:
        name = request["tools"][0]["function"]["name"]
        return call(name, word="tree") if name == "note" else call("search", query="x")

    with Model(reply) as model:
        said = ask(model.endpoint(), lambda m: m.complete(HELLO, tools=TOOLS))
    assert [(c.name, c.arguments) for c in said.tool_calls] == [("search", {"query": "x"})]
    assert len(model.requests) == 2


def no_tools(request: Request) -> Said:
    """A server that fails on tools but knows json_object with a schema."""
    if "tools" in request:
        return failure(500, "no grammar")
    schema = request.get("response_format", {}).get("schema", {})
    if "tool" in schema.get("properties", {}):
        return '{"tool": "open", "arguments": {"doc": "d1"}}'
    return '{"word": "tree", "name": "Ada", "age": 3}' if schema else "no schema"


def chatty(request: Request) -> Said:
    """A server that ignores tools and formats and a model that talks around its JSON."""
    said = request["messages"][-1]["content"]
    if "Choose one of these tools" in said:
        return 'Let me {think}.\n```json\n{"tool": "open", "arguments": {"doc": "d1"},}\n```\nDone.'
    if "schema" not in said or "word" in said:
        return "Sure, I have noted the word."
    return '<think>{"name": "Eve"}</think> Here you are: {"name": "Ada", "age": 3} as asked.'


@pytest.mark.parametrize(("server", "rung"), [(no_tools, "json"), (chatty, "plain")])
def test_the_ladder_gives_the_same_replies_on_every_rung(
    server: Callable[[Request], Said], rung: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def both(llm: LLM) -> tuple[Reply, Reply]:
        return await asyncio.gather(
            llm.complete(HELLO, tools=TOOLS), llm.complete(HELLO, schema=SCHEMA)
        )

    caplog.set_level(logging.INFO, "longtrace")
    with Model(server) as model:
        tool, data = ask(model.endpoint(), both, tmp_path / "c")
        asked = len(model.requests)
        ask(model.endpoint(), both, tmp_path / "c")
        assert len(model.requests) == asked, "the rung is remembered with the replies"
    assert [(c.name, c.arguments) for c in tool.tool_calls] == [("open", {"doc": "d1"})]
    assert data.data is not None
    assert data.data["name"] == "Ada"
    assert f"structure by {rung}" in caplog.text


def test_a_schema_is_a_forced_tool_on_the_tools_rung() -> None:
    with Model(lambda _: call("reply", name="Ada")) as model:
        reply = ask(model.endpoint(rung="tools"), lambda m: m.complete(HELLO, schema=SCHEMA))
    assert reply.data == {"name": "Ada"}
    assert reply.tool_calls == ()
    assert model.requests[0]["tool_choice"]["function"]["name"] == "reply"


@pytest.mark.parametrize("said", ["no", '{"age": 3}', '{"name": 3}', "[1]", "{", '{"name": "A'])
def test_a_reply_that_breaks_the_schema_has_no_data(said: str) -> None:
    with Model(lambda _: said) as model:
        reply = ask(model.endpoint(rung="json"), lambda m: m.complete(HELLO, schema=SCHEMA))
    assert reply.data is None
    assert reply.text == said


def test_a_conversation_with_tool_results_can_be_sent_on_every_rung() -> None:
    with Model(lambda _: call("search", query="x")) as model:
        first = ask(model.endpoint(rung="tools"), lambda m: m.complete(HELLO, tools=TOOLS))
        talk: list[Chat] = [*HELLO, assistant(first), tool_result(first.tool_calls[0], "found d1")]
        for rung in ("tools", "json", "plain"):
            end = model.endpoint(rung=rung)
            ask(end, lambda m: m.complete(talk, tools=TOOLS))
    native, _, plain = model.requests[1:]
    assert [m["role"] for m in native["messages"]] == ["user", "assistant", "tool"]
    assert [m["role"] for m in plain["messages"]] == ["user", "assistant", "user"]
    assert "found d1" in plain["messages"][-1]["content"]


def test_an_outage_while_asking_for_the_rung_is_not_taken_for_a_poor_server() -> None:
    with Model(lambda _: failure(503)) as model, pytest.raises(LLMError):
        ask(model.endpoint(retries=1), lambda m: m.complete(HELLO, schema=SCHEMA))


def test_a_token_budget_is_never_exceeded_and_stops_cleanly(tmp_path: Path) -> None:
    async def many(llm: LLM) -> tuple[list[Any], int]:
        said = (llm.complete(HELLO, max_tokens=100, sample=n) for n in range(30))
        done = await asyncio.gather(*said, return_exceptions=True)
        return done, llm.spent.usage.prompt_tokens + llm.spent.usage.completion_tokens

    with Model(lambda _: "hi", usage=(30, 70)) as model:
        end = model.endpoint(budget_tokens=1000)
        done, used = ask(end, many, tmp_path / "c")
        good = [reply for reply in done if isinstance(reply, Reply)]
        assert {type(reply) for reply in done} == {Reply, BudgetError}
        assert 700 <= used <= 1000
        assert used == 100 * len(good) == 100 * len(model.requests)
        again, _ = ask(end, many, tmp_path / "c")
    assert sum(isinstance(reply, Reply) for reply in again) > len(good), "a rerun goes on"


def test_a_money_budget_stops_too() -> None:
    with Model(lambda _: "hi", usage=(1000, 0)) as model:
        end = model.endpoint(budget_cost=0.0001, completion_price=10.0)
        with pytest.raises(BudgetError, match="raise the budget"):
            ask(end, hello)
    assert model.requests == []


def test_requests_a_minute_are_paced() -> None:
    async def many(llm: LLM) -> None:
        await asyncio.gather(*(llm.complete(HELLO, sample=n) for n in range(60)))

    with Model(lambda _: "hi") as model:
        started = time.monotonic()
        ask(model.endpoint(requests_per_minute=600), many)
    assert time.monotonic() - started >= 0.9  # 50 at once, 10 more at 10 a second


def test_hundreds_of_calls_run_at_once_and_come_back_in_order() -> None:
    async def many(llm: LLM) -> list[str]:
        async def one(n: int) -> str:
            return (await llm.complete([Message(role="user", content=str(n))])).text

        return [text async for text in in_order(one, range(600), ahead=300)]

    def echo(request: Request) -> Said:
        body = '{"choices":[{"message":{"content":"' + request["messages"][0]["content"] + '"}}]}'
        return Raw(body=body, delay_s=0.1)

    with Model(echo) as model:
        texts = ask(model.endpoint(concurrency=200), many)
    assert texts == [str(n) for n in range(600)]
    assert 100 < model.most_at_once <= 200


def test_a_slow_call_does_not_keep_others_from_being_begun() -> None:
    async def run() -> tuple[list[int], int]:
        running, most = set[int](), 0
        late = asyncio.Event()

        async def one(n: int) -> int:
            nonlocal most
            running.add(n)
            most = max(most, len(running))
            if n == 40:
                late.set()
            if n == 0:
                await late.wait()
            await asyncio.sleep(0)
            running.discard(n)
            return n

        async with asyncio.timeout(10):
            return [n async for n in in_order(one, range(60), ahead=4, held=50)], most

    assert asyncio.run(run()) == (list(range(60)), 4)


def test_when_the_budget_is_used_up_those_under_way_end_and_no_other_is_begun() -> None:
    begun, ended = set[int](), set[int]()

    async def run() -> None:
        async def one(n: int) -> int:
            begun.add(n)
            if n == 1:
                raise BudgetError("used up")
            await asyncio.sleep(0.1)
            ended.add(n)
            return n

        async for _ in in_order(one, range(100), ahead=4, held=50):
            pass

    with pytest.raises(BudgetError):
        asyncio.run(run())
    assert begun - ended == {1}
    assert len(begun) <= 8


def test_garbage_is_collected_as_before_when_the_calls_are_done_or_one_has_failed() -> None:
    usual = gc.get_threshold()
    during = set[tuple[int, int, int]]()

    async def run(bad: int) -> int:
        async def one(n: int) -> int:
            during.add(gc.get_threshold())
            return 1 // (n - bad)

        return len([n async for n in in_order(one, range(20), ahead=5)])

    assert asyncio.run(run(-1)) == 20
    assert gc.get_threshold() == usual
    with pytest.raises(ZeroDivisionError):
        asyncio.run(run(7))
    assert gc.get_threshold() == usual
    assert usual not in during


def test_stopping_early_cancels_what_is_under_way() -> None:
    async def some(llm: LLM) -> int:
        async def one(n: int) -> int:
            await llm.complete(HELLO, sample=n)
            return n

        results = in_order(one, range(1000), ahead=10)
        async for n in results:
            if n == 5:
                await results.aclose()
                break
        return llm.spent.requests

    with Model(lambda _: "hi") as model:
        assert ask(model.endpoint(), some) <= 17


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('x {"a": {"b": "}"}} y', {"a": {"b": "}"}}),
        ('{"a": 1} then {"a": 2}', {"a": 2}),
        ('{"a": [1, 2,],}', {"a": [1, 2]}),
        ("{'a': 1}", None),
        ("", None),
        ('a stray { and {"a": 1}', {"a": 1}),
        ('{"a": ' * 5000, None),
    ],
)
def test_json_is_dug_out_of_text(text: str, value: dict[str, Any] | None) -> None:
    assert read_json(text) == value
