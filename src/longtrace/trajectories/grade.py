"""Whether an answer is right: by the words first, by a model where the words differ.

The reward's judge (a later stage) must withstand policies that learn to deceive it; the answers
here come from an agent that is not trained on the verdict, so one structured question is enough.
"""

from __future__ import annotations

from longtrace.llm import BudgetError, LLMError
from longtrace.prompting import fill, prompt
from longtrace.records import Message, Question
from longtrace.text import normalise_name
from longtrace.trajectories.attempt import Asked

_SCHEMA = {"type": "object", "properties": {"same": {"type": "boolean"}}, "required": ["same"]}
MOST_CHARS = 300
"""Characters of an answer that a judge is shown."""


def exact(answer: str | None, question: Question) -> bool:
    """Whether an answer is the question's, compared as words; giving none is not right either."""
    given = normalise_name(answer or "")
    right = {normalise_name(name) for name in (question.answer, *question.answer_aliases)}
    return bool(given) and given in right


async def grade(answer: str | None, question: Question, judge: Asked | None) -> bool | None:
    """Whether `answer` is right; None if only a judge could tell and it failed.

    Args:
        answer: what the agent said; None or empty is wrong.
        question: the question with its answer and aliases.
        judge: asked where the words differ; without one, other words are wrong.

    Raises:
        BudgetError: the judge's budget is used up.
    """
    if exact(answer, question):
        return True
    if judge is None or not normalise_name(answer or ""):
        return False
    asked = fill(
        prompt("grade"),
        question=question.text,
        answer="; ".join((question.answer, *question.answer_aliases)),
        given=(answer or "")[:MOST_CHARS],
    )
    try:
        reply = await judge.complete(
            [Message(role="user", content=asked)], schema=_SCHEMA, max_tokens=256
        )
    except BudgetError:
        raise
    except LLMError:
        return None
    return reply.data["same"] if reply.data else None
