"""Rubric linter, near-duplicates, the guard against benchmarks, jumps and pages left out."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.errors import InputError
from longtrace.questions import rubric
from longtrace.questions.clues import page_cache
from longtrace.questions.contamination import (
    ENTITIES,
    NGRAM,
    Guard,
    read_signatures,
    signature,
    write_signatures,
)
from longtrace.questions.rubric import Facts, refusal, with_aliases
from longtrace.questions.similar import Near, shingles
from longtrace.questions.stage import Config, run
from longtrace.questions.walk import CorpusWalkable, Jumps, walk
from longtrace.records import Hop, Question
from longtrace.store import read_json

FACTS = Facts(
    documents=100,
    frequency=lambda word: {"bridge": 40}.get(word, 1),
    mentions=lambda key: {"everywhere": 50}.get(key, 1),
    names=lambda key: ("The Mercury (planet)", "Hermes", "of", "1965", "Ur"),
)


def question(entity: str = "Mercury", doc: str = "m", text: str = "Which one?") -> Question:
    hops = (Hop(doc=doc, entity=entity),)
    return Question(id=text, text=text, answer="1965", hops=hops, clues=("a",), writer="x")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (question("!!!"), rubric.UNMATCHABLE),
        (question("Bridge"), rubric.COMMON),
        (question("The Of"), rubric.COMMON),
        (question("1965"), rubric.IS_ANSWER),
        (question(text="What has the god Mércury done?"), rubric.IN_QUESTION),
        (question("Mercury", "everywhere"), rubric.EVERYWHERE),
    ],
)
def test_an_unfair_entity_is_refused_with_its_reason(asked: Question, reason: str) -> None:
    assert refusal(asked, FACTS, 0.1) == (reason, asked.hops[0].entity)


def test_a_fair_entity_passes_and_gets_the_names_that_can_be_matched() -> None:
    assert refusal(question(), FACTS, 0.1) is None
    assert with_aliases(question(), FACTS).hops[0].aliases == ("The Mercury", "Hermes")


texts = st.lists(
    st.sampled_from(["one", "two", "three", "four", "five", "six"]), min_size=1, max_size=30
)


@given(texts)
def test_a_question_is_its_own_duplicate(spoken: list[str]) -> None:
    near = Near(1.0)
    near.add(question(text=" ".join(spoken)))
    assert near.like(question(text=" ".join(spoken))) is not None


@given(texts, texts, st.floats(0.05, 1.0))
def test_near_is_the_jaccard_of_shingles(one: list[str], two: list[str], limit: float) -> None:
    a, b = shingles(" ".join(one)), shingles(" ".join(two))
    near = Near(limit)
    near.add(question(text=" ".join(one)))
    found = near.like(question(text=" ".join(two))) is not None
    assert found == (len(a & b) / len(a | b) >= limit)


BENCHMARK = (
    "Which engineer from Lagos designed the bridge that the Duke of Orange opened in spring?"
)


def test_eight_words_in_common_are_an_overlap() -> None:
    guard = Guard([signature(BENCHMARK, ["Ada Obi"], "b:1")])
    copied = f"Tell me: {BENCHMARK[20:80]}"
    assert guard.overlap(question(text=copied)) == (NGRAM, "b:1")
    assert guard.overlap(question(text="Which engineer designed the bridge?")) is None


def test_the_same_entities_in_other_words_are_an_overlap() -> None:
    guard = Guard([signature(BENCHMARK, ["Ada Obi"], "b:1")])
    names = ("Lagos", "Duke of Orange")
    hops = tuple(Hop(doc=name, entity=name) for name in names)
    same = question().model_copy(update={"hops": hops, "answer": "Ada Obi"})
    assert guard.overlap(same) == (ENTITIES, "b:1")
    assert guard.overlap(same.model_copy(update={"hops": hops[:1], "answer": "x"})) is None


def test_signatures_hold_no_text_and_guard_like_the_file(tmp_path: Path) -> None:
    raw, hashed = tmp_path / "bench.jsonl", tmp_path / "signatures.json"
    raw.write_text(json.dumps({"Prompt": BENCHMARK, "Answer": "Ada Obi"}) + "\n")
    write_signatures(hashed, read_signatures(raw))
    assert not any(word in hashed.read_text() for word in ("Lagos", "engineer", "Ada"))
    assert Guard.read([hashed]).signatures == Guard.read([raw]).signatures


@pytest.mark.parametrize(
    "asked",
    [
        "Were Ada Obi and Ben Eze born in one year?",
        "Is Ben Eze's mother Ada Obi?",
        "Did the Ada Obi know The Ben Eze?",
    ],
)
def test_names_are_told_apart_where_a_benchmark_joins_them(asked: str) -> None:
    guard = Guard([signature(asked, [], "b:1")])
    hops = (Hop(doc="a", entity="Ada Obi"), Hop(doc="b", entity="Ben Eze"))
    assert guard.overlap(question().model_copy(update={"hops": hops})) == (ENTITIES, "b:1")
    assert guard.overlap(question().model_copy(update={"hops": hops[1:]})) is None


def test_new_york_is_not_york() -> None:
    guard = Guard([signature("Is New York like Lagos?", [], "b:1")])
    for first, same in (("New York", True), ("York", False), ("The New York", True)):
        hops = (Hop(doc="a", entity=first), Hop(doc="b", entity="Lagos"))
        overlap = guard.overlap(question().model_copy(update={"hops": hops}))
        assert overlap == ((ENTITIES, "b:1") if same else None)


def test_rows_may_be_plain_texts(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps([BENCHMARK]))
    assert Guard.read([path]).overlap(question(text=BENCHMARK)) == (NGRAM, "bench.json:1")


def test_a_benchmark_that_is_no_json_stays_the_users(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"bench\.json: not valid JSON .*; check --benchmarks$"):
        read_signatures(path)


@pytest.mark.parametrize("text", ["5", "[]", "[{}]", "nothing", '{"rows": [{"x": 1}]}'])
def test_a_file_without_questions_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bench.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"bench\.json"):
        read_signatures(path)


def test_the_published_benchmark_is_read() -> None:
    path = Path("../shared/data/benchmarks/frames_20.json")
    if not path.is_file():
        pytest.skip("no frames_20.json beside the repository")
    guard = Guard.read([path])
    assert len(guard.signatures) == 20
    first = json.loads(path.read_text())[0]["Question"]
    assert guard.overlap(question(text=first)) == (NGRAM, "frames_20.json:1")


def test_rules_drop_with_reasons_and_what_they_found(factbook_run: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus").symlink_to(factbook_run / "corpus")
    plain = Config(count=6, hops=2, max_mention_share=0.08)
    run(plain, Options(run=tmp_path, workers=1))
    before = [json.loads(line) for line in _lines(tmp_path, "data")]
    bench = tmp_path / "bench.json"
    bench.write_text(json.dumps([{"question": before[0]["text"], "answer": "?"}]))
    told = plain.model_copy(update={"benchmarks": (bench,), "lint": True, "near_duplicates": 0.5})
    run(told, Options(run=tmp_path, workers=1, fresh=True))
    meta = read_json(tmp_path / "questions" / "meta.json")
    assert meta["rejected"][NGRAM] >= 1
    dropped = [json.loads(line) for line in _lines(tmp_path, "rejected")]
    assert {row["detail"] for row in dropped if row["reason"] == NGRAM} == {"bench.json:1"}


def _lines(folder: Path, name: str) -> list[str]:
    return (folder / "questions" / f"{name}.jsonl").read_text().splitlines()


def test_a_jump_leads_to_what_the_page_names(factbook: Corpus) -> None:
    pages = page_cache()
    links = CorpusWalkable(factbook, pages, 0.08)
    named = CorpusWalkable(factbook, pages, 0.08, jumps=True)
    for seed in range(20):
        path = walk(links, hops=3, rng=Random(seed), jumps=Jumps(named, 1.0))
        if path is None:
            continue
        for step, after in itertools.pairwise(path):
            assert after.node in factbook.mentions.of(step.node)
            assert step.evidence


def test_lists_and_pages_with_little_text_are_not_walked(islands: Corpus) -> None:
    pages = page_cache()
    every = CorpusWalkable(islands, pages, 1.0)
    long = CorpusWalkable(islands, pages, 1.0, min_chars=150)
    tristan, south = islands.id("tristan"), islands.id("south")
    assert south in every.steps(tristan)
    assert islands.id("gough") not in long.steps(south)
    assert tristan in every.steps(south)
    assert tristan in long.steps(south)
    assert not long.steps(islands.id("gough"))
