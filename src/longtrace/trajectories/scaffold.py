"""A scaffold for weak models: only legal moves are offered, and the state is shown anew each time.

Work goes letter by letter: [A], [B], ... stand in a question for names to be found out. A request
shows the clue at hand, with the names found so far in it, and what its one move needs:

1. words of the clue for a query; where a name is found whose page is not read, that is the query;
2. a choice among results that are unread; while there are some, no other query is made;
3. which document just read says what the clue says, and what its letters stand for there;
4. once every letter has a name, or one request is left, the answer by excerpts, or UNKNOWN.

A name or answer that does not stand in what was read counts as UNKNOWN. After such an answer the
search goes on; where nothing is left to read for it, the last name is dropped. A question without
letters is one clue, without move 3. Requests stay at a few hundred tokens, whatever the number of
steps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from longtrace.prompting import fill, prompt
from longtrace.questions.clues import BLANK, STOP, Page, Weight, align
from longtrace.records import Message
from longtrace.text import names, normalise_name, words
from longtrace.trajectories.attempt import LimitReached, Talk
from longtrace.trajectories.tools import Listed, Tools

SHOWN = 6
"""Results of a search to choose from; a new search is made when they are read."""
OPENED = 3
"""Most documents opened after a search."""
SNIPPET_CHARS = 140
EXCERPT_CHARS = 320
"""Characters shown of a document read."""
KEPT = 3
"""Documents read that are shown for an answer: pages of names found, then the latest."""
CLUE_CHARS = 500
CLUE_WORDS = 30
"""Words of a clue to choose a query from."""
QUERY_WORDS = 6
SAME = 0.5
"""Share of a clue's words, by weight, that a sentence holds which may say the same."""
UNKNOWN = "UNKNOWN"
_LETTER = re.compile(r"\[([A-Z])\]")
_MARK = re.compile(r"\[?[A-Z]\]?")
"""A mark of the question, which weak models give for a name or an answer."""
_MARKS = re.compile(r"\[(?:[A-Z]|name|number)\]|…|_{2,}")
_ENDS = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+(?=[A-Z\"(\[])")
_AROUND = re.compile(r"^(?:The (?:page|document) about [^:]* says:? |About [^:]*: )\"?|\"$")
_FRAME = frozenset(("page", "document", "says", "stands", "place"))
"""Words in which questions speak of documents rather than of what is in them."""
_MAY_BE_UNKNOWN = f"If they do not show it, the answer is {UNKNOWN}. "


class _Read(NamedTuple):
    key: str
    title: str
    text: str


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
        self._parts: list[str] = []
        self._letters: list[str] = []
        self._found: dict[str, str] = {}
        self._dropped: set[str] = set()
        self._sought: set[str] = set()
        self._results: list[Listed] = []
        self._read: list[_Read] = []
        self._queries: list[str] = []
        self._exhausted = False
        """Whether no query is left that was not asked."""

    async def run(self, question: str) -> None:
        """Play until an answer is given or nothing is left; the tools hold the steps.

        Raises:
            LimitReached: the attempt ended without an answer.
            LLMError: the endpoint failed.
        """
        self._parts = [part for part in _ENDS.split(question) if part.strip()]
        self._letters = list(dict.fromkeys(_LETTER.findall(question)))
        while not self._last:
            if await self._round():
                return
        if not self._read or not await self._answer():
            raise LimitReached("step_limit")

    @property
    def _last(self) -> bool:
        return self._talk.steps_left <= 1 or self._exhausted

    @property
    def _missing(self) -> list[str]:
        """Letters without a name."""
        return [letter for letter in self._letters if letter not in self._found]

    async def _round(self) -> bool:
        """A look at results and what follows from it; whether an answer was given."""
        await self._search()
        opened: list[_Read] = []
        if self._results and not self._last:
            opened = await self._open()
        if opened and self._missing and not self._last:
            await self._name(opened)
        if self._last or self._missing or self._unread_name() or not self._read:
            return False
        if await self._answer():
            return True
        if self._found and not self._results:
            self._dropped.add(self._found.popitem()[1])
        return False

    def _unread_name(self) -> str | None:
        """A name found whose page was neither read nor searched for."""
        done = self._sought | {normalise_name(doc.title) for doc in self._read}
        return next((n for n in self._found.values() if normalise_name(n) not in done), None)

    @property
    def _clue(self) -> str:
        """The part of the question that first speaks of a letter without a name, else what asks."""
        for letter in self._missing:
            return self._filled(part for part in self._parts if f"[{letter}]" in part)
        return self._asking

    @property
    def _asking(self) -> str:
        """The parts of the question that ask."""
        asking = [part for part in self._parts if BLANK in part or part.endswith("?")]
        return self._filled([" ".join(asking or self._parts)])

    def _filled(self, parts: Iterable[str]) -> str:
        """The first of the parts, with the names found."""
        text = next(iter(parts))
        for letter, name in self._found.items():
            text = text.replace(f"[{letter}]", name)
        return text[:CLUE_CHARS]

    async def _search(self) -> None:
        """Fill the results to choose from: by a name found, else, where none are left, by a query.

        A query is never asked twice.
        """
        query = self._unread_name()
        if query is not None:
            self._sought.add(normalise_name(query))
        elif self._results:
            return
        else:
            tried = f"Searched before: {'; '.join(self._queries)}\n" if self._queries else ""
            legal = list(dict.fromkeys(_telling(self._clue)))[:CLUE_WORDS]
            keys = {"query": _choice(legal, QUERY_WORDS)}
            data = await self._ask("search", keys, asked=tried) if legal else {}
            chosen = [word for word in data.get("query", ()) if word in legal]
            query = self._new(" ".join(dict.fromkeys(chosen)))
            self._exhausted = not query
            if self._exhausted:
                return
        self._queries.append(query)
        seen = {doc.key for doc in self._read}
        found = self._tools.search(query) or ()
        self._results = [result for result in found if result.key not in seen][:SHOWN]

    def _new(self, query: str) -> str:
        """`query`; if it was asked before, rare words of the clue or question; "" if all were."""
        before = {frozenset(_telling(asked)) for asked in self._queries}
        tried = [query]
        for text in (self._clue, " ".join(self._parts)):
            rare = sorted(set(_telling(text)), key=lambda word: (-self._weight(word), word))
            starts = range(0, len(rare), QUERY_WORDS // 2)
            tried += [" ".join(rare[start : start + QUERY_WORDS]) for start in starts] + rare
        fresh = (one for one in tried if _telling(one) and frozenset(_telling(one)) not in before)
        return next(fresh, "")

    async def _open(self) -> list[_Read]:
        shown = "\n".join(f"- {one.title}: {one.snippet[:SNIPPET_CHARS]}" for one in self._results)
        titles = list(dict.fromkeys(one.title for one in self._results))
        keys = {"open": _choice(titles, OPENED)}
        data = await self._ask("open", keys, query=self._queries[-1], results=shown)
        chosen = [title for title in data.get("open", ()) if title in titles][:OPENED]
        opened: list[_Read] = []
        for one in [one for one in self._results if one.title in (chosen or titles[:1])]:
            self._results.remove(one)
            text = self._tools.open(one.key)
            if text is not None:
                opened.append(_Read(one.key, one.title, text))
        self._read += opened
        return opened

    async def _name(self, opened: Sequence[_Read]) -> None:
        """What the clue's letters stand for, as far as it stands in a document just opened.

        Documents are offered whose nearest sentence shares half of the clue's words; where none
        does, nothing is asked. The model points at one and says the name; a letter before the one
        asked for is the document's subject. Weak models find the document better than the words:
        where clue and sentence agree word by word, the name is read off them instead.
        """
        clue = self._clue
        *before, letter = [letter for letter in self._missing if f"[{letter}]" in clue]
        nearest = {doc: self._pages(doc.text).match(_telling(clue), self._weight) for doc in opened}
        offered = [doc for doc in opened if nearest[doc].share >= SAME]
        if not offered:
            return
        shown = "\n".join(self._shown(offered, clue))
        titles = list(dict.fromkeys(doc.title for doc in offered))
        keys = {
            "document": {"type": "string", "enum": [*titles, UNKNOWN]},
            letter: {"type": "string"},
        }
        data = await self._ask("name", keys, read=shown, letter=letter)
        doc = next((doc for doc in offered if doc.title == data.get("document")), None)
        if doc is None:
            return
        bare = _AROUND.sub("", clue)
        sentence = self._pages(doc.text).sentences[nearest[doc].sentence]
        begin = max(0, sentence.find(_MARKS.split(bare)[0]))
        read = align(bare, sentence[begin:]) or {}
        taken = {normalise_name(name) for name in (*self._dropped, *self._found.values())}
        for name in (read.get(f"[{letter}]", ""), _said(data.get(letter))):
            new = normalise_name(name) not in {"", normalise_name(doc.title), *taken}
            if new and names(doc.text, name) and not names(clue, name):
                every = {**self._found, **dict.fromkeys(before, doc.title), letter: name}
                self._found = {each: every[each] for each in self._letters if each in every}
                return

    async def _answer(self) -> bool:
        """Whether the model gives an answer; at the last request any will do."""
        kept, last = self._kept, self._last
        shown = "\n".join(self._shown(kept, self._asking))
        numbers = [str(number) for number in range(1, len(kept) + 1)]
        unknown = "" if last else _MAY_BE_UNKNOWN
        keys = {"sources": _choice(numbers, len(numbers)), "answer": {"type": "string"}}
        data = await self._ask("answer", keys, self._asking, read=shown, unknown=unknown)
        answer = _said(data.get("answer"))
        given = normalise_name(answer)
        found = given in map(normalise_name, self._found.values())
        if not answer or (not last and (found or not names(shown, answer))):
            return False
        cited = [kept[int(n) - 1].key for n in data.get("sources", ()) if n in numbers]
        self._tools.answer(answer, cited)
        return True

    async def _ask(
        self, move: str, keys: dict[str, Any], clue: str = "", **material: str
    ) -> dict[str, Any]:
        """The object the model replies with; empty if it is none."""
        told = fill(prompt("scaffold"), clue=clue or self._clue)
        asked = fill(prompt(f"scaffold-{move}"), clue=told, **material)
        schema = {"type": "object", "properties": keys, "required": list(keys)}
        reply = await self._talk.ask([Message(role="user", content=asked)], schema=schema)
        return reply.data or {}

    @property
    def _kept(self) -> list[_Read]:
        found = {normalise_name(name) for name in self._found.values()}
        named = [doc for doc in self._read if normalise_name(doc.title) in found]
        rest = [doc for doc in self._read if doc not in named]
        kept = [*named[::-1], *rest[::-1]][:KEPT]
        return [doc for doc in self._read if doc in kept]

    def _shown(self, docs: Sequence[_Read], clue: str) -> list[str]:
        wanted = _telling(clue)
        return [
            f"[{number}] {doc.title}: {self.excerpt(doc.text, wanted)}"
            for number, doc in enumerate(docs, 1)
        ]

    def excerpt(self, text: str, wanted: Sequence[str]) -> str:
        """The sentences of a text that hold most of the wanted words, and the first, in order."""
        page = self._pages(text)
        score: dict[int, float] = {}
        for word in dict.fromkeys(wanted):
            for number in page.holding(word):
                score[number] = score.get(number, 0.0) + self._weight(word)
        best = sorted(score, key=lambda number: (-score[number], number))
        kept, size = set[int](), 0
        for number in dict.fromkeys([*best[:1], 0, *best[1:]]):
            if number < len(page.sentences) and size < EXCERPT_CHARS:
                kept.add(number)
                size += len(page.sentences[number])
        return " ".join(page.sentences[number][:EXCERPT_CHARS] for number in sorted(kept))


def _said(value: object) -> str:
    """A name or answer as it was given; empty if it is none."""
    text = str(value or "").strip()
    return "" if UNKNOWN in text.upper() or _MARK.fullmatch(text) else text


def _choice(numbers: Sequence[str], most: int) -> dict[str, Any]:
    items = {"type": "string", "enum": list(numbers)}
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


def _telling(text: str) -> list[str]:
    plain = words(_MARKS.sub(" ", text))
    return [word for word in plain if word not in STOP and word not in _FRAME and len(word) > 2]
