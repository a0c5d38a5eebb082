"""What our reward costs inside a step of TRL. Prints a Markdown table.

    .venv/bin/python bench/trl_overhead.py

A real `GRPOTrainer` trains the tiny policy, once with our reward and once with a function that
returns a constant. The policy is so small that a step takes half a second on one CPU core, which
makes this a hard case: with a language model a step takes minutes and the reward the same time. The
responses are short here; `bench/rewards.py` has the time of one with 32K tokens.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from longtrace.config import Options
from longtrace.corpus.corpus import Corpus
from longtrace.corpus.stage import Config as CorpusConfig
from longtrace.corpus.stage import run as make_corpus
from longtrace.training import policy, trl
from longtrace.training.config import Config
from longtrace.training.facts import facts
from longtrace.training.reward import RewardSettings, reward_function
from longtrace.training.rows import dataset
from longtrace.training.tasks import FactLibrary, Task, example, task

STEPS, WARM = 12, 2
TASKS = 200


def rows(folder: Path) -> Any:
    """Rows of the tiny policy's tasks."""
    make_corpus(CorpusConfig(reader="factbook"), Options(run=folder))
    corpus = Corpus.open(folder / "corpus")
    library = FactLibrary(corpus, facts(corpus))
    made = (task(library, hops=3, seed=0, index=index) for index in range(TASKS))
    return dataset(example(one) for one in made if isinstance(one, Task))


def steps_s(examples: Any, folder: Path, *, ours: bool) -> tuple[list[float], list[float]]:
    """Seconds of every step after the first, and of the reward in it."""
    from transformers import PrinterCallback, TrainerCallback
    from trl import GRPOTrainer

    config = Config(steps=STEPS, save_every=STEPS)
    model, tokenizer = policy.build_model(0), policy.build_tokenizer()
    real = reward_function(RewardSettings(config.group_size))  # cut-off responses are scored too
    spent: list[float] = []

    def reward(**given: Any) -> list[float | None]:
        started = time.perf_counter()
        earned = real(**given) if ours else [0.0] * len(given["completions"])
        spent.append(time.perf_counter() - started)
        return earned

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    trainer = GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        reward_funcs=reward,
        args=trl.grpo_config(config, folder / str(ours)),
        train_dataset=trl.in_order(examples, config),
        callbacks=[Clock()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    gaps = [after - before for before, after in itertools.pairwise(ends)]
    return gaps[WARM:], spent[WARM + 1 :]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name, policy.quiet(1):
        examples = rows(Path(name))
        bare, _ = steps_s(examples, Path(name), ours=False)
        whole, reward = steps_s(examples, Path(name), ours=True)
    share = 100 * sum(reward) / sum(whole)
    sys.stdout.write(
        "| step of 128 rollouts | bare TRL | with our reward | in the reward | share | target |\n"
        "|---|---|---|---|---|---|\n"
        f"| tiny policy, one thread | {median(bare) * 1e3:.0f} ms | {median(whole) * 1e3:.0f} ms | "
        f"{median(reward) * 1e3:.1f} ms | {share:.2f} % | < 1 % |\n"
    )


if __name__ == "__main__":
    main()
