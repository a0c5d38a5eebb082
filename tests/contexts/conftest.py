"""A small run: 60 documents, seven questions, their attempts; tiers and traps known by design."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import orjson
import pytest

from longtrace.config import Options
from longtrace.contexts.stage import Config, run
from longtrace.corpus.stage import Config as CorpusConfig
from longtrace.corpus.stage import run as corpus
from longtrace.records import Answer, Hop, Open, Question, Record, Search, Trajectory
from longtrace.store import Stage

WORDS = ["river", "stone", "harbour", "mill", "bridge", "copper", "orchard", "winter", "lantern"]
DOCUMENTS = 60
BUDGET = 2_000


def name(doc: int) -> str:
    return f"Placename{chr(65 + doc // 26)}{chr(97 + doc % 26)}"


def document(doc: int) -> dict[str, object]:
    """Documents 0-20 are gold; document n > 20 names the gold entity n - 21 if n is even.

    Document 31 holds the last entity of question 0 and its answer: it would answer the question.
    """
    rng = Random(doc)
    paragraphs = [
        " ".join(rng.choices(WORDS, k=rng.randint(30, 50))).capitalize() + "." for _ in range(5)
    ]
    if doc < 20 and doc % 3 != 2:
        paragraphs[1] += f" It lies beside {name(doc + 1)}."
    if doc % 3 == 2 and doc < 21:
        paragraphs[2] += f" Its mayor in 1877 was Answername{chr(65 + doc)}."
    if doc > 20 and doc % 2 == 0:
        paragraphs[0] += f" A letter from {name((doc - 22) % 21)} was found."
    if doc == 31:
        paragraphs[3] += f" {name(2)} had mayor AnswernameC."
    text = "\n\n".join(paragraphs)
    return {"id": f"d{doc:02}", "title": f"{name(doc)}_(town)", "text": text, "links": []}


def evidence(doc: int) -> str:
    """The sentence of a gold document that leads on."""
    if doc % 3 == 2:
        return f"Its mayor in 1877 was Answername{chr(65 + doc)}."
    return f"It lies beside {name(doc + 1)}."


def question(n: int) -> Question:
    hops = tuple(
        Hop(doc=f"d{doc:02}", entity=name(doc), evidence=(evidence(doc),))
        for doc in range(3 * n, 3 * n + 3)
    )
    answer = f"Answername{chr(65 + 3 * n + 2)}"
    text = f"The river and the lantern lead on, number {n}. Who was mayor? {{question}}"
    return Question(
        id=f"q{n}", text=text, answer=answer, hops=hops, clues=("a", "b", "c"), writer="offline"
    )


def attempts(n: int) -> list[Trajectory]:
    """Question 5 is never solved, question 6 never attempted; attempt 0 of question 1 is wrong."""
    if n == 6:
        return []
    gold = tuple(f"d{doc:02}" for doc in range(3 * n, 3 * n + 3))
    pool = [f"d{doc}" for doc in Random(n).sample([d for d in range(21, 60) if d != 31], 24)]
    read, seen = pool[:8], pool[8:]
    if n == 0:
        read[0] = "d31"
    steps = (
        Search(query="river", results=(*gold, *pool[:12], *read)),
        Search(query="lantern", results=tuple(seen)),
        *(Open(doc=doc) for doc in (*gold, *read)),
        Answer(text=question(n).answer, cited=gold),
    )
    wrong = Trajectory(
        question_id=f"q{n}",
        attempt=0,
        steps=(Search(query="stone", results=("d59",)), Answer(text="?", cited=("d59",))),
        stop="answered",
        model="offline",
        correct=False,
    )
    right = Trajectory(
        question_id=f"q{n}",
        attempt=1,
        steps=steps,
        stop="answered",
        model="offline",
        correct=n != 5,
    )
    return [wrong, right] if n == 1 else [right]


def correct_first(n: int) -> tuple[Trajectory, ...]:
    """The attempts in the order in which contexts are made from them."""
    return tuple(sorted(attempts(n), key=lambda attempt: not attempt.correct))


def write(run_folder: Path, stage: str, rows: list[Record]) -> None:
    with Stage(run_folder / stage, {}, {}) as out:
        for row in rows:
            out.accept(row)
        out.finish()


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder up to its trajectories; do not write to it."""
    folder = tmp_path_factory.mktemp("contexts")
    source = folder / "source.jsonl"
    source.write_bytes(b"\n".join(orjson.dumps(document(doc)) for doc in range(DOCUMENTS)))
    options = Options(run=folder / "run", workers=1)
    corpus(CorpusConfig(reader="jsonl", path=source), options)
    write(folder / "run", "questions", [question(n) for n in range(7)])
    write(folder / "run", "trajectories", [row for n in range(7) for row in attempts(n)])
    return folder / "run"


@pytest.fixture(scope="session")
def packed(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run with contexts of every strategy; do not write to it."""
    folder = tmp_path_factory.mktemp("packed") / "run"
    shutil.copytree(unpacked, folder)
    run(Config(budget_tokens=BUDGET), Options(run=folder, workers=1))
    return folder


@pytest.fixture
def fresh_run(unpacked: Path, tmp_path: Path) -> Path:
    """A copy of the run up to its trajectories that a test may write to."""
    shutil.copytree(unpacked, tmp_path / "run")
    return tmp_path / "run"
