from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.llm import LLM, LLMError
from longtrace.records import Open, Question, Search, Trajectory
from longtrace.store import read_records
from longtrace.trajectories.config import Config
from longtrace.trajectories.grade import grade
from longtrace.trajectories.model_agent import ModelRunner, until_out
from longtrace.trajectories.stage import run
from tests.llm_server import Model, Raw, Request, Said, call, failure
from tests.trajectories.players import ANSWER, free, weak


def config(model: Model, **options: Any) -> Config:
    told = {"agent": "llm", "attempts": 1, "k": 8, "rung": "tools", **options}
    return Config(base_url=model.url, model="scripted", retry_wait_s=0.01, retries=1, **told)


def play(
    corpus: Corpus, question: Question, reply: Callable[[Request], Said], **options: Any
) -> tuple[Trajectory, list[Request]]:
    with Model(reply) as model:
        told = config(model, **options)

        async def once() -> Trajectory:
            async with LLM(told) as llm:
                return await ModelRunner(corpus, told, llm).attempt((question, 0))

        return asyncio.run(once()), model.requests


def test_a_model_with_tools_searches_opens_and_cites(
    corpus: Corpus, questions: list[Question]
) -> None:
    made, requests = play(corpus, questions[0], free)
    kinds = [step.kind for step in made.steps]
    assert kinds == ["search", "open", "answer"]
    assert (made.stop, made.answer, made.correct) == ("answered", ANSWER, False)
    assert made.cited == made.opened
    assert made.usage.prompt_tokens == 300
    assert len(requests) == 3


def test_the_right_answer_is_right(corpus: Corpus, questions: list[Question]) -> None:
    made, _ = play(corpus, questions[0], lambda _: call("answer", text=questions[0].answer))
    assert made.correct is True


@pytest.mark.parametrize(
    "said",
    [
        call("open", key="no such key"),
        call("dance", wildly=True),
        call("search", wrong=1),
        "I would rather talk.",
        {"content": None, "tool_calls": [{"function": {"name": "search", "arguments": "{{{"}}]},
    ],
)
def test_nonsense_is_told_back_and_ends_in_a_limit_or_giving_up(
    corpus: Corpus, questions: list[Question], said: Said
) -> None:
    made, requests = play(corpus, questions[0], lambda _: said, max_steps=6)
    assert made.stop in ("gave_up", "step_limit")
    assert made.correct is False
    assert not made.opened
    assert len(requests) <= 6


def test_at_the_last_step_only_answering_is_offered(
    corpus: Corpus, questions: list[Question]
) -> None:
    def reply(request: Request) -> Said:
        offered = [tool["function"]["name"] for tool in request["tools"]]
        return call("answer", text="late") if offered == ["answer"] else call("search", query="x")

    made, requests = play(corpus, questions[0], reply, max_steps=4)
    assert (made.answer, len(requests)) == ("late", 4)


def test_a_token_limit_ends_the_attempt(corpus: Corpus, questions: list[Question]) -> None:
    made, requests = play(
        corpus, questions[0], lambda _: call("search", query="coast"), max_attempt_tokens=250
    )
    assert (made.stop, len(requests)) == ("token_limit", 3)


def test_pages_of_a_document_are_shown_one_at_a_time(
    corpus: Corpus, questions: list[Question]
) -> None:
    shown: list[str] = []

    def reply(request: Request) -> Said:
        told = [m["content"] for m in request["messages"] if m["role"] == "tool"]
        shown[:] = told[1:]
        if not told:
            return call("search", query="island economy")
        key = told[0][1:].partition("]")[0]
        return call("open", key=key, page=len(told)) if len(told) < 3 else call("answer", text="x")

    made, _ = play(corpus, questions[0], reply, page_chars=500)
    assert len(shown) == 2
    text = corpus.text(corpus.id(made.opened[0]))
    assert "page 1 of" in shown[0]
    assert shown[0].endswith(text[:500])
    assert "page 2 of" in shown[1]
    assert shown[1].endswith(text[500:1000])


def test_old_results_are_shortened_to_stay_in_the_window(
    corpus: Corpus, questions: list[Question]
) -> None:
    def reply(request: Request) -> Said:
        told = [m for m in request["messages"] if m["role"] == "tool"]
        if not told or len(told) % 2 == 0:
            return call("search", query=f"island trade {len(told)}")
        return call("open", key=told[-1]["content"][1:].partition("]")[0])

    _, requests = play(
        corpus, questions[0], reply, max_steps=12, window_tokens=4000, page_chars=5000
    )
    sizes = [sum(len(m["content"] or "") for m in r["messages"]) / 4 for r in requests]
    assert max(sizes) < 4000
    assert any("left out" in str(r["messages"]) for r in requests)


def test_an_endpoint_that_fails_leaves_the_answer_unknown(
    corpus: Corpus, questions: list[Question]
) -> None:
    def reply(request: Request) -> Said:
        return free(request) if len(request["messages"]) < 4 else failure(500)

    made, _ = play(corpus, questions[0], reply)
    assert (made.stop, made.correct) == ("error", None)
    assert [type(step) for step in made.steps] == [Search]


def test_the_scaffold_offers_legal_moves_only(corpus: Corpus, questions: list[Question]) -> None:
    made, requests = play(corpus, questions[0], weak, rung="json", mode="scaffold", max_steps=9)
    assert [step.kind for step in made.steps] == ["search", "open"] * 3 + ["answer"]
    assert made.answer == ANSWER
    assert len(requests) == 9
    opened = [step.doc for step in made.steps if isinstance(step, Open)]
    assert len(set(opened)) == 3, "a document read is not offered again"
    queries = [step.query for step in made.steps if isinstance(step, Search)]
    assert len(set(queries)) == 3, "a query is not repeated"


def test_a_weak_model_may_answer_early_only_with_what_it_has_read(
    corpus: Corpus, questions: list[Question]
) -> None:
    def reply(request: Request) -> Said:
        said = json.loads(weak(request))
        shown = re.search(r"\[1\] .*?\b([a-z]+ [a-z]+ [a-z]+)", request["messages"][0]["content"])
        if "answer" in said:
            said["answer"] = shown.group(1) if shown and reads else "Atlantis"
        return json.dumps(said)

    told: dict[str, Any] = {"rung": "json", "mode": "scaffold", "max_steps": 9}
    reads = False
    _, invented = play(corpus, questions[0], reply, **told)
    reads = True
    _, read = play(corpus, questions[0], reply, **told)
    assert (len(invented), len(read)) == (9, 3)


def test_the_scaffold_survives_replies_that_are_no_moves(
    corpus: Corpus, questions: list[Question]
) -> None:
    made, _ = play(
        corpus, questions[0], lambda _: "Hello!", rung="plain", mode="scaffold", max_steps=6
    )
    assert (made.stop, made.answer) == ("step_limit", None)
    assert len(made.opened) == 2


def test_a_judge_is_asked_only_where_words_differ_and_its_outage_is_unknown(
    questions: list[Question],
) -> None:
    asked = questions[0]

    async def verdicts(model: Model) -> list[bool | None]:
        async with LLM(model.endpoint(rung="json", retries=0)) as judge:
            said = (asked.answer, "yes of course", "never", "down", "", None)
            return [await grade(answer, asked, judge) for answer in said]

    def reply(request: Request) -> Said:
        return failure(500) if "down" in request["messages"][-1]["content"] else weak(request)

    with Model(reply) as model:
        got = asyncio.run(verdicts(model))
        assert len(model.requests) == 3
    assert got == [True, True, False, None, False, False]


def test_a_dead_endpoint_stops_the_stage_and_keeps_nothing() -> None:
    async def failing(count: int, last: str) -> AsyncIterator[Trajectory]:
        for number in range(count):
            yield Trajectory(question_id="q", attempt=number, steps=(), stop="error", model="m")
        if last:
            yield Trajectory(question_id="q", attempt=99, steps=(), stop="gave_up", model="m")

    async def collect(count: int, last: str) -> list[int]:
        kept: list[int] = []
        try:
            async for one in until_out(failing(count, last)):
                kept.append(one.attempt)
        except LLMError:
            kept.append(-1)
        return kept

    assert asyncio.run(collect(3, "works again")) == [0, 1, 2, 99]
    assert asyncio.run(collect(3, "")) == [-1]
    assert asyncio.run(collect(50, "too late")) == [-1]


def rows(folder: Path) -> bytes:
    return (folder / "trajectories" / "data.jsonl").read_bytes()


def copied(asked_run: Path, folder: Path) -> Path:
    for part in ("corpus", "questions"):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).symlink_to(asked_run / part)
    return folder


def test_a_budget_stops_cleanly_and_the_same_command_with_more_goes_on(
    asked_run: Path, tmp_path: Path
) -> None:
    folder = copied(asked_run, tmp_path / "run")
    with Model(free) as model:
        with pytest.raises(LLMError, match="budget"):
            run(config(model, budget_tokens=6000, concurrency=1), Options(run=folder))
        before = len(model.requests)
        done = len(list(read_records(folder / "trajectories" / "data.jsonl", Trajectory)))
        assert 0 < done < 12
        run(config(model, concurrency=1), Options(run=folder))
        assert len(model.requests) == 36, "nothing is asked twice"
        assert before < 36
    assert len(rows(folder).splitlines()) == 12


def test_a_dry_run_estimates_without_asking(asked_run: Path, tmp_path: Path) -> None:
    folder = copied(asked_run, tmp_path / "run")
    with Model(free) as model:
        told = config(model, prompt_price=1.0)
        before = run(told, Options(run=folder, dry_run=True)).json
        assert not model.requests
        run(told, Options(run=folder, limit=12))
        after = run(told, Options(run=folder, dry_run=True)).json
    assert before["attempts_left"] == 12
    assert before["prompt_tokens"] > 12_000
    assert before["cost"] > 0
    assert after["attempts_left"] == 0


@pytest.mark.slow
def test_killed_at_random_moments_no_request_is_paid_twice(asked_run: Path, tmp_path: Path) -> None:
    def slowly(request: Request) -> Said:
        message = {"role": "assistant", **free(request)}
        body = {"choices": [{"message": message}], "usage": {"prompt_tokens": 7}}
        return Raw(body=json.dumps(body), delay_s=0.15)

    quiet, disturbed = copied(asked_run, tmp_path / "a"), copied(asked_run, tmp_path / "b")
    rng = random.Random(5)
    with Model(slowly) as model:
        argv = [sys.executable, "-m", "longtrace.cli", "trajectories", "--agent", "llm"]
        argv += ["--base-url", model.url, "--model", "scripted", "--attempts", "2"]
        argv += ["--concurrency", "2", "--rung", "tools"]
        started = time.monotonic()
        subprocess.run([*argv, "--run", str(quiet)], check=True, capture_output=True)
        took = time.monotonic() - started
        once = len(model.requests)
        model.requests.clear()
        for _ in range(5):
            process = subprocess.Popen([*argv, "--run", str(disturbed)], stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0.5, 0.9) * took)
            process.send_signal(signal.SIGKILL)
            process.wait()
        subprocess.run([*argv, "--run", str(disturbed)], check=True, capture_output=True)
        counts = Counter(json.dumps(request, sort_keys=True) for request in model.requests)
    assert rows(quiet) == rows(disturbed)
    under_way = 2 * 5
    assert once <= len(model.requests) <= once + under_way, "only those under way are asked again"
    assert max(counts.values()) <= 1 + 2 + 5
