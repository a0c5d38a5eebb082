"""Names in texts: the fast scanner against the one-line definition, and links made of names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from longtrace.corpus.corpus import Corpus
from longtrace.corpus.hashes import KeySet, Roller, hash_strings
from longtrace.corpus.names import NameScanner, build_names
from longtrace.store import read_json
from longtrace.text import Haystack, normalise_name

WORDS = ["New", "Guinea", "Papua", "new", "York", "C++", "Ünal", "字", "U.S.", "x.", "\n\n", "of"]
WORDS += ["Mrs.", "Mrs", "Panic!", "York."]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


@given(st.lists(TEXTS, min_size=1, max_size=6), st.lists(TEXTS, max_size=4))
def test_a_name_is_found_exactly_where_it_stands_as_whole_words(
    names: list[str], texts: list[str]
) -> None:
    names = [name for name in names if normalise_name(name) != " us "]
    table, _ = build_names([(name,) for name in names] or [("Rome",)])
    found, _ = NameScanner(table).scan(texts, links=False)
    wanted = [
        [text, doc]
        for text in range(len(texts))
        for doc, name in enumerate(names)
        if len(normalise_name(name).strip()) > 1 and Haystack(texts[text]).holds(name)
    ]
    assert found.tolist() == wanted


def test_no_name_reaches_over_the_end_of_a_text() -> None:
    table, _ = build_names([("New York",), ("York",)])
    found, _ = NameScanner(table).scan(
        ["", "It is new", "York", "", "new", "New  York"], links=False
    )
    assert found.tolist() == [[2, 1], [5, 0], [5, 1]]


def test_acronyms_must_be_met_in_capitals() -> None:
    table, _ = build_names([("United States", "US"), ("WHO",), ("Rome", "us all")])
    texts = ["tell us who", "The U.S. and the WHO's men", "us all", "USA", "no ASCII: é US"]
    found, _ = NameScanner(table).scan(texts, links=True)
    assert found.tolist() == [[1, 0], [1, 1], [2, 2], [4, 0]]


@given(st.lists(st.text(max_size=9), max_size=30))
def test_strings_and_their_hashes_are_equal_together(values: list[str]) -> None:
    hashes = hash_strings(values)
    assert len(set(hashes.tolist())) == len(set(values))
    assert hash_strings(values, Roller()).tolist() == hashes.tolist()


@given(st.lists(st.lists(st.integers(0, 40).map(str), max_size=12), max_size=12))
def test_a_key_is_new_once(batches: list[list[str]]) -> None:
    keys, seen = KeySet(), set[str]()
    for batch in batches:
        wanted = []
        for key in batch:
            wanted.append(key not in seen)
            seen.add(key)
        assert keys.add(batch).tolist() == wanted


def test_shared_names_and_common_words_are_no_links_and_are_counted(
    tmp_path: Path, write_rows: Callable[..., Path], build: Callable[..., Corpus]
) -> None:
    rows = [
        {"id": "t", "title": "Turkey", "text": "Ankara is its capital."},
        {"id": "a", "title": "Ankara", "text": "A city in Turkey. They eat a turkey there."},
        {"id": "s", "title": "Page", "text": "Each page of the book is a page about Ankara."},
        {"id": "m1", "title": "Mercury (planet)", "text": "Nobody in Ankara or Rome lives there."},
        {"id": "m2", "title": "Mercury (metal)", "text": "Mercury in Turkey is on no page."},
        {"id": "r", "title": "Rome", "text": "Rome is no Mercury."},
        {"id": "w", "title": "The Who", "text": "A band.", "aliases": ["Who"]},
    ]
    corpus = build("jsonl", write_rows(tmp_path / "c.jsonl", rows))

    def links(key: str) -> list[str]:
        return [corpus.key(int(doc)) for doc in corpus.links.of(corpus.id(key))]

    assert [links(key) for key in ("t", "a", "s")] == [["a"], ["t"], ["a"]]
    assert (links("m1"), links("m2"), links("r")) == (["a", "r"], ["t"], [])
    meta = read_json(tmp_path / "run/corpus/meta.json")
    assert meta["names_left_out"] == {"ambiguous": 1, "common_words": 2}  # Page, Who
    assert corpus.ambiguous.tolist() == [False, False, False, True, True, False, False]
    assert corpus.mention_counts[corpus.id("s")] == 2  # mentions leave nothing out


def test_one_process_or_three_make_the_same_files(
    tmp_path: Path, write_rows: Callable[..., Path], build: Callable[..., Corpus]
) -> None:
    rows = [
        {
            "id": i,
            "title": f"Name {i}",
            "text": f"It lies near Name {i * 7 % 900} and Name {i // 2}.",
        }
        for i in range(900)
    ]
    path = write_rows(tmp_path / "c.jsonl", rows)
    build("jsonl", path, name="one", workers=1)
    build("jsonl", path, name="three", workers=3)
    files = sorted(f.name for f in (tmp_path / "one/corpus").iterdir() if f.is_file())
    assert "links_targets.npy" in files
    for name in files:
        one, three = (tmp_path / run / "corpus" / name for run in ("one", "three"))
        assert one.read_bytes() == three.read_bytes(), name
    assert np.load(tmp_path / "one/corpus/links_targets.npy").size > 900
