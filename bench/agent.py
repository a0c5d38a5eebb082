"""The agent loop against an endpoint of known speed: how much of what it could serve is used.

The endpoint, a process of its own, answers every request after 250 ms and serves `SLOTS` at a time,
so it can serve SLOTS / 0.25 s requests a second and no more, as long as its own work leaves it the
time: what that takes is measured too. 500 attempts run at once on one event loop: each searches a
real index, opens a document and answers. The figure includes all of the agent's own work: searches,
snippets, records, the client and its cache, and the start and the end of the run.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

from measure import children_cpu_s, table

from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.stage import Config as CorpusConfig
from longtrace.corpus.stage import run as make_corpus
from longtrace.llm import LLM
from longtrace.llm_limits import in_order
from longtrace.records import Question
from longtrace.trajectories.config import Config
from longtrace.trajectories.model_agent import ModelRunner
from longtrace.trajectories.stage import HELD

DELAY_S = 0.25
CONCURRENT = 500
ATTEMPTS = 1500
ATTEMPTS_A_SLOT = 32
"""So that starting and ending the run weigh little, however many slots there are."""
DOCUMENTS = 2000
TARGET = 0.9


def main() -> None:
    """Measure and print: endpoints of growing speed, up to one that the client cannot fill."""
    slots = [int(word) for word in sys.argv[1:]] or [64, 256, 500]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        corpus = _corpus(Path(folder))
        for number in slots:
            rows.append(_row(corpus, number, Path(folder) / f"{number}.sqlite"))
    table(f"Agent loop, {CONCURRENT} attempts at once, endpoint of {DELAY_S * 1000:.0f} ms", rows)


def _row(corpus: Corpus, slots: int, cache: Path) -> tuple[str, str, str, str, str]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=_serve, args=(there, slots), daemon=True)
    server.start()
    before = children_cpu_s()
    try:
        url: str = here.recv()
        attempts = max(ATTEMPTS, ATTEMPTS_A_SLOT * slots)
        requests, wall, cpu = asyncio.run(_attempts(corpus, url, cache, attempts))
    finally:
        server.terminate()
        server.join()
    rate, ceiling = requests / wall, slots / DELAY_S
    served = 1000 * (children_cpu_s() - before) / requests
    return (
        f"{slots} slots",
        f"{rate:.0f} requests/s, {1000 * cpu / requests:.2f} ms CPU a request",
        f"ceiling {ceiling:.0f}/s; {served:.2f} ms CPU of the endpoint a request",
        f"{rate / ceiling:.0%}",
        f">= {TARGET:.0%}",
    )


async def _attempts(
    corpus: Corpus, url: str, cache: Path, attempts: int
) -> tuple[int, float, float]:
    """Requests made, wall and CPU seconds of a number of attempts."""
    config = Config(
        base_url=url, model="mock", rung="tools", agent="llm", k=8, concurrency=CONCURRENT
    )
    words = _words()
    async with LLM(config, cache) as llm:
        runner = ModelRunner(corpus, config, llm)

        async def one(number: int) -> None:
            text = " ".join(Random(number).choices(words, k=12))
            question = Question(
                id=str(number), text=text, answer="x", hops=(), clues=(), writer="bench"
            )
            await runner.attempt((question, 0))

        wall, cpu = time.perf_counter(), time.process_time()
        async for _ in in_order(one, range(attempts), ahead=CONCURRENT, held=HELD * CONCURRENT):
            pass
        spent = (time.perf_counter() - wall, time.process_time() - cpu)
        return llm.spent.requests, *spent


def _serve(pipe: Connection, slots: int) -> None:
    asyncio.run(_server(pipe.send, slots))


async def _server(tell: Callable[[str], None], slots: int) -> None:
    free = asyncio.Semaphore(slots)

    async def connection(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await source.readuntil(b"\r\n\r\n")).lower()
                size = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
                request = json.loads(await source.readexactly(size))
                async with free:
                    await asyncio.sleep(DELAY_S)
                body = json.dumps(_reply(request)).encode()
                start = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n"
                sink.write(f"{start}content-type: application/json\r\n\r\n".encode() + body)
                await sink.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            sink.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=4096)
    tell(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    await server.serve_forever()


def _reply(request: dict[str, Any]) -> dict[str, Any]:
    """A search, then the first result opened, then an answer."""
    messages = request["messages"]
    told = [message["content"] for message in messages if message["role"] == "tool"]
    if not told:
        name, given = "search", {"query": " ".join(messages[1]["content"].split()[:4])}
    elif len(told) == 1 and told[0].startswith("["):
        name, given = "open", {"key": told[0][1:].partition("]")[0]}
    else:
        name, given = "answer", {"text": "something"}
    call = {"id": "c", "type": "function"}
    function = {"name": name, "arguments": json.dumps(given)}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{**call, "function": function}],
    }
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 500, "completion_tokens": 20},
    }


def _words() -> list[str]:
    rng = Random(0)
    letters = "abcdefghiklmnoprstuvw"
    return ["".join(rng.choices(letters, k=rng.randint(4, 9))) for _ in range(4000)]


def _corpus(folder: Path) -> Corpus:
    """Documents of 3,000 characters of made-up words."""
    words, path = _words(), folder / "rows.jsonl"
    with path.open("w") as file:
        for number in range(DOCUMENTS):
            rng = Random(number)
            parts = (" ".join(rng.choices(words, k=12)).capitalize() + "." for _ in range(36))
            row = {"id": f"d{number}", "title": f"Page {number}", "text": " ".join(parts)}
            file.write(json.dumps(row) + "\n")
    make_corpus(CorpusConfig(reader="jsonl", path=path), Options(run=folder))
    return Corpus.open(folder / "corpus")


if __name__ == "__main__":
    main()
