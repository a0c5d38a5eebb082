"""A scripted model behind a real HTTP server: what the tests talk to instead of mocks.

`Model` answers `POST /v1/chat/completions` with what a function of the request says: a text, a
whole message, or a `Raw` response with any status, headers, delay and body. Requests are kept.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from longtrace.llm import Endpoint

Request = dict[str, Any]


@dataclass(frozen=True)
class Raw:
    """A response said in full."""

    status: int = 200
    body: str | bytes = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


Said = str | Mapping[str, Any] | Raw


def call(name: str, /, **arguments: Any) -> dict[str, Any]:
    """A message that calls one tool."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }


def failure(status: int, message: str = "no", **headers: str) -> Raw:
    """An error as endpoints send it."""
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Raw(status, json.dumps({"error": {"message": message}}), named)


class Model:
    """A server on a free port of this machine. Use as a context manager.

    Args:
        reply: what to say to a request body; may raise to drop the connection.
        usage: prompt and completion tokens stated in every reply.
    """

    def __init__(
        self, reply: Callable[[Request], Said], usage: tuple[int, int] = (100, 10)
    ) -> None:
        self.requests: list[Request] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._reply = reply
        self._usage = usage
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.url = ""

    def endpoint(self, **options: Any) -> Endpoint:
        """An endpoint configuration for this server that waits little between retries."""
        given = {"retry_wait_s": 0.01, "retries": 3, "timeout_s": 20.0, **options}
        return Endpoint(base_url=self.url, model="scripted", **given)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=4096)
        )
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _connection(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await source.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:]
                headers = dict(line.lower().split(": ", 1) for line in head if ": " in line)
                body = await source.readexactly(int(headers.get("content-length", 0)))
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
                try:
                    await self._answer(json.loads(body), headers, sink)
                finally:
                    self._at_once -= 1
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            sink.close()

    async def _answer(
        self, request: Request, headers: dict[str, str], sink: asyncio.StreamWriter
    ) -> None:
        self.requests.append(request)
        self.headers.append(headers)
        try:
            said = self._reply(request)
        except Exception as error:
            raise ConnectionError("dropped") from error
        raw = said if isinstance(said, Raw) else Raw(body=json.dumps(self._completion(said)))
        await asyncio.sleep(raw.delay_s)
        body = raw.body.encode() if isinstance(raw.body, str) else raw.body
        lines = [f"HTTP/1.1 {raw.status} X", f"content-length: {len(body)}"]
        lines += [f"{key}: {value}" for key, value in raw.headers.items()]
        lines += ["content-type: application/json", "", ""]
        sink.write("\r\n".join(lines).encode("latin-1") + body)
        await sink.drain()

    def _completion(self, said: str | Mapping[str, Any]) -> dict[str, Any]:
        message = {"content": said} if isinstance(said, str) else dict(said)
        prompt, completion = self._usage
        return {
            "id": "x",
            "object": "chat.completion",
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
            ],
            "usage": {"prompt_tokens": prompt, "completion_tokens": completion},
        }
