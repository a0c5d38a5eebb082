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
from typing import IO, Any, NamedTuple, Protocol

import zstandard

from longtrace.errors import InputError, RowError
from longtrace.records import Document

DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError)
"""What reading damaged compressed data raises."""
_BUFFER_BYTES = 1 << 16
_ZSTD_BYTES = 1 << 13
"""Compressed bytes taken at a time; they may stand for thousands of times as much text."""


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
        return io.BufferedReader(_Decompressed(gzip.open(path, "rb")), _BUFFER_BYTES)
    if path.suffix == ".bz2":
        return io.BufferedReader(_Decompressed(bz2.open(path, "rb")), _BUFFER_BYTES)
    if path.suffix == ".xz":
        return io.BufferedReader(_Decompressed(lzma.open(path, "rb")), _BUFFER_BYTES)
    if path.suffix == ".zst":
        return io.BufferedReader(_Zstandard(path.open("rb")), _BUFFER_BYTES)
    return path.open("rb")


class _Decompressed(io.RawIOBase):
    """Gives what stands before any damage first: a plain read of many bytes would lose it."""

    def __init__(self, source: _Parts) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._source.read1(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._source.close()
        super().close()


class _Parts(Protocol):
    """A decompressing file."""

    def read1(self, size: int, /) -> bytes:
        """At most `size` bytes, by few reads of the file below; empty at the end."""

    def close(self) -> None:
        """Close the file."""


class _Zstandard(io.RawIOBase):
    """Any number of zstd frames; the library's own reader takes a cut frame for a whole one."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._rest = b""
        self._ready = io.BytesIO()
        self._begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not (part := self._ready.read(len(buffer))):
            data = self._rest or self._file.read(_ZSTD_BYTES)
            if not data:
                if self._begun:
                    raise EOFError("the file ends inside a zstd frame")
                return 0
            self._ready, self._begun = io.BytesIO(self._frame.decompress(data)), True
            self._rest = b""
            if self._frame.eof:
                self._rest, self._begun = self._frame.unused_data, False
                self._frame = zstandard.ZstdDecompressor().decompressobj()
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()


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
    if path.is_dir():
        raise InputError(f"{path}: a folder, and --reader {reader} reads a file; check --path")
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
