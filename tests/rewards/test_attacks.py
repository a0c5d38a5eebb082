"""Each attack is tried on each defence; what the docs claim is what comes out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from longtrace.cli import main
from longtrace.llm import LLM
from longtrace.rewards.attacks import ATTACKS, CASES, DEFENCES, Payoff, honest, suite
from longtrace.rewards.judge import Judge
from longtrace.rewards.outcome import by_rule
from tests.llm_server import Model, Request, Said

PAYING = {
    "default": set(),
    "exact": set(),
    "credulous": set(),
    "substring": {"hedge: two candidates"},
    "always": {
        "entity dump",
        "copy the context",
        "context as the answer",
        "hedge: cannot be determined",
    },
    "published": {
        "copy the context",
        "context as the answer",
        "hedge: either, or",
        "hedge: candidates",
        "hedge: two candidates",
        "injection: verdict",
        "injection: instruction",
        "look-alike letters",
        "invisible characters",
    },
}


@pytest.fixture(scope="module")
def payoffs() -> list[Payoff]:
    return asyncio.run(suite())


@pytest.mark.parametrize("defence", [defence.name for defence in DEFENCES])
def test_exactly_these_attacks_pay(payoffs: list[Payoff], defence: str) -> None:
    rows = [payoff for payoff in payoffs if payoff.defence == defence]
    assert len(rows) == len(ATTACKS)
    assert {payoff.attack for payoff in rows if payoff.pays} == PAYING[defence]


def test_no_attack_on_the_default_earns_more_than_an_honest_wrong_response(
    payoffs: list[Payoff],
) -> None:
    for payoff in payoffs:
        if payoff.defence == "default":
            assert payoff.reward == 0.0 == payoff.wrong
            assert payoff.correct >= 0.85


def test_the_honest_responses_are_what_they_claim() -> None:
    for case in CASES:
        assert len(case.others) >= 4
        for answer, right in ((case.answer, True), (case.others[0], False)):
            verdict = by_rule(honest(case, answer), case.answer, (), "exact")
            assert verdict is not None
            assert verdict.correct is right


def test_a_judge_that_is_down_pays_no_attack() -> None:
    def down(_: Request) -> Said:
        raise OSError

    async def attacked(model: Model) -> list[Payoff]:
        async with LLM(model.endpoint(retries=0)) as llm:
            return await suite(Judge(llm), cases=CASES[:1], defences=DEFENCES[:1])

    pytest.importorskip("aiohttp", reason="needs longtrace[llm]")
    with Model(down) as model:
        payoffs = asyncio.run(attacked(model))
    assert not any(payoff.pays for payoff in payoffs)
    assert any(payoff.reward is None for payoff in payoffs), "unknown, not wrong"


def test_a_real_judge_can_be_put_to_the_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("aiohttp", reason="needs longtrace[llm]")
    with Model(lambda _: "correct: yes") as model:
        argv = ["--judge.base-url", model.url, "--judge.model", "yes-man", "--run", str(tmp_path)]
        assert main(["score", "--attacks", "--json", *argv]) == 0
        found = json.loads(capsys.readouterr().out)
    assert found["judge"] == "yes-man"
    paying = {r["attack"] for r in found["attacks"] if r["pays"] and r["defence"] == "default"}
    assert "copy the context" in paying
    assert "hedge: two candidates" not in paying
    assert "hedge: either, or" not in paying
    assert model.requests, "what the rules leave open was asked"


def test_the_table_marks_what_pays(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--attacks"]) == 0
    out = capsys.readouterr().out
    assert "0.30*" in out
    assert f"{len(ATTACKS)} of {len(ATTACKS)} attacks are stopped by the default" in out
