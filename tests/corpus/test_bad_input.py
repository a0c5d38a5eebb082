"""Bad rows, files and folders: counted and shown, never the end of a run unless asked for."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from longtrace.cli import main
from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.readers import READERS
from longtrace.corpus.readers.base import Rejected, lines, open_bytes, read
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


def zstd(*parts: bytes) -> bytes:
    """A zstd frame a part."""
    return b"".join(zstandard.ZstdCompressor().compress(part) for part in parts)


def noise(lines: int) -> bytes:
    """Text that hardly packs, so that a file is cut in its middle and not in its first block."""
    rng = random.Random(0)
    return b"".join(b"%x\n" % rng.getrandbits(400) for _ in range(lines))


@pytest.mark.parametrize(
    ("ending", "pack", "lost"),
    [(".gz", gzip.compress, 0), (".xz", lzma.compress, 0), (".zst", zstd, 3000)],
)
def test_all_that_stands_before_the_damage_is_read_and_the_damage_told(
    tmp_path: Path, ending: str, pack: Callable[[bytes], bytes], lost: int
) -> None:
    text = noise(3000)
    path = tmp_path / f"c.jsonl{ending}"
    path.write_bytes(pack(text)[:-1])  # the checksum's last byte; of zstd the last block's
    *rows, last = lines(path, "jsonl")
    assert isinstance(last, Rejected)
    assert last.reason == "file damaged or cut short"
    assert len(rows) >= 3000 - lost
    assert len(rows) > 1000


def test_frames_of_zstd_are_read_one_after_the_other(tmp_path: Path) -> None:
    first, second = noise(2000), b"x" * 100_000 + b"\nend"
    skipped = b"\x50\x2a\x4d\x18\x05\x00\x00\x00hello"
    path = tmp_path / "c.jsonl.zst"
    path.write_bytes(skipped + zstd(first) + zstd(b"") + skipped + zstd(second))
    with open_bytes(path) as file:
        assert file.read() == first + second


def test_a_source_without_a_single_record_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text("\n")
    assert main(["corpus", "--reader", "jsonl", "--path", str(path), "--run", str(tmp_path)]) == 2
    assert f"{path}: no document could be read at all; check --path" in " ".join(
        capsys.readouterr().err.split()
    )
    with pytest.raises(InputError, match="a folder, and --reader kilt reads a file"):
        list(read(READERS["kilt"], tmp_path))


@pytest.mark.parametrize(
    "country",
    ["[1]", '{"Government": [1]}', '{"Government": {"Country name": "x"}}', "{}", "caf\xe9"],
)
def test_a_country_of_another_shape_is_counted_and_the_others_are_read(
    tmp_path: Path, country: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/bad.json").write_bytes(country.encode("latin-1"))
    (tmp_path / "a/gone.json").symlink_to("nowhere.json")
    (tmp_path / "a/good.json").write_text('{"Geography": {"Location": {"text": "near"}}}')
    result = run(Config(reader="factbook", path=tmp_path), Options(run=tmp_path / "run"))
    assert result.json["count"] + sum(result.json["rejected"].values()) == 3
    assert result.json["count"] <= 2
    assert result.json["rejected"]["unreadable file"] in (1, 2)


def test_rows_may_say_null_for_no_aliases_and_must_have_an_id(
    tmp_path: Path, write_rows: Callable[..., Path]
) -> None:
    rows = [{**GOOD, "aliases": None}, {**GOOD, "id": " "}]
    good, bad = read(READERS["jsonl"], write_rows(tmp_path / "c.jsonl", rows))
    assert isinstance(good, Document)
    assert isinstance(bad, Rejected)
    assert "id: empty" in bad.detail


@pytest.mark.parametrize("broken", [b"caf\xe9", b"a \x01 b", b"\xef\xbf\xbf"])
def test_a_broken_byte_in_a_dump_costs_its_own_page_only(tmp_path: Path, broken: bytes) -> None:
    pytest.importorskip("mwparserfromhell", reason="needs the mediawiki extra")
    page = "<page><title>{}</title><ns>0</ns><revision><text>{}</text></revision></page>"
    path = tmp_path / "w.xml"
    path.write_bytes(
        b"<mediawiki>"
        + page.format("One", "caf\xe9 " * 9000).encode()  # a character at the border of two reads
        + page.format("Two", "BROKEN").encode().replace(b"BROKEN", broken)
        + page.format("Three", "text").encode()
        + b"</mediawiki>"
    )
    one, two, three = read(READERS["mediawiki"], path)
    assert isinstance(one, Document)
    assert isinstance(two, Rejected)
    assert isinstance(three, Document)
    assert one.text == ("caf\xe9 " * 9000).strip()
    assert (two.reason, two.line) == ("broken encoding", 2)


def test_a_file_name_that_is_not_utf8_is_counted(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "good.md").write_text("text")
    bad = os.fsencode(root) + b"/caf\xe9.md"
    try:
        Path(os.fsdecode(bad)).write_text("text")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    result = run(Config(reader="folder", path=root), Options(run=tmp_path / "run"))
    assert result.json["count"] == 1
    assert result.json["rejected"] == {"broken encoding": 1}


def test_symbolic_links_lead_neither_out_of_the_folder_nor_round_in_it(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "a.md").write_text("# A\n\ntext")
    (tmp_path / "secret.txt").write_text("secret")
    (root / "secret.txt").symlink_to("../secret.txt")
    (root / "sub/loop").symlink_to("..")
    (root / "round.md").symlink_to("round.md")
    found = list(read(READERS["folder"], root))
    assert [item.key for item in found if isinstance(item, Document)] == ["a.md"]
    reasons = [item.reason for item in found if isinstance(item, Rejected)]
    assert reasons == ["unreadable file", "link out of the folder"]


def test_a_folder_that_cannot_be_listed_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shut").mkdir()
    (tmp_path / "a.md").write_text("text")
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    document, shut = read(READERS["folder"], tmp_path)
    assert isinstance(document, Document)
    assert isinstance(shut, Rejected)
    assert (shut.reason, shut.detail) == ("unreadable folder", "Permission denied")


@pytest.mark.parametrize(
    ("name", "content", "title", "text"),
    [
        ("a.html", "<p>text</p>" + "<!--" * 60_000, "a", "text"),
        ("b.html", "<p>text</p>" + "<a " * 60_000, "b", "text"),
        ("c.html", "<p>text</p>" + "<?" * 60_000, "c", "text"),
        ("d.html", "<p>2 < 3", "d", "2 < 3"),
        ("e.html", "<!-- a --><p>x</p><!-- b -->", "e", "x"),
        (
            "f.md",
            "---\na: &a [x, x]\n"
            + "".join(f"a{n}: &a{n} [*a{n - 1 or ''}, *a{n - 1 or ''}]\n" for n in range(1, 60))
            + "title: *a59\n---\ntext\n",
            "f",
            "text",
        ),
    ],
)
def test_a_file_made_to_keep_a_parser_busy_is_read_at_once(
    tmp_path: Path, name: str, content: str, title: str, text: str
) -> None:
    (tmp_path / name).write_text(content)
    (made,) = read(READERS["folder"], tmp_path)
    assert isinstance(made, Document)
    assert (made.title, made.text) == (title, text)
