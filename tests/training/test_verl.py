"""The functions verl loads: packing two numbers into one, and the estimator.

What needs verl runs in an environment of its own (`make test-verl`) and is skipped elsewhere.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtrace.records import Score
from longtrace.training import verl
from tests.training.groups import groups, variants, wanted

needs_verl = pytest.mark.skipif(
    importlib.util.find_spec("verl") is None, reason="needs verl; run `make test-verl`"
)


@given(st.sampled_from([0.0, 1.0, None]), st.floats(0, 1))
def test_unpacking_undoes_packing(outcome: float | None, rubric: float) -> None:
    found = verl.unpack(verl.pack(Score(outcome=outcome, rubric=rubric)))
    assert found.outcome == outcome
    if outcome is not None:
        assert found.rubric == pytest.approx(rubric, abs=1e-9)


def test_the_least_right_response_is_above_the_best_wrong_one() -> None:
    right, wrong = Score(outcome=1, rubric=0), Score(outcome=0, rubric=0)
    assert verl.pack(right) > verl.pack(wrong) > verl.UNKNOWN


@pytest.mark.parametrize("variant", variants())
def test_packed_groups_have_the_advantages_of_the_pure_core(variant: str) -> None:
    numbers = [verl.pack(score) for group in groups() for score in group.scores]
    index = [group.name for group in groups() for _ in group.scores]
    found = verl.group_advantages(numbers, index, variants()[variant])
    assert found == pytest.approx(wanted(variant))


def test_a_response_is_scored_with_the_options_of_the_configuration() -> None:
    row = {"entities": [{"name": "Chad", "aliases": []}, {"name": "Mali", "aliases": []}]}
    text = "Chad.\nanswer: Rome"
    closed = asyncio.run(verl.compute_score("longtrace", f"<think>x</think>{text}", "Rome", row))
    assert closed == {"score": 1.5, "acc": 1.0, "outcome": 1.0, "rubric": 0.5, "unknown": 0.0}
    open_ended = asyncio.run(verl.compute_score("longtrace", text, "Rome", row))
    assert open_ended["score"] == 0.0
    plain: dict[str, Any] = {"longtrace_thinks": False, "reward_router_address": "x"}
    assert asyncio.run(verl.compute_score("x", text, "Rome", row, **plain))["score"] == 1.5


@needs_verl
@pytest.mark.parametrize("name", verl.ESTIMATORS)
def test_verl_finds_the_estimators_and_gets_the_advantages_of_the_pure_core(name: str) -> None:
    """In a process of its own, as verl imports the module named in the environment."""
    variant = name.removeprefix("longtrace_grpo").strip("_") or "default"
    program = (
        "import json, sys, numpy as np, torch\n"
        "import verl\n"
        "from verl.protocol import DataProto\n"
        "from verl.trainer.config import AlgoConfig\n"
        "from verl.trainer.ppo.ray_trainer import compute_advantage\n"
        "name, numbers, index = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])\n"
        "rewards = torch.zeros(len(numbers), 5)\n"
        "rewards[:, 2] = torch.tensor(numbers)\n"
        "mask = torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0]] * len(numbers))\n"
        "data = DataProto.from_dict(\n"
        "    tensors={'token_level_rewards': rewards, 'response_mask': mask},\n"
        "    non_tensors={'uid': np.array(index, dtype=object)},\n"
        ")\n"
        "config = AlgoConfig(adv_estimator=name)\n"
        "out = compute_advantage(data, adv_estimator=name, config=config).batch['advantages']\n"
        "assert torch.equal(out[:, 3:], torch.zeros(len(numbers), 2))\n"
        "assert torch.equal(out[:, 0], out[:, 2])\n"
        "print(json.dumps(out[:, 0].tolist()))\n"
    )
    import json

    numbers = [verl.pack(score) for group in groups() for score in group.scores]
    index = [group.name for group in groups() for _ in group.scores]
    done = subprocess.run(
        [sys.executable, "-c", program, name, json.dumps(numbers), json.dumps(index)],
        env={**os.environ, "VERL_USE_EXTERNAL_MODULES": "longtrace.training.verl_plugin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == pytest.approx(wanted(variant), abs=1e-5)
