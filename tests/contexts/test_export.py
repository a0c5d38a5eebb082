import shutil
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from longtrace.config import Options
from longtrace.contexts.card import CANARY
from longtrace.contexts.export import TRL_SCHEMA, Config, held_out, require_current, run
from longtrace.contexts.stage import Config as ContextsConfig
from longtrace.contexts.stage import run as pack
from longtrace.corpus.stage import Config as CorpusConfig
from longtrace.corpus.stage import run as corpus
from longtrace.errors import InputError, RunFolderError
from longtrace.records import Context, Record
from longtrace.store import Stage, read_json, read_records
from longtrace.tokens import load

from .conftest import DOCUMENTS, document, question


@pytest.fixture
def contexts(packed: Path, tmp_path: Path) -> Path:
    """A copy of the packed run that a test may write to."""
    shutil.copytree(packed, tmp_path / "run")
    return tmp_path / "run"


def test_trl_rows_hold_what_the_reward_needs(contexts: Path) -> None:
    run(Config(holdout=0), Options(run=contexts))
    table = pq.read_table(contexts / "dataset" / "trl" / "train.parquet")
    assert table.schema.equals(TRL_SCHEMA)
    rows = table.to_pylist()
    assert len({row["group_id"] for row in rows}) == len(rows) == 5
    tokens = load(str(contexts / "contexts" / "tokenizer.json"))
    made = {c.id: c for c in read_records(contexts / "contexts" / "tiered" / "data.jsonl", Context)}
    for row in rows:
        context = made[row["context_id"]]
        asked = question(int(context.question_id[1:]))
        assert [m["role"] for m in row["prompt"]] == ["user"]
        assert tokens.count(row["prompt"][0]["content"]) == context.tokens
        assert (row["question"], row["answer"]) == (asked.text, asked.answer)
        assert [e["name"] for e in row["entities"]] == [hop.entity for hop in asked.hops]
        assert (row["strategy"], row["budget_tokens"]) == ("tiered", context.budget_tokens)
        assert row["canary"] == CANARY


def test_published_rows_have_the_published_keys_and_no_others(contexts: Path) -> None:
    run(Config(to="longtracerl", strategy="search", holdout=0), Options(run=contexts))
    lines = (contexts / "dataset" / "longtracerl" / "train.jsonl").read_bytes().splitlines()
    rows = [orjson.loads(line) for line in lines]
    assert len(rows) == 5
    for row in rows:
        assert set(row) == {"source", "input_messages", "label", "metadata"}
        assert row["source"] == "longqa"
        assert set(row["metadata"]) == {"extra_reward_info"}
        info = row["metadata"]["extra_reward_info"]
        assert {"question", "rubrics", "dataset_name"} <= set(info)
        assert info["dataset_name"] != "longrlvr"
        assert len(info["rubrics"]) == 3
        assert info["canary"] == CANARY
        assert CANARY not in row["input_messages"][0]["content"]


def test_jsonl_and_parquet_hold_the_same_rows(contexts: Path) -> None:
    run(Config(holdout=0.5), Options(run=contexts))
    folder = contexts / "dataset" / "trl"
    parquet = {s: pq.read_table(folder / f"{s}.parquet").to_pylist() for s in ("train", "test")}
    run(Config(holdout=0.5, format="jsonl"), Options(run=contexts, fresh=True))
    for split, rows in parquet.items():
        lines = (folder / f"{split}.jsonl").read_bytes().splitlines()
        assert [orjson.loads(line) for line in lines] == rows


def test_a_question_falls_on_the_same_side_whatever_the_strategy(contexts: Path) -> None:
    sides = []
    for strategy in ("tiered", "random"):
        run(Config(strategy=strategy, holdout=0.5), Options(run=contexts, fresh=True))
        rows = pq.read_table(contexts / "dataset" / "trl" / "test.parquet").to_pylist()
        sides.append({row["question"] for row in rows})
    assert sides[0] == sides[1]


def test_about_the_asked_share_is_held_out_and_the_seed_decides_which() -> None:
    ids = [f"q{n}" for n in range(5_000)]
    first = [held_out(q, holdout=0.2, seed=0) for q in ids]
    assert 0.18 < sum(first) / len(ids) < 0.22
    assert first != [held_out(q, holdout=0.2, seed=1) for q in ids]
    assert not any(held_out(q, holdout=0, seed=0) for q in ids)
    wider = [held_out(q, holdout=0.5, seed=0) for q in ids]
    assert all(b for a, b in zip(first, wider, strict=True) if a)


def test_the_same_export_gives_the_same_bytes_and_leaves_no_scraps(contexts: Path) -> None:
    options = Options(run=contexts)
    folder = contexts / "dataset" / "trl"
    run(Config(), options)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(first) == {"stage.json", "train.parquet", "test.parquet", "meta.json", "README.md"}
    (folder / "meta.json").unlink()
    (folder / "train.parquet").rename(folder / "train.parquet.partial")
    run(Config(), options)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert sum(read_json(folder / "meta.json")["splits"].values()) == 5


def test_another_strategy_into_the_same_folder_stops_with_a_message(contexts: Path) -> None:
    run(Config(), Options(run=contexts))
    with pytest.raises(RunFolderError, match='strategy = "tiered", now strategy = "random"'):
        run(Config(strategy="random"), Options(run=contexts))


def test_missing_contexts_name_the_command_that_makes_them(unpacked: Path) -> None:
    with pytest.raises(RunFolderError, match=r"longtrace contexts --strategy search --run"):
        run(Config(strategy="search"), Options(run=unpacked))


def test_a_context_of_an_unknown_question_is_named_by_its_line(contexts: Path) -> None:
    path = contexts / "questions" / "data.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"id":"q1"', b'"id":"q8"'))
    with pytest.raises(InputError, match=r"data\.jsonl:2: question q1 is not in this run"):
        run(Config(), Options(run=contexts))


def remade(folder: Path, stage: str, rows: list[Record], inputs: dict[str, str]) -> None:
    with Stage(folder / stage, {}, inputs, fresh=True) as out:
        for row in rows:
            out.accept(row)
        out.finish()


def longer_corpus(folder: Path) -> None:
    """The same documents with more text, as `corpus --fresh` would make of another source."""
    source = folder / "longer.jsonl"
    rows = [{**document(n), "text": f"{document(n)['text']} and more"} for n in range(DOCUMENTS)]
    source.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    made = CorpusConfig(reader="jsonl", path=source)
    corpus(made, Options(run=folder, workers=1, fresh=True))


def test_contexts_of_other_documents_or_questions_are_not_exported(contexts: Path) -> None:
    run(Config(), Options(run=contexts))
    remade(contexts, "questions", [question(n) for n in range(6)], {})
    with pytest.raises(RunFolderError, match=r"another questions stage.*--strategy tiered --fresh"):
        run(Config(), Options(run=contexts, fresh=True))
    remade(contexts, "questions", [question(n) for n in range(7)], {})
    run(Config(), Options(run=contexts, fresh=True))
    longer_corpus(contexts)
    with pytest.raises(RunFolderError, match=r"tiered: made from another corpus stage"):
        run(Config(), Options(run=contexts, fresh=True))
    assert len(pq.read_table(contexts / "dataset" / "trl" / "train.parquet")) > 0


def test_a_dataset_of_earlier_contexts_is_not_trained_on(contexts: Path) -> None:
    run(Config(), Options(run=contexts))
    folder = contexts / "dataset" / "trl"
    require_current(folder)
    options = Options(run=contexts, workers=1, fresh=True)
    pack(ContextsConfig(budget_tokens=1_500, strategy="tiered"), options)
    with pytest.raises(RunFolderError, match="longtrace export --to trl --fresh"):
        require_current(folder)
    shutil.rmtree(contexts / "contexts")
    require_current(folder)


def test_cut_contexts_are_not_exported(contexts: Path) -> None:
    path = contexts / "contexts" / "tiered" / "data.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    with pytest.raises(
        RunFolderError, match=r"data\.jsonl: 2 whole lines.*contexts --strategy tie"
    ):
        run(Config(), Options(run=contexts))


@pytest.mark.parametrize("text", ["{}", "[]", "nonsense", None])
@pytest.mark.parametrize(
    "name", ["corpus/meta.json", "contexts/meta.json", "contexts/overlap.json"]
)
def test_damaged_files_of_earlier_stages_are_named_with_a_remedy(
    contexts: Path, name: str, text: str | None
) -> None:
    path = contexts / name
    path.unlink()
    if text is not None:
        path.write_text(text)
    if (name, text) == ("contexts/meta.json", None):
        run(Config(), Options(run=contexts))  # strategies may be complete before the table is
        card = (contexts / "dataset" / "trl" / "README.md").read_text()
        assert "## Overlap" not in card
        assert "--strategy tiered" in card
        return
    stage = name.split("/")[0]
    with pytest.raises(RunFolderError, match=rf"{stage}.*run `longtrace {stage} ") as error:
        run(Config(), Options(run=contexts))
    assert "\n" not in str(error.value)


def test_limit_and_dry_run(contexts: Path) -> None:
    plan = run(Config(), Options(run=contexts, dry_run=True))
    assert plan.json == {"rows": 5}
    assert not (contexts / "dataset").exists()
    assert sum(run(Config(), Options(run=contexts, limit=2)).json["rows"].values()) == 2
