"""An endpoint that fails says why, and which structure it gives is told once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from longtrace.cli import main
from tests.llm_server import Model, Raw, Request, Said, call, failure


@pytest.fixture
def asked(asked_run: Path, tmp_path: Path) -> Path:
    for stage in ("corpus", "questions"):
        shutil.copytree(asked_run / stage, tmp_path / "run" / stage)
    return tmp_path / "run"


def arguments(model: Model, run: Path, *more: str) -> list[str]:
    argv = ["trajectories", "--agent", "llm", "--base-url", model.url, "--model", "scripted"]
    argv += ["--attempts", "2", "--limit", "2", "--retries", "1", "--retry-wait-s", "0.01"]
    return [*argv, "--run", str(run), *more]


def test_the_reason_of_an_outage_reaches_the_user(
    asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Model(lambda _: failure(401, "no such key")) as model:
        assert main(arguments(model, asked)) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "attempts failed at the endpoint" in said
    assert "no such key; put a valid key in $OPENAI_API_KEY" in said


def test_the_structure_found_is_told_once(asked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def reply(request: Request) -> Said:
        names = [tool["function"]["name"] for tool in request.get("tools", ())]
        return call("note", word="tree") if names == ["note"] else call("answer", text="x")

    with Model(reply) as model:
        assert main(arguments(model, asked)) == 0
        assert capsys.readouterr().err.count("structure by tools") == 1
        assert main(arguments(model, asked, "--rung", "tools", "--fresh")) == 0
    assert "structure" not in capsys.readouterr().err


def test_what_is_under_way_when_the_budget_ends_is_not_asked_again(asked: Path) -> None:
    def reply(request: Request) -> Said:
        names = [tool["function"]["name"] for tool in request.get("tools", ())]
        searched = any(message["role"] == "tool" for message in request["messages"])
        said = (
            call("answer", text="x") if searched or len(names) == 1 else call("search", query="y")
        )
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **said}}
        usage = {"prompt_tokens": 500, "completion_tokens": 10}
        return Raw(body=json.dumps({"choices": [choice], "usage": usage}), delay_s=0.2)

    more = ("--rung", "tools", "--limit", "12", "--concurrency", "6", "--reply-tokens", "16")
    with Model(reply) as model:
        assert main(arguments(model, asked, *more, "--budget-tokens", "9000")) == 1
        assert 4 < len(model.requests) < 48
        assert main(arguments(model, asked, *more)) == 0
        assert len(model.requests) == 48, "24 attempts of two requests, each asked once"


def test_a_cost_without_prices_is_no_cap_and_no_estimate(
    asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Model(lambda _: call("answer", text="x")) as model:
        argv = arguments(model, asked, "--rung", "tools", "--budget-cost", "5")
        assert main([*argv, "--dry-run"]) == 0
        assert "cost unknown without prices" in capsys.readouterr().out
        assert main(argv) == 2
        assert not model.requests
        assert "--budget-cost needs --prompt-price" in capsys.readouterr().err
        assert main([*argv, "--prompt-price", "1"]) == 0
        assert len(model.requests) == 4
