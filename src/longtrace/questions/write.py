"""The `offline` writer: a walk becomes a chain of masked clues, without a model.

Clue i is a sentence of page i that names the subject of page i + 1; names, numbers and, where
needed, the rarest words are hidden. Plain masking is not enough: one search with such a clue finds
its page, so that no hop is needed. Hence the blur: words are left out, rarest first, until a search
with the clue alone no longer lists its page among the first ten, for as long as exactly one
sentence of the page still fits. The first clue must stay findable, or nobody could begin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple

from longtrace.corpus.corpus import Corpus
from longtrace.questions.check import name_pattern, problem, telling_words
from longtrace.questions.clues import BLANK, GAP, STOP, Page, Weight, clue_words, label, render
from longtrace.questions.walk import Step, prose
from longtrace.records import Hop, Question, content_id

TOP = 10
"""A clue is findable if a search with its words lists its page among this many."""
FIT = 0.8
"""A sentence fits a clue if it holds this weighted share of the clue's words."""
LEAST_WORDS = 4
"""Searchable words a clue keeps."""
SPANS = 6
"""Answer spans tried of each kind."""
NO_SPAN = "no answer in the last document"
NO_CLUE = "no usable clue"
FIRST_HIDDEN = "first clue finds nothing"

_CAPITAL = "A-Z\u00c0-\u00d6\u00d8-\u00de"
_NAME = re.compile(
    rf"\b[{_CAPITAL}][\w'\u2019-]*(?:\s+(?:(?:of|the|de|von|van|and|al)\s+){{0,2}}[{_CAPITAL}][\w'\u2019-]*)*"
)
_YEAR = re.compile(r"\b(?:1[0-9]{3}|20[0-2]\d)\b")
_NUMBER = re.compile(r"\b\d[\d,.]*\d\b|\b\d\b")
_DIGITS = re.compile(r"(?<!\w)\d[\w,.]*\w|(?<!\w)\d")
_KINDS = (("year", _YEAR), ("number", _NUMBER), ("name", _NAME))
# While a sentence is masked, a mark is one private-use character; `Page` has removed any others.
_BLANK_CHAR = "\ue0ff"


class Option(NamedTuple):
    """A sentence that a clue may be made from."""

    sentence: str
    answer: str | None = None
    """The span to blank; only for the last page."""


class Clue(NamedTuple):
    """A clue made from an option."""

    text: str
    rank: int
    """Place of its page in a search with the clue's words; `TOP + 1` if not listed."""
    source: Option


class Writer:
    """Writes questions over one corpus.

    Args:
        corpus: an open corpus.
        pages: text -> page, with a cache.
        weight: weight of a word.
    """

    def __init__(self, corpus: Corpus, pages: Callable[[str], Page], weight: Weight) -> None:
        self._corpus, self._pages, self._weight = corpus, pages, weight

    def write(self, steps: Sequence[Step], rng: Random) -> Question | str:
        """The question that a walk gives, or the reason why it gives none.

        Only the order in which answer spans are tried is drawn from `rng`.
        """
        corpus, docs = self._corpus, [step.node for step in steps]
        names = [(corpus.name(doc), *corpus.aliases(doc)) for doc in docs]
        made: list[Clue] = []
        for hop, step in enumerate(steps):
            options = [Option(s) for s in step.evidence]
            if hop == len(steps) - 1:
                options = self._spans(step.node, [group[0] for group in names], rng)
                if not options:
                    return NO_SPAN
            clue = self._clue(step.node, hop, options, names)
            if clue is None:
                return NO_CLUE
            if hop == 0 and clue.rank > TOP:
                return FIRST_HIDDEN
            made.append(clue)
        question = self._question(docs, made)
        return problem(question, " ".join(self._page(docs[-1]).sentences)) or question

    def _page(self, doc: int) -> Page:
        return self._pages(self._corpus.text(doc))

    def _question(self, docs: Sequence[int], made: Sequence[Clue]) -> Question:
        corpus, answer = self._corpus, made[-1].source.answer or ""
        hops = tuple(
            Hop(
                doc=corpus.key(doc),
                entity=corpus.name(doc),
                aliases=corpus.aliases(doc),
                evidence=(clue.source.sentence,),
            )
            for doc, clue in zip(docs, made, strict=True)
        )
        clues = tuple(clue.text for clue in made)
        text = render(clues)
        return Question(
            id=content_id(text, answer),
            text=text,
            answer=answer,
            answer_aliases=answer_aliases(answer),
            hops=hops,
            clues=clues,
            writer="offline",
        )

    def _clue(
        self, doc: int, hop: int, options: Sequence[Option], names: Sequence[tuple[str, ...]]
    ) -> Clue | None:
        """The first good clue of the options, else the one nearest to good, else None."""
        best: Clue | None = None
        for option in options:
            clue = self._make(doc, hop, option, names)
            if clue is None:
                continue
            if (clue.rank <= TOP) == (hop == 0):
                return clue
            if best is None or (clue.rank > best.rank and hop > 0):
                best = clue
        return best

    def _make(
        self, doc: int, hop: int, option: Option, names: Sequence[tuple[str, ...]]
    ) -> Clue | None:
        page = self._page(doc)
        text = mask(option.sentence, names, keep=option.answer, common=page.common)
        needed = BLANK if option.answer is not None else label(hop + 1)
        left = clue_words(text, self._weight)
        if text.count(BLANK) != (needed == BLANK) or needed not in text or len(left) < LEAST_WORDS:
            return None
        if not self._unambiguous(page, left):
            return None
        rank = self._rank(doc, left)
        while hop > 0 and rank <= TOP and len(left) > LEAST_WORDS:
            rarest, *rest = left
            if not self._unambiguous(page, rest):
                break
            text = re.sub(rf"\b{re.escape(rarest)}\b", GAP, text, flags=re.IGNORECASE)
            left, rank = rest, self._rank(doc, rest)
        return Clue(text, rank, option)

    def _unambiguous(self, page: Page, left: Sequence[str]) -> bool:
        """Whether exactly one sentence of the page fits: then the hop has one reading."""
        match = page.match(left, self._weight)
        return match.share >= FIT > match.second

    def _rank(self, doc: int, left: Sequence[str]) -> int:
        listed = self._corpus.search(" ".join(left), TOP)
        return listed.index(doc) + 1 if doc in listed else TOP + 1

    def _spans(self, doc: int, entities: Sequence[str], rng: Random) -> list[Option]:
        """Spans that stand once in the page: at most `SPANS` of a kind, kinds in drawn order."""
        page = self._page(doc)
        found: dict[str, list[Option]] = {kind: [] for kind, _ in _KINDS}
        for sentence in filter(_running_prose, page.sentences):
            for kind, span in spans(sentence, entities):
                if page.count(span) == 1:
                    found[kind].append(Option(sentence, span))
        drawn: list[Option] = []
        for kind in rng.sample(list(found), len(found)):
            drawn += rng.sample(found[kind], min(SPANS, len(found[kind])))
        return drawn


def answer_aliases(answer: str) -> tuple[str, ...]:
    """Other ways to write an answer: a number without its thousands separators."""
    return (answer.replace(",", ""),) if "," in answer and answer[0].isdigit() else ()


def spans(sentence: str, entities: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(kind, span) of everything in a sentence that could be an answer.

    Numbers have at least two characters and are not years; names have at least five, do not begin
    the sentence and share nothing with the walk's entities.
    """
    folded = [entity.lower() for entity in entities]
    for kind, pattern in _KINDS:
        for found in pattern.finditer(sentence):
            span = found.group()
            low = span.lower()
            if kind == "number" and (len(span) < 2 or _YEAR.fullmatch(span)):
                continue
            if kind == "name" and (
                found.start() == 0 or len(span) < 5 or any(low in e or e in low for e in folded)
            ):
                continue
            yield kind, span


def _running_prose(sentence: str) -> bool:
    """Prose in which at least 55 % of the words begin in lower case: no lists, no formulas."""
    spoken = re.findall(r"\w+", sentence)
    return prose(sentence) and sum(w[0].islower() for w in spoken) >= 0.55 * len(spoken)


def mask(
    sentence: str,
    names: Sequence[tuple[str, ...]],
    *,
    keep: str | None = None,
    common: Callable[[str], bool] = str.islower,
) -> str:
    """`sentence` with names and numbers hidden.

    Args:
        sentence: plain text without marks.
        names: name and aliases of each page on the walk; page i becomes its label ([A], [B], ...),
            also where only a capitalised word of its name stands.
        keep: the answer; becomes the blank.
        common: whether a lower-case word is not a name where it begins the sentence.
    """
    text = sentence.replace(keep, _BLANK_CHAR, 1) if keep else sentence
    every = [(name, hop) for hop, group in enumerate(names) for name in group]
    for name, hop in sorted(every, key=lambda entry: (-len(entry[0]), entry[1])):
        pattern = name_pattern(name)
        if pattern is not None:
            text = pattern.sub(_char(hop), text)
    for name, hop in sorted(
        ((group[0], hop) for hop, group in enumerate(names)), key=lambda e: -len(e[0])
    ):
        for word in telling_words(name):
            text = re.sub(rf"\b{re.escape(word)}(?:['\u2019]s|s)?\b", _char(hop), text)
    text = _NAME.sub(lambda found: _hide_name(found, common), text)
    text = _DIGITS.sub("[number]", text)
    for hop in range(len(names)):
        text = text.replace(_char(hop), label(hop))
    text = text.replace(_BLANK_CHAR, BLANK)
    return re.sub(r"(\[[A-Z]\])(\W+\1)+", r"\1", text)


def _char(hop: int) -> str:
    return chr(0xE000 + hop)


def _hide_name(found: re.Match[str], common: Callable[[str], bool]) -> str:
    """[name] for a run of capitalised words; an ordinary word that begins the sentence stays."""
    first, _, rest = found.group().partition(" ")
    low = first.lower()
    if found.start() == 0 and (low in STOP or common(low)):
        return f"{first} [name]" if rest else first
    return "[name]"
