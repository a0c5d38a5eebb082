"""What is read out of a Factbook document, and what is left alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import orjson
import pytest

from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.stage import Config, run
from longtrace.training.facts import HOP_RELATIONS, LEAF_RELATIONS, fact_text, facts, fields

TEXTS = {
    "Alandia": (
        "## Economy\n\nExports - partners: US 40%, Bahamas, The 20%, Belandia 3% (2021)\n\n"
        "Imports - partners: Atlantis 30%, Belandia 12%\n\n"
        "## Geography\n\nLand boundaries - border countries: Belandia 1,200 km; US 90.5 km\n\n"
        "## Government\n\nCapital - name: Alanville; note - moved in 1990"
    ),
    "Belandia": "Capital - name: Belburg (Bel)\n\nExchange rates - Currency: bels (BEL) a dollar",
    "United States": "Capital - name: Washington, DC\n\nInternet country code: .us",
    "The Bahamas": "Capital - name: Nassau\n\nElevation - highest point: Mount Alvernia 64 m",
    "Wide Ocean": "Exports - partners: Belandia 50%",
}


@pytest.fixture
def small(tmp_path: Path) -> Corpus:
    rows = [{"id": name, "title": name, "text": text} for name, text in TEXTS.items()]
    rows[2]["aliases"] = ["US", "USA"]  # type: ignore[assignment]
    source = tmp_path / "rows.jsonl"
    source.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    run(Config(reader="jsonl", path=source), Options(run=tmp_path))
    return Corpus.open(tmp_path / "corpus")


def said(corpus: Corpus, name: str) -> dict[str, str]:
    return {f.relation: f.object for f in facts(corpus) if corpus.name(f.subject) == name}


def test_a_field_is_its_name_and_the_rest_of_its_paragraph() -> None:
    found = fields("## People\n\nArea: 5 km: rounded\n\nno field here\n\nArea: 6 km")
    assert found == {"Area": "5 km: rounded"}


def test_partners_are_found_under_short_forms_and_turned_names(small: Corpus) -> None:
    found = said(small, "Alandia")
    assert found["exports-to"] == "United States"
    assert found["also-exports-to"] == "The Bahamas"
    assert found["longest-border-with"] == "Belandia"
    assert found["capital"] == "Alanville"


def test_a_partner_without_a_document_gives_no_fact(small: Corpus) -> None:
    found = said(small, "Alandia")
    assert "imports-from" not in found
    assert found["also-imports-from"] == "Belandia"


def test_what_has_no_capital_has_no_facts(small: Corpus) -> None:
    assert said(small, "Wide Ocean") == {}


def test_leaves_are_one_value_without_notes(small: Corpus) -> None:
    assert said(small, "Belandia") == {"capital": "Belburg", "currency": "BEL"}
    assert said(small, "United States") == {"capital": "Washington", "internet-code": ".us"}
    assert said(small, "The Bahamas")["highest-point"] == "Mount Alvernia"


def test_a_fact_is_one_sentence() -> None:
    assert fact_text("Alandia", "exports-to", "Belandia") == "Alandia exports-to Belandia ."


def test_the_factbook_gives_every_relation_for_most_countries(corpus: Corpus) -> None:
    found = facts(corpus)
    counts = Counter(fact.relation for fact in found)
    assert counts.keys() == {*HOP_RELATIONS, *LEAF_RELATIONS}
    assert min(counts.values()) > 150
    assert len({(f.subject, f.relation) for f in found}) == len(found), "two objects for a relation"


def test_hop_facts_of_the_factbook_name_another_document(corpus: Corpus) -> None:
    for fact in facts(corpus):
        if fact.relation in HOP_RELATIONS:
            assert fact.target is not None
            assert fact.target != fact.subject
            assert corpus.name(fact.target) == fact.object
        else:
            assert fact.target is None


def test_known_facts_of_the_factbook_are_right(corpus: Corpus) -> None:
    canada = said(corpus, "Canada")
    assert canada["exports-to"] == "United States"
    assert canada["longest-border-with"] == "United States"
    assert canada["capital"] == "Ottawa"
    assert canada["internet-code"] == ".ca"
    assert canada["currency"] == "CAD"
