"""Does a context still yield the answer when its gold documents are taken out? Asks a model.

A model that answers then has found a second source among the distractors, or knows or guesses the
answer: either way the row teaches nothing about reading. An outage is None: unknown, not clean.
"""

from __future__ import annotations

import re

from longtrace.contexts import render
from longtrace.contexts.units import Texts
from longtrace.llm import LLM, BudgetError, LLMError
from longtrace.records import Context, Message, Question, Tier
from longtrace.text import names

_ANSWER = re.compile(r"^\W*answer\W*[:\uff1a](.*)$", re.IGNORECASE | re.MULTILINE)
_THOUGHT = "</think>"


async def answered_without_gold(
    context: Context, question: Question, texts: Texts, llm: LLM, *, max_tokens: int = 2048
) -> bool | None:
    """Whether a model finds the answer in the distractors alone; None if that cannot be told.

    The reply's last line `Answer: ...` counts, by answer or alias as whole words. A reply without
    such a line, or one that was cut, gives None, as an endpoint that fails does.

    Raises:
        BudgetError: the endpoint's budget is used up.
    """
    kept = [passage for passage in context.passages if passage.tier is not Tier.GOLD]
    parts = render.sections(kept, texts, context.layout)
    asked = render.prompt(parts, question.text, context.phrasing)
    try:
        reply = await llm.complete([Message(role="user", content=asked)], max_tokens=max_tokens)
    except BudgetError:
        raise
    except LLMError:
        return None
    said = _ANSWER.findall(reply.text.rpartition(_THOUGHT)[2])
    if not said or reply.stop == "length":
        return None
    return any(names(said[-1], form) for form in (question.answer, *question.answer_aliases))
