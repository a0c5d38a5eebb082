"""The document store: SQLite, ids 0 .. n - 1 in source order, bodies compressed with zstd.

The store is filled in transactions, so a killed build continues after the last one, and is then
copied in one step to its final name with a canonical layout: equal sources give equal bytes.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import zstandard

from longtrace.errors import InputError, RunFolderError
from longtrace.records import Document

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
  id INTEGER PRIMARY KEY, key TEXT UNIQUE, title TEXT, body BLOB
);
CREATE TABLE IF NOT EXISTS rejected (unit INTEGER PRIMARY KEY, key TEXT, reason TEXT);
CREATE TABLE IF NOT EXISTS dictionary (bytes BLOB);
"""
_BATCH = 1000
_DICTIONARY_BYTES = 112_640
_SAMPLE_BYTES = 8_192
_MIN_SAMPLES = 100


def build_store(documents: Iterator[Document], path: Path) -> None:
    """Fill the store at `path`, continuing after the documents an interrupted build has taken.

    Documents without text and repeated keys are left out and kept in the table `rejected`.
    """
    if path.exists():
        return
    partial = path.with_name(path.name + ".partial")
    connection = sqlite3.connect(partial)
    connection.executescript(_SCHEMA)
    (kept,) = connection.execute("SELECT count(*) FROM documents").fetchone()
    (dropped,) = connection.execute("SELECT count(*) FROM rejected").fetchone()
    rest = itertools.islice(documents, kept + dropped, None)
    unit = kept + dropped
    while batch := _next_batch(rest, partial, unit):
        with connection:
            compressor = _compressor(connection, batch)
            for document in batch:
                kept += _insert(connection, compressor, kept, unit, document)
                unit += 1
    path.with_name(path.name + ".copy").unlink(missing_ok=True)
    connection.execute("VACUUM INTO ?", (str(path.with_name(path.name + ".copy")),))
    connection.close()
    path.with_name(path.name + ".copy").rename(path)
    partial.unlink()


def _next_batch(rest: Iterator[Document], partial: Path, unit: int) -> list[Document]:
    """The next documents; if the source fails before the first batch is kept, no trace is left."""
    try:
        return list(itertools.islice(rest, _BATCH))
    except InputError:
        if unit == 0:
            partial.unlink()
        raise


def _insert(
    connection: sqlite3.Connection,
    compressor: zstandard.ZstdCompressor,
    doc: int,
    unit: int,
    document: Document,
) -> int:
    """Insert a document as `doc` and return 1, or note why not and return 0."""
    reason = "" if document.text.strip() else "no text"
    if not reason:
        body = compressor.compress(_body(document))
        row = (doc, document.key, document.title, body)
        done = connection.execute("INSERT OR IGNORE INTO documents VALUES (?, ?, ?, ?)", row)
        if done.rowcount == 1:
            return 1
        reason = "duplicate key"
    connection.execute("INSERT INTO rejected VALUES (?, ?, ?)", (unit, document.key, reason))
    return 0


def _body(document: Document) -> bytes:
    return orjson.dumps(document.model_dump(exclude={"key", "title"}, mode="json"))


def _compressor(connection: sqlite3.Connection, batch: list[Document]) -> zstandard.ZstdCompressor:
    """A compressor with the store's dictionary, which the first batch trains."""
    stored = connection.execute("SELECT bytes FROM dictionary").fetchone()
    if stored is None:
        samples: list[bytes | bytearray | memoryview] = [
            _body(document)[:_SAMPLE_BYTES] for document in batch
        ]
        trained = b""
        if len(samples) >= _MIN_SAMPLES:
            trained = zstandard.train_dictionary(_DICTIONARY_BYTES, samples).as_bytes()
        connection.execute("INSERT INTO dictionary VALUES (?)", (trained,))
        stored = (trained,)
    return zstandard.ZstdCompressor(level=3, dict_data=_dictionary(stored[0]))


def _dictionary(stored: bytes) -> zstandard.ZstdCompressionDict | None:
    return zstandard.ZstdCompressionDict(stored) if stored else None


class DocumentStore:
    """Reads a store that `build_store` completed.

    Raises:
        RunFolderError: there is none at `path`.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise RunFolderError(f"{path}: no document store; run `longtrace corpus` first")
        self._connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
        (stored,) = self._connection.execute("SELECT bytes FROM dictionary").fetchone() or (b"",)
        self._decompressor = zstandard.ZstdDecompressor(dict_data=_dictionary(stored))
        self._size = int(self._connection.execute("SELECT count(*) FROM documents").fetchone()[0])
        self.document = lru_cache(maxsize=2048)(self._document)

    def __len__(self) -> int:
        return self._size

    def id(self, key: str) -> int:
        """Id of the document with `key`.

        Raises:
            InputError: there is no such document.
        """
        found = self.find(key)
        if found is None:
            raise InputError(f"{key!r}: no such document in the corpus")
        return found

    def find(self, key: str) -> int | None:
        """Id of the document with `key`; None if there is no such document."""
        row = self._connection.execute("SELECT id FROM documents WHERE key = ?", (key,)).fetchone()
        return None if row is None else int(row[0])

    def _document(self, doc: int) -> Document:
        """The document with id `doc` (0 .. n - 1)."""
        query = "SELECT key, title, body FROM documents WHERE id = ?"
        row = self._connection.execute(query, (doc,)).fetchone()
        if row is None:
            raise InputError(f"{doc}: no such document id; the corpus holds {self._size}")
        return self._read(*row)

    def __iter__(self) -> Iterator[Document]:
        rows = self._connection.execute("SELECT key, title, body FROM documents ORDER BY id")
        for row in rows:
            yield self._read(*row)

    def rejected(self) -> Iterator[tuple[int, str, str]]:
        """(number in the source, key, reason) of every document left out."""
        yield from self._connection.execute("SELECT unit, key, reason FROM rejected ORDER BY unit")

    def _read(self, key: str, title: str, body: bytes) -> Document:
        fields: dict[str, Any] = orjson.loads(self._decompressor.decompress(body))
        return Document(key=key, title=title, **fields)
