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
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.readers import READERS
from longtrace.corpus.readers.base import Rejected, read
from longtrace.corpus.stage import Config, run
from longtrace.errors import InputError, RowError
from longtrace.records import Document
from longtrace.store import read_json

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


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (GOOD, "duplicate key", "key 'a' was seen before"),
    ({**GOOD, "id": 2, "text": " \n"}, "no text", "document '2' has no text"),
    ({**GOOD, "id": 2, "title": " "}, "no title", "document '2' has no title"),
]


@pytest.mark.parametrize(("row", "reason", "what"), REFUSED)
def test_empty_and_repeated_documents_are_counted_and_named_by_file_and_line(
    tmp_path: Path,
    write_rows: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    row: dict[str, Any],
    reason: str,
    what: str,
) -> None:
    path = write_rows(tmp_path / "c.jsonl", [GOOD, row, {**GOOD, "id": "z"}])
    command = ["corpus", "--reader", "jsonl", "--path", str(path), "--run"]
    assert main([*command, str(tmp_path / "run")]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"left out 1: {reason}" in out
    assert f"c.jsonl:2: {what}" in out
    with pytest.raises(InputError, match=rf"c\.jsonl:2: {what}"):
        run(Config(reader="jsonl", path=path, strict=True), Options(run=tmp_path / "strict"))
    assert main([*command, str(tmp_path / "run"), "--strict"]) == 2  # also where it is complete
    assert f"c.jsonl:2: {what}" in " ".join(capsys.readouterr().err.split())


def test_a_kilt_page_without_a_title_is_left_out_by_file_and_line(
    tmp_path: Path, write_rows: Callable[..., Path]
) -> None:
    page = {"wikipedia_id": "1", "wikipedia_title": " ", "text": ["x\n"], "anchors": []}
    (item,) = read(READERS["kilt"], write_rows(tmp_path / "k.json", [page]))
    assert isinstance(item, Rejected)
    assert (item.reason, item.where) == ("no title", f"{tmp_path / 'k.json'}:1")


def test_a_title_without_a_letter_is_kept_as_ambiguous_and_counted(
    tmp_path: Path, write_rows: Callable[..., Path]
) -> None:
    rows = [{**GOOD, "title": "!!!"}, {**GOOD, "id": "b", "title": "Beta"}]
    path = write_rows(tmp_path / "c.jsonl", rows)
    run(Config(reader="jsonl", path=path), Options(run=tmp_path / "run"))
    assert Corpus.open(tmp_path / "run/corpus").ambiguous.tolist() == [True, False]
    assert read_json(tmp_path / "run/corpus/meta.json")["ambiguous"] == 1


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz"])
def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = "\N{BYTE ORDER MARK}".encode() + json.dumps(GOOD).encode() + b"\n"
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    (item,) = read(READERS["jsonl"], path)
    assert isinstance(item, Document)


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
