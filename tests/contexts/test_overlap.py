from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from longtrace.config import Options
from longtrace.contexts import overlap
from longtrace.contexts.stage import Config, run
from longtrace.contexts.strategies import STRATEGIES
from longtrace.corpus.corpus import Corpus
from longtrace.records import Context, Passage, Tier
from longtrace.store import read_json, read_records

from .conftest import BUDGET, DOCUMENTS, document, name, question

Table = dict[str, Any]


@pytest.fixture
def table(packed: Path) -> Table:
    found: Table = read_json(packed / "contexts" / "overlap.json")
    return found


def holds(passage: Passage, gold: list[str]) -> bool:
    """By hand: the names are made so that plain `in` is a whole-word test."""
    row = document(int(passage.doc[1:]))
    text = f"{row['title']} {str(row['text'])[: passage.chars]}"
    return any(entity in text for entity in gold)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_shares_are_those_counted_by_hand(strategy: str, packed: Path, table: Table) -> None:
    shares, n = [], 0
    for context in read_records(packed / "contexts" / strategy / "data.jsonl", Context):
        gold = [hop.entity for hop in question(int(context.question_id[1:])).hops]
        hits = [holds(p, gold) for p in context.passages if p.tier is not Tier.GOLD]
        shares.append(sum(hits) / len(hits))
        n += len(hits)
    assert table["overlap"][strategy]["all"] == pytest.approx(sum(shares) / len(shares), abs=1e-6)
    assert table["overlap"][strategy]["distractors"] == n


def test_strategies_without_a_tier_have_no_share_for_it(
    table: Table,
) -> None:
    for strategy in ("random", "search"):
        assert table["overlap"][strategy]["read"] is None
        assert table["overlap"][strategy]["seen"] is None
    assert table["overlap"]["tiered"]["read"] is not None
    assert set(table["overlap"]) == set(STRATEGIES)
    assert set(table["control"]) == {overlap.CONTROL}
    assert set(table["paired"]) == {f"{a} - {b}" for a, b in overlap.PAIRS}


def test_a_cut_passage_is_judged_by_what_is_kept(packed: Path) -> None:
    corpus = Corpus.open(packed / "corpus")
    asked, text = question(0), corpus.text(corpus.id("d22"))
    at = text.index(name(0))
    for chars, expected in ((None, True), (at + len(name(0)), True), (at, False)):
        passage = Passage(doc="d22", tier=Tier.READ, tokens=1, chars=chars)
        assert overlap.holds_gold(passage, asked, corpus) is expected


def test_where_the_pool_fits_the_table_makes_no_claim(fresh_run: Path, table: Table) -> None:
    result = run(Config(budget_tokens=20_000), Options(run=fresh_run, workers=1))
    assert result.json["pool"]["same_set"] is True
    assert result.json["pool"]["same"]["mean"] == 1
    assert any("says nothing" in note for note in result.json["notes"])
    lines = [line for line in result.text if isinstance(line, str)]
    assert any("not comparable" in line for line in lines)
    assert table["pool"]["same_set"] is False


def test_the_offline_agent_is_named_as_a_reason_for_caution(
    table: Table,
) -> None:
    assert any("offline agent" in note for note in table["notes"])


def test_length_matched_documents_have_about_the_lengths_of_the_tiered_ones(
    table: Table,
) -> None:
    lengths = [len(str(document(doc)["text"])) for doc in range(DOCUMENTS)]
    matched, tiered = (table["detail"][s]["mean_chars"] for s in (overlap.CONTROL, "tiered"))
    assert min(lengths) <= matched <= max(lengths)
    assert matched == pytest.approx(tiered, rel=0.25)


def test_the_table_reads_the_same_when_it_comes_from_its_file(fresh_run: Path) -> None:
    config, options = Config(budget_tokens=BUDGET), Options(run=fresh_run, workers=1)
    shown = []
    for _ in range(2):
        console = Console(file=StringIO(), width=80)
        for item in run(config, options).text:
            console.print(item)
        shown.append(console.file.getvalue())  # type: ignore[attr-defined]
    assert shown[0] == shown[1]
    rows = [line.split()[0] for line in shown[0].splitlines() if " all " in line]
    assert rows == [*STRATEGIES, overlap.CONTROL]


def test_with_passages_the_share_without_siblings_is_given_too(fresh_run: Path) -> None:
    config = Config(budget_tokens=3_000, unit="passage", passage_chars=600)
    result = run(config, Options(run=fresh_run, workers=1))
    for strategy in STRATEGIES:
        counted, without, n, m = [], [], 0, 0
        path = fresh_run / "contexts" / strategy / "data.jsonl"
        for context in read_records(path, Context):
            asked = question(int(context.question_id[1:]))
            gold = {hop.doc: hop.entity for hop in asked.hops}
            others = [p for p in context.passages if p.tier is not Tier.GOLD]
            hits = [(p.doc in gold, part_holds(p, list(gold.values()))) for p in others]
            counted.append(sum(hit for _, hit in hits) / len(hits))
            apart = [hit for sibling, hit in hits if not sibling]
            without.append(sum(apart) / len(apart))
            n, m = n + len(hits), m + len(apart)
        detail = result.json["detail"][strategy]
        assert detail["all"]["mean"] == pytest.approx(sum(counted) / len(counted), abs=1e-6)
        assert detail["other_articles"]["mean"] == pytest.approx(sum(without) / 5, abs=1e-6)
        assert (detail["distractors"], detail["n"]["other_articles"]) == (n, m)
    assert result.json["detail"]["tiered"]["n"]["other_articles"] < n
    assert "paired_other_articles" in result.json
    lines = [line for line in result.text if isinstance(line, str)]
    assert "without other passages of gold articles:" in lines


def part_holds(passage: Passage, gold: list[str]) -> bool:
    row = document(int(passage.doc[1:]))
    text = f"{row['title']} {passage.part(str(row['text']))}"
    return any(entity in text for entity in gold)


@pytest.mark.parametrize("width", [80, 120])
def test_the_printed_table_fits_a_terminal(width: int, fresh_run: Path) -> None:
    config = Config(budget_tokens=3_000, unit="passage", passage_chars=600)
    table = run(config, Options(run=fresh_run, workers=1))
    console = Console(file=StringIO(), width=width, soft_wrap=True)
    for item in table.text:
        if not isinstance(item, str):
            console.print(item)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, shown.splitlines())) <= width
    for heading in ("strategy", "tier", "% [95 % CI]", "mean chars", "paper"):
        assert heading in shown
    assert "\u2026" not in shown
    assert [line.split()[0] for line in shown.splitlines() if " all " in line] == [
        *STRATEGIES,
        overlap.CONTROL,
    ]
