"""A small run folder made with the real records, and a document that would do harm if it could."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import orjson
import pytest

from longtrace.config import Options
from longtrace.contexts.export import Config as ExportConfig
from longtrace.contexts.export import run as export
from longtrace.contexts.stage import Config as ContextsConfig
from longtrace.contexts.stage import run as contexts
from longtrace.corpus.stage import Config as CorpusConfig
from longtrace.corpus.stage import run as corpus
from longtrace.records import (
    Answer,
    Completion,
    Hop,
    Open,
    Question,
    Score,
    Search,
    Trajectory,
)
from longtrace.statistics import Interval
from longtrace.store import Stage
from longtrace.training.reward import Rollout
from longtrace.training.trl import StepMetrics

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> \"quoted\" 'single' 🦉 "
    "\u202eמלך\u2028 {{ 7 * 7 }} </script><!--"
)
"""Title of document 0 and part of the first question: markup, template syntax, right-to-left."""
DOCUMENTS = 40


def key(number: int) -> str:
    return f"d{number}"


def title(number: int) -> str:
    return HOSTILE if number == 0 else f"Lake Number{number}"


def make_corpus(run: Path) -> None:
    rows = [
        {
            "id": key(n),
            "title": title(n),
            "text": f"{title(n)} is a lake.\n\nIt flows into {title((n + 1) % DOCUMENTS)}."
            * (n % 3 + 1),
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


def rollout(step: int, sample: int) -> Rollout:
    right = sample < 2 + step // 5
    name = HOSTILE if sample == 0 else "Lake Number1"
    return Rollout(
        step=step,
        question=f"question : {HOSTILE} ?",
        answer="@e3",
        completion=Completion(example_id="t1", sample=sample, text=f"{name} answer : @e3"),
        score=Score(
            outcome=float(right) if sample < 3 else None,
            rubric=0.5,
            hit=(name,),
            missed=("Lake <i>Number2</i>",),
            problem="" if sample < 3 else "no answer line",
        ),
        reward=0.85 * right if sample < 3 else None,
    )


def change(decoding: Literal["sampled", "greedy"], measure: str) -> dict[str, Any]:
    made = {
        "before": (0.415, 0.35, 0.45),
        "after": (0.8, 0.75, 0.84),
        "difference": (0.4, 0.3, 0.5),
    }
    intervals = {
        name: Interval(mean, low, high, 400)._asdict() for name, (mean, low, high) in made.items()
    }
    return {"decoding": decoding, "measure": measure, **intervals}


def make_training(run: Path) -> None:
    """The files of a finished training, written with its own records."""
    config = {"model": None, "steps": 10, "prompts_per_step": 4, "group_size": 4}
    changes = [change(d, m) for d in ("sampled", "greedy") for m in ("outcome", "rubric")]
    with Stage(run / "training", config, {}) as stage:
        metrics = [
            StepMetrics(
                step=step,
                reward=0.05 * step if step != 4 else None,
                reward_std=0.2,
                outcome=0.3 + 0.05 * step,
                rubric=0.9,
                missing=0.0,
                no_signal=0.1,
                clipped=0.0,
                mean_tokens=8.0,
                loss=0.0,
                grad_norm=0.1,
            )
            for step in range(1, 11)
        ]
        samples = [rollout(step, sample) for step in (0, 5) for sample in range(4)]
        for name, rows in (("metrics", metrics), ("samples", samples)):
            lines = [row.model_dump_json() + "\n" for row in rows]
            (run / "training" / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        stage.finish(evaluation=changes, warmup=None, steps=10)


@pytest.fixture(scope="session")
def hostile() -> str:
    """What a page must show as text and never obey."""
    return HOSTILE


@pytest.fixture(scope="session")
def corpus_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    options = Options(run=run, workers=1)
    contexts(ContextsConfig(budget_tokens=1100), options)
    export(ExportConfig(holdout=0.2), options)
    make_training(run)
    return run
