"""What a clue is, and how it is matched with a page: a sentence with names and rare words masked.

The writer masks (`questions.write`), the agent fills in (`trajectories.agent`); both need the same
reading of a clue, so it stands here. A clue holds these marks: `[A]`, `[B]`, ... for the subjects
of the walk's pages in order, `[name]` and `[number]` for other names and numbers, `…` for a word
left out, `____` for the answer.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from longtrace.text import STOP_WORDS, sentences, words

Weight = Callable[[str], float]
"""Weight of a lower-case word, > 0; rare words weigh more."""

BLANK = "____"
GAP = "…"
UNKNOWN_WEIGHT = 12.0
"""Weight of a word that no document holds: more than any word of a corpus of 100,000 documents."""
LONGEST = 420
"""Characters of the longest sentence made a clue; longer ones are split at semicolons."""
MAX_HOPS = 25
"""Labels run from [A] to [Z], one a page."""

_VAGUE = """
among became become called first however include included includes including known made many much
name new note number one second since three time two us use used
"""
STOP = STOP_WORDS | frozenset(_VAGUE.split())
"""Words too common to tell one sentence from another, and the words of the marks."""

_MARK = re.compile(r"(\[[A-Z]\]|\[name\]|\[number\]|____|…)")
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_SEMICOLON = re.compile(r"(?<=;) ")
_HEAD = re.compile(r'The page about \[[A-Z]\] says: "')
_TAIL = f'" What stands in place of {BLANK} ?'
_POSSESSIVE = re.compile(r"['\u2019]s$")


class Match(NamedTuple):
    """How well a page holds a set of words in one sentence."""

    share: float
    """Weighted share of the words in the best sentence, in [0, 1]."""
    second: float
    """The same for the second best sentence."""
    sentence: int
    """Number of the best sentence; 0 if no sentence holds any word."""


class Page:
    """A text prepared for matching: its sentences, and where a word stands.

    Most pages are matched with a handful of words before they leave the cache, so no index of their
    words is built: a word is found by a plain substring search and its ends are looked at.
    """

    __slots__ = ("_folded", "_starts", "_whole", "sentences")

    def __init__(self, text: str) -> None:
        if not text.isascii():
            text = _PRIVATE.sub(" ", text)
        collapsed = (" ".join(sentence.split()) for sentence in sentences(text))
        kept = tuple(part for sentence in collapsed for part in _parts(sentence) if part)
        folded = [sentence.lower() for sentence in kept]
        self.sentences = kept
        """In order, white space collapsed to single spaces."""
        self._starts = list(accumulate((len(s) + 1 for s in folded), initial=0))
        self._folded = "\n".join(folded)
        self._whole = "\n".join(kept)

    def holding(self, word: str) -> set[int]:
        """Numbers of the sentences that hold a lower-case word, whatever its case there."""
        return {bisect_right(self._starts, at) - 1 for at in _places(self._folded, word)}

    def common(self, word: str) -> bool:
        """Whether a lower-case word stands without a capital somewhere: then it is not a name."""
        return any(True for _ in _places(self._whole, word))

    def count(self, span: str) -> int:
        """How often `span` stands in the page's sentences, also inside words."""
        return self._whole.count(span)

    def match(self, wanted: Iterable[str], weight: Weight) -> Match:
        """The sentence that holds most of `wanted` by weight; the earliest among equals."""
        total = 0.0
        score: dict[int, float] = {}
        for word in dict.fromkeys(wanted):
            value = weight(word)
            total += value
            for number in self.holding(word):
                score[number] = score.get(number, 0.0) + value
        if not score:
            return Match(0.0, 0.0, 0)
        best = min(score, key=lambda number: (-score[number], number))
        second = max((v for number, v in score.items() if number != best), default=0.0)
        return Match(score[best] / total, second / total, best)


def _places(text: str, word: str) -> Iterator[int]:
    """Where `word` stands in `text` as a whole word."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not (at and _in_word(text[at - 1])) and not (end < len(text) and _in_word(text[end])):
            yield at
        at = text.find(word, end)


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _parts(sentence: str) -> list[str]:
    """A sentence of more than `LONGEST` characters split at its semicolons, else the sentence."""
    return [sentence] if len(sentence) <= LONGEST else _SEMICOLON.split(sentence)


class Weights:
    """Inverse document frequencies as word weights: log(1 + (N - df + .5) / (df + .5)), cached.

    Args:
        frequency: number of documents that hold a lower-case word.
        documents: number of documents N.
    """

    def __init__(self, frequency: Callable[[str], int], documents: int) -> None:
        self._frequency, self._documents = frequency, documents
        self._known: dict[str, float] = {}

    def __call__(self, word: str) -> float:
        """Weight of `word`; `UNKNOWN_WEIGHT` if no document holds it."""
        value = self._known.get(word)
        if value is None:
            df = self._frequency(word)
            rest = max(0, self._documents - df)
            value = math.log(1 + (rest + 0.5) / (df + 0.5)) if df else UNKNOWN_WEIGHT
            self._known[word] = value
        return value


def page_cache(size: int = 2048) -> Callable[[str], Page]:
    """`Page`, remembering the last `size` texts (about 0.1 MB each for 20,000 characters)."""
    return lru_cache(maxsize=size)(Page)


def label(hop: int) -> str:
    """The mark for the subject of page number `hop`, counted from 0: `[A]`, `[B]`, ..."""
    return f"[{chr(ord('A') + hop)}]"


def has_marks(sentence: str) -> bool:
    """Whether a plain sentence holds something that would read as a mark of a clue."""
    return _MARK.search(sentence) is not None or _HEAD.search(sentence) is not None


def clue_words(clue: str, weight: Weight) -> list[str]:
    """The words of a clue that can be searched for, heaviest first.

    Marks, stop words, numbers and words of one or two letters are left out.
    """
    kept = {w for w in words(_MARK.sub(" ", clue)) if w not in STOP and len(w) > 2}
    return sorted((w for w in kept if not w.isdigit()), key=lambda w: (-weight(w), w))


def holds(text: str, name: str) -> bool:
    """Whether the words of `name` stand in `text` in a row; False for a name without words."""
    needle = words(name)
    return bool(needle) and f" {' '.join(needle)} " in f" {' '.join(words(text))} "


def align(clue: str, sentence: str) -> dict[str, str] | None:
    """What stands at each mark when `clue` is laid over `sentence`; None if it does not fit.

    Literals are found from left to right, each at its first place, in time linear in the sentence:
    a regular expression of lazy gaps is exponential on list-like sentences. A mark that occurs
    twice keeps its first reading.
    """
    gaps: dict[str, str] = {}
    position, mark = 0, ""
    for part in _MARK.split(clue):
        if _MARK.fullmatch(part):
            if part == BLANK or mark in ("", GAP, "[name]", "[number]"):
                mark = part
            continue
        if not part:
            continue
        found = sentence.find(part, position)
        if found < 0 or (not mark and found > position):
            return None
        if mark:
            gaps.setdefault(mark, sentence[position:found].strip())
        position, mark = found + len(part), ""
    if mark:
        gaps.setdefault(mark, sentence[position:].strip())
    return gaps


def without_possessive(name: str) -> str:
    """`name` without a trailing 's."""
    return _POSSESSIVE.sub("", name).strip()


def render(clues: Sequence[str]) -> str:
    """The question that a chain of clues asks. `parse` reads it back."""
    said = (f'The page about {label(i)} says: "{clue}' for i, clue in enumerate(clues))
    return '" '.join(said) + _TAIL


def parse(text: str) -> tuple[str, ...]:
    """The clues of a question made by `render`; empty if the question is of another form."""
    if not text.endswith(_TAIL) or not _HEAD.match(text):
        return ()
    first, *rest = _HEAD.split(text.removesuffix(_TAIL))[1:]
    clues = [first, *rest]
    return (*(clue.removesuffix('" ') for clue in clues[:-1]), clues[-1])
