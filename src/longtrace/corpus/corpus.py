"""The read side of a complete `corpus/` folder: documents, search, links, one integer id."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import numpy.typing as npt

from longtrace.corpus.documents import DocumentStore
from longtrace.corpus.links import Graph
from longtrace.corpus.search import SearchIndex
from longtrace.errors import RunFolderError, command
from longtrace.records import Document
from longtrace.text import surface


class Corpus:
    """Documents 0 .. n - 1 with their search index and graphs. Open one per process.

    Attributes:
        links: document -> documents it links to (by name where the source has no hyperlinks).
        mentions: document -> documents whose name or alias stands in its title or text, itself too.
        mention_counts: [n] documents that mention each document.
        ambiguous: [n] whether a document's name is shared, a number, or at most three letters long.
    """

    def __init__(self, folder: Path) -> None:
        self._store = DocumentStore(folder / "documents.sqlite")
        self._index = SearchIndex.open(folder / "index")
        self.links = Graph.load(folder, "links")
        self.mentions = Graph.load(folder, "mentions")
        self.mention_counts: npt.NDArray[np.int64] = np.load(folder / "mention_counts.npy")
        self.ambiguous: npt.NDArray[np.bool_] = np.load(folder / "ambiguous.npy")

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """The corpus in `folder`.

        Raises:
            RunFolderError: the corpus stage has not been completed there.
        """
        if not (folder / "meta.json").is_file():
            raise RunFolderError(
                f"{folder}: no complete corpus; run `{command('corpus', folder.parent)}` first"
            )
        try:
            return cls(folder)
        except (OSError, ValueError, sqlite3.DatabaseError) as error:
            raise RunFolderError(
                f"{folder}: damaged ({error}); run `{command('corpus', folder.parent, '--fresh')}`"
            ) from None

    def __len__(self) -> int:
        return len(self._store)

    def id(self, key: str) -> int:
        """Id of the document with `key`; InputError if there is none."""
        return self._store.id(key)

    def find(self, key: str) -> int | None:
        """Id of the document with `key`; None if there is none."""
        return self._store.find(key)

    def document(self, key: str) -> Document:
        """The document with `key`; InputError if there is none."""
        return self._store.document(self._store.id(key))

    def key(self, doc: int) -> str:
        """Key of document `doc`."""
        return self._store.document(doc).key

    def title(self, doc: int) -> str:
        """Title of document `doc`, as in the source."""
        return self._store.document(doc).title

    def name(self, doc: int) -> str:
        """Name of document `doc`'s subject: its title without a trailing parenthesis."""
        return surface(self.title(doc))

    def aliases(self, doc: int) -> tuple[str, ...]:
        """Other names of document `doc`'s subject."""
        return self._store.document(doc).aliases

    def text(self, doc: int) -> str:
        """Text of document `doc`."""
        return self._store.document(doc).text

    def search(self, query: str, k: int) -> list[int]:
        """Ids of the best `k` documents for any words of `query`, best first; [] for no words."""
        return self._index.search(query, k)

    def document_frequency(self, word: str) -> int:
        """Documents whose text holds `word` in any inflection."""
        return self._index.document_frequency(word)
