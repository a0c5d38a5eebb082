"""The three tools of a search agent, search, open and answer; they record steps, enforce limits.

An agent sees a library through these tools alone, so the same class serves a rule-based policy, a
model that calls tools, and the small fact library of the training stage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from longtrace.questions.clues import STOP, Page, Weight, page_cache
from longtrace.records import Answer, Open, Search, Step, Trajectory
from longtrace.text import words

Stop = Literal["answered", "gave_up", "step_limit"]


class Library(Protocol):
    """Documents that can be searched and read. A `Corpus` is one."""

    def search(self, query: str, k: int) -> Sequence[int]:
        """Ids of at most `k` documents for a query, best first."""
        ...

    def key(self, doc: int) -> str:
        """The name by which an agent opens and cites the document."""
        ...

    def title(self, doc: int) -> str:
        """Title of the document."""
        ...

    def text(self, doc: int) -> str:
        """Text of the document."""
        ...


class Listed(NamedTuple):
    """One search result as the agent sees it."""

    key: str
    title: str
    snippet: str
    """The document's best sentence for the query and the one after it."""


def equal_weight(word: str) -> float:
    """Weight 1 for every word: for libraries that know no document frequencies."""
    return 1.0


class Tools:
    """The tools for one attempt at one question.

    Args:
        library: what can be searched.
        k: results a search lists.
        max_searches: searches allowed; later ones are refused.
        max_opens: different documents that may be opened.
        weight: weight of a word in choosing the snippet.
        pages: text -> page; share one cache among attempts.
    """

    def __init__(
        self,
        library: Library,
        *,
        k: int = 20,
        max_searches: int = 100,
        max_opens: int = 100,
        weight: Weight = equal_weight,
        pages: Callable[[str], Page] | None = None,
    ) -> None:
        self._library, self._k = library, k
        self._max_searches, self._max_opens = max_searches, max_opens
        self._weight = weight
        self._pages = pages or page_cache()
        self._steps: list[Step] = []
        self._docs: dict[str, int] = {}
        self._opened: set[str] = set()
        self._searches = 0
        self.refused = False
        """Whether a limit has stopped the agent from doing something."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """Everything done so far, in order."""
        return tuple(self._steps)

    def search(self, query: str) -> tuple[Listed, ...] | None:
        """The documents found, best first; None if no search is left."""
        if self._searches >= self._max_searches:
            self.refused = True
            return None
        self._searches += 1
        found = {self._library.key(doc): doc for doc in self._library.search(query, self._k)}
        self._docs |= found
        self._steps.append(Search(query=query, results=tuple(found)))
        asked = [word for word in words(query) if word not in STOP]
        return tuple(self._listed(key, doc, asked) for key, doc in found.items())

    def open(self, key: str) -> str | None:
        """Text of a document that a search has listed; None if it was not, or no open is left.

        A refusal leaves no step. Opening a document again is free.
        """
        doc = self._docs.get(key)
        if doc is None:
            self._steps.append(Open(doc=key, found=False))
            return None
        if key not in self._opened:
            if len(self._opened) >= self._max_opens:
                self.refused = True
                return None
            self._opened.add(key)
        self._steps.append(Open(doc=key))
        return self._library.text(doc)

    def answer(self, text: str, cited: Sequence[str] = ()) -> None:
        """Answer and end; `cited` are keys of the documents that say so."""
        self._steps.append(Answer(text=text, cited=tuple(dict.fromkeys(cited))))

    @property
    def stop(self) -> Stop:
        """Why the attempt ended, if it ended now."""
        if self._steps and isinstance(self._steps[-1], Answer):
            return "answered"
        return "step_limit" if self.refused else "gave_up"

    def trajectory(
        self, question_id: str, attempt: int, *, model: str, correct: bool | None
    ) -> Trajectory:
        """The record of what was done."""
        return Trajectory(
            question_id=question_id,
            attempt=attempt,
            steps=self.steps,
            stop=self.stop,
            model=model,
            correct=correct,
        )

    def _listed(self, key: str, doc: int, asked: Sequence[str]) -> Listed:
        page = self._pages(self._library.text(doc))
        best = page.match(asked, self._weight).sentence
        snippet = " ".join(page.sentences[best : best + 2])
        return Listed(key, self._library.title(doc), snippet)
