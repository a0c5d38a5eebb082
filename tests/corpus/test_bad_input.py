"""Bad rows, files and folders: counted and shown, never the end of a run unless asked for."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longtrace.cli import main
from longtrace.config import Options
from longtrace.corpus.readers import READERS
from longtrace.corpus.readers.base import Rejected, read
from longtrace.corpus.stage import Config, run
from longtrace.errors import InputError, RowError
from longtrace.records import Document

GOOD = {"id": "a", "title": "t", "text": "Some words."}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"{not json", "not valid JSON"),
        (b'{"id": "b", "title": "t", "text": "caf\xe9"}', "not valid JSON"),
        (b'{"id": "b", "title": "t"}', "text: Field required"),
        (b'["a"]', "row: Input should be"),
        (b'{"id": "b", "title": "t", "text": "x", "links": "b"}', "links: Input should be"),
    ],
)
def test_a_malformed_line_is_counted_and_named_and_strict_stops_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: bytes, what: str
) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n\n" + line + b"\n")
    command = ["corpus", "--reader", "jsonl", "--path", str(path), "--run"]
    assert main([*command, str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "left out 1: unreadable row" in out
    assert f"c.jsonl:3: {what}" in out
    with pytest.raises(RowError, match=what) as caught:
        run(
            Config(reader="jsonl", path=path, strict=True),
            Options(run=tmp_path / "strict"),
        )
    assert "c.jsonl:3: " in str(caught.value)
    assert main([*command, str(tmp_path / "run"), "--strict"]) == 2  # also where it is complete
    assert "c.jsonl:3: " in capsys.readouterr().err


@pytest.mark.parametrize("cut", [40, 1])
def test_a_compressed_file_cut_short_keeps_the_rows_before_the_cut(
    tmp_path: Path, cut: int
) -> None:
    rows = "".join(json.dumps({**GOOD, "id": i, "text": "x" * i}) + "\n" for i in range(1, 999))
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(gzip.compress(rows.encode())[:-cut])
    result = run(Config(reader="jsonl", path=path), Options(run=tmp_path / "run"))
    assert result.json["count"] > 900 - cut
    assert "file damaged or cut short" in result.json["rejected"]


def test_a_file_that_ends_in_a_record_loses_that_record_only(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text((json.dumps(GOOD) + "\n" + json.dumps({**GOOD, "id": "b"}))[:-5])
    items = list(read(READERS["jsonl"], path))
    assert [type(item) for item in items] == [Document, Rejected]


def test_strict_also_stops_at_empty_and_repeated_documents(
    tmp_path: Path, write_rows: Callable[..., Path]
) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        (GOOD, "seen before"),
        ({**GOOD, "id": 2, "text": ""}, "no text"),
    ]
    for number, (row, what) in enumerate(cases):
        path = write_rows(tmp_path / f"{number}.jsonl", [GOOD, row])
        with pytest.raises(InputError, match=what):
            run(Config(reader="jsonl", path=path, strict=True), Options(run=tmp_path / str(number)))


def test_a_source_without_a_readable_row_names_the_first_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"id": "a", "title": "t", "text": ""}\nnot json\n')
    with pytest.raises(InputError, match="no document could be read at all"):
        run(Config(reader="jsonl", path=path), Options(run=tmp_path / "run"))
    left = [f.name for f in (tmp_path / "run/corpus").iterdir()]
    assert left == ["stage.json"]


@pytest.mark.parametrize("reader", ["kilt", "mediawiki", "foldoc", "jsonl", "folder"])
def test_every_reader_asks_for_its_path(
    tmp_path: Path, reader: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["corpus", "--reader", reader, "--run", str(tmp_path)]) == 2
    assert "--path" in capsys.readouterr().err


def test_a_document_with_markup_in_its_key_is_shown_as_text(
    tmp_path: Path, write_rows: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "c.jsonl", [GOOD, {**GOOD, "id": "[bold]x", "text": ""}])
    assert main(["corpus", "--reader", "jsonl", "--path", str(path), "--run", str(tmp_path)]) == 0
    assert "'[bold]x'" in capsys.readouterr().out
