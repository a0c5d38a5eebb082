"""The KILT knowledge source: one JSON object a line, an English Wikipedia page each.

The key is the title, since links name titles. Headings become `## Name` lines, list items `- item`
lines. Sections that hold references only are dropped with their subsections and links; this goes by
headings, never by words in the text. Links carry the offsets of their anchors in the document's
text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
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


def _text(page: _Page) -> tuple[str, dict[int, tuple[int, int]]]:
    """The kept text, and for each kept paragraph (place in it, characters cut from its front)."""
    parts: list[str] = []
    places: dict[int, tuple[int, int]] = {}
    length = 0
    dropping = False
    for number, paragraph in enumerate(page.text):
        text, cut = paragraph.rstrip(), 0
        if text.startswith(_SECTION):
            names = [name for name in text[len(_SECTION) :].split(":") if name]
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
        places[number] = (length, cut)
        parts.append(text)
        length += len(text)
    return "".join(parts), places


def _links(anchors: Sequence[_Anchor], places: dict[int, tuple[int, int]]) -> Iterator[Link]:
    """Links of the kept paragraphs."""
    for anchor in anchors:
        if anchor.paragraph_id in places:
            base, cut = places[anchor.paragraph_id]
            target = anchor.wikipedia_title or unquote(anchor.href).partition("#")[0]
            shift = base - cut
            yield Link(
                target=wiki_title(target), start=anchor.start + shift, end=anchor.end + shift
            )


def _aliases(page: _Page) -> tuple[str, ...]:
    """Aliases that Wikidata knows, where the row has them."""
    found = (page.wikidata_info or {}).get("aliases")
    return tuple(a for a in found if isinstance(a, str)) if isinstance(found, list) else ()


KILT = Reader(_records, _parse, heavy=True)
