"""BM25 search over titles and texts with tantivy: ids and postings only, no second copy of text.

The title counts twice. Words are lower-cased and stemmed (English); stop words of a query are
dropped, which costs no quality and makes it three times as fast at a million documents. Equal
scores are ordered by document id, so the answer does not depend on how the index is laid out.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tantivy

from longtrace.errors import RunFolderError
from longtrace.text import STOP_WORDS, words

TITLE_WEIGHT = 2.0
COMMIT_AFTER = 50_000
"""Documents between two points from which a killed build continues."""
_HEAP_BYTES = 128_000_000
_TIES = 16
_DIGITS = 4
"""Decimals of a score that count; the last bits of a sum depend on the order of its terms."""
_VERSION = "version.txt"


class IndexWriter:
    """Writes an index in order of document id; what was committed survives a kill.

    Args:
        folder: where the index is kept once it is complete; None for an index in memory.
        fresh: drop what an interrupted build has committed.
    """

    def __init__(self, folder: Path | None, *, fresh: bool = False) -> None:
        self._folder = folder
        self._partial = None if folder is None else folder.with_name(folder.name + ".partial")
        if fresh:
            self.discard()
        self._index = self._open()
        self._index.reload()
        self.committed = int(self._index.searcher().num_docs)
        """Documents that an interrupted build has committed."""
        self._writer = self._index.writer(_HEAP_BYTES, 1)
        self._added = 0

    def _open(self) -> Any:
        partial = self._partial
        version = None if partial is None else partial / _VERSION
        if version is not None and version.is_file() and version.read_text() == tantivy.__version__:
            return tantivy.Index.open(str(partial))
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        index = tantivy.Index(_schema(), path=str(partial) if partial else None)
        if partial is not None:
            (partial / _VERSION).write_text(tantivy.__version__)
        return index

    def add(self, doc: int, title: str, text: str) -> None:
        """Add a document; another thread takes it up."""
        self._writer.add_document(tantivy.Document(id=doc, title=title, text=text))
        self._added += 1

    def commit(self, *, least: int = 1) -> None:
        """Keep what was added since the last time, if that is at least `least` documents."""
        if self._added >= least:
            self._writer.commit()
            self._added = 0

    def discard(self) -> None:
        """Delete what was written; the writer is of no further use."""
        if self._partial is not None:
            shutil.rmtree(self._partial, ignore_errors=True)

    def complete(self) -> SearchIndex:
        """Commit, move the index to its final name and open it."""
        self._writer.commit()
        self._writer.wait_merging_threads()
        if self._folder is None or self._partial is None:
            return SearchIndex(self._index)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._partial.rename(self._folder)
        return SearchIndex.open(self._folder)


def _schema() -> Any:
    schema = tantivy.SchemaBuilder()
    for name in ("title", "text"):
        schema.add_text_field(name, stored=False, tokenizer_name="en_stem", index_option="freq")
    schema.add_integer_field("id", stored=False, indexed=False, fast=True)
    return schema.build()


class SearchIndex:
    """A search index over documents with integer ids."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self._index.reload()
        self._searcher = index.searcher()
        english = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        english = english.filter(tantivy.Filter.lowercase())
        self._stem = english.filter(tantivy.Filter.stemmer("english")).build()

    @classmethod
    def build(cls, rows: Iterable[tuple[int, str, str]], folder: Path | None) -> SearchIndex:
        """Index rows (id, title, text).

        Args:
            rows: documents in any order.
            folder: where the index is kept, replaced if it exists; None for an index in memory.
        """
        writer = IndexWriter(folder, fresh=True)
        for doc, title, text in rows:
            writer.add(doc, title, text)
        return writer.complete()

    @classmethod
    def open(cls, folder: Path) -> SearchIndex:
        """Open an index that `build` wrote.

        Raises:
            RunFolderError: no index there, or another tantivy release wrote it.
        """
        version = folder / _VERSION
        if not version.is_file():
            raise RunFolderError(f"{folder}: no search index; run `longtrace corpus` again")
        if version.read_text() != tantivy.__version__:
            raise RunFolderError(
                f"{folder}: written by tantivy {version.read_text()}, installed is "
                f"{tantivy.__version__}; run `longtrace corpus --fresh`"
            )
        return cls(tantivy.Index.open(str(folder)))

    def search(self, query: str, k: int) -> list[int]:
        """Ids of the best `k` documents for any words of `query`, best first."""
        asked = words(query.replace("_", " "))  # a joined word would be asked as a phrase
        kept = [word for word in asked if word not in STOP_WORDS] or asked
        if not kept or k < 1:
            return []
        parsed, _ = self._index.parse_query_lenient(
            " ".join(kept), ["title", "text"], field_boosts={"title": TITLE_WEIGHT}
        )
        limit = k + _TIES
        hits = self._searcher.search(parsed, limit, count=False).hits
        while len(hits) == limit and _tied(hits[k - 1][0], hits[-1][0]):
            limit *= 4
            hits = self._searcher.search(parsed, limit, count=False).hits
        ids = self._searcher.fast_field_values("id", [address for _, address in hits])
        scored = [(-round(hit[0], _DIGITS), doc) for hit, doc in zip(hits, ids, strict=True)]
        return [doc for _, doc in sorted(scored)[:k]]

    def document_frequency(self, word: str) -> int:
        """Documents whose text holds `word` in any inflection; 0 if it is not one word."""
        stems = self._stem.analyze(word)
        return int(self._searcher.doc_freq("text", stems[0])) if len(stems) == 1 else 0


def _tied(one: float, other: float) -> bool:
    return round(one, _DIGITS) == round(other, _DIGITS)
