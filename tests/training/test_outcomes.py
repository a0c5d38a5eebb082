"""A judge inside a training: asked where rules cannot tell, paid once, its failures unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="needs longtrace[llm]")

from longtrace.cli import main
from longtrace.errors import InputError
from longtrace.llm import Endpoint
from longtrace.records import Entity
from longtrace.store import read_json, read_records
from longtrace.training.measure import Answered
from longtrace.training.outcomes import Asked, by_exact_rule, outcomes
from longtrace.training.reward import RewardSettings, reward_function
from tests.llm_server import Model, Request, Said, failure

LEFT_OPEN = "It is the city on the Tiber. Answer: the eternal city"
PLAIN = "Answer: Rome"


def says_yes(request: Request) -> Said:
    del request
    return "extracted: the eternal city\nreason: a name of it\ncorrect: yes"


def batch(texts: list[str]) -> dict[str, Any]:
    n = len(texts)
    return {
        "completions": texts,
        "completion_ids": [[1]] * n,
        "group_id": ["q"] * n,
        "question": ["Which city?"] * n,
        "answer": ["Rome"] * n,
        "entities": [[Entity(name="Tiber").model_dump()]] * n,
    }


def test_the_judge_is_asked_only_where_rules_cannot_tell_and_once(tmp_path: Path) -> None:
    asked = [Asked(text, "Which city?", "Rome") for text in (PLAIN, LEFT_OPEN, "")]
    with Model(says_yes) as model:
        for _ in range(2):
            with outcomes("exact_then_judge", model.endpoint(), tmp_path / "c") as tell:
                for _ in range(2):  # one event loop and client for all batches
                    assert [v.correct for v in tell(asked)] == [True, True, False]
    assert len(model.requests) == 1
    assert [v.correct for v in by_exact_rule(asked)] == [True, False, False]


def test_a_judge_that_is_out_gives_no_reward_and_changes_nobody_elses(tmp_path: Path) -> None:
    with Model(lambda _: failure(400)) as model:
        endpoint = model.endpoint(retries=0)
        with outcomes("exact_then_judge", endpoint, tmp_path / "c") as tell:
            reward = reward_function(RewardSettings(3), outcomes=tell)
            assert reward(**batch([PLAIN, LEFT_OPEN, ""])) == [pytest.approx(0.7), None, 0.0]


def test_a_judge_that_is_not_configured_is_an_error_that_names_the_options(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"--outcome exact-then-judge needs --judge\.base-url"),
        outcomes("exact_then_judge", Endpoint(), tmp_path / "c"),
    ):
        pass


def test_the_verb_trains_and_measures_with_a_judge(dataset_run: Path, llama: Path) -> None:
    flags = ["train", "--run", str(dataset_run), "--model", str(llama), "--steps", "1"]
    flags += ["--group-size", "4", "--prompts-per-step", "2", "--max-completion-tokens", "60"]
    with Model(says_yes) as model:
        endpoint = model.endpoint()
        flags += ["--judge.base-url", endpoint.base_url, "--judge.model", endpoint.model]
        assert main(flags) == 0
        assert model.requests
    stage = read_json(dataset_run / "training" / "stage.json")
    assert stage["config"]["judge"]["model"] == endpoint.model
    done = read_json(dataset_run / "training" / "meta.json")["judge"]
    assert done["requests"] == len(model.requests)
    assert done["usage"]["prompt_tokens"] == 100 * len(model.requests)
    answers = list(read_records(dataset_run / "training" / "after.jsonl", Answered))
    assert answers
    assert (dataset_run / "cache" / "judge.sqlite").is_file()
