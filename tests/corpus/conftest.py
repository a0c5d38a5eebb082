"""Small sources that several corpus tests build from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.stage import Config, run

Rows = Sequence[Mapping[str, Any]]


@pytest.fixture
def write_rows() -> Callable[[Path, Rows], Path]:
    """Writes rows as JSON lines."""

    def write(path: Path, rows: Rows) -> Path:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Corpus]:
    """Builds and opens the corpus of a source, in the run folder `run` below the test's own."""

    def make(reader: str, path: Path, name: str = "run", **options: Any) -> Corpus:
        config = Config.model_validate({"reader": reader, "path": path})
        run(config, Options(run=tmp_path / name, **options))
        return Corpus.open(tmp_path / name / "corpus")

    return make
