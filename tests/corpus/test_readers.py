"""The readers `kilt`, `mediawiki`, `folder` and `foldoc` on sources in their real syntax."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from longtrace.corpus.corpus import Corpus
from longtrace.corpus.readers import READERS
from longtrace.corpus.readers.base import Item, Redirect, Rejected, read
from longtrace.records import Document

Build = Callable[..., Corpus]


def items(reader: str, path: Path) -> list[Item]:
    return list(read(READERS[reader], path))


def documents(reader: str, path: Path) -> list[Document]:
    return [item for item in items(reader, path) if isinstance(item, Document)]


def anchors(document: Document) -> list[tuple[str, str]]:
    return [(link.target, document.text[link.start : link.end]) for link in document.links or ()]


KILT: list[dict[str, Any]] = [
    {
        "_id": "290",
        "wikipedia_id": 290,
        "wikipedia_title": "Alpha",
        "text": [
            "Alpha\n",
            "Alpha notes that beta sees also gamma.\n",
            "Section::::History.\n",
            "BULLET::::- First Beta\n",
            "BULLET::::- then gamma\n",
            "Section::::History.:References.\n",
            "Kept, for it is a part of the history.\n",
            "Section::::See also.\n",
            "BULLET::::- Gamma\n",
            "Section::::See also.:Books.\n",
            "Gamma again\n",
            "Section::::Legacy.\n",
            "Much of it.\n",
        ],
        "anchors": [
            {"text": "beta", "href": "beta", "paragraph_id": 1, "start": 17, "end": 21},
            {"text": "gamma", "href": "Gamma_ray%20", "paragraph_id": 1, "start": 32, "end": 37},
            {"text": "Beta", "href": "Beta", "paragraph_id": 3, "start": 18, "end": 22},
            {"text": "Gamma", "href": "Gamma", "paragraph_id": 8, "start": 12, "end": 17},
        ],
        "categories": "Letters,Greek",
        "wikidata_info": {"aliases": ["A letter", 3]},
    },
    {"wikipedia_id": "2", "wikipedia_title": "Beta", "text": ["Beta\n", "x\n"], "anchors": []},
]


def test_kilt_cuts_at_reference_headings_never_at_words(
    tmp_path: Path, write_rows: Callable[..., Path]
) -> None:
    alpha, _ = documents("kilt", write_rows(tmp_path / "kilt.json", KILT))
    assert alpha.text == (
        "Alpha notes that beta sees also gamma.\n\n## History\n\n- First Beta\n- then gamma\n\n"
        "### References\n\nKept, for it is a part of the history.\n\n## Legacy\n\nMuch of it."
    )
    assert anchors(alpha) == [("Beta", "beta"), ("Gamma ray", "gamma"), ("Beta", "Beta")]
    assert (alpha.aliases, alpha.source) == (("A letter",), "kilt:290")


def test_a_colon_in_a_heading_is_no_nesting_and_ends_what_is_dropped(
    tmp_path: Path, write_rows: Callable[..., Path]
) -> None:
    text = ["Alpha\n", "Section::::See also.\n", "cut\n"]
    text += ["Section::::Films: a new hope.\n", "kept\n", "Section::::Films: a new hope.:Cast.\n"]
    page = {"wikipedia_id": "1", "wikipedia_title": "Alpha", "text": [*text, "all\n"]}
    (alpha,) = documents("kilt", write_rows(tmp_path / "kilt.json", [page]))
    assert alpha.text == "## Films: a new hope\n\nkept\n\n### Cast\n\nall"


def test_anchors_outside_their_paragraph_are_links_without_a_place(
    tmp_path: Path, write_rows: Callable[..., Path]
) -> None:
    text = ["Alpha\n", "one beta\n", "Section::::Beta.\n", "two\n"]
    places = [(1, 4, 8), (1, -3, 2), (1, 4, 99), (1, 6, 5), (2, 0, 4), (9, 0, 1)]
    anchors = [
        {"text": "x", "href": f"T{n}", "paragraph_id": p, "start": a, "end": b}
        for n, (p, a, b) in enumerate(places)
    ]
    page = {"wikipedia_id": "1", "wikipedia_title": "Alpha", "text": text, "anchors": anchors}
    (alpha,) = documents("kilt", write_rows(tmp_path / "kilt.json", [page]))
    assert [(link.target, link.start) for link in alpha.links or ()] == [
        ("T0", 4),
        ("T1", None),
        ("T2", None),
        ("T3", None),
        ("T4", None),
    ]


def test_kilt_links_resolve_by_title_and_dead_ones_are_counted(
    tmp_path: Path, write_rows: Callable[..., Path], build: Build
) -> None:
    corpus = build("kilt", write_rows(tmp_path / "kilt.json", KILT), workers=2)
    assert corpus.links.of(corpus.id("Alpha")).tolist() == [corpus.id("Beta")]


WIKI = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" xml:lang="en">
<siteinfo><sitename>W</sitename></siteinfo>
<page><title>Old Paris</title><ns>0</ns><id>1</id><redirect title="City of Light" />
<revision><text>#REDIRECT [[City of Light]]</text></revision></page>
<page><title>City of Light</title><ns>0</ns><id>2</id><redirect title="Paris" />
<revision><text>#REDIRECT [[Paris]]</text></revision></page>
<page><title>Paris</title><ns>0</ns><id>3</id><revision><text>{{Infobox|x=[[Rome]]}}
'''Paris''' ({{IPA|x}}) is the [[capital city|capital]] of
[[france]]&lt;ref&gt;[[Rome]]&lt;/ref&gt;.&lt;!-- no --&gt;
[[File:x.jpg|thumb|the [[Seine]]]][[Category:Cities]]
== History ==
* [[Lutetia]]
{| class="wikitable"
| cell [[Rome]]
|}
== See also ==
* [[Rome]]
=== Deep ===
[[Rome]]
== Legacy ==
A [http://example.org site] &amp;amp; more, 5&amp;nbsp;km.
[[de:Paris]]</text></revision></page>
<page><title>Talk:Paris</title><ns>1</ns><id>4</id><revision><text>chat</text></revision></page>
<page><title>France</title><ns>0</ns><id>5</id><revision>
<text>Its capital is [[Old Paris#Now|this city]].</text></revision></page>
</mediawiki>
"""


def test_what_the_parser_takes_for_text_in_broken_wikitext_is_dropped_as_well(
    tmp_path: Path,
) -> None:
    pytest.importorskip("mwparserfromhell", reason="needs the mediawiki extra")
    text = (
        "One ''two\n'''three<ref name=\"a\">[[Rome]] {{cite}}</ref> four'' [[Paris|five]].\n\n"
        "{| class=wikitable {{x\n|-\n| [[Rome|cell]] || b\n\nSix | seven [[Oslo]]."
    )
    escaped = text.replace("<", "&lt;").replace(">", "&gt;")
    page = f"<page><title>A</title><ns>0</ns><revision><text>{escaped}</text></revision></page>"
    path = tmp_path / "w.xml"
    path.write_text(f"<mediawiki>{page}</mediawiki>")
    (made,) = documents("mediawiki", path)
    assert not any(mark in made.text for mark in ("<ref", "cite", "class=", "cell", "||"))
    assert "Six | seven Oslo." in made.text
    assert anchors(made) == [("Paris", "five"), ("Oslo", "Oslo")]


@pytest.mark.parametrize("ending", ["", ".bz2", ".gz"])
def test_mediawiki_keeps_prose_and_its_links(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("mwparserfromhell", reason="needs the mediawiki extra")
    packs: dict[str, Callable[[bytes], bytes]] = {".bz2": bz2.compress, ".gz": gzip.compress}
    path = tmp_path / f"w.xml{ending}"
    path.write_bytes(packs.get(ending, bytes)(WIKI.encode()))
    found = items("mediawiki", path)
    assert found[:2] == [
        Redirect("Old Paris", "City of Light"),
        Redirect("City of Light", "Paris"),
    ]
    paris, france = [item for item in found if isinstance(item, Document)]
    assert paris.text == (
        "Paris is the capital of\nfrance.\n\n## History\n\n- Lutetia\n\n## Legacy\n\n"
        "A site & more, 5\N{NO-BREAK SPACE}km.".replace("\N{NO-BREAK SPACE}", " ")
    )
    assert anchors(paris) == [
        ("Capital city", "capital"),
        ("France", "france"),
        ("Lutetia", "Lutetia"),
    ]
    assert anchors(france) == [("Old Paris", "this city")]


def test_redirects_become_aliases_and_carry_links(tmp_path: Path, build: Build) -> None:
    pytest.importorskip("mwparserfromhell", reason="needs the mediawiki extra")
    path = tmp_path / "w.xml"
    path.write_text(WIKI)
    corpus = build("mediawiki", path, workers=2)
    paris, france = corpus.id("Paris"), corpus.id("France")
    assert corpus.aliases(paris) == ("City of Light", "Old Paris")
    assert corpus.links.of(france).tolist() == [paris]
    assert corpus.links.of(paris).tolist() == [france]


def test_a_dump_that_ends_in_a_page_keeps_the_pages_before_it(tmp_path: Path) -> None:
    pytest.importorskip("mwparserfromhell", reason="needs the mediawiki extra")
    path = tmp_path / "w.xml"
    path.write_text(WIKI[: WIKI.index("== Legacy")])
    last = items("mediawiki", path)[-1]
    assert isinstance(last, Rejected)
    assert (last.reason, last.line) == ("file damaged or cut short", 3)


def test_a_folder_gives_titles_links_and_aliases(tmp_path: Path, build: Build) -> None:
    root = tmp_path / "docs"
    (root / "guide").mkdir(parents=True)
    (root / ".hidden").mkdir()
    (root / ".hidden/x.md").write_text("# no")
    (root / "picture.png").write_bytes(b"\x89PNG")
    (root / "index.md").write_text(
        "---\ntitle: Start here\naliases: [Home, 7]\n---\n# Other\n\n"
        "See [the *setup*](guide/setup.html#a) "
        "and [notes](guide/notes) or [away](https://example.org/a.md).\n\n- one\n- two\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n"
    )
    (root / "guide/setup.html").write_text(
        "<html><head><title>Set up</title><style>p{}</style></head>"
        "<body><nav><a href='x'>n</a></nav>"
        "<div role='navigation'><div>x</div><ul><li>menu</ul></div><ul><li></li></ul><h2>Go</h2>"
        "<ul><li><p>item<a href='#i'>\N{PILCROW SIGN}</a></p></li></ul>"
        "<p>Go  <a href='../index.md'>back\nhome</a>.</p><script>alert(1)</script><p>A&amp;B</p>"
        "<a href='missing.html'>gone</a></body></html>"
    )
    (root / "guide/notes.txt").write_text("Plain <b>notes</b>.\n")
    found = {d.key: d for d in documents("folder", root)}
    assert list(found) == ["index.md", "guide/notes.txt", "guide/setup.html"]
    index, setup, notes = (found[k] for k in ("index.md", "guide/setup.html", "guide/notes.txt"))
    assert (index.title, index.aliases) == ("Start here", ("Home",))
    assert anchors(index) == [("guide/setup.html", "the setup"), ("guide/notes.txt", "notes")]
    assert "- one\n- two" in index.text
    assert "a | b\n1 | 2" in index.text
    assert (setup.title, setup.text) == (
        "Set up",
        "## Go\n\n- item\n\nGo back home.\n\nA&B\n\ngone",
    )
    assert anchors(setup) == [("index.md", "back home"), ("guide/missing.html", "gone")]
    assert (notes.title, notes.text, notes.links) == ("notes", "Plain <b>notes</b>.", None)
    corpus = build("folder", root)
    assert corpus.links.of(corpus.id("index.md")).tolist() == [
        corpus.id("guide/notes.txt"),
        corpus.id("guide/setup.html"),
    ]


def test_a_folder_reads_declared_encodings_and_rejects_broken_ones(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(b"<meta charset='iso-8859-1'><p>caf\xe9</p>")
    (tmp_path / "b.md").write_bytes(b"caf\xe9")
    (tmp_path / "c.txt").write_bytes("café".encode("utf-16"))
    a, b, c = items("folder", tmp_path)
    assert isinstance(a, Document)
    assert isinstance(c, Document)
    assert isinstance(b, Rejected)
    assert (a.text, c.text, b.reason) == ("café", "café", "broken encoding")


def test_links_out_of_the_folder_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "secret.md").write_text("secret")
    (tmp_path / "root/a.md").write_text("[x](../secret.md) [y](//host/a.md) [z](#here)")
    (a,) = documents("folder", tmp_path / "root")
    assert anchors(a) == [("../secret.md", "x")]


def dictd(folder: Path, entries: list[tuple[list[str], str]]) -> Path:
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    def number(value: int) -> str:
        out = digits[value % 64]
        while value := value // 64:
            out = digits[value % 64] + out
        return out

    data, index = b"", []
    for words, body in entries:
        entry = body.encode()
        index += [f"{word}\t{number(len(data))}\t{number(len(entry))}" for word in words]
        data += entry
    (folder / "d.dict.dz").write_bytes(gzip.compress(data))
    (folder / "d.index").write_text("\n".join(sorted(index)) + "\n")
    return folder / "d.index"


ENTRIES = [
    (["00-database-info"], "00-database-info\n   about\n"),
    (
        ["advanced audio coding", "aac"],
        "Advanced Audio Coding\nAAC\n\n   <audio> (AAC) A successor to {mp3}, see {MPEG-2\n"
        "   AAC} and {(http://x.y/)}.\n\n   (2001-12-05)\n\n",
    ),
    (["mp3"], "MP3\n\n   A {Advanced\n   audio coding} rival, not {aac}.\n\n"),
    (["mp3"], "MP3\n\n   Another meaning.\n\n"),
]


def test_foldoc_resolves_references_over_all_headwords(tmp_path: Path, build: Build) -> None:
    path = dictd(tmp_path, ENTRIES)
    aac, mp3, other = documents("foldoc", path)
    assert (aac.key, aac.aliases) == ("Advanced Audio Coding", ("AAC",))
    assert aac.text.startswith(
        "<audio> (AAC) A successor to mp3, see MPEG-2 AAC and (http://x.y/)."
    )
    assert anchors(aac)[:2] == [("MP3", "mp3"), ("mpeg-2 aac", "MPEG-2 AAC")]
    assert {target for target, _ in anchors(mp3)} == {"Advanced Audio Coding"}
    assert (other.key, other.title) == ("MP3 (2)", "MP3")
    corpus = build("foldoc", tmp_path)
    assert corpus.links.of(corpus.id("MP3")).tolist() == [corpus.id("Advanced Audio Coding")]


def test_a_dictionary_cut_short_keeps_its_whole_entries(tmp_path: Path) -> None:
    path = dictd(tmp_path, ENTRIES)
    whole = (tmp_path / "d.dict.dz").read_bytes()
    (tmp_path / "d.dict.dz").write_bytes(gzip.compress(gzip.decompress(whole)[:-20]))
    found = items("foldoc", path)
    assert [type(item).__name__ for item in found].count("Document") == 2
    assert [i.reason for i in found if isinstance(i, Rejected)] == ["file damaged or cut short"]
