"""Checks that need a reader: what a model answers without documents, with all, and with one less.

A sound question is not answered from memory, is answered from the walk's documents, and is no
longer answered when any one of them is missing. The readings are kept with the question: `without`
is its row of the hop-necessity matrix. An endpoint that fails, or a reply that cannot be read,
leaves None: unknown is never a reason to drop a question, and is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

from longtrace.llm import LLM, BudgetError, LLMError
from longtrace.prompting import fill, prompt
from longtrace.records import Checked, Hop, Message, Question
from longtrace.text import normalise_name

Check = Literal["closed-book", "gold-only", "necessity"]
CLOSED_BOOK = "answered without documents"
GOLD_ONLY = "not answered from its own documents"
NEEDLESS = "answered with a document missing"
_FROM_DOCUMENTS = "Answer from the documents above alone, not from memory."
_FROM_MEMORY = "There are no documents: answer from what you know."
_SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}


class Checker:
    """Asks a model the questions.

    Args:
        llm: client of the endpoint.
        text: text of the document with a key.
        checks: which to make.
        chars: characters shown of a document, around the sentence that the question rests on.
    """

    def __init__(
        self, llm: LLM, text: Callable[[str], str], checks: Sequence[Check], chars: int
    ) -> None:
        self._llm, self._text, self._checks, self._chars = llm, text, checks, chars

    async def check(self, question: Question) -> tuple[Question, str | None]:
        """The question with what was found, and the first reason to drop it.

        Raises:
            BudgetError: the endpoint's budget is used up.
        """
        hops, checks = question.hops, self._checks
        closed = await self._answers(question, ()) if "closed-book" in checks else None
        if closed:
            return _with(question, closed_book=True), CLOSED_BOOK
        gold = await self._answers(question, hops) if "gold-only" in checks else None
        if gold is False:
            return _with(question, closed_book=closed, gold_only=False), GOLD_ONLY
        without: tuple[bool | None, ...] = ()
        if "necessity" in checks:
            fewer = [(*hops[:n], *hops[n + 1 :]) for n in range(len(hops))]
            without = tuple(await asyncio.gather(*(self._answers(question, f) for f in fewer)))
        made = _with(question, closed_book=closed, gold_only=gold, without=without)
        return made, NEEDLESS if any(without) else None

    async def _answers(self, question: Question, hops: Sequence[Hop]) -> bool | None:
        """Whether the model gives the right answer from these documents.

        None if the endpoint failed or the reply could not be read.
        """
        shown = "".join(
            f"[{number}] {hop.entity}\n{around(self._text(hop.doc), hop.evidence, self._chars)}\n\n"
            for number, hop in enumerate(hops, 1)
        )
        how = _FROM_DOCUMENTS if hops else _FROM_MEMORY
        asked = fill(prompt("check"), documents=shown, question=question.text, how=how)
        try:
            reply = await self._llm.complete(
                [Message(role="user", content=asked)], schema=_SCHEMA, max_tokens=256
            )
        except BudgetError:
            raise
        except LLMError:
            return None
        return answers(str(reply.data["answer"]), question) if reply.data else None


def answers(said: str, question: Question) -> bool:
    """Whether a short answer is the question's, or holds it among at most four words more."""
    given = normalise_name(said)
    golds = (normalise_name(a) for a in (question.answer, *question.answer_aliases))
    return any(
        gold and gold in given and len(given.split()) <= len(gold.split()) + 4 for gold in golds
    )


def around(text: str, evidence: Sequence[str], chars: int) -> str:
    """`chars` characters of a text around its first evidence, whole text if it is shorter."""
    if len(text) <= chars:
        return text
    folded = " ".join(text.split())
    place = folded.find(evidence[0]) if evidence and evidence[0] else 0
    start = max(0, min(place - chars // 3, len(folded) - chars))
    return folded[start : start + chars]


def _with(
    question: Question,
    *,
    closed_book: bool | None = None,
    gold_only: bool | None = None,
    without: tuple[bool | None, ...] = (),
) -> Question:
    refused = question.checked.refused if question.checked else ()
    checked = Checked(
        refused=refused, closed_book=closed_book, gold_only=gold_only, without=without
    )
    return question.model_copy(update={"checked": checked})
