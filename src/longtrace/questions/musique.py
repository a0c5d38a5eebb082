"""MuSiQue questions with their published chains, as questions over a corpus of their paragraphs.

A row's decomposition is the walk: step i is answered by one supporting paragraph, which becomes hop
i, and the step's own question is its clue. Paragraphs are found in the corpus by title and text, so
any corpus that holds them will do. People wrote these questions: they may name their first
document, which the check against leaks would refuse, so that check is not made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from longtrace.corpus.corpus import Corpus
from longtrace.errors import InputError, RowError
from longtrace.questions.make import Made
from longtrace.records import Hop, Question, content_id
from longtrace.store import read_json
from longtrace.text import names, sentences, surface, words

NOT_FOUND = "supporting paragraph not in the corpus"
UNANSWERABLE = "not answerable by its own account"
_EARLIER = re.compile(r"#(\d+)")


def read(path: Path, corpus: Corpus) -> Iterator[Made]:
    """Questions of a MuSiQue file (a JSON list), or why there are none, in order.

    Raises:
        InputError: the file cannot be read.
        RowError: a row lacks what the format has.
    """
    rows = read_json(path, "check --from-musique")
    if not isinstance(rows, list):
        raise InputError(f"{path}: expected a JSON list of MuSiQue rows")
    known = {
        paragraph_id(corpus.title(doc), corpus.text(doc)): corpus.key(doc)
        for doc in range(len(corpus))
    }
    for number, row in enumerate(rows, 1):
        try:
            yield _made(row, known)
        except (KeyError, TypeError, IndexError, ValidationError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            if isinstance(error, ValidationError):
                what = f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}"
            raise RowError(path, number, what, "see the MuSiQue format") from None


def paragraph_id(title: str, text: str) -> str:
    """What a paragraph is recognised by: the words of its title and text."""
    return content_id(words(title), words(text))


def steps(row: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(question with earlier answers filled in, answer, paragraph) of each step of a row."""
    by_number = {paragraph["idx"]: paragraph for paragraph in row["paragraphs"]}
    said = [step["answer"] for step in row["question_decomposition"]]

    def fill(match: re.Match[str]) -> str:
        return str(said[int(match.group(1)) - 1])

    return [
        (
            _EARLIER.sub(fill, step["question"]),
            step["answer"],
            by_number[step["paragraph_support_idx"]],
        )
        for step in row["question_decomposition"]
    ]


def _made(row: dict[str, Any], known: dict[str, str]) -> Made:
    if not row.get("answerable", True):
        return Made(None, UNANSWERABLE)
    hops: list[Hop] = []
    for _, answer, paragraph in steps(row):
        title, text = paragraph["title"], paragraph["paragraph_text"]
        key = known.get(paragraph_id(title, text))
        if key is None:
            return Made(None, NOT_FOUND, detail=title)
        evidence = tuple(s for s in sentences(text) if names(s, answer))[:1]
        hops.append(Hop(doc=key, entity=surface(title), evidence=evidence))
    question = Question(
        id=content_id("musique", row["id"]),
        text=row["question"],
        answer=row["answer"],
        answer_aliases=tuple(row.get("answer_aliases", ())),
        hops=tuple(hops),
        clues=tuple(step["question"] for step in row["question_decomposition"]),
        writer="musique",
    )
    return Made(question, "", tuple(hop.doc for hop in hops))
