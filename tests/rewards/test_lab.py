"""The reward lab: judging again, comparing variants, and the page."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from longtrace.cli import main
from longtrace.records import Completion, Score
from longtrace.rewards.groups import Group, read_rollouts
from longtrace.rewards.lab import Variant, moves, places, score_group
from tests.llm_server import Model, Raw, Request, Said, failure

GROUP: dict[str, Any] = {
    "question": "Which city? <b>",
    "answer": "Paris",
    "answer_aliases": ["Lutetia"],
    "entities": ["Iran", {"name": "Burma", "aliases": ["Myanmar"]}],
    "passages": [
        {"title": "<script>alert(1)</script>", "tier": "gold", "text": "In Myanmar."},
        {"title": "B", "text": "Of Tirana and Iran."},
    ],
    "samples": [
        {"response": "Iran and Burma. Answer: Paris", "outcome": 1},
        {"response": "<img src=x onerror=alert(1)> Answer: Lutetia", "outcome": 0},
        {"response": "Iran. Answer: the city of Paris", "outcome": None},
        {"response": "Iran. Answer: either Paris or Lyon"},
        {"response": "", "outcome": 1},
        {"response": "Answer: Paris", "ill_formed": True},
    ],
}
STORED = {**GROUP, "samples": [{"outcome": 0, **sample} for sample in GROUP["samples"]]}


def write(path: Path, *groups: dict[str, Any]) -> str:
    path.write_text("\n".join(map(json.dumps, groups)), encoding="utf-8")
    return str(path)


def score(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main(["score", "--json", *argv]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_outcomes_are_found_again_by_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "g.jsonl", GROUP)
    found = score(capsys, "--groups", path, "--outcome", "exact")
    assert found["groups"][0]["outcomes"] == [1, 1, 0, 0, 0, 0]
    assert found["groups"][0]["rewards"] == [1.0, 0.7, 0.0, 0.0, 0.0, 0.0]
    assert found["judging"]["usage"]["requests"] == 0
    found = score(capsys, "--groups", path, "--outcome", "two-way-substring")
    assert found["groups"][0]["outcomes"] == [1, 1, 1, 0, 0, 0]


def test_a_judge_is_asked_only_where_rules_cannot_tell_and_never_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("aiohttp", reason="needs longtrace[llm]")
    path = write(tmp_path / "g.jsonl", GROUP)
    with Model(lambda _: "extracted: the city of Paris\ncorrect: yes") as model:
        argv = ["--groups", path, "--outcome", "exact-then-judge", "--run", str(tmp_path)]
        argv += ["--judge.base-url", model.url, "--judge.model", "j"]
        found = score(capsys, *argv)
        assert found["groups"][0]["outcomes"] == [1, 1, 1, 0, 0, 0]
        assert found["judging"]["decided_by"]["j"] == 1
        assert found["judging"]["usage"]["usage"]["prompt_tokens"] == 100
        again = score(capsys, *argv)
    assert len(model.requests) == 1
    assert again["groups"] == found["groups"]
    assert again["judging"]["usage"]["cached"] == 1
    assert again["judging"]["usage"]["usage"]["prompt_tokens"] == 0


@pytest.mark.parametrize("said", [failure(503), "hm", Raw(delay_s=2)], ids=["down", "no", "slow"])
def test_a_judge_that_fails_leaves_a_hole_and_not_a_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], said: Said
) -> None:
    pytest.importorskip("aiohttp", reason="needs longtrace[llm]")
    path = write(tmp_path / "g.jsonl", GROUP)
    with Model(lambda _: said) as model:
        argv = ["--judge.base-url", model.url, "--judge.model", "j", "--judge.retries", "0"]
        argv += ["--judge.timeout-s", "0.3", "--verdicts", str(tmp_path / "v"), "--groups", path]
        found = score(capsys, *argv, "--outcome", "exact-then-judge")
    assert found["groups"][0]["outcomes"] == [1, 1, None, 0, 0, 0]
    assert found["groups"][0]["rewards"][2] is None
    assert found["judging"]["decided_by"]["nobody"] == 1


def test_a_killed_judging_goes_on_without_paying_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("aiohttp", reason="needs longtrace[llm]")
    groups = [
        {**GROUP, "samples": [{"response": f"Answer: the city {n} of Paris"}]} for n in range(30)
    ]
    path = write(tmp_path / "g.jsonl", *groups)

    def reply(request: Request) -> Said:
        return "correct: yes"

    with Model(reply, usage=(100, 10)) as model:
        argv = ["--groups", path, "--outcome", "judge", "--verdicts", str(tmp_path / "v")]
        argv += ["--judge.base-url", model.url, "--judge.model", "j", "--judge-max-tokens", "100"]
        assert main(["score", *argv, "--judge.budget-tokens", "2000"]) == 1
        err = capsys.readouterr().err
        assert "raise the budget and run the same command again" in " ".join(err.split())
        first = len(model.requests)
        assert 0 < first < 30
        score(capsys, *argv)
        assert len(model.requests) == 30


def test_a_judging_killed_outright_asks_only_what_was_under_way_again(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="needs longtrace[llm]")
    samples = [{"response": f"Answer: the city {n} of Paris"} for n in range(60)]
    path = write(tmp_path / "g.jsonl", {**GROUP, "samples": samples})
    body = '{"choices": [{"message": {"content": "correct: yes"}}]}'
    with Model(lambda _: Raw(body=body, delay_s=0.1)) as model:
        command = [sys.executable, "-m", "longtrace.cli", "score", "--groups", path, "--json"]
        command += ["--outcome", "judge", "--verdicts", str(tmp_path / "v")]
        command += ["--judge.base-url", model.url, "--judge.model", "j", "--judge.concurrency", "4"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while len(model.requests) < 20:
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
        killed_at = len(model.requests)
        assert killed_at < 60
        done = subprocess.run(command, capture_output=True, check=True)
        assert len(model.requests) <= 60 + 4
    found = json.loads(done.stdout)
    assert found["groups"][0]["outcomes"] == [1.0] * 60
    assert found["judging"]["usage"]["cached"] >= killed_at - 4


def test_a_judge_must_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "g.jsonl", GROUP)
    assert main(["score", "--groups", path, "--outcome", "judge"]) == 2
    assert "--judge.base-url" in capsys.readouterr().err
    bare = write(tmp_path / "b.jsonl", {"entities": ["a"], "samples": [{"response": "x"}]})
    assert main(["score", "--groups", bare, "--outcome", "exact"]) == 2
    assert 'b.jsonl:1: no "answer"' in " ".join(capsys.readouterr().err.split())


def test_a_comparison_changes_one_choice_at_a_time() -> None:
    group = Group.model_validate(STORED | {"samples": GROUP["samples"][:2]})
    rows = {row.name: row for row in moves([group], Variant())}
    assert rows["as asked"].reward_change == 0.0
    assert rows["credit always"].variant == Variant(credit="always")
    assert rows["eta 0.0"].reward == pytest.approx(0.5)
    assert len(rows) == 1 + 1 + 2 + 1 + 1 + 3
    assert all(0 <= row.flipped <= 1 and 0 <= row.no_signal <= 1 for row in rows.values())


def test_a_sign_flip_is_a_response_that_is_now_discouraged() -> None:
    samples = [
        {"response": "Iran Burma", "outcome": 0},
        {"response": "none", "outcome": 1},
        {"response": "none", "outcome": 0},
    ]
    group = Group.model_validate({"entities": ["Iran", "Burma"], "samples": samples})
    base = Variant(eta=0.8, credit="always")
    rows = {row.name: row for row in moves([group], base)}
    assert rows["credit positive_only"].flipped == pytest.approx(2 / 3)


def test_numbers_as_entities_leave_the_published_matcher_out() -> None:
    group = Group.model_validate({"entities": [1984], "samples": [{"response": "", "outcome": 1}]})
    assert "match upstream" not in {row.name for row in moves([group], Variant())}


def test_places_say_which_passage_names_an_entity() -> None:
    group = Group.model_validate(STORED)
    iran, burma = places(group, score_group(group, Variant()))
    assert (iran.name, iran.hits, iran.passages) == ("Iran", 3, ("B",))
    assert (burma.hits, burma.passages) == (1, ("gold: <script>alert(1)</script>",))


def test_the_page_is_whole_and_escapes_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "g.jsonl", STORED)
    page = tmp_path / "lab.html"
    assert main(["score", "--groups", path, "--compare", "--html", str(page)]) == 0
    assert "credit always" in " ".join(capsys.readouterr().out.split())
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert "http" not in text.replace("http-equiv", "")
    assert "credit always" in text


def test_the_rollouts_of_a_training_can_be_scored_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = []
    for step in (0, 5):
        for sample, text in enumerate(("Iran. Answer: Paris", "Answer: Rome")):
            hit = ("Iran",) if "Iran" in text else ()
            missed = ("Mali",) if hit else ("Iran", "Mali")
            row = {
                "step": step,
                "question": "q",
                "answer": "Paris",
                "completion": Completion(example_id="e", sample=sample, text=text).model_dump(),
                "score": Score(
                    outcome=float(not sample), rubric=len(hit) / 2, hit=hit, missed=missed
                ).model_dump(),
                "reward": 0.0,
            }
            rows.append(json.dumps(row))
    folder = tmp_path / "training"
    folder.mkdir()
    (folder / "samples.jsonl").write_text("\n".join(rows), encoding="utf-8")
    groups = list(read_rollouts(tmp_path))
    assert [
        place.endswith(f"e at step {step}") for (place, _), step in zip(groups, (0, 5), strict=True)
    ]
    found = score(capsys, "--run", str(tmp_path), "--outcome", "exact")
    assert [group["rewards"] for group in found["groups"]] == [[1.0, 0.0]] * 2
