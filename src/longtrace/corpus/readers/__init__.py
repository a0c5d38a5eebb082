"""Readers stream a source as documents, one file a source; `base` says what they share.

To add one: write the file, add a line to `READERS` and a page below `docs/readers/`.
"""

from __future__ import annotations

from longtrace.corpus.readers.base import Reader
from longtrace.corpus.readers.factbook import FACTBOOK
from longtrace.corpus.readers.folder import FOLDER
from longtrace.corpus.readers.foldoc import FOLDOC
from longtrace.corpus.readers.jsonl import JSONL
from longtrace.corpus.readers.kilt import KILT
from longtrace.corpus.readers.mediawiki import MEDIAWIKI

READERS: dict[str, Reader] = {
    "factbook": FACTBOOK,
    "jsonl": JSONL,
    "kilt": KILT,
    "mediawiki": MEDIAWIKI,
    "folder": FOLDER,
    "foldoc": FOLDOC,
}
