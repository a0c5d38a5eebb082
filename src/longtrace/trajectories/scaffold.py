"""A scaffold for weak models: only legal moves are offered, and the state is shown anew each time.

A round is three requests: a query, a choice among results that are unread, and an answer over the
excerpts of all documents read, which may be UNKNOWN while rounds are left. Nothing grows but the
list of documents read, so a model with a short window can play. Weak models hardly ever say
UNKNOWN: an answer that stands in none of the excerpts counts as such while rounds are left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from longtrace.prompting import fill, prompt
from longtrace.questions.clues import STOP, Page, Weight
from longtrace.records import Message
from longtrace.text import names, words
from longtrace.trajectories.attempt import LimitReached, Talk
from longtrace.trajectories.tools import Listed, Tools

ROUND = 3
"""Requests of a round."""
SHOWN = 5
"""Results shown after a search."""
SNIPPET_CHARS = 120
EXCERPT_CHARS = 400
"""Characters shown of a document read."""
KEPT = 5
"""Documents read that are shown, the latest."""
UNKNOWN = "UNKNOWN"
_MARK = re.compile(r"\[?[A-Z]\]?")
"""A mark of the question, which weak models give for an answer."""
_MAY_BE_UNKNOWN = f"If they do not show it, the answer is {UNKNOWN}. "


class _Read(NamedTuple):
    key: str
    title: str
    excerpt: str


class Scaffold:
    """One attempt at one question.

    Args:
        talk: requests to the model.
        tools: fresh tools.
        weight: weight of a word, to choose what an excerpt shows.
        pages: text -> page, with a cache.
    """

    def __init__(
        self, talk: Talk, tools: Tools, weight: Weight, pages: Callable[[str], Page]
    ) -> None:
        self._talk, self._tools = talk, tools
        self._weight, self._pages = weight, pages
        self._read: list[_Read] = []
        self._seen: set[str] = set()
        self._queries: list[str] = []

    async def run(self, question: str) -> None:
        """Play until an answer is given or nothing is left; the tools hold the steps.

        Raises:
            LimitReached: the attempt ended without an answer.
            LLMError: the endpoint failed.
        """
        while True:
            unread = await self._search(question)
            await self._open(question, unread)
            last = self._talk.steps_left <= ROUND
            if self._read and await self._answer(question, last):
                return
            if last:
                raise LimitReached("step_limit")

    async def _search(self, question: str) -> list[Listed]:
        """New results of a query that was not asked before; of the question's words, if it was."""
        tried = f"Searched before: {'; '.join(self._queries)}\n" if self._queries else ""
        task = fill(prompt("scaffold-search"), asked=tried)
        data = await self._ask(question, task, {"query": {"type": "string"}})
        query = str(data.get("query", "")).strip()[:200]
        if not words(query) or query.lower() in map(str.lower, self._queries):
            rare = sorted(_telling(question), key=lambda word: (-self._weight(word), word))
            start = 4 * len(self._queries)
            query = " ".join(rare[start : start + 6] or rare[:6])
        self._queries.append(query)
        found = self._tools.search(query) or ()
        return [result for result in found if result.key not in self._seen][:SHOWN]

    async def _open(self, question: str, unread: Sequence[Listed]) -> None:
        if not unread:
            return
        numbers = [str(number) for number in range(1, len(unread) + 1)]
        shown = "\n".join(
            f"{number}. {result.title}: {result.snippet[:SNIPPET_CHARS]}"
            for number, result in zip(numbers, unread, strict=True)
        )
        task = fill(prompt("scaffold-open"), query=self._queries[-1], results=shown)
        data = await self._ask(question, task, {"open": _choice(numbers, 2)})
        chosen = [number for number in data.get("open", ()) if number in numbers]
        for number in list(dict.fromkeys(chosen))[:2] or numbers[:1]:
            result = unread[int(number) - 1]
            text = self._tools.open(result.key)
            if text is None:
                return
            self._seen.add(result.key)
            wanted = [*_telling(question), *_telling(self._queries[-1])]
            excerpt = self.excerpt(text, wanted)
            self._read.append(_Read(result.key, result.title, excerpt))

    async def _answer(self, question: str, last: bool) -> bool:
        kept = self._kept
        numbers = [str(number) for number in range(1, len(kept) + 1)]
        task = fill(prompt("scaffold-answer"), unknown="" if last else _MAY_BE_UNKNOWN)
        keys = {"sources": _choice(numbers, len(numbers)), "answer": {"type": "string"}}
        data = await self._ask(question, task, keys)
        answer = str(data.get("answer", "")).strip()
        if not answer or UNKNOWN in answer.upper() or _MARK.fullmatch(answer):
            return False
        if not last and not any(names(doc.excerpt, answer) for doc in kept):
            return False
        cited = [kept[int(n) - 1].key for n in data.get("sources", ()) if n in numbers]
        self._tools.answer(answer, cited)
        return True

    async def _ask(self, question: str, task: str, keys: dict[str, Any]) -> dict[str, Any]:
        """The object the model replies with; empty if it is none."""
        read = "".join(
            f"\n[{number}] {doc.title}: {doc.excerpt}" for number, doc in enumerate(self._kept, 1)
        )
        read = f"\nDocuments read:{read}\n" if read else ""
        asked = fill(prompt("scaffold"), question=question, read=read, task=task)
        schema = {"type": "object", "properties": keys, "required": list(keys)}
        reply = await self._talk.ask([Message(role="user", content=asked)], schema=schema)
        return reply.data or {}

    @property
    def _kept(self) -> list[_Read]:
        return self._read[-KEPT:]

    def excerpt(self, text: str, wanted: Sequence[str]) -> str:
        """The first sentence of a text and those that hold most of the wanted words, in order."""
        page = self._pages(text)
        score: dict[int, float] = {}
        for word in dict.fromkeys(wanted):
            for number in page.holding(word):
                score[number] = score.get(number, 0.0) + self._weight(word)
        best = sorted(score, key=lambda number: (-score[number], number))
        kept, size = set[int](), 0
        for number in dict.fromkeys([0, *best]):
            if number < len(page.sentences) and size < EXCERPT_CHARS:
                kept.add(number)
                size += len(page.sentences[number])
        return " ".join(page.sentences[number][:EXCERPT_CHARS] for number in sorted(kept))


def _choice(numbers: Sequence[str], most: int) -> dict[str, Any]:
    items = {"type": "string", "enum": list(numbers)}
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


def _telling(text: str) -> list[str]:
    return [word for word in words(text) if word not in STOP and len(word) > 2]
