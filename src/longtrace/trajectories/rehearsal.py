"""What a run with a model would cost: measured on attempts already made, or on a rehearsal.

The rehearsal plays a few questions with the real library and a player that searches, opens what it
finds, and answers at the last step; prompts are counted at four characters a token. It uses every
step, so it is an upper estimate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import orjson

from longtrace.corpus.corpus import Corpus
from longtrace.llm import Reply, Tool
from longtrace.llm_wire import Ask, Chat, Schema, ToolCall, payload
from longtrace.records import Question, Trajectory, Usage
from longtrace.store import read_identity, read_records
from longtrace.text import words
from longtrace.trajectories.config import Config
from longtrace.trajectories.model_agent import ModelRunner

SAMPLE = 5
"""Questions rehearsed."""
CHARS_PER_TOKEN = 4
REPLY_TOKENS = 60


class Estimate(NamedTuple):
    """What the attempts not yet made would take."""

    json: dict[str, Any]
    text: list[str]


class Rehearsal:
    """Answers like a model that always searches, then opens, and never knows; costs nothing."""

    def __init__(self, question: str) -> None:
        self._words = [word for word in words(question) if len(word) > 3]
        self._keys: list[str] = []
        self.calls = 0

    async def complete(
        self,
        messages: Sequence[Chat],
        *,
        tools: Sequence[Tool] = (),
        schema: Schema | None = None,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        sample: int = 0,
    ) -> Reply:
        """A legal reply, with the usage a model would state."""
        ask = Ask(messages, tools, schema, temperature, max_tokens)
        size = len(orjson.dumps(payload(ask, "", "tools")["messages"]))
        usage = Usage(prompt_tokens=size // CHARS_PER_TOKEN, completion_tokens=REPLY_TOKENS)
        self.calls += 1
        if schema is not None:
            return Reply(data=self._fill(schema), usage=usage, paid=usage)
        last = messages[-1]
        told = last.get("content", "") if isinstance(last, dict) else ""
        names = [tool.name for tool in tools]
        key = told[1:].partition("]")[0] if told.startswith("[") and "page 1" not in told else ""
        if "search" not in names:
            call = ToolCall(name="answer", arguments={"text": "nothing"})
        elif key:
            call = ToolCall(name="open", arguments={"key": key})
        else:
            call = ToolCall(name="search", arguments={"query": self._query()})
        return Reply(tool_calls=(call,), usage=usage, paid=usage)

    def _fill(self, schema: Schema) -> dict[str, Any]:
        keys = schema["properties"]
        said = {"query": self._query(), "answer": "UNKNOWN"}
        return {
            key: said.get(key, "UNKNOWN")
            if keys[key]["type"] == "string"
            else keys[key]["items"]["enum"][:2]
            for key in keys
        }

    def _query(self) -> str:
        start = 3 * self.calls % max(1, len(self._words))
        return " ".join(self._words[start : start + 4])


class Made(NamedTuple):
    """Attempts of the same agent that a folder holds."""

    rows: Sequence[Trajectory] = ()
    kept: bool = False
    """Whether the run would go on after them; else they only show what an attempt costs."""


def made_before(folder: Path, identity: Mapping[str, Any], *, fresh: bool) -> Made:
    """The attempts in `folder`, if what made them differs in the number of questions at most."""
    if not (folder / "stage.json").is_file() or not (folder / "data.jsonl").is_file():
        return Made()
    was = read_identity(folder).config
    if {**was, "questions": None} != {**identity, "questions": None}:
        return Made()
    rows = list(read_records(folder / "data.jsonl", Trajectory))
    return Made(rows, kept=was == identity and not fresh)


def estimate(config: Config, corpus: Corpus, questions: Sequence[Question], made: Made) -> Estimate:
    """Calls, tokens and cost of the attempts that are still to be made."""
    rows = made.rows
    left = max(0, len(questions) * config.attempts - (len(rows) if made.kept else 0))
    if rows:
        usages = [row.usage for row in rows]
        calls = fmean(len(row.steps) for row in rows)
        base = f"{len(rows)} attempts already made"
    else:
        played = asyncio.run(_rehearse(config, corpus, questions[:SAMPLE]))
        usages = [usage for usage, _ in played]
        calls = fmean(count for _, count in played)
        base = f"a rehearsal of {len(played)} questions that uses every step"
    prompt = round(left * fmean(usage.prompt_tokens for usage in usages))
    completion = round(left * fmean(usage.completion_tokens for usage in usages))
    cost = (prompt * config.prompt_price + completion * config.completion_price) / 1e6
    facts = {
        "attempts_left": left,
        "calls": round(left * calls),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cost": cost,
    }
    text = [
        f"{left:,} attempts are left: about {facts['calls']:,} calls, {prompt:,} prompt and "
        f"{completion:,} completion tokens, "
        + (f"cost {cost:.2f}" if config.priced else "cost unknown without prices"),
        f"estimated from {base}",
    ]
    return Estimate(facts, text)


async def _rehearse(
    config: Config, corpus: Corpus, questions: Sequence[Question]
) -> list[tuple[Usage, int]]:
    played: list[tuple[Usage, int]] = []
    for question in questions:
        player = Rehearsal(question.text)
        made = await ModelRunner(corpus, config, player).attempt((question, 0))
        played.append((made.usage, player.calls))
    return played
