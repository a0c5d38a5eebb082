"""Speed of the rewards: rubric, group formula and server. Prints Markdown tables.

    .venv/bin/python bench/rewards.py

Times of pure functions are CPU time, the best of several passes; server figures are wall time with
the client on the same machine.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.served import Served

from longtrace.records import Entity, Score
from longtrace.rewards.combine import advantages, combine
from longtrace.rewards.rubric import rubric_score

WORD = re.compile(r"\w+")
CLIENTS = 64
RESPONSE_CHARS = 130_000
"""About 32K tokens of English."""


def response(chars: int, accents: bool) -> str:
    """Made-up prose of `chars` characters; with some accents and signs beyond ASCII if asked."""
    rng = random.Random(0)
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(5000)]
    out, length = [], 0
    while length < chars:
        word = rng.choice(words)
        if rng.random() < 0.1:
            word = word.capitalize()
        if accents and rng.random() < 0.02:
            word = word[0] + rng.choice("éüñøł") + word[1:]
        out.append(word + rng.choice([" "] * 14 + [", ", ". ", "-", "\n\n"]))
        length += len(out[-1])
    return "".join(out)[:chars]


def cpu_ms(function: Callable[[], object], passes: int = 30) -> float:
    """CPU milliseconds of one call, the best of several passes."""
    best = float("inf")
    for _ in range(passes):
        started = time.process_time_ns()
        function()
        best = min(best, time.process_time_ns() - started)
    return best / 1e6


def pure() -> list[tuple[str, str]]:
    """Rubric and group formula."""
    rows = []
    for accents in (False, True):
        text = response(RESPONSE_CHARS, accents)
        found = [f"{a} {b}" for a, b in zip(text.split()[:40:4], text.split()[1:40:4], strict=True)]
        entities = [Entity(name=name) for name in [*found, *(f"No Such {n}" for n in range(10))]]

        def bare(text: str = text, entities: list[Entity] = entities) -> list[bool]:
            haystack = " ".join(WORD.findall(text.lower()))
            return [f" {e.name.lower()} " in haystack for e in entities]

        ours = cpu_ms(lambda text=text, entities=entities: rubric_score(text, entities))  # type: ignore[misc]
        base = cpu_ms(bare)
        what = "with accents" if accents else "ASCII"
        rows.append(
            (
                f"rubric, 20 entities, {RESPONSE_CHARS:,} characters, {what}",
                f"{ours:.2f} ms, {ours / base:.2f} x bare normalise-and-find ({base:.2f} ms)",
            )
        )
    rng = random.Random(1)
    scores_G = [Score(outcome=float(rng.random() < 0.5), rubric=rng.random()) for _ in range(8)]
    took = cpu_ms(lambda: [advantages(combine(scores_G)) for _ in range(1000)])
    rows.append(("rewards and advantages of a group of 8", f"{took:.2f} us"))
    return rows


def request(url: str, text: str) -> bytes:
    """An `/evaluate` request whose outcome is not asked for."""
    info = {
        "rubric_reward_ratio": 1,
        "dataset_name": "bench",
        "rubric_use_content": True,
        "rubric_use_reasoning_content": False,
        "rubrics": [f"No Such {n}" for n in range(20)],
    }
    body = json.dumps({"label": "x", "response": text, "extra_reward_info": info}).encode()
    head = f"POST /evaluate HTTP/1.1\r\nHost: {url}\r\nContent-Type: application/json\r\n"
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


async def load(url: str, text: str, requests: int) -> tuple[float, list[float]]:
    """Wall seconds, and the seconds of every request, with 64 clients."""
    host, port = url.removeprefix("http://").split(":")
    data = request(url, text)
    left = iter(range(requests))
    took: list[float] = []

    async def client() -> None:
        source, sink = await asyncio.open_connection(host, int(port))
        for _ in left:
            started = time.perf_counter()
            sink.write(data)
            head = await source.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            if not head.startswith(b"HTTP/1.1 200") or length is None:
                raise RuntimeError(head.decode())
            await source.readexactly(int(length.group(1)))
            took.append(time.perf_counter() - started)
        sink.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return time.perf_counter() - started, took


def served() -> list[tuple[str, str]]:
    """Throughput and latency of the server."""
    rows = []
    with tempfile.TemporaryDirectory() as run, Served(Path(run), "--outcome", "exact") as server:
        for chars, requests in ((200, 6000), (128_000, 1500)):
            text = response(chars, accents=False)
            asyncio.run(load(server.url, text, requests // 10))
            seconds, took = asyncio.run(load(server.url, text, requests))
            took.sort()
            p50, p99 = (1000 * took[int(share * len(took))] for share in (0.5, 0.99))
            rows.append(
                (
                    f"/evaluate without outcome, {CLIENTS} clients, {chars:,} characters",
                    f"{requests / seconds:,.0f} requests/s, p50 {p50:.0f} ms, p99 {p99:.0f} ms",
                )
            )
    return rows


def main() -> None:
    """Print the tables."""
    lines = ["| rewards | |", "|---|---|"]
    lines += [f"| {what} | {took} |" for what, took in (*pure(), *served())]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
