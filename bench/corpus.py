"""Corpus build of a JSONL file against the sum of its parts done barely.

Bare: decompress and parse the rows; compress the texts with zstd and insert them into SQLite;
index them with tantivy. Ours makes the same and the link graph, the mention graph and their counts.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import tantivy
import zstandard
from measure import Usage, command, table, timed

from longtrace.corpus.readers.base import open_bytes

SOURCE = Path(__file__).parents[2] / "shared/data/corpus/wikispeedia.jsonl.xz"


def parse(source: Path) -> list[dict[str, Any]]:
    """All rows of the source."""
    with open_bytes(source) as lines:
        return [orjson.loads(line) for line in lines]


def store(rows: list[dict[str, Any]], path: Path) -> None:
    """Compress and insert."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE d (id INTEGER PRIMARY KEY, key TEXT UNIQUE, body BLOB)")
    pack = zstandard.ZstdCompressor(level=3).compress
    with connection:
        made = ((i, row["id"], pack(row["text"].encode())) for i, row in enumerate(rows))
        connection.executemany("INSERT INTO d VALUES (?, ?, ?)", made)
    connection.close()


def index(rows: list[dict[str, Any]], folder: Path) -> None:
    """Index titles and texts without storing them."""
    schema = tantivy.SchemaBuilder()
    for name in ("title", "text"):
        schema.add_text_field(name, stored=False, tokenizer_name="en_stem", index_option="freq")
    folder.mkdir()
    writer = tantivy.Index(schema.build(), path=str(folder)).writer(128_000_000, 1)
    for row in rows:
        writer.add_document(tantivy.Document(title=row["title"], text=row["text"]))
    writer.commit()
    writer.wait_merging_threads()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=SOURCE)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = parse(options.source)
    with tempfile.TemporaryDirectory() as folder:
        made = 0

        def fresh() -> Path:
            nonlocal made
            made += 1
            return Path(folder, str(made))

        argv = ["corpus", "--reader", "jsonl", "--path", options.source]
        times: list[list[tuple[float, float]]] = [[], [], []]
        runs = []
        for _ in range(options.repeats):  # in turn, so that all meet the same load
            times[0].append(timed(lambda: parse(options.source), repeats=1))
            times[1].append(timed(lambda: store(rows, fresh()), repeats=1))
            times[2].append(timed(lambda: index(rows, fresh()), repeats=1))
            runs.append(command([*argv, "--run", fresh()]))
    bare = [[median(column) for column in zip(*part, strict=True)] for part in times]
    used = Usage(*map(median, zip(*runs, strict=True)))
    wall, cpu = (sum(part[i] for part in bare) for i in (0, 1))
    parts = ", ".join(f"{part[1]:.1f}" for part in bare)
    table(
        f"Corpus build, {len(rows):,} documents",
        [
            ("wall", f"{used.wall_s:.1f} s", f"{wall:.1f} s", f"{used.wall_s / wall:.2f}x", "1.5x"),
            (
                "CPU of all processes",
                f"{used.cpu_s:.1f} s",
                f"{cpu:.1f} s (parse, store, index: {parts})",
                f"{used.cpu_s / cpu:.2f}x",
                "1.5x",
            ),
            ("peak memory", f"{used.peak_bytes / 1e6:,.0f} MB", "", "", ""),
        ],
    )


if __name__ == "__main__":
    main()
