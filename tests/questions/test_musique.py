"""MuSiQue rows as questions over a corpus that holds their paragraphs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.stage import Config as CorpusConfig
from longtrace.corpus.stage import run as make_corpus
from longtrace.errors import RowError
from longtrace.questions.musique import NOT_FOUND, UNANSWERABLE, read, steps
from longtrace.questions.stage import Config, run
from longtrace.records import Question
from longtrace.store import read_records

DATA = Path("../shared/data/qa")
ROW: dict[str, Any] = {
    "id": "2hop__1",
    "paragraphs": [
        {"idx": 0, "title": "Song", "paragraph_text": "Ada Obi sang it.", "is_supporting": True},
        {
            "idx": 1,
            "title": "Ada Obi",
            "paragraph_text": "She is from Lagos.",
            "is_supporting": True,
        },
        {"idx": 2, "title": "Else", "paragraph_text": "Nothing.", "is_supporting": False},
    ],
    "question": "Where is the singer of Song from?",
    "question_decomposition": [
        {"question": "Who sang Song?", "answer": "Ada Obi", "paragraph_support_idx": 0},
        {"question": "Where is #1 from?", "answer": "Lagos", "paragraph_support_idx": 1},
    ],
    "answer": "Lagos",
    "answer_aliases": ["Lagos City"],
    "answerable": True,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = tmp_path / "rows.jsonl"
    made = [
        {"id": f"p{p['idx']}", "title": p["title"], "text": p["paragraph_text"]}
        for p in ROW["paragraphs"]
    ]
    rows.write_text("".join(json.dumps(row) + "\n" for row in made))
    make_corpus(CorpusConfig(reader="jsonl", path=rows), Options(run=tmp_path))
    return tmp_path


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "musique.json"
    path.write_text(json.dumps(rows))
    return path


def test_earlier_answers_are_filled_into_a_step() -> None:
    assert [question for question, _, _ in steps(ROW)] == [
        "Who sang Song?",
        "Where is Ada Obi from?",
    ]


def test_a_row_becomes_a_question_with_its_published_chain(folder: Path) -> None:
    run(Config(from_musique=write(folder, ROW)), Options(run=folder, workers=1))
    [made] = read_records(folder / "questions" / "data.jsonl", Question)
    assert [hop.doc for hop in made.hops] == ["p0", "p1"]
    assert [hop.evidence for hop in made.hops] == [("Ada Obi sang it.",), ("She is from Lagos.",)]
    assert (made.answer, made.answer_aliases, made.writer) == ("Lagos", ("Lagos City",), "musique")


def test_rows_that_cannot_be_used_say_why(folder: Path) -> None:
    strange = json.loads(json.dumps(ROW).replace("Ada Obi sang it.", "Someone else sang it."))
    path = write(folder, strange, {**ROW, "answerable": False})
    made = read(path, Corpus.open(folder / "corpus"))
    assert [one.reason for one in made] == [NOT_FOUND, UNANSWERABLE]


def test_a_row_of_another_format_names_its_line(folder: Path) -> None:
    for strange in ({"id": "x"}, {**ROW, "question": 5}):
        with pytest.raises(RowError, match=r"musique\.json:2: \S.*; see the MuSiQue format$"):
            list(read(write(folder, ROW, strange), Corpus.open(folder / "corpus")))


def test_all_hundred_published_questions_are_imported(tmp_path: Path) -> None:
    if not (DATA / "musique_100.json").is_file():
        pytest.skip("no musique_100.json beside the repository")
    with gzip.open(DATA / "musique_corpus.json.gz") as file:
        corpus = json.load(file)
    rows = tmp_path / "rows.jsonl"
    made = [{"id": f"p{n}", **row} for n, row in enumerate(corpus)]
    rows.write_text("".join(json.dumps(row) + "\n" for row in made))
    make_corpus(CorpusConfig(reader="jsonl", path=rows), Options(run=tmp_path))
    result = run(Config(from_musique=DATA / "musique_100.json"), Options(run=tmp_path, workers=1))
    assert result.json["count"] == 100
