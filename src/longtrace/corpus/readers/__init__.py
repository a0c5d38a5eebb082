"""Readers stream a source as `Document` records, one file a source.

A reader is a function of a path that yields documents in a fixed order, so that an interrupted
build can skip those it already has. To add one: write the file, add a line to `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from longtrace.corpus.readers.factbook import read_factbook
from longtrace.corpus.readers.jsonl import read_jsonl
from longtrace.records import Document

READERS: dict[str, Callable[[Path | None], Iterator[Document]]] = {
    "factbook": read_factbook,
    "jsonl": read_jsonl,
}
