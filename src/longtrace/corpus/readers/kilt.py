"""The KILT knowledge source: one JSON object a line, an English Wikipedia page each.

The key is the title, since links name titles. Headings become `## Name` lines, list items `- item`
lines. Sections that hold references only are dropped with their subsections and links; this goes by
headings, never by words in the text. Links carry the offsets of their anchors in the document's
text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from longtrace.corpus.readers.base import (
    Item,
    Line,
    Reader,
    Rejected,
    is_reference_section,
    lines,
    wiki_title,
    without,
)
from longtrace.records import Document, Link

_SECTION = "Section::::"
_BULLET = "BULLET::::"
_NESTED = re.compile(r":(?=\S)")
"""Between a heading and the one below it; in "Star Wars: A New Hope" the colon is the heading's."""
_FORM = 'expected {"wikipedia_id", "wikipedia_title": str, "text": [str], "anchors": [...]}'


class _Anchor(BaseModel):
    model_config = ConfigDict(extra="ignore")

    href: str
    paragraph_id: int
    start: int
    end: int
    wikipedia_title: str | None = None


class _Page(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    wikipedia_id: str
    wikipedia_title: str
    text: tuple[str, ...]
    anchors: tuple[_Anchor, ...] = ()
    wikidata_info: dict[str, Any] | None = None


class _Place(NamedTuple):
    """Where a paragraph stands in the kept text."""

    start: int
    end: int
    shift: int
    """What turns a character's place in the paragraph into one in the text."""


def _records(path: Path | None) -> Iterator[Line | Rejected]:
    return lines(path, "kilt")


def _parse(line: Line | Rejected) -> Item:
    if isinstance(line, Rejected):
        return line
    try:
        page = _Page.model_validate(orjson.loads(line.data))
    except orjson.JSONDecodeError as error:
        return _rejected(line, f"not valid JSON ({error})")
    except ValidationError as error:
        first = error.errors()[0]
        return _rejected(line, f"{'.'.join(map(str, first['loc'])) or 'row'}: {first['msg']}")
    if not page.wikipedia_title.strip():
        return without(line, "title", page.wikipedia_id)
    text, places = _text(page)
    return Document(
        key=wiki_title(page.wikipedia_title),
        title=page.wikipedia_title,
        text=text,
        links=tuple(_links(page.anchors, places)),
        aliases=_aliases(page),
        source=f"kilt:{page.wikipedia_id}",
    )


def _rejected(line: Line, what: str) -> Rejected:
    return Rejected(str(line.path), line.number, "unreadable row", f"{what}, {_FORM}")


def _text(page: _Page) -> tuple[str, dict[int, _Place]]:
    """The kept text, and where each kept paragraph stands in it."""
    parts: list[str] = []
    places: dict[int, _Place] = {}
    length = 0
    dropping = False
    for number, paragraph in enumerate(page.text):
        text, cut = paragraph.rstrip(), 0
        heading = text.startswith(_SECTION)
        if heading:
            names = [name for name in _NESTED.split(text[len(_SECTION) :]) if name]
            if len(names) == 1:
                dropping = is_reference_section(names[0])
            text = f"{'#' * (len(names) + 1)} {names[-1].rstrip('.')}" if names else ""
        elif text.startswith(_BULLET):
            text, cut = text[len(_BULLET) :], len(_BULLET)
        if dropping or not text or (number == 0 and text.strip() == page.wikipedia_title.strip()):
            continue
        if parts:
            gap = "\n" if cut and parts[-1].startswith("- ") else "\n\n"
            parts.append(gap)
            length += len(gap)
        end = length if heading else length + len(text)  # what stands there is written anew
        places[number] = _Place(length, end, length - cut)
        parts.append(text)
        length += len(text)
    return "".join(parts), places


def _links(anchors: Sequence[_Anchor], places: dict[int, _Place]) -> Iterator[Link]:
    """Links of the kept paragraphs; without offsets where an anchor lies outside its paragraph."""
    for anchor in anchors:
        if anchor.paragraph_id in places:
            place = places[anchor.paragraph_id]
            target = anchor.wikipedia_title or unquote(anchor.href).partition("#")[0]
            start, end = anchor.start + place.shift, anchor.end + place.shift
            inside = place.start <= start <= end <= place.end
            yield Link(
                target=wiki_title(target),
                start=start if inside else None,
                end=end if inside else None,
            )


def _aliases(page: _Page) -> tuple[str, ...]:
    """Aliases that Wikidata knows, where the row has them."""
    found = (page.wikidata_info or {}).get("aliases")
    return tuple(a for a in found if isinstance(a, str)) if isinstance(found, list) else ()


KILT = Reader(_records, _parse, heavy=True)
