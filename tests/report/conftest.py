"""A small run folder made with the real records, and a document that would do harm if it could."""

from __future__ import annotations

from pathlib import Path
from random import Random

import orjson
import pytest

from longtrace.config import Options
from longtrace.corpus.stage import Config as CorpusConfig
from longtrace.corpus.stage import run as corpus
from longtrace.records import (
    Answer,
    Context,
    Hop,
    Open,
    Passage,
    Question,
    Search,
    Tier,
    Trajectory,
)
from longtrace.store import Stage, write_json

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> \"quoted\" 'single' 🦉 "
    "\u202eמלך\u2028 {{ 7 * 7 }} </script><!--"
)
"""Title of document 0 and part of the first question: markup, template syntax, right-to-left."""
DOCUMENTS = 40
STRATEGIES = ("random", "search", "trajectory-random", "tiered")


def key(number: int) -> str:
    return f"d{number}"


def title(number: int) -> str:
    return HOSTILE if number == 0 else f"Lake Number{number}"


def make_corpus(run: Path) -> None:
    rows = [
        {
            "id": key(n),
            "title": title(n),
            "text": f"{title(n)} is a lake. It flows into {title((n + 1) % DOCUMENTS)} in spring.",
            "links": [key((n + 1) % DOCUMENTS)],
        }
        for n in range(DOCUMENTS)
    ]
    source = run / "source.jsonl"
    source.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    corpus(CorpusConfig(reader="jsonl", path=source), Options(run=run, workers=1))


def question(number: int) -> Question:
    docs = [(number + step) % DOCUMENTS for step in range(3)]
    hops = tuple(
        Hop(
            doc=key(doc),
            entity=title(doc),
            evidence=(f"In spring {title(doc)} flows into {title(doc + 1)}, they say.",),
        )
        for doc in docs
    )
    mark = HOSTILE if number == 0 else "a quiet lake"
    text = f"Question {number}: which lake is fed by the one that {mark} feeds?"
    clues = ("one", "two", "three")
    return Question(
        id=f"q{number}",
        text=text,
        answer=title(docs[-1] + 1),
        hops=hops,
        clues=clues,
        writer="test",
    )


def trajectory(asked: Question, attempt: int) -> Trajectory:
    gold = [hop.doc for hop in asked.hops]
    right = attempt == 0 and asked.id != "q3"
    listed = [*gold, *(key(n) for n in range(10, 20))]
    steps = (
        Search(
            query=f"lake {HOSTILE}" if asked.id == "q0" else "lake spring", results=tuple(listed)
        ),
        *(Open(doc=doc) for doc in listed[:6]),
        Search(query="next", results=tuple(listed[::-1])),
        Open(doc="no such document", found=False),
        Answer(text=asked.answer if right else "Atlantis", cited=(*gold, key(12))),
    )
    return Trajectory(
        question_id=asked.id,
        attempt=attempt,
        steps=steps if attempt < 2 else steps[:-1],
        stop="answered" if attempt < 2 else "gave_up",
        model="offline",
        correct=right if attempt < 2 else False,
    )


def context(asked: Question, strategy: str) -> Context:
    gold = [Passage(doc=hop.doc, tier=Tier.GOLD, tokens=300) for hop in asked.hops]
    tiers = (Tier.READ, Tier.SEEN) if "t" in strategy[:1] else (Tier.FILLER,)
    others = [
        Passage(
            doc=key(10 + n),
            tier=tiers[n % len(tiers)],
            tokens=100 + 40 * n,
            chars=50 if n == 8 else None,
        )
        for n in range(9)
    ]
    passages = [*gold, *others]
    Random(asked.id).shuffle(passages)
    return Context(
        id=f"{asked.id}-{strategy}",
        question_id=asked.id,
        passages=tuple(passages),
        tokens=sum(p.tokens for p in passages) + 40,
        budget_tokens=4000,
        tokenizer="t",
        strategy=strategy,
        seed=0,
    )


@pytest.fixture(scope="session")
def empty_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which only the corpus is complete."""
    run = tmp_path_factory.mktemp("runs") / "corpus only"
    run.mkdir(parents=True)
    make_corpus(run)
    return run


@pytest.fixture(scope="session")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every stage the report reads."""
    run = tmp_path_factory.mktemp("runs") / "a <b>run & more"
    run.mkdir(parents=True)
    make_corpus(run)
    asked = [question(n) for n in range(5)]
    with Stage(run / "questions", {"hops": 2, "seed": 0}, {}) as stage:
        for row in asked:
            stage.accept(row)
        for n in range(3):
            stage.reject(n, "dead walk")
        stage.reject(3, "leaked <b>title</b>")
        stage.finish()
    with Stage(run / "trajectories", {"attempts": 3}, {}) as stage:
        for row in asked:
            for attempt in range(3):
                stage.accept(trajectory(row, attempt))
        stage.finish()
    for strategy in STRATEGIES:
        with Stage(run / "contexts" / strategy, {"strategy": strategy}, {}) as stage:
            for row in asked:
                if row.id == "q3":
                    stage.reject(row.id, "never solved")
                else:
                    stage.accept(context(row, strategy))
            stage.finish()
    write_json(run / "contexts" / "meta.json", {"config": {"budget_tokens": 4000}})
    return run
