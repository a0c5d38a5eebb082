from pathlib import Path

import orjson
import pytest

from longtrace.config import Options
from longtrace.contexts import export, figures
from longtrace.contexts.stage import Config, run
from longtrace.errors import InputError, LongtraceError
from longtrace.llm import Endpoint
from longtrace.records import Context
from longtrace.store import read_json, read_records
from tests.llm_server import Model, Request, failure

from .conftest import BUDGET, question

pytest.importorskip("aiohttp", reason="needs the llm extra")


def prompt(request: Request) -> str:
    text: str = request["messages"][-1]["content"]
    return text


def contexts(folder: Path) -> list[Context]:
    return list(read_records(folder / "contexts" / "tiered" / "data.jsonl", Context))


def pack(folder: Path, endpoint: Endpoint, **options: int) -> None:
    config = Config(budget_tokens=BUDGET, strategy="tiered", reader=endpoint)
    run(config, Options(run=folder, workers=1, **options))


def knows_one(request: Request) -> str:
    if question(1).text in prompt(request):
        return "I think so.\n\nAnswer: AnswernameF."
    if question(2).text in prompt(request):
        return "No line as asked for."
    return "Answer: it cannot be told"


def test_a_context_that_a_model_answers_without_gold_is_left_out(fresh_run: Path) -> None:
    with Model(knows_one) as model:
        pack(fresh_run, model.endpoint())
        assert len(model.requests) == 5
    told = {c.question_id: c.answered_without_gold for c in contexts(fresh_run)}
    assert told == {"q0": False, "q2": None, "q3": False, "q4": False}
    meta = read_json(fresh_run / "contexts" / "tiered" / "meta.json")
    assert meta["rejected"]["answered without gold"] == 1
    assert meta["without_gold"] == {"not answered": 3, "unknown": 1}


def test_the_model_is_shown_no_gold(fresh_run: Path) -> None:
    with Model(lambda request: "Answer: none") as model:
        pack(fresh_run, model.endpoint())
        shown = {
            n: next(p for r in model.requests if question(n).text in (p := prompt(r)))
            for n in range(5)
        }
    for n, text in shown.items():
        for hop in question(n).hops:
            assert hop.evidence[0] not in text


def test_an_outage_is_unknown_and_loses_no_row(fresh_run: Path) -> None:
    with Model(lambda request: failure(500)) as model:
        pack(fresh_run, model.endpoint(retries=0))
    assert [c.answered_without_gold for c in contexts(fresh_run)] == [None] * 5
    meta = read_json(fresh_run / "contexts" / "tiered" / "meta.json")
    assert meta["without_gold"] == {"unknown": 5}
    assert "model without gold: unknown 5" in figures.lines(meta)
    export.run(export.Config(), Options(run=fresh_run))
    assert "| unknown | 5 |" in (fresh_run / "dataset" / "trl" / "README.md").read_text()


def test_what_was_asked_before_is_not_paid_again(fresh_run: Path) -> None:
    with Model(knows_one) as model:
        pack(fresh_run, model.endpoint())
        path = fresh_run / "contexts" / "tiered"
        before = {file.name: file.read_bytes() for file in path.iterdir()}
        lines = before["data.jsonl"].splitlines(keepends=True)
        (path / "data.jsonl").write_bytes(lines[0] + lines[1][:50])
        (path / "rejected.jsonl").write_bytes(b"")
        (path / "meta.json").unlink()
        (fresh_run / "contexts" / "meta.json").unlink()
        pack(fresh_run, model.endpoint())
        assert len(model.requests) == 5
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_a_spent_budget_stops_and_the_same_command_continues(fresh_run: Path) -> None:
    with Model(knows_one, usage=(3_000, 10)) as model:
        with pytest.raises(LongtraceError, match="budget"):
            pack(fresh_run, model.endpoint(budget_tokens=12_000, concurrency=1))
        done = len(contexts(fresh_run))
        assert done < 4
        pack(fresh_run, model.endpoint())
        assert len(model.requests) == 5
    rejected = (fresh_run / "contexts" / "tiered" / "rejected.jsonl").read_bytes().splitlines()
    assert {orjson.loads(line)["unit"] for line in rejected} == {"q1", "q5", "q6"}


def test_an_address_without_a_model_is_refused(fresh_run: Path) -> None:
    with pytest.raises(InputError, match="belong together"):
        pack(fresh_run, Endpoint(base_url="http://127.0.0.1:9/v1"))
