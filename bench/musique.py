"""Do search and checks agree with people? MuSiQue's chains against our index and our proxies.

MuSiQue says which paragraphs a question rests on. Three figures, each beside that truth: the share
of supporting paragraphs that a search finds; whether the answer stands in the supporting paragraphs
alone (gold-only, with an exact-match reader); and whether taking a paragraph away breaks the chain
(hop necessity). The proxy reader solves a step if some paragraph holds the step's answer and half
of the telling words of the step's question.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from longtrace.corpus.search import SearchIndex
from longtrace.questions.clues import STOP
from longtrace.questions.musique import paragraph_id, steps
from longtrace.text import names, words

DATA = Path(__file__).parent.parent / "../shared/data/qa"
DEPTHS = (5, 10, 20)
HALF = 0.5


def main() -> None:
    """Print the figures as Markdown tables."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    if not (folder / "musique_100.json").is_file():
        sys.stdout.write(f"skipped: no musique_100.json in {folder.name}/; give its folder\n")
        return
    rows = json.loads((folder / "musique_100.json").read_text(encoding="utf-8"))
    with gzip.open(folder / "musique_corpus.json.gz") as file:
        corpus = json.load(file)
    sys.stdout.write(f"### MuSiQue: {len(rows)} questions, {len(corpus)} paragraphs\n\n")
    for line in (*search_table(rows, corpus), "", *check_table(rows)):
        sys.stdout.write(line + "\n")


def search_table(rows: Sequence[Any], corpus: Sequence[Any]) -> Iterator[str]:
    """Share of supporting paragraphs found, and of questions with all of them found."""
    index = SearchIndex.build(
        ((n, row["title"], row["text"]) for n, row in enumerate(corpus)), None
    )
    place = {paragraph_id(row["title"], row["text"]): n for n, row in enumerate(corpus)}
    yield "| query | " + " | ".join(f"found in {k} | all in {k}" for k in DEPTHS) + " |"
    yield "|---|" + "---|" * (2 * len(DEPTHS))
    for name in ("the whole question", "each step, earlier answers filled in"):
        shares = []
        for depth in DEPTHS:
            hits = [_found(row, index, place, depth, by_step="step" in name) for row in rows]
            flat = [hit for row in hits for hit in row]
            shares += [_share(flat), _share([all(row) for row in hits])]
        yield f"| {name} | " + " | ".join(shares) + " |"


def _found(
    row: Any, index: SearchIndex, place: dict[str, int], k: int, *, by_step: bool
) -> list[bool]:
    hits = []
    for question, _, paragraph in steps(row):
        wanted = place.get(paragraph_id(paragraph["title"], paragraph["paragraph_text"]))
        hits.append(wanted in index.search(question if by_step else row["question"], k))
    return hits


def check_table(rows: Sequence[Any]) -> Iterator[str]:
    """Gold-only and hop necessity of the proxy reader, beside the published supporting facts."""
    gold, solved, needed, useless, broken = [], [], [], [], []
    for row in rows:
        support = [p for p in row["paragraphs"] if p["is_supporting"]]
        gold.append(any(names(_text(p), row["answer"]) for p in support))
        solved.append(solves(row, support))
        if not solved[-1]:
            continue
        needed += [not solves(row, _less(support, p)) for p in support]
        whole = row["paragraphs"]
        broken += [not solves(row, _less(whole, p)) for p in support]
        useless += [not solves(row, _less(whole, p)) for p in whole if not p["is_supporting"]]
    yield "| check with the proxy reader | agrees with the published facts |"
    yield "|---|---|"
    yield f"| gold-only: answer in the supporting paragraphs | {_share(gold)} of questions |"
    yield f"| gold-only: every step solved from them | {_share(solved)} of questions |"
    yield f"| necessity: without one of them alone, not solved | {_share(needed)} of hops |"
    yield f"| the same with the 18 or so other paragraphs left in | {_share(broken)} of hops |"
    yield f"| another paragraph is called needed | {_share(useless)}, want 0 |"


def solves(row: Any, paragraphs: Sequence[Any]) -> bool:
    """Whether every step has a paragraph that holds its answer and speaks of its question."""
    return all(
        any(_speaks(_text(p), question, answer) for p in paragraphs)
        for question, answer, _ in steps(row)
    )


def _speaks(text: str, question: str, answer: str) -> bool:
    if not names(text, answer):
        return False
    wanted = {word for word in words(question) if word not in STOP and len(word) > 2}
    return len(wanted & set(words(text))) >= HALF * len(wanted)


def _text(paragraph: Any) -> str:
    return f"{paragraph['title']}\n{paragraph['paragraph_text']}"


def _less(paragraphs: Sequence[Any], one: Any) -> list[Any]:
    return [p for p in paragraphs if p["idx"] != one["idx"]]


def _share(found: Sequence[bool]) -> str:
    return f"{sum(found) / max(1, len(found)):.1%} ({sum(found)}/{len(found)})"


if __name__ == "__main__":
    main()
