"""The `offline` agent: a deterministic policy over the tools, without a model.

It reads the clues out of the question's text and nothing else of the question: it looks for a page
that holds some clue, reads there the name that the clue hides, looks for the page of that name, and
so on along the chain, forward and backward. It opens the results whose snippets fit the clue, with
a bonus for those that speak of the name it follows, and does not stop at the first fit: what it
opened and did not cite is what contexts call READ. The bonus makes READ hold gold names by
construction; overlap figures made with this agent check the plumbing, not the paper's claim.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from longtrace.questions.clues import (
    BLANK,
    Page,
    Weight,
    align,
    clue_words,
    holds,
    label,
    parse,
    without_possessive,
)
from longtrace.text import surface, words
from longtrace.trajectories.tools import Listed, Tools

_CAPITALS = re.compile(
    r"[A-Z\u00c0-\u00de][\w'-]+(?: (?:of |the |and )?[A-Z\u00c0-\u00de][\w'-]+)*"
)
GUESSES = 3
"""Names tried for a hidden entity."""


@dataclass(frozen=True)
class Policy:
    """How the agent searches and reads. The defaults are the wide policy."""

    query_words: int = 6
    """Words of a clue in one query."""
    formulations: int = 5
    """Queries made from one clue, the one of the bare name left out."""
    opens_per_search: int = 4
    """Results opened after a search, at most."""
    threshold: float = 0.15
    """Snippet score from which a result is opened."""
    name_bonus: float = 0.3
    """Added to the score of a snippet that holds the name followed."""
    fit: float = 0.8
    """Share of a clue that a sentence must hold, by weight."""
    max_searches: int = 100
    max_opens: int = 100


WIDE = Policy()
TIGHT = replace(WIDE, formulations=4, opens_per_search=3, max_searches=15, max_opens=20)
"""Small limits: about one in five of its attempts at eight hops succeeds."""


def policy(attempt: int) -> Policy:
    """The policy of an attempt, counted from 0: wide, tight, then ever more hasty readings.

    From the third attempt the agent takes a sentence that holds little more than half of a clue, so
    that some attempts end in a wrong answer and not only in none; query lengths differ.
    """
    if attempt < 2:
        return (WIDE, TIGHT)[attempt]
    lengths = (4, 9, 5, 8, 3)
    return replace(
        TIGHT,
        query_words=lengths[attempt % len(lengths)],
        fit=0.55,
        max_searches=30,
        max_opens=30,
    )


class Settled(NamedTuple):
    """A page taken to be the one a clue speaks of."""

    key: str
    name: str
    sentence: str


class Agent:
    """One attempt at one question.

    Args:
        tools: fresh tools.
        policy: how to search and read.
        weight: weight of a word: document frequencies are all the agent knows of the corpus.
        pages: text -> page, with a cache.
    """

    def __init__(
        self, tools: Tools, policy: Policy, weight: Weight, pages: Callable[[str], Page]
    ) -> None:
        self._tools, self._policy, self._weight, self._pages = tools, policy, weight, pages
        self._clues: tuple[str, ...] = ()
        self._words: list[list[str]] = []
        self._settled: dict[int, Settled] = {}
        self._guesses: dict[int, list[str]] = {}
        self._asked: set[str] = set()
        self._titles: dict[str, str] = {}
        self._read: dict[str, Page] = {}

    def run(self, text: str) -> None:
        """Work on the question `text`; the tools hold the steps, and the answer if there is one."""
        self._clues = parse(text)
        self._words = [clue_words(clue, self._weight) for clue in self._clues]
        for hop in self._anchors():
            if hop in self._settled:
                continue
            if self._try(hop, None):
                self._follow(hop)
            if len(self._settled) == len(self._clues) or self._tools.refused:
                break
        last = len(self._clues) - 1
        if last in self._settled:
            gaps = align(self._clues[last], self._settled[last].sentence) or {}
            if gaps.get(BLANK):
                cited = [self._settled[hop].key for hop in sorted(self._settled)]
                self._tools.answer(gaps[BLANK], cited)

    def _anchors(self) -> list[int]:
        """Hops in the order in which to look for a beginning: most telling clue first."""
        telling = [sum(map(self._weight, spoken[:6])) for spoken in self._words]
        return sorted(range(len(telling)), key=lambda hop: (-telling[hop], hop))

    def _follow(self, anchor: int) -> None:
        """Go along the chain from a settled page, forward by what it hides, then backward."""
        for hop in range(anchor + 1, len(self._clues)):
            guesses = self._guesses.get(hop, [])[:GUESSES]
            if hop in self._settled or not any(self._try(hop, name) for name in guesses):
                break
        for hop in range(anchor - 1, -1, -1):
            if hop in self._settled or not self._try(hop, None):
                break

    def _try(self, hop: int, name: str | None) -> bool:
        """Look for the page of a clue, under successive formulations, until one is settled.

        Args:
            hop: number of the clue.
            name: what its page should be called; None if not known.
        """
        following = self._settled.get(hop + 1)
        known = name or (following.name if following else None)
        for query in self._queries(hop, known):
            if query in self._asked:
                continue
            self._asked.add(query)
            results = None if self._tools.refused else self._tools.search(query)
            if results is None:
                return False
            self._titles.update((result.key, surface(result.title)) for result in results)
            settled = self._open_best(results, hop, name, known)
            if settled:
                self._settle(hop, settled)
                return True
        return False

    def _queries(self, hop: int, known: str | None) -> Iterator[str]:
        """The name alone if known, then the name with different choices of the clue's words."""
        spoken, n = self._words[hop], self._policy.query_words
        name = words(known) if known else []
        choices = [
            spoken[:n],
            spoken[1 : n + 1][::-1],
            spoken[n // 2 : n // 2 + n],
            sorted(spoken)[:n],
            spoken[::2][:n],
        ]
        if name:
            yield " ".join(name)
        for choice in choices[: self._policy.formulations]:
            yield " ".join([*name, *choice])

    def _open_best(
        self, results: Sequence[Listed], hop: int, name: str | None, known: str | None
    ) -> Settled | None:
        """Open the results whose snippets score best; the first page that holds the clue."""
        scored = [(self._score(result, hop, known), result) for result in results]
        scored.sort(key=lambda entry: -entry[0])
        good = [result for score, result in scored if score >= self._policy.threshold]
        settled = None
        for result in good[: self._policy.opens_per_search]:
            page = self._page(result.key)
            if page is None:
                break
            sentence = self._verify(page, hop, self._titles[result.key], name)
            if sentence and settled is None:
                settled = Settled(result.key, self._titles[result.key], sentence)
        return settled

    def _score(self, result: Listed, hop: int, known: str | None) -> float:
        """Weighted share of the clue's words in title and snippet, with the bonus for the name."""
        shown = f"{result.title} {result.snippet}"
        spoken, held = self._words[hop], set(words(shown))
        total = sum(map(self._weight, spoken)) or 1.0
        share = sum(self._weight(word) for word in spoken if word in held) / total
        return share + (self._policy.name_bonus if known and holds(shown, known) else 0.0)

    def _page(self, key: str) -> Page | None:
        if key not in self._read:
            text = self._tools.open(key)
            if text is None:
                return None
            self._read[key] = self._pages(text)
        return self._read[key]

    def _verify(self, page: Page, hop: int, title: str, name: str | None) -> str | None:
        """The page's sentence that the clue was made from, as far as the page can tell."""
        match = page.match(self._words[hop], self._weight)
        if match.share < self._policy.fit:
            return None
        sentence = page.sentences[match.sentence]
        following = self._settled.get(hop + 1)
        if following and not holds(sentence, following.name):
            return None
        if name and title.lower() != name.lower():
            return None
        return sentence

    def _settle(self, hop: int, settled: Settled) -> None:
        self._settled[hop] = settled
        if hop + 1 < len(self._clues) and hop + 1 not in self._settled:
            self._guesses[hop + 1] = self._decode(hop, settled)

    def _decode(self, hop: int, settled: Settled) -> list[str]:
        """Names that may stand where the clue hides the next page's subject, likeliest first."""
        names: list[str] = []
        hidden = (align(self._clues[hop], settled.sentence) or {}).get(label(hop + 1))
        if hidden:
            name = without_possessive(hidden)
            names += [name, name[:-1]] if name.endswith("s") else [name]
        listed = {title for title in self._titles.values() if holds(settled.sentence, title)}
        names += sorted(listed, key=lambda title: (-len(title), title))
        names += sorted(_CAPITALS.findall(settled.sentence), key=lambda run: (-len(run), run))
        return [name for name in dict.fromkeys(names) if name.lower() != settled.name.lower()]
