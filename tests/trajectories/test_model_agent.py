from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.llm import LLM, LLMError
from longtrace.questions.clues import page_cache
from longtrace.records import Open, Question, Search, Trajectory
from longtrace.store import read_records
from longtrace.text import words
from longtrace.trajectories.attempt import LimitReached, Limits, Talk
from longtrace.trajectories.config import Config
from longtrace.trajectories.grade import grade
from longtrace.trajectories.model_agent import ModelRunner, until_out
from longtrace.trajectories.scaffold import Scaffold
from longtrace.trajectories.stage import run
from longtrace.trajectories.tools import Tools
from tests.llm_server import Model, Request, Said, call, failure
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
    made, requests = play(corpus, questions[0], weak, rung="json", mode="scaffold", max_steps=16)
    assert made.answer == ANSWER
    assert len(requests) == 16
    opened = [step.doc for step in made.steps if isinstance(step, Open)]
    assert len(set(opened)) == len(opened) > 6, "a document read is not offered again"
    queries = [step.query for step in made.steps if isinstance(step, Search)]
    assert len(set(queries)) == len(queries) > 1, "a query is not repeated"
    kinds = "".join(step.kind[0] for step in made.steps)
    assert kinds.startswith("soooooos"), "what was found is read before the next search"
    clue = questions[0].text.lower()
    assert all(word in clue for word in queries[0].split())


CLUED = 'The page about [A] says: "The [A] lies on the [B]." How long is the [B]?'
TEXTS = {
    "Town": "A town is small. It lies on the road.",
    "Old Vienna": "Old Vienna is a city. The Old Vienna lies on the Danube. It is large.",
    "Danube": "The Danube is a river. It is 2,850 km long.",
    "Danube delta": "It is where the river ends.",
}


class Shelf:
    """A library of `TEXTS`: a search lists what holds any word asked for, in order."""

    def search(self, query: str, k: int) -> list[int]:
        asked = set(words(query))
        texts = enumerate(f"{title} {text}" for title, text in TEXTS.items())
        return [number for number, text in texts if asked & set(words(text))][:k]

    def key(self, doc: int) -> str:
        return f"k{doc}"

    def title(self, doc: int) -> str:
        return list(TEXTS)[doc]

    def text(self, doc: int) -> str:
        return list(TEXTS.values())[doc]


def led(replies: dict[str, Any], max_steps: int = 12) -> tuple[Tools, list[str]]:
    """A scaffolded attempt at `CLUED`; `replies` has what to say for a key that is asked for."""

    def reply(request: Request) -> Said:
        keys = request["response_format"]["schema"]["properties"]
        said: dict[str, Any] = {}
        for key, told in keys.items():
            said[key] = replies[key] if key in replies else told["items"]["enum"][:1]
            if callable(said[key]):
                said[key] = said[key](request["messages"][0]["content"], told)
        return json.dumps(said)

    tools = Tools(Shelf(), k=8)

    async def once(model: Model) -> None:
        async with LLM(model.endpoint(rung="json")) as llm:
            talk = Talk(llm, Limits(steps=max_steps))
            await Scaffold(talk, tools, lambda _: 1.0, page_cache()).run(CLUED)

    with Model(reply) as model, contextlib.suppress(LimitReached):
        asyncio.run(once(model))
    return tools, [request["messages"][0]["content"] for request in model.requests]


FOUND = {
    "query": ["lies"],
    "open": lambda shown, told: told["items"]["enum"],
    "document": "Old Vienna",
    "B": "UNKNOWN",
    "answer": "2,850 km",
}


def test_a_name_is_read_off_the_document_pointed_at_and_its_page_is_looked_for() -> None:
    tools, shown = led(FOUND)
    searches = [step.query for step in tools.steps if isinstance(step, Search)]
    assert searches == ["lies", "Danube"], "the name is the second query"
    assert tools.steps[-1].kind == "answer"
    assert tools.steps[-1].text == "2,850 km"
    assert "How long is the Danube?" in shown[-1]
    assert len(shown) == 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"document": "UNKNOWN", "B": "Danube"},
        {"document": "Danube", "B": "Danube"},
        {"document": "Town", "B": "Elbe"},
        {"document": "Town", "B": "[B]"},
        {"document": "Danube delta", "B": "Danube"},
    ],
)
def test_a_name_counts_only_if_a_document_read_says_it(wrong: dict[str, str]) -> None:
    tools, _ = led({**FOUND, **wrong, "answer": "Elbe"})
    searches = [step.query for step in tools.steps if isinstance(step, Search)]
    assert "Danube" not in searches
    assert len(searches) == len(set(searches)) > 1, "the search goes on with other words"


@pytest.mark.parametrize("said", ["UNKNOWN", "Elbe", "Danube", "[B]"])
def test_an_answer_that_was_not_read_sends_the_model_back_to_search(said: str) -> None:
    tools, shown = led({**FOUND, "answer": said})
    asked = [text for text in shown if "Answer what the clue asks" in text]
    assert len(asked) > 1
    assert len(shown) == 12
    assert sum(isinstance(step, Search) for step in tools.steps) > 2
    assert all("UNKNOWN" in text for text in asked[:-1])
    assert "UNKNOWN" not in asked[-1], "the last time it must answer"


def test_the_scaffold_survives_replies_that_are_no_moves(
    corpus: Corpus, questions: list[Question]
) -> None:
    made, _ = play(
        corpus, questions[0], lambda _: "Hello!", rung="plain", mode="scaffold", max_steps=6
    )
    assert (made.stop, made.answer) == ("step_limit", None)
    assert len(made.opened) == 4, "of each list the first is read"


def test_a_question_without_letters_is_one_clue(corpus: Corpus, questions: list[Question]) -> None:
    asked = questions[0].model_copy(update={"text": "Which country has the longest coast?"})
    made, requests = play(corpus, asked, weak, rung="json", mode="scaffold", max_steps=6)
    assert made.answer == ANSWER
    assert not any("document" in str(request["response_format"]) for request in requests)


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
