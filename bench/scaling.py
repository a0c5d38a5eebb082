"""Corpus build on more and more synthetic documents: does one cost the same, is memory flat?

The documents have 157 words drawn by Zipf's law, two-word titles and 20 links to others, and name
three others in their text.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import orjson
from measure import command, table

WORDS = 60_000
DOC_WORDS = 157
LINKS = 20
NAMED = 3
KILT_DOCUMENTS = 5_903_530
KILT_BYTES = 13e9
_BATCH = 10_000


def write(path: Path, documents: int, seed: int = 0) -> int:
    """Write a corpus; its size in bytes."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(
        ["".join(rng.choice(letters, n)) for n in rng.integers(3, 10, WORDS)], dtype=object
    )
    weights = 1 / np.arange(1, WORDS + 1)
    cumulative = np.cumsum(weights) / weights.sum()
    pair = rng.integers(0, WORDS, (documents, 2))
    titles = [f"{a} {b}".title() for a, b in zip(words[pair[:, 0]], words[pair[:, 1]], strict=True)]
    with path.open("wb") as file:
        for start in range(0, documents, _BATCH):
            n = min(_BATCH, documents - start)
            drawn = words[np.searchsorted(cumulative, rng.random((n, DOC_WORDS)))]
            popular = (documents * rng.random((n, LINKS)) ** 3).astype(int)
            named = (documents * rng.random((n, NAMED)) ** 3).astype(int)
            for i in range(n):
                text = " ".join(drawn[i])
                mentions = ". ".join(titles[k] for k in named[i])
                row = {
                    "id": str(start + i),
                    "title": titles[start + i],
                    "text": f"{text}. {mentions}.",
                    "links": [str(k) for k in popular[i]],
                }
                file.write(orjson.dumps(row) + b"\n")
    return path.stat().st_size


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, nargs="+", default=[100_000, 1_000_000])
    sizes = parser.parse_args().documents
    rows: list[tuple[str, str, str, str, str]] = []
    costs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for documents in sizes:
            source = Path(folder, "source.jsonl")
            size = write(source, documents)
            run = Path(folder, f"run-{documents}")
            source_and_run: tuple[str | Path, ...] = ("--path", source, "--run", run)
            used = command(["corpus", "--reader", "jsonl", *source_and_run])
            costs.append(used.cpu_s / documents * 1e6)
            ratio = f"{costs[-1] / costs[0]:.2f}x" if len(costs) > 1 else ""
            rows.append(
                (
                    f"{documents:,} documents, {size / 1e6:,.0f} MB",
                    f"{costs[-1]:.0f} us CPU a document, {used.wall_s:.0f} s wall",
                    f"{costs[0]:.0f} us at {sizes[0]:,}",
                    ratio,
                    "1.15x",
                )
            )
            peak = f"{used.peak_bytes / 1e9:.2f} GB"
            rows.append((f"{documents:,} documents, peak memory", peak, "", "", "1.5 GB"))
        per_byte = costs[-1] * sizes[-1] / size
    cpu_s = per_byte * KILT_BYTES / 1e6
    rows.append(("KILT, extrapolated by bytes of text", f"{cpu_s / 60:.0f} min CPU", "", "", ""))
    table("Corpus build, synthetic", rows)


if __name__ == "__main__":
    main()
