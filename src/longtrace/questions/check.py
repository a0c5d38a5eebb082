"""Checks every question must pass, whoever wrote it: each gives a reason to drop it.

They look at the question and its last document alone, so that imported and model-written questions
can be held to the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from longtrace.questions.clues import STOP, holds
from longtrace.records import Hop, Question

LEAK = "names an entity of its walk"
PART_LEAK = "holds a part of an entity's name"
ANSWER_LEAK = "holds its own answer"
NO_ANSWER = "answer not in the last document"
REPEATED = "document twice on the walk"
_WORD = re.compile(r"\w+")


def name_pattern(name: str) -> re.Pattern[str] | None:
    """Finds `name` as whole words, in plural or possessive too; None if the name has no words.

    Short names in capitals (US, UN) must match exactly, or every "us" would be one.
    """
    parts = _WORD.findall(name)
    if not parts:
        return None
    exact = len(name) <= 3 and name.isupper()
    body = r"[\W_]+".join(map(re.escape, parts))
    return re.compile(rf"\b{body}(?:['\u2019]s|s|es)?\b", re.NOFLAG if exact else re.IGNORECASE)


def telling_words(name: str) -> list[str]:
    """Capitalised words of a name that would give it away on their own."""
    return [
        w for w in _WORD.findall(name) if len(w) >= 3 and w[0].isupper() and w.lower() not in STOP
    ]


def problem(question: Question, last_text: str) -> str | None:
    """Why a question must be dropped; None if it is sound.

    Args:
        question: its hops carry the entities' names and aliases.
        last_text: text of the last hop's document.
    """
    docs = [hop.doc for hop in question.hops]
    if len(set(docs)) < len(docs):
        return REPEATED
    if question.answer not in last_text:
        return NO_ANSWER
    if holds(question.text, question.answer):
        return ANSWER_LEAK
    return _leak(question.text, question.hops)


def _leak(text: str, hops: Sequence[Hop]) -> str | None:
    for hop in hops:
        for name in (hop.entity, *hop.aliases):
            pattern = name_pattern(name)
            if pattern is not None and pattern.search(text):
                return LEAK
    spoken = set(_WORD.findall(text))
    given_away = (w for hop in hops for w in telling_words(hop.entity) if len(w) > 3)
    return PART_LEAK if any(w in spoken for w in given_away) else None
