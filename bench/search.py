"""Search latency against bare tantivy on the same index: eight words in a row from a document."""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tantivy
from measure import table

from corpus import SOURCE
from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.stage import Config, run
from longtrace.text import STOP_WORDS, words

K = 10


def latencies(search: Callable[[str], object], queries: list[str]) -> list[float]:
    """Milliseconds of every query."""
    taken = []
    for query in queries:
        began = time.perf_counter()
        search(query)
        taken.append(1e3 * (time.perf_counter() - began))
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=SOURCE)
    parser.add_argument("--queries", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Config(reader="jsonl", path=options.source), Options(run=Path(folder)))
        corpus = Corpus.open(Path(folder, "corpus"))
        index = tantivy.Index.open(str(Path(folder, "corpus", "index")))
        searcher = index.searcher()
        rng = random.Random(0)
        queries = []
        for _ in range(options.queries):
            spoken = words(corpus.text(rng.randrange(len(corpus))))
            start = rng.randrange(max(1, len(spoken) - 8))
            queries.append(" ".join(spoken[start : start + 8]))

        def bare(query: str) -> object:
            parsed, _ = index.parse_query_lenient(query, ["title", "text"])
            hits = searcher.search(parsed, K).hits
            return searcher.fast_field_values("id", [address for _, address in hits])

        def lean(query: str) -> object:
            query = " ".join(word for word in words(query) if word not in STOP_WORDS)
            parsed, _ = index.parse_query_lenient(query, ["title", "text"])
            hits = searcher.search(parsed, K, count=False).hits
            return searcher.fast_field_values("id", [address for _, address in hits])

        latencies(bare, queries[:100])
        taken = [latencies(s, queries) for s in (lambda q: corpus.search(q, K), bare, lean)]
    rows = []
    for other, what in ((1, "as it comes"), (2, "without stop words and counting")):
        for name, pick in (("p50", 50), ("p99", 99)):
            ours, theirs = (statistics.quantiles(taken[i], n=100)[pick - 1] for i in (0, other))
            target = "1.3x" if name == "p50" else ""
            measured = f"{ours:.2f} ms", f"{theirs:.2f} ms", f"{ours / theirs:.2f}x"
            rows.append((f"{name}, tantivy {what}", *measured, target))
    table(f"Search, {options.queries:,} queries of eight words, {K} results", rows)


if __name__ == "__main__":
    main()
