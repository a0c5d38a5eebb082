"""One GRPO step of a randomly initialised Qwen3-4B with LoRA: peak memory and tokens a second.

Needs a GPU; it has not been run on one by us. Prints one Markdown row: prompt tokens, reward, GiB,
tokens a second. A prompt that does not fit ends with the GPU's own message.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from longtrace.training import trl
from longtrace.training.config import Config
from longtrace.training.reward import RewardSettings, reward_function

RESPONSE_TOKENS = 512
GROUP = 8


def model_and_tokenizer(name: str) -> tuple[Any, Any]:
    """Random weights in the shape of `name`, whose tokenizer and config must be at hand."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(name)
    tokenizer = AutoTokenizer.from_pretrained(name, padding_side="left")
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(
            config, dtype=torch.bfloat16, attn_implementation="sdpa"
        )
    return model, tokenizer


def rows(tokens: int) -> Any:
    """Two prompts of about so many tokens; one word is one token or more."""
    from datasets import Dataset

    prompt = [{"role": "user", "content": "the " * (tokens - 64)}]
    row = {
        "prompt": prompt,
        "question": "?",
        "answer": "Rome",
        "answer_aliases": [],
        "entities": [{"name": "Chad", "aliases": []}],
    }
    return Dataset.from_list([{**row, "group_id": str(number)} for number in range(2)])


def main() -> None:
    """Run one step and print its row."""
    import torch
    from trl import GRPOTrainer

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--prompt-tokens", type=int, required=True)
    parser.add_argument("--reward", choices=["ours", "constant"], default="ours")
    parser.add_argument("--model", default="Qwen/Qwen3-4B-Thinking-2507")
    args = parser.parse_args()
    config = Config(
        model=args.model,
        steps=1,
        prompts_per_step=1,
        group_size=GROUP,
        max_completion_tokens=RESPONSE_TOKENS,
    )
    ours = reward_function(RewardSettings(GROUP, thinks=True))

    def constant(**given: Any) -> list[float]:
        return [0.0] * len(given["completions"])

    model, tokenizer = model_and_tokenizer(args.model)
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=ours if args.reward == "ours" else constant,
            args=trl.grpo_config(config, Path(folder)),
            train_dataset=rows(args.prompt_tokens),
            peft_config=trl.lora(config),
        )
        torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        trainer.train()
        took = time.perf_counter() - started
    tokens = GROUP * (args.prompt_tokens + RESPONSE_TOKENS)
    peak = torch.cuda.max_memory_allocated() / 2**30
    row = f"| {args.prompt_tokens} | {args.reward} | {peak:.1f} | {tokens / took:.0f} |"
    sys.stdout.write(row + "\n")


if __name__ == "__main__":
    main()
