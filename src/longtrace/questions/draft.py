"""The `llm` writer: a model turns a walk into a question in prose, and every draft is validated.

The model never sees the names of the walk's documents, only marks ([A], [B], ...) in their place,
so that it can hardly leak them. A draft must link every hop to the next by its marks, name no
entity or alias, and take its answer from the last document. What fails is asked for once more with
the reasons; after that the offline writer takes over, and the reasons stay with the question.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from longtrace.corpus.corpus import Corpus
from longtrace.llm import LLM
from longtrace.prompting import fill, prompt
from longtrace.questions.check import name_pattern, problem, telling_words
from longtrace.questions.clues import Page, label
from longtrace.questions.similar import shingles
from longtrace.questions.walk import Step, prose
from longtrace.questions.write import answer_aliases, spans
from longtrace.records import Checked, Hop, Message, Question, content_id
from longtrace.text import words

CLUE_CHARS = (20, 400)
"""Fewest and most characters of a clue, and of the question at the end."""
ANSWERS = 8
"""Answers the model may choose from."""
LAST_CHARS = 600
"""Characters of the last document that the model sees, sentences with possible answers first."""
REPEATS = 0.6
"""Share of a clue's words that stand in its evidence, from which on it is taken to be about it."""
NO_JSON = "no such JSON object"
NO_ANSWER = "no answer in the last document"
SAME = "two clues are the same"
COPIED = "repeats its document word for word"
_REPEATED = re.compile(r"(\[[A-Z]\])(?:\W+\1)+")


class Drafted(NamedTuple):
    """What came of asking a model."""

    question: Question | None
    refused: tuple[str, ...]
    """Reasons for refusing each draft but a good one, in order."""


class ModelWriter:
    """Writes questions over one corpus with a model.

    Args:
        llm: client of the endpoint.
        corpus: an open corpus.
        pages: text -> page, with a cache.
        max_tokens: longest reply.
        tries: drafts asked for.
        max_copied: see `refusals`.
    """

    def __init__(
        self,
        llm: LLM,
        corpus: Corpus,
        pages: Callable[[str], Page],
        *,
        max_tokens: int = 600,
        tries: int = 2,
        max_copied: float = 1.0,
    ) -> None:
        self._llm, self._corpus, self._pages = llm, corpus, pages
        self._max_tokens, self._tries, self._max_copied = max_tokens, tries, max_copied

    async def write(self, steps: Sequence[Step]) -> Drafted:
        """The question a model makes of a walk, or why its drafts were refused.

        Raises:
            LLMError: the endpoint failed; nothing is known about what it would have written.
        """
        hops = self._hops(steps)
        page = self._pages(self._corpus.text(steps[-1].node))
        shown, answers = excerpt(page, [hop.entity for hop in hops])
        if not answers:
            return Drafted(None, (NO_ANSWER,))
        asked = request(hops, shown, answers)
        messages = [Message(role="user", content=asked)]
        refused: list[str] = []
        for number in range(self._tries):
            reply = await self._llm.complete(
                messages,
                schema=schema(len(hops), list(answers)),
                temperature=0.7 if number else 0.0,
                max_tokens=self._max_tokens,
            )
            found = refusals(reply.data, hops, answers, self._max_copied)
            if not found and reply.data is not None:
                writer = f"llm:{self._llm.endpoint.model}"
                made = question(reply.data, hops, answers, writer, refused)
                return Drafted(made, tuple(refused))
            refused.append("; ".join(found))
            said = orjson.dumps(reply.data).decode() if reply.data else reply.text
            again = f"Refused: {refused[-1]}. Write the whole JSON object again."
            messages = [
                *messages[:1],
                Message(role="assistant", content=said),
                Message(role="user", content=again),
            ]
        return Drafted(None, tuple(refused))

    def _hops(self, steps: Sequence[Step]) -> tuple[Hop, ...]:
        corpus = self._corpus
        return tuple(
            Hop(
                doc=corpus.key(step.node),
                entity=corpus.name(step.node),
                aliases=corpus.aliases(step.node),
                evidence=step.evidence[:1],
            )
            for step in steps
        )


def excerpt(page: Page, entities: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Prose of a page that holds possible answers, and those answers with their sentences.

    An answer is a year, number or name that stands once in the page; see `write.spans`.
    """
    shown: list[str] = []
    answers: dict[str, str] = {}
    for sentence in filter(prose, page.sentences):
        if sum(map(len, shown)) + len(sentence) > LAST_CHARS or len(answers) >= ANSWERS:
            break
        new = {s: sentence for _, s in spans(sentence, entities) if page.count(s) == 1}
        if new:
            shown.append(sentence)
            answers |= new
    return " ".join(shown), dict(list(answers.items())[:ANSWERS])


def hide(text: str, hops: Sequence[Hop]) -> str:
    """`text` with every name of a hop, and every telling word of one, as the hop's mark."""
    found = [(name, hop) for hop, h in enumerate(hops) for name in (h.entity, *h.aliases)]
    parts = [(word, hop) for hop, h in enumerate(hops) for word in telling_words(h.entity)]
    for name, hop in [*sorted(found, key=_longest), *sorted(parts, key=_longest)]:
        pattern = name_pattern(name)
        if pattern is not None:
            text = pattern.sub(label(hop), text)
    return _REPEATED.sub(r"\1", text)


def _longest(entry: tuple[str, int]) -> tuple[int, int]:
    return -len(entry[0]), entry[1]


def schema(documents: int, answers: Sequence[str]) -> dict[str, Any]:
    """JSON schema of a draft for a chain of so many documents.

    Lengths are left out: servers make grammars of schemas, and long limits overflow them.
    """
    clues = {
        "type": "array",
        "items": {"type": "string"},
        "minItems": documents - 1,
        "maxItems": documents - 1,
    }
    properties = {
        "answer": {"type": "string", "enum": list(answers)},
        "clues": clues,
        "question": {"type": "string"},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def request(hops: Sequence[Hop], last: str, answers: Iterable[str]) -> str:
    """What the model is asked: the chain with its evidence and prose of the last document."""
    labels = [label(hop) for hop in range(len(hops))]
    parts = [
        f"The document about {label(number)} says: {hide(hop.evidence[0], hops)}"
        for number, hop in enumerate(hops[:-1])
    ]
    parts.append(f"The document about {labels[-1]} says: {hide(last, hops)}")
    parts.append(f"Choices for the answer: {'; '.join(answers)}")
    pairs = (
        f"Clue {n} says how {here} leads to {there}."
        for n, (here, there) in enumerate(itertools.pairwise(labels), 1)
    )
    return fill(
        prompt("write"),
        count=str(len(hops)),
        links=str(len(hops) - 1),
        labels=", ".join(labels),
        chain="\n".join(parts),
        pairs=" ".join(pairs),
        last=labels[-1],
    )


def refusals(
    draft: dict[str, Any] | None,
    hops: Sequence[Hop],
    answers: Mapping[str, str],
    max_copied: float = 1.0,
) -> list[str]:
    """Everything that is wrong with a draft, in words for the model; empty if it is sound.

    Args:
        draft: the reply's object, None if there was none.
        hops: the walk's hops with names and aliases.
        answers: possible answers with the sentences of the last document that hold them.
        max_copied: largest part of a clue that may be copied, in [0, 1]; 1 refuses no copy.
    """
    if draft is None:
        return [NO_JSON]
    clues, asked, answer = draft["clues"], draft["question"], draft["answer"]
    found = _shape([*clues, asked], len(hops))
    if answer not in answers:
        found.append("the answer is none of the choices")
    if found:
        return found
    for number, clue in enumerate(_marked(clues, hops)):
        missing = [mark for mark in (label(number), label(number + 1)) if mark not in clue]
        if missing:
            found.append(f"clue {number + 1} lacks {' and '.join(missing)}")
        if copied(clue, hops[number], hops) > max_copied:
            found.append(f"clue {number + 1} {COPIED}")
    leak = problem(question(draft, hops, answers, "", ()), answers[answer])
    return [*found, leak] if leak else found


def copied(clue: str, hop: Hop, hops: Sequence[Hop]) -> float:
    """Share of the clue's runs of five words that its evidence holds as well, in [0, 1]."""
    own = shingles(clue)
    return len(own & shingles(hide(hop.evidence[0], hops))) / max(1, len(own))


def _shape(clues: Sequence[Any], documents: int) -> list[str]:
    least, most = CLUE_CHARS
    if len(clues) != documents:
        return [f"there must be {documents - 1} clues and a question"]
    if not all(isinstance(clue, str) and least <= len(clue.strip()) <= most for clue in clues):
        return [f"every clue and the question must be a text of {least} to {most} characters"]
    return [SAME] if len({clue.strip().lower() for clue in clues}) < documents else []


def question(
    draft: dict[str, Any],
    hops: Sequence[Hop],
    answers: Mapping[str, str],
    writer: str,
    refused: Sequence[str],
) -> Question:
    """The record of a draft: its text is the clues in order and the question at the end."""
    asked = _about(draft["question"].strip(), label(len(hops) - 1))
    clues = (*_marked(draft["clues"], hops), asked)
    answer, text = draft["answer"], " ".join(clues)
    last = hops[-1].model_copy(update={"evidence": (answers[answer],)})
    return Question(
        id=content_id(text, answer),
        text=text,
        answer=answer,
        answer_aliases=answer_aliases(answer),
        hops=(*hops[:-1], last),
        clues=clues,
        writer=writer,
        checked=Checked(refused=tuple(refused)),
    )


def _marked(clues: Sequence[str], hops: Sequence[Hop]) -> list[str]:
    """Clues that repeat their evidence, made to speak of their hop where the mark is missing.

    Evidence often says "he" or "the city" for its subject. A clue of other content stays as it is:
    it may speak of another document.
    """
    marked: list[str] = []
    for number, (clue, hop) in enumerate(zip(map(str.strip, clues), hops, strict=False)):
        said, source = words(clue), set(words(hide(hop.evidence[0], hops)))
        own = sum(word in source for word in said) >= REPEATS * len(said)
        marked.append(_about(clue, label(number)) if own else clue)
    return marked


def _about(clue: str, mark: str) -> str:
    return clue if mark in clue else f"About {mark}: {clue}"
