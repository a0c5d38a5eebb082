"""Packing and rendering contexts of 128K tokens, per second and core, once documents are counted.

A synthetic corpus with the lengths of Wikipedia articles, questions of eight hops, and attempts
that opened 30 documents and listed 100 more. The last row also counts the tokens of each finished
prompt, as the `contexts` verb does, beside the bare tokenizer on the same prompts.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import orjson
from measure import table, timed

from longtrace.config import Options
from longtrace.contexts import render
from longtrace.contexts.assemble import Bench, Plan, assemble, choose
from longtrace.contexts.strategies import Rules, Strategy
from longtrace.contexts.work import Setting, open_bench
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.stage import Config as CorpusConfig
from longtrace.corpus.stage import run as build_corpus
from longtrace.records import Answer, Context, Hop, Open, Question, Search, Trajectory
from longtrace.tokens import train

DOCUMENTS = 1_000
CHARS = 20_000
HOPS = 8
QUESTIONS = 20
COUNTED = 5
BUDGET_TOKENS = 128_000
TARGET = 50
Row = tuple[str, str, str, str, str]


def vocabulary() -> list[str]:
    """Made-up words."""
    rng = random.Random(0)
    return ["".join(rng.choices("etaoinshrdlucmf", k=rng.randint(2, 10))) for _ in range(5_000)]


def prose(rng: random.Random, words: list[str], chars: int) -> str:
    """Made-up paragraphs."""
    out: list[str] = []
    length = 0
    while length < chars:
        sentences = [
            " ".join(rng.choices(words, k=rng.randint(8, 25))).capitalize() + "." for _ in range(5)
        ]
        out.append(" ".join(sentences))
        length += len(out[-1]) + 2
    return "\n\n".join(out)


def corpus(folder: Path) -> None:
    """A corpus of made-up articles, some of which name others."""
    rng, words = random.Random(0), vocabulary()
    rows = []
    for doc in range(DOCUMENTS):
        names = " ".join(f"Titleword{rng.randrange(DOCUMENTS)}." for _ in range(20))
        chars = int(CHARS * rng.uniform(0.3, 1.7))
        text = f"{prose(rng, words, chars)}\n\n{names}"
        rows.append({"id": f"d{doc}", "title": f"Titleword{doc}", "text": text, "links": []})
    source = folder / "source.jsonl"
    source.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    build_corpus(CorpusConfig(reader="jsonl", path=source), Options(run=folder / "run", workers=1))


def plan(number: int, strategy: Strategy) -> Plan:
    """A question, and an attempt that read and saw more than fits."""
    rng = random.Random(number)
    keys = [f"d{doc}" for doc in rng.sample(range(DOCUMENTS), HOPS + 1 + 130)]
    gold, read, seen = keys[: HOPS + 1], keys[HOPS + 1 : HOPS + 31], keys[HOPS + 31 :]
    hops = tuple(Hop(doc=key, entity=f"Titleword{key[1:]}") for key in gold)
    text = f"Which of {' '.join(rng.sample(vocabulary(), 60))}?"
    question = Question(
        id=f"q{number}", text=text, answer="1877", hops=hops, clues=(), writer="bench"
    )
    steps = (
        Search(query="x", results=(*gold, *read, *seen)),
        *(Open(doc=key) for key in (*gold, *read)),
        Answer(text="1877", cited=tuple(gold)),
    )
    attempt = Trajectory(
        question_id=question.id,
        attempt=0,
        steps=steps,
        stop="answered",
        model="bench",
        correct=True,
    )
    form = render.form("varied", 0, question.id)
    return Plan(question, (attempt,), strategy, form, Rules(), BUDGET_TOKENS, 0)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus(folder)
        setting = Setting(folder / "run", "document", 6_000, Rules(), 0)
        made = Corpus.open(folder / "run" / "corpus")
        bench = open_bench(setting, train(made.text(doc) for doc in range(100)), None)
        rows = []
        for strategy in ("tiered", "trajectory-random", "random", "search"):
            rows.append(_packing(bench, strategy))
        rows.append(_counting(bench))
    title = f"Contexts of {BUDGET_TOKENS:,} tokens, {DOCUMENTS:,} documents, one core"
    table(title, rows)


def _packing(bench: Bench, strategy: Strategy) -> Row:
    plans = [plan(number, strategy) for number in range(QUESTIONS)]

    def work() -> None:
        for each in plans:
            chosen = choose(each, bench, BUDGET_TOKENS)
            if chosen is None:
                raise SystemExit("gold does not fit")
            parts = render.sections(chosen.passages, bench.source.corpus, each.form.layout)
            render.prompt(parts, each.question.text, each.form.phrasing)

    work()
    _, cpu = timed(work)
    speed = QUESTIONS / cpu
    what = f"choose, certify, pack and render, {strategy}"
    return (what, f"{speed:.0f} / s", "", "", f"{TARGET} / s")


def _counting(bench: Bench) -> Row:
    plans = [plan(number, "tiered") for number in range(COUNTED)]
    made = [assemble(each, bench) for each in plans]
    prompts = [
        render.prompt_of(context, each.question.text, bench.source.corpus)
        for each, context in zip(plans, made, strict=True)
        if isinstance(context, Context)
    ]
    _, ours = timed(lambda: [assemble(each, bench) for each in plans])
    _, bare = timed(lambda: [bench.tokens.count(text) for text in prompts])
    return (
        "the same with the exact count of the prompt, tiered",
        f"{COUNTED / ours:.1f} / s",
        f"{COUNTED / bare:.1f} / s (tokenizer alone)",
        f"{ours / bare:.2f}",
        "",
    )


if __name__ == "__main__":
    main()
