"""Rows `{"id", "title", "text", "links": [ids], "aliases": [names]}`; the last two are optional.

Plain, .gz, .bz2, .xz and .zst files are streamed. Other keys of a row are ignored. Where no row has
links, mentions of titles stand in for them; a row without links among rows that have them simply
links to nothing. A document's source is its file and line.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from longtrace.corpus.readers.base import Item, Line, Reader, Rejected, lines, without
from longtrace.records import Document, Link

_FORM = 'expected {"id": str, "title": str, "text": str} with optional "links" and "aliases" lists'


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    id: str
    title: str
    text: str
    links: tuple[str, ...] | None = None
    aliases: tuple[str, ...] | None = None


def _records(path: Path | None) -> Iterator[Line | Rejected]:
    return lines(path, "jsonl")


def _parse(line: Line | Rejected) -> Item:
    if isinstance(line, Rejected):
        return line
    try:
        row = _Row.model_validate(orjson.loads(line.data))
    except orjson.JSONDecodeError as error:
        return _rejected(line, f"not valid JSON ({error})")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "row"
        return _rejected(line, f"{where}: {first['msg']}")
    if not row.id.strip():
        return _rejected(line, "id: empty")
    if not row.title.strip():
        return without(line, "title", row.id)
    if not row.text.strip():
        return without(line, "text", row.id)
    links = None if row.links is None else tuple(Link(target=key) for key in row.links)
    return Document(
        key=row.id,
        title=row.title,
        text=row.text,
        links=links,
        aliases=row.aliases or (),
        source=f"{line.path.name}:{line.number}",
    )


def _rejected(line: Line, what: str) -> Rejected:
    return Rejected(str(line.path), line.number, "unreadable row", f"{what}, {_FORM}")


JSONL = Reader(_records, _parse)
