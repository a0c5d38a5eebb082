"""From a complete store to the graphs, in one pass over the documents.

Processes look for names and resolve links in ranges of documents. After every shard the graph's
part is written, so that a killed build continues with the shard it was in. What a range yields
depends on its documents and the names alone, hence the result does not depend on the number of
processes. The search index is made while the store is filled; where that was interrupted, the rest
is indexed here.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from longtrace.corpus.documents import DocumentStore, Row
from longtrace.corpus.hashes import Hashes, Roller, hash_strings, places
from longtrace.corpus.links import Graph, largest_component, save_graph
from longtrace.corpus.names import NameScanner, NameTable, Pairs, build_names, common, pairs
from longtrace.corpus.search import COMMIT_AFTER, IndexWriter
from longtrace.parallel import ordered_map, progress
from longtrace.text import surface

SHARD = 50_000
"""Documents between two points from which a killed build continues."""
RANGE = 128
"""Documents that one process takes at a time."""
_STORE = "documents.sqlite"
_PARTS = "parts"


class Scan(NamedTuple):
    """What one pass over a range of documents, or a shard, yields."""

    mentions: Pairs
    """[., 2] (document, document named in it)."""
    links: Pairs
    """[., 2] (document, document it links to) or, without hyperlinks, (document, name)."""
    spoken: Pairs
    """[., 3] (name, occurrences, those in small letters); empty with hyperlinks."""
    counts: Pairs
    """[2] characters, links that lead nowhere."""
    digest: npt.NDArray[np.uint8]
    """[32] hash of the documents."""


def build(folder: Path, workers: int) -> dict[str, Any]:
    """Make the index and the graphs beside the store in `folder`; what `meta.json` says of them."""
    store = DocumentStore(folder / _STORE)
    parts = folder / _PARTS
    if not (parts / "ready").is_file():
        _prepare(store, parts)
    _index_rest(store, folder / "index")
    _scan_all(store, folder, workers)
    return _finish(store, folder)


def _prepare(store: DocumentStore, parts: Path) -> None:
    """Write the tables of names and keys that the scan looks things up in."""
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir()
    table, ambiguous = build_names(
        (surface(title), *aliases) for _, _, title, aliases in store.names()
    )
    table.save(parts)
    np.save(parts / "ambiguous.npy", ambiguous)
    hashes, ids = _keys(store)
    np.save(parts / "key_hashes.npy", hashes)
    np.save(parts / "key_ids.npy", ids)
    (parts / "ready").touch()


def _keys(store: DocumentStore) -> tuple[Hashes, npt.NDArray[np.int32]]:
    """Sorted hashes of what links may name, and the document of each; keys win over redirects."""
    roller = Roller()
    hashes = [np.zeros(0, np.uint64)]
    ids = [np.zeros(0, np.int32)]
    for source in (((key, doc) for doc, key, _, _ in store.names()), store.redirects()):
        for batch in _batches(source, SHARD):
            hashes.append(hash_strings([name for name, _ in batch], roller))
            ids.append(np.array([doc for _, doc in batch], np.int32))
    unique, first = np.unique(np.concatenate(hashes), return_index=True)
    return unique, np.concatenate(ids)[first]


def _batches(items: Iterator[tuple[str, int]], size: int) -> Iterator[list[tuple[str, int]]]:
    batch: list[tuple[str, int]] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _index_rest(store: DocumentStore, index: Path) -> None:
    """Index the documents that were not indexed when the store was filled."""
    if index.exists():
        return
    writer = IndexWriter(index)
    with progress("index", len(store)) as advance_to:
        for row in store.rows(writer.committed, len(store)):
            writer.add(row.doc, row.title, row.text)
            writer.commit(least=COMMIT_AFTER)
            advance_to(row.doc + 1)
    writer.complete()


def _scan_all(store: DocumentStore, folder: Path, workers: int) -> None:
    """Write the graphs' parts, from the first shard that is not done."""
    parts = folder / _PARTS
    shards = range(0, len(store), SHARD)
    done = len(list(parts.glob("shard-*.npz")))
    todo = [
        (start, min(start + RANGE, shard + SHARD, len(store)))
        for shard in shards[done:]
        for start in range(shard, min(shard + SHARD, len(store)), RANGE)
    ]
    scans = ordered_map(
        partial(scan, folder),
        todo,
        workers=min(workers, max(1, len(todo) // 2)),
        setup=_tables.cache_clear,
    )
    shard: list[Scan] = []
    with progress("links", len(store)) as advance_to:
        for (_, stop), made in zip(todo, scans, strict=True):
            shard.append(made)
            advance_to(stop)
            if stop % SHARD == 0 or stop == len(store):
                _save_shard(parts, (stop - 1) // SHARD, shard)
                shard = []


class _Tables(NamedTuple):
    """What a process looks things up in."""

    store: DocumentStore
    scanner: NameScanner
    key_hashes: Hashes
    key_ids: npt.NDArray[np.int32]
    roller: Roller


@lru_cache(maxsize=1)
def _tables(folder: Path) -> _Tables:
    """The tables of a corpus folder, opened once in each process."""
    parts = folder / _PARTS
    return _Tables(
        DocumentStore(folder / _STORE),
        NameScanner(NameTable.load(parts)),
        np.load(parts / "key_hashes.npy", mmap_mode="r"),
        np.load(parts / "key_ids.npy", mmap_mode="r"),
        Roller(),
    )


def scan(folder: Path, span: tuple[int, int]) -> Scan:
    """What documents start .. stop - 1 of the store in `folder` mention and link to."""
    tables = _tables(folder)
    start, stop = span
    rows = list(tables.store.rows(start, stop))
    linked = tables.store.linked
    texts = [f"{row.title}\n\n{row.text}" for row in rows]
    mentions, named = tables.scanner.scan(texts, links=not linked)
    unresolved = 0
    if linked:
        named, unresolved = _resolve(tables, rows)
    for found in (mentions, named):
        found[:, 0] += start
    digest = hashlib.sha256()
    for row in rows:
        for part in (
            row.key.encode("utf-8", "replace"),
            row.title.encode("utf-8", "replace"),
            row.raw,
        ):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return Scan(
        mentions=mentions,
        links=named,
        spoken=np.zeros((0, 3), np.int64) if linked else tables.scanner.spoken(texts),
        counts=np.array([sum(len(row.text) for row in rows), unresolved], np.int64),
        digest=np.frombuffer(digest.digest(), np.uint8),
    )


def _resolve(tables: _Tables, rows: list[Row]) -> tuple[Pairs, int]:
    """(row, target) for every hyperlink to another document, and how many lead nowhere."""
    many = [len(row.targets) for row in rows]
    hashes = hash_strings([target for row in rows for target in row.targets], tables.roller)
    at = places(tables.key_hashes, hashes)
    of = np.repeat(np.arange(len(rows)), many)[at >= 0]
    target = tables.key_ids[at[at >= 0]].astype(np.int64)
    other = target != of + (rows[0].doc if rows else 0)
    return pairs(of[other], target[other]), int((at < 0).sum())


def _save_shard(parts: Path, number: int, scans: list[Scan]) -> None:
    """Write the scans of a shard as one file."""
    joined = [np.concatenate(column) for column in zip(*scans, strict=True)]
    whole = Scan(*joined)._replace(
        spoken=_summed(joined[2]),
        counts=np.sum([scan.counts for scan in scans], axis=0),
        digest=np.frombuffer(hashlib.sha256(joined[4].tobytes()).digest(), np.uint8),
    )
    fields = {
        name: array.astype(np.int32) if name in ("mentions", "links") else array
        for name, array in whole._asdict().items()
    }
    unfinished = parts / "unfinished.npz"
    np.savez(unfinished, **fields)
    unfinished.rename(parts / f"shard-{number:05}.npz")


def _summed(spoken: Pairs) -> Pairs:
    """[., 3] one row a name."""
    names, inverse = np.unique(spoken[:, 0], return_inverse=True)
    sums = [np.bincount(inverse, spoken[:, c], len(names)).astype(np.int64) for c in (1, 2)]
    return np.stack((names, *sums), axis=1)


def _finish(store: DocumentStore, folder: Path) -> dict[str, Any]:
    """Join the parts into the graphs, remove them, and sum up."""
    parts = folder / _PARTS
    shards = sorted(parts.glob("shard-*.npz"))
    n = len(store)
    facts: dict[str, Any] = {}
    links: list[Callable[[], Pairs]] = [partial(_column, shard, "links") for shard in shards]
    if not store.linked:
        links, facts["names_left_out"] = _links_by_name(parts, shards)
    save_graph(folder, "links", n, links)
    save_graph(folder, "mentions", n, [partial(_column, shard, "mentions") for shard in shards])
    mentioned = np.zeros(n, np.int64)
    for shard in shards:
        mentioned += np.bincount(_column(shard, "mentions")[:, 1], minlength=n)
    np.save(folder / "mention_counts.npy", mentioned)
    ambiguous = np.load(parts / "ambiguous.npy")
    np.save(folder / "ambiguous.npy", ambiguous)
    characters, unresolved = np.sum([_column(shard, "counts") for shard in shards], axis=0).tolist()
    digests = b"".join(_column(shard, "digest").tobytes() for shard in shards)
    graph = Graph.load(folder, "links")
    return {
        "characters": characters,
        "links": len(graph.targets),
        "links_unresolved": unresolved,
        "links_from": "hyperlinks" if store.linked else "names",
        "ambiguous": int(ambiguous.sum()),
        "largest_component": largest_component(graph),
        "content": hashlib.sha256(digests).hexdigest()[:16],
        **facts,
    }


def remove_parts(folder: Path) -> None:
    """Delete what only an unfinished build needs."""
    shutil.rmtree(folder / _PARTS, ignore_errors=True)


def _column(shard: Path, name: str) -> Pairs:
    with np.load(shard) as arrays:
        column: Pairs = (
            arrays[name].astype(np.int64, copy=False) if name != "digest" else arrays[name]
        )
    return column


def _links_by_name(
    parts: Path, shards: list[Path]
) -> tuple[list[Callable[[], Pairs]], dict[str, int]]:
    """The parts of a link graph made of names, and how many names are left out of it for what."""
    table = NameTable.load(parts)
    spoken = np.zeros((len(table.hashes), 2), np.int64)
    for shard in shards:
        rows = _column(shard, "spoken")
        spoken[rows[:, 0]] += rows[:, 1:]
    ordinary = common(table, spoken)
    shared = np.diff(table.first) > 1
    left_out = {"ambiguous": int(shared.sum()), "common_words": int((ordinary & ~shared).sum())}

    def part(shard: Path) -> Pairs:
        doc, name = _column(shard, "links").T
        kept = ~ordinary[name]
        target = table.owners[table.first[name[kept]]].astype(np.int64)
        other = target != doc[kept]
        return pairs(doc[kept][other], target[other])

    return [partial(part, shard) for shard in shards], left_out
