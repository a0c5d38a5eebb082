"""Compact facts from the documents of a Factbook corpus: what a tiny policy can read.

A fact is `subject relation object`. Hop relations lead from one country to another and are what a
walk follows; leaf relations end it with a value. Everything is parsed from the documents' own
fields; a field that cannot be read, or a partner that is no document of the corpus, gives no fact.
A relation has at most one object for a subject.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from longtrace.corpus.corpus import Corpus
from longtrace.text import normalise_name

HOP_RELATIONS = (
    "exports-to",
    "also-exports-to",
    "imports-from",
    "also-imports-from",
    "longest-border-with",
)
LEAF_RELATIONS = (
    "capital",
    "internet-code",
    "currency",
    "aircraft-prefix",
    "highest-point",
    "main-export-good",
    "region",
)

_PARTNER = re.compile(r"([A-Z][^;%\d]*?)\s+(\d+)%")
_BORDER = re.compile(r"([A-Z][^;\d]*?)\s+(\d[\d,.]*)\s*km")
_FIRST = re.compile(r"[^;,(]+")
_PARENTHESES = re.compile(r"\s*\([^()]*\)")


class Fact(NamedTuple):
    """One statement of a document about its subject."""

    subject: int
    """Document whose subject the fact is about."""
    relation: str
    object: str
    """Name of the country, or the value as the document writes it."""
    target: int | None
    """Document of the object; None for a leaf relation."""


def fact_title(name: str, relation: str) -> str:
    """Title of a fact as a small document of its own."""
    return f"{name} {relation}"


def fact_text(name: str, relation: str, value: str) -> str:
    """The fact as the one sentence of its document."""
    return f"{name} {relation} {value} ."


def facts(corpus: Corpus) -> list[Fact]:
    """All facts, in document order; what has no capital (oceans, unions) is left out."""
    resolve = _resolver(corpus)
    return [fact for doc in range(len(corpus)) for fact in _facts_of(doc, corpus, resolve)]


def fields(text: str) -> dict[str, str]:
    """`Field: value` paragraphs of a text as a mapping; of fields with the same name the first."""
    found: dict[str, str] = {}
    for paragraph in text.split("\n\n"):
        name, colon, value = paragraph.partition(": ")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def _facts_of(doc: int, corpus: Corpus, resolve: Callable[[str], int | None]) -> Iterator[Fact]:
    given = fields(corpus.text(doc))
    if not given.get("Capital - name"):
        return
    for relation, other in _partners(given, resolve):
        if other != doc:
            yield Fact(doc, relation, corpus.name(other), other)
    for relation, value in _leaves(given):
        yield Fact(doc, relation, value, None)


def _partners(
    given: Mapping[str, str], resolve: Callable[[str], int | None]
) -> Iterator[tuple[str, int]]:
    """The two largest partners of each direction and the neighbour with the longest border."""
    for field, relations in (
        ("Exports - partners", HOP_RELATIONS[0:2]),
        ("Imports - partners", HOP_RELATIONS[2:4]),
    ):
        named = _PARTNER.findall(given.get(field, ""))
        for relation, (name, _) in zip(relations, named, strict=False):
            doc = resolve(name)
            if doc is not None:
                yield relation, doc
    borders = [
        (float(km.replace(",", "").rstrip(".") or 0), resolve(name))
        for name, km in _BORDER.findall(given.get("Land boundaries - border countries", ""))
    ]
    known = [(km, doc) for km, doc in borders if doc is not None]
    if known:
        yield HOP_RELATIONS[4], max(known)[1]


def _leaves(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Leaf relations with the value as one line."""
    patterns = (
        ("capital", "Capital - name", _FIRST),
        ("internet-code", "Internet country code", re.compile(r"\.[a-z]{2}\b")),
        ("currency", "Exchange rates - Currency", re.compile(r"(?<=\()[A-Z]{3}(?=\))")),
        (
            "aircraft-prefix",
            "Civil aircraft registration country code prefix",
            re.compile(r"^[A-Z0-9]{1,2}(-[A-Z])?"),
        ),
        ("highest-point", "Elevation - highest point", re.compile(r"^[A-Z][^\d;]+?(?=\s+-?\d)")),
        ("main-export-good", "Exports - commodities", _FIRST),
        ("region", "Map references", _FIRST),
    )
    for relation, field, pattern in patterns:
        match = pattern.search(given.get(field, ""))
        if match and match.group().strip():
            yield relation, match.group().strip()


def _resolver(corpus: Corpus) -> Callable[[str], int | None]:
    """Name as a field writes it -> document; None unless exactly one document has that name."""
    known: dict[str, int | None] = {}
    for doc in range(len(corpus)):
        for form in {f for name in (corpus.name(doc), *corpus.aliases(doc)) for f in _forms(name)}:
            known[form] = doc if form not in known else None

    def resolve(name: str) -> int | None:
        hits = (known.get(form) for form in _forms(name))
        return next((doc for doc in hits if doc is not None), None)

    return resolve


def _forms(name: str) -> Iterable[str]:
    """Normalised ways to write a name, closest first: `Bahamas, The` -> the bahamas, bahamas."""
    name = _PARENTHESES.sub("", name).replace("&", "and").strip(" ,;")
    name = re.sub(r"^St\. ", "Saint ", name)
    forms = [name]
    if ", " in name:
        last, first = name.split(", ", 1)
        forms.append(f"{first} {last}")
    forms += [form[4:] for form in forms if form.lower().startswith("the ")]
    return [normal for form in forms if (normal := normalise_name(form))]
