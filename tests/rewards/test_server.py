"""`longtrace serve` as a real process on this machine."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs longtrace[serve]")
pytest.importorskip("aiohttp", reason="needs longtrace[llm]")

from longtrace.cli import main
from longtrace.rewards.combine import combine
from longtrace.rewards.gate import Metrics
from tests.llm_server import Model, Raw, Request, Said, failure
from tests.served import Served

PARITY = Path(__file__).parents[3] / "shared/data/reward_parity.json"
INFO: dict[str, Any] = {
    "rubric_reward_ratio": 0.3,
    "dataset_name": "longqa",
    "question": "Which city?",
    "rubric_use_content": True,
    "rubric_use_reasoning_content": False,
    "rubrics": ["Iran", "Mali"],
}
SECRET = "a text that must not be logged"


def said(response: str, label: str = "Paris", **info: Any) -> dict[str, Any]:
    return {"label": label, "response": response, "extra_reward_info": {**INFO, **info}}


def judge(model: Model, *argv: str) -> tuple[str, ...]:
    flags = ("--judge.base-url", model.url, "--judge.model", "j", "--judge.retry-wait-s", "0.01")
    return (*flags, *argv)


@pytest.fixture(scope="module")
def by_rule(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    argv = ("--outcome", "exact", "--max-bytes", "100000")
    with Served(tmp_path_factory.mktemp("run"), *argv) as server:
        yield server


def test_evaluate_answers_the_published_three_numbers(by_rule: Served) -> None:
    answered = by_rule.post("/evaluate", said("Iran. Answer: Paris"))
    assert answered.status == 200
    assert answered.body == {
        "reward": pytest.approx(0.85),
        "outcome_reward": 1.0,
        "rubric_reward": 0.5,
    }
    history = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "Answer: Paris"}]
    body = {"label": "Paris", "history": history, "extra_reward_info": INFO}
    assert by_rule.post("/evaluate", body).body["reward"] == pytest.approx(0.7)


def test_a_bad_request_is_400_with_the_reason(by_rule: Served) -> None:
    for body, what in ((b"{", "not JSON"), (b"[]", "JSON object"), (b"{}", "missing")):
        answered = by_rule.post("/evaluate", body)
        assert answered.status == 400
        assert what in answered.body["detail"]
    answered = by_rule.post("/score", {"response": "x"})
    assert (answered.status, answered.body["detail"]) == (400, "answer: Field required")
    answered = by_rule.post("/score", b'{"answer": "a"}', **{"content-type": "text/plain"})
    assert (answered.status, answered.body["detail"]) == (
        400,
        "send the body with content-type: application/json",
    )
    group = {"answer": "a", "responses": ["x"], "eta": 3}
    assert by_rule.post("/score/group", group).status == 400
    assert by_rule.get("/nothing").status == 404


def test_one_response_is_scored_with_its_entities(by_rule: Served) -> None:
    asked = {"answer": "Paris", "entities": ["Iran", {"name": "Burma", "aliases": ["Myanmar"]}]}
    answered = by_rule.post("/score", {**asked, "response": "Myanmar. Answer: Paris"})
    assert answered.status == 200
    assert answered.body["outcome"] == 1.0
    assert (answered.body["hit"], answered.body["missed"]) == (["Burma"], ["Iran"])
    cut = {**asked, "response": {"text": "Iran. Answer: Paris", "truncated": True}}
    assert by_rule.post("/score", cut).body["problem"] == "truncated"
    bare = {**asked, "response": "Answer: Paris", "thinks": True}
    assert by_rule.post("/score", bare).body["problem"] == "ill_formed"
    split = {"text": "Answer: Paris", "thinking": "Iran"}
    found = by_rule.post("/score", {**asked, "response": split, "thinks": True}).body
    assert (found["outcome"], found["rubric"]) == (1.0, 0.0)


def test_a_group_gets_rewards_by_the_formula(by_rule: Served) -> None:
    responses = ["Iran. Answer: Paris", "Iran, Mali. Answer: Rome", "Answer: Paris"]
    body = {"answer": "Paris", "entities": ["Iran", "Mali"], "responses": responses}
    answered = by_rule.post("/score/group", body).body
    assert answered["rewards"] == pytest.approx([0.85, 0.0, 0.7])
    assert sum(answered["advantages"]) == pytest.approx(0.0)
    best = by_rule.post("/score/group", {**body, "best": "correct"}).body
    assert best["rewards"] == pytest.approx([1.0, 0.0, 0.7])


def test_health_and_counters(by_rule: Served) -> None:
    assert by_rule.get("/healthz").body["status"] == "ok"
    by_rule.post("/evaluate", said("Answer: Paris"))
    text = by_rule.get("/metrics").body
    assert 'longtrace_requests_total{path="/evaluate",status="200"}' in text
    assert 'longtrace_outcomes_total{outcome="right"}' in text
    assert 'longtrace_request_seconds_bucket{le="+Inf"}' in text


def test_a_body_that_is_too_long_is_refused(by_rule: Served) -> None:
    answered = by_rule.post("/evaluate", said("x" * 200_000))
    assert answered.status == 413
    host, port = by_rule.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:  # no content-length at all
        line.sendall(
            b"POST /evaluate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"8000\r\n" + b"x" * 0x8000 + b"\r\n" + b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
            + b"8000\r\n" + b"x" * 0x8000 + b"\r\n8000\r\n" + b"x" * 0x8000 + b"\r\n0\r\n\r\n"
        )  # fmt: skip
        assert b" 413 " in line.recv(100)


def raw(server: Served, data: bytes) -> socket.socket:
    """A connection over which `data` was sent."""
    host, port = server.url.removeprefix("http://").split(":")
    line = socket.create_connection((host, int(port)), timeout=30)
    line.sendall(data)
    return line


@pytest.mark.parametrize("path", ["/score", "/score/group"])
def test_a_chunked_body_that_is_too_long_is_413_on_every_route(by_rule: Served, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    with raw(by_rule, head + 4 * chunk + b"0\r\n\r\n") as line:
        assert b" 413 " in line.recv(100)


@pytest.mark.parametrize("body", [b'"\\ud800"', b"NaN", b"[" * 50_000, b"\xff", b'""', b'" "'])
def test_json_that_cannot_be_used_is_400_on_every_route(by_rule: Served, body: bytes) -> None:
    for path, key in (("/evaluate", b"label"), ("/score", b"answer"), ("/score/group", b"answer")):
        rest = b', "response": "x", "responses": ["x"], "extra_reward_info": {}'
        answered = by_rule.post(path, b"{" + b'"%s": %s' % (key, body) + rest + b"}")
        assert answered.status == 400, (path, answered.body)
    assert by_rule.post("/score", b'{"answer": "a", "response": "\\ud800"}').status == 400


def test_clients_that_send_slowly_keep_no_place(tmp_path: Path) -> None:
    argv = ("--outcome", "exact", "--concurrency", "2", "--timeout-s", "3")
    with Served(tmp_path, *argv) as server:
        head = b"POST /evaluate HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
        slow = [raw(server, head) for _ in range(4)]
        started = time.monotonic()
        assert server.post("/evaluate", said("Answer: Paris")).status == 200
        assert time.monotonic() - started < 2.5
        for line in slow:
            assert b" 503 " in line.recv(100)
            line.close()
        gone = raw(server, head)
        gone.close()
        assert server.post("/evaluate", said("Answer: Paris")).status == 200
    assert not [row for row in map(json.loads, server.log) if "error" in row]


def test_waiting_counts_towards_the_time_of_a_request(tmp_path: Path) -> None:
    slow = Raw(body='{"choices":[{"message":{"content":"correct: yes"}}]}', delay_s=1.0)
    argv = ("--concurrency", "1", "--timeout-s", "1.8", "--outcome", "judge")
    with (
        Model(lambda _: slow) as model,
        Served(tmp_path, *judge(model, *argv)) as server,
        ThreadPoolExecutor(4) as pool,
    ):
        bodies = [said(f"Answer: city {n}") for n in range(4)]
        answers = list(pool.map(lambda body: server.post("/evaluate", body), bodies))
    statuses = [answered.status for answered in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(503) >= 2


def test_counters_keep_every_digit() -> None:
    metrics = Metrics()
    text = metrics.render({"judge_prompt_tokens": 12_345_678, "judge_cost": 0.25})
    assert "longtrace_judge_prompt_tokens 12345678\n" in text
    assert "longtrace_judge_cost 0.25\n" in text


def test_the_log_is_structured_and_holds_no_text(by_rule: Served) -> None:
    by_rule.post("/evaluate", said(SECRET, label=SECRET, question=SECRET, rubrics=[SECRET]))
    by_rule.post("/evaluate", {"label": SECRET})
    by_rule.get(f"/{SECRET.replace(' ', '-')}")
    time.sleep(0.2)
    rows = [json.loads(line) for line in by_rule.log]
    requests = [row for row in rows if row["event"] == "request"]
    assert {"path", "status", "seconds", "at", "level"} <= set(requests[-1])
    assert SECRET not in "".join(by_rule.log)
    assert "must-not" not in "".join(by_rule.log)


def test_a_token_is_asked_for_where_one_is_set(tmp_path: Path) -> None:
    with Served(
        tmp_path, "--outcome", "exact", "--token-env", "TOK", env={"TOK": "s3cret"}
    ) as server:
        assert server.post("/evaluate", said("x")).status == 401
        assert server.post("/evaluate", said("x"), authorization="Bearer wrong").status == 401
        assert server.get("/metrics").status == 401
        assert server.get("/healthz").status == 200
        good = server.post("/evaluate", said("Answer: Paris"), authorization="Bearer s3cret")
        assert good.status == 200
        small = server.post("/evaluate", said("Answer: Paris"), authorization="bearer s3cret")
        assert small.status == 200
    assert "s3cret" not in "".join(server.log)


@pytest.mark.parametrize("trouble", [failure(503), "no idea", Raw(200, "<html>")], ids=str)
def test_a_judge_outage_is_503_and_never_a_zero(tmp_path: Path, trouble: Said) -> None:
    with (
        Model(lambda _: trouble) as model,
        Served(tmp_path, *judge(model, "--judge.retries", "1")) as server,
    ):
        answered = server.post("/evaluate", said("Answer: the city of Paris"))
        assert answered.status == 503
        assert "not judged" in answered.body["detail"]
        assert answered.headers["retry-after"] == "1"
        asked = {"answer": "Paris", "response": "Answer: the city of Paris"}
        assert server.post("/score", asked).status == 503
        body = {"answer": "Paris", "responses": ["Answer: the city of Paris", "Answer: Paris"]}
        group = server.post("/score/group", body)
        assert (group.status, group.body["rewards"]) == (200, [None, 0.7])
        assert group.body["unjudged"] == 1
        only = {"answer": "Paris", "responses": ["Answer: the city of Paris"]}
        assert server.post("/score/group", only).status == 503
        assert 'outcome="unknown"} 4' in server.get("/metrics").body


def test_the_published_rules_keep_the_published_defects(tmp_path: Path) -> None:
    replies: list[Said] = ["extracted_final_answer: x\n**correct:** yes", failure(500)]
    with (
        Model(lambda _: replies[0]) as model,
        Served(tmp_path, *judge(model, "--rules", "upstream", "--judge.retries", "0")) as server,
    ):
        assert server.post("/evaluate", {}).status == 500
        assert "Internal server error" in server.post("/evaluate", b"{").body["detail"]
        bold = server.post("/evaluate", said("Tirana")).body
        assert bold == {
            "reward": pytest.approx(0.15),
            "outcome_reward": 0.0,
            "rubric_reward": 0.5,
        }
        replies.pop(0)
        down = server.post("/evaluate", said("Iran, Mali")).body
        assert down["outcome_reward"] == 0.0


@pytest.mark.skipif(not PARITY.is_file(), reason="reward_parity.json is not beside the repository")
def test_every_stored_group_comes_out_the_same_through_evaluate(tmp_path: Path) -> None:
    groups = json.loads(PARITY.read_text(encoding="utf-8"))["groups"]

    def knows(request: Request) -> Said:
        right = "THE RIGHT ONE" in request["messages"][0]["content"]
        return f"extracted_final_answer: x\ncorrect: {'yes' if right else 'no'}"

    def evaluated(entities: list[str], sample: dict[str, Any]) -> dict[str, Any]:
        question = "THE RIGHT ONE" if sample["outcome"] else "another"
        body = said(sample["response"], rubrics=entities, question=question)
        found: dict[str, Any] = server.post("/evaluate", body).body
        return found

    with (
        Model(knows) as model,
        Served(tmp_path, *judge(model, "--rules", "upstream")) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        for group in groups:
            formed = [s for s in group["samples"] if not s["ill_formed"]]
            found = list(pool.map(lambda s, g=group: evaluated(g["entities"], s), formed))
            for sample, answered in zip(formed, found, strict=True):
                assert answered["rubric_reward"] == pytest.approx(sample["rubric"], abs=1e-9)
                assert answered["outcome_reward"] == sample["outcome"]
                plain = 0.7 * sample["outcome"] + 0.3 * sample["rubric"]
                assert answered["reward"] == pytest.approx(plain, abs=1e-9)
            assert_group(group, iter(found))


def assert_group(group: dict[str, Any], found: Iterator[dict[str, Any]]) -> None:
    """The served numbers give the stored rewards of the group by the formula."""
    from longtrace.records import Score

    scores_G = []
    for sample in group["samples"]:
        served = {"outcome_reward": 0.0, "rubric_reward": 0.0}
        if not sample["ill_formed"]:
            served = next(found)
        scores_G.append(Score(outcome=served["outcome_reward"], rubric=served["rubric_reward"]))
    for credit in ("positive_only", "always", "negative_only"):
        for normalize in ("group_max", "raw"):
            rewards = combine(scores_G, credit=credit, normalize=normalize)
            assert rewards == pytest.approx(group["rewards"][f"{credit}/{normalize}"], abs=1e-9)


def test_a_full_queue_is_429_with_a_time_to_come_back(tmp_path: Path) -> None:
    slow = Raw(body='{"choices":[{"message":{"content":"correct: yes"}}]}', delay_s=1.5)
    argv = ("--concurrency", "2", "--queue", "2", "--outcome", "judge")
    with (
        Model(lambda _: slow) as model,
        Served(tmp_path, *judge(model, *argv)) as server,
        ThreadPoolExecutor(12) as pool,
    ):
        bodies = [said(f"Answer: city {n}") for n in range(12)]
        answers = list(pool.map(lambda body: server.post("/evaluate", body), bodies))
    statuses = [answered.status for answered in answers]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) == 4
    assert all(a.headers["retry-after"] == "1" for a in answers if a.status == 429)


def test_a_request_that_takes_too_long_is_503(tmp_path: Path) -> None:
    argv = ("--timeout-s", "0.5", "--outcome", "judge")
    with Model(lambda _: Raw(delay_s=3)) as model, Served(tmp_path, *judge(model, *argv)) as server:
        started = time.monotonic()
        answered = server.post("/evaluate", said("Answer: Paris"))
    assert (answered.status, answered.body["detail"]) == (503, "not done in 0.5 seconds")
    assert time.monotonic() - started < 20


def test_what_was_accepted_is_finished_when_the_server_is_stopped(tmp_path: Path) -> None:
    slow = Raw(body='{"choices":[{"message":{"content":"correct: yes"}}]}', delay_s=1.0)
    with (
        Model(lambda _: slow) as model,
        Served(tmp_path, *judge(model, "--concurrency", "4", "--outcome", "judge")) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        bodies = [said(f"Answer: city {n}") for n in range(8)]
        waiting = [pool.submit(server.post, "/evaluate", body) for body in bodies]
        time.sleep(0.6)
        server.stop()
        assert [future.result().status for future in waiting] == [200] * 8
        assert server.process.wait(20) == 0


def test_a_server_without_a_judge_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve"]) == 2
    assert "--judge.base-url" in capsys.readouterr().err
    assert main(["serve", "--rules", "upstream", "--outcome", "exact"]) == 2


def test_a_taken_port_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del tmp_path
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "--outcome", "exact", "--port", str(port)]) == 1
    assert "try another --port" in capsys.readouterr().err


@pytest.mark.slow
def test_a_small_soak_has_no_false_zero_and_loses_nothing(tmp_path: Path) -> None:
    from bench.soak import soak

    report = asyncio.run(soak(tmp_path, requests=1500, clients=64, seed=1))
    assert report.false_zeros == 0
    assert report.false_ones == 0
    assert report.lost == 0
    assert report.crashed is False
    assert report.answered + report.unknown == 1500
    assert report.answered > 1000
    assert report.memory_growth_mb < 30
