"""Rows `{"id", "title", "text", "links": [ids], "aliases": [names]}`; the last two are optional.

Plain, .gz, .xz and .zst files are streamed. Other keys of a row are ignored. Where no row has
`links`, mentions of titles stand in for them; a row without `links` among rows that have them
simply links to nothing.
"""

from __future__ import annotations

import gzip
import io
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import orjson
import zstandard
from pydantic import BaseModel, ConfigDict, ValidationError

from longtrace.errors import InputError, RowError
from longtrace.records import Document, Link

_FORM = 'expected {"id": str, "title": str, "text": str} with optional "links" and "aliases" lists'


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    id: str
    title: str
    text: str
    links: tuple[str, ...] | None = None
    aliases: tuple[str, ...] = ()


def read_jsonl(path: Path | None) -> Iterator[Document]:
    """Documents of a JSONL file in file order.

    Raises:
        InputError: no path, no such file, or the compressed data is damaged.
        RowError: a line is not JSON or lacks a key; names the line.
    """
    if path is None:
        raise InputError("--reader jsonl needs --path FILE (plain, .gz, .xz or .zst)")
    if not path.is_file():
        raise InputError(f"{path}: no such file; check --path")
    number = 0
    try:
        with open_bytes(path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _document(path, number, line)
    except (EOFError, OSError, lzma.LZMAError, zstandard.ZstdError) as error:
        raise InputError(f"{path}:{number + 1}: damaged or cut short ({error})") from None


def open_bytes(path: Path) -> IO[bytes]:
    """`path` opened for reading bytes, decompressed by its ending."""
    if path.suffix == ".gz":
        return io.BufferedReader(gzip.open(path, "rb"))
    if path.suffix == ".xz":
        return io.BufferedReader(lzma.open(path, "rb"))
    if path.suffix == ".zst":
        return io.BufferedReader(zstandard.open(path, "rb"))
    return path.open("rb")


def _document(path: Path, number: int, line: bytes) -> Document:
    try:
        row = _Row.model_validate(orjson.loads(line))
    except orjson.JSONDecodeError as error:
        raise RowError(path, number, f"not valid JSON ({error})", _FORM) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "row"
        raise RowError(path, number, f"{where}: {first['msg']}", _FORM) from None
    links = None if row.links is None else tuple(Link(target=key) for key in row.links)
    return Document(
        key=row.id,
        title=row.title,
        text=row.text,
        links=links,
        aliases=row.aliases,
        source=path.name,
    )
