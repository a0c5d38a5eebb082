"""A judge inside the engines' reward workers: the functions slime and verl load, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("aiohttp", reason="needs longtrace[llm]")

from longtrace.training import engines, slime, verl
from longtrace.training.engines import RewardOptions
from tests.llm_server import Model, Raw, Request, Said, failure
from tests.training.test_slime import Sample

RIGHT = "<think>x</think>Chad.\nAnswer: the eternal city"
WRONG = "<think>x</think>Chad, Mali.\nAnswer: the city on the Spree"
PLAIN = "<think>x</think>Chad, Mali.\nAnswer: Rome"
ROW: dict[str, Any] = {"question": "Which city?", "entities": ["Chad", "Mali"]}


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """No judge of one test is used in the next."""
    yield
    engines._judge.cache_clear()


def knows(request: Request) -> Said:
    """A judge that knows one other name of Rome."""
    shown = request["messages"][0]["content"]
    name = "the eternal city" if "the eternal city" in shown else "the city on the Spree"
    return f"extracted: {name}\nreason: -\ncorrect: {'yes' if 'eternal' in name else 'no'}"


def judged_by(model: Model, cache: Path | None = None) -> dict[str, Any]:
    """Reward options as both engines carry them."""
    given = {"longtrace_judge_url": model.url, "longtrace_judge_model": "scripted"}
    return {**given, "longtrace_judge_cache": str(cache)} if cache else given


def by_slime(texts: list[str], options: dict[str, Any]) -> list[Sample]:
    """The group after slime has scored and shaped it."""
    samples = [Sample(0, text, "Rome", metadata=dict(ROW)) for text in texts]
    args = SimpleNamespace(**options)

    async def score() -> None:
        await asyncio.gather(*(slime.custom_rm(args, sample) for sample in samples))

    asyncio.run(score())
    for sample, reward in zip(samples, slime.reward_post_process(args, samples)[0], strict=True):
        sample.metadata["reward"] = reward
    return samples


def by_verl(texts: list[str], options: dict[str, Any]) -> list[dict[str, Any]]:
    """What verl's reward worker gets for each response of the group."""

    async def score() -> list[dict[str, Any]]:
        asked = (verl.compute_score("longtrace", text, "Rome", ROW, **options) for text in texts)
        return await asyncio.gather(*asked)

    return asyncio.run(score())


def test_both_engines_ask_the_judge_where_rules_cannot_tell() -> None:
    group = [PLAIN, RIGHT, WRONG, "<think>never closed", "<think>x</think>Answer:"]
    with Model(knows) as model:
        samples = by_slime(group, judged_by(model))
        assert [s.metadata["reward"] for s in samples] == pytest.approx([1.0, 0.85, 0, 0, 0])
        assert len(model.requests) == 2
        scores = by_verl(group, judged_by(model))
    assert [found["score"] for found in scores] == [2.0, 1.5, -1.0, 0.0, 0.0]
    advantages = verl.group_advantages([f["score"] for f in scores], [0] * 5, RewardOptions())
    assert advantages[0] > advantages[1] > 0 > advantages[2]
    assert not any(sample.remove_sample for sample in samples)


@pytest.mark.parametrize(
    "trouble", [failure(400), Raw(200, "<html>"), "no idea", {"content": None}], ids=str
)
def test_a_judge_that_is_out_leaves_the_response_out_and_changes_nobody_else(
    trouble: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(_: float) -> None:
        return None

    monkeypatch.setattr("longtrace.llm.asyncio.sleep", at_once)
    with Model(lambda _: trouble) as model:
        samples = by_slime([PLAIN, RIGHT, WRONG], judged_by(model))
        scores = by_verl([PLAIN, RIGHT, WRONG], judged_by(model))
    assert [sample.remove_sample for sample in samples] == [False, True, True]
    assert [sample.metadata["reward"] for sample in samples] == [1.0, 0.0, 0.0]
    assert [found["score"] for found in scores] == [2.0, verl.UNKNOWN, verl.UNKNOWN]
    assert [found["unknown"] for found in scores] == [0.0, 1.0, 1.0]
    assert verl.group_advantages([2.0, -2.0, -2.0], [0] * 3, RewardOptions()) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("engine", [by_slime, by_verl])
def test_verdicts_outlive_the_event_loop_and_its_judge(
    engine: Callable[[list[str], dict[str, Any]], list[Any]], tmp_path: Path
) -> None:
    with Model(knows) as model:
        kept = judged_by(model, tmp_path / "verdicts.sqlite")
        first, again = engine([RIGHT, WRONG], kept), engine([RIGHT, WRONG], kept)
        assert len(model.requests) == 2
        other = engine([RIGHT.replace("Chad", "Togo"), f"{RIGHT} indeed"], kept)
        assert len(model.requests) == 3  # a loop of its own, over connections of its own
    assert again == first
    assert [slime.KEY in getattr(one, "metadata", {slime.KEY: 0}) for one in other] == [True, True]
    unknown = [one["unknown"] if isinstance(one, dict) else one.remove_sample for one in other]
    assert not any(unknown)
