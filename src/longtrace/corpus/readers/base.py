"""What a reader is and what it yields; the files and titles that several readers share.

A reader has two parts. `records` streams the source as cheap raw records in a fixed order, so that
an interrupted build skips those it has without parsing them again. `parse` turns one record into
exactly one item and is pure, so it may run in another process.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import zstandard

from longtrace.errors import InputError, RowError
from longtrace.records import Document

DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError)
"""What reading damaged compressed data raises."""


class Redirect(NamedTuple):
    """Another name of a document: an alias, and a target of links."""

    name: str
    target: str
    """Key of the document, or name of another redirect."""


class Rejected(NamedTuple):
    """A record that is no document."""

    path: str
    line: int
    """Line or record number from 1; 0 where it says nothing."""
    reason: str
    """A few words that rejections are counted by."""
    detail: str
    """What exactly is wrong and what was expected."""

    @property
    def where(self) -> str:
        """`path:line`, or the path alone."""
        return f"{self.path}:{self.line}" if self.line else self.path

    def error(self, remedy: str) -> InputError:
        """The rejection as an error."""
        if self.line:
            return RowError(self.path, self.line, self.detail, remedy)
        return InputError(f"{self.path}: {self.detail}; {remedy}")


Item = Document | Redirect | Rejected


class Reader(NamedTuple):
    """One kind of source."""

    records: Callable[[Path | None], Iterator[Any]]
    """The source's records in a fixed order; every one picklable."""
    parse: Callable[[Any], Item]
    """One record as one item; a `Rejected` record stays what it is."""
    heavy: bool = False
    """Whether parsing is worth other processes."""


class Line(NamedTuple):
    """A line of a file."""

    path: Path
    number: int
    data: bytes


def read(reader: Reader, path: Path | None) -> Iterator[Item]:
    """All items of a source, in order."""
    return map(reader.parse, reader.records(path))


def open_bytes(path: Path) -> IO[bytes]:
    """`path` opened for reading bytes, decompressed by its ending (.gz, .dz, .bz2, .xz, .zst)."""
    if path.suffix in (".gz", ".dz"):
        return io.BufferedReader(gzip.open(path, "rb"))
    if path.suffix == ".bz2":
        return io.BufferedReader(bz2.open(path, "rb"))
    if path.suffix == ".xz":
        return io.BufferedReader(lzma.open(path, "rb"))
    if path.suffix == ".zst":
        return io.BufferedReader(zstandard.open(path, "rb"))
    return path.open("rb")


def lines(path: Path | None, reader: str) -> Iterator[Line | Rejected]:
    """Non-blank lines of a file; where its compressed data ends early, a last `Rejected`.

    A byte order mark at the start of a line is dropped: files that were joined may hold several.

    Raises:
        InputError: no path or no such file.
    """
    file = source_file(path, reader)
    number = 0
    try:
        with open_bytes(file) as rows:
            for number, row in enumerate(rows, 1):
                data = row.removeprefix(codecs.BOM_UTF8)
                if data.strip():
                    yield Line(file, number, data)
    except DAMAGE as error:
        yield damaged(file, number + 1, error)


def without(line: Line, what: str, key: str) -> Rejected:
    """A row that lacks its title or its text, which is `what`."""
    detail = f"document {key!r} has no {what}"
    return Rejected(str(line.path), line.number, f"no {what}", detail)


def damaged(path: Path, line: int, error: Exception) -> Rejected:
    """The end of a file that cannot be read to its end."""
    return Rejected(str(path), line, "file damaged or cut short", f"damaged or cut short ({error})")


def source_file(path: Path | None, reader: str) -> Path:
    """`path`, which must be a file.

    Raises:
        InputError: no path or no such file.
    """
    if path is None:
        raise InputError(f"--reader {reader} needs --path FILE")
    if not path.is_file():
        raise InputError(f"{path}: no such file; check --path")
    return path


_REFERENCE_SECTIONS = """
see also, references, notes, external links, further reading, bibliography, footnotes, citations,
sources, notes and references, references and notes, works cited, literature, general references,
external sources, notes and citations, references and further reading, related links,
footnotes and references
"""
REFERENCE_SECTIONS = frozenset(name.strip() for name in _REFERENCE_SECTIONS.split(","))
"""Headings, in small letters, of sections that hold pointers and no text about the subject."""


def is_reference_section(heading: str) -> bool:
    """Whether a section under `heading` holds references only."""
    return " ".join(heading.split()).rstrip(".:").lower() in REFERENCE_SECTIONS


def wiki_title(title: str) -> str:
    """A wiki title in its one form: no underscores, single spaces, the first letter a capital."""
    title = " ".join(title.replace("_", " ").split())
    return title[:1].upper() + title[1:]
