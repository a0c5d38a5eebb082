"""The rubric linter: names that no response could fairly be rewarded for naming.

A rubric entity must be matchable, particular, and not given away: its share among the hits is a
reward. Aliases are collected here too, because a right response may use another name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from longtrace.records import Hop, Question
from longtrace.text import STOP_WORDS, names, normalise_name, surface, words

UNMATCHABLE = "entity normalises to nothing"
COMMON = "entity is a common word"
IS_ANSWER = "entity is the answer"
IN_QUESTION = "entity stands in the question"
EVERYWHERE = "entity stands in too many documents"
COMMON_SHARE = 0.05
"""A single word that stands in so large a share of the documents is a common word."""


class Facts(NamedTuple):
    """What the linter must know of a corpus."""

    documents: int
    frequency: Callable[[str], int]
    """Number of documents that hold a lower-case word."""
    mentions: Callable[[str], int]
    """Number of documents that mention the document with this key."""
    names: Callable[[str], Iterable[str]]
    """Title and aliases of the document with this key."""


def refusal(question: Question, facts: Facts, max_share: float) -> tuple[str, str] | None:
    """The first reason against a question's rubric and the entity's name; None if it is sound.

    Args:
        question: its hops are the rubric.
        facts: of the corpus.
        max_share: largest share of the documents that may mention an entity, in (0, 1].
    """
    for hop in question.hops:
        reason = _reason(hop, question, facts, max_share)
        if reason is not None:
            return reason, hop.entity
    return None


def _reason(hop: Hop, question: Question, facts: Facts, max_share: float) -> str | None:
    name = normalise_name(hop.entity)
    if not name:
        return UNMATCHABLE
    if _common(hop.entity, facts):
        return COMMON
    if name in {normalise_name(a) for a in (question.answer, *question.answer_aliases)}:
        return IS_ANSWER
    if names(question.text, hop.entity):
        return IN_QUESTION
    if facts.mentions(hop.doc) > max_share * facts.documents:
        return EVERYWHERE
    return None


def _common(name: str, facts: Facts) -> bool:
    """Whether a name is one ordinary word: a function word, or one that very many pages hold."""
    spoken = words(name)
    if len(spoken) != 1:
        return all(word in STOP_WORDS for word in spoken)
    return spoken[0] in STOP_WORDS or facts.frequency(spoken[0]) > COMMON_SHARE * facts.documents


def with_aliases(question: Question, facts: Facts) -> Question:
    """The question with every name that its corpus gives to a hop's subject.

    Left out are names that cannot be matched, are common words, the answer, in the question's text,
    or the same as another hop's.
    """
    taken = {normalise_name(hop.entity) for hop in question.hops}
    taken |= {normalise_name(a) for a in (question.answer, *question.answer_aliases)}
    hops = []
    for hop in question.hops:
        kept: dict[str, str] = {}
        for name in (*hop.aliases, *_variants(facts.names(hop.doc))):
            key = normalise_name(name)
            bad = not key or key in taken or len(key.replace(" ", "")) < 3 or _common(name, facts)
            if not bad and not names(question.text, name):
                kept.setdefault(key, name)
        hops.append(hop.model_copy(update={"aliases": tuple(kept.values())}))
    return question.model_copy(update={"hops": tuple(hops)})


def _variants(known: Iterable[str]) -> Iterable[str]:
    """Every name, without its parenthesis, and without a leading article."""
    for name in known:
        yield surface(name)
        if surface(name).lower().startswith("the "):
            yield surface(name)[4:]
