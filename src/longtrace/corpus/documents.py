"""The document store: SQLite, ids 0 .. n - 1 in source order, bodies compressed with zstd.

The store is filled in transactions, so a killed build continues after the last one. Repeated keys
are found in memory (8 bytes each) and the key index is made at the end, since random inserts into
an index of millions of keys are what makes a load slow down. At last the store is copied in one
step to its final name with a canonical layout: equal sources give equal bytes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import zstandard

from longtrace.corpus.hashes import KeySet
from longtrace.corpus.readers.base import Item, Redirect, Rejected
from longtrace.corpus.search import COMMIT_AFTER, IndexWriter
from longtrace.errors import InputError, RunFolderError
from longtrace.records import Document, Link

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
  id INTEGER PRIMARY KEY, key TEXT, title TEXT, aliases TEXT, body BLOB
);
CREATE TABLE IF NOT EXISTS redirects (name TEXT, target TEXT);
CREATE TABLE IF NOT EXISTS rejected (place TEXT, reason TEXT, detail TEXT);
CREATE TABLE IF NOT EXISTS aliases (doc INTEGER, name TEXT);
CREATE TABLE IF NOT EXISTS dictionary (bytes BLOB);
CREATE TABLE IF NOT EXISTS filled (units INTEGER, linked INTEGER);
"""
_INDICES = (
    "UNIQUE INDEX IF NOT EXISTS by_key ON documents (key)",
    "INDEX IF NOT EXISTS by_name ON redirects (name)",
    "INDEX IF NOT EXISTS by_doc ON aliases (doc)",
)
_BATCH = 1000
_DICTIONARY_BYTES = 112_640
_SAMPLE_BYTES = 8_192
_MIN_SAMPLES = 100
_STRICT = "without --strict such records are counted and left out"


class Row(NamedTuple):
    """A stored document without its record: what a pass over millions of them needs."""

    doc: int
    key: str
    title: str
    text: str
    targets: list[str]
    """Keys or redirects that the links name, repeats included."""
    raw: bytes
    """The body as stored, uncompressed; its bytes stand for text, links and source."""


class StoreWriter:
    """Fills a store; open one, `fill` it, `complete` it.

    Args:
        path: the final name; an interrupted build left `path.partial`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self._connection = sqlite3.connect(self._partial)
        self._connection.execute("PRAGMA synchronous = OFF")  # safe against kills, not power cuts
        self._connection.executescript(_SCHEMA)
        (self._kept,) = self._one("SELECT count(*) FROM documents")
        filled: tuple[int, int] = self._one("SELECT * FROM filled") or (0, 0)
        self.units, self._linked = filled
        """Items taken so far, and whether a document among them has hyperlinks."""
        self._keys = KeySet()
        keys = self._connection.execute("SELECT key FROM documents")
        while batch := [key for (key,) in keys.fetchmany(100_000)]:
            self._keys.add(batch)

    def fill(
        self, items: Iterable[Item], *, strict: bool, index: IndexWriter | None = None
    ) -> None:
        """Take items that follow the `units` taken before, in transactions of a thousand.

        Args:
            items: what a reader gives.
            strict: stop at the first item that is no document.
            index: told of every document that is kept; never commits one that the store has not.

        Raises:
            InputError: with `strict`, an item is no document; items before it are kept.
        """
        rest = iter(items)
        while batch := list(islice(rest, _BATCH)):
            with self._connection:
                self._insert(batch, strict, index)
            if index is not None:
                index.commit(least=COMMIT_AFTER)

    def complete(self, source: Path) -> None:
        """Index the keys and move the store to its final name.

        Args:
            source: named in the error where not even one record was found in it.

        Raises:
            InputError: there is no document in it; then nothing is left behind.
        """
        if self._kept == 0:
            first = self._one("SELECT place, detail FROM rejected ORDER BY rowid") or (source, "")
            self._connection.close()
            self._partial.unlink()
            what = f"{first[1]}; " if first[1] else ""
            raise InputError(f"{first[0]}: {what}no document could be read at all; check --path")
        with self._connection:
            for index in _INDICES:  # a killed run may have made some of them
                self._connection.execute(f"CREATE {index}")
            self._connection.execute("DELETE FROM aliases")
            self._resolve_redirects()
        copy = self._path.with_name(self._path.name + ".copy")
        copy.unlink(missing_ok=True)
        self._connection.execute("VACUUM INTO ?", (str(copy),))
        self._connection.close()
        copy.rename(self._path)
        self._partial.unlink()

    def _one(self, query: str) -> Any:
        return self._connection.execute(query).fetchone()

    def _insert(self, batch: list[Item], strict: bool, index: IndexWriter | None) -> None:
        documents = [item for item in batch if isinstance(item, Document)]
        new = iter(self._keys.add([d.key for d in documents if d.text.strip()]).tolist())
        kept: list[Document] = []
        redirects: list[Redirect] = []
        for item in batch:
            if isinstance(item, Document):
                problem = _problem(item, new)
            else:
                problem = item if isinstance(item, Rejected) else None
            if problem is not None:
                self._reject(problem, strict)
            elif isinstance(item, Redirect):
                redirects.append(item)
            elif isinstance(item, Document):
                self._linked |= bool(item.links)
                kept.append(item)
        if index is not None:  # first, since it works beside what follows
            for doc, document in enumerate(kept, self._kept):
                index.add(doc, document.title, document.text)
        compressor = self._compressor(documents)
        rows = [_row(doc, document, compressor) for doc, document in enumerate(kept, self._kept)]
        many = self._connection.executemany
        many("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", rows)
        many("INSERT INTO redirects VALUES (?, ?)", redirects)
        self._kept += len(rows)
        self.units += len(batch)
        self._connection.execute("DELETE FROM filled")
        self._connection.execute("INSERT INTO filled VALUES (?, ?)", (self.units, self._linked))

    def _reject(self, problem: Rejected, strict: bool) -> None:
        if strict:
            raise problem.error(_STRICT)
        row = (problem.where, problem.reason, problem.detail)
        self._connection.execute("INSERT INTO rejected VALUES (?, ?, ?)", row)

    def _compressor(self, batch: list[Document]) -> zstandard.ZstdCompressor:
        """A compressor with the store's dictionary, which the first documents train."""
        stored = self._one("SELECT bytes FROM dictionary")
        if stored is None and batch:
            samples: list[bytes | bytearray | memoryview] = [
                _body(document)[:_SAMPLE_BYTES] for document in batch
            ]
            trained = b""
            if len(samples) >= _MIN_SAMPLES:
                trained = zstandard.train_dictionary(_DICTIONARY_BYTES, samples).as_bytes()
            self._connection.execute("INSERT INTO dictionary VALUES (?)", (trained,))
            stored = (trained,)
        return zstandard.ZstdCompressor(
            level=3, dict_data=_dictionary(stored[0] if stored else b"")
        )

    def _resolve_redirects(self) -> None:
        """Turn redirects, also those to other redirects, into aliases of the documents."""
        self._connection.execute(
            """
            INSERT INTO aliases
            WITH RECURSIVE follow (name, target, steps) AS (
              SELECT name, target, 0 FROM redirects
              UNION ALL
              SELECT follow.name, redirects.target, steps + 1 FROM follow
              JOIN redirects ON redirects.name = follow.target
              WHERE steps < 4 AND NOT EXISTS (SELECT 1 FROM documents WHERE key = follow.target)
            )
            SELECT DISTINCT documents.id, follow.name FROM follow
            JOIN documents ON documents.key = follow.target
            WHERE NOT EXISTS (SELECT 1 FROM documents AS taken WHERE taken.key = follow.name)
            ORDER BY documents.id, follow.name
            """
        )


def _problem(document: Document, new: Iterator[bool]) -> Rejected | None:
    """Why a document is left out; None if it is kept."""
    if not document.text.strip():
        return Rejected(document.source, 0, "no text", f"document {document.key!r} has no text")
    if not next(new):
        what = f"key {document.key!r} was seen before"
        return Rejected(document.source, 0, "duplicate key", what)
    return None


def _row(doc: int, document: Document, compressor: zstandard.ZstdCompressor) -> tuple[object, ...]:
    aliases = orjson.dumps(document.aliases).decode() if document.aliases else None
    return doc, document.key, document.title, aliases, compressor.compress(_body(document))


def _body(document: Document) -> bytes:
    """What is compressed: {text, source, links: null or [target or [target, start, end]]}."""
    links: list[object] | None = None
    if document.links is not None:
        links = [
            link.target if link.start is None else (link.target, link.start, link.end)
            for link in document.links
        ]
    return orjson.dumps({"text": document.text, "links": links, "source": document.source})


def _dictionary(stored: bytes) -> zstandard.ZstdCompressionDict | None:
    return zstandard.ZstdCompressionDict(stored) if stored else None


class DocumentStore:
    """Reads a store that a `StoreWriter` completed.

    Raises:
        RunFolderError: there is none at `path`.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise RunFolderError(f"{path}: no document store; run `longtrace corpus` first")
        self._connection = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
        one = self._connection.execute
        if one("SELECT 1 FROM sqlite_master WHERE name = 'filled'").fetchone() is None:
            raise RunFolderError(
                f"{path}: made by another longtrace; run `longtrace corpus --fresh`"
            )
        (stored,) = one("SELECT bytes FROM dictionary").fetchone() or (b"",)
        self._decompressor = zstandard.ZstdDecompressor(dict_data=_dictionary(stored))
        self._size = int(one("SELECT count(*) FROM documents").fetchone()[0])
        self._redirected = one("SELECT 1 FROM aliases LIMIT 1").fetchone() is not None
        self.linked = bool((one("SELECT linked FROM filled").fetchone() or (0,))[0])
        """Whether any document has a hyperlink."""
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

    def rows(self, start: int, stop: int) -> Iterator[Row]:
        """Documents start .. stop - 1."""
        query = "SELECT id, key, title, body FROM documents WHERE id >= ? AND id < ? ORDER BY id"
        for doc, key, title, body in self._connection.execute(query, (start, stop)):
            raw = self._decompressor.decompress(body)
            fields = orjson.loads(raw)
            links = fields["links"] or ()
            targets = [link if isinstance(link, str) else link[0] for link in links]
            yield Row(doc, key, title, fields["text"], targets, raw)

    def names(self) -> Iterator[tuple[int, str, str, tuple[str, ...]]]:
        """(id, key, title, aliases) of every document, redirects included, in order of id."""
        query = "SELECT id, key, title, aliases FROM documents ORDER BY id"
        redirects = self._connection.execute("SELECT doc, name FROM aliases ORDER BY doc, name")
        ahead = redirects.fetchone()
        for doc, key, title, stored in self._connection.execute(query):
            aliases: list[str] = orjson.loads(stored) if stored else []
            while ahead is not None and ahead[0] == doc:
                aliases.append(ahead[1])
                ahead = redirects.fetchone()
            yield doc, key, title, tuple(dict.fromkeys(aliases))

    def redirects(self) -> Iterator[tuple[str, int]]:
        """(name, id) of every redirect that leads to a document."""
        yield from self._connection.execute("SELECT name, doc FROM aliases ORDER BY doc, name")

    def rejected(self) -> Iterator[tuple[str, str, str]]:
        """(where, reason, detail) of every record left out, in source order."""
        query = "SELECT place, reason, detail FROM rejected ORDER BY rowid"
        yield from self._connection.execute(query)

    def _document(self, doc: int) -> Document:
        """The document with id `doc` (0 .. n - 1)."""
        doc = int(doc)  # a numpy integer is no key of SQLite's
        query = "SELECT key, title, aliases, body FROM documents WHERE id = ?"
        row = self._connection.execute(query, (doc,)).fetchone()
        if row is None:
            raise InputError(f"{doc}: no such document id; the corpus holds {self._size}")
        key, title, stored, body = row
        aliases: list[str] = orjson.loads(stored) if stored else []
        if self._redirected:
            query = "SELECT name FROM aliases WHERE doc = ? ORDER BY name"
            aliases += [name for (name,) in self._connection.execute(query, (doc,))]
        fields: dict[str, Any] = orjson.loads(self._decompressor.decompress(body))
        links = fields["links"]
        return Document(
            key=key,
            title=title,
            text=fields["text"],
            links=None if links is None else tuple(map(_link, links)),
            aliases=tuple(dict.fromkeys(aliases)),
            source=fields["source"],
        )


def _link(stored: Any) -> Link:
    if isinstance(stored, str):
        return Link(target=stored)
    return Link(target=stored[0], start=stored[1], end=stored[2])
