"""The `corpus` verb: a source into documents, a search index and a link graph.

Three steps, each written to a partial name and renamed when whole, so that a killed build
continues with the first step that is missing: the store, the index, the graphs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from longtrace.config import Config as StageConfig
from longtrace.config import Options, Result
from longtrace.corpus.documents import DocumentStore, build_store
from longtrace.corpus.links import Graph, NameScanner, build_graph, largest_component
from longtrace.corpus.readers import READERS
from longtrace.corpus.search import SearchIndex
from longtrace.errors import InputError
from longtrace.parallel import progress
from longtrace.records import Document, content_id
from longtrace.store import Stage
from longtrace.text import normalise_name, surface

MIN_NAME_LETTERS = 4
_PROBE_BYTES = 65_536


class Config(StageConfig):
    """Turn a source into documents, a search index and a link graph."""

    reader: Literal["factbook", "jsonl"] = "factbook"
    """What the source is: the installed CIA World Factbook, or a file of JSON rows."""
    path: Path | None = Field(default=None)
    """File or folder to read; the factbook reader finds its own."""


def run(config: Config, options: Options) -> Result:
    """Build the corpus folder of a run."""
    folder = options.run / "corpus"
    if config.path is not None and not config.path.exists():
        raise InputError(f"{config.path}: no such file or folder; check --path")
    if options.dry_run:
        return Result({"reader": config.reader}, [f"would read {config.path or config.reader}"])
    identity = {**config.identity(), "limit": options.limit}
    inputs = {"source": _source(config.path)}
    stage = Stage(folder, identity, inputs, fresh=options.fresh, rows=False)
    if not stage.complete:
        _build(config, options, folder)
        store = DocumentStore(folder / "documents.sqlite")
        stage.finish(**_summary(folder, store))
    return _result(stage.meta, options.run)


def names_of(document: Document) -> tuple[str, ...]:
    """The names under which a document's subject is looked for: its surface and its aliases."""
    return (surface(document.title), *document.aliases)


def _source(path: Path | None) -> str:
    """A cheap fingerprint of the source file: its size, start and end."""
    if path is None or path.is_dir():
        return ""
    with path.open("rb") as file:
        start = file.read(_PROBE_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - _PROBE_BYTES))
        return content_id(size, start.hex(), file.read().hex())


def _build(config: Config, options: Options, folder: Path) -> None:
    documents = islice(READERS[config.reader](config.path), options.limit)
    build_store(_counted("documents", documents), folder / "documents.sqlite")
    store = DocumentStore(folder / "documents.sqlite")
    if len(store) == 0:
        raise InputError(f"{config.path or config.reader}: no documents with text; check --path")
    if not (folder / "index").exists():
        rows = ((i, d.title, d.text) for i, d in enumerate(_counted("index", store, len(store))))
        SearchIndex.build(rows, folder / "index")
    _build_graphs(store, folder)


def _build_graphs(store: DocumentStore, folder: Path) -> None:
    """Write `links`, `mentions`, `mention_counts` and `ambiguous`."""
    names = [names_of(document) for document in store]
    scanner = NameScanner(names)
    links: list[list[int]] = []
    mentions: list[list[int]] = []
    hyperlinked = any(document.links is not None for document in store)
    for document in _counted("links", store, len(store)):
        text = f"{document.title}\n\n{document.text}"
        mentions.append([*scanner.mentioned(text)])
        if hyperlinked:
            found = (store.find(link.target) for link in document.links or ())
            links.append([target for target in found if target is not None])
        else:
            links.append([*scanner.linked(text)])
    build_graph(links).save(folder, "links")
    build_graph(mentions, loops=True).save(folder, "mentions")
    counts = np.bincount(Graph.load(folder, "mentions").targets, minlength=len(names))
    np.save(folder / "mention_counts.npy", counts)
    np.save(folder / "ambiguous.npy", _ambiguous([forms[0] for forms in names]))


def _ambiguous(names: list[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether a name is shared with another document, a number, or too short to stand for one."""
    needles = [normalise_name(name) for name in names]
    shared = Counter(needles)
    return np.array(
        [
            shared[needle] > 1 or len(needle.strip()) < MIN_NAME_LETTERS or needle.strip().isdigit()
            for needle in needles
        ]
    )


def _summary(folder: Path, store: DocumentStore) -> dict[str, object]:
    graph = Graph.load(folder, "links")
    rejected = Counter(reason for _, _, reason in store.rejected())
    unresolved = characters = 0
    digest = ""
    for document in store:
        characters += len(document.text)
        digest = content_id(digest, document.model_dump(mode="json"))
        unresolved += sum(store.find(link.target) is None for link in document.links or ())
    return {
        "count": len(store),
        "rejected": dict(sorted(rejected.items())),
        "characters": characters,
        "links": len(graph.targets),
        "links_unresolved": unresolved,
        "largest_component": largest_component(graph),
        "content": digest,
    }


def _result(meta: dict[str, int], run: Path) -> Result:
    shown = {k: meta[k] for k in ("count", "characters", "links", "largest_component")}
    lines = [
        f"{meta['count']:,} documents, {meta['characters']:,} characters",
        f"{meta['links']:,} links ({meta['links_unresolved']:,} to documents that are not there), "
        f"largest strongly connected component {meta['largest_component']:,}",
    ]
    if meta["rejected"]:
        lines.append(f"left out: {meta['rejected']}")
    return Result(
        {**shown, "rejected": meta["rejected"]},
        lines,
        run / "corpus",
        f"longtrace questions --run {run}",
    )


def _counted(
    label: str, documents: Iterator[Document] | DocumentStore, total: int | None = None
) -> Iterator[Document]:
    """`documents`, with a progress bar."""
    with progress(label, total) as advance_to:
        for number, document in enumerate(documents, 1):
            yield document
            advance_to(number)
