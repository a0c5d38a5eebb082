"""Rows for slime and verl: what their reward functions need is in them."""

import asyncio
import shutil
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from longtrace.config import Options
from longtrace.contexts.card import CANARY
from longtrace.contexts.export import Config, run
from longtrace.contexts.export_engines import VERL_SCHEMA


@pytest.fixture
def contexts(packed: Path, tmp_path: Path) -> Path:
    """A copy of the packed run that a test may write to."""
    shutil.copytree(packed, tmp_path / "run")
    return tmp_path / "run"


def test_slime_rows_have_prompt_label_and_metadata(contexts: Path) -> None:
    run(Config(to="slime", holdout=0), Options(run=contexts))
    lines = (contexts / "dataset" / "slime" / "train.jsonl").read_bytes().splitlines()
    rows = [orjson.loads(line) for line in lines]
    assert len(rows) == 5
    for row in rows:
        assert set(row) == {"prompt", "label", "metadata"}
        assert [message["role"] for message in row["prompt"]] == ["user"]
        assert isinstance(row["label"], str)
        assert row["metadata"]["canary"] == CANARY
    assert len({row["metadata"]["group_id"] for row in rows}) == 5


def test_verl_rows_have_the_columns_verl_reads(contexts: Path) -> None:
    run(Config(to="verl", holdout=0, format="jsonl"), Options(run=contexts))
    table = pq.read_table(contexts / "dataset" / "verl" / "train.parquet")
    assert table.schema.equals(VERL_SCHEMA)
    for row in table.to_pylist():
        assert row["reward_model"]["ground_truth"]
        assert row["extra_info"]["canary"] == CANARY
        assert row["extra_info"]["entities"]


def test_all_formats_ask_the_same(contexts: Path) -> None:
    for name in ("trl", "slime", "verl"):
        run(Config.model_validate({"to": name, "holdout": 0}), Options(run=contexts))
    folder = contexts / "dataset"
    trl = pq.read_table(folder / "trl" / "train.parquet").to_pylist()
    verl = pq.read_table(folder / "verl" / "train.parquet").to_pylist()
    lines = (folder / "slime" / "train.jsonl").read_bytes().splitlines()
    slime = [orjson.loads(line) for line in lines]
    assert [row["prompt"] for row in trl] == [row["prompt"] for row in verl]
    assert [row["prompt"] for row in trl] == [row["prompt"] for row in slime]
    assert [row["entities"] for row in trl] == [row["metadata"]["entities"] for row in slime]
    assert [row["entities"] for row in trl] == [row["extra_info"]["entities"] for row in verl]


def test_an_exported_row_is_scored_by_both_engines_functions(contexts: Path) -> None:
    from types import SimpleNamespace

    from longtrace.training import slime, verl

    for name in ("slime", "verl"):
        run(Config.model_validate({"to": name, "holdout": 0}), Options(run=contexts))
    line = (contexts / "dataset" / "slime" / "train.jsonl").read_bytes().splitlines()[0]
    row = orjson.loads(line)
    names = " ".join(entity["name"] for entity in row["metadata"]["entities"])
    text = f"<think>x</think>{names}\nanswer: {row['label']}"
    sample = SimpleNamespace(
        response=text, label=row["label"], metadata=row["metadata"], status="completed"
    )
    assert asyncio.run(slime.custom_rm(SimpleNamespace(), sample)) == 1.0
    assert sample.metadata[slime.KEY]["rubric"] == 1.0
    other = pq.read_table(contexts / "dataset" / "verl" / "train.parquet").to_pylist()[0]
    truth = other["reward_model"]["ground_truth"]
    packed = asyncio.run(verl.compute_score("longtrace", text, truth, other["extra_info"]))
    assert packed["score"] == 2.0
