"""The functions slime loads, against stand-ins for its Sample and, where there is one, a checkout.

A checkout is looked for in the folder `.slime` beside the sources (`make test-slime` says how).
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from longtrace.errors import InputError
from longtrace.training import slime
from tests.training.groups import flat, groups, variants, wanted

CHECKOUT = Path(__file__).parents[2] / ".slime"


class Status(Enum):
    """As slime has it."""

    COMPLETED = "completed"
    TRUNCATED = "truncated"
    ABORTED = "aborted"
    FAILED = "failed"


@dataclass
class Sample:
    """The fields of slime's Sample that the hooks read and write."""

    group_index: int | None = None
    response: str = ""
    label: str | None = None
    status: Any = Status.COMPLETED
    metadata: dict[str, Any] = field(default_factory=dict)
    remove_sample: bool = False
    tokens: list[int] = field(default_factory=list)
    response_length: int = 0


def args(**given: Any) -> SimpleNamespace:
    return SimpleNamespace(**{f"longtrace_{key}": value for key, value in given.items()})


def scored() -> list[Sample]:
    """Every member of the fixture's groups, as a step's samples after scoring."""
    return [
        Sample(number, metadata={slime.KEY: score.model_dump(mode="json")})
        for number, group in enumerate(groups())
        for score in group.scores
    ]


@pytest.mark.parametrize("variant", variants())
def test_a_step_has_the_advantages_of_the_pure_core(variant: str) -> None:
    samples = scored()
    raw, shaped = slime.reward_post_process(args(**variants()[variant].model_dump()), samples)
    assert shaped == pytest.approx(wanted(variant))
    assert raw == pytest.approx(flat(group.expected[variant]["rewards_G"] for group in groups()))
    unknown = [score.outcome is None for group in groups() for score in group.scores]
    assert [sample.remove_sample for sample in samples] == unknown


def test_groups_are_found_by_their_index_wherever_their_members_stand() -> None:
    samples = scored()
    mixed = samples[::2] + samples[1::2]
    _, shaped = slime.reward_post_process(args(), mixed)
    in_order = wanted("default")
    assert shaped == pytest.approx(in_order[::2] + in_order[1::2])


def test_without_deviation_advantages_are_centred_rewards() -> None:
    plain = args()
    plain.grpo_std_normalization = False
    _, shaped = slime.reward_post_process(plain, scored()[:4])
    assert shaped == pytest.approx([0.3875, -0.4625, 0.5375, -0.4625])


def test_one_response_gives_its_outcome_and_carries_its_score() -> None:
    sample = Sample(
        0,
        "<think>x</think>Chad.\nanswer: Rome",
        "Rome",
        metadata={"entities": ["Chad", "Mali"], "rm_type": "x"},
    )
    assert asyncio.run(slime.custom_rm(args(), sample)) == 1.0
    assert sample.metadata[slime.KEY]["rubric"] == 0.5
    assert sample.metadata["rm_type"] == "x"


@pytest.mark.parametrize(
    "end",
    [
        "<|im_end|>",
        "<|endoftext|>",
        "<|im_end|>\n",
        "\n<\uff5cend\u2581of\u2581sentence\uff5c>",
        "</s>",
    ],
)
def test_the_token_that_ends_a_response_is_no_part_of_the_answer(end: str) -> None:
    sample = Sample(0, f"<think>x</think>Chad.\nanswer: Rome{end}", "Rome")
    assert asyncio.run(slime.custom_rm(args(), sample)) == 1.0
    empty = Sample(0, f"<think>Rome</think>{end}", "Rome")
    assert asyncio.run(slime.custom_rm(args(), empty)) == 0.0
    assert empty.metadata[slime.KEY]["problem"] == "ill_formed"


def test_a_list_of_samples_gives_a_list() -> None:
    pair = [Sample(0, "answer: Rome", "Rome"), Sample(0, "answer: Oslo", "Rome")]
    assert asyncio.run(slime.custom_rm(args(thinks=False), pair)) == [1.0, 0.0]


def test_a_cut_off_response_is_wrong_and_an_unscored_one_is_taken_out() -> None:
    cut = Sample(0, "answer: Rome", "Rome", status=Status.TRUNCATED)
    assert asyncio.run(slime.custom_rm(args(thinks=False), cut)) == 0.0
    lost = Sample(0, status=Status.ABORTED)
    broken = Sample(0, "half an ans", "Rome", status=Status.FAILED)
    assert asyncio.run(slime.custom_rm(args(), broken)) == 0.0
    step = [cut, lost, broken]
    assert slime.reward_post_process(args(), step) == ([0.0] * 3, [0.0] * 3)
    assert [sample.remove_sample for sample in step] == [False, True, True]


def test_a_sample_without_a_label_is_an_error_that_names_the_flag() -> None:
    with pytest.raises(InputError, match="--label-key"):
        asyncio.run(slime.custom_rm(args(), Sample(0, "<think>x</think>Rome")))


def test_the_response_is_capped_to_what_the_context_leaves() -> None:
    assert slime.capped(150_000, 32_000, 160_000) == 10_000
    assert slime.capped(1_000, 32_000, 160_000) == 32_000
    with pytest.raises(InputError, match="leaves no room"):
        slime.capped(160_000, 32_000, 160_000)


def test_the_hooks_have_the_parameters_slime_calls_them_with() -> None:
    assert list(inspect.signature(slime.custom_rm).parameters) == ["args", "sample", "kwargs"]
    assert list(inspect.signature(slime.reward_post_process).parameters) == ["args", "samples"]


@pytest.fixture
def real() -> Iterator[Any]:
    """slime's own Sample, from a checkout."""
    if not (CHECKOUT / "slime" / "utils" / "types.py").is_file():
        pytest.skip("no checkout of slime in .slime; see `make test-slime`")
    if importlib.util.find_spec("torch") is None:
        pytest.skip("slime's Sample needs torch")
    sys.path.insert(0, str(CHECKOUT))
    try:
        types = pytest.importorskip("slime.utils.types", exc_type=ImportError)
        yield types.Sample
    finally:
        sys.path.remove(str(CHECKOUT))


def test_slimes_own_sample_goes_through_the_hooks(real: Any) -> None:
    samples = [
        real(
            group_index=0,
            index=number,
            label="Rome",
            response=f"<think>x</think>{text}",
            status=real.Status.COMPLETED,
            metadata={"entities": ["Chad", "Mali"]},
        )
        for number, text in enumerate(
            ["Chad, Mali.\nanswer: Rome", "Chad.\nanswer: Rome", "answer: Oslo", "answer: Rome"]
        )
    ]
    samples.append(real(group_index=0, index=4, status=real.Status.ABORTED))
    for sample in samples[:4]:
        sample.reward = asyncio.run(slime.custom_rm(args(), sample))
    restored = [real.from_dict(sample.to_dict()) for sample in samples]
    raw, _ = slime.reward_post_process(args(), restored)
    assert raw == pytest.approx([1.0, 0.85, 0.0, 0.7, 0.0])
    assert [sample.remove_sample for sample in restored] == [False] * 4 + [True]


def test_the_call_sites_in_the_checkout_are_those_the_hooks_are_written_for(real: Any) -> None:
    rollout = (CHECKOUT / "slime" / "ray" / "rollout.py").read_text()
    assert "self.custom_reward_post_process_func(self.args, samples)" in rollout
    assert "if sample.remove_sample:" in rollout
    rewards = (CHECKOUT / "slime" / "rollout" / "rm_hub" / "__init__.py").read_text()
    assert "await rm_function(args, sample, **kwargs)" in rewards
