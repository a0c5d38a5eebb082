"""Soak of the reward server: a judge that fails, hangs and babbles; no false zero, nothing lost.

    .venv/bin/python bench/soak.py --requests 20000

Prints one Markdown table. Every request is one whose right outcome is known and that only the judge
can tell. Of the judge's replies 30 % are an error, a dropped connection, a hang or no verdict.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.llm_server import Model, Raw, Request, Said, failure
from tests.served import Served

FAILING = 0.3
INFO = {
    "rubric_reward_ratio": 0.3,
    "dataset_name": "longqa",
    "rubric_use_content": True,
    "rubric_use_reasoning_content": False,
    "rubrics": ["Iran", "Mali"],
}


class Report(NamedTuple):
    """What a soak found."""

    requests: int
    answered: int
    unknown: int
    """Answered with 503: the judge failed too often for this one."""
    lost: int
    """No answer, or any other status."""
    false_zeros: int
    """Right answers that were given outcome 0."""
    false_ones: int
    seconds: float
    judge_calls: int
    memory_start_mb: float
    """After the first tenth."""
    memory_end_mb: float
    crashed: bool

    @property
    def memory_growth_mb(self) -> float:
        """From the first tenth to the end."""
        return self.memory_end_mb - self.memory_start_mb


def unsteady(seed: int) -> Any:
    """A judge that is right when it answers, and often does not."""
    rng = random.Random(seed)
    troubles: list[Said | None] = [
        failure(503),
        failure(429, "slow down"),
        failure(500),
        None,
        Raw(delay_s=3.0),
        "I am not sure what to say.",
        "correct: yes or no",
        {"content": None},
        Raw(200, "<html>busy</html>"),
        Raw(200, '{"choices": []}'),
    ]

    def reply(request: Request) -> Said:
        if rng.random() < FAILING:
            trouble = rng.choice(troubles)
            if trouble is None:
                raise OSError
            return trouble
        right = "the right place" in request["messages"][0]["content"]
        return f"extracted: a place\nreason: compared\ncorrect: {'yes' if right else 'no'}"

    return reply


async def soak(run: Path, *, requests: int, clients: int, seed: int = 0) -> Report:
    """Send `requests` from `clients` at a time to a real server with an unsteady judge."""
    with Model(unsteady(seed)) as model:
        argv = ["--judge.base-url", model.url, "--judge.model", "unsteady", "--outcome", "judge"]
        argv += ["--judge.timeout-s", "1", "--judge.retries", "2", "--judge.retry-wait-s", "0.02"]
        argv += ["--concurrency", "256", "--judge.concurrency", "256"]
        with Served(run, *argv) as server:
            return await _drive(server, model, requests, clients)


async def _drive(server: Served, model: Model, requests: int, clients: int) -> Report:
    counts = Counter[str]()
    left = iter(range(requests))
    memory = [server.memory_mb()]
    started = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=120)
    connector = aiohttp.TCPConnector(limit=clients)

    async def client(session: aiohttp.ClientSession) -> None:
        for number in left:
            right = number % 2 == 0
            place = f"{'the right' if right else 'some other'} place, number {number}"
            info = {**INFO, "question": f"Which place is number {number}?"}
            body = {"label": "x", "response": f"Answer: {place}", "extra_reward_info": info}
            counts[await _outcome(session, server.url, body, right)] += 1
            if number == requests // 10:
                memory[0] = server.memory_mb()

    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    seconds = time.monotonic() - started
    crashed = server.process.poll() is not None
    return Report(
        requests=requests,
        answered=counts["right"] + counts["false_zero"] + counts["false_one"],
        unknown=counts["unknown"],
        lost=counts["lost"],
        false_zeros=counts["false_zero"],
        false_ones=counts["false_one"],
        seconds=seconds,
        judge_calls=len(model.requests),
        memory_start_mb=memory[0],
        memory_end_mb=0.0 if crashed else server.memory_mb(),
        crashed=crashed,
    )


async def _outcome(
    session: aiohttp.ClientSession, url: str, body: dict[str, Any], right: bool
) -> str:
    try:
        async with session.post(f"{url}/evaluate", json=body) as response:
            if response.status == 503:
                return "unknown"
            if response.status != 200:
                return "lost"
            found = (await response.json())["outcome_reward"]
    except (aiohttp.ClientError, TimeoutError):
        return "lost"
    if found == float(right):
        return "right"
    return "false_zero" if right else "false_one"


def main() -> None:
    """Run the soak and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=256)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as run:
        report = asyncio.run(soak(Path(run), requests=given.requests, clients=given.clients))
    rows = {
        "requests": report.requests,
        "answered": report.answered,
        "unknown (503)": report.unknown,
        "lost": report.lost,
        "false zeros": report.false_zeros,
        "false ones": report.false_ones,
        "judge calls": report.judge_calls,
        "crashed": report.crashed,
        "seconds": f"{report.seconds:.0f}",
        "memory, MB": f"{report.memory_start_mb:.0f} -> {report.memory_end_mb:.0f}",
    }
    lines = ["| soak | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
