"""Which distractors would themselves answer the question, with the place that shows it.

A distractor that holds the answer and names the last entity is most likely a second source: with it
the chain can be cut short, and citing it is not wrong. The answer alone (a year, a common name)
proves little. Both are looked for as whole words, by every alias, in title and text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from longtrace.contexts.render import heading
from longtrace.contexts.units import Unit, Units, stripped_paragraphs
from longtrace.corpus.corpus import Corpus
from longtrace.records import Proof, Question
from longtrace.text import Haystack, names

Policy = Literal["drop", "strict", "promote"]
Span = tuple[int, int]


class Found(NamedTuple):
    """A name in a text."""

    form: str
    span: Span | None
    """None if it stands in the title, or could not be traced back to characters."""


class Checker:
    """Looks into units of one corpus.

    Args:
        corpus: documents and mentions.
        units: what is packed.
    """

    def __init__(self, corpus: Corpus, units: Units) -> None:
        self._corpus, self._units = corpus, units
        self._haystack = lru_cache(maxsize=1024)(self._prepare)

    def proof(self, name: str, question: Question, policy: Policy) -> Proof | None:
        """Where a unit holds the answer, and what `policy` does about it; None if it does not.

        Args:
            name: the unit.
            question: gives the answer and the last entity.
            policy: `drop` leaves out units with answer and last entity, `promote` makes them gold,
                `strict` leaves out all that hold the answer; the rest is noted.
        """
        unit = self._units.unit(name)
        answer = self._find(unit, (question.answer, *question.answer_aliases))
        if answer is None:
            return None
        last = question.hops[-1]
        entity = None
        if self._mentions(unit, last.doc):
            entity = self._find(unit, (last.entity, *last.aliases))
        action: Literal["dropped", "promoted", "noted"] = "noted"
        if entity is not None:
            action = "promoted" if policy == "promote" else "dropped"
        elif policy == "strict":
            action = "dropped"
        return Proof(
            doc=self._corpus.key(unit.doc),
            start=unit.start,
            rule="answer" if entity is None else "answer and last entity",
            form=answer.form,
            span=answer.span,
            entity=entity.form if entity else "",
            entity_span=entity.span if entity else None,
            action=action,
        )

    def offends(self, name: str, question: Question, policy: Policy) -> Proof | None:
        """`proof` of a unit that may not stay a distractor; None if it may."""
        if policy != "strict" and not self._mentions(self._units.unit(name), question.hops[-1].doc):
            return None
        proof = self.proof(name, question, policy)
        return None if proof is None or proof.action == "noted" else proof

    def _mentions(self, unit: Unit, key: str) -> bool:
        """Whether the whole document names the subject of `key`; what rules most units out."""
        last = self._corpus.id(key)
        return unit.doc == last or bool((self._corpus.mentions.of(unit.doc) == last).any())

    def _find(self, unit: Unit, forms: Sequence[str]) -> Found | None:
        """The first of `forms` that stands in title or text of a unit."""
        haystack = self._haystack(unit)
        form = next((form for form in forms if haystack.holds(form)), None)
        if form is None:
            return None
        span = locate(self._units.text(unit), form)
        shift = unit.start or 0
        return Found(form, (span[0] + shift, span[1] + shift) if span else None)

    def _prepare(self, unit: Unit) -> Haystack:
        title = heading(self._corpus.title(unit.doc))
        return Haystack(f"{title}\n\n{self._units.text(unit)}")


def locate(text: str, form: str) -> Span | None:
    """First and one past the last character of `form` in `text`, as whole words.

    Where its letters differ (accents, width) the paragraph that holds it is given; None if none
    does.
    """
    parts = re.findall(r"\w+", form)
    if not parts:
        return None
    inside = r"[^\w\n]*".join(map(re.escape, parts))
    pattern = rf"(?<!\w){inside}(?!\w)"
    for match in re.finditer(pattern, text, re.IGNORECASE):
        if names(text[match.start() : match.end()], form):
            return match.start(), match.end()
    return next(_paragraphs_with(text, form), None)


def _paragraphs_with(text: str, form: str) -> Iterator[Span]:
    if form.isascii() and text.isascii() and not names(text, form):
        return
    for start, end in stripped_paragraphs(text):
        if names(text[start:end], form):
            yield start, end
