"""One process of a TRL training that earns the fixture's scores; run by test_ranks.py.

    python ranks.py OUT.json GATHER(0|1)     RANK, WORLD_SIZE and so on in the environment

The completions are whatever a random policy writes; the reward function puts the fixture's score of
each member in their place, so that rewards and advantages are TRL's own arithmetic on our groups.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from longtrace.errors import InputError
from longtrace.training import policy
from longtrace.training.reward import RewardSettings, check_layout, shape
from tests.training.groups import SIZE, groups


def main(out: Path, gather: bool) -> None:
    """Train one update for each group and write the advantages of every update."""
    from accelerate import PartialState
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    several = "WORLD_SIZE" in os.environ
    state = PartialState(cpu=True, **({"backend": "gloo"} if several else {}))
    here = SIZE // state.num_processes
    settings = RewardSettings(SIZE, gather=gather)
    check_layout(here, SIZE, gather=gather)
    fixture = groups()

    def fixed(*, group_id: list[str], **_: Any) -> list[float | None]:
        members = [(state.process_index * here + n) % SIZE for n in range(len(group_id))]
        scores = [fixture[int(g)].scores[m] for g, m in zip(group_id, members, strict=True)]
        return shape(group_id, scores, settings).local

    found: dict[str, list[float]] = {}

    class Keeper(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, at: Any, control: Any, **_: Any) -> None:
            found[fixture[at.global_step - 1].name] = list(trainer._logs["advantages"])

    rows = [
        {"prompt": [{"role": "user", "content": "@e1 capital"}], "group_id": str(n)}
        for n in range(len(fixture))
    ]
    trainer = GRPOTrainer(
        model=policy.build_model(0),
        processing_class=policy.build_tokenizer(),
        reward_funcs=fixed,
        args=GRPOConfig(
            output_dir=str(out.with_suffix("")),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            num_generations=SIZE,
            per_device_train_batch_size=here,
            gradient_accumulation_steps=1,
            max_steps=len(fixture),
            max_completion_length=4,
            shuffle_dataset=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        callbacks=[Keeper()],
    )
    trainer.train()
    if state.is_main_process:
        out.write_text(json.dumps(found))


if __name__ == "__main__":
    try:
        with policy.quiet(1):
            main(Path(sys.argv[1]), sys.argv[2] == "1")
    except InputError as error:
        sys.exit(str(error))
