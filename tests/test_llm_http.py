"""What an endpoint's error says, which addresses are refused, and where the proxy comes from."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from longtrace.errors import InputError
from longtrace.llm import LLM
from longtrace.llm_http import Http, HttpError
from longtrace.records import Message, Usage
from tests.llm_server import Model, Request, Said

pytest.importorskip("aiohttp", reason="needs longtrace[llm]")
HELLO = [Message(role="user", content="hello")]


@pytest.mark.parametrize(
    ("body", "text", "code"),
    [
        (
            '{"error": {"message": "too long", "code": "context_length"}}',
            "too long",
            "context_length",
        ),
        ('{"message": "no such model"}', "no such model", ""),
        ("<html>Bad Gateway</html>", "<html>Bad Gateway</html>", ""),
        ("[1]", "[1]", ""),
        ("", "", ""),
    ],
)
def test_an_error_is_read_whatever_form_it_has(body: str, text: str, code: str) -> None:
    error = HttpError.read(500, body.encode(), None)
    assert (str(error), error.code) == (f"error 500: {text}", code)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="base URL"):
        Http("localhost:8000/v1", "KEY", 1.0)


def test_requests_go_through_the_proxy_of_the_environment_unless_the_host_is_excepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def ask(url: str) -> str:
        http = Http(url, "KEY", 5.0)
        try:
            return str((await http.post(b"{}"))["choices"][0]["message"]["content"])
        finally:
            await http.close()

    with Model(lambda _: "through the proxy") as proxy, Model(lambda _: "direct") as model:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert asyncio.run(ask("http://far.invalid/v1")) == "through the proxy"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert asyncio.run(ask(model.url)) == "direct"


def test_a_reply_from_the_cache_says_what_it_cost_when_it_was_paid(tmp_path: Path) -> None:
    def reply(request: Request) -> Said:
        return json.dumps({"asked": len(request["messages"])})

    async def twice(model: Model) -> list[tuple[bool, Usage, Usage]]:
        found = []
        for _ in range(2):
            async with LLM(model.endpoint(prompt_price=2.0), tmp_path / "replies.sqlite") as llm:
                said = await llm.complete(HELLO)
                found.append((said.cached, said.usage, said.paid))
        return found

    with Model(reply, usage=(1000, 10)) as model:
        first, again = asyncio.run(twice(model))
    assert first[1] == first[2] == again[2]
    assert again[:2] == (True, Usage())
    assert first[2].cost == pytest.approx(0.002)
