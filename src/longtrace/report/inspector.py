"""What the inspector shows of single questions: walk, attempts and context maps, cut to fit a page.

Titles stand for documents and are kept once; documents are numbers into that list. Texts never
enter the page, only the evidence sentences and the agent's queries, both shortened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from longtrace.records import (
    Answer,
    Context,
    Hop,
    Open,
    Question,
    Record,
    Search,
    Tier,
    Trajectory,
)
from longtrace.store import read_records

SENTENCE_CHARS = 420
QUERY_CHARS = 200
ANSWER_CHARS = 400
TITLE_CHARS = 120
EVENTS = 160
"""Most steps of one attempt that go into the page."""


class HopView(Record):
    """One document of a walk."""

    doc: int
    evidence: tuple[str, ...]
    """The evidence sentence in pieces, plain and marked in turn; empty if there is none."""


class Event(Record):
    """One step of an attempt; openings in a row are one event."""

    kind: Literal["search", "open", "answer"]
    text: str = ""
    """The query or the answer."""
    docs: tuple[int, ...] = ()
    """Documents listed, opened or cited."""
    found: bool = True
    """False if nothing readable came back when a document was opened."""


class AttemptView(Record):
    """One attempt at a question."""

    number: int
    correct: bool | None
    stop: str
    events: tuple[Event, ...]
    cut: int
    """Steps left out to keep the page small."""


class Block(NamedTuple):
    """One passage of a context."""

    doc: int
    tier: Tier
    tokens: int
    cut: bool
    """Whether the passage was cut to fit the budget."""


class MapView(Record):
    """One context as a row of blocks in prompt order."""

    strategy: str
    tokens: int
    budget: int
    blocks: tuple[Block, ...]


class QuestionView(Record):
    """Everything the inspector shows of one question."""

    id: str
    text: str
    answer: str
    writer: str
    hops: tuple[HopView, ...]
    attempts: tuple[AttemptView, ...]
    maps: tuple[MapView, ...]


class Titles:
    """Documents as numbers, in order of first use, with the title of each."""

    def __init__(self, title: Callable[[str], str]) -> None:
        self._title = title
        self._numbers: dict[str, int] = {}
        self.titles: list[str] = []

    def number(self, key: str) -> int:
        """The number that stands for the document `key`."""
        if key not in self._numbers:
            self._numbers[key] = len(self.titles)
            self.titles.append(shorten(self._title(key), TITLE_CHARS))
        return self._numbers[key]


def shorten(text: str, chars: int) -> str:
    """`text` in at most `chars` characters, white space collapsed, an ellipsis for what is cut."""
    text = " ".join(text.split())
    return text if len(text) <= chars else text[: chars - 1].rstrip() + "…"


def highlight(sentence: str, names: Iterable[str]) -> tuple[str, ...]:
    """`sentence` in pieces, plain and marked in turn; whole-word occurrences of names are marked.

    Case does not matter, longer names win. Without a match the one piece is the sentence.
    """
    known = sorted({name.strip() for name in names} - {""}, key=lambda name: (-len(name), name))
    if not known:
        return (sentence,)
    words = "|".join(re.escape(name) for name in known)
    return tuple(re.split(rf"(?<!\w)({words})(?!\w)", sentence, flags=re.IGNORECASE))


def one_clue_a_line(text: str, clues: Iterable[str]) -> str:
    """`text` with a line break after each clue and the marks that close it.

    Unchanged unless all clues stand in it, in order.
    """
    lines, start = [], 0
    for clue in clues:
        at = text.find(clue, start)
        if at < 0 or not clue:
            return text
        end = at + len(clue)
        while end < len(text) and not text[end].isspace():
            end += 1
        lines.append(text[start:end].strip())
        start = end
    return "\n".join(line for line in (*lines, text[start:].strip()) if line)


def hop_views(question: Question, titles: Titles) -> tuple[HopView, ...]:
    """The walk, each evidence sentence with the next entity marked, the last with the answer."""
    names: list[Sequence[str]] = [(hop.entity, *hop.aliases) for hop in question.hops[1:]]
    names.append((question.answer, *question.answer_aliases))
    return tuple(
        HopView(doc=titles.number(hop.doc), evidence=_evidence(hop, wanted))
        for hop, wanted in zip(question.hops, names, strict=True)
    )


def attempt_view(trajectory: Trajectory, titles: Titles) -> AttemptView:
    """One attempt with openings in a row joined and the middle of a very long one left out."""
    events: list[Event] = []
    for step in trajectory.steps:
        if isinstance(step, Search):
            docs = tuple(titles.number(doc) for doc in step.results)
            events.append(Event(kind="search", text=shorten(step.query, QUERY_CHARS), docs=docs))
        elif isinstance(step, Open):
            _append_open(events, titles.number(step.doc), step.found)
        elif isinstance(step, Answer):
            docs = tuple(titles.number(doc) for doc in step.cited)
            events.append(Event(kind="answer", text=shorten(step.text, ANSWER_CHARS), docs=docs))
    kept = events if len(events) <= EVENTS else [*events[: EVENTS - 2], *events[-2:]]
    return AttemptView(
        number=trajectory.attempt,
        correct=trajectory.correct,
        stop=trajectory.stop,
        events=tuple(kept),
        cut=len(events) - len(kept),
    )


def map_view(context: Context, titles: Titles) -> MapView:
    """A context as blocks in prompt order."""
    blocks = tuple(
        Block(titles.number(p.doc), p.tier, p.tokens, p.chars is not None and p.start is None)
        for p in context.passages
    )
    return MapView(
        strategy=context.strategy,
        tokens=context.tokens,
        budget=context.budget_tokens,
        blocks=blocks,
    )


def inspect(
    questions: Sequence[Question],
    trajectories: Path | None,
    contexts: Sequence[Path],
    titles: Titles,
) -> list[QuestionView]:
    """The views of `questions`.

    Args:
        questions: which to show, in this order.
        trajectories: their attempts as JSONL; None if that stage is not complete.
        contexts: one JSONL a strategy, in the order to be offered.
        titles: collects the titles that the views refer to.
    """
    hops = {question.id: hop_views(question, titles) for question in questions}
    attempts: dict[str, list[AttemptView]] = {question.id: [] for question in questions}
    maps: dict[str, list[MapView]] = {question.id: [] for question in questions}
    for trajectory in read_records(trajectories, Trajectory) if trajectories else ():
        if trajectory.question_id in attempts:
            attempts[trajectory.question_id].append(attempt_view(trajectory, titles))
    for path in contexts:
        for context in read_records(path, Context):
            if context.question_id in maps:
                maps[context.question_id].append(map_view(context, titles))
    return [
        QuestionView(
            id=question.id,
            text=one_clue_a_line(question.text, question.clues),
            answer=question.answer,
            writer=question.writer,
            hops=hops[question.id],
            attempts=tuple(attempts[question.id]),
            maps=tuple(maps[question.id]),
        )
        for question in questions
    ]


def _evidence(hop: Hop, names: Sequence[str]) -> tuple[str, ...]:
    """The first evidence sentence that names one of `names`, else the first, in marked pieces."""
    pieces = [highlight(shorten(s, SENTENCE_CHARS), names) for s in hop.evidence]
    return next((found for found in pieces if len(found) > 1), pieces[0] if pieces else ())


def _append_open(events: list[Event], doc: int, found: bool) -> None:
    last = events[-1] if events else None
    if last is not None and last.kind == "open" and last.found and found:
        events[-1] = last.model_copy(update={"docs": (*last.docs, doc)})
    else:
        events.append(Event(kind="open", docs=(doc,), found=found))
