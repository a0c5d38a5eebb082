"""The `corpus` verb: a source into documents, a search index and a link graph.

First the source goes into the store and the index, then one pass over the store makes the graphs.
Both continue where a killed run stopped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from rich.text import Text

from longtrace.config import Config as StageConfig
from longtrace.config import Options, Result
from longtrace.corpus.build import build, remove_parts
from longtrace.corpus.documents import DocumentStore, StoreWriter
from longtrace.corpus.readers import READERS
from longtrace.corpus.readers.base import Item
from longtrace.corpus.search import IndexWriter
from longtrace.errors import InputError, command
from longtrace.parallel import ordered_map, progress
from longtrace.records import content_id
from longtrace.store import Stage

_PROBE_BYTES = 65_536
_PARSED_TOGETHER = 64


class Config(StageConfig):
    """Turn a source into documents, a search index and a link graph."""

    reader: Literal["factbook", "jsonl", "kilt", "mediawiki", "folder", "foldoc"] = "factbook"
    """What the source is; docs/readers has a page for each."""
    path: Path | None = Field(default=None)
    """File or folder to read; the factbook reader finds its own."""
    strict: bool = False
    """Stop at the first record that cannot be used, instead of counting it and going on."""

    def identity(self) -> dict[str, Any]:
        """The resolved values; `strict` changes whether a corpus is made, not which."""
        return self.model_dump(mode="json", exclude={"strict"})


def run(config: Config, options: Options) -> Result:
    """Build the corpus folder of a run."""
    folder = options.run / "corpus"
    if config.path is None and config.reader != "factbook":
        raise InputError(f"--reader {config.reader} needs --path; see docs/readers")
    if config.path is not None and not config.path.exists():
        raise InputError(f"{config.path}: no such file or folder; check --path")
    if options.dry_run:
        return Result({"reader": config.reader}, [f"would read {config.path or config.reader}"])
    identity = {**config.identity(), "limit": options.limit}
    inputs = {"source": _source(config.path)}
    stage = Stage(folder, identity, inputs, fresh=options.fresh, rows=False)
    if not stage.complete:
        _fill(config, options, folder / "documents.sqlite")
        facts = build(folder, options.workers)
        store = DocumentStore(folder / "documents.sqlite")
        for _, reason, _ in store.rejected():
            stage.rejected[reason] += 1
        stage.accepted = len(store)
        stage.finish(**facts)
    remove_parts(folder)
    return _result(config, stage.meta, options.run)


def _source(path: Path | None) -> str:
    """A cheap fingerprint: a file's size, start and end; a folder's file names and sizes."""
    if path is None:
        return ""
    if path.is_dir():
        found = sorted(
            (_printable(Path(folder, name).relative_to(path)), Path(folder, name).stat().st_size)
            for folder, _, names in os.walk(path)
            for name in names
            if Path(folder, name).is_file()
        )
        return content_id(found)
    with path.open("rb") as file:
        start = file.read(_PROBE_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - _PROBE_BYTES))
        return content_id(size, start.hex(), file.read().hex())


def _printable(path: Path) -> str:
    """`path` as text, also where its name is not UTF-8."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def _fill(config: Config, options: Options, path: Path) -> None:
    """Read the source into the store, from where an interrupted run stopped.

    What is read for the first time is indexed as well; the build indexes what is left.
    """
    if path.exists():
        return
    reader = READERS[config.reader]
    writer = StoreWriter(path)
    records = islice(reader.records(config.path), writer.units, options.limit)
    workers = options.workers if reader.heavy else 1
    if workers == 1:
        items: Iterator[Item] = map(reader.parse, records)
    else:
        parser = _Parser(config.reader)
        parsed = ordered_map(parser, _groups(records), workers=workers, setup=_nothing)
        items = (item for group in parsed for item in group)
    index = None if writer.units else IndexWriter(path.with_name("index"), fresh=True)
    writer.fill(_counted("documents", items, writer.units), strict=config.strict, index=index)
    try:
        writer.complete(config.path or Path(config.reader))
    except InputError:
        if index is not None:
            index.discard()
        raise
    if index is not None:
        index.complete()


class _Parser:
    """Parses groups of records in another process."""

    def __init__(self, reader: str) -> None:
        self._reader = reader

    def __call__(self, records: list[object]) -> list[Item]:
        return [*map(READERS[self._reader].parse, records)]


def _nothing() -> None:
    """A parser needs no preparation."""


def _groups(records: Iterator[object]) -> Iterator[list[object]]:
    while group := list(islice(records, _PARSED_TOGETHER)):
        yield group


def _result(config: Config, meta: dict[str, Any], run: Path) -> Result:
    if config.strict and meta["rejected"]:
        where, _, detail = next(DocumentStore(run / "corpus" / "documents.sqlite").rejected())
        raise InputError(f"{where}: {detail}; without --strict such records are left out")
    keys = ("count", "characters", "links", "largest_component")
    lines: list[Text] = [
        Text(f"{meta['count']:,} documents, {meta['characters']:,} characters"),
        Text(
            f"{meta['links']:,} links from {meta['links_from']} "
            f"({meta['links_unresolved']:,} to documents that are not there), "
            f"largest strongly connected component {meta['largest_component']:,}"
        ),
    ]
    if "names_left_out" in meta:
        out = meta["names_left_out"]
        lines.append(
            Text(
                f"names not linked: {out['ambiguous']:,} that several documents share, "
                f"{out['common_words']:,} that are common words"
            )
        )
    if meta["rejected"]:
        lines += _rejections(meta["rejected"], run)
    shown = {key: meta[key] for key in keys}
    return Result(
        {**shown, "rejected": meta["rejected"]},
        lines,
        run / "corpus",
        command("questions", run),
    )


def _rejections(rejected: dict[str, int], run: Path) -> Iterator[Text]:
    """One line a reason, with the first record it was found at."""
    first: dict[str, str] = {}
    for where, reason, detail in DocumentStore(run / "corpus" / "documents.sqlite").rejected():
        first.setdefault(reason, f"{where}: {detail}")
        if len(first) == len(rejected):
            break
    for reason, count in rejected.items():
        yield Text(f"warning: left out {count:,}: {reason} (first: {first[reason]})", "yellow")


def _counted(label: str, items: Iterator[Item], done: int) -> Iterator[Item]:
    """`items`, with a progress bar."""
    with progress(label, None) as advance_to:
        for number, item in enumerate(items, done + 1):
            yield item
            advance_to(number)
