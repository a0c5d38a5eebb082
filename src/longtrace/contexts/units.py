"""What is packed: whole documents, or passages of a few thousand characters.

A unit has a name, which packing and counting use as they use a document's key. The name of a whole
document is its key; the name of a passage is the key, a separator that no key holds, and the
character at which the passage begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol

from longtrace.records import Passage
from longtrace.text import Haystack, paragraphs

Kind = Literal["document", "passage"]
PASSAGE_CHARS = 6_000
_SEPARATOR = "\x1f"
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s)|(?=\n)")
_WORD_END = re.compile(r"(?<=\S)(?=\s)")


class Texts(Protocol):
    """Where titles and texts come from; `longtrace.corpus.corpus.Corpus` is one."""

    def id(self, key: str) -> int:
        """Id of the document with `key`."""

    def key(self, doc: int) -> str:
        """Key of document `doc`."""

    def title(self, doc: int) -> str:
        """Title of document `doc`."""

    def text(self, doc: int) -> str:
        """Text of document `doc`."""


class Unit(NamedTuple):
    """A document or a passage of it."""

    doc: int
    start: int | None
    """First character; None for a whole document."""
    end: int | None
    """One past the last character; None for a whole document."""


class Units:
    """The documents of a corpus as units.

    Args:
        texts: the corpus.
        kind: what a unit is.
        passage_chars: longest passage; without meaning for whole documents.
    """

    def __init__(
        self, texts: Texts, kind: Kind = "document", passage_chars: int = PASSAGE_CHARS
    ) -> None:
        self.texts, self.kind, self._chars = texts, kind, passage_chars
        self.spans = lru_cache(maxsize=8192)(self._spans)

    def of(self, doc: int) -> list[str]:
        """Names of the units of a document, in the order of its text; one for a whole document."""
        key = self.texts.key(doc)
        if self.kind == "document":
            return [key]
        return [f"{key}{_SEPARATOR}{start}" for start, _ in self.spans(doc)]

    def unit(self, name: str) -> Unit:
        """The unit with `name`; InputError if there is no such document."""
        if self.kind == "document":
            return Unit(self.texts.id(name), None, None)
        key, _, start = name.rpartition(_SEPARATOR)
        doc = self.texts.id(key)
        return Unit(doc, int(start), dict(self.spans(doc))[int(start)])

    def key(self, name: str) -> str:
        """Key of the document that a unit belongs to."""
        return name if self.kind == "document" else name.rpartition(_SEPARATOR)[0]

    def text(self, unit: Unit) -> str:
        """The text of a unit."""
        return self.texts.text(unit.doc)[unit.start : unit.end]

    def passage(self, packed: Passage) -> Passage:
        """The passage of the document, given a passage of the unit that `packed.doc` names."""
        if self.kind == "document":
            return packed
        unit = self.unit(packed.doc)
        start, end = unit.start or 0, unit.end or 0
        chars = end - start if packed.chars is None else packed.chars
        found = {"doc": self.texts.key(unit.doc), "start": start, "chars": chars}
        return packed.model_copy(update=found)

    def holding(self, doc: int, sentences: Sequence[str]) -> list[str]:
        """Names of the units of a document in which `sentences` begin, without repeats.

        A sentence is looked for whatever the white space between its words; one that is not found
        is passed over. A whole document holds whatever is asked for.
        """
        names = self.of(doc)
        if self.kind == "document":
            return names
        text, starts = self.texts.text(doc), [start for start, _ in self.spans(doc)]
        found = (re.search(r"\s+".join(map(re.escape, s.split())), text) for s in sentences if s)
        places = (match.start() for match in found if match)
        held = {sum(start <= place for start in starts) - 1 for place in places}
        return [names[max(0, number)] for number in sorted(held)]

    def naming(self, doc: int, forms: Sequence[str]) -> list[str]:
        """The first unit of a document in whose text one of `forms` stands; empty if none."""
        for name in self.of(doc):
            text = Haystack(self.text(self.unit(name)))
            if any(text.holds(form) for form in forms):
                return [name]
        return []

    def _spans(self, doc: int) -> list[tuple[int, int]]:
        return split(self.texts.text(doc), self._chars)


def split(text: str, chars: int) -> list[tuple[int, int]]:
    """(start, end) of passages of at most `chars` characters, cut where paragraphs end.

    A paragraph that is longer is cut at the last sentence, else word, else character that fits.
    Together the passages hold all of `text` but the blank lines between them.
    """
    out: list[tuple[int, int]] = []
    for start, end in _pieces(text, chars):
        if out and end - out[-1][0] <= chars:
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return out


def stripped_paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of the paragraphs of `text`, without white space in front."""
    for start, end in paragraphs(text):
        yield end - len(text[start:end].lstrip()), end


def sentence_ends(text: str) -> list[int]:
    """Characters after which a sentence or a line of `text` ends, ascending."""
    return [match.end() for match in _SENTENCE_END.finditer(text)]


def word_ends(text: str) -> list[int]:
    """Characters after which a word of `text` ends, ascending."""
    return [match.end() for match in _WORD_END.finditer(text)]


def _pieces(text: str, chars: int) -> Iterator[tuple[int, int]]:
    """Paragraphs, the long ones in parts."""
    for start, end in stripped_paragraphs(text):
        while end - start > chars:
            window = text[start : start + chars + 1]
            ends = [at for at in sentence_ends(window) if 0 < at <= chars]
            ends = ends or [at for at in word_ends(window) if at <= chars]
            cut = start + (ends[-1] if ends else chars)
            yield start, cut
            start = cut + len(text[cut:end]) - len(text[cut:end].lstrip())
        if end > start:
            yield start, end
